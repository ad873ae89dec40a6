"""Statistics of pipelines, per version and stage. Counted per batch, never per document.

Every process counts for itself; [`merged`] adds up what several of them dumped, histograms included, and [`shown`]
turns the sum into what the API answers. So percentiles are true over all workers, not averages of percentiles.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines.engine import Histogram, RunTally, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace_pipelines.engine import StageRun

LAST_ERRORS = 10
"""Number of error samples that a version of a pipeline keeps."""
MAX_FAILURE_TYPES = 32
"""Number of types of errors that a version of a pipeline counts apart: UDFs name their own. Others: `REST_OF_TYPES`."""
REST_OF_TYPES = "other"
"""The type under which errors are counted beyond that number."""
Counts = list[tuple[int, int]]
"""A histogram's recorded values in µs, each with its count."""


class ErrorSample(msgspec.Struct):
    """A failure: when, where, why, and the shape (names and types, no values) of the document."""

    time: str
    stage: str
    type: str
    reason: str
    document: str


class StageCounts(msgspec.Struct):
    """Counts of one stage (or UDF); documents in, fuel in points, memory in bytes."""

    name: str
    executions: int = 0
    failures: int = 0
    skips: int = 0
    retries: int = 0
    documents: int = 0
    dropped: int = 0
    changed: int = 0
    expanded: int = 0
    fuel: int = 0
    memory_peak: int = 0
    durations: Counts = []
    breaker_opened: int = 0
    """How often the breaker of its UDF has opened."""
    breaker_open: int = 0
    """The processes in which it is open."""


SUMMED = (
    "executions",
    "failures",
    "skips",
    "retries",
    "documents",
    "dropped",
    "changed",
    "expanded",
    "fuel",
    "breaker_opened",
    "breaker_open",
)


class PipelineCounts(msgspec.Struct):
    """Counts of one version of a pipeline; `last` in seconds since the epoch.

    `failures_by_type`: failed documents by stage and type of the error.
    """

    total: int = 0
    failed: int = 0
    current: int = 0
    documents: int = 0
    out: int = 0
    dropped: int = 0
    document_failures: int = 0
    retries: int = 0
    skips: int = 0
    last: float = 0.0
    durations: Counts = []
    stages: list[StageCounts] = []
    errors: list[ErrorSample] = []
    failures_by_type: dict[str, dict[str, int]] = {}


PIPELINE_SUMMED = (
    "total",
    "failed",
    "current",
    "documents",
    "out",
    "dropped",
    "document_failures",
    "retries",
    "skips",
)

Summable = StageCounts | PipelineCounts


class StageStats:
    """The counts of a stage or a UDF in this process; may be used from several threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.tally = Tally()
        """Where the engine counts, too. Each call of it is one step under the GIL."""

    def add(self, run: StageRun) -> None:
        """Counts one batch."""
        self.tally.add(run)

    def skip(self, documents: int) -> None:
        """Counts documents that the stage did not see: condition not met, disabled, past the deadline."""
        self.tally.skip(documents)

    def retry(self, documents: int) -> None:
        """Counts documents that are tried again."""
        self.tally.retry(documents)

    def dump(self) -> StageCounts:
        """The counts now."""
        runs, documents, costs, durations = self.tally.dump()
        return StageCounts(self._name, *runs, *documents, *costs, durations)


class PipelineStats:
    """The counts of one version of a pipeline in this process; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.tally = RunTally()
        """Its runs, where the engine counts, too. Each call of it is one step under the GIL."""
        self._stages: dict[str, StageStats] = {}
        self._errors: deque[ErrorSample] = deque(maxlen=LAST_ERRORS)
        self._failures: dict[tuple[str, str], int] = {}

    @property
    def runs(self) -> int:
        """The number of finished runs."""
        return self.tally.runs

    def start_run(self) -> None:
        """Counts a run in progress."""
        self.tally.start()

    def forget(self) -> None:
        """Takes back [`start_run`]: the run starts again on a thread."""
        self.tally.forget()

    def end(self, duration_ns: int, documents: int, out: int, dropped: int, failures: int) -> None:
        """Counts a finished run; it failed if any of its documents ended as an error."""
        self.tally.end(duration_ns, documents, out, dropped, failures)

    def stage(self, name: str) -> StageStats:
        """The counts of one stage."""
        found = self._stages.get(name)
        if found is None:
            with self._lock:
                found = self._stages.setdefault(name, StageStats(name))
        return found

    def errors(self, stage: str, run: StageRun) -> None:
        """Keeps the last errors of a stage's run, and counts its failures by type.

        A run has samples of its errors only: where it has more failures, they are of the types of the samples, the
        rest of the last one's.
        """
        if run.errors:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            with self._lock:
                for _, kind, reason, shape in run.errors[-LAST_ERRORS:]:
                    self._errors.append(ErrorSample(now, stage, kind, reason[:500], shape))
                for _, kind, _, _ in run.errors:
                    self._count_failures(stage, kind, 1)
                self._count_failures(stage, run.errors[-1][1], max(run.failures - len(run.errors), 0))

    def _count_failures(self, stage: str, kind: str, count: int) -> None:
        key = stage, kind
        if key not in self._failures and len(self._failures) >= MAX_FAILURE_TYPES:
            key = stage, REST_OF_TYPES
        self._failures[key] = self._failures.get(key, 0) + count

    def dump(self) -> PipelineCounts:
        """The counts now."""
        (total, failed, current), documents, last, durations = self.tally.dump()
        dumped = PipelineCounts(total, failed, current, *documents, last=last, durations=durations, failures_by_type={})
        with self._lock:
            stages = list(self._stages.values())
            dumped.errors = list(self._errors)
            for (stage_name, kind), count in self._failures.items():
                dumped.failures_by_type.setdefault(stage_name, {})[kind] = count
        dumped.stages = [stage.dump() for stage in stages if stage.tally.used]
        dumped.skips = sum(stage.skips for stage in dumped.stages)
        dumped.retries = sum(stage.retries for stage in dumped.stages)
        return dumped


