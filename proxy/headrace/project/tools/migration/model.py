"""The result of a conversion: stages, comments in the places of what is left, and a line for every part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

CONVERTED, BY_HAND, CANNOT = "converted", "by hand", "cannot"
MOST_CHARACTERS = 4 << 20
"""Maximum of characters of a configuration: the reader holds its tokens in memory."""
DEEPEST = 50
"""Maximum nesting of a configuration: parsers descend by calls."""


class MigrationError(Exception):
    """A configuration that cannot be read at all; `line` from 1."""

    def __init__(self, reason: str, line: int = 1) -> None:
        super().__init__(f"line {line}: {reason}")
        self.reason = reason
        self.line = line


class Unsupported(Exception):  # noqa: N818 - it stands for a report line, not for a defect
    """A part that has no conversion. `status`: BY_HAND where the user can write it, CANNOT otherwise."""

    def __init__(self, reason: str, status: str = BY_HAND, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.line = line


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the report. `reason` is empty where the part is converted without a difference."""

    line: int
    part: str
    status: str
    reason: str = ""

    def text(self, file: str) -> str:
        """`FILE:LINE: status: part: reason`."""
        return f"{file}:{self.line}: {self.status}: {self.part}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Comment:
    """A comment in the place of a part that is not converted."""

    text: str


Stage = dict[str, Any]
Item = Stage | Comment


@dataclass
class Conversion:
    """The pipelines as `(fields, items)`, and the findings in the order of the file."""

    pipelines: list[tuple[dict[str, Any], list[Item]]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether every part is converted."""
        return all(each.status == CONVERTED for each in self.findings)


def native(function: str, name: str = "", **parameters: Any) -> Stage:
    """A stage of a built-in."""
    return {"name": name or function, "type": "native", "config": {"function": function, "parameters": parameters}}


def composite(name: str, items: list[Item]) -> Stage:
    """A stage that holds stages, and comments where parts are left."""
    return {"name": name, "type": "composite", "config": {"stages": items}}


def nothing() -> Stage:
    """A stage that changes nothing: a pipeline and a list of handlers have at least one stage."""
    return native("remove", "nothing", field=[])


def stages_of(items: list[Item]) -> list[Stage]:
    """The stages without comments, at every level."""
    result = []
    for item in items:
        if isinstance(item, Comment):
            continue
        inner = item["config"].get("stages")
        if inner is not None:
            kept = stages_of(inner)
            item = {**item, "config": {"stages": kept}}
        result.append(item)
    return result


def unique(items: list[Item], names: set[str]) -> None:
    """Gives every stage at every level a name of its own."""
    for item in items:
        if isinstance(item, Comment):
            continue
        base, number = item["name"], 2
        while item["name"] in names:
            item["name"], number = f"{base}-{number}", number + 1
        names.add(item["name"])
        unique(item["config"].get("stages", []), names)
        if isinstance(item.get("on_failure"), list):
            unique(item["on_failure"], names)
