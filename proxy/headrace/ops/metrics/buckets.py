"""The buckets of the histograms for Prometheus, and counts of durations that keep no more than these need."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace_pipelines.stats import Counts

BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper bounds of the buckets, in seconds; one more bucket has what is longer."""
_BOUNDS_US = tuple(round(bound * 1e6) for bound in BOUNDS)


def prometheus_bucket(microseconds: float) -> int:
    """The position of the bucket that a duration is in; `len(BOUNDS)`: the last one."""
    return bisect_left(_BOUNDS_US, microseconds)


def compacted(recorded: Counts) -> Counts:
    """Records with the same counts and sums by bucket: two of them at most stand for all that are in a bucket."""
    counts, sums = in_prometheus_buckets(recorded)
    found: Counts = []
    for count, total in zip(counts, sums, strict=True):
        if count:
            value, above = divmod(total, count)
            found += [(each, many) for each, many in ((value, count - above), (value + 1, above)) if many]
    return found


def in_prometheus_buckets(recorded: Counts) -> tuple[list[int], list[int]]:
    """The counts, and the sums in µs, of each bucket."""
    counts, sums = [0] * (len(BOUNDS) + 1), [0] * (len(BOUNDS) + 1)
    for value, count in recorded:
        bucket = bisect_left(_BOUNDS_US, value)
        counts[bucket] += count
        sums[bucket] += value * count
    return counts, sums
