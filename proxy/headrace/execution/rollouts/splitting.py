"""Both versions of a pipeline over the documents of a bulk.

A batch is split by the shares of its keys. Where times are compared, the stable version runs over a control of the same
share apart from the rest: batches of one size cost the same for each document, and small ones more than large ones.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from headrace.execution.rollouts.keys import meets_candidate
from headrace.ops.runner import INLINE_BYTES
from headrace_pipelines.registry import key

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.server.request import RequestContext
    from headrace_pipelines import Batch, Execution, RunOptions, Snapshot
    from headrace_pipelines.registry import Pipeline
    from headrace_pipelines.registry.rollouts.running import RunningRollout

HALF = 50.0
"""Percent: a control of the size of the candidate's part fits beside it up to here; above, it is all of the rest."""

REST = 2
"""The position of the rest in a split."""
ALL = 101.0
"""Percent that are more than any share."""


def canary_of(snapshot: Snapshot, pipeline: Pipeline) -> RunningRollout | None:
    """The canary whose stable version a pipeline is, if there is one."""
    if not snapshot.has_rollouts:
        return None
    definition = pipeline.definition
    found = snapshot.rollouts.get(key(definition.type, definition.name))
    return found if found is not None and found.is_canary and found.stable is pipeline else None


@dataclass
class Part:
    """A part of a batch: its position in the split, the version that runs on it, and whether its time is compared."""

    at: int
    role: str
    timed: bool


def parts_of(rollout: RunningRollout, percent: float) -> tuple[tuple[float, float], list[Part]]:
    """Where a batch whose documents have keys of their own is split, in percent, and the parts."""
    if rollout.record.spec.abort_if.p99_ratio is None:
        return (percent, percent), [Part(0, "candidate", False), Part(REST, "stable", False)]
    if percent <= HALF:
        parts = [Part(0, "candidate", True), Part(1, "stable", True), Part(REST, "stable", False)]
        return (percent, 2 * percent), parts
    parts = [Part(0, "candidate", True), Part(1, "candidate", False), Part(REST, "stable", True)]
    return (100.0 - percent, percent), parts


class SplitRun:
    """A run of both versions over one batch of a request, which `make` makes as often as it is asked for."""

    def __init__(
        self, context: RequestContext, rollout: RunningRollout, make: Callable[[], Batch], options: RunOptions
    ) -> None:
        self._context = context
        self._rollout = rollout
        self._make = make
        self._options = options
        self._watched = context.components.rollouts.of(rollout)
        self._bounds, self._parts = self._plan()

    def _plan(self) -> tuple[tuple[float, float], list[Part]]:
        """Where the batch is split, in percent, and the parts."""
        if self._rollout.per_document:
            return parts_of(self._rollout, self._rollout.percent_at(self._context.arrived))
        share = ALL if meets_candidate(self._context, self._rollout) else 0.0
        return (share, share), [Part(0, "candidate", True), Part(REST, "stable", True)]

    async def run(self, absorb: Callable[[Batch], object]) -> list[Execution]:
        """Runs the versions over their parts, and has the batch absorbed as one. Raises OverloadedError."""
        first, second, rest = batches = await self._batches()

        def finish(whole: Batch) -> None:
            whole.join(first)
            whole.join(second)
            absorb(whole)

        executions: list[Execution] = []
        for part in self._parts:
            if len(batches[part.at]):
                # The rest is the last part: on its thread the texts are at hand.
                executions += await self._run_part(part, batches[part.at], finish if part.at == REST else None)
        if executions and not len(rest):
            if first.nbytes + second.nbytes > INLINE_BYTES:
                await asyncio.to_thread(finish, rest)
            else:
                finish(rest)
        return executions

    async def _batches(self) -> tuple[Batch, Batch, Batch]:
        batch = self._make()
        if self._rollout.share.slow or batch.nbytes > INLINE_BYTES:
            return await asyncio.to_thread(self._split, batch)
        return self._split(batch)

    def _split(self, batch: Batch) -> tuple[Batch, Batch, Batch]:
        first, second = batch.split(self._rollout.share, *self._bounds)
        return first, second, batch

    async def _run_part(self, part: Part, batch: Batch, then: Callable[[Batch], object] | None) -> list[Execution]:
        candidate = part.role == "candidate"
        pipeline = self._rollout.candidate if candidate else self._rollout.stable
        (live, _, dropped), after = batch.counts, [0]

        def ended(done: Batch) -> None:
            after[0] = done.counts[2]
            if then is not None:
                then(done)

        execution = await self._context.run_pipeline(pipeline, batch, partial(self._again, part), self._options, ended)
        execution.canary = candidate
        self._watched.add(part.role, execution, live, max(after[0] - dropped, 0), timed=part.timed)
        if candidate and batch.failed and self._rollout.record.spec.fallback == "stable":
            return [execution, await self._fall_back(batch)]
        return [execution]

    def _again(self, part: Part) -> Batch:
        return self._split(self._make())[part.at]

    async def _fall_back(self, batch: Batch) -> Execution:
        """Runs the stable version over what the candidate failed on."""
        slots = set(batch.remove_failed())

        def again() -> Batch:
            whole = self._make()
            whole.keep(slots)
            return whole

        failed = again()
        execution = await self._context.run_pipeline(self._rollout.stable, failed, again, self._options)
        batch.join(failed)
        return execution
