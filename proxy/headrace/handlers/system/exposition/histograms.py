"""Rows of histograms: buckets and sum of recorded durations, with exemplars."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from prometheus_client.core import Exemplar, HistogramMetricFamily

from headrace.ops.metrics.buckets import BOUNDS, in_prometheus_buckets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from headrace.ops.metrics.exemplars import Kept
    from headrace_pipelines.stats import Counts

ALL = tuple(range(len(BOUNDS)))
FEW = tuple(BOUNDS.index(bound) for bound in (0.0001, 0.0005, 0.0025, 0.01, 0.05, 0.1, 0.5, 2.5, 10, 30))
"""Positions of the buckets of stages and UDFs: there are many of them, and each bucket is a series."""
_NAMES = (*(str(float(bound)) for bound in BOUNDS), "+Inf")
Exemplars = dict[tuple[str, tuple[str, ...]], "Kept"]
"""Exemplars by histogram and labels."""
PART_ROWS = 100
"""Rows of a family that are rendered at a time: a few milliseconds."""
Bucket = tuple[str, float] | tuple[str, float, Exemplar]
R = TypeVar("R")
Row = tuple[tuple[str, ...], "Counts"]
"""Values of labels, and recorded durations in µs."""


def histogram(
    name: str,
    text: str,
    labels: Sequence[str],
    rows: Iterable[Row],
    shown: Sequence[int] = ALL,
    exemplars: Exemplars | None = None,
) -> Iterator[HistogramMetricFamily]:
    """A family of histograms, in parts; `shown`: the positions of the buckets that it has, beside the last one."""
    bounds = frozenset((*shown, len(BOUNDS)))
    for part in parts(rows):
        family = HistogramMetricFamily(name, text, labels=labels)
        for values, recorded in part:
            kept = exemplars.get((name, values), {}) if exemplars else {}
            family.add_metric(values, *_row(recorded, kept, bounds))
        yield family


def parts(rows: Iterable[R]) -> Iterator[list[R]]:
    """The rows in parts that are rendered one by one, so that the loop runs in between; an empty one of none."""
    rest = iter(rows)
    part = list(islice(rest, PART_ROWS))
    yield part
    while part := list(islice(rest, PART_ROWS)):
        yield part


def _row(recorded: Counts, kept: Kept, shown: frozenset[int]) -> tuple[list[Bucket], float]:
    """Cumulative buckets, and the sum in seconds."""
    counts, sums = in_prometheus_buckets(recorded)
    buckets: list[Bucket] = []
    total = 0
    for position, (name, count) in enumerate(zip(_NAMES, counts, strict=True)):
        total += count
        if position not in shown:
            continue
        if (found := kept.get(position)) is not None:
            exemplar = Exemplar({"trace_id": found.trace_id}, found.seconds, found.time)
            buckets.append((name, float(total), exemplar))
        else:
            buckets.append((name, float(total)))
    return buckets, sum(sums) / 1e6
