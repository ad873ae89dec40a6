"""Positions and hints from the engine's words: which parameter a built-in means, which line of a code is at fault."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headrace.project.nodes import Items, Members, Scalar
from headrace.project.problems import Problem, nearest

if TYPE_CHECKING:
    from headrace.project.nodes import Node
    from headrace.project.source import Source
    from headrace_pipelines.errors import InvalidError

_LISTED = re.compile(r"unknown field `([^`]*)`, expected (?:one of )?(.*)")
_MISSING = re.compile(r"missing field `([^`]*)`")
_NAMED = re.compile(r"\[(\w+)\] ")
_QUOTED = re.compile(r"`([^`]*)`")
_LINE = re.compile(r"\(line (\d+)(?:, column (\d+))?\)")
_WAT = re.compile(r"--> <anon>:(\d+):(\d+)")
_CEL = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)")
_LIST = "; there are "


def problem_of(source: Source, error: InvalidError, field: str) -> Problem:
    """The error of a compilation, at its path in the file."""
    whole = bare(error)
    if field.endswith("parameters"):
        return _of_parameters(source, whole, field)
    if field.endswith(".if") and (match := _CEL.search(whole)):
        return _inside(source, field, int(match[1]), int(match[2]), f"is not a CEL expression: {match[3]}")
    if field.endswith(".code") and (match := _LINE.search(whole)):
        return _inside(source, field, int(match[1]), int(match[2] or 1), whole)
    reason, _, listed = whole.partition(_LIST)
    if listed:
        value = reason.partition("[")[2].partition("]")[0]
        return source.problem(reason, field, nearest(value, listed.split(", ")))
    return source.problem(whole, field)


def bare(error: InvalidError) -> str:
    """The reason without the field that stands before it."""
    return error.reason.removeprefix(f"[{error.field}] ") if error.field else error.reason


def _of_parameters(source: Source, reason: str, field: str) -> Problem:
    """What a built-in says of its parameters: mostly it names one."""
    if match := _LISTED.match(reason):
        where = _member(source, field, match[1])
        return source.problem("unknown field", where, nearest(match[1], _QUOTED.findall(match[2])), key=True)
    if match := _MISSING.match(reason):
        return source.problem(f"[{match[1]}] is required", field)
    match = _NAMED.match(reason)
    if match and source.find(f"{field}.{match[1]}") is not None:
        return source.problem(reason[match.end() :], f"{field}.{match[1]}")
    return source.problem(reason, field)


def _member(source: Source, field: str, name: str) -> str:
    """The path of the first member of a name at or below a path."""
    root = source.find(field)
    waiting: list[tuple[Node, str]] = [(root, field)] if root is not None else []
    while waiting:
        node, path = waiting.pop(0)
        if isinstance(node, Members):
            members = [(key.text, value) for key, value in node.pairs if isinstance(key, Scalar)]
            if any(key == name for key, _ in members):
                return f"{path}.{name}"
            waiting += [(value, f"{path}.{key}") for key, value in members]
        elif isinstance(node, Items):
            waiting += [(value, f"{path}[{i}]") for i, value in enumerate(node.items)]
    return field


def _inside(source: Source, field: str, line: int, column: int, reason: str) -> Problem:
    """A position inside of a text: exact in texts of one line, and in blocks after `|`."""
    at = source.locate(field)
    node = source.find(field)
    found = (at.line, at.column)
    if isinstance(node, Scalar):
        first = source.text[node.start : node.start + 1]
        if first == "|":
            lines = source.text.splitlines()
            number = at.line + line
            text = lines[number - 1] if number <= len(lines) else ""
            block = lines[at.line] if at.line < len(lines) else ""
            indent = len(block) - len(block.lstrip())
            found = (number, min(indent + column, len(text) + 1))
        elif line == 1 and first != ">":
            found = (at.line, at.column + column - 1 + (first in ("'", '"')))
    return Problem(file=source.name, line=found[0], column=found[1], field=field, reason=reason)


def in_code(file: str, error: InvalidError) -> Problem:
    """An error of a UDF's code, at the line that it names."""
    reason = bare(error)
    match = _LINE.search(reason) or _WAT.search(reason)
    line, column = (int(match[1]), int(match[2] or 1)) if match else (1, 1)
    return Problem(file=file, line=line, column=column, reason=reason.splitlines()[0])
