"""The options of a run and its report: the execution, its trace, and the statistics of its stages."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace_pipelines.engine import Batch, FusedRun, StageRun
    from headrace_pipelines.registry import Pipeline
    from headrace_pipelines.stages import FusedGroup, StageNode

    Counts = Sequence[tuple[int, StageRun | None, StageRun | None]]

udf_log = logging.getLogger("headrace.udf")
LEVELS = {0: logging.DEBUG, 1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
"""From the log levels of the UDF ABI to those of Python."""


@dataclass(frozen=True)
class RunOptions:
    """Options of one run.

    `final`: nothing may switch it off, and it fails closed; `indexes`: only hits of these; `threads`: how many may
    share a large batch; `timed`: the report says when each stage ran; `logged`: lines of UDFs go to the log; `origin`:
    what observers of the run are told, which the run itself does not read.
    """

    final: bool = False
    indexes: list[str] | None = None
    trace: bool = False
    counted: bool = True
    logged: bool = True
    threads: int = 1
    timed: bool = False
    origin: Any = None


@dataclass(frozen=True)
class StageTime:
    """One run of a stage. `start_ns` is by `time.monotonic_ns`.

    Stages of a fused group share one pass over the documents: they are shown one after the other within it, and their
    durations are scaled to it where several threads shared the work.
    """

    stage: StageNode
    run: StageRun
    start_ns: int
    duration_ns: int


class Execution(msgspec.Struct):
    """The report of a run. `skipped` names stages that did not do their work.

    `trace` and `stages` are filled on request.

    `tolerated`: failures of stages whose documents went on by the policy. `canary`: the version is the candidate of a
    rollout.

    Of a response: `hits_dropped` are hits that cannot be read and were taken out of the answer, since nothing may pass
    a final or protecting pipeline unseen; `hits_passed` are those that other pipelines let by as they are.
    """

    pipeline: str
    skipped: list[str] = []
    trace: list[dict[str, Any]] | None = None
    failures: int = 0
    duration_ns: int = 0
    hits_dropped: int = 0
    hits_passed: int = 0
    tolerated: int = 0
    canary: bool = False
    stages: list[StageTime] = []

    @property
    def is_plain(self) -> bool:
        """Whether every stage did its work on all that came, by the version in force."""
        return not (self.skipped or self.hits_dropped or self.canary)

    def time_run(self, stage: StageNode, run: StageRun, start_ns: int) -> None:
        """Adds the time of a stage that has just ended."""
        self.stages.append(StageTime(stage, run, start_ns, time.monotonic_ns() - start_ns))

    def time_group(self, ran: Sequence[tuple[StageNode, StageRun]], start_ns: int) -> None:
        """Adds the times of a fused group that has just ended."""
        whole = time.monotonic_ns() - start_ns
        scale = min(1.0, whole / max(sum(run.duration_ns for _, run in ran), 1))
        for stage, run in ran:
            duration = int(run.duration_ns * scale)
            self.stages.append(StageTime(stage, run, start_ns, duration))
            start_ns += duration

    def trace_run(self, batch: Batch, stage: StageNode, run: StageRun) -> None:
        """Adds a stage's run to the trace, if there is one."""
        if self.trace is None:
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
        self.trace.append(entry)

    def trace_failure(self, label: str, run: StageRun) -> None:
        """Adds a condition that could not be evaluated."""
        if self.trace is not None:
            error = {"type": run.errors[0][1], "reason": run.errors[0][2]}
            self.trace.append({"stage": label, "status": "error", "error": error})

    def trace_skip(self, label: str, reason: str) -> None:
        """Adds a stage that did not run."""
        if self.trace is not None:
            self.trace.append({"stage": label, "status": "skipped", "reason": reason})


def count_skips(pipeline: Pipeline, label: str, documents: int) -> None:
    """Counts documents that a stage did not see."""
    pipeline.stats.stage(label).skip(documents)


def count_retries(pipeline: Pipeline, label: str, documents: int) -> None:
    """Counts documents that a stage tried again."""
    pipeline.stats.stage(label).retry(documents)


def count_stage(pipeline: Pipeline, stage: StageNode, run: StageRun, options: RunOptions) -> None:
    """Counts a run of a stage, and logs the lines of its UDF."""
    pipeline.stats.stage(stage.label).add(run)
    if options.counted and stage.runner.stats is not None:
        stage.runner.stats.add(run)
    _keep_samples(pipeline, stage, run, logged=options.logged)


def count_fused(pipeline: Pipeline, run: FusedRun) -> int:
    """Counts a run by the engine, and keeps its errors and log lines; gives the failures of stages that went on."""
    telling = run.count()
    if not telling:
        return 0
    tolerated = dict[int, int]()
    # Each of its stages does work, and has no other within.
    for at, stage_run in telling:
        stage = pipeline.nodes[at]
        _keep_samples(pipeline, stage, stage_run, logged=True)
        if stage_run.failures and not stage.policy.aborts(pipeline.fails_closed):
            # What the stage did follows upon what its condition said.
            tolerated[at] = stage_run.failures
    return sum(tolerated.values())


def _keep_samples(pipeline: Pipeline, stage: StageNode, run: StageRun, *, logged: bool) -> None:
    if run.errors:
        pipeline.stats.errors(stage.label, run)
    if not run.logs or not logged:
        return
    stage.runner.keep_lines(pipeline.label, stage.label, run.logs)
    for at, level, text in run.logs:
        udf_log.log(LEVELS.get(level, logging.INFO), "%s/%s [%d] %s", pipeline.label, stage.label, at, text)


def count_condition(pipeline: Pipeline, label: str, asked: StageRun) -> None:
    """Counts what the condition of a stage said."""
    if asked.skipped:
        count_skips(pipeline, label, asked.skipped)
    if asked.failures:
        pipeline.stats.errors(label, asked)


def count_group(pipeline: Pipeline, group: FusedGroup, counts: Counts, options: RunOptions) -> None:
    """Counts a run of stages in one pass: for each how many documents came, what its condition said, what it did."""
    for stage, (_, asked, ran) in zip(group.nodes, counts, strict=True):
        if asked is not None:
            count_condition(pipeline, stage.label, asked)
        if ran is not None:
            count_stage(pipeline, stage, ran, options)
