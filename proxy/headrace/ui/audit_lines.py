"""The last lines of the audit log of this process, in memory."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import msgspec

from headrace.ops.logs.lines import AUDIT

MOST_LINES = 500
"""Number of lines that are kept: a page or five, and some hundred kilobytes."""
LONGEST_LINE = 4096
"""Bytes of the longest line that is kept."""


class AuditLines(logging.Handler):
    """Keeps the lines that the logger `headrace.audit` writes."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[tuple[float, str]] = deque(maxlen=MOST_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        text = record.getMessage()
        if len(text) <= LONGEST_LINE:
            self._lines.append((record.created, text))

    def recent(self) -> list[dict[str, Any]]:
        """The lines, the latest first, each with its `time` in seconds since 1970."""
        found = []
        for created, text in reversed(self._lines):
            try:
                entry = msgspec.json.decode(text)
            except msgspec.DecodeError:
                continue
            if isinstance(entry, dict) and not _is_trial(entry):
                found.append({**entry, "time": created})
        return found

    def attach(self) -> None:
        """Begins to keep lines."""
        logging.getLogger(AUDIT).addHandler(self)

    def detach(self) -> None:
        """Ends it."""
        logging.getLogger(AUDIT).removeHandler(self)


def _is_trial(entry: dict[str, Any]) -> bool:
    """Whether it is about a request that was allowed and changes nothing: a trial run, a look at the settings."""
    method, _, path = str(entry.get("action", "")).partition(" ")
    return int(entry.get("status") or 0) < 400 and (method == "GET" or path.endswith(("/_execute", "/_test", "/_diff")))
