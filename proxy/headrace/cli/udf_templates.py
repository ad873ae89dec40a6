"""What `headrace udf new` writes: code, cases, and types for editors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from headrace.project.udf_file import cases_of
from headrace_pipelines.definition import check_name
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.udf import stubs

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = '''# @udf: description=What it does, in a line
# @udf: timeout=100ms
from headrace.udf import Document, Params, Result


def process(doc: Document, params: Params) -> Result:
    """Called for every document; what it returns replaces the document, None leaves it as it is."""
    doc["seen"] = params.get("by", "headrace")
    return doc
'''
JAVASCRIPT = """// @udf: description=What it does, in a line
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
TEMPLATES = {".py": PYTHON, ".js": JAVASCRIPT}
STUBS = {".js": stubs.FOLDER / "headrace.d.ts"}
"""Types for editors, written beside the UDF; those of Python are in the package `headrace.udf`."""
CASES = [
    {"name": "marks what it has seen", "input": {"a": 1}, "expected": {"a": 1, "seen": "headrace"}},
    {"name": "takes a parameter", "input": {}, "parameters": {"by": "me"}, "expected": {"seen": "me"}},
]


def write(name: str, folder: Path) -> list[Path]:
    """Writes a UDF, its cases and the types; returns the files. Raises InvalidError for a name that exists."""
    file = folder / (name if name.endswith(tuple(TEMPLATES)) else f"{name}.py")
    check_name(file.stem)
    _refuse_same_name(file)
    written = [(file, TEMPLATES[file.suffix]), (cases_of(file), json.dumps(CASES, indent=2) + "\n")]
    for path, _ in written:
        if path.exists():
            raise InvalidError(f"{path.name} exists already")
    stub = STUBS.get(file.suffix)
    if stub is not None and not (folder / stub.name).exists():
        written.append((folder / stub.name, stub.read_text()))
    for path, text in written:
        path.write_text(text)
    return [path for path, _ in written]


def _refuse_same_name(file: Path) -> None:
    """Raises InvalidError where the folder has a UDF of this name in another language: both would be one UDF."""
    for ending in TEMPLATES:
        twin = file.with_suffix(ending)
        if ending != file.suffix and twin.exists():
            raise InvalidError(f"{twin.name} exists already, and both files would be the UDF [{file.stem}]")
