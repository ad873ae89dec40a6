"""The manifest of a UDF: language, entry, parameters, limits.

ABI and host functions are the engine's (`wasm-runtime/src/udf/host/`); their contract is in
docs/reference/udf-abi.md.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headrace_pipelines import units
from headrace_pipelines.definition import EMPTY, VERSION, Strict, check_name, check_version, object_of
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.errors.validation import bad_value, explained, nearest
from headrace_pipelines.udf import archives

if TYPE_CHECKING:
    from collections.abc import Iterable

FLAT = "flat"
"""The view of a response without OpenSearch's nesting."""
PYTHON, JAVASCRIPT = "python", "javascript"
INTERPRETED = (PYTHON, JAVASCRIPT)
LANGUAGE_OF_SUFFIX = {".py": PYTHON, ".js": JAVASCRIPT, ".mjs": JAVASCRIPT}
"""The language of a file of source code, by how its name ends."""
"""Languages that run in a guest of ours."""
LANGUAGES = ("wasm", "wat", "rust", "c", "go", "assemblyscript", *INTERPRETED)
FROM_SOURCE = ("wat", *INTERPRETED)
"""Languages whose source is uploaded; of the others the compiled module is."""
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "i64": (int,),
    "f64": (int, float),
    "bool": (bool,),
}
"""Python types of each declared type of parameter; the last three are other names of types above."""


class Parameter(Strict, frozen=True, kw_only=True):
    """A declared parameter: its JSON type, whether it must be given, and what it is when it is not."""

    name: str
    type: Literal["string", "integer", "number", "boolean", "object", "array", "i64", "f64", "bool"] = "string"
    required: bool = False
    default: Any = None
    description: str = ""


class LimitsConfig(Strict, frozen=True, kw_only=True):
    """Limits per document: `timeout` and `memory` in OpenSearch's units, `fuel` in metering points."""

    timeout: str | None = None
    memory: str | None = None
    fuel: int | None = None


