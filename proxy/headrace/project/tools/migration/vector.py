"""Configurations of Vector: a chain of `remap` and `filter` transforms as a document pipeline."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from headrace.project.source import Source
from headrace.project.tools.migration.compiled import refusal
from headrace.project.tools.migration.model import (
    BY_HAND,
    CANNOT,
    CONVERTED,
    Comment,
    Conversion,
    Finding,
    Item,
    MigrationError,
    Unsupported,
    composite,
    native,
    nothing,
)
from headrace.project.tools.migration.vrl import Program, condition_of

_MOST_TRANSFORMS = 500
"""Maximum of transforms of a configuration."""
_MOST_SECTIONS = 100
"""Maximum of sections: the line of each is searched in the text."""
_OPTIONS = {
    "remap": {"type", "inputs", "source", "drop_on_error", "drop_on_abort"},
    "filter": {"type", "inputs", "condition"},
}


def convert(text: str) -> Conversion:
    """The transforms in the order of their inputs. Raises MigrationError, and ProjectError for no YAML."""
    config, conversion = _loaded(text), Conversion()
    items: list[Item] = []
    for section in ("sources", "sinks"):
        for name in _table(config, section):
            reason = "documents come from clients, and go to the cluster of the proxy"
            finding = Finding(line=_line(text, section, name), part=f"{section} {name}", status=CANNOT, reason=reason)
            conversion.findings.append(finding)
    for section in sorted(set(config) - {"sources", "sinks", "transforms"}):
        finding = Finding(line=_line(text, section), part=section, status=CANNOT, reason="has no counterpart")
        conversion.findings.append(finding)
    for name in _chain(_table(config, "transforms")):
        items += _transform(text, name, config["transforms"][name], conversion)
    conversion.pipelines.append(({"type": "document"}, items))
    return conversion


def _loaded(text: str) -> dict[str, Any]:
    try:
        value = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        value = Source.parse(text, "vector.yaml").value
    if isinstance(value, dict) and len(value) > _MOST_SECTIONS:
        raise MigrationError(f"the configuration has more than {_MOST_SECTIONS} sections")
    if not isinstance(value, dict) or not isinstance(value.get("transforms"), dict):
        raise MigrationError("the configuration has no transforms")
    return value


def _table(config: dict[str, Any], section: str) -> dict[str, Any]:
    table = config.get(section) or {}
    if not isinstance(table, dict) or len(table) > _MOST_TRANSFORMS:
        raise MigrationError(f"[{section}] must be a table of at most {_MOST_TRANSFORMS} entries")
    if any(not isinstance(each, dict) for each in table.values()):
        raise MigrationError(f"[{section}] must hold tables")
    return table


def _chain(transforms: dict[str, Any]) -> list[str]:
    """The names in the order of the inputs. Raises MigrationError where they are no single chain."""
    after: dict[str, str] = {}
    first = []
    for name, body in transforms.items():
        inputs = body.get("inputs") or []
        inputs = [inputs] if isinstance(inputs, str) else inputs
        before = [each for each in inputs if each in transforms] if isinstance(inputs, list) else []
        if not before:
            first.append(name)
        elif len(before) > 1 or len(inputs) > 1 or before[0] in after:
            raise MigrationError("the transforms are no single chain: convert a file for each branch")
        else:
            after[before[0]] = name
    if len(first) > 1 or (transforms and not first):
        raise MigrationError("the transforms are no single chain: convert a file for each branch")
    order = first
    while order and order[-1] in after:
        order.append(after[order[-1]])
    if len(order) != len(transforms):
        raise MigrationError("the transforms are no single chain: convert a file for each branch")
    return order


def _transform(text: str, name: str, body: dict[str, Any], conversion: Conversion) -> list[Item]:
    kind, line = body.get("type"), _line(text, "transforms", name)
    findings = conversion.findings
    try:
        if kind not in _OPTIONS:
            raise Unsupported(f"there is no conversion of the transform [{kind}]", CANNOT)
        if more := sorted(set(body) - _OPTIONS[kind]):
            raise Unsupported(f"the option [{more[0]}] has no counterpart")
        items, found = (_remap if kind == "remap" else _filter)(text, name, body, line)
        if reason := refusal(items):
            raise Unsupported(f"the engine refuses it: {reason}")
    except Unsupported as error:
        findings.append(Finding(line=error.line or line, part=name, status=error.status, reason=error.reason))
        return [Comment(f"line {line}: {error.status}: {name}: {error.reason}")]
    findings += found
    return items


def _remap(text: str, name: str, body: dict[str, Any], line: int) -> tuple[list[Item], list[Finding]]:
    source = body.get("source")
    if not isinstance(source, str):
        raise Unsupported("the program is in another file: convert it in its place")
    if body.get("drop_on_abort", True) is not True or not isinstance(body.get("drop_on_error", False), bool):
        raise Unsupported("drop_on_abort and drop_on_error have other values than true, and true or false")
    program = Program(source, _first(text, source, line))
    items = program.items()
    if all(isinstance(item, Comment) for item in items):
        return items, program.findings
    whole = composite(name, items)
    whole["on_failure"] = [native("drop", "failed") if body.get("drop_on_error") else nothing()]
    note = "" if body.get("drop_on_error") else "where a statement fails, the changes before it stay, unlike in Vector"
    return [whole], [*program.findings, Finding(line=line, part=name, status=CONVERTED, reason=note)]


def _filter(_text: str, name: str, body: dict[str, Any], line: int) -> tuple[list[Item], list[Finding]]:
    condition = body.get("condition")
    if isinstance(condition, dict) and set(condition) == {"type", "source"} and condition["type"] == "vrl":
        condition = condition["source"]
    if not isinstance(condition, str):
        raise Unsupported("the condition is no VRL", BY_HAND)
    stage = {**native("drop", name), "if": f"!({condition_of(condition.strip())})"}
    return [stage], [Finding(line=line, part=name, status=CONVERTED)]


def _line(text: str, section: str, name: str = "") -> int:
    """The line of a table, in TOML or in YAML; 1 where it is written in another way."""
    lines = text.split("\n")
    toml = re.compile(rf"\s*\[{section}(?:\.[\"']?{re.escape(name)}[\"']?)?\]") if name else None
    start = next((i for i, line in enumerate(lines) if re.match(rf"\[?{section}\b", line)), 0)
    for number, line in enumerate(lines, 1):
        if toml and name and f".{name}" in line and toml.match(line):
            return number
        if name and number > start and re.match(rf"\s+[\"']?{re.escape(name)}[\"']?:", line):
            return number
    return start + 1


def _first(text: str, source: str, line: int) -> int:
    """The line on which a program begins."""
    statement = next((each.strip() for each in source.split("\n") if each.strip()), "")
    skipped = next((i for i, each in enumerate(source.split("\n")) if each.strip()), 0)
    for number, each in enumerate(text.split("\n"), 1):
        if number > line and statement and statement in each:
            return number - skipped
    return line
