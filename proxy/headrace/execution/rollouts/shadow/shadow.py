"""The shadow of one rollout in one process: which runs it sees, the share that it keeps, and its counts."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.execution.taps.bounds import Bucket
from headrace.execution.taps.selection import Selection
from headrace.execution.taps.watching import Choice
from headrace.ops.metrics.shadows import ALIKE, ShadowCounts
from headrace.protocol.media.differences import Ignored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.execution.rollouts.shadow.ends import Judged
    from headrace.ops.metrics.shadows import SearchCounts
    from headrace_pipelines.registry import Pipeline
    from headrace_pipelines.registry.rollouts.running import RunningRollout

COPIES = 5000
"""Inputs a second that a shadow keeps, in each worker: a copy takes some four microseconds in the way of its request,
so that copies are two percent of a worker's time."""
MAX_COPIES = 1000
"""Inputs of one run that are kept: they delay its request by some four milliseconds."""


@dataclass
class FreshCounts:
    """Inputs since a moment: those that are alike and those that differ, and how both versions ended."""

    same: int = 0
    different: int = 0
    stable_failed: int = 0
    stable_dropped: int = 0
    candidate_failed: int = 0
    candidate_dropped: int = 0

    def count(self, verdict: str, stable: str, candidate: str) -> None:
        """Counts one input."""
        alike = verdict in ALIKE
        self.same += alike
        self.different += not alike
        self.stable_failed += stable == "failed"
        self.stable_dropped += stable == "dropped"
        self.candidate_failed += candidate == "failed"
        self.candidate_dropped += candidate == "dropped"

    @property
    def compared(self) -> int:
        """All of them."""
        return self.same + self.different


class Room(Bucket):
    """Grants as many inputs as have room in the queue, within a rate; stands for the rate of a tap."""

    def __init__(self, left: Callable[[], int]) -> None:
        super().__init__(COPIES)
        self._room = left

    def grant(self, wanted: int) -> int:
        """How many of the `wanted` inputs are kept."""
        return super().grant(min(wanted, MAX_COPIES, self._room()))


class Shadow(Choice):
    """The shadow of a rollout. Chosen on the event loop; counted on the thread that compares."""

    def __init__(self, rollout: RunningRollout, left: Callable[[], int]) -> None:
        super().__init__(Selection())
        self.rate = Room(left)
        self.ignored = Ignored(rollout.record.spec.ignore)
        self.waiting = 0
        self._lock = threading.Lock()
        self._counts = ShadowCounts()
        self._fresh = FreshCounts()
        self._part = 0.0
        self.adopt(rollout)

    def adopt(self, rollout: RunningRollout) -> None:
        """The rollout as it is now: another step, or versions that were compiled anew."""
        self.rollout, self.record = rollout, rollout.record
        self.candidate = rollout.candidate

    @property
    def seed(self) -> str:
        """The identity of the rollout."""
        return self.record.seed

    def sees(self, pipeline: Pipeline, surface: str) -> bool:
        """Whether a run is one of the stable version."""
        definition, record = pipeline.definition, self.record
        return definition.name == record.name and definition.type is record.type and definition.version == record.stable

    def see(self, count: int) -> int:
        """Counts the share of inputs that the step in force compares, and gives their number."""
        wanted = self._part + count * self.rollout.percent_at(time.time()) / 100
        shared = int(wanted)
        self._part = wanted - shared
        self.seen += shared
        return shared

    def count(self, judged: Iterable[Judged]) -> None:
        """Counts inputs that were compared."""
        with self._lock:
            for each in judged:
                verdict, found = each.comparison.verdict, each.comparison.found
                self._counts.count(verdict, each.candidate.state, list(found))
                self._fresh.count(verdict, each.stable.state, each.candidate.state)

    def drain(self) -> FreshCounts:
        """What was compared since the last call, for the window of the rollout."""
        with self._lock:
            fresh, self._fresh = self._fresh, FreshCounts()
        return fresh

    def count_search(self, found: SearchCounts) -> None:
        """Counts one search that was sent in both forms."""
        with self._lock:
            self._counts.searches.add(found)

    @property
    def counts(self) -> ShadowCounts:
        """The counts now, on any thread."""
        with self._lock:
            counts = self._counts.copy()
        counts.type, counts.name = self.record.type.value, self.record.name
        counts.stable, counts.candidate = self.record.stable, self.record.spec.candidate
        counts.seen, counts.waiting = self.seen, self.waiting
        return counts
