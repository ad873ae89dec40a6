"""Problems for people and for machines: text, JSON, annotations of GitHub, SARIF."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headrace.project.problems import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.project.problems import Problem

FORMATS = ("text", "json", "github", "sarif")
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
_RULE = "headrace/validate"


def render(problems: Sequence[Problem], form: str, prefix: str = "") -> str:
    """The problems in one of the formats; without problems, text and annotations are empty.

    `prefix`: the path of the directory in its repository, for what names files of the repository.
    """
    match form:
        case "json":
            return json.dumps([shown(each) for each in problems], indent=2, ensure_ascii=False)
        case "github":
            return "\n".join(_annotation(each, prefix) for each in problems)
        case "sarif":
            return json.dumps(_sarif(problems, prefix), indent=2, ensure_ascii=False)
        case _:
            return "\n".join(_text(each) for each in problems)


def _text(problem: Problem) -> str:
    return f"{problem}\n  hint: {problem.hint}" if problem.hint else str(problem)


def _annotation(problem: Problem, prefix: str) -> str:
    """A workflow command; `%`, line ends, and in properties `:` and `,` are escaped."""
    text = f"{problem.reason}{f' ({problem.field})' if problem.field else ''}"
    if problem.hint:
        text += f"\nhint: {problem.hint}"
    file = _escaped(prefix + problem.file).replace(":", "%3A").replace(",", "%2C")
    return f"::error file={file},line={problem.line},col={problem.column},title=headrace::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _sarif(problems: Sequence[Problem], prefix: str) -> dict[str, Any]:
    driver = {"name": "headrace", "rules": [{"id": _RULE, "name": "Validate"}]}
    return {
        "$schema": _SARIF,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": [_sarif_result(each, prefix) for each in problems]}],
    }


def _sarif_result(problem: Problem, prefix: str) -> dict[str, Any]:
    hint = f" Hint: {problem.hint}" if problem.hint else ""
    field = f" ({problem.field})" if problem.field else ""
    region = {"startLine": problem.line, "startColumn": problem.column}
    location = {"artifactLocation": {"uri": prefix + problem.file}, "region": region}
    return {
        "ruleId": _RULE,
        "level": "error",
        "message": {"text": f"{problem.reason}{field}.{hint}"},
        "locations": [{"physicalLocation": location}],
    }
