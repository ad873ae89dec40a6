"""What this process has seen of rollouts: their windows, and the sums that the metrics and the API show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.execution.rollouts.window import Side, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from headrace.execution.rollouts.shadow.shadow import FreshCounts
    from headrace_pipelines import Execution
    from headrace_pipelines.registry.rollouts.running import RunningRollout

ROLES = ("stable", "candidate")


@dataclass
class Watched:
    """One rollout: its window, and what both versions did since it began."""

    pipeline: str
    versions: tuple[str, str]
    window: Window = field(default_factory=Window)
    sums: Window = field(default_factory=Window)

    def add(self, role: str, execution: Execution, documents: int, dropped: int, *, timed: bool) -> None:
        """Adds a run of the `stable` or the `candidate` version; `timed`: its time is compared."""
        failures = min(documents, execution.failures + execution.tolerated)
        for window in (self.window, self.sums):
            side: Side = getattr(window, role)
            duration = execution.duration_ns if timed and window is self.window else None
            side.add(documents, failures, dropped, duration)

    def add_shadow(self, fresh: FreshCounts) -> None:
        """Adds inputs that a shadow has compared."""
        for window in (self.window, self.sums):
            window.add_compared(fresh.same, fresh.different)
            window.stable.add(fresh.compared, fresh.stable_failed, fresh.stable_dropped, None)
            window.candidate.add(fresh.compared, fresh.candidate_failed, fresh.candidate_dropped, None)


class Windows:
    """The rollouts that this process has seen, by their seeds. For use on the event loop."""

    def __init__(self) -> None:
        self._watched: dict[str, Watched] = {}
        self.drain_shadow: Callable[[str], FreshCounts | None] | None = None
        """Gives what the shadow of a rollout (by its seed) has compared since the last call."""
        self.aborts: dict[str, int] = {}
        """Aborts of this process, by `pipeline|limit`."""

    def of(self, rollout: RunningRollout) -> Watched:
        """What is noted of a rollout."""
        record = rollout.record
        found = self._watched.get(record.seed)
        if found is None:
            found = self._watched[record.seed] = Watched(record.key, (record.stable, record.spec.candidate))
        if self.drain_shadow is not None and (fresh := self.drain_shadow(record.seed)) is not None:
            found.add_shadow(fresh)
        return found

    def keep(self, seeds: Collection[str]) -> None:
        """Forgets all other rollouts."""
        self._watched = {seed: found for seed, found in self._watched.items() if seed in seeds}

    def aborted(self, pipeline: str, limit: str) -> None:
        """Counts an abort by this process."""
        name = f"{pipeline}|{limit}"
        self.aborts[name] = self.aborts.get(name, 0) + 1

    def counts(self) -> dict[str, int]:
        """Documents by `seed|pipeline|version|role|outcome`, aborts by `pipeline|limit`; on any thread."""
        found = dict(self.aborts)
        for seed, watched in self._watched.copy().items():
            for role, version in zip(ROLES, watched.versions, strict=True):
                side: Side = getattr(watched.sums, role)
                facts = {"in": side.documents, "failed": side.failures, "dropped": side.dropped}
                found |= {f"{seed}|{watched.pipeline}|{version}|{role}|{name}": n for name, n in facts.items()}
        return found
