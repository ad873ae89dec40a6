"""Runs a pipeline over a batch, stage by stage: condition, deadline, failure policy, statistics, trace.

Python decides here; the loops over documents are the engine's and run without the GIL. Call [`execute`] from a thread
when a batch may take long: it blocks until the batch is done or its deadline has passed. Statistics and log lines are
written at the end, so that an [`attempt`] that was too slow leaves none.

Failures are per document: of a batch some documents may be retried, some handled by other stages, and the rest never
notice. The engine narrows the batch for that, level by level (`wasm-runtime/src/pipeline/scopes.rs`).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.batch import PanicException
from pipelines.context import StageContext
from pipelines.definition import FailurePolicy, PipelineType
from pipelines.errors import EngineError
from pipelines.stages import Composite, Together, courses_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pipelines.batch import Batch, Deadline, StageRun
    from pipelines.registry import Pipeline
    from pipelines.stages import CompiledStage, Course, Leaf
    from pipelines.stages.policy import Retry

udf_log = logging.getLogger("headrace.udf")
LEVELS = {0: logging.DEBUG, 1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}


@dataclass(frozen=True)
class Place:
    """Where a pipeline runs.

    `final`: nothing may switch it off, and it fails closed; `indexes`: only hits of these; `threads`: how many may
    share a large batch.
    """

    final: bool = False
    indexes: list[str] | None = None
    trace: bool = False
    counted: bool = True
    threads: int = 1


@dataclass
class Execution:
    """What a run came to. `skipped` names stages that did not do their work; `trace` is filled on request.

    Of a response: `hits_dropped` are hits that cannot be read and were taken out of the answer, since nothing may pass
    a final or protecting pipeline unseen; `hits_passed` are those that other pipelines let by as they are.
    """

    pipeline: str
    skipped: list[str] = field(default_factory=list)
    trace: list[dict[str, Any]] | None = None
    failures: int = 0
    duration_ns: int = 0
    hits_dropped: int = 0
    hits_passed: int = 0


def execute(pipeline: Pipeline, batch: Batch, deadline: Deadline, place: Place | None = None) -> Execution:
    """Runs `pipeline` over the live documents of `batch`, in place; a disabled pipeline lets them pass."""
    run = _Run(pipeline, batch, deadline, place or Place())
    if not pipeline.definition.enabled:
        return run.disabled()
    run.begin()
    try:
        run.start()
    except PanicException:
        raise EngineError from None
    finally:
        run.count()
    return run.execution


def attempt(pipeline: Pipeline, batch: Batch, deadline: Deadline, place: Place | None = None) -> Execution | None:
    """[`execute`], unless the deadline passes meanwhile: then nothing is counted or logged, and `batch` is spent.

    For a first try in a place where there is no time to wait; what a UDF remembers between documents it keeps.
    """
    run = _Run(pipeline, batch, deadline, place or Place())
    if not pipeline.definition.enabled:
        return run.disabled()
    run.begin()
    try:
        run.start()
    except PanicException:
        raise EngineError from None
    finally:
        late = deadline.over
        if late:
            run.forget()
        else:
            run.count()
    return None if late else run.execution


def pass_by(pipeline: Pipeline, documents: int) -> Execution:
    """Counts a run over so many documents none of which meets any of the pipeline's `conditions`."""
    begun = time.monotonic_ns()
    pipeline.stats.begin()
    for stage in pipeline.stages:
        _count_skips(pipeline, stage.label, documents)
    duration = time.monotonic_ns() - begun
    pipeline.stats.end(duration, documents, documents, 0, 0)
    return Execution(pipeline.label, duration_ns=duration)


def fails_closed(kind: PipelineType, place: Place) -> bool:
    """Whether a failure ends the way by default: of documents and in final pipelines; see "When a stage fails"."""
    return kind is PipelineType.DOCUMENT or place.final


