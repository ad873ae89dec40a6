"""Both versions of a pipeline over the documents of a small request, on the event loop."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.execution.rollouts import versions
from headrace.execution.rollouts.splitting import parts_of
from headrace_pipelines import Execution, Run, count_fused

if TYPE_CHECKING:
    from headrace.execution.rollouts.splitting import Part
    from headrace.execution.rollouts.windows import Watched, Windows
    from headrace.ops.runner import Runner, UncountedRuns
    from headrace.registry.live import LiveRegistry
    from headrace_pipelines import Batch, FusedRun, Snapshot
    from headrace_pipelines.registry import Pipeline
    from headrace_pipelines.registry.rollouts.running import RunningRollout


@dataclass
class PartRun:
    """A run of one version over its part of a batch, which is done and not counted yet."""

    pipeline: Pipeline
    watched: Watched
    part: Part
    execution: Execution
    run: Run | FusedRun
    documents: int
    dropped: int

    def count(self) -> None:
        """Counts it, for the window of the rollout, too."""
        if isinstance(self.run, Run):
            self.run.count()
        else:
            self.execution.tolerated = count_fused(self.pipeline, self.run)
        self.watched.add(self.part.role, self.execution, self.documents, self.dropped, timed=self.part.timed)

    def forget(self) -> None:
        """Takes back what was noted of it: it is done anew."""
        if isinstance(self.run, Run):
            self.run.forget()


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
        if self._registry.snapshot is not self._snapshot or versions.waits(self._registry, self._snapshot):
            return None
        return None if rollout.undecided_at(now) else rollout.percent_at(now)

    def attempt(
        self, rollout: RunningRollout, batch: Batch, end: float, uncounted: UncountedRuns
    ) -> list[Execution] | None:
        """Runs both versions over their parts of a batch, which is whole again then; `uncounted` gets what is done.

        `None` where the time is over before all is done, or a newer reading has to be waited for: the batch is spent.
        """
        percent = self.percent(rollout)
        if percent is None:
            return None
        bounds, parts = parts_of(rollout, percent)
        first, second = batch.split(rollout.share, *bounds)
        batches = (first, second, batch)
        executions: list[Execution] = []
        for part in parts:
            if not len(batches[part.at]):
                continue
            run = self._attempt_part(rollout, part, batches[part.at], end)
            if run is None:
                return None
            uncounted.others.append(run)
            executions.append(run.execution)
        batch.join(first)
        batch.join(second)
        return executions

    def _attempt_part(self, rollout: RunningRollout, part: Part, batch: Batch, end: float) -> PartRun | None:
        candidate = part.role == "candidate"
        pipeline = rollout.candidate if candidate else rollout.stable
        live, failed, dropped = batch.counts
        run: Run | FusedRun | None
        # Times that are compared are taken the same way of both versions, of which one may not be fused.
        if pipeline.fused is not None and not part.timed:
            run = self._runner.attempt_fused_in_plan(pipeline, pipeline.fused, batch, end)
            execution = Execution(pipeline.label, run.skipped) if run is not None else None
        else:
            run = self._runner.attempt_in_plan(pipeline, batch, end)
            execution = run.execution if run is not None else None
        if run is None or execution is None:
            return None
        after = batch.counts
        execution.canary, execution.failures = candidate, after[1] - failed
        watched = self._windows.of(rollout)
        return PartRun(pipeline, watched, part, execution, run, live, max(after[2] - dropped, 0))
