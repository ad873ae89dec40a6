"""Rates of pipelines and stages: the difference of two answers of `/_proxy/stats`, over one proxy or several."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.client.errors import ClientError, UnreachableError
from headrace.ops.metrics.activity import Activity, PipelineActivity, difference, summed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.client import Client

STARTING = (502, 503, 504)
"""Statuses of a proxy that starts, or of what stands before one that is gone."""


@dataclass(frozen=True)
class StatsAnswer:
    """What pipelines of a target did since its start, by `type:name@version`; `at` by the monotonic clock."""

    at: float
    processes: tuple[str, ...]
    pipelines: dict[str, PipelineActivity]


@dataclass(frozen=True)
class Row:
    """What a pipeline, or a stage of it, did in an interval; rates for each second, fuel for each document.

    A document that a stage failed on is a failure of the pipeline if it ended as an error.
    """

    name: str
    runs: float
    documents: float
    failures: float
    p50_ms: float
    p99_ms: float
    fuel: float
    stages: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Interval:
    """The rows of an interval; `notes` say which targets are not in it, and why."""

    seconds: float
    workers: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


SORTS: Mapping[str, Callable[[Row], float]] = {
    "docs": lambda row: row.documents,
    "failures": lambda row: max(row.failures, *(stage.failures for stage in row.stages), 0.0),
    "p99": lambda row: row.p99_ms,
    "fuel": lambda row: row.fuel,
}
"""What rows can be sorted by, the largest first."""


def read_stats(client: Client, pipeline: str = "") -> StatsAnswer:
    """Asks a target. Raises UnreachableError and ClientError."""
    answer = client.request("GET", "/_proxy/stats", params={"pipeline": pipeline} if pipeline else {})
    found = {key: _activity(counts) for key, counts in answer["pipelines"].items()}
    return StatsAnswer(time.monotonic(), tuple(answer["processes"]), found)


def _activity(counts: dict[str, Any]) -> PipelineActivity:
    stages = {stage["name"]: Activity(**_numbers(stage)) for stage in counts["stages"]}
    return PipelineActivity(**_numbers(counts), stages=stages)


def _numbers(counts: dict[str, Any]) -> dict[str, Any]:
    durations = {int(bucket): count for bucket, count in counts["durations"].items()}
    names = ("runs", "documents", "failures", "dropped", "fuel")
    return {**{name: counts[name] for name in names}, "durations": durations}


class Watched:
    """A target that is asked again and again. `newest` is what came between its last two answers."""

    def __init__(self, url: str, client: Client, pipeline: str = "") -> None:
        self.url = url
        self.newest: dict[str, PipelineActivity] | None = None
        self.seconds = 0.0
        self.workers = 0
        self.note = "not asked yet"
        self.refused: ClientError | None = None
        """The error of a target that answers and will not say more when it is asked again."""
        self._client = client
        self._pipeline = pipeline
        self._before: StatsAnswer | None = None

    def ask(self) -> None:
        """Asks once; what fails is in `note`, and the next answer only begins an interval."""
        try:
            answer = read_stats(self._client, self._pipeline)
        except UnreachableError as error:
            self._lose(str(error))
            return
        except ClientError as error:
            if error.status not in STARTING:
                self.refused = error
            self._lose(f"{self.url} does not answer: {error.reason}")
            return
        before, self._before, self.workers = self._before, answer, len(answer.processes)
        if before is None:
            self._wait("a first answer; rates come with the second")
        elif before.processes != answer.processes:
            self._wait("its workers are others than before; rates come with the next answer")
        else:
            found = {key: difference(now, before.pipelines.get(key)) for key, now in answer.pipelines.items()}
            self.newest = {key: activity for key, activity in found.items() if activity.runs}
            self.seconds, self.note = answer.at - before.at, ""

    def _wait(self, why: str) -> None:
        self.newest, self.note = None, f"{self.url}: {why}"

    def _lose(self, why: str) -> None:
        self._before, self.newest, self.workers, self.note = None, None, 0, why


@dataclass
class Poller:
    """Asks targets on a thread each, so that one that hangs holds neither the others nor the keys."""

    targets: list[Watched]
    every: float
    over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begins to ask. The threads end with the process."""
        for target in self.targets:
            threading.Thread(target=self._poll, args=(target,), daemon=True).start()

    def _poll(self, target: Watched) -> None:
        while not self.over.is_set():
            target.ask()
            self.over.wait(self.every)


def interval_of(targets: list[Watched]) -> Interval:
    """What all targets did in their last interval; several proxies add up."""
    notes = tuple(target.note for target in targets if target.note)
    parts: dict[str, list[tuple[float, PipelineActivity]]] = {}
    for target in targets:
        for key, activity in (target.newest or {}).items():
            parts.setdefault(key, []).append((target.seconds, activity))
    rows = tuple(_pipeline_row(key, found) for key, found in parts.items())
    seconds = max((target.seconds for target in targets if target.newest is not None), default=0.0)
    return Interval(seconds, sum(target.workers for target in targets), rows, notes)


def _pipeline_row(key: str, parts: list[tuple[float, PipelineActivity]]) -> Row:
    total, seconds = summed(activity for _, activity in parts), max(seconds for seconds, _ in parts)
    return _row(key, total, seconds, tuple(_row(name, stage, seconds) for name, stage in total.stages.items()))


def _row(name: str, activity: Activity, seconds: float, stages: tuple[Row, ...] = ()) -> Row:
    return Row(
        name,
        activity.runs / seconds,
        activity.documents / seconds,
        activity.failures / seconds,
        activity.quantile_ms(0.5),
        activity.quantile_ms(0.99),
        activity.fuel / activity.documents if activity.documents else 0.0,
        stages,
    )