class Manifest(Strict, frozen=True, kw_only=True):
    """A version of a UDF, without its code.

    `metadata`: documents show `_index`, `_id`, `_routing` and `_ctx` as members, and the UDF may change them.
    `view`: result UDFs get responses in this form, in the scope of the whole response.
    `fields`: those of hits that it hides, dotted; a final result pipeline with it keeps every other way to them shut.
    `clock`, `random`: what a compiled UDF gets by WASI; absent = `counted`, `seeded`, the same in every sandbox.
    Interpreted ones always have the real ones.
    """

    name: str
    version: str = ""
    language: str = "wasm"
    entry: str | None = None
    description: str = ""
    parameters: list[Parameter] = []
    returns: str | None = None
    merge: bool = False
    metadata: bool = False
    view: Literal["flat"] | None = None
    isolation: Literal["document", "request", "instance"] = "instance"
    clock: Literal["counted", "real"] | None = None
    random: Literal["seeded", "real"] | None = None
    limits: LimitsConfig = LimitsConfig()
    fields: list[str] = []
    tags: list[str] = []
    category: str = ""
    author: str = ""

    @property
    def label(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def interpreted(self) -> bool:
        """Whether its code runs in a guest of ours."""
        return self.language in INTERPRETED


class _Upload(Manifest, frozen=True, kw_only=True):
    source: str | None = None
    packages: list[str] = []
    wasm: str | None = None
    abi: str | None = None


MEMBERS = _Upload.__struct_fields__
"""Members of a JSON upload."""


def parse(body: bytes, name: str) -> tuple[Manifest, bytes, str | None]:
    """Manifest, code and claimed ABI of a JSON upload for the path's `name`. Raises InvalidError."""
    fields = object_of(body)
    if fields.get("language") in INTERPRETED and isinstance(fields.get("source"), str):
        fields = headers(fields["source"]) | fields
    if fields.setdefault("name", name) != name:
        raise InvalidError(f"is [{fields['name']}], but the path names [{name}]", "name")
    try:
        upload = msgspec.convert(fields, _Upload)
    except msgspec.ValidationError as error:
        raise explained(error, _Upload, fields) from None
    code = _code(upload)
    kept = {key: getattr(upload, key) for key in Manifest.__struct_fields__}
    manifest = Manifest(**kept)
    validate(manifest)
    return manifest, code, upload.abi


def raw(body: bytes, name: str, version: str, language: str) -> Manifest:
    """The manifest of an upload that is nothing but its code. Raises InvalidError."""
    fields: dict[str, Any] = {}
    if language in INTERPRETED:
        try:
            source = body.decode()
        except UnicodeDecodeError as error:
            raise InvalidError(f"the source is not UTF-8: {error}", "source") from None
        _check_text(source, language)
        fields = headers(source)
    if fields.setdefault("name", name) != name:
        raise InvalidError(f"the code says [{fields['name']}], but the path names [{name}]", "name")
    fields |= {"language": language, **({"version": version} if version else {})}
    try:
        manifest = msgspec.convert(fields, Manifest)
    except msgspec.ValidationError as error:
        raise explained(error, Manifest, fields) from None
    validate(manifest)
    if not body:
        raise InvalidError("the request body is empty; send the module's bytes")
    return manifest


_HEADER = re.compile(r"^(?:#|//)\s*@udf:\s*([a-z_.]+)\s*=\s*(.*?)\s*$", re.MULTILINE)
_HEADER_TEXTS = ("name", "version", "entry", "description", "returns", "category", "author")
_HEADER_KEYS = (*_HEADER_TEXTS, "isolation", "view", "tags", "fields", "merge", "metadata", "timeout", "memory", "fuel")


def headers(source: str) -> dict[str, Any]:
    """The facts in lines `# @udf: key=value` (JavaScript: `// @udf: …`) of a source.

    Raises InvalidError for a key that there is not.

    Keys are `name`, `version`, `entry`, `description`, `returns`, `category`, `author`, `tags` and `fields` (separated
    by commas), `merge`, `metadata`, `isolation`, `view`, and `timeout`, `memory`, `fuel` of the limits.
    """
    found: dict[str, Any] = {}
    for key, value in _HEADER.findall(source):
        if key in _HEADER_TEXTS or key in ("isolation", "view"):
            found[key] = value
        elif key in ("tags", "fields"):
            found[key] = [each.strip() for each in value.split(",") if each.strip()]
        elif key in ("merge", "metadata"):
            found[key] = value.lower() == "true"
        elif key in ("timeout", "memory", "fuel"):
            limit = int(value) if key == "fuel" and value.isdigit() else value
            found.setdefault("limits", {})[key] = limit
        else:
            raise InvalidError(f"the code's header [@udf: {key}] is not known{_meant(key)}", "source")
    return found


def _meant(name: str, existing: Iterable[str] = _HEADER_KEYS) -> str:
    near = nearest(name, existing)
    return f"; did you mean [{near}]?" if near else ""


def _code(upload: _Upload) -> bytes:
    check_language(upload.language)
    if (upload.source is None) == (upload.wasm is None):
        raise InvalidError("exactly one of wasm (base64 of a module) and source (the code of a UDF) is required")
    if upload.packages and upload.language != PYTHON:
        raise InvalidError("belong to Python UDFs; other code brings its own along, bundled", "packages")
    if upload.source is not None:
        if upload.language not in FROM_SOURCE:
            raise InvalidError(
                f"source text is taken only for {', '.join(FROM_SOURCE)}; compile your {upload.language} code "
                "and send the module in [wasm]",
                "source",
            )
        _check_text(upload.source, upload.language)
        if upload.language == PYTHON:
            return archives.packed(upload.source, upload.packages)
        return upload.source.encode()
    if upload.language in INTERPRETED:
        raise InvalidError(f"is a compiled module; send code in {upload.language} as text in [source]", "wasm")
    try:
        return base64.b64decode(upload.wasm or "", validate=True)
    except ValueError as error:
        raise InvalidError(f"is not base64: {error}", "wasm") from None


def _check_text(source: str, language: str) -> None:
    """Raises InvalidError for a Python source with a NUL, which Python refuses, and which marks stored packages."""
    if language == PYTHON and "\0" in source:
        raise InvalidError("Python code cannot contain NUL", "source")


def check_language(language: str) -> None:
    """Raises InvalidError for a language that cannot run here, and says what can."""
    if language not in LANGUAGES:
        raise InvalidError(bad_value(language, LANGUAGES), "language")


def validate(manifest: Manifest) -> None:
    """Checks names, versions, limits and defaults. Raises InvalidError."""
    check_name(manifest.name)
    check_language(manifest.language)
    if manifest.version and not VERSION.fullmatch(manifest.version):
        raise InvalidError(f"[{manifest.version}] does not match {VERSION.pattern}", "version")
    check_version(manifest.version)
    for field, value in (("clock", manifest.clock), ("random", manifest.random)):
        if manifest.interpreted and value not in (None, "real"):
            raise InvalidError(f"a UDF in {manifest.language} always has the real one; leave [{field}] out", field)
    limits = manifest.limits
    if limits.timeout is not None:
        units.seconds(limits.timeout, "limits.timeout")
    if limits.memory is not None:
        units.size(limits.memory, "limits.memory")
    if limits.fuel is not None and limits.fuel <= 0:
        raise InvalidError("must be more than zero", "limits.fuel")
    for i, parameter in enumerate(manifest.parameters):
        if parameter.default is not None:
            _check_type(parameter, parameter.default, f"parameters[{i}].default")


def bind_parameters(manifest: Manifest, given: msgspec.Raw, field: str) -> bytes:
    """The parameters of one stage as a JSON object: what is given, checked against the declaration, and the defaults.

    A UDF that declares no parameters takes any. Raises InvalidError that names the parameter's path.
    """
    try:
        values = msgspec.json.decode(given or EMPTY, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise InvalidError("must be an object", field) from None
    if manifest.parameters:
        _check_declared(manifest, values, field)
    return msgspec.json.encode(values)


def _check_declared(manifest: Manifest, values: dict[str, msgspec.Raw], field: str) -> None:
    declared = {parameter.name: parameter for parameter in manifest.parameters}
    for name, value in values.items():
        if name not in declared:
            listed = ", ".join(declared) + _meant(name, declared)
            raise InvalidError(f"UDF [{manifest.name}] declares no such parameter; it has {listed}", f"{field}.{name}")
        _check_type(declared[name], msgspec.json.decode(value), f"{field}.{name}")
    for name, parameter in declared.items():
        if name in values:
            continue
        if parameter.default is not None:
            values[name] = msgspec.Raw(msgspec.json.encode(parameter.default))
        elif parameter.required:
            raise InvalidError(f"required by UDF [{manifest.name}]", f"{field}.{name}")


def _check_type(parameter: Parameter, value: object, field: str) -> None:
    fits = isinstance(value, _JSON_TYPES[parameter.type])
    if isinstance(value, bool) and bool not in _JSON_TYPES[parameter.type]:
        fits = False
    if not fits:
        raise InvalidError(f"must be of type {parameter.type}", field)