class _Run:
    """One run in progress."""

    def __init__(self, pipeline: Pipeline, batch: Batch, deadline: Deadline, place: Place) -> None:
        self.pipeline = pipeline
        self.batch = batch
        self.deadline = deadline
        self.place = place
        self.label = pipeline.label
        self.execution = Execution(self.label, trace=[] if place.trace else None)
        self.takes_notes = False
        self.closed = fails_closed(pipeline.definition.type, place)
        # None of them may hold this run, whose batch would then live until the garbage collector comes.
        self.notes: list[Callable[[], None]] = []

    def disabled(self) -> Execution:
        self.execution.skipped.append(self.pipeline.definition.name)
        return self.execution

    def begin(self) -> None:
        self.before = self.batch.counts
        self.begun = time.monotonic_ns()
        self.pipeline.stats.begin()

    def start(self) -> None:
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
        # What the client itself wrote there is for the cluster, which refuses it.
        self.takes_notes = self.pipeline.definition.type is PipelineType.QUERY and not self.batch.has_notes()
        self._stages(self.batch, self.pipeline.courses, end)
        if not self.pipeline.stages:
            self.batch.check(self.label)
        self._handle(self.batch, self.pipeline.handlers, since, end)

    def _sift(self) -> bool:
        """Takes hits that cannot be read out of the response; false where the pipeline lets all of it by."""
        closed = self.closed or self.pipeline.protects
        if not closed and any(leaf.policy.aborts(self.closed) for leaf in self.pipeline.leaves):
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
        """Puts what happened into statistics and log."""
        self.execution.duration_ns = time.monotonic_ns() - self.begun
        (live, failed, dropped), (left, failed_now, dropped_now) = self.before, self.batch.counts
        failures = self.execution.failures = failed_now - failed
        for note in self.notes:
            note()
        self.pipeline.stats.end(self.execution.duration_ns, live, left, max(dropped_now - dropped, 0), failures)

    def forget(self) -> None:
        """Lets nobody know that there was a run."""
        self.pipeline.stats.forget()

    def _refuse(self, status: int, kind: str, reason: str) -> None:
        policy = self.pipeline.definition.on_failure
        if policy is not FailurePolicy.CONTINUE and (policy is not None or self.closed):
            self.batch.fail_all(status, kind, reason, self.label, "")
        self.execution.skipped.append(self.pipeline.definition.name)

    def _stages(self, batch: Batch, courses: Iterable[Course], end: float | None) -> None:
        for course in courses:
            if not isinstance(course, Together):
                self._alone(batch, course, end)
            elif self.execution.trace is None and not self._is_late(end):
                self._together(batch, course, end)
            else:
                # A trace shows stage after stage, and which of them came too late is said of each.
                for stage in course.leaves:
                    self._alone(batch, stage, end)
            if self.takes_notes:
                batch.take_notes()

    def _alone(self, batch: Batch, stage: CompiledStage, end: float | None) -> None:
        batch.check(self.label)
        if batch.live == 0:
            return
        if not stage.enabled:
            self._skip(batch, stage.label, "disabled")
        elif isinstance(stage, Composite):
            self._composite(batch, stage, _sooner(end, stage.timeout))
        else:
            self._leaf(batch, stage, _sooner(end, stage.timeout))

    def _together(self, batch: Batch, course: Together, end: float | None) -> None:
        """Stages without time limit, retries or handlers of their own, in one pass."""
        left = None if end is None else max(end - time.monotonic(), 0.0)
        threads = self.place.threads
        counts = batch.run_steps(
            course.steps, self.deadline, closed=self.closed, pipeline=self.label, timeout=left, threads=threads
        )
        for stage, (reached, asked, ran) in zip(course.leaves, counts, strict=True):
            if asked is not None:
                self._condition_run(stage, asked)
            if ran is not None:
                self.notes.append(partial(_count_stage, self.pipeline, stage, ran, counted=self.place.counted))
            failures = (ran.failures if ran is not None else 0) or (asked.failures if asked is not None else 0)
            if failures and failures == reached and not stage.policy.aborts(self.closed):
                self.execution.skipped.append(stage.label)

    def _composite(self, batch: Batch, stage: Composite, end: float | None) -> None:
        since = batch.runs + 1
        if stage.condition is not None:
            held = stage.policy.aborts(self.closed) or bool(stage.handlers)
            self._condition_run(stage, batch.enter_if(stage.condition, self.deadline, held, self.label, stage.label))
        try:
            self._stages(batch, stage.courses, end)
        finally:
            if stage.condition is not None:
                batch.leave()
        self._handle(batch, stage.handlers, since, end)

    def _leaf(self, batch: Batch, stage: Leaf, end: float | None) -> None:
        if not stage.runner.per_hit:
            self._one_stage(batch, stage, end)
            return
        everywhere = stage.runner.everywhere or self.place.final
        for depth in range(batch.hit_depth(everywhere), -1, -1):
            hits = batch.hits(depth, everywhere=everywhere, indexes=self.place.indexes)
            if len(hits):
                self._one_stage(hits, stage, end)
                batch.absorb_hits(hits, depth, everywhere=everywhere)
            elif self.execution.trace is not None:
                self.execution.trace.append({"stage": stage.label, "status": "skipped", "reason": "no hits"})

    def _one_stage(self, batch: Batch, stage: Leaf, end: float | None) -> None:
        abort = stage.policy.aborts(self.closed)
        if self._is_late(end):
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
            if ran.failures == live:
                self.execution.skipped.append(stage.label)

    def _pass(self, batch: Batch, stage: Leaf, end: float | None, held: bool) -> StageRun:
        """The stage once over the documents that meet its condition; gives the run with the failures."""
        if stage.condition is None:
            return self._run(batch, stage, end, held)
        asked = batch.enter_if(stage.condition, self.deadline, held, self.label, stage.label)
        self._condition_run(stage, asked)
        try:
            if batch.live == 0:
                if self.execution.trace is not None and not asked.failures:
                    self.execution.trace.append({"stage": stage.label, "status": "skipped", "reason": "if is false"})
                return asked
            ran = self._run(batch, stage, end, held)
            return ran if ran.failures else asked
        finally:
            batch.leave()

    def _condition_run(self, stage: CompiledStage, asked: StageRun) -> None:
        if asked.skipped:
            self.notes.append(partial(_count_skips, self.pipeline, stage.label, asked.skipped))
        if asked.failures:
            self.notes.append(partial(self.pipeline.stats.errors, stage.label, asked))
            self._trace_failure(stage.label, asked)

    def _run(self, batch: Batch, stage: Leaf, end: float | None, held: bool) -> StageRun:
        left = None if end is None else max(end - time.monotonic(), 0.0)
        context = StageContext(self.label, self.deadline, left)
        run = stage.runner.run(batch, context, abort=held, label=stage.label)
        self.notes.append(partial(_count_stage, self.pipeline, stage, run, counted=self.place.counted))
        self._trace(batch, stage, run)
        return run

    def _retry(self, batch: Batch, stage: Leaf, retry: Retry, since: int, end: float | None) -> None:
        delay = retry.delay
        for _ in range(retry.attempts - 1):
            if not self._wait(min(delay, retry.longest), end):
                return
            again = batch.enter_failed(since, classes=retry.classes)
            try:
                if not again:
                    return
                self.notes.append(partial(_count_retries, self.pipeline, stage.label, again))
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
                self._stages(batch, courses_of(handlers), end)
        finally:
            batch.leave(handled=True)

    def _is_late(self, end: float | None) -> bool:
        return self.deadline.over or (end is not None and time.monotonic() >= end)

    def _too_late(self, batch: Batch, stage: Leaf, abort: bool) -> None:
        reason = (
            "the request was cancelled"
            if self.deadline.cancelled
            else "the deadline of the stage or pipeline has passed"
        )
        self._skip(batch, stage.label, reason)
        if abort:
            batch.fail_all(429, "udf_timeout_exception", reason, self.label, stage.label)

    def _skip(self, batch: Batch, label: str, why: str) -> None:
        self.notes.append(partial(_count_skips, self.pipeline, label, batch.live))
        self.execution.skipped.append(label)
        if self.execution.trace is not None:
            self.execution.trace.append({"stage": label, "status": "skipped", "reason": why})

    def _trace(self, batch: Batch, stage: Leaf, run: StageRun) -> None:
        if self.execution.trace is None:
            return
        status = "error" if run.failures else "dropped" if run.dropped else "success"
        entry: dict[str, Any] = {
            "stage": stage.label,
            "status": status,
            "duration_ms": run.duration_ns / 1e6,
            "fuel": run.fuel,
            "memory": run.memory,
            "logs": [text for _, _, text in run.logs],
        }
        outputs = [batch.document(i) for i in range(len(batch)) if batch.outcome(i)[0] in ("live", "finished")]
        if outputs:
            many = len(batch) > 1 or stage.runner.per_hit
            entry["output"] = b"[" + b",".join(outputs) + b"]" if many else outputs[0]
        if run.errors:
            entry["error"] = {"type": run.errors[0][1], "reason": run.errors[0][2]}
        self.execution.trace.append(entry)

    def _trace_failure(self, label: str, run: StageRun) -> None:
        if self.execution.trace is not None:
            error = {"type": run.errors[0][1], "reason": run.errors[0][2]}
            self.execution.trace.append({"stage": label, "status": "error", "error": error})


def _sooner(end: float | None, timeout: float | None) -> float | None:
    if timeout is None:
        return end
    mine = time.monotonic() + timeout
    return mine if end is None else min(end, mine)


def _count_skips(pipeline: Pipeline, label: str, documents: int) -> None:
    pipeline.stats.stage(label).skip(documents)


def _count_retries(pipeline: Pipeline, label: str, documents: int) -> None:
    pipeline.stats.stage(label).retry(documents)


def _count_stage(pipeline: Pipeline, stage: Leaf, run: StageRun, *, counted: bool) -> None:
    pipeline.stats.stage(stage.label).add(run)
    if counted and stage.runner.stats is not None:
        stage.runner.stats.add(run)
    if run.errors:
        pipeline.stats.errors(stage.label, run)
    for at, level, text in run.logs:
        udf_log.log(LEVELS.get(level, logging.INFO), "%s/%s [%d] %s", pipeline.label, stage.label, at, text)
