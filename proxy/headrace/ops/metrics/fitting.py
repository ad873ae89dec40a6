"""Counts of values that did not fit the mapping of their index (`fit_mapping`)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

REASONS = (
    "conflict",
    "name",
    "object_for_scalar",
    "read_only",
    "scalar_for_object",
    "too_deep",
    "too_long",
    "too_many_fields",
    "too_many_nested",
    "unknown_field",
    "unparsable",
)
"""Why a value does not fit, as the engine names it."""
MAX_INDEXES, MAX_PATHS = 200, 200
"""Maximum numbers of indexes, and of fields of each, that are counted by their own: the rest is counted as one."""
MAX_NAME = 256
"""Characters of a path that are kept: clients choose the names of fields."""
REST = "*"
"""Stands for the indexes, or fields, that are not counted by their own."""

Fields = dict[str, dict[str, dict[str, int]]]
"""Counts by index, field and reason."""


class FittingCounts:
    """The values that did not fit, since the process began."""

    def __init__(self) -> None:
        self.reasons = dict.fromkeys(REASONS, 0)
        self.read_unknown: Callable[[], dict[str, int]] = dict
        self._fields: Fields = {}
        self._lock = threading.Lock()

    def add(self, found: Iterable[tuple[str, str, str, int]]) -> None:
        """Counts values by index, path, reason and number; called on any thread."""
        with self._lock:
            for index, path, reason, count in found:
                self.reasons[reason] += count
                fields = self._fields.setdefault(_bounded(self._fields, index, MAX_INDEXES), {})
                reasons = fields.setdefault(_bounded(fields, path[:MAX_NAME], MAX_PATHS), {})
                reasons[reason] = reasons.get(reason, 0) + count

    def copied(self) -> Fields:
        """The counts by index, field and reason; called on any thread."""
        return {
            index: {path: dict(reasons) for path, reasons in fields.copy().items()}
            for index, fields in self._fields.copy().items()
        }


def _bounded(counted: Mapping[str, object], name: str, most: int) -> str:
    return name if name in counted or len(counted) < most else REST


def add_fields(total: Fields, part: Fields) -> None:
    """Adds counts by index, field and reason to others."""
    for index, fields in part.items():
        for path, reasons in fields.items():
            mine = total.setdefault(index, {}).setdefault(path, {})
            for reason, count in reasons.items():
                mine[reason] = mine.get(reason, 0) + count
