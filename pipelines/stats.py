"""Statistics of pipelines, per version and stage, in this process. Counted per batch, never per document."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.batch import Histogram

if TYPE_CHECKING:
    from pipelines.batch import StageRun

LAST_ERRORS = 10


@dataclass
class StageStats:
    """Counts of one stage; documents in, fuel in points, memory in bytes."""

    name: str
    executions: int = 0
    failures: int = 0
    skips: int = 0
    documents: int = 0
    dropped: int = 0
    changed: int = 0
    fuel: int = 0
    memory_peak: int = 0
    durations: Histogram = field(default_factory=Histogram)

    def add(self, run: StageRun) -> None:
        """Counts one batch."""
        self.executions += 1
        self.failures += run.failures
        self.documents += run.documents
        self.dropped += run.dropped
        self.changed += run.changed
        self.fuel += run.fuel
        self.memory_peak = max(self.memory_peak, run.memory)
        self.durations.record(run.duration_ns)

    def to_json(self) -> dict[str, Any]:
        """As the `_stats` API shows it; durations in ms."""
        return {
            "name": self.name,
            "executions": self.executions,
            "documents_in": self.documents,
            "documents_changed": self.changed,
            "documents_dropped": self.dropped,
            "failures": self.failures,
            "skips": self.skips,
            "fuel": self.fuel,
            "memory_peak_bytes": self.memory_peak,
            **_durations(self.durations),
        }


class PipelineStats:
    """Counts of one version of a pipeline; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = 0
        self._failed = 0
        self._current = 0
        self._documents = 0
        self._dropped = 0
        self._document_failures = 0
        self._last: float | None = None
        self._durations = Histogram()
        self._stages: dict[str, StageStats] = {}
        self._errors: deque[dict[str, Any]] = deque(maxlen=LAST_ERRORS)

    def begin(self) -> None:
        """Counts a run in progress."""
        with self._lock:
            self._current += 1

    def end(self, duration_ns: int, documents: int, dropped: int, failures: int) -> None:
        """Counts a finished run; it failed if any of its documents ended as an error."""
        with self._lock:
            self._current -= 1
            self._total += 1
            self._failed += failures > 0
            self._documents += documents
            self._dropped += dropped
            self._document_failures += failures
            self._last = time.time()
            self._durations.record(duration_ns)

    def stage(self, name: str, run: StageRun) -> None:
        """Counts a stage's run over a batch and keeps its last errors."""
        with self._lock:
            self._stage(name).add(run)
            for _, kind, reason in run.errors[-LAST_ERRORS:]:
                now = datetime.now(UTC).isoformat(timespec="milliseconds")
                self._errors.append({"time": now, "stage": name, "type": kind, "reason": reason[:500]})

    def skipped(self, name: str) -> None:
        """Counts a stage that did not run: disabled, or past the deadline."""
        with self._lock:
            self._stage(name).skips += 1

    def _stage(self, name: str) -> StageStats:
        return self._stages.setdefault(name, StageStats(name))

    def to_json(self) -> dict[str, Any]:
        """As the `_stats` API shows it; durations in ms, percentiles true to three digits."""
        with self._lock:
            last = datetime.fromtimestamp(self._last, UTC).isoformat(timespec="milliseconds") if self._last else None
            return {
                "total_executions": self._total,
                "successful_executions": self._total - self._failed,
                "failed_executions": self._failed,
                "current": self._current,
                "documents_in": self._documents,
                "documents_out": self._documents - self._dropped - self._document_failures,
                "documents_dropped": self._dropped,
                "documents_failed": self._document_failures,
                **_durations(self._durations),
                "last_executed": last,
                "stage_stats": [stage.to_json() for stage in self._stages.values()],
                "last_errors": list(self._errors),
            }


def _durations(histogram: Histogram) -> dict[str, float]:
    return {
        "average_duration_ms": round(histogram.mean_ms, 4),
        "p50_duration_ms": histogram.quantile_ms(0.50),
        "p95_duration_ms": histogram.quantile_ms(0.95),
        "p99_duration_ms": histogram.quantile_ms(0.99),
    }
