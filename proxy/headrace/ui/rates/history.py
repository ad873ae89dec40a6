"""Rates of the last minutes, from the history that the API answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.ui.inner import ApiError
from headrace.ui.rates.sparklines import Sparkline, sparkline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.ui.inner import Api

AT_ONCE = 2
"""Minutes that a list of all pipelines looks back: the one in progress, and the whole one before it. Of 1,000 busy
pipelines a minute costs 15 ms."""
Minute = dict[str, Any]
"""A minute as `GET /_proxy/stats/history` shows it."""


async def minutes_of(api: Api, minutes: int, pipeline: str = "") -> list[Minute]:
    """The last minutes, the earliest first. Empty where there is no history."""
    try:
        answer = await api.get("_proxy", "stats", "history", minutes=minutes, pipeline=pipeline)
    except ApiError as error:
        if error.status == 404:
            return []
        raise
    found: list[Minute] = answer["minutes"]
    return found


@dataclass(frozen=True)
class Rates:
    """What was done: rates in a second, the highest p99 of a minute in ms, charts of each."""

    documents: float
    failures: float
    p99: float
    documents_chart: Sparkline
    failures_chart: Sparkline
    p99_chart: Sparkline


class MinuteTotals(NamedTuple):
    """What was done in a minute by all pipelines, or by one: counts, and the highest p99 in ms."""

    seconds: float
    documents: int
    failures: int
    p99: float


def _totals(minute: Minute, activities: Iterable[dict[str, Any]]) -> MinuteTotals:
    documents, failures, p99 = 0, 0, 0.0
    for each in activities:
        documents, failures = documents + each["documents"], failures + each["failures"]
        p99 = max(p99, float(each["p99_ms"]))
    return MinuteTotals(max(float(minute["seconds"]), 1.0), documents, failures, p99)


class RecentTotals:
    """The sums of the last minutes, kept: of 1,000 busy pipelines a look adds up what is new, and not all of it."""

    def __init__(self, minutes: int) -> None:
        self._minutes = minutes
        self._kept: dict[str, MinuteTotals] = {}
        self._asked: float | None = None

    def missing(self, now: float) -> int:
        """How many minutes to ask for, at `now` in seconds: those since the last time, which may not have been over."""
        if self._asked is None:
            return self._minutes
        return min(int((now - self._asked) // 60) + AT_ONCE, self._minutes)

    def add(self, minutes: list[Minute], now: float) -> Rates | None:
        """Keeps the sums of these minutes; the rates of all that are kept, `None` where there are none."""
        self._asked = now
        self._kept |= {minute["start"]: _totals(minute, minute["pipelines"].values()) for minute in minutes}
        self._kept = {start: self._kept[start] for start in sorted(self._kept)[-self._minutes :]}
        return _rates(list(self._kept.values()))


def rates_of(minutes: list[Minute], prefix: str) -> Rates | None:
    """The rates of the versions of a pipeline, whose keys begin with `type:name@`."""
    return _rates([_totals(minute, _versions(minute, prefix)) for minute in minutes])


def stage_rates(minutes: list[Minute], prefix: str, stage: str) -> Rates | None:
    """The rates of a stage of a pipeline."""
    return _rates(
        [
            _totals(
                minute,
                (s for each in _versions(minute, prefix) for s in each.get("stages", ()) if s["name"] == stage),
            )
            for minute in minutes
        ]
    )


def _versions(minute: Minute, prefix: str) -> Iterator[dict[str, Any]]:
    return (each for key, each in minute["pipelines"].items() if key.startswith(prefix))


def _rates(minutes: list[MinuteTotals]) -> Rates | None:
    if not minutes:
        return None
    span, latest = len(minutes), minutes[-2:]
    seconds = sum(minute.seconds for minute in latest)
    return Rates(
        sum(minute.documents for minute in latest) / seconds,
        sum(minute.failures for minute in latest) / seconds,
        max(minute.p99 for minute in latest),
        sparkline([minute.documents / minute.seconds for minute in minutes], "documents a second", span),
        sparkline([minute.failures / minute.seconds for minute in minutes], "failures a second", span),
        sparkline([minute.p99 for minute in minutes], "99th percentile in ms", span),
    )


def errors_by_pipeline(minutes: list[Minute]) -> dict[str, float]:
    """Failed documents in a minute, by `type:name`, over the minutes given."""
    span = sum(max(float(minute["seconds"]), 1.0) for minute in minutes) / 60 or 1.0
    found: dict[str, float] = {}
    for minute in minutes:
        for key, each in minute["pipelines"].items():
            name = key.rpartition("@")[0]
            found[name] = found.get(name, 0.0) + each["failures"] / span
    return found


def pipelines_by_traffic(minutes: list[Minute], most: int) -> list[dict[str, Any]]:
    """The pipelines with the most documents, with rates in a second."""
    seconds = sum(max(float(minute["seconds"]), 1.0) for minute in minutes) or 1.0
    found: dict[str, dict[str, Any]] = {}
    for minute in minutes:
        for key, each in minute["pipelines"].items():
            label = key.rpartition("@")[0]
            kind, _, name = label.partition(":")
            row = found.setdefault(label, {"type": kind, "name": name, "documents": 0.0, "failures": 0.0, "p99": 0.0})
            row["documents"] += each["documents"] / seconds
            row["failures"] += each["failures"] / seconds
            row["p99"] = max(row["p99"], float(each["p99_ms"]))
    return sorted(found.values(), key=lambda row: (-row["documents"], row["name"]))[:most]
