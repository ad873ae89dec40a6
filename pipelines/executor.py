"""Runs a pipeline over a batch, stage by stage: deadline, failure policy, statistics, trace.

Python decides here; the loops over documents are the engine's and run without the GIL. Call [`execute`] from a thread
when a batch may take long: it blocks until the batch is done or its deadline has passed.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.context import StageContext
from pipelines.definition import FailurePolicy
from pipelines.stages import Composite
from pipelines.stages.base import default_policy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.batch import Batch, Deadline, StageRun
    from pipelines.registry import Pipeline
    from pipelines.stages import CompiledStage, Leaf

udf_log = logging.getLogger("headrace.udf")
LEVELS = {0: logging.DEBUG, 1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}


@dataclass
class Execution:
    """What a run came to. `skipped` names stages that did not do their work; `trace` is filled on request."""

    pipeline: str
    skipped: list[str] = field(default_factory=list)
    trace: list[dict[str, Any]] | None = None
    failures: int = 0
    duration_ns: int = 0


def execute(pipeline: Pipeline, batch: Batch, deadline: Deadline, *, trace: bool = False) -> Execution:
    """Runs `pipeline` over the live documents of `batch`, in place; a disabled pipeline lets them pass."""
    execution = Execution(pipeline.label, trace=[] if trace else None)
    if not pipeline.definition.enabled:
        execution.skipped.append(pipeline.definition.name)
        return execution
    run = _Run(pipeline, batch, deadline, execution)
    before = batch.live
    start = time.monotonic_ns()
    pipeline.stats.begin()
    try:
        run.start()
    finally:
        execution.duration_ns = time.monotonic_ns() - start
        failed = batch.failed
        dropped = before - batch.live - (failed - run.failed_before)
        execution.failures = failed - run.failed_before
        pipeline.stats.end(execution.duration_ns, before, max(dropped, 0), execution.failures)
    return execution


class _Run:
    """One run in progress."""

    def __init__(self, pipeline: Pipeline, batch: Batch, deadline: Deadline, execution: Execution) -> None:
        self.pipeline = pipeline
        self.batch = batch
        self.deadline = deadline
        self.execution = execution
        self.label = pipeline.label
        self.failed_before = batch.failed
        policy = pipeline.definition.on_failure or default_policy(pipeline.definition.type)
        self.abort = policy is FailurePolicy.ABORT

    def start(self) -> None:
        self.batch.check(self.label)
        if self.pipeline.fault is not None:
            self._refuse(400, self.pipeline.fault.type, f"cannot run: {self.pipeline.fault.reason}")
            return
        timeout = self.pipeline.timeout
        end = time.monotonic() + timeout if timeout is not None else None
        self._stages(self.pipeline.stages, end)

    def _stages(self, stages: Iterable[CompiledStage], end: float | None) -> None:
        for stage in stages:
            if self.batch.live == 0:
                return
            if not stage.enabled:
                self._skip(stage.label, "disabled")
            elif isinstance(stage, Composite):
                self._stages(stage.stages, _sooner(end, stage.timeout))
            else:
                self._leaf(stage, _sooner(end, stage.timeout))

    def _leaf(self, stage: Leaf, end: float | None) -> None:
        left = None if end is None else end - time.monotonic()
        if self.deadline.over or (left is not None and left <= 0):
            self._too_late(stage)
            return
        context = StageContext(self.label, self.deadline, left)
        live = self.batch.live
        run = stage.runner.run(self.batch, context, abort=stage.abort, label=stage.label)
        self.pipeline.stats.stage(stage.label, run)
        self._log(stage, run)
        if run.failures and not stage.abort and run.failures == live:
            self.execution.skipped.append(stage.label)
        self._trace(stage, run)

    def _too_late(self, stage: Leaf) -> None:
        reason = (
            "the request was cancelled"
            if self.deadline.cancelled
            else "the deadline of the stage or pipeline has passed"
        )
        if stage.abort:
            self.batch.fail_all(429, "udf_timeout_exception", reason, self.label, stage.label)
        self._skip(stage.label, reason)

    def _refuse(self, status: int, kind: str, reason: str) -> None:
        if self.abort:
            self.batch.fail_all(status, kind, reason, self.label, "")
        self.execution.skipped.append(self.pipeline.definition.name)

    def _skip(self, label: str, why: str) -> None:
        self.pipeline.stats.skipped(label)
        self.execution.skipped.append(label)
        if self.execution.trace is not None:
            self.execution.trace.append({"stage": label, "status": "skipped", "reason": why})

    def _log(self, stage: Leaf, run: StageRun) -> None:
        for at, level, text in run.logs:
            udf_log.log(LEVELS.get(level, logging.INFO), "%s/%s [%d] %s", self.label, stage.label, at, text)

    def _trace(self, stage: Leaf, run: StageRun) -> None:
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
        if self.batch.outcome(0)[0] in ("live", "finished"):
            entry["output"] = self.batch.document(0)
        if run.errors:
            entry["error"] = {"type": run.errors[0][1], "reason": run.errors[0][2]}
        self.execution.trace.append(entry)


def _sooner(end: float | None, timeout: float | None) -> float | None:
    if timeout is None:
        return end
    mine = time.monotonic() + timeout
    return mine if end is None else min(end, mine)
