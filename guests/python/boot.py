"""Inside the guest: imports from memory, the UDF's own module, and its calls.

`load` takes the configuration of a stage as JSON and compiles its code; it lets no exception out: what goes wrong is
its answer. guest.c calls the function that it gives.
"""

import marshal
import sys
from _frozen_importlib import ModuleSpec

import _headrace


class Library:
    """Modules in a stored zip that lies in memory: finder and loader in one."""

    def __init__(self, data, label):
        self.data = data
        self.label = label
        self.files = dict(entries(data))

    def find_spec(self, name, path=None, target=None):
        base = name.replace(".", "/")
        for suffix, package in (("/__init__.pyc", True), (".pyc", False), ("/__init__.py", True), (".py", False)):
            if base + suffix in self.files:
                origin = f"<{self.label}>/{base}{suffix.removesuffix('c')}"
                spec = ModuleSpec(name, self, origin=origin, is_package=package)
                if package:
                    spec.submodule_search_locations = [f"<{self.label}>/{base}"]
                spec.loader_state = base + suffix
                spec.has_location = True
                return spec
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        spec = module.__spec__
        code = self.code(spec.loader_state, spec.origin)
        exec(code, module.__dict__)

    def code(self, name, origin):
        data = self.get_data(name)
        if name.endswith(".pyc"):
            return marshal.loads(data[16:])
        return compile(data, origin, "exec", dont_inherit=True)

    def get_data(self, name):
        prefix = f"<{self.label}>/"
        start, size = self.files[name.removeprefix(prefix)]
        return bytes(self.data[start : start + size])

    def is_package(self, name):
        return self.find_spec(name).submodule_search_locations is not None

    def get_source(self, name):
        return None

    def get_resource_reader(self, name):
        return Resources(self, name.replace(".", "/"))


class Resources:
    """Files beside modules, for `importlib.resources`."""

    def __init__(self, library, base):
        self.library = library
        self.base = base

    def open_resource(self, name):
        import io

        try:
            return io.BytesIO(self.library.get_data(f"{self.base}/{name}"))
        except KeyError:
            raise FileNotFoundError(name) from None

    def resource_path(self, name):
        raise FileNotFoundError(name)

    def is_resource(self, name):
        return f"{self.base}/{name}" in self.library.files

    def contents(self):
        prefix = self.base + "/"
        return sorted({n[len(prefix) :].partition("/")[0] for n in self.library.files if n.startswith(prefix)})


def entries(data):
    """(name, (offset, size)) of the files in a stored zip (PKWARE's APPNOTE, 4.3)."""
    end = bytes(data[-65557:]).rfind(b"PK\x05\x06")
    if end < 0:
        raise ValueError("not a zip")
    end += max(len(data) - 65557, 0)
    count, start = number(data, end + 10, 2), number(data, end + 16, 4)
    at = start
    for _ in range(count):
        method, size = number(data, at + 10, 2), number(data, at + 24, 4)
        lengths = [number(data, at + n, 2) for n in (28, 30, 32)]
        local = number(data, at + 42, 4)
        name = str(bytes(data[at + 46 : at + 46 + lengths[0]]), "utf-8")
        if method != 0:
            raise ValueError(f"{name} is compressed")
        offset = local + 30 + number(data, local + 26, 2) + number(data, local + 28, 2)
        yield name, (offset, size)
        at += 46 + sum(lengths)


def number(data, at, size):
    return int.from_bytes(data[at : at + size], "little")


STDLIB = Library(_headrace.stdlib(), "stdlib")
sys.meta_path.append(STDLIB)


class Zones:
    """The package `tzdata`, opened when `zoneinfo` first asks for it: few UDFs do."""

    library = None

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "tzdata":
            return None
        if self.library is None:
            self.library = Library(memoryview(STDLIB.get_data("tzdata.zip")), "tzdata")
        return self.library.find_spec(name)


sys.meta_path.append(Zones())


class Log:
    """What `print` and `sys.stderr` write to: whole lines in the UDF's log."""

    encoding = "utf-8"
    errors = "replace"
    closed = False

    def __init__(self, level):
        self.level = level
        self.held = ""

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        *lines, self.held = (self.held + text).split("\n")
        for line in lines:
            _headrace.log(self.level, line)
        if len(self.held) > 4096:
            self.flush()
        return len(text)

    def flush(self):
        if self.held:
            held, self.held = self.held, ""
            _headrace.log(self.level, held)

    def isatty(self):
        return False

    def writable(self):
        return True


OUT = sys.stdout = sys.__stdout__ = Log(2)
ERR = sys.stderr = sys.__stderr__ = Log(3)

