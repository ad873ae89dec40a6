"""Runs a pipeline over a batch, stage by stage: condition, deadline, failure policy, statistics, trace.

Python decides here; the loops over documents are the engine's and run without the GIL. Call [`execute`] from a thread
when a batch may take long: it blocks until the batch is done or its deadline has passed. Statistics and log lines are
written at the end, so that an [`attempt`] that was too slow leaves none.

Failures are per document: of a batch some documents may be retried, some handled by other stages, and the rest never
notice. The engine narrows the batch for that, level by level (`wasm-runtime/src/pipeline/scopes.rs`).
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from headrace_pipelines.definition import FailurePolicy, PipelineType
from headrace_pipelines.engine import Batch, PanicException
from headrace_pipelines.errors import EngineError
from headrace_pipelines.executor.report import (
    Execution,
    RunOptions,
    count_condition,
    count_group,
    count_retries,
    count_skips,
    count_stage,
)
from headrace_pipelines.stages import Composite, FusedGroup, StageContext, group_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace_pipelines.engine import Bulk, Deadline, FusedPipeline, FusedRun, StageRun
    from headrace_pipelines.registry import Pipeline
    from headrace_pipelines.stages import CompiledStage, ExecutionUnit, StageNode
    from headrace_pipelines.stages.policy import Retry


def execute(pipeline: Pipeline, batch: Batch, deadline: Deadline, options: RunOptions | None = None) -> Execution:
    """Runs `pipeline` over the live documents of `batch`, in place; a disabled pipeline lets them pass."""
    run = run_uncounted(pipeline, batch, deadline, options)
    run.count()
    return run.execution


def attempt(pipeline: Pipeline, batch: Batch, deadline: Deadline, options: RunOptions | None = None) -> Run | None:
    """A run of `pipeline` over `batch` that is done; `None` where the deadline passes meanwhile: `batch` is spent then.

    It is counted and logged when the caller says so ([`Run.count`], or [`Run.forget`]). For a first try where there is
    no time to wait; what a UDF remembers between documents it keeps.
    """
    run = run_uncounted(pipeline, batch, deadline, options)
    if pipeline.definition.enabled and deadline.over:
        run.forget()
        return None
    return run


def run_uncounted(pipeline: Pipeline, batch: Batch, deadline: Deadline, options: RunOptions | None = None) -> Run:
    """A run of `pipeline` over `batch` that is done, as far as it had time; counted as [`attempt`] says."""
    run = Run(pipeline, batch, deadline, options or _DEFAULTS)
    if not run.open():
        return run
    try:
        run.start()
    except PanicException:
        run.count()
        raise EngineError from None
    except Exception:
        run.count()
        raise
    return run


def attempt_fused(
    pipeline: FusedPipeline,
    documents: Batch | Bulk,
    seconds: float,
    keys: list[int] | None = None,
    *,
    asked: bool = False,
) -> FusedRun:
    """A run by the engine alone, for `seconds` at most: over a batch, or the documents of a bulk at the targets `keys`.

    It is counted by [`count_fused`]. One that is `late` has spent the batch; a bulk is as it was. `asked`: the bulk has
    been asked whether its bytes rule the pipeline out.
    """
    try:
        return (
            pipeline.run(documents, seconds)
            if isinstance(documents, Batch)
            else documents.run(pipeline, keys or [], seconds, asked=asked)
        )
    except PanicException:
        raise EngineError from None


def record_skipped(pipeline: Pipeline, documents: int) -> Execution:
    """Counts a run over so many documents none of which meets any of the pipeline's `conditions`."""
    begun = time.monotonic_ns()
    pipeline.stats.start_run()
    for stage in pipeline.stages:
        count_skips(pipeline, stage.label, documents)
    duration = time.monotonic_ns() - begun
    pipeline.stats.end(duration, documents, documents, 0, 0)
    return Execution(pipeline.label, duration_ns=duration)


_DEFAULTS = RunOptions()


