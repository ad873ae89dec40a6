"""Problems of a project directory: file, line and column, the field, what is wrong, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines.errors import validation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of a project directory.

    `file`: relative to the directory, with `/`. `line` and `column`: from 1. `field`: its path in the file, empty for
    the whole file. `hint`: what to do, or empty.
    """

    file: str
    line: int = 1
    column: int = 1
    field: str = ""
    reason: str = ""
    hint: str = ""

    def __str__(self) -> str:
        """`file:line:column: reason (field)`."""
        field = f" ({self.field})" if self.field else ""
        return f"{self.file}:{self.line}:{self.column}: {self.reason}{field}"

    @property
    def order(self) -> tuple[str, int, int, str]:
        """Sort key: by file and position."""
        return (self.file, self.line, self.column, self.field)


class ProjectError(Exception):
    """A project directory that cannot be used; `problems` says why, at least one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = list(problems)


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint with the nearest of the names that exist, and all of them."""
    listed = sorted(names)
    if not listed:
        return ""
    close = validation.nearest(name, listed)
    meant = f"did you mean [{close}]? " if close else ""
    return f"{meant}there are {', '.join(listed)}"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, by file and position."""
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.order)


def shown(problem: Problem) -> dict[str, Any]:
    """The problem as a JSON object."""
    return {name: getattr(problem, name) for name in Problem.__struct_fields__}
