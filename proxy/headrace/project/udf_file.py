"""A UDF as a file, `name.py` or `name.js`, with its cases beside it in `name.cases.json`.

The cases are a list of `{"name", "input", "parameters"?, "as"?, "expected"}`. `as` is `document` (default), `query`,
`result` or `hit`; `expected` is the output, `{"filtered": true}` for a document that is dropped, or `{"error": "text
that the reason must hold"}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.project.decorated import declared
from headrace.project.problems import ProjectError
from headrace_pipelines import Batch, Deadline
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.udf import manifest as manifests
from headrace_pipelines.udf.catalog import Catalog, started

if TYPE_CHECKING:
    from pathlib import Path

    from headrace_pipelines.udf.manifest import Manifest

MEDIA = {
    manifests.PYTHON: "text/x-python",
    manifests.JAVASCRIPT: "text/javascript",
    "wasm": "application/wasm",
    "wat": "text/x-wat",
}
"""The media type in which a proxy receives the code of a language."""
SOURCES = (".rs", ".c", ".go", ".as.ts")
"""Endings of sources that `headrace udf build` compiles."""
KINDS = ("document", "query", "result", "hit")
"""Kinds of the input of a case."""
SECONDS = 30.0
"""Seconds for one case: the limits of the UDF end it earlier."""


@dataclass(frozen=True)
class UdfFile:
    """A UDF that the engine has compiled."""

    manifest: Manifest
    code: bytes
    catalog: Catalog
    body: dict[str, Any] | None = None
    """What is uploaded in place of the code, where a decorator says more than the code."""

    @property
    def media_type(self) -> str:
        """The media type of the code."""
        return MEDIA[self.manifest.language]


def load(file: Path) -> UdfFile:
    """Compiles the UDF of a file. Raises InvalidError with the line of what is wrong, and OSError."""
    if file.name.endswith(SOURCES):
        raise InvalidError(f"{file.name} is not compiled yet: `headrace udf build {file.name}` writes its module")
    code = file.read_bytes()
    language = _binary(file) or manifests.LANGUAGE_OF_SUFFIX.get(file.suffix, manifests.PYTHON)
    if language in manifests.FROM_SOURCE:
        _check_text(code, file)
    facts = _declared(code, file) if language == manifests.PYTHON else {}
    if facts:
        facts = {"name": name_of(file, code), **facts, "language": language, "source": code.decode()}
        return of_manifest(facts)
    return _compiled(manifests.raw(code, name_of(file, code), "", language), code, None)


def of_manifest(facts: dict[str, Any]) -> UdfFile:
    """Compiles the UDF of a manifest that has its code in it, as `PUT /_udf` takes it. Raises InvalidError."""
    manifest, code, _ = manifests.parse(msgspec.json.encode(facts), facts["name"])
    return _compiled(manifest, code, facts)


def _compiled(manifest: Manifest, code: bytes, body: dict[str, Any] | None) -> UdfFile:
    catalog = Catalog()
    started(catalog.udf(manifest, code, b"{}", "source"), "source")
    return UdfFile(manifest, code, catalog, body)


def _declared(code: bytes, file: Path) -> dict[str, Any]:
    """What the decorator of a Python UDF says. Raises InvalidError with its position."""
    try:
        return declared(code.decode(errors="replace"), file.name)
    except ProjectError as error:
        raise InvalidError(str(error)) from None


def _check_text(content: bytes, file: Path) -> str:
    """The text of a file. Raises InvalidError for one that is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidError(f"{file} is not UTF-8: {error.reason} at byte {error.start}") from None


def _binary(file: Path) -> str:
    return file.suffix[1:] if file.suffix in (".wasm", ".wat") else ""


def name_of(file: Path, code: bytes) -> str:
    """The name in the header of the code, or that of the file."""
    named = manifests.headers(code.decode(errors="replace")).get("name")
    return named if isinstance(named, str) else file.stem


def cases_of(file: Path) -> Path:
    """The file of the cases of a UDF."""
    return file.with_suffix(".cases.json")


def read_cases(path: Path) -> list[dict[str, Any]]:
    """The cases of a file. Raises InvalidError with what is wrong and where, and OSError."""
    try:
        cases: Any = json.loads(_check_text(path.read_bytes(), path))
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{path} is not JSON: {error}") from None
    if not isinstance(cases, list):
        raise InvalidError(f"{path} must be a list of cases")
    for i, case in enumerate(cases):
        if (reason := _fault(case)) is not None:
            raise InvalidError(f"{path}: {reason}", f"[{i}]")
    return cases


def _fault(case: Any) -> str | None:
    """Why something is no case, or None."""
    if not isinstance(case, dict):
        return "a case must be an object with input and expected"
    if "input" not in case:
        return "the case has no input"
    if (kind := case.get("as", "document")) not in KINDS:
        return f"[{kind}] is no kind of input: there are {', '.join(KINDS)}"
    if not isinstance(case.get("parameters", {}), dict):
        return "parameters must be an object"
    return None


def fits(found: Any, expected: Any) -> bool:
    """Whether an output is what a case expects."""
    if isinstance(expected, dict) and isinstance(found, dict) and set(expected) == set(found) == {"error"}:
        return str(expected["error"]) in str(found["error"])
    return bool(found == expected)


def run(udf: UdfFile, case: dict[str, Any]) -> tuple[Any, list[str]]:
    """The output of the UDF for the input of a case, and the lines that it logs."""
    given = msgspec.Raw(msgspec.json.encode(case.get("parameters", {})))
    parameters = manifests.bind_parameters(udf.manifest, given, "parameters")
    compiled = udf.catalog.udf(udf.manifest, udf.code, parameters, "source")
    kind, text = case.get("as", "document"), msgspec.json.encode(case["input"])
    if kind == "hit":
        response = Batch.of("result", b'{"hits":{"hits":[' + text + b"]}}", trial=True)
        batch = response.hits()
    else:
        batch = Batch.of(kind, text, trial=True)
    done = batch.run_udf(
        compiled, Deadline(SECONDS), abort=True, pipeline="", stage=udf.manifest.name, metadata=udf.manifest.metadata
    )
    return _outcome(batch), [line for _, _, line in done.logs]


def _outcome(batch: Batch) -> Any:
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
