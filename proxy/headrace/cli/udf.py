"""`headrace udf new|check|test|put`: a developer's loop for UDFs in Python and JavaScript, in the proxy's sandbox.

It needs no proxy but for `put`. A UDF `name.py` or `name.js` has its cases beside it, in `name.cases.json`: a list of
`{"name", "input", "parameters"?, "as"?, "expected"}`. `as` is `document` (default), `query`, `result` or `hit`;
`expected` is the output, `{"filtered": true}` for a document that is dropped, or `{"error": "text that the reason must
hold"}`.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.http1.headers import ADMIN_HEADER
from headrace_pipelines import Batch, Deadline
from headrace_pipelines.definition import check_name
from headrace_pipelines.errors import HeadraceError, InvalidError
from headrace_pipelines.udf import manifest as manifests
from headrace_pipelines.udf import stubs
from headrace_pipelines.udf.catalog import Catalog, started

if TYPE_CHECKING:
    import argparse

    from headrace_pipelines.udf.manifest import Manifest

PYTHON_TEMPLATE = '''# @udf: description=What it does, in a line
# @udf: timeout=100ms
from headrace import Document, Params, Result


def process(doc: Document, params: Params) -> Result:
    """Called for every document; what it returns replaces the document, None leaves it as it is."""
    doc["seen"] = params.get("by", "headrace")
    return doc
'''
JAVASCRIPT_TEMPLATE = """// @udf: description=What it does, in a line
// @udf: timeout=100ms

/**
 * Called for every document; what it returns replaces the document, null leaves it as it is.
 *
 * @param {import("./headrace").Document} doc
 * @param {import("./headrace").Params} params
 * @returns {import("./headrace").Result}
 */
