"""A bound on how many things of a kind are made in a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Rate:
    """A bucket that fills evenly: `admit` says how many may be made now. `now`: a clock in seconds."""

    def __init__(self, per_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._at = now()
        self._per_second = self._left = max(per_second, 1.0)

    def adopt(self, per_second: float) -> None:
        """Sets another bound."""
        self._per_second = max(per_second, 1.0)
        self._left = min(self._left, self._per_second)

    def admit(self, wanted: int) -> int:
        """How many of the wanted ones may be made; they count as made."""
        at = self._now()
        self._left = min(self._per_second, self._left + (at - self._at) * self._per_second)
        self._at = at
        admitted = min(wanted, int(self._left))
        self._left -= admitted
        return admitted
