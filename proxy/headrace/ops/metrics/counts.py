"""Counts of this process, and their sum over all workers.

Requests are counted by surface (a column of the routes) and status class; pipelines and UDFs count for themselves
(`headrace_pipelines.stats`). With several workers each dumps its counts to the others on request, so that every worker
answers for all of them.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from headrace.ops.metrics.buckets import compacted
from headrace.ops.metrics.exemplars import Exemplars, Series
from headrace.ops.metrics.fitting import FittingCounts, add_fields
from headrace.ops.metrics.gauges import Gauges
from headrace.ops.metrics.history import History, wall_clock
from headrace.ops.metrics.shadows import ShadowCounts
from headrace_pipelines.engine import Histogram
from headrace_pipelines.errors import (
    EngineError,
    OverloadedError,
    RefusedError,
    RegistryError,
    SlowClientError,
    TooLargeError,
    UnsupportedError,
)
from headrace_pipelines.stats import Counts, PipelineCounts, StageCounts, merged, merged_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.ops.following import Following
    from headrace.registry.live import LiveRegistry
    from headrace_pipelines.errors import HeadraceError


REJECTED: dict[type[HeadraceError], str] = {
    OverloadedError: "queue",
    TooLargeError: "too_large",
    SlowClientError: "slow_client",
}
"""Why a request is not taken."""
FAIL_CLOSED: dict[type[HeadraceError], str] = {
    RegistryError: "registry",
    UnsupportedError: "unsupported",
    EngineError: "engine",
}
"""Why a request is refused that a pipeline concerns and that would pass it by."""
DEAD_LETTERS = ("written", "unwritten", "limited")
"""The outcomes of dead letters."""
PROTECTED = "protected"
"""Why a request is refused that asks for what final pipelines hide."""
_SUMS = (
    "requests",
    "upstream_errors",
    "rejected",
    "fail_closed",
    "dead_letters",
    "quotas",
    "quota_keys",
    "unfit",
    "mappings_unknown",
    "rollouts",
)
"""The members of counts that are numbers by name."""


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
    rejected: dict[str, int] = {}
    fail_closed: dict[str, int] = {}
    dead_letters: dict[str, int] = {}
    rollouts: dict[str, int] = {}
    """Documents by `seed|pipeline|version|role|outcome`, and aborts by `pipeline|limit`."""
    quotas: dict[str, int] = {}
    """Requests and documents over a quota, by `quota|limit`."""
    quota_keys: dict[str, int] = {}
    """The same by `quota|key`."""
    unfit: dict[str, int] = {}
    mappings_unknown: dict[str, int] = {}
    unfit_fields: dict[str, dict[str, dict[str, int]]] = {}
    gauges: list[Gauges] = []
    exemplars: list[Series] = []
    shadows: dict[str, ShadowCounts] = {}


class Peers(Protocol):
    """The other workers of this proxy."""

    async def dumps(self) -> list[bytes]:
        """The counts of each, as [`Metrics.dump`] gives them."""
        ...

    async def compact_dumps(self) -> list[bytes]:
        """The counts of each, with durations for Prometheus' buckets only."""
        ...

    async def reload(self) -> list[str]:
        """Has each reload; gives the reasons of those that did not."""
        ...

    def follow(self, wanted: bytes, receive: Callable[[str, bytes], None]) -> Following:
        """The streams of all, each frame with the name of its worker."""
        ...


