"""Runs pipelines off the event loop, bounded in number and time, and ends them when the client is gone."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from headrace_pipelines import (
    Deadline,
    FusedRun,
    RunOptions,
    attempt,
    attempt_fused,
    count_fused,
    execute,
    record_skipped,
    run_uncounted,
)
from headrace_pipelines.errors import OverloadedError
from headrace_pipelines.registry import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from headrace.settings import Settings
    from headrace_pipelines import Batch, Bulk, Execution, FusedPipeline, Run

INLINE_WORK = 3 << 20
"""Maximum of bytes times (stages + 1) for a run of fast built-ins on the event loop: about a millisecond, which is
cheaper than the switch to a thread."""
INLINE_NS = 500_000
"""Maximum cost estimate in nanoseconds of other pipelines for a run on the event loop."""
INLINE_NS_ON_FEW_CORES = 2_000_000
"""The same where a worker has two cores or fewer: a thread would take more from the loop than it gives."""
INLINE_BYTES = 1 << 20
"""Maximum length in bytes of a batch that such pipelines run on the event loop."""
INLINE_SECONDS = 0.005
"""Seconds after which a run on the event loop, or all those of a request, are ended and start again on a thread."""


def _is_safe(pipeline: Pipeline, nbytes: int) -> bool:
    """Whether a run over so many bytes is surely short."""
    return pipeline.inline_safe and nbytes * pipeline.passes <= INLINE_WORK


class Uncounted(Protocol):
    """A run that is done."""

    def count(self) -> object:
        """Counts it."""

    def forget(self) -> object:
        """Takes back what was noted of it: it is done anew."""


class UncountedRuns(msgspec.Struct):
    """Runs of a request on the fast path that are done: they count once it has left.

    `fused`: those of the engine alone. `idle`: pipelines that had nothing to do for so many documents. `others`: runs
    stage by stage, or those that count themselves.
    """

    fused: list[tuple[Pipeline, FusedRun]] = []
    idle: list[tuple[Pipeline, int]] = []
    others: list[Uncounted] = []

    def settle(self, *, sent: bool) -> None:
        """Counts them if the request has left, else forgets them: it is done anew. A second call has no effect."""
        fused, idle, others = self.fused, self.idle, self.others
        self.fused, self.idle, self.others = [], [], []
        for run in others:
            if sent:
                run.count()
            else:
                run.forget()
        if sent:
            for pipeline, fused_run in fused:
                count_fused(pipeline, fused_run)
            for pipeline, documents in idle:
                record_skipped(pipeline, documents)


class ThreadRun(NamedTuple):
    """A run on a thread: `done` is what it gives, `deadline` ends it."""

    done: asyncio.Future[Any]
    deadline: Deadline


class PlannedRun(msgspec.Struct):
    """A pipeline over the documents of a bulk at the targets `keys`, which may be tried on the event loop.

    `idle`: the number of documents where none meets a condition of the pipeline, so that it has nothing to do.
    `measured`: its time counts for the cost estimate, and its conditions have been asked.
    """

    pipeline: Pipeline
    keys: list[int]
    idle: int | None
    measured: bool


class InlinePlan(msgspec.Struct):
    """The runs of a bulk on the event loop, and when they have to end, by `time.monotonic`."""

    runs: list[PlannedRun]
    end: float


class Runner:
    """A pool of threads for batches; the GIL is free while the engine works."""

    def __init__(self, settings: Settings) -> None:
        cores = os.cpu_count() or 2
        workers = settings.threads or max(2, cores)
        self._max_inline_ns = INLINE_NS if cores > 2 * settings.workers else INLINE_NS_ON_FEW_CORES
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="headrace-run")
        self._running = 0
        self.reload(settings)

    def reload(self, settings: Settings) -> None:
        """Another deadline and another queue for the runs to come."""
        self._timeout = settings.seconds("pipeline_timeout")
        self._max_running = self._workers + settings.queue

    @property
    def load(self) -> tuple[int, int]:
        """The batches that run on threads, and those that wait for one."""
        running = min(self._running, self._workers)
        return running, self._running - running

    async def run(
        self,
        pipeline: Pipeline,
        batch: Batch,
        again: Callable[[], Batch],
        options: RunOptions | None = None,
        then: Callable[[Batch], object] | None = None,
    ) -> Execution:
        """Runs `pipeline` over `batch`: on the event loop where that is quickly done, else on a thread.

        `again` makes the same batch once more, for a second beginning where the first took too long.

        Two threads share a large batch where no other is at work.

        `then` gets the batch on the same thread, whose caches and memory it is in. Raises OverloadedError when too many
        batches wait. Cancelling the call ends a running UDF.
        """
        nbytes = batch.nbytes
        done = self._inline(pipeline, batch, again, nbytes, options)
        if done is not None:
            if then is not None:
                then(batch)
            return done
        return await self._on_thread(pipeline, batch, nbytes, options or RunOptions(), then)

    async def _on_thread(
        self,
        pipeline: Pipeline,
        batch: Batch,
        nbytes: int,
        options: RunOptions,
        then: Callable[[Batch], object] | None,
    ) -> Execution:
        threads = 2 if nbytes > INLINE_BYTES and self._running == 0 and self._workers > 1 else 1
        options = replace(options, threads=threads)

        def work(deadline: Deadline) -> Execution:
            start = time.thread_time_ns()
            run = execute(pipeline, batch, deadline, options)
            pipeline.cost.observe(nbytes, threads * (time.thread_time_ns() - start))
            if then is not None:
                then(batch)
            return run

        running = self._submit(work)
        if running is None:
            raise OverloadedError("too many requests wait for their pipelines; try again")
        try:
            execution: Execution = await asyncio.shield(running.done)
        except asyncio.CancelledError:
            running.deadline.cancel()
            raise
        return execution

    def _submit(self, work: Callable[[Deadline], object]) -> ThreadRun | None:
        """Has a thread do some work; `None` when too many wait for one."""
        if self._running >= self._max_running:
            return None
        self._running += 1
        deadline = Deadline(self._timeout)
        # Log lines of the run belong to the request.
        done = asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, work, deadline)
        done.add_done_callback(self._done)
        return ThreadRun(done, deadline)

    def start(self, pipeline: Pipeline, parsed: Bulk, keys: list[int]) -> ThreadRun | None:
        """Runs a pipeline over the documents of a bulk at the targets `keys` on a thread, and takes over what it makes.

        `None` when too many wait for one. What is done is a [`Run`] for the caller to count, or `None` for a bulk that
        has no such document.
        """

        def work(deadline: Deadline) -> Run | None:
            batch = parsed.batch(keys)
            nbytes = batch.nbytes
            if not len(batch):
                return None
            start = time.thread_time_ns()
            run = run_uncounted(pipeline, batch, deadline)
            pipeline.cost.observe(nbytes, time.thread_time_ns() - start)
            try:
                parsed.absorb(batch)
            except BaseException:
                run.forget()
                raise
            return run

        return self._submit(work)

    def _inline(
        self, pipeline: Pipeline, batch: Batch, again: Callable[[], Batch], nbytes: int, options: RunOptions | None
    ) -> Execution | None:
        """The run on the event loop; `None` (and nothing happened) where it belongs on a thread, or took too long."""
        if self._share(pipeline, nbytes) > 1:
            return None
        run = self._attempt(pipeline, batch, options, INLINE_SECONDS)
        if run is None:
            batch.restart(again())
            return None
        run.count()
        return run.execution

    def attempt(self, pipeline: Pipeline, batch: Batch, options: RunOptions | None = None) -> Run | None:
        """The run on the event loop, for the caller to count; `None` where it belongs on a thread, or took too long.

        In the second case `batch` is spent.
        """
        if self._share(pipeline, batch.nbytes) > 1:
            return None
        return self._attempt(pipeline, batch, options, INLINE_SECONDS)

    def attempt_fused(self, pipeline: Pipeline, fused: FusedPipeline, batch: Batch) -> FusedRun | None:
        """The same in one call of the engine."""
        nbytes = batch.nbytes
        if self._share(pipeline, nbytes) > 1:
            return None
        return self._fused(pipeline, fused, batch, INLINE_SECONDS, measured=not _is_safe(pipeline, nbytes))

    def plan(self, parsed: Bulk, groups: Collection[tuple[Pipeline, list[int]]]) -> InlinePlan | None:
        """The runs of pipelines over the documents of a bulk; `None` where not all of them can be on the event loop.

        Nothing has run then: no work is done twice. All of them have the time of one.
        """
        lengths, whole = None, parsed.nbytes
        for pipeline, _ in groups:
            if not _is_safe(pipeline, whole):
                lengths = parsed.nbytes_of([keys for _, keys in groups])
                break
        runs, taken = [], 0.0
        for at, (pipeline, keys) in enumerate(groups):
            measured, idle = lengths is not None and not _is_safe(pipeline, lengths[at]), None
            if (measured or pipeline.fused is None) and pipeline.conditions:
                idle = parsed.ruled_out(keys, pipeline.conditions)
            # Those that are safe for the whole are so together, too: candidates aside, each has a part of its own.
            if idle is None and lengths is not None:
                taken += self._share(pipeline, lengths[at])
                if taken > 1:
                    return None
            runs.append(PlannedRun(pipeline, keys, idle, measured))
        return InlinePlan(runs, time.monotonic() + INLINE_SECONDS)

    def attempt_planned(self, planned: PlannedRun, fused: FusedPipeline, parsed: Bulk, end: float) -> FusedRun | None:
        """A run of a plan in one call of the engine; `None` where the time of the plan is over before it is done."""
        left = end - time.monotonic()
        return self._fused(planned.pipeline, fused, parsed, left, planned.keys, measured=planned.measured)

    def attempt_in_plan(self, pipeline: Pipeline, batch: Batch, end: float) -> Run | None:
        """The same stage by stage; `batch` is spent where the time is over."""
        seconds = end - time.monotonic()
        return self._attempt(pipeline, batch, None, seconds) if seconds > 0 else None

    def attempt_fused_in_plan(
        self, pipeline: Pipeline, fused: FusedPipeline, batch: Batch, end: float
    ) -> FusedRun | None:
        """The same in one call of the engine."""
        left = end - time.monotonic()
        return self._fused(pipeline, fused, batch, left, measured=not _is_safe(pipeline, batch.nbytes))

    def _fused(
        self,
        pipeline: Pipeline,
        fused: FusedPipeline,
        documents: Batch | Bulk,
        seconds: float,
        keys: list[int] | None = None,
        *,
        measured: bool,
    ) -> FusedRun | None:
        """A run in one call of the engine, which has `seconds` left, if any; `None` for one that is late.

        `measured`: it counts for the cost estimate.
        """
        if seconds <= 0:
            return None
        is_due = measured and pipeline.cost.is_due()
        start = time.thread_time_ns() if is_due else 0
        run = attempt_fused(fused, documents, min(self._timeout, seconds), keys, asked=measured)
        is_slow = measured and run.duration_ns > self._max_inline_ns
        counts = is_slow and pipeline.cost.is_slow_again()
        if is_due and run.nbytes:
            pipeline.cost.observe(run.nbytes, time.thread_time_ns() - start)
        elif counts:
            # The wall clock counts a wait for a core, too; a run here has INLINE_SECONDS at most.
            pipeline.cost.observe(run.nbytes, min(run.duration_ns, int(INLINE_SECONDS * 1e9)))
        if run.late and measured:
            pipeline.cost.avoid_loop()
        return None if run.late else run

    def _share(self, pipeline: Pipeline, nbytes: int) -> float:
        """The part of the event loop's time for runs that one over so many bytes takes; above 1: it is no such run."""
        if _is_safe(pipeline, nbytes):
            return nbytes * pipeline.passes / INLINE_WORK
        if pipeline.may_sleep or nbytes > INLINE_BYTES:
            return float("inf")
        return pipeline.cost.predict(nbytes) / self._max_inline_ns

    def _attempt(self, pipeline: Pipeline, batch: Batch, options: RunOptions | None, seconds: float) -> Run | None:
        nbytes = batch.nbytes
        measured = not _is_safe(pipeline, nbytes)
        start = time.thread_time_ns() if measured else 0
        run = attempt(pipeline, batch, Deadline(min(self._timeout, seconds)), options)
        if measured:
            pipeline.cost.observe(nbytes, time.thread_time_ns() - start)
        return run

    def _done(self, run: asyncio.Future[Any]) -> None:
        self._running -= 1
        if not run.cancelled():
            run.exception()

    def close(self) -> None:
        """Ends the pool; running batches are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
