"""The families of shadows: what they saw, how the ends compared, and searches that were sent in both forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from headrace.ops.metrics.shadows import VERDICTS, ShadowCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client import Metric

_LABELS = ("type", "pipeline", "candidate")


def shadows(counts: Mapping[str, ShadowCounts]) -> Iterator[Metric]:
    """The families; rollouts of one candidate, one after the other, are added up."""
    rows = _by_labels(counts.values())
    seen = CounterMetricFamily("headrace_shadow_inputs", "Inputs of the share that is compared", labels=_LABELS)
    waiting = GaugeMetricFamily("headrace_shadow_waiting", "Inputs that wait for their comparison", labels=_LABELS)
    compared = CounterMetricFamily(
        "headrace_shadow_compared", "Inputs by what the comparison said", labels=(*_LABELS, "verdict")
    )
    searches = CounterMetricFamily(
        "headrace_shadow_searches", "Searches sent in both forms, by outcome", labels=(*_LABELS, "outcome")
    )
    for labels, found in rows.items():
        seen.add_metric(labels, found.seen)
        waiting.add_metric(labels, found.waiting)
        for verdict in VERDICTS:
            compared.add_metric((*labels, verdict), found.verdicts.get(verdict, 0))
        for outcome in ("compared", "failed", "missed"):
            searches.add_metric((*labels, outcome), getattr(found.searches, outcome))
    yield from (seen, waiting, compared, searches)


def _by_labels(counts: Iterable[ShadowCounts]) -> dict[tuple[str, str, str], ShadowCounts]:
    found: dict[tuple[str, str, str], ShadowCounts] = {}
    for each in counts:
        found.setdefault((each.type, each.name, each.candidate), ShadowCounts()).add(each)
    return dict(sorted(found.items()))
