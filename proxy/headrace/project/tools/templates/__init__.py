"""What `headrace udf new` writes: the same UDF in every language, its cases, and what editors and compilers need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from headrace.project.udf_file import cases_of
from headrace_pipelines.definition import check_name
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.udf import stubs


class Language(NamedTuple):
    """A language: the ending of its files, its template, and the file that its editor or compiler needs."""

    ending: str
    template: str
    stub: str = ""


LANGUAGES = {
    "python": Language(".py", "python"),
    "js": Language(".js", "javascript", "headrace.d.ts"),
    "rust": Language(".rs", "rust"),
    "c": Language(".c", "c", "headrace.h"),
    "go": Language(".go", "go"),
    "tinygo": Language(".go", "go"),
    "as": Language(".as.ts", "assemblyscript"),
    "wat": Language(".wat", "wat"),
}
"""By the name of the option `--lang`."""
CASES = [
    {"name": "marks what it has seen", "input": {"a": 1}, "expected": {"a": 1, "seen": "headrace"}},
    {"name": "takes a parameter", "input": {}, "parameters": {"by": "me"}, "expected": {"seen": "me"}},
]
FOLDER = Path(__file__).parent


def write(name: str, language: str, folder: Path) -> list[Path]:
    """Writes a UDF, its cases and what its language needs; returns the files.

    `language`: a key of LANGUAGES, or empty for that of the ending of `name`; Python without an ending. Raises
    InvalidError for a name that exists in any language: both files would be the same UDF.
    """
    found = LANGUAGES[language] if language else _by_ending(name)
    stem = name.removesuffix(found.ending)
    check_name(stem)
    present = [path for each in LANGUAGES.values() if (path := folder / f"{stem}{each.ending}").exists()]
    if present:
        raise InvalidError(f"{present[0].name} exists already, and both files would be the UDF [{stem}]")
    file = folder / f"{stem}{found.ending}"
    cases = cases_of(folder / f"{stem}.wasm")
    if cases.exists():
        raise InvalidError(f"{cases.name} exists already")
    written = {file: (FOLDER / f"{found.template}.txt").read_text(), cases: json.dumps(CASES, indent=2) + "\n"}
    if found.stub and not (folder / found.stub).exists():
        written[folder / found.stub] = (stubs.FOLDER / found.stub).read_text()
    for path, text in written.items():
        path.write_text(text)
    return list(written)


def _by_ending(name: str) -> Language:
    for language in LANGUAGES.values():
        if name.endswith(language.ending):
            return language
    if "." in name:
        endings = ", ".join(dict.fromkeys(language.ending for language in LANGUAGES.values()))
        raise InvalidError(f"[{name}] ends like no language; the endings are {endings}")
    return LANGUAGES["python"]
