"""Differences for people: between two texts side by side, and between two values member by member."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import jsonpatch
import msgspec
from jsonpointer import JsonPointer, JsonPointerException

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT = 3
"""Lines that are shown before and after a change."""
MOST_CHANGES = 200
"""Changes of a value that are listed; more are counted."""
LONGEST_VALUE = 2000
"""Characters of a value that are shown."""
Side = Literal["same", "changed", "added", "removed", "gap"]


@dataclass(frozen=True)
class Row:
    """A line of two texts: numbers from 1 (0: there is none), texts, and its kind."""

    kind: Side
    left_number: int
    left: str
    right_number: int
    right: str


def side_by_side(before: str, after: str) -> list[Row]:
    """The lines of two texts; long parts that are the same are left out, with a gap in their place."""
    left, right = before.splitlines(), after.splitlines()
    rows: list[Row] = []
    end = (0, 0)
    for group in difflib.SequenceMatcher(None, left, right, autojunk=False).get_grouped_opcodes(CONTEXT):
        if (group[0][1], group[0][3]) != end:
            rows.append(Row("gap", 0, "", 0, ""))
        for tag, i1, i2, j1, j2 in group:
            rows += _rows(tag, left, right, (i1, i2, j1, j2))
            end = (i2, j2)
    if rows and end != (len(left), len(right)):
        rows.append(Row("gap", 0, "", 0, ""))
    return rows


def _rows(tag: str, left: list[str], right: list[str], at: tuple[int, int, int, int]) -> Iterator[Row]:
    i1, i2, j1, j2 = at
    for k in range(max(i2 - i1, j2 - j1)):
        has_left, has_right = i1 + k < i2, j1 + k < j2
        kind: Side = "same" if tag == "equal" else "changed"
        if not has_left or not has_right:
            kind = "removed" if has_left else "added"
        yield Row(
            kind,
            i1 + k + 1 if has_left else 0,
            left[i1 + k] if has_left else "",
            j1 + k + 1 if has_right else 0,
            right[j1 + k] if has_right else "",
        )


@dataclass(frozen=True)
class MemberChange:
    """A member that differs: its path, and its values as JSON; `None` where it is not there."""

    path: str
    before: str | None
    after: str | None


def member_changes(before: Any, after: Any) -> tuple[list[MemberChange], int]:
    """The members that differ between two values, and how many more there are than are listed."""
    found: list[MemberChange] = []
    operations = jsonpatch.JsonPatch.from_diff(before, after, dumps=_dumped).patch
    for operation in operations[:MOST_CHANGES]:
        path = str(operation["path"])
        if operation["op"] == "move":
            source = str(operation["from"])
            found.append(
                MemberChange(f"{_readable(source)} → {_readable(path)}", _at(before, source), _at(after, path))
            )
            continue
        old = None if operation["op"] == "add" else _at(before, path)
        new = None if operation["op"] == "remove" else _shown(operation["value"])
        found.append(MemberChange(_readable(path), old, new))
    return found, max(len(operations) - MOST_CHANGES, 0)


def _readable(path: str) -> str:
    return ".".join(part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]) or "(the whole)"


def _at(value: Any, path: str) -> str | None:
    try:
        return _shown(JsonPointer(path).resolve(value))
    except JsonPointerException:
        return None


def parse(text: str | bytes) -> Any:
    """A value of JSON whose numbers keep their digits. Raises ValueError."""
    return json.loads(text, parse_float=Decimal)


def value_text(value: Any) -> str:
    """A value of [`parse`] for people: JSON with indentation, its numbers with all their digits."""
    return msgspec.json.format(_ENCODER.encode(_encodable(value)), indent=2).decode()


_ENCODER = msgspec.json.Encoder(decimal_format="number")
_LARGEST = (1 << 63) - 1
"""The largest integer that msgspec writes as one."""


def _encodable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _encodable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_encodable(each) for each in value]
    is_large = isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST
    return Decimal(value) if is_large else value


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _shown(value: Any) -> str:
    text = _dumped(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)