export function process(doc, params) {
  doc.seen = params.by ?? "headrace";
  return doc;
}
"""
TEMPLATES = {".py": PYTHON_TEMPLATE, ".js": JAVASCRIPT_TEMPLATE}
STUBS = {ending: stubs.FOLDER / f"headrace.{stub}" for ending, stub in ((".py", "pyi"), (".js", "d.ts"))}
"""Types for editors; written beside the UDF."""
MEDIA = {manifests.PYTHON: "text/x-python", manifests.JAVASCRIPT: "text/javascript"}
CASES = [
    {"name": "marks what it has seen", "input": {"a": 1}, "expected": {"a": 1, "seen": "headrace"}},
    {"name": "takes a parameter", "input": {}, "parameters": {"by": "me"}, "expected": {"seen": "me"}},
]
SECONDS = 30.0
"""Seconds for one case: the limits of the UDF end it earlier."""
ADMIN_VARIABLE = "HEADRACE_ADMIN_TOKEN"
UPLOAD_SECONDS = 60


def add_arguments(commands: Any) -> None:
    """The command `udf` and its own commands."""
    udf = commands.add_parser("udf", help="write, check, test and upload UDFs in Python and JavaScript")
    parts = udf.add_subparsers(dest="udf_command", required=True)
    new = parts.add_parser("new", help="write a UDF and its cases to begin with")
    new.add_argument("name", help="of the UDF; name.js for JavaScript")
    for name, text in (("check", "compile it as the proxy does"), ("test", "run its cases"), ("put", "upload it")):
        part = parts.add_parser(name, help=text)
        part.add_argument("file", type=Path)
        if name == "test":
            part.add_argument("--update", action="store_true", help="write what it gives as expected")
        if name == "put":
            part.add_argument("--url", default="http://127.0.0.1:9280")
            part.add_argument("--name", help="its name; default: that of the file")


def main(options: argparse.Namespace) -> int:
    """Runs one of the commands; gives the exit status."""
    try:
        match options.udf_command:
            case "new":
                return _new(options.name)
            case "check":
                _loaded(options.file)
                print(f"{options.file}: ok")
                return 0
            case "test":
                return _test(options.file, update=options.update)
            case _:
                return _upload(options.file, options.url, options.name or options.file.stem)
    except HeadraceError as error:
        print(f"headrace: {error.reason}", file=sys.stderr)
    except OSError as error:
        print(f"headrace: {error.filename}: {error.strerror}", file=sys.stderr)
    return 1


def _new(name: str) -> int:
    file = Path(name if name.endswith(tuple(TEMPLATES)) else f"{name}.py")
    check_name(file.stem)
    written = [(file, TEMPLATES[file.suffix]), (_cases_of(file), json.dumps(CASES, indent=2) + "\n")]
    for path, _ in written:
        if path.exists():
            raise InvalidError(f"{path} is there already")
    stub = STUBS[file.suffix]
    if not Path(stub.name).exists():
        written.append((Path(stub.name), stub.read_text()))
    for path, text in written:
        path.write_text(text)
        print(path)
    return 0


def _cases_of(file: Path) -> Path:
    return file.with_suffix(".cases.json")


def _loaded(file: Path) -> tuple[Manifest, bytes, Catalog]:
    """The UDF of a file, compiled. Raises InvalidError with line and column of what is wrong."""
    code = file.read_bytes()
    manifest = manifests.raw(
        code, _name_of(file, code), "", manifests.LANGUAGE_OF_SUFFIX.get(file.suffix, manifests.PYTHON)
    )
    catalog = Catalog()
    started(catalog.udf(manifest, code, b"{}", "source"), "source")
    return manifest, code, catalog


def _name_of(file: Path, code: bytes) -> str:
    named = manifests.headers(code.decode(errors="replace")).get("name")
    return named if isinstance(named, str) else file.stem


def _test(file: Path, *, update: bool) -> int:
    loaded = _loaded(file)
    path = _cases_of(file)
    try:
        cases: list[dict[str, Any]] = json.loads(path.read_text())
    except ValueError as error:
        raise InvalidError(f"{path} is not JSON: {error}") from None
    failed = 0
    for case in cases:
        found = _run(loaded, case)
        good = _fits(found, case.get("expected"))
        if update and not good:
            case["expected"] = found
            print(f"  new   {case.get('name', '')}")
            continue
        failed += not good
        print(f"  {'ok' if good else 'FAIL':5} {case.get('name', '')}")
        if not good:
            print(f"        expected {json.dumps(case.get('expected'))}\n        found    {json.dumps(found)}")
    if update:
        path.write_text(json.dumps(cases, indent=2) + "\n")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _fits(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict) and isinstance(found, dict) and set(expected) == set(found) == {"error"}:
        return str(expected["error"]) in str(found["error"])
    return bool(found == expected)


def _run(loaded: tuple[Manifest, bytes, Catalog], case: dict[str, Any]) -> Any:
    """The output of the UDF for the input of a case."""
    manifest, code, catalog = loaded
    given = msgspec.Raw(msgspec.json.encode(case.get("parameters", {})))
    parameters = manifests.bind_parameters(manifest, given, "parameters")
    udf = catalog.udf(manifest, code, parameters, "source")
    kind, text = case.get("as", "document"), msgspec.json.encode(case["input"])
    if kind == "hit":
        response = Batch.of("result", b'{"hits":{"hits":[' + text + b"]}}", trial=True)
        batch = response.hits()
    else:
        batch = Batch.of(kind, text, trial=True)
    run = batch.run_udf(
        udf, Deadline(SECONDS), abort=True, pipeline="", stage=manifest.name, metadata=manifest.metadata
    )
    for _, _, line in run.logs:
        print(f"        | {line}")
    outputs = []
    for i in range(len(batch)):
        state, failure = batch.outcome(i)
        if failure is not None:
            return {"error": failure[2]}
        if state != "dropped":
            outputs.append(msgspec.json.decode(batch.document(i)))
    if not outputs:
        return {"filtered": True}
    return outputs[0] if len(outputs) == 1 else outputs


def _upload(file: Path, url: str, name: str) -> int:
    """Uploads the file; what the proxy says is shown."""
    manifest, code, _ = _loaded(file)
    headers = {"Content-Type": MEDIA[manifest.language]}
    if token := os.environ.get(ADMIN_VARIABLE):
        headers[ADMIN_HEADER] = token
    target = f"{url.rstrip('/')}/_udf/{name}"
    if not target.startswith(("http://", "https://")):
        raise InvalidError(f"[{url}] is not an http:// or https:// URL", "url")
    request = urllib.request.Request(target, code, headers, method="PUT")  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=UPLOAD_SECONDS) as answer:  # noqa: S310
            shown = json.load(answer)
    except urllib.error.HTTPError as error:
        reason = json.loads(error.read()).get("error", {}).get("reason", error.reason)
        raise InvalidError(f"the proxy answers {error.code}: {reason}") from None
    except urllib.error.URLError as error:
        raise InvalidError(f"{url} cannot be reached: {error.reason}") from None
    print(f"{shown['name']}@{shown['version']}  {shown['digest']}")
    return 0
