"""Pipeline configurations of Logstash as document pipelines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from headrace.project.tools.migration.compiled import refusal
from headrace.project.tools.migration.logstash.conditions import cel
from headrace.project.tools.migration.logstash.filters import convert as convert_filter
from headrace.project.tools.migration.logstash.parser import Branch, Plugin, parse
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
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_PARTS = 2000
"""Maximum of plugins and conditions of a configuration: each is compiled alone."""
_LONGEST_COMMENT = 40
"""Lines of the configuration that a comment repeats."""
_VARIABLE = re.compile(r"\$\{[A-Za-z_]")
_OUTPUTS = {
    "elasticsearch": "the clients write to the proxy: attach the pipeline with `headrace attach`",
    "opensearch": "the clients write to the proxy: attach the pipeline with `headrace attach`",
}


def convert(text: str) -> Conversion:
    """The filters of a configuration as the stages of a document pipeline. Raises MigrationError."""
    converter = _Converter(text)
    items: list[Item] = []
    for name, parts, _ in parse(text):
        items += converter.items(parts) if name == "filter" else converter.outside(name, parts)
    converter.conversion.pipelines.append(({"type": "document", "on_failure": "continue"}, items))
    return converter.conversion


class _Converter:
    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.conversion = Conversion()
        self.parts = 0

    def items(self, parts: Iterable[Plugin | Branch]) -> list[Item]:
        result: list[Item] = []
        for part in parts:
            result += self.plugin(part) if isinstance(part, Plugin) else self.branch(part)
        return result

    def count(self, line: int) -> None:
        """Counts a plugin or a condition. Raises MigrationError at the limit."""
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise MigrationError(f"the configuration has more than {MOST_PARTS} plugins and conditions", line)

    def report(self, line: int, part: str, status: str, reason: str = "") -> str:
        """Adds a finding; the text of it for a comment."""
        self.count(line)
        self.conversion.findings.append(Finding(line=line, part=part, status=status, reason=reason))
        return f"line {line}: {status}: {part}: {reason}"

    def plugin(self, plugin: Plugin) -> list[Item]:
        try:
            items, notes = convert_filter(plugin)
            if reason := refusal(items):
                raise Unsupported(f"the built-in refuses it: {reason}")
        except Unsupported as error:
            return [self.left(error.line or plugin.line, plugin.name, error, plugin.line, plugin.end)]
        self.report(plugin.line, plugin.name, CONVERTED, "; ".join(notes))
        return items

    def left(self, line: int, part: str, error: Unsupported, first: int, last: int) -> Comment:
        """A comment with the reason and the lines of the configuration."""
        shown = self.lines[first - 1 : min(last, first - 1 + _LONGEST_COMMENT)]
        return Comment("\n".join([self.report(line, part, error.status, error.reason), *shown]))

    def branch(self, branch: Branch) -> list[Item]:
        try:
            conditions = [None if test is None else self.condition(test, line) for test, _, line in branch.cases]
        except Unsupported as error:
            comment = self.left(branch.line, "if", error, branch.line, branch.end)
            for _, parts, _ in branch.cases:
                self.under(parts)
            return [comment]
        if len(branch.cases) == 1:
            return _conditional(str(conditions[0]), self.items(branch.cases[0][1]), f"if-{branch.line}")
        return self.cases(branch, conditions)

    def condition(self, node: Any, line: int) -> str:
        self.count(line)
        text = cel(node)
        if _VARIABLE.search(text):
            raise Unsupported("the condition names an environment variable")
        while text.startswith("(") and _matching(text) == len(text) - 1:
            text = text[1:-1]
        if reason := refusal([{**native("drop"), "if": text}]):
            raise Unsupported(f"the condition is refused: {reason}")
        return text

    def cases(self, branch: Branch, conditions: list[str | None]) -> list[Item]:
        """A composite for each case. A note in the context says that a case ran, as its stages may change fields."""
        mark = f"branch_{branch.line}"
        result: list[Item] = []
        for number, (condition, (_, parts, line)) in enumerate(zip(conditions, branch.cases, strict=True)):
            items = self.items(parts)
            if number < len(branch.cases) - 1:
                items = [native("set", mark, field=f"_ctx.{mark}", value=True), *items]
            tests = [f"ctx.{mark} != true"] if number else []
            tests += [condition if not number else f"({condition})"] if condition else []
            result += _conditional(" && ".join(tests), items, f"if-{line}" if condition else f"else-{line}")
        return result

    def under(self, parts: Iterable[Plugin | Branch]) -> None:
        """Reports what stands under a condition that is not converted."""
        for part in parts:
            if isinstance(part, Plugin):
                self.report(part.line, part.name, BY_HAND, "its condition is not converted")
            else:
                for _, inner, _ in part.cases:
                    self.under(inner)

    def outside(self, section: str, parts: Iterable[Plugin | Branch]) -> list[Item]:
        """Comments for inputs and outputs, which a proxy does not have."""
        result: list[Item] = []
        for part in parts:
            if isinstance(part, Plugin):
                reason = _OUTPUTS.get(part.name, "") if section == "output" else ""
                status = BY_HAND if reason else CANNOT
                reason = reason or f"a proxy has no {section}s: documents come from its clients"
                result.append(Comment(self.report(part.line, f"{section} {part.name}", status, reason)))
            else:
                for _, inner, _ in part.cases:
                    result += self.outside(section, inner)
        return result


def _conditional(condition: str, items: list[Item], name: str) -> list[Item]:
    stages = [item for item in items if not isinstance(item, Comment)]
    if not stages:
        return items
    if len(items) == 1 and "if" not in stages[0]:
        stage = stages[0]
        return [{"name": stage["name"], "type": stage["type"], "if": condition, **stage}]
    whole = composite(name, items)
    return [{"name": name, "type": "composite", "if": condition, **whole}]


def _matching(text: str) -> int:
    """The position of the parenthesis that closes the first; -1 where a text constant makes it unclear."""
    depth, quoted, position = 0, False, 0
    while position < len(text):
        character = text[position]
        if quoted and character == "\\":
            position += 1
        elif character == '"':
            quoted = not quoted
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
            if depth == 0:
                return position
        position += 1
    return -1