def merged(parts: Iterable[PipelineCounts]) -> PipelineCounts:
    """The sum of what several processes counted for the same version of a pipeline."""
    total = PipelineCounts(durations=[], stages=[], errors=[], failures_by_type={})
    stages: dict[str, list[StageCounts]] = {}
    for part in parts:
        _add(total, part, PIPELINE_SUMMED)
        total.last = max(total.last, part.last)
        total.durations = total.durations + part.durations
        total.errors = total.errors + part.errors
        for name, types in part.failures_by_type.items():
            counts = total.failures_by_type.setdefault(name, {})
            for kind, count in types.items():
                counts[kind] = counts.get(kind, 0) + count
        for stage in part.stages:
            stages.setdefault(stage.name, []).append(stage)
    total.stages = [merged_stages(name, found) for name, found in stages.items()]
    total.errors = sorted(total.errors, key=lambda e: e.time)[-LAST_ERRORS:]
    return total


def merged_stages(name: str, parts: Iterable[StageCounts]) -> StageCounts:
    """The sum of what several processes (or versions) counted for the same stage or UDF."""
    total = StageCounts(name, durations=[])
    for part in parts:
        _add(total, part, SUMMED)
        total.memory_peak = max(total.memory_peak, part.memory_peak)
        total.durations = total.durations + part.durations
    return total


def _add(total: Summable, part: Summable, fields: Iterable[str]) -> None:
    for field in fields:
        setattr(total, field, getattr(total, field) + getattr(part, field))


def shown(counts: PipelineCounts) -> dict[str, Any]:
    """As the `_stats` API shows it; durations in ms, percentiles true to three digits."""
    last = datetime.fromtimestamp(counts.last, UTC).isoformat(timespec="milliseconds") if counts.last else None
    return {
        "total_executions": counts.total,
        "successful_executions": counts.total - counts.failed,
        "failed_executions": counts.failed,
        "current": counts.current,
        "documents_in": counts.documents,
        "documents_out": counts.out,
        "documents_dropped": counts.dropped,
        "documents_failed": counts.document_failures,
        "retries": counts.retries,
        "skips": counts.skips,
        "fuel": sum(stage.fuel for stage in counts.stages),
        "memory_peak_bytes": max((stage.memory_peak for stage in counts.stages), default=0),
        **_durations(counts.durations),
        "last_executed": last,
        "stage_stats": [shown_stage(stage) for stage in counts.stages],
        "last_errors": [msgspec.to_builtins(error) for error in counts.errors],
    }


def shown_stage(counts: StageCounts) -> dict[str, Any]:
    """A stage or a UDF as the `_stats` API shows it; durations in ms."""
    return {
        "name": counts.name,
        "executions": counts.executions,
        "documents_in": counts.documents,
        "documents_changed": counts.changed,
        "documents_dropped": counts.dropped,
        "documents_expanded": counts.expanded,
        "failures": counts.failures,
        "skips": counts.skips,
        "retries": counts.retries,
        "fuel": counts.fuel,
        "memory_peak_bytes": counts.memory_peak,
        **_durations(counts.durations),
        **_breaker(counts),
    }


def _breaker(counts: StageCounts) -> dict[str, Any]:
    """Shown once it has opened."""
    if not counts.breaker_opened:
        return {}
    return {"breaker": {"opened": counts.breaker_opened, "open_in_workers": counts.breaker_open}}


def _durations(counts: Counts) -> dict[str, float]:
    histogram = Histogram()
    histogram.add(counts)
    return {
        "average_duration_ms": round(histogram.mean_ms, 4),
        "p50_duration_ms": histogram.quantile_ms(0.50),
        "p95_duration_ms": histogram.quantile_ms(0.95),
        "p99_duration_ms": histogram.quantile_ms(0.99),
    }
