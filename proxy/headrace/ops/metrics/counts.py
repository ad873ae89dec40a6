"""Counts of this process, and their sum over all workers.

Requests are counted by surface (a column of the routes) and status class; pipelines and UDFs count for themselves
(`headrace_pipelines.stats`). With several workers each dumps its counts to the others on request, so that every worker
answers for all of them.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from headrace.ops.metrics.history import History, wall_clock
from headrace_pipelines.engine import Histogram
from headrace_pipelines.stats import Counts, PipelineCounts, StageCounts, merged, merged_stages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.registry.live import LiveRegistry


class InForce(msgspec.Struct):
    """What a process has in force: revisions by set, and the state of its registry."""

    process: int
    registry: str
    sets: dict[str, int]


class ProcessCounts(msgspec.Struct):
    """The counts of one process, or of several added up. Requests are keyed `surface|2xx`, durations in µs."""

    requests: dict[str, int] = {}
    durations: dict[str, Counts] = {}
    in_flight: int = 0
    upstream_errors: dict[str, int] = {}
    registry_repairs: int = 0
    workers: int = 1
    pipelines: dict[str, PipelineCounts] = {}
    udfs: dict[str, StageCounts] = {}
    in_force: list[InForce] = []


class Peers(Protocol):
    """The other workers of this proxy."""

    async def dumps(self) -> list[bytes]:
        """The counts of each, as [`Metrics.dump`] gives them."""
        ...

    async def reload(self) -> list[str]:
        """Has each reload; gives the reasons of those that did not."""
        ...


class Metrics:
    """Counts requests and gathers what everything else has counted."""

    def __init__(self, registry: LiveRegistry) -> None:
        self._registry = registry
        self._requests: dict[str, int] = {}
        self._durations: dict[str, Histogram] = {}
        self._upstream_errors: dict[str, int] = {}
        self._in_flight = 0
        self.peers: Peers | None = None
        self.history = History(registry, self._recorded, f"{os.getpid()}-{time.monotonic_ns()}", wall_clock)

    def _recorded(self) -> tuple[dict[str, int], dict[str, Counts]]:
        """Requests and their durations, for the history; called on any thread."""
        return dict(self._requests), {name: histogram.counts() for name, histogram in self._durations.copy().items()}

    def start_request(self) -> float:
        """Counts a request in progress; gives when it began, for [`count`]."""
        self._in_flight += 1
        return time.monotonic()

    def end(self) -> None:
        """The request is no longer in progress."""
        self._in_flight -= 1

    def count(self, surface: str, status: int, started: float) -> None:
        """Counts a finished request that began at `started` (by `time.monotonic`)."""
        key = f"{surface}|{status // 100}xx"
        self._requests[key] = self._requests.get(key, 0) + 1
        histogram = self._durations.get(surface)
        if histogram is None:
            histogram = self._durations[surface] = Histogram()
        histogram.record(int((time.monotonic() - started) * 1e9))

    def upstream_error(self, kind: str) -> None:
        """Counts an exchange with the cluster that failed: `unreachable`, `timeout` or `broken`."""
        self._upstream_errors[kind] = self._upstream_errors.get(kind, 0) + 1

    def counts(self) -> ProcessCounts:
        """The counts of this process now."""
        registry = self._registry
        pipelines = {}
        if registry.state != "none":
            for (key, version), pipeline in registry.snapshot.compiled.items():
                counts = pipeline.stats.dump()
                if counts.total or counts.current:
                    pipelines[f"{key}@{version}"] = counts
        return ProcessCounts(
            requests=dict(self._requests),
            durations={name: histogram.counts() for name, histogram in self._durations.items()},
            in_flight=self._in_flight,
            upstream_errors=dict(self._upstream_errors),
            registry_repairs=registry.ledger.repaired,
            pipelines=pipelines,
            udfs=registry.catalog.dump(),
            in_force=[InForce(process=os.getpid(), registry=registry.state, sets=registry.revisions)],
        )

    def dump(self) -> bytes:
        """[`counts`] for another worker."""
        return msgspec.json.encode(self.counts())

    async def gathered(self) -> ProcessCounts:
        """The counts of all workers."""
        own = self.counts()
        if self.peers is None:
            return own
        return added([own, *(msgspec.json.decode(dump, type=ProcessCounts) for dump in await self.peers.dumps())])


def added(parts: Iterable[ProcessCounts]) -> ProcessCounts:
    """The sum of the counts of several processes."""
    total = ProcessCounts(workers=0)
    pipelines: dict[str, list[PipelineCounts]] = {}
    udfs: dict[str, list[StageCounts]] = {}
    for part in parts:
        total.workers += part.workers
        total.in_flight += part.in_flight
        total.registry_repairs += part.registry_repairs
        total.in_force += part.in_force
        for mine, theirs in ((total.requests, part.requests), (total.upstream_errors, part.upstream_errors)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        for name, durations in part.durations.items():
            total.durations[name] = total.durations.get(name, []) + durations
        for name, counts in part.pipelines.items():
            pipelines.setdefault(name, []).append(counts)
        for name, stage in part.udfs.items():
            udfs.setdefault(name, []).append(stage)
    total.pipelines = {name: merged(found) for name, found in pipelines.items()}
    total.udfs = {name: merged_stages(name, found) for name, found in udfs.items()}
    return total
