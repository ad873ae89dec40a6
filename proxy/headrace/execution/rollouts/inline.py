"""Both versions of a pipeline over the documents of a small request, on the event loop."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from headrace.execution.rollouts import versions
from headrace.execution.rollouts.splitting import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.execution.rollouts.windows import Windows
    from headrace.ops.runner import Runner
    from headrace.registry.live import LiveRegistry
    from headrace_pipelines import Batch, Run, Snapshot
    from headrace_pipelines.registry.rollouts.running import RunningRollout


class PartRun(NamedTuple):
    """A run of one version that is done, and what adds it to the window of the rollout."""

    run: Run
    add: Callable[[], None]


class InlineSplits:
    """Runs of the plain rollouts of one snapshot."""

    def __init__(self, registry: LiveRegistry, snapshot: Snapshot, windows: Windows, runner: Runner) -> None:
        self._registry = registry
        self._snapshot = snapshot
        self._windows = windows
        self._runner = runner

    def percent(self, rollout: RunningRollout) -> float | None:
        """The percentage of keys that meet the candidate; `None` where only a newer reading of the registry tells."""
        now = time.time()
        if self._registry.snapshot is not self._snapshot or versions.waits(self._registry):
            return None
        return None if rollout.undecided_at(now) else rollout.percent_at(now)

    def attempt(self, rollout: RunningRollout, batch: Batch, end: float) -> list[PartRun] | None:
        """Runs both versions over their parts of a batch, which is whole again then.

        `None` where the time is over before it is done, or a newer reading has to be waited for: the batch is spent.
        """
        percent = self.percent(rollout)
        if percent is None:
            return None
        bounds, parts = parts_of(rollout, percent)
        first, second = batch.split(rollout.share, *bounds)
        batches, watched = (first, second, batch), self._windows.of(rollout)
        runs: list[PartRun] = []
        for part in parts:
            own = batches[part.at]
            if not len(own):
                continue
            candidate = part.role == "candidate"
            (live, _, dropped) = own.counts
            run = self._runner.attempt_in_plan(rollout.candidate if candidate else rollout.stable, own, end)
            if run is None:
                _forget(runs)
                return None
            run.execution.canary = candidate
            dropped = max(own.counts[2] - dropped, 0)
            runs.append(PartRun(run, partial(watched.add, part.role, run.execution, live, dropped, timed=part.timed)))
        batch.join(first)
        batch.join(second)
        return runs


def _forget(runs: list[PartRun]) -> None:
    for each in runs:
        each.run.forget()
