"""The last entries of the audit log of this process, in memory."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from headrace.security import audit

MOST_LINES = 500
"""Number of entries that are kept: five parts of a table."""
LONGEST = 512
"""Characters of a member that are kept."""


class AuditLines:
    """Keeps the entries of the audit log that are about changes."""

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=MOST_LINES)

    def keep(self, entry: dict[str, Any]) -> None:
        """Keeps an entry, with the `time` in seconds since 1970."""
        kept = {name: value if isinstance(value, int) else str(value)[:LONGEST] for name, value in entry.items()}
        self._entries.append({**kept, "time": time.time()})

    def recent(self) -> list[dict[str, Any]]:
        """The entries, the latest first."""
        return list(reversed(self._entries))

    def attach(self) -> None:
        """Begins to keep entries."""
        audit.observers.add(self.keep)

    def detach(self) -> None:
        """Ends it."""
        audit.observers.discard(self.keep)
