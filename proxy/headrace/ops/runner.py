"""Runs pipelines off the event loop, bounded in number and time, and ends them when the client is gone."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace_pipelines import Deadline, RunOptions, attempt, attempt_fused, execute
from headrace_pipelines.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.settings import Settings
    from headrace_pipelines import Batch, Bulk, Execution, FusedPipeline, FusedRun, Run
    from headrace_pipelines.registry import Pipeline

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
"""Seconds after which a run on the event loop is ended and starts again on a thread."""


def _is_safe(pipeline: Pipeline, nbytes: int) -> bool:
    """Whether a run over so many bytes is surely short."""
    return pipeline.inline_safe and nbytes * (len(pipeline.nodes) + 1) <= INLINE_WORK


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
        deadline = Deadline(self._timeout)
        threads = 2 if nbytes > INLINE_BYTES and self._running == 0 and self._workers > 1 else 1
        options = replace(options, threads=threads)

        def work() -> Execution:
            start = time.thread_time_ns()
            run = execute(pipeline, batch, deadline, options)
            pipeline.cost.observe(nbytes, threads * (time.thread_time_ns() - start))
            if then is not None:
                then(batch)
            return run

        if self._running >= self._max_running:
            raise OverloadedError("too many requests wait for their pipelines; try again")
        self._running += 1
        loop = asyncio.get_running_loop()
        # Log lines of the run belong to the request.
        running = loop.run_in_executor(self._pool, copy_context().run, work)
        running.add_done_callback(self._done)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            deadline.cancel()
            raise

    def _inline(
        self, pipeline: Pipeline, batch: Batch, again: Callable[[], Batch], nbytes: int, options: RunOptions | None
    ) -> Execution | None:
        """The run on the event loop; `None` (and nothing happened) where it belongs on a thread, or took too long."""
        if not self._is_short(pipeline, nbytes):
            return None
        run = self._attempt(pipeline, batch, nbytes, options)
        if run is None:
            batch.restart(again())
            return None
        run.count()
        return run.execution

    def attempt(self, pipeline: Pipeline, batch: Batch, options: RunOptions | None = None) -> Run | None:
        """The run on the event loop, for the caller to count; `None` where it belongs on a thread, or took too long.

        In the second case `batch` is spent.
        """
        nbytes = batch.nbytes
        return self._attempt(pipeline, batch, nbytes, options) if self._is_short(pipeline, nbytes) else None

    def attempt_fused(
        self, pipeline: Pipeline, fused: FusedPipeline, documents: Batch | Bulk, keys: list[int] | None = None
    ) -> FusedRun | None:
        """The same in one call of the engine; of a bulk the documents at the targets `keys`, which it has back then."""
        nbytes = documents.nbytes
        measured = not _is_safe(pipeline, nbytes)
        if measured and not self._is_short(pipeline, nbytes):
            return None
        start = time.thread_time_ns() if measured else 0
        run = attempt_fused(fused, documents, min(self._timeout, INLINE_SECONDS), keys)
        if measured and run.nbytes:
            pipeline.cost.observe(run.nbytes, time.thread_time_ns() - start)
        return None if run.late else run

    def _is_short(self, pipeline: Pipeline, nbytes: int) -> bool:
        """Whether a run over so many bytes may be tried on the event loop."""
        if _is_safe(pipeline, nbytes):
            return True
        if pipeline.may_sleep or nbytes > INLINE_BYTES:
            return False
        return pipeline.cost.predict(nbytes) <= self._max_inline_ns

    def _attempt(self, pipeline: Pipeline, batch: Batch, nbytes: int, options: RunOptions | None) -> Run | None:
        measured = not _is_safe(pipeline, nbytes)
        start = time.thread_time_ns() if measured else 0
        run = attempt(pipeline, batch, Deadline(min(self._timeout, INLINE_SECONDS)), options)
        if measured:
            pipeline.cost.observe(nbytes, time.thread_time_ns() - start)
        return run

    def _done(self, run: asyncio.Future[Execution]) -> None:
        self._running -= 1
        if not run.cancelled():
            run.exception()

    def close(self) -> None:
        """Ends the pool; running batches are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
