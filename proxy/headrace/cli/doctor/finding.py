"""What a check finds."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Level(enum.StrEnum):
    """How bad it is. Only an error makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"
    """The check could not be made."""


class Finding(NamedTuple):
    """A check, what it found in a sentence, and what to do about it."""

    level: Level
    check: str
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """A finding that needs nothing."""
    return Finding(Level.OK, check, found)
