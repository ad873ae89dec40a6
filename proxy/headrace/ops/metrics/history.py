"""What happened in each of the last 120 minutes: a ring in the memory of each worker, and their sum.

A minute keeps, encoded, the pipelines and surfaces that had traffic in it. A version of a pipeline with five stages
takes 0.2 to 0.5 KB a minute: 1,000 of them that run in every minute take 25 MB in two hours. At [`MAX_BYTES`] the
oldest minutes go first. What each had counted at the last minute is kept beside it: about 0.3 KB a version.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from headrace.ops.metrics.activity import (
    Minute,
    PipelineActivity,
    SurfaceActivity,
    difference,
    in_history_buckets,
    less,
    merged_minutes,
    pipeline_activity,
    summed,
    summed_surfaces,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from headrace.registry.live import LiveRegistry
    from headrace_pipelines.stats import Counts, PipelineStats

log = logging.getLogger("headrace.metrics")

MINUTE = 60
"""Seconds of an entry; each begins at a full minute of the clock, so that those of all workers are the same."""
MINUTES = 120
"""Number of minutes that are kept: two hours."""
LATE_SECONDS = 0.01
"""Seconds after a full minute at which it is noted: timers may be early by the resolution of a clock."""
MAX_BYTES = 32 << 20
"""Bytes that the kept minutes of a worker may take."""
ENTRY_BYTES = 120
"""Bytes that an entry takes beside its text: the object, and its row in a table."""


class Wanted(msgspec.Struct):
    """What is asked for: of pipelines that `pipeline` names (`[type:]name[@version]`; empty: all), the last minutes.

    `totals`: the counts since the start, too. `stages`: with the stages and errors of each pipeline.
    """

    pipeline: str = ""
    minutes: int = MINUTES
    stages: bool = True
    totals: bool = False

    def matches(self, key: str) -> bool:
        """Whether `type:name@version` is wanted."""
        if not self.pipeline:
            return True
        name = key.rpartition("@")[0]
        return self.pipeline in (key, name, key.partition(":")[2], name.partition(":")[2])


class Totals(msgspec.Struct):
    """What pipelines and surfaces did since the start."""

    pipelines: dict[str, PipelineActivity] = {}
    surfaces: dict[str, SurfaceActivity] = {}


class WorkerHistory(msgspec.Struct):
    """The history of one process; `process` says which, so that a restart can be told from a pause."""

    process: str
    minutes: list[Minute] = []
    totals: Totals | None = None


class ProxyHistory(msgspec.Struct):
    """The history of all workers, earliest minute first; the last one is in progress."""

    processes: list[str]
    minutes: list[Minute]
    totals: Totals


@dataclass
class _Stored:
    """A minute in the ring: activities as MessagePack."""

    start: int
    seconds: float
    pipelines: dict[str, bytes]
    surfaces: bytes
    nbytes: int = 0


@dataclass
class _Before:
    """The counts at the last full minute; pipelines with their number of runs, as MessagePack."""

    start: float
    pipelines: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    surfaces: dict[str, SurfaceActivity] = field(default_factory=dict)


_encode = msgspec.msgpack.encode
_decode_pipeline = msgspec.msgpack.Decoder(PipelineActivity).decode
_decode_surfaces = msgspec.msgpack.Decoder(dict[str, SurfaceActivity]).decode
_encode_worker = msgspec.msgpack.Encoder().encode
_decode_worker = msgspec.msgpack.Decoder(WorkerHistory).decode

Requests = tuple[dict[str, int], dict[str, "Counts"]]
"""Requests by `surface|2xx`, and their durations by surface."""


class History:
    """The ring of this process. Its methods do their work on the thread that calls them; all may."""

    def __init__(
        self, registry: LiveRegistry, requests: Callable[[], Requests], process: str, clock: Callable[[], float]
    ) -> None:
        """`clock` gives seconds since 1970."""
        self._registry = registry
        self._requests = requests
        self._process = process
        self._clock = clock
        self._lock = threading.Lock()
        self._ring: deque[_Stored] = deque()
        self._nbytes = 0
        self._before = _Before(clock())
        self._task: asyncio.Task[None] | None = None
        self.ask_others: Callable[[Wanted], Awaitable[list[bytes]]] | None = None

    def start(self) -> None:
        """Begins to note each minute."""
        self._task = asyncio.create_task(self._note_minutes(), name="history of each minute")

    async def stop(self) -> None:
        """Ends it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def gathered(self, wanted: Wanted | None = None) -> ProxyHistory:
        """The history of all workers; those that do not answer in time are left out."""
        asked = wanted or Wanted()
        dumps = [] if self.ask_others is None else await self.ask_others(asked)
        return await asyncio.to_thread(self._merged, asked, dumps)

    def dump(self, wanted: Wanted) -> bytes:
        """The history of this process, for another one."""
        return _encode_worker(self._own(wanted))

    @property
    def nbytes(self) -> int:
        """Bytes that the minutes take."""
        return self._nbytes

    def note(self) -> None:
        """Ends the minute in progress."""
        with self._lock:
            before, now = self._before, _Before(self._clock())
            pipelines = {}
            now.pipelines = dict(before.pipelines)
            for key, runs, counts in self._changed(before):
                pipelines[key] = _encode(difference(counts, self._earlier(before, key)))
                now.pipelines[key] = runs, _encode(counts)
            there = self._compiled()
            now.pipelines = {key: found for key, found in now.pipelines.items() if key in there}
            now.surfaces = self._surfaces()
            stored = _Stored(
                int(before.start) // MINUTE * MINUTE,
                round(now.start - before.start, 3),
                pipelines,
                _encode(_surfaces_since(now.surfaces, before.surfaces)),
            )
            stored.nbytes = len(stored.surfaces) + sum(len(each) + ENTRY_BYTES for each in pipelines.values())
            # From here on nothing fails: a minute that could not be kept is in the next one.
            self._before = now
            self._keep(stored)

    def _keep(self, stored: _Stored) -> None:
        self._ring.append(stored)
        self._nbytes += stored.nbytes
        while len(self._ring) > MINUTES or self._nbytes > MAX_BYTES:
            self._nbytes -= self._ring.popleft().nbytes

    async def _note_minutes(self) -> None:
        while True:
            await asyncio.sleep(MINUTE - self._clock() % MINUTE + LATE_SECONDS)
            try:
                await asyncio.to_thread(self.note)
            except Exception:
                log.exception("the history of a minute could not be kept")

    def _merged(self, wanted: Wanted, dumps: list[bytes]) -> ProxyHistory:
        parts = [self._own(wanted), *map(_decode_worker, dumps)]
        pipelines: dict[str, list[PipelineActivity]] = {}
        surfaces: dict[str, list[SurfaceActivity]] = {}
        for part in parts:
            for key, activity in part.totals.pipelines.items() if part.totals else ():
                pipelines.setdefault(key, []).append(activity)
            for surface, requests in part.totals.surfaces.items() if part.totals else ():
                surfaces.setdefault(surface, []).append(requests)
        totals = Totals(
            {key: summed(found) for key, found in sorted(pipelines.items())},
            {surface: summed_surfaces(found) for surface, found in sorted(surfaces.items())},
        )
        minutes = merged_minutes(part.minutes for part in parts)
        return ProxyHistory(sorted(part.process for part in parts), minutes, totals)

    def _own(self, wanted: Wanted) -> WorkerHistory:
        with self._lock:
            ring, before = list(self._ring), self._before
        found = WorkerHistory(self._process, [])
        earliest = int(self._clock()) // MINUTE * MINUTE - (wanted.minutes - 1) * MINUTE
        found.minutes = [_minute(stored, wanted) for stored in ring if stored.start >= earliest]
        if wanted.minutes:
            found.minutes.append(self._in_progress(before, wanted))
        if wanted.totals:
            found.totals = Totals(
                {
                    key: _trimmed(pipeline_activity(stats.dump()), wanted)
                    for key, stats in self._compiled().items()
                    if stats.runs and wanted.matches(key)
                },
                {} if wanted.pipeline else self._surfaces(),
            )
        return found

    def _in_progress(self, before: _Before, wanted: Wanted) -> Minute:
        minute = Minute(int(before.start) // MINUTE * MINUTE, round(max(self._clock() - before.start, 0.001), 3))
        minute.pipelines = {
            key: _trimmed(difference(now, self._earlier(before, key)), wanted)
            for key, _, now in self._changed(before, wanted)
        }
        minute.surfaces = {} if wanted.pipeline else _surfaces_since(self._surfaces(), before.surfaces)
        return minute

    def _compiled(self) -> dict[str, PipelineStats]:
        if self._registry.state == "none":
            return {}
        compiled = self._registry.snapshot.compiled
        return {f"{key}@{version}": pipeline.stats for (key, version), pipeline in compiled.items()}

    def _changed(self, before: _Before, wanted: Wanted | None = None) -> Iterator[tuple[str, int, PipelineActivity]]:
        """The counts of those versions that have run since: a comparison for each of the others."""
        for key, stats in self._compiled().items():
            runs = stats.runs
            if runs != before.pipelines.get(key, (0,))[0] and (wanted is None or wanted.matches(key)):
                yield key, runs, pipeline_activity(stats.dump())

    @staticmethod
    def _earlier(before: _Before, key: str) -> PipelineActivity | None:
        found = before.pipelines.get(key)
        return _decode_pipeline(found[1]) if found is not None else None

    def _surfaces(self) -> dict[str, SurfaceActivity]:
        requests, durations = self._requests()
        found = {surface: SurfaceActivity({}, in_history_buckets(counts)) for surface, counts in durations.items()}
        for key, count in requests.items():
            surface, _, status = key.partition("|")
            found.setdefault(surface, SurfaceActivity({}, {})).statuses[status] = count
        return found


def _surfaces_since(now: dict[str, SurfaceActivity], before: dict[str, SurfaceActivity]) -> dict[str, SurfaceActivity]:
    found = {}
    for surface, activity in now.items():
        earlier = before.get(surface, SurfaceActivity({}, {}))
        since = SurfaceActivity(less(activity.statuses, earlier.statuses), less(activity.durations, earlier.durations))
        if since.statuses:
            found[surface] = since
    return found


def _minute(stored: _Stored, wanted: Wanted) -> Minute:
    return Minute(
        stored.start,
        stored.seconds,
        {
            key: _trimmed(_decode_pipeline(text), wanted)
            for key, text in stored.pipelines.items()
            if wanted.matches(key)
        },
        {} if wanted.pipeline else _decode_surfaces(stored.surfaces),
    )


def _trimmed(activity: PipelineActivity, wanted: Wanted) -> PipelineActivity:
    if not wanted.stages:
        activity.stages, activity.errors = {}, {}
    return activity


def wall_clock() -> float:
    """Seconds since 1970."""
    return time.time()