# What UDFs import most: there before the first of them is loaded.
import inspect
import logging
import random
import traceback
import types

import msgspec.json

# Bound once: a UDF that tampers with msgspec harms nobody, and a decoder for a type is dear to make.
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode
LEVELS = ((logging.ERROR, 4), (logging.WARNING, 3), (logging.INFO, 2), (0, 1))


class Handler(logging.Handler):
    """`logging` into the UDF's log."""

    def emit(self, record):
        level = next(ours for theirs, ours in LEVELS if record.levelno >= theirs)
        _headrace.log(level, self.format(record))


logging.basicConfig(handlers=[Handler()], level=logging.INFO, format="%(name)s: %(message)s")
logging.raiseExceptions = False


def udf(function=None, *, params=None, **_):
    """The decorator of `headrace.udf`: the function is given its parameters as a value of the type `params`."""
    if function is None:
        return lambda decorated: udf(decorated, params=params)
    function.__headrace_params__ = params
    return function


# What the package for editors has (headrace.udf): in here a document is a dict, and a context is.
names = types.ModuleType("headrace")
names.__path__ = []
names.udf = types.ModuleType("headrace.udf")
names.udf.udf = udf
for module in (names, names.udf):
    module.Document = module.Params = module.Context = module.Result = dict
    sys.modules[module.__name__] = module

FILE = "<udf>"
ENTRIES = ("process", "udf_main")


class Interrupted(BaseException):
    """The time of the call is over: raised by the host, from outside."""


def load(config):
    """Compiles the code of a UDF; gives an error as JSON `{"type", "reason", "line", "column"}`.

    Else its function, the parameters of the stage, and how many of document, parameters and context it takes.
    """
    try:
        config = decode(config)
        random.seed(config.get("seed"))
        if archive := config.get("packages"):
            import base64

            # Before the zones: a UDF may bring its own.
            sys.meta_path.insert(-1, Library(memoryview(base64.b64decode(archive)), "packages"))
        module = types.ModuleType("udf")
        module.__file__ = FILE
        sys.modules["udf"] = module
        source = config["source"].removeprefix("\ufeff")
        if config.get("inline"):
            source = snippet(source, config["inline"])
        exec(compile(source, FILE, "exec", dont_inherit=True), module.__dict__)
        function = entry(module, config.get("entry"))
        params = config.get("parameters") or {}
        if (kind := getattr(function, "__headrace_params__", None)) is not None:
            params = converted(params, kind)
        arity = min(positional(function), 3)
        if arity == 0:
            raise TypeError("the function takes no argument; it is given the document")
    except SyntaxError as error:
        return encode({"type": type(error).__name__, "reason": error.msg, "line": error.lineno, "column": error.offset})
    except BaseException as error:
        return failure(error)
    return function, params, arity


def converted(params, kind):
    """The parameters as a value of the type that the UDF declares; an upload is tried without any."""
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError:
        if params:
            raise
        return params


def snippet(source, name):
    """Statements over a document as the body of `process`; code that defines an entry itself is left as it is."""
    import ast

    tree = ast.parse(source, FILE)
    if any(isinstance(node, ast.FunctionDef) and node.name in ENTRIES for node in tree.body):
        return source
    arguments = [ast.arg(arg=each) for each in (name, "params", "ctx")]
    last = ast.Return(value=ast.Name(id=name, ctx=ast.Load()))
    function = ast.parse("def process(): pass", FILE).body[0]
    function.args.args = arguments
    function.body = [*tree.body, last]
    return ast.fix_missing_locations(ast.Module(body=[function], type_ignores=[]))


def entry(module, name):
    names = (name,) if name else ENTRIES
    for each in names:
        function = getattr(module, each, None)
        if callable(function):
            return function
    wanted = " or ".join(f"{each}(doc, params)" for each in names)
    raise LookupError(f"the code defines no function {wanted}")


def positional(function):
    """How many arguments the function takes: 1 (document), 2 (and parameters), 3 (and context)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    kinds = [p.kind for p in parameters]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return 3
    return sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)


def failure(error):
    """An exception as JSON: its type, message, and the line of the UDF that it came from."""
    line = None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == FILE:
            line = frame.lineno
    try:
        reason = str(error)
    except BaseException:
        reason = ""
    return encode({"type": type(error).__name__, "reason": reason[:2000], "line": line, "column": None})


def flush():
    """Writes what `print` left of a line into the log."""
    if OUT.held or ERR.held:
        OUT.flush()
        ERR.flush()
