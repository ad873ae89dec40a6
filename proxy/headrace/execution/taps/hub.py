"""The taps of one worker: which are open, the queue of what they chose, and the thread that makes records of it."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import msgspec

from headrace.execution.protection import HiddenFields
from headrace.execution.taps.hiding import Concealer, hidden_of
from headrace.execution.taps.records import record_of
from headrace.execution.taps.rerun import Rerunner, matching
from headrace.execution.taps.watching import Bucket, Choice, Held, Watch
from headrace_pipelines.cache import BoundedCache
from headrace_pipelines.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.execution.taps.samples import Record, Sample
    from headrace.execution.taps.selection import Selection
    from headrace.server.components import Components
    from headrace.server.request import RequestContext
    from headrace_pipelines.udf.catalog import Catalog

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("headrace.tap")

MAX_TAPS = 4
"""Taps of a proxy, over all its workers."""
MAX_QUEUED = 256
"""Records of a tap that wait for a reader, and samples that wait for their second run; more are counted as missed."""
RERUNS = 100
"""Second runs a second for a tap whose `outcome` only they tell."""
HIDDEN_SECONDS = 1.0
"""Seconds for which the hidden fields of an index are kept: mappings of requests are as old."""
MAX_INDEXES = 256
"""Indexes whose hidden fields are kept."""
NICENESS = 10
"""Priority of the thread: behind everything that serves requests."""


class Shown(msgspec.Struct, array_like=True, tag="shown"):
    """A record as it goes to the caller, and the indexes that the caller must have the right to read."""

    record: bytes
    indexes: list[str]


class Counted(msgspec.Struct, array_like=True, tag="counted"):
    """The counts of a tap in one worker, since it began."""

    seen: int = 0
    unexamined: int = 0
    missed: int = 0


class Tap(Choice):
    """A tap in this worker."""

    def __init__(self, selection: Selection, changed: Callable[[], None]) -> None:
        super().__init__(selection)
        self.reruns = Bucket(max(RERUNS, selection.per_second))
        self.queue: deque[Shown] = deque()
        self.over = False
        self._changed = changed

    def deliver(self, shown: Shown) -> None:
        """Queues a record, or counts it as missed."""
        if len(self.queue) >= MAX_QUEUED:
            self.missed += 1
        else:
            self.queue.append(shown)
        self._changed()

    def end(self) -> None:
        """No record comes any more."""
        self.over = True
        self._changed()

    @property
    def counted(self) -> Counted:
        """The counts now."""
        return Counted(self.seen, self.unexamined, self.missed)


class Taps:
    """All taps that this worker feeds: its own, and those that other workers ask for. Used on the event loop."""

    def __init__(self, catalog: Catalog, *, enabled: bool) -> None:
        self.open: tuple[Tap, ...] = ()
        self.enabled = enabled
        self._rerunner = Rerunner(catalog)
        self._held = Held()
        self._queue: deque[tuple[Tap, list[Sample]]] = deque()
        self._components: Components | None = None
        self._hidden: BoundedCache[str, tuple[float, HiddenFields]] = BoundedCache(MAX_INDEXES)
        self._pool: ThreadPoolExecutor | None = None
        self._working: asyncio.Task[None] | None = None

    def enable(self, *, enabled: bool) -> None:
        """The setting `tap`: switched off, it ends all taps."""
        self.enabled = enabled
        if not enabled:
            self.close()

    def start(self, selection: Selection, changed: Callable[[], None]) -> Tap:
        """Opens a tap; `changed` is called when there is something to read. Raises OverloadedError for one too many."""
        if len(self.open) >= MAX_TAPS:
            raise OverloadedError(f"there are {MAX_TAPS} taps already; end one of them, or try again later")
        tap = Tap(selection, changed)
        self.open = (*self.open, tap)
        return tap

    def stop(self, tap: Tap) -> None:
        """Closes a tap."""
        self.open = tuple(each for each in self.open if each is not tap)
        if not self.open:
            self._queue.clear()
            self._held = Held()
            if self._working is None:
                self._rest()

    def close(self) -> None:
        """Ends all taps."""
        for tap in self.open:
            tap.end()

    def watch(self, context: RequestContext) -> Watch:
        """The observer of a request, while a tap is open."""
        self._components = context.components
        return Watch(context, self.open, self._held, self._offer)

    async def explained(self, context: RequestContext, watch: Watch, selection: Selection) -> list[Record]:
        """The records of what one request kept, for its own answer."""
        samples = [sample for kept in watch.kept.values() for sample in kept]
        watch.kept = {}
        found: list[Record] = []
        for sample in samples:
            hidden = await self._hidden_for(context.components, sample, selection)
            record = await self._on_thread(record_of, sample, selection, hidden, self._rerunner)
            if record is not None:
                found.append(record)
        if not self.open and self._working is None:
            self._rest()
        return found

    def _offer(self, choice: Choice, samples: list[Sample]) -> None:
        if not isinstance(choice, Tap) or choice not in self.open:
            self._release(samples)
            return
        if not choice.selection.match or samples[0].matched:
            samples = self._granted(choice, samples)
        if samples:
            self._queue.append((choice, samples))
            if self._working is None:
                self._working = asyncio.get_running_loop().create_task(self._work())

    def _granted(self, tap: Tap, samples: list[Sample]) -> list[Sample]:
        """The samples that the rate of a tap and the queue have room for."""
        counted = [sample for sample in samples if sample.granted]
        rest = [sample for sample in samples if not sample.granted]
        bucket = tap.reruns if _told_late(tap.selection) else tap.rate
        found = [*counted, *rest[: bucket.grant(len(rest))]]
        room = max(0, MAX_QUEUED - sum(len(each) for _, each in self._queue))
        tap.missed += max(0, len(found) - room)
        kept = found[:room]
        self._release(sample for sample in samples if sample not in kept)
        return kept

    def _release(self, samples: Iterable[Sample]) -> None:
        self._held.add(-sum(sample.nbytes for sample in samples))

    async def _work(self) -> None:
        try:
            while self._queue:
                tap, samples = self._queue.popleft()
                try:
                    if not tap.over:
                        await self._show(tap, samples)
                except Exception:
                    log.exception("a tap could not show what it chose")
                finally:
                    self._release(samples)
        finally:
            self._working = None
            if not self.open:
                self._rest()

    async def _show(self, tap: Tap, samples: list[Sample]) -> None:
        components, selection = self._components, tap.selection
        if components is None:
            return
        if selection.match and not samples[0].matched:
            samples = await self._matching(components, samples, selection)
            samples = samples[: (tap.reruns if _told_late(selection) else tap.rate).grant(len(samples))]
        for sample in samples:
            hidden = await self._hidden_for(components, sample, selection)
            record = await self._on_thread(record_of, sample, selection, hidden, self._rerunner)
            if record is None or (_told_late(selection) and not sample.granted and not tap.rate.grant(1)):
                continue
            tap.deliver(Shown(msgspec.json.encode(record), sorted(sample.indexes)))

    async def _matching(self, components: Components, samples: list[Sample], selection: Selection) -> list[Sample]:
        found: dict[frozenset[str], HiddenFields] = {}
        hidden = []
        for sample in samples:
            indexes = frozenset(sample.indexes)
            if indexes not in found:
                found[indexes] = await self._hidden_for(components, sample, selection)
            hidden.append(found[indexes])
        return await self._on_thread(_matches, samples, hidden, selection)

    async def _hidden_for(self, components: Components, sample: Sample, selection: Selection) -> HiddenFields:
        found = [await self._hidden_of(components, index) for index in sample.indexes]
        if not any(found) and not selection.hide:
            return found[0]
        return HiddenFields.of([name for each in (*found, selection.hidden) for name in each.names])

    async def _hidden_of(self, components: Components, index: str) -> HiddenFields:
        cached = self._hidden.valid_for(components.registry.snapshot).get(index)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        hidden = await hidden_of(components, index)
        self._hidden.valid_for(components.registry.snapshot).set(index, (time.monotonic() + HIDDEN_SECONDS, hidden))
        return hidden

    async def _on_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="headrace-tap", initializer=_step_back)
        return await asyncio.wrap_future(self._pool.submit(work, *args, **kwargs))

    def _rest(self) -> None:
        """Lets the thread and the sandboxes go."""
        self._rerunner.forget()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def _step_back() -> None:
    """Lowers the priority of this thread, where the system has one for threads."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    except OSError:
        log.debug("the thread of taps has the priority of the process")


def _told_late(selection: Selection) -> bool:
    return bool({"slow", "skipped"}.intersection(selection.outcome))


def _matches(samples: list[Sample], hidden: list[HiddenFields], selection: Selection) -> list[Sample]:
    """The samples that `match` selects by what may be seen of them."""
    shown: list[tuple[Sample, bytes]] = []
    for sample, fields in zip(samples, hidden, strict=True):
        if sample.text is None:
            continue
        if not fields:
            shown.append((sample, sample.text))
            continue
        concealer = Concealer(fields)
        try:
            for text in (sample.text, *sample.outputs):
                concealer.learn(text)
            shown.append((sample, concealer.without(sample.text)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return matching(shown, selection.conditions)
