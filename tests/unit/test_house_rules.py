"""Rules of the house that no linter knows: docs complete, one door to the engine, Docker files valid."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys

import pytest

from headrace.handlers import routes
from headrace.settings import Settings
from headrace_pipelines.stages.native import FUNCTIONS, PIPELINE
from tests.conftest import ROOT

PACKAGES = [ROOT / "pipelines/headrace_pipelines", ROOT / "proxy/headrace"]
PYTHON = [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]


def headings(page: str) -> set[str]:
    return set(re.findall(r"^#+ (.+)$", (ROOT / "docs" / page).read_text(), re.MULTILINE))


def test_every_setting_has_a_heading():
    assert set(Settings.__struct_fields__) <= headings("reference/settings.md")


def test_every_built_in_has_a_heading_and_a_file_of_its_own():
    assert set(FUNCTIONS) <= headings("reference/stages.md")
    files = {p.stem for p in (ROOT / "wasm-runtime/src/native").glob("*.rs")}
    assert set(FUNCTIONS) - {PIPELINE} <= files


def test_every_promise_of_the_threat_model_names_a_test_that_there_is():
    text = (ROOT / "docs/explanation/threat-model.md").read_text()
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) == 11
    files = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    for row in rows:
        named = re.findall(r"(test_\w+\.py)?(?:::(test_\w+))?", row)
        found = [(file, test) for file, test in named if file or test]
        assert found, row
        last = ""
        for file, test in found:
            last = file or last
            assert last in files, row
            assert not test or f"def {test}(" in files[last], (last, test)


def test_every_endpoint_of_ours_is_documented():
    text = (ROOT / "docs/reference/rest-api.md").read_text()
    for path in (row.path for row in routes.TABLE):
        if path.startswith(("/_pipeline", "/_udf", "/_proxy")):
            assert path in text, path


def test_every_host_function_is_documented():
    source = (ROOT / "wasm-runtime/src/udf/host/fields.rs").read_text()
    names = set(re.findall(r'\("(\w+)", (?:_|\d)\) =>', source))
    text = (ROOT / "docs/reference/udf-abi.md").read_text()
    assert len(names) > 15
    assert {name for name in names if f"`{name}`" not in text} <= {"abort"}


def test_only_a_few_modules_open_the_door_to_the_engine():
    allowed = {
        "pipelines/headrace_pipelines/engine.py",
        "pipelines/headrace_pipelines/udf/catalog.py",
        "pipelines/headrace_pipelines/stages/native.py",
        "pipelines/headrace_pipelines/stages/udf.py",
        "pipelines/headrace_pipelines/http1.py",
    }
    found = set()
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", "") or ""
            names = [each.name for each in getattr(node, "names", []) if isinstance(each, ast.alias)]
            if module.endswith("_wasm") or any(name.endswith("_wasm") for name in names):
                found.add(str(path.relative_to(ROOT)))
    assert found == allowed


def other_packages() -> list[str]:
    """Modules of other people that ours import, by their names in import statements."""
    found = set()
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    found |= {alias.name for alias in names}
                case ast.ImportFrom(module=str(module), level=0):
                    found.add(module)
    top = {name.partition(".")[0] for name in found} - {"headrace", "headrace_pipelines", "tests", "__future__"}
    return sorted(top & INSTALLED)


INSTALLED = set(importlib.metadata.packages_distributions())


def failed_imports(modules: list[str], packages: list[str], *path: str) -> dict[str, str]:
    """The errors of modules that cannot be imported in a process that has loaded these packages only."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.support.imports"],
        input=json.dumps({"packages": packages, "modules": modules, "path": path}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    failed: dict[str, str] = json.loads(done.stdout)
    return failed


def test_every_module_can_be_imported_alone_with_warnings_as_errors():
    """The packages of other people are loaded once: mypy refuses a submodule of theirs that is not imported."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts[1:]).removesuffix(".__init__")
        for path in PYTHON
        if path.name != "__main__.py"
    ]
    assert len(modules) > 200
    assert failed_imports(modules, other_packages()) == {}


def test_a_module_that_cannot_be_imported_alone_is_found(tmp_path):
    for name, text in {
        "first": "import second\nX = 1\n",
        "second": "from first import X\n",
        "third": "import warnings\nwarnings.warn('old', DeprecationWarning)\n",
        "fourth": "import os\nos._exit(3)\n",
        "good": "import json\n",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    failed = failed_imports(["first", "third", "fourth", "good"], [], str(tmp_path))
    assert set(failed) == {"first", "third", "fourth"}
    assert "partially initialized module" in failed["first"]
    assert "DeprecationWarning: old" in failed["third"]


MAX_LINES = 400
LONGER = {
    "proxy/headrace/server/connection.py",
    "proxy/headrace/upstream/connection.py",
    "proxy/headrace/registry/store.py",
}
"""One state machine each, and one client of an index: their parts only make sense side by side."""
MAX_ENTRIES = 12
LAYERS = {ROOT / "proxy/headrace": 14}
"""The folder whose entries are the layers of the import law, one for each: their number is its number."""
MARKERS = {"__init__.py", "__main__.py", "py.typed", "_wasm.pyi"}
PUBLIC = {"backfill", "client", "project", "ray.py", "spark", "testing.py", "udf.py"}
"""What other people's code imports from `headrace`: short names beside the folders of the server."""


def test_files_are_short():
    long = {str(p.relative_to(ROOT)) for p in PYTHON if len(p.read_text().splitlines()) > MAX_LINES}
    assert long <= LONGER
    assert all(len((ROOT / name).read_text().splitlines()) <= MAX_LINES * 1.25 for name in LONGER)


MAX_FUNCTION_LINES = 40
LONGER_FUNCTIONS = {"send": "a loop over nodes, whose every branch is another end of it"}


def test_functions_are_short():
    long = {
        node.name
        for path in PYTHON
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    }
    assert long == set(LONGER_FUNCTIONS)


def test_folders_are_small():
    folders = {path.parent for path in PYTHON}
    folders |= {path.parent for path in (ROOT / "tests").rglob("*.py")}
    for folder in folders:
        tracked = {p.name for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
        assert len(tracked - MARKERS - PUBLIC - {"conftest.py"}) <= LAYERS.get(folder, MAX_ENTRIES), folder


def test_every_package_says_what_it_is_for():
    for package in PACKAGES:
        for path in package.rglob("__init__.py"):
            assert ast.get_docstring(ast.parse(path.read_text())), path


EVERYDAY_WORDS = frozenset(
    "known place take give put look begin made one other several alone together".split()  # noqa: SIM905
)
"""Words that say nothing about what a thing is: the name of a thing is the term of its field (CONTRIBUTING.md)."""
ALLOWED_NAMES = {
    "put": "the HTTP method, and the handler of it",
    "addInPlace": "a method of pyspark.AccumulatorParam",
    "connection_made": "a callback of asyncio.BaseProtocol",
}


def defined_names(tree: ast.Module) -> set[str]:
    """The names that a module defines: functions, classes, parameters, variables, attributes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.arg(arg=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
    return names


def words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_names_are_terms():
    found = {name for path in PYTHON for name in defined_names(ast.parse(path.read_text()))}
    everyday = {name for name in found if words_of(name) & EVERYDAY_WORDS}
    assert everyday == set(ALLOWED_NAMES)


@pytest.mark.parametrize(
    "source",
    [
        "def take(): ...",
        "class PlaceHolder: ...",
        "def f(known): ...",
        "made = 1",
        "self.looks_one = 1",
        "_PUT: int = 1",
    ],
)
def test_an_everyday_word_is_found(source):
    assert any(words_of(name) & EVERYDAY_WORDS for name in defined_names(ast.parse(source)))
