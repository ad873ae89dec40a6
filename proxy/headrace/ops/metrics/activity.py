"""What pipelines and surfaces did in a span of time: differences of counts, and sums of them over workers.

Durations are kept in buckets that are at most 1/16 wide, so a percentile of them is right to 6 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headrace_pipelines.stats import Counts, PipelineCounts, StageCounts

FINE_BITS = 4
"""Bits of a duration behind its first one that a bucket keeps: 16 buckets for each doubling."""

K = TypeVar("K", int, str)

Durations = dict[int, int]
"""Counts by the number of the bucket."""
Errors = dict[str, dict[str, int]]
"""Failed documents by stage and type of the error."""


def history_bucket(microseconds: int) -> int:
    """The number of the bucket that a duration is in."""
    shift = max(microseconds.bit_length() - FINE_BITS - 1, 0)
    return (shift << FINE_BITS) + (microseconds >> shift)


def upper_bound(bucket: int) -> int:
    """The longest duration in µs that is in a bucket."""
    shift = max((bucket >> FINE_BITS) - 1, 0)
    return (((bucket - (shift << FINE_BITS)) + 1) << shift) - 1


def in_history_buckets(counts: Counts) -> Durations:
    """A histogram's records in µs, in buckets."""
    found: Durations = {}
    for value, count in counts:
        bucket = history_bucket(value)
        found[bucket] = found.get(bucket, 0) + count
    return found


def quantile_ms(durations: Durations, share: float) -> float:
    """The duration in ms that a share (0 to 1) of the records does not exceed; 0 without records."""
    wanted, total = share * sum(durations.values()), 0
    for bucket in sorted(durations):
        total += durations[bucket]
        if total >= wanted:
            return upper_bound(bucket) / 1000
    return 0.0


class Activity(msgspec.Struct, array_like=True):
    """What a stage did: runs over a batch, documents, fuel in points."""

    runs: int = 0
    documents: int = 0
    failures: int = 0
    dropped: int = 0
    fuel: int = 0
    durations: Durations = {}

    def quantile_ms(self, share: float) -> float:
        """A percentile of the durations of runs in ms; 0 without runs."""
        return quantile_ms(self.durations, share)


class PipelineActivity(Activity, array_like=True):
    """What a version of a pipeline did; `failures` are documents."""

    stages: dict[str, Activity] = {}
    errors: Errors = {}


class SurfaceActivity(msgspec.Struct, array_like=True):
    """Requests of a surface, by class of status."""

    statuses: dict[str, int] = {}
    durations: Durations = {}

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(self.statuses.values())

    @property
    def errors(self) -> int:
        """Those that were answered with 5xx."""
        return self.statuses.get("5xx", 0)

    def quantile_ms(self, share: float) -> float:
        """A percentile of the durations of requests in ms; 0 without requests."""
        return quantile_ms(self.durations, share)


class Minute(msgspec.Struct):
    """What happened in the minute that began at `start` (seconds since 1970), and lasted `seconds` so far.

    Pipelines by `type:name@version`.
    """

    start: int
    seconds: float = 60.0
    pipelines: dict[str, PipelineActivity] = {}
    surfaces: dict[str, SurfaceActivity] = {}


def stage_activity(counts: StageCounts) -> Activity:
    """The counts of a stage since the start."""
    durations = in_history_buckets(counts.durations)
    return Activity(counts.executions, counts.documents, counts.failures, counts.dropped, counts.fuel, durations)


def pipeline_activity(counts: PipelineCounts) -> PipelineActivity:
    """The counts of a version of a pipeline since the start."""
    stages = {stage.name: stage_activity(stage) for stage in counts.stages}
    return PipelineActivity(
        counts.total,
        counts.documents,
        counts.document_failures,
        counts.dropped,
        sum(stage.fuel for stage in stages.values()),
        in_history_buckets(counts.durations),
        stages,
        {stage: dict(types) for stage, types in counts.failures_by_type.items()},
    )


def difference(now: PipelineActivity, before: PipelineActivity | None) -> PipelineActivity:
    """What came since `before`; all of it where counting began anew."""
    if before is None or before.runs > now.runs:
        return now
    stages = {name: _stage_difference(stage, before.stages.get(name)) for name, stage in now.stages.items()}
    errors = {name: less(types, before.errors.get(name, {})) for name, types in now.errors.items()}
    return PipelineActivity(
        *_numbers(now, before),
        less(now.durations, before.durations),
        {name: stage for name, stage in stages.items() if stage.runs},
        {name: types for name, types in errors.items() if types},
    )


def _stage_difference(now: Activity, before: Activity | None) -> Activity:
    if before is None or before.runs > now.runs:
        return now
    return Activity(*_numbers(now, before), less(now.durations, before.durations))


def _numbers(now: Activity, before: Activity) -> tuple[int, int, int, int, int]:
    return (
        now.runs - before.runs,
        now.documents - before.documents,
        now.failures - before.failures,
        now.dropped - before.dropped,
        now.fuel - before.fuel,
    )


def less(now: Mapping[K, int], before: Mapping[K, int]) -> dict[K, int]:
    """The counts without those of before; only what is left."""
    return {key: count - before.get(key, 0) for key, count in now.items() if count > before.get(key, 0)}


def more(total: dict[K, int], part: Mapping[K, int]) -> None:
    """Adds counts to `total`."""
    for key, count in part.items():
        total[key] = total.get(key, 0) + count


def summed(parts: Iterable[PipelineActivity]) -> PipelineActivity:
    """The activity of several workers, or of several minutes, of one version or of several."""
    total = PipelineActivity(durations={}, stages={}, errors={})
    for part in parts:
        _add(total, part)
        for name, stage in part.stages.items():
            _add(total.stages.setdefault(name, Activity(durations={})), stage)
        for name, types in part.errors.items():
            more(total.errors.setdefault(name, {}), types)
    return total


def summed_surfaces(parts: Iterable[SurfaceActivity]) -> SurfaceActivity:
    """The activity of a surface in several workers, or of several minutes."""
    total = SurfaceActivity({}, {})
    for part in parts:
        more(total.statuses, part.statuses)
        more(total.durations, part.durations)
    return total


def _add(total: Activity, part: Activity) -> None:
    total.runs += part.runs
    total.documents += part.documents
    total.failures += part.failures
    total.dropped += part.dropped
    total.fuel += part.fuel
    more(total.durations, part.durations)


def merged_minutes(parts: Iterable[list[Minute]]) -> list[Minute]:
    """The minutes of several workers as minutes of the proxy, the earliest first."""
    pipelines: dict[int, dict[str, list[PipelineActivity]]] = {}
    surfaces: dict[int, dict[str, list[SurfaceActivity]]] = {}
    seconds: dict[int, float] = {}
    for minutes in parts:
        for minute in minutes:
            seconds[minute.start] = max(seconds.get(minute.start, 0.0), minute.seconds)
            ours = pipelines.setdefault(minute.start, {})
            for key, activity in minute.pipelines.items():
                ours.setdefault(key, []).append(activity)
            theirs = surfaces.setdefault(minute.start, {})
            for surface, requests in minute.surfaces.items():
                theirs.setdefault(surface, []).append(requests)
    return [
        Minute(
            start,
            seconds[start],
            {key: summed(found) for key, found in sorted(pipelines[start].items())},
            {surface: summed_surfaces(found) for surface, found in sorted(surfaces[start].items())},
        )
        for start in sorted(seconds)
    ]