class Metrics:
    """Counts requests and gathers what everything else has counted."""

    def __init__(self, registry: LiveRegistry) -> None:
        self._registry = registry
        self._requests: dict[str, int] = {}
        self._durations: dict[str, Histogram] = {}
        self._upstream_errors: dict[str, int] = {}
        self._in_flight = 0
        # From 0 on: the first of a kind is an increase for Prometheus, too.
        self._rejected = dict.fromkeys(REJECTED.values(), 0)
        self._fail_closed = dict.fromkeys([*FAIL_CLOSED.values(), PROTECTED], 0)
        self._dead_letters = dict.fromkeys(DEAD_LETTERS, 0)
        self.exemplars = Exemplars()
        self.read_rollouts: Callable[[], dict[str, int]] | None = None
        self.read_quotas: Callable[[], tuple[dict[str, int], dict[str, int]]] | None = None
        """Refusals by `quota|limit`, and by `quota|key`."""
        self.fitting = FittingCounts()
        self.read_gauges: Callable[[], Gauges] | None = None
        self.read_shadows: Callable[[], dict[str, ShadowCounts]] | None = None
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

    def refused(self, error: HeadraceError, *, administers: bool) -> None:
        """Counts a request that is answered with an error of ours, if it is one of those that say something of us.

        `administers`: the request is one to our own API, where a missing right is no matter of pipelines.
        """
        if (why := REJECTED.get(type(error))) is not None:
            self._rejected[why] += 1
        why = FAIL_CLOSED.get(type(error), PROTECTED if isinstance(error, RefusedError) else None)
        if why is not None and not administers:
            self._fail_closed[why] += 1

    def dead_letters(self, written: int, unwritten: int, limited: int) -> None:
        """Counts dead letters: those whose records are written, those that are not, those over the limit."""
        for outcome, count in zip(DEAD_LETTERS, (written, unwritten, limited), strict=True):
            self._dead_letters[outcome] += count

    def counts(self, *, compact: bool = False) -> ProcessCounts:
        """The counts of this process now, on any thread; `compact`: durations for Prometheus' buckets only."""
        registry = self._registry
        shorten = compacted if compact else list
        pipelines = {}
        if registry.state != "none":
            for (key, version), pipeline in registry.snapshot.compiled.items():
                counts = pipeline.counts()
                if counts.total or counts.current:
                    counts.durations = shorten(counts.durations)
                    for stage in counts.stages:
                        stage.durations = shorten(stage.durations)
                    pipelines[f"{key}@{version}"] = counts
        quotas, keys = self.read_quotas() if self.read_quotas is not None else ({}, {})
        udfs = registry.catalog.dump()
        for udf in udfs.values():
            udf.durations = shorten(udf.durations)
        return ProcessCounts(
            requests=dict(self._requests),
            durations={name: shorten(histogram.counts()) for name, histogram in self._durations.copy().items()},
            in_flight=self._in_flight,
            upstream_errors=dict(self._upstream_errors),
            registry_repairs=registry.ledger.repaired,
            pipelines=pipelines,
            udfs=udfs,
            in_force=[InForce(process=os.getpid(), registry=registry.state, sets=registry.revisions)],
            rejected=dict(self._rejected),
            fail_closed=dict(self._fail_closed),
            dead_letters=dict(self._dead_letters),
            rollouts=self.read_rollouts() if self.read_rollouts is not None else {},
            quotas=quotas,
            quota_keys=keys,
            unfit=dict(self.fitting.reasons),
            mappings_unknown=self.fitting.read_unknown(),
            unfit_fields={} if compact else self.fitting.copied(),
            gauges=[self.read_gauges()] if self.read_gauges is not None else [],
            exemplars=self.exemplars.dump() if compact else [],
            shadows=self.read_shadows() if self.read_shadows is not None else {},
        )

    def dump(self, *, compact: bool = False) -> bytes:
        """[`counts`] for another worker."""
        return msgspec.json.encode(self.counts(compact=compact))

    async def gathered(self, *, compact: bool = False) -> ProcessCounts:
        """The counts of all workers; `compact` as in [`counts`]."""
        dumps: list[bytes] = []
        if self.peers is not None:
            dumps = await (self.peers.compact_dumps() if compact else self.peers.dumps())
        return await asyncio.to_thread(self._added, dumps, compact=compact)

    def _added(self, dumps: list[bytes], *, compact: bool) -> ProcessCounts:
        own = self.counts(compact=compact)
        return added([own, *(msgspec.json.decode(dump, type=ProcessCounts) for dump in dumps)]) if dumps else own


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
        total.gauges += part.gauges
        total.exemplars += part.exemplars
        for field in _SUMS:
            mine, theirs = getattr(total, field), getattr(part, field)
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        add_fields(total.unfit_fields, part.unfit_fields)
        for seed, shadow in part.shadows.items():
            total.shadows.setdefault(seed, ShadowCounts()).add(shadow)
        for name, durations in part.durations.items():
            total.durations[name] = total.durations.get(name, []) + durations
        for name, counts in part.pipelines.items():
            pipelines.setdefault(name, []).append(counts)
        for name, stage in part.udfs.items():
            udfs.setdefault(name, []).append(stage)
    total.pipelines = {name: merged(found) for name, found in pipelines.items()}
    total.udfs = {name: merged_stages(name, found) for name, found in udfs.items()}
    return total
