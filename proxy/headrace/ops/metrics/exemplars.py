"""Exemplars: for a bucket of a histogram, the trace of a run or request that is in it. Only the last one is kept."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec

from headrace.ops.metrics.buckets import prometheus_bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace_pipelines import Batch, Execution, RunOptions
    from headrace_pipelines.registry import Pipeline

MAX_SERIES = 2000
"""Number of series that have exemplars: 18 of them at most, about 250 bytes each. Those not seen longest go first."""
MAX_TRACE_ID = 64
"""Characters of a trace id: OpenMetrics allows 128 for the labels of an exemplar, names included."""
REQUESTS, PIPELINES = "headrace_request_duration_seconds", "headrace_pipeline_duration_seconds"
"""The histograms that have exemplars, with labels `(surface,)` and `(type, name, version)`."""


class Exemplar(msgspec.Struct, array_like=True):
    """A measured duration in seconds, its trace, and when it was measured, in seconds since 1970."""

    trace_id: str
    seconds: float
    time: float


Kept = dict[int, Exemplar]
"""By the position of the bucket."""


class Series(msgspec.Struct, array_like=True):
    """The exemplars of a series."""

    histogram: str
    labels: tuple[str, ...]
    kept: Kept


class Exemplars:
    """The last exemplars of this process. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[tuple[str, tuple[str, ...]], Kept] = {}

    def record(
        self, histogram: str, labels: tuple[str, ...], trace_id: str, seconds: float, at: float | None = None
    ) -> None:
        """Keeps a duration with its trace; `at` in seconds since 1970, default: now. For sampled traces."""
        if not trace_id or len(trace_id) > MAX_TRACE_ID:
            return
        key = histogram, labels
        exemplar = Exemplar(trace_id, seconds, time.time() if at is None else at)
        with self._lock:
            kept = self._series.pop(key, None) or {}
            kept[prometheus_bucket(seconds * 1e6)] = exemplar
            self._series[key] = kept
            if len(self._series) > MAX_SERIES:
                del self._series[next(iter(self._series))]

    def dump(self) -> list[Series]:
        """All of them now."""
        with self._lock:
            return [Series(histogram, labels, dict(kept)) for (histogram, labels), kept in self._series.items()]


class TracedRuns:
    """Records the runs of a traced request: an observer of its pipelines (`ops.observers.RunObserver`)."""

    def __init__(self, exemplars: Exemplars, trace_id: str) -> None:
        self._exemplars = exemplars
        self._trace_id = trace_id

    def skip(self, pipeline: Pipeline, documents: int, make: Callable[[], Batch]) -> None:
        """What does not run has no duration."""

    def start(self, pipeline: Pipeline, batch: Batch, again: Callable[[], Batch], options: RunOptions) -> _TracedRun:
        """A pipeline begins to run."""
        definition = pipeline.definition
        labels = definition.type.value, definition.name, definition.version
        return _TracedRun(self._exemplars, labels, self._trace_id)


class _TracedRun:
    """One run of a pipeline."""

    def __init__(self, exemplars: Exemplars, labels: tuple[str, ...], trace_id: str) -> None:
        self._exemplars = exemplars
        self._labels = labels
        self._trace_id = trace_id

    def read(self, batch: Batch) -> None:
        """The duration is all that is recorded."""

    def finish(self, execution: Execution | None) -> None:
        """Records the run, if it has come to its end."""
        if execution is not None:
            self._exemplars.record(PIPELINES, self._labels, self._trace_id, execution.duration_ns / 1e9)


def newest(series: Iterable[Series]) -> dict[tuple[str, tuple[str, ...]], Kept]:
    """The newest exemplar of each bucket of each series."""
    found: dict[tuple[str, tuple[str, ...]], Kept] = {}
    for each in series:
        kept = found.setdefault((each.histogram, each.labels), {})
        for bucket, exemplar in each.kept.items():
            if bucket not in kept or kept[bucket].time < exemplar.time:
                kept[bucket] = exemplar
    return found
