"""The cost estimate of a pipeline, from earlier runs: it decides between event loop and thread."""

from __future__ import annotations

FIXED = 4096
"""The fixed cost of a run, as bytes of documents that take the same time."""
MEASURED = 8
"""One in so many runs is timed by the clock of its thread: a system call, which costs as much as some stages."""
SLOW_TURNS = 32
"""Runs within which a second one that is slow by the wall clock counts: the first may have waited for a core."""
FORGET = 0.1
"""Weight of a faster run in the estimate; a slower run replaces the estimate."""


class CostEstimate:
    """CPU time per byte of documents, in nanoseconds: the slowest of the runs that were observed, slowly forgotten."""

    def __init__(self) -> None:
        self._ns: float | None = None
        self._turn = 0
        self._slow_turn = -SLOW_TURNS
        self._avoids_loop = False

    def is_due(self) -> bool:
        """Takes a turn: whether this run is timed by the clock of its thread."""
        self._turn += 1
        return not self._turn % MEASURED or self._ns is None

    def is_slow_again(self) -> bool:
        """Notes that the run of this turn was slow by the wall clock: whether another one was lately.

        One alone may have waited for a core, or for the CPU time that its container is allowed.
        """
        before, self._slow_turn = self._slow_turn, self._turn
        return self._turn - before < SLOW_TURNS

    def observe(self, nbytes: int, ns: int) -> None:
        """Takes in a run over `nbytes` of documents that took `ns` of CPU time, or about that."""
        new = ns / (nbytes + FIXED)
        slowest = self._ns
        self._ns = new if slowest is None or new > slowest else slowest + (new - slowest) * FORGET

    def avoid_loop(self) -> None:
        """Has the next prediction be infinite: a run was ended, and is done again on a thread."""
        self._avoids_loop = True

    def predict(self, nbytes: int) -> float:
        """Nanoseconds that a run over `nbytes` will take; infinite before the first, and after [`avoid_loop`]."""
        if self._avoids_loop:
            self._avoids_loop = False
            return float("inf")
        return float("inf") if self._ns is None else self._ns * (nbytes + FIXED)
