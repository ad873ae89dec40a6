"""Rates of the last minutes, from the history that the API answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.ui.inner import ApiError
from headrace.ui.rates.sparklines import Sparkline, sparkline

if TYPE_CHECKING:
    from headrace.ui.inner import Api

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


def totals(minutes: list[Minute]) -> Rates | None:
    """The rates of all pipelines; `None` without a history."""
    parts = [list(minute["pipelines"].values()) for minute in minutes]
    return _rates(minutes, parts) if minutes else None


def rates_of(minutes: list[Minute], prefix: str) -> Rates | None:
    """The rates of the versions of a pipeline, whose keys begin with `type:name@`."""
    parts = [[each for key, each in minute["pipelines"].items() if key.startswith(prefix)] for minute in minutes]
    return _rates(minutes, parts) if minutes else None


def stage_rates(minutes: list[Minute], prefix: str, stage: str) -> Rates | None:
    """The rates of a stage of a pipeline."""
    parts = [
        [
            found
            for key, each in minute["pipelines"].items()
            if key.startswith(prefix)
            for found in each.get("stages", ())
            if found["name"] == stage
        ]
        for minute in minutes
    ]
    return _rates(minutes, parts) if minutes else None


def _rates(minutes: list[Minute], parts: list[list[dict[str, Any]]]) -> Rates:
    seconds = [max(float(minute["seconds"]), 1.0) for minute in minutes]
    documents = [sum(each["documents"] for each in part) for part in parts]
    failures = [sum(each["failures"] for each in part) for part in parts]
    slowest = [max((float(each["p99_ms"]) for each in part), default=0.0) for part in parts]
    span = len(minutes)
    return Rates(
        _latest(documents, seconds),
        _latest(failures, seconds),
        max(slowest[-2:], default=0.0),
        sparkline([n / s for n, s in zip(documents, seconds, strict=True)], "documents a second", span),
        sparkline([n / s for n, s in zip(failures, seconds, strict=True)], "failures a second", span),
        sparkline(slowest, "99th percentile in ms", span),
    )


def _latest(numbers: list[int], seconds: list[float]) -> float:
    """The rate of the last full minute and of the one in progress."""
    return sum(numbers[-2:]) / (sum(seconds[-2:]) or 1.0)


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
