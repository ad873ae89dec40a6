"""`${var:NAME}` in the files of a project, from the variables of a target.

A text that is nothing but one variable has the variable's value, a number or a boolean too; in a longer text its value
stands as text. `$${var:NAME}` is the text `${var:NAME}` itself. `${secret:NAME}` stays: the proxy resolves it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.project.problems import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.project.config import Value
    from headrace.project.problems import Problem
    from headrace.project.source import Source

_REFERENCE = re.compile(r"(\$?)\$\{var:([^}]*)\}")
_MARK = "${var:"


@dataclass
class Variables:
    """The variables of a target; `problems` collects references that name none."""

    target: str
    values: Mapping[str, Value]
    problems: list[Problem] = field(default_factory=list)

    def filled(self, source: Source, value: Any = None, path: str = "") -> Any:
        """The value of a file, or a part of it at `path`, with the variables in place."""
        whole = source.value if value is None and not path else value
        if _MARK not in source.text:
            return whole
        return self._filled(source, whole, path)

    def _filled(self, source: Source, value: Any, path: str) -> Any:
        if isinstance(value, str):
            return self._text(source, value, path) if _MARK in value else value
        if isinstance(value, list):
            return [self._filled(source, each, f"{path}[{i}]") for i, each in enumerate(value)]
        if isinstance(value, dict):
            dot = "." if path else ""
            return {name: self._filled(source, each, f"{path}{dot}{name}") for name, each in value.items()}
        return value

    def _text(self, source: Source, text: str, path: str) -> Any:
        whole = _REFERENCE.fullmatch(text)
        if whole is not None and not whole[1]:
            return self._value(source, whole[2], path)

        def found(match: re.Match[str]) -> str:
            if match[1]:
                return match[0][1:]
            value = self._value(source, match[2], path)
            return str(value).lower() if isinstance(value, bool) else str(value)

        return _REFERENCE.sub(found, text)

    def _value(self, source: Source, name: str, path: str) -> Value:
        if name in self.values:
            return self.values[name]
        where = f"target [{self.target}]" if self.target else "no target, which"
        hint = nearest(name, self.values) or f'write it as vars = {{ {name} = "…" }} of a target in headrace.toml'
        self.problems.append(source.problem(f"{where} has no variable [{name}]", path, hint))
        return ""