class Run:
    """One run: in progress, or done and not counted yet."""

    def __init__(self, pipeline: Pipeline, batch: Batch, deadline: Deadline, options: RunOptions) -> None:
        self.pipeline = pipeline
        self.batch = batch
        self.deadline = deadline
        self.options = options
        self.label = pipeline.label
        self.execution = Execution(self.label, trace=[] if options.trace else None)
        self.takes_notes = False
        self.closed = pipeline.fails_closed or options.final
        # None of them may hold this run, whose batch would then live until the garbage collector comes.
        self.notes: list[Callable[[], None]] = []

    def open(self) -> bool:
        """Begins; false for a pipeline that is disabled, of which nothing is counted."""
        if not self.pipeline.definition.enabled:
            self.execution.skipped.append(self.pipeline.definition.name)
            return False
        if not self.options.counted:
            self.batch.ignore_breakers()
        self.before = self.batch.counts
        self.begun = time.monotonic_ns()
        self.pipeline.stats.start_run()
        return True

    def start(self) -> None:
        """Runs the stages."""
        try:
            self._start()
        finally:
            self.execution.duration_ns = time.monotonic_ns() - self.begun
            self.after = self.batch.counts
            self.execution.failures = self.after[1] - self.before[1]

    def _start(self) -> None:
        if self.pipeline.fault is not None:
            self.batch.check(self.label)
            self._refuse(400, self.pipeline.fault.type, f"cannot run: {self.pipeline.fault.reason}")
            return
        if self.pipeline.definition.type is not PipelineType.RESULT:
            self._run_all()
        elif self._sift():
            self._run_all()
            if self.execution.hits_passed:
                self.batch.put_back()

    def _run_all(self) -> None:
        timeout = self.pipeline.timeout
        end = time.monotonic() + timeout if timeout is not None else None
        since = self.batch.runs + 1
        # A `_meta` that the client wrote itself stays: the cluster refuses it.
        self.takes_notes = self.pipeline.definition.type is PipelineType.QUERY and not self.batch.has_notes()
        self._stages(self.batch, self.pipeline.units, end)
        if not self.pipeline.stages:
            self.batch.check(self.label)
        self._handle(self.batch, self.pipeline.handlers, since, end)

    def _sift(self) -> bool:
        """Takes hits that cannot be read out of the response; false where the pipeline lets all of it by."""
        closed = self.closed or self.pipeline.protects
        if not closed and any(node.policy.aborts(self.closed) for node in self.pipeline.nodes):
            return True
        found = self.batch.sift(everywhere=closed)
        if closed:
            self.execution.hits_dropped = found or 0
        elif found is None:
            self.execution.skipped.append(self.pipeline.definition.name)
            return False
        else:
            self.execution.hits_passed = found
        return True

    def count(self) -> None:
        """Puts what happened into statistics and log; nothing for a pipeline that is disabled."""
        if not self.pipeline.definition.enabled:
            return
        (live, _, dropped), (left, _, dropped_now) = self.before, self.after
        for note in self.notes:
            note()
        execution = self.execution
        self.pipeline.stats.end(execution.duration_ns, live, left, max(dropped_now - dropped, 0), execution.failures)

    def forget(self) -> None:
        """Discards statistics and log lines of the run."""
        if self.pipeline.definition.enabled:
            self.pipeline.stats.forget()

    def _refuse(self, status: int, kind: str, reason: str) -> None:
        policy = self.pipeline.definition.on_failure
        if policy is not FailurePolicy.CONTINUE and (policy is not None or self.closed):
            self.batch.fail_all(status, kind, reason, self.label, "")
        self.execution.skipped.append(self.pipeline.definition.name)

    def _stages(self, batch: Batch, units: Iterable[ExecutionUnit], end: float | None) -> None:
        for unit in units:
            if not isinstance(unit, FusedGroup):
                self._run_single(batch, unit, end)
            elif self.execution.trace is None and not self._is_late(end):
                self._run_fused(batch, unit, end)
            else:
                # A trace shows stage after stage, and which of them came too late is said of each.
                for stage in unit.nodes:
                    self._run_single(batch, stage, end)
            if self.takes_notes:
                batch.take_notes()

    def _run_single(self, batch: Batch, stage: CompiledStage, end: float | None) -> None:
        if self.execution.trace is not None or isinstance(stage, Composite) or stage.needs_check:
            batch.check(self.label)
        if batch.live == 0:
            return
        if not stage.enabled:
            self._skip(batch, stage.label, "disabled")
        elif isinstance(stage, Composite):
            self._composite(batch, stage, _sooner(end, stage.timeout))
        else:
            self._node(batch, stage, _sooner(end, stage.timeout))

    def _run_fused(self, batch: Batch, unit: FusedGroup, end: float | None) -> None:
        """Stages without time limit, retries or handlers of their own, in one pass."""
        left = None if end is None else max(end - time.monotonic(), 0.0)
        threads, start = self.options.threads, time.monotonic_ns() if self.options.timed else 0
        counts = batch.run_steps(
            unit.steps, self.deadline, closed=self.closed, pipeline=self.label, timeout=left, threads=threads
        )
        if start:
            ran_stages = [(stage, ran) for stage, (*_, ran) in zip(unit.nodes, counts, strict=True) if ran is not None]
            self.execution.time_group(ran_stages, start)
        self.notes.append(partial(count_group, self.pipeline, unit, counts, options=self.options))
        for stage, (reached, asked, ran) in zip(unit.nodes, counts, strict=True):
            failures = (ran.failures if ran is not None else 0) or (asked.failures if asked is not None else 0)
            if failures and not stage.policy.aborts(self.closed):
                self.execution.tolerated += failures
                if failures == reached:
                    self.execution.skipped.append(stage.label)

    def _composite(self, batch: Batch, stage: Composite, end: float | None) -> None:
        since = batch.runs + 1
        if stage.condition is not None:
            held = stage.policy.aborts(self.closed) or bool(stage.handlers)
            self._condition_run(stage, batch.enter_if(stage.condition, self.deadline, held, self.label, stage.label))
        try:
            self._stages(batch, stage.units, end)
        finally:
            if stage.condition is not None:
                batch.leave()
        self._handle(batch, stage.handlers, since, end)

    def _node(self, batch: Batch, stage: StageNode, end: float | None) -> None:
        if not stage.runner.per_hit:
            self._run_node(batch, stage, end)
            return
        everywhere = stage.runner.everywhere or self.options.final
        for depth in range(batch.hit_depth(everywhere), -1, -1):
            hits = batch.hits(depth, everywhere=everywhere, indexes=self.options.indexes)
            if len(hits):
                self._run_node(hits, stage, end)
                batch.absorb_hits(hits, depth, everywhere=everywhere)
            else:
                self.execution.trace_skip(stage.label, "no hits")

    def _run_node(self, batch: Batch, stage: StageNode, end: float | None) -> None:
        abort = stage.policy.aborts(self.closed)
        if self._is_late(end):
            if not stage.needs_check:
                batch.check(self.label)
            self._too_late(batch, stage, abort)
            return
        held = abort or stage.policy.retry is not None or bool(stage.handlers)
        live, since = batch.live, batch.runs + 1
        ran = self._pass(batch, stage, end, held)
        if not ran.failures:
            return
        if stage.policy.retry is not None:
            # A condition that could not be evaluated is the first run after the mark; it is not tried again.
            self._retry(batch, stage, stage.policy.retry, since + (stage.condition is not None), end)
        if stage.handlers:
            self._handle(batch, stage.handlers, since, end)
        elif not abort:
            if held:
                batch.enter_failed(since)
                batch.leave()
            self.execution.tolerated += ran.failures
            if ran.failures == (live if stage.needs_check else ran.documents):
                self.execution.skipped.append(stage.label)

    def _pass(self, batch: Batch, stage: StageNode, end: float | None, held: bool) -> StageRun:
        """The stage once over the documents that meet its condition; gives the run with the failures."""
        if stage.condition is None:
            return self._run(batch, stage, end, held)
        asked = batch.enter_if(stage.condition, self.deadline, held, self.label, stage.label)
        self._condition_run(stage, asked)
        try:
            if batch.live == 0:
                if not asked.failures:
                    self.execution.trace_skip(stage.label, "if is false")
                return asked
            ran = self._run(batch, stage, end, held)
            return ran if ran.failures else asked
        finally:
            batch.leave()

    def _condition_run(self, stage: CompiledStage, asked: StageRun) -> None:
        self.notes.append(partial(count_condition, self.pipeline, stage.label, asked))
        if asked.failures:
            self.execution.trace_failure(stage.label, asked)

    def _run(self, batch: Batch, stage: StageNode, end: float | None, held: bool) -> StageRun:
        left = None if end is None else max(end - time.monotonic(), 0.0)
        context = StageContext(self.label, self.deadline, left)
        start = time.monotonic_ns() if self.options.timed else 0
        run = stage.runner.run(batch, context, abort=held, label=stage.label)
        if start:
            self.execution.time_run(stage, run, start)
        if not run.documents and not stage.needs_check:
            # None of them can be read: the stage did not run.
            return run
        self.notes.append(partial(count_stage, self.pipeline, stage, run, options=self.options))
        self.execution.trace_run(batch, stage, run)
        return run

    def _retry(self, batch: Batch, stage: StageNode, retry: Retry, since: int, end: float | None) -> None:
        delay = retry.delay
        for _ in range(retry.attempts - 1):
            if not self._wait(min(delay, retry.longest), end):
                return
            again = batch.enter_failed(since, classes=retry.classes)
            try:
                if not again:
                    return
                self.notes.append(partial(count_retries, self.pipeline, stage.label, again))
                self._run(batch, stage, end, held=True)
            finally:
                batch.leave()
            delay *= retry.multiplier

    def _wait(self, seconds: float, end: float | None) -> bool:
        """Waits between two attempts; false if the time is over."""
        left = seconds if end is None else min(seconds, end - time.monotonic())
        return left > 0 and self.deadline.sleep(left) and not self._is_late(end)

    def _handle(self, batch: Batch, handlers: tuple[CompiledStage, ...], since: int, end: float | None) -> None:
        """Runs failure handlers over the documents that failed since a mark; those that come through go on."""
        if not handlers or not batch.failed:
            return
        found = batch.enter_failed(since, handler=True)
        try:
            if found:
                self._stages(batch, group_stages(handlers), end)
        finally:
            batch.leave(handled=True)

    def _is_late(self, end: float | None) -> bool:
        return self.deadline.over or (end is not None and time.monotonic() >= end)

    def _too_late(self, batch: Batch, stage: StageNode, abort: bool) -> None:
        reason = (
            "the request was cancelled"
            if self.deadline.cancelled
            else "the deadline of the stage or pipeline has passed"
        )
        self._skip(batch, stage.label, reason)
        if abort:
            batch.fail_all(429, "udf_timeout_exception", reason, self.label, stage.label)

    def _skip(self, batch: Batch, label: str, why: str) -> None:
        self.notes.append(partial(count_skips, self.pipeline, label, batch.live))
        self.execution.skipped.append(label)
        self.execution.trace_skip(label, why)


def _sooner(end: float | None, timeout: float | None) -> float | None:
    if timeout is None:
        return end
    mine = time.monotonic() + timeout
    return mine if end is None else min(end, mine)
