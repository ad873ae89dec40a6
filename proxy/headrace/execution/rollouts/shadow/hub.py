"""The shadows of one process: those of the rollouts in force, and the counts of those that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.execution.rollouts.shadow.searches import Searches
from headrace.execution.rollouts.shadow.shadow import Shadow
from headrace.execution.rollouts.shadow.worker import Worker
from headrace.execution.taps.bounds import HeldBytes
from headrace.execution.taps.watching import Watch

if TYPE_CHECKING:
    from headrace.execution.rollouts.shadow.ends import End
    from headrace.execution.rollouts.shadow.searches import Probe
    from headrace.execution.rollouts.shadow.shadow import FreshCounts
    from headrace.execution.taps.samples import Sample
    from headrace.execution.taps.watching import Choice
    from headrace.ops.metrics.shadows import ShadowCounts
    from headrace.server.request import RequestContext
    from headrace_pipelines import Snapshot
    from headrace_pipelines.udf.catalog import Catalog

MAX_KEPT = 32
"""Shadows whose counts are kept, those that have ended included: each has some 60 kB."""


class Shadows:
    """All shadows of this process. Used on the event loop, but for [`counts`]."""

    def __init__(self, catalog: Catalog, probe: Probe) -> None:
        """`probe` sends the search of a request once more."""
        self.held = HeldBytes()
        self.worker = Worker(catalog, self.held, self._compared)
        self.searches = Searches(probe)
        self._kept: dict[str, Shadow] = {}
        self._open: tuple[Shadow, ...] = ()
        self._snapshot: Snapshot | None = None

    def watch(self, context: RequestContext) -> Watch | None:
        """The observer of a request; `None` where no shadow is in force."""
        registry = context.components.registry
        if registry.state == "none":
            return None
        shadows = self.in_force(registry.snapshot)
        return ShadowWatch(self, context, shadows) if shadows else None

    def in_force(self, snapshot: Snapshot) -> tuple[Shadow, ...]:
        """The shadows of the rollouts in force."""
        if snapshot is not self._snapshot:
            self._adopt(snapshot)
        return self._open

    def _adopt(self, snapshot: Snapshot) -> None:
        found: list[Shadow] = []
        for rollout in snapshot.rollouts.values():
            record = rollout.record
            if rollout.is_canary or record.state != "running":
                continue
            shadow = self._kept.get(record.seed)
            if shadow is None:
                shadow = Shadow(rollout, lambda: self.worker.left)
            shadow.adopt(rollout)
            found.append(shadow)
        for shadow in self._open:
            if shadow not in found:
                self.worker.drop(shadow)
        kept = {**self._kept, **{shadow.seed: shadow for shadow in found}}
        ended = [seed for seed, shadow in kept.items() if shadow not in found]
        for seed in ended[: max(0, len(kept) - MAX_KEPT)]:
            del kept[seed]
        self._kept, self._open, self._snapshot = kept, tuple(found), snapshot

    def drain(self, seed: str) -> FreshCounts | None:
        """What the shadow of a rollout has compared since the last call; `None` for one that there is none of."""
        shadow = self._kept.get(seed)
        return None if shadow is None else shadow.drain()

    def counts(self) -> dict[str, ShadowCounts]:
        """The counts of all shadows by the seeds of their rollouts, on any thread."""
        return {seed: shadow.counts for seed, shadow in self._kept.items()}

    def close(self) -> None:
        """Ends the thread and the searches under way."""
        self.worker.close()
        self.searches.close()

    def offer(self, choice: Choice, samples: list[Sample]) -> None:
        """Queues the kept inputs of a request that is answered."""
        if isinstance(choice, Shadow) and choice in self._open:
            self.worker.add(choice, samples)
        else:
            self.held.add(-sum(sample.nbytes for sample in samples))

    def _compared(self, shadow: Shadow, sample: Sample, candidate: End) -> None:
        self.searches.compared(shadow, sample, candidate)


class ShadowWatch(Watch):
    """The shadows on one request."""

    def __init__(self, hub: Shadows, context: RequestContext, shadows: tuple[Shadow, ...]) -> None:
        super().__init__(context, shadows, hub.held, hub.offer)
        self._searches = hub.searches

    def answered(self) -> None:
        """The request is answered: its inputs can be compared, and its search may be chosen to be sent again."""
        for choice, samples in self.kept.items():
            if isinstance(choice, Shadow):
                self._searches.choose(self._context, choice, samples)
        super().answered()
