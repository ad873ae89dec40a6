"""The families of rollouts: how far they are, what both versions did, and what was aborted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from headrace_pipelines import Snapshot

_LABELS = ("type", "pipeline", "candidate")


class ShownRollout(NamedTuple):
    """The newest rollout of a pipeline; `percent`: `None` for one that has ended; `aborted`: by a proxy."""

    type: str
    pipeline: str
    candidate: str
    mode: str
    percent: float | None
    aborted: bool


def shown_of(snapshot: Snapshot) -> list[ShownRollout]:
    """The newest rollouts of all pipelines. One that a proxy has aborted is no news once another version is active."""
    return [
        ShownRollout(
            record.type.value,
            record.name,
            record.spec.candidate,
            record.spec.mode,
            snapshot.rollouts[record.key].percent_at(time.time()) if record.key in snapshot.rollouts else None,
            record.state == "aborted"
            and bool(record.judged_by)
            and snapshot.records.active.get(record.key) == record.stable,
        )
        for record in snapshot.records.rollouts
    ]


def rollouts(counts: Mapping[str, int], shown: Sequence[ShownRollout]) -> Iterator[Metric]:
    """The families; `counts` as in `ProcessCounts.rollouts`."""
    text = "Keys that meet the candidate of a running rollout, or are compared, of 100"
    percent = GaugeMetricFamily("headrace_rollout_percent", text, labels=[*_LABELS, "mode"])
    aborted = GaugeMetricFamily(
        "headrace_rollout_aborted",
        "1 for a candidate that a proxy has aborted, until confirmed",
        labels=_LABELS,
    )
    for each in shown:
        if each.percent is not None:
            percent.add_metric([each.type, each.pipeline, each.candidate, each.mode], each.percent)
        aborted.add_metric([each.type, each.pipeline, each.candidate], float(each.aborted))
    yield percent
    yield aborted
    documents = CounterMetricFamily(
        "headrace_rollout_documents",
        "Documents of a rollout by version: all, failed, dropped",
        labels=["type", "pipeline", "version", "role", "outcome"],
    )
    aborts = CounterMetricFamily(
        "headrace_rollout_aborts", "Rollouts that this proxy has aborted", labels=["type", "pipeline", "limit"]
    )
    sums: dict[tuple[str, ...], int] = {}
    for key, count in counts.items():
        name, *rest = key.split("|")[-4:] if key.count("|") > 1 else key.split("|")
        labels = (*name.split(":", 1), *rest)
        sums[labels] = sums.get(labels, 0) + count
    for labels, count in sorted(sums.items()):
        (documents if len(labels) > len(_LABELS) else aborts).add_metric(labels, count)
    yield documents
    yield aborts
