"""How long the runs of a pipeline take, learnt from those that were: where the next one runs depends on it."""

from __future__ import annotations

FIXED = 4096
"""Bytes of documents that take about as long as all that a run costs whatever their number."""
FORGET = 0.1
"""How much of the difference a faster run makes up; a slower one counts at once."""


class CostEstimate:
    """CPU time per byte of documents, in nanoseconds: the slowest run, slowly forgotten."""

    def __init__(self) -> None:
        self._ns: float | None = None

    def observe(self, nbytes: int, ns: int) -> None:
        """Takes in a run over `nbytes` of documents that took `ns` of CPU time."""
        new = ns / (nbytes + FIXED)
        slowest = self._ns
        self._ns = new if slowest is None or new > slowest else slowest + (new - slowest) * FORGET

    def predict(self, nbytes: int) -> float:
        """Nanoseconds that a run over `nbytes` will take; infinite before the first."""
        return float("inf") if self._ns is None else self._ns * (nbytes + FIXED)
