"""The taps of one worker: which are open, the queue of what they chose, and the thread that makes records of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import msgspec

from headrace.execution.protection import HiddenFields
from headrace.execution.taps.bounds import MAX_HELD, Bucket, HeldBytes, StreamLimits
from headrace.execution.taps.hiding import EVERYTHING, hidden_of, may_mask
from headrace.execution.taps.records import encoded, matched_text, record_of
from headrace.execution.taps.rerun import Rerunner, matching
from headrace.execution.taps.watching import Choice, Watch
from headrace_pipelines.cache import BoundedCache
from headrace_pipelines.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from headrace.execution.taps.samples import Sample
    from headrace.execution.taps.selection import Selection
    from headrace.server.components import Components
    from headrace.server.request import RequestContext
    from headrace_pipelines.udf.catalog import Catalog
    from headrace_pipelines.udf.secrets import Secrets

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("headrace.tap")

MAX_TAPS = 4
"""Taps of a proxy, over all its workers."""
MAX_QUEUED = 256
"""Records of a tap that wait for a reader, and samples that wait for their second run; more are counted as missed."""
MAX_QUEUED_BYTES = 2 << 20
"""Bytes of the records that wait for one reader: with one that does not read, the other taps have room."""
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


class RecordQueue:
    """Records that wait for a reader, bounded in number and bytes, its own and those of all taps."""

    def __init__(self, held: HeldBytes) -> None:
        self._held = held
        self._records: deque[Shown] = deque()
        self._nbytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def append(self, shown: Shown) -> bool:
        """Queues a record; `False` where there is no room."""
        if len(self._records) >= MAX_QUEUED or self._nbytes > MAX_QUEUED_BYTES or self._held.full:
            return False
        self._count(len(shown.record))
        self._records.append(shown)
        return True

    def popleft(self) -> Shown:
        """The next record. Raises IndexError where there is none."""
        shown = self._records.popleft()
        self._count(-len(shown.record))
        return shown

    def clear(self) -> None:
        """Drops all records."""
        while self._records:
            self.popleft()

    def _count(self, nbytes: int) -> None:
        self._nbytes += nbytes
        self._held.add(nbytes)


class Tap(Choice):
    """A tap in this worker."""

    def __init__(self, selection: Selection, changed: Callable[[], None], held: HeldBytes) -> None:
        super().__init__(selection)
        self.reruns = Bucket(max(RERUNS, selection.per_second))
        self.queue = RecordQueue(held)
        self.over = False
        self._changed = changed

    def deliver(self, shown: Shown) -> None:
        """Queues a record, or counts it as missed."""
        if not self.queue.append(shown):
            self.missed += 1
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
        self.limits = StreamLimits()
        """The streams of this worker, also of the lines of UDFs."""
        self.held = HeldBytes()
        self._catalog = catalog
        self._thread: tuple[ThreadPoolExecutor, Rerunner] | None = None
        self._users = 0
        self._queue: deque[tuple[Tap, list[Sample]]] = deque()
        self._components: Components | None = None
        self._hidden: BoundedCache[str, tuple[float, HiddenFields]] = BoundedCache(MAX_INDEXES)
        self._working: asyncio.Task[None] | None = None

    def enable(self, *, enabled: bool) -> None:
        """The setting `tap`: switched off, it ends all taps."""
        self.enabled = enabled
        if not enabled:
            self._end_all()

    def start(self, selection: Selection, changed: Callable[[], None]) -> Tap:
        """Opens a tap; `changed` is called when there is something to read. Raises OverloadedError for one too many."""
        if len(self.open) >= MAX_TAPS:
            raise OverloadedError(f"there are {MAX_TAPS} taps already; end one of them, or try again later")
        tap = Tap(selection, changed, self.held)
        self.open = (*self.open, tap)
        self._users += 1
        return tap

    def stop(self, tap: Tap) -> None:
        """Closes a tap; what it chose and has not shown is missed."""
        tap.missed += sum(len(samples) for each, samples in self._queue if each is tap)
        tap.over = True
        tap.queue.clear()
        self.open = tuple(each for each in self.open if each is not tap)
        waiting, self._queue = self._queue, deque(each for each in self._queue if each[0] is not tap)
        for owner, samples in waiting:
            if owner is tap:
                self._release(samples)
        self._leave()

    def close(self) -> None:
        """Ends all taps and all streams."""
        self._end_all()
        self.limits.close()

    def _end_all(self) -> None:
        for tap in self.open:
            tap.end()

    def watch(self, context: RequestContext) -> Watch:
        """The observer of a request, while a tap is open."""
        self._components = context.components
        return Watch(context, self.open, self.held, self._offer)

    async def explained(self, context: RequestContext, watch: Watch, selection: Selection) -> list[msgspec.Raw]:
        """The records of what one request kept, for its own answer: as many as have room."""
        samples = [sample for kept in watch.kept.values() for sample in kept]
        watch.kept = {}
        found: list[msgspec.Raw] = []
        left = MAX_HELD
        with self._using():
            for sample in samples:
                record = await self._record(context.components, sample, selection)
                left -= len(record or b"")
                if left < 0:
                    break
                if record is not None:
                    found.append(msgspec.Raw(record))
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
        bucket = tap.reruns if _judged_late(tap.selection) else tap.rate
        found = [*counted, *rest[: bucket.grant(len(rest))]]
        room = max(0, MAX_QUEUED - sum(len(each) for _, each in self._queue))
        tap.missed += max(0, len(found) - room)
        kept = found[:room]
        self._release(sample for sample in samples if sample not in kept)
        return kept

    def _release(self, samples: Iterable[Sample]) -> None:
        self.held.add(-sum(sample.nbytes for sample in samples))

    async def _work(self) -> None:
        try:
            with self._using():
                while self._queue:
                    tap, samples = self._queue.popleft()
                    nbytes = sum(sample.nbytes for sample in samples)
                    try:
                        if not tap.over:
                            await self._show(tap, samples)
                    except Exception:
                        log.exception("a tap could not show what it chose")
                    finally:
                        self.held.add(-nbytes)
        finally:
            self._working = None

    async def _show(self, tap: Tap, samples: list[Sample]) -> None:
        components, selection = self._components, tap.selection
        if components is None:
            return
        if selection.match and not samples[0].matched:
            samples = await self._matching(components, samples, selection)
            samples = samples[: (tap.reruns if _judged_late(selection) else tap.rate).grant(len(samples))]
        for sample in samples:
            if tap.over:
                return
            record = await self._record(components, sample, selection)
            if record is None or (_judged_late(selection) and not sample.granted and not tap.rate.grant(1)):
                continue
            if not tap.over:
                tap.deliver(Shown(record, sorted(sample.indexes)))

    async def _record(self, components: Components, sample: Sample, selection: Selection) -> bytes | None:
        hidden = await self._hidden_for(components, sample, selection)
        _, rerunner = self._working_thread()
        secrets = components.registry.catalog.secrets
        return await self._on_thread(_encoded_record, sample, selection, hidden, rerunner, secrets)

    async def _matching(self, components: Components, samples: list[Sample], selection: Selection) -> list[Sample]:
        found: dict[frozenset[str], HiddenFields] = {}
        hidden = []
        for sample in samples:
            indexes = frozenset(sample.masked_by)
            if indexes not in found:
                found[indexes] = await self._hidden_for(components, sample, selection)
            hidden.append(found[indexes])
        return await self._on_thread(_matches, samples, hidden, selection, components.registry.catalog.secrets)

    async def _hidden_for(self, components: Components, sample: Sample, selection: Selection) -> HiddenFields:
        found = [await self._hidden_of(components, index) for index in sample.masked_by]
        if not found and may_mask(components):
            found = [HiddenFields.of([EVERYTHING])]
        if not any(found) and not selection.hide:
            return HiddenFields()
        return HiddenFields.of([name for each in (*found, selection.hidden) for name in each.names])

    async def _hidden_of(self, components: Components, index: str) -> HiddenFields:
        cached = self._hidden.valid_for(components.registry.snapshot).get(index)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        hidden = await hidden_of(components, index)
        self._hidden.valid_for(components.registry.snapshot).set(index, (time.monotonic() + HIDDEN_SECONDS, hidden))
        return hidden

    async def _on_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        pool, _ = self._working_thread()
        return await asyncio.wrap_future(pool.submit(work, *args, **kwargs))

    def _working_thread(self) -> tuple[ThreadPoolExecutor, Rerunner]:
        """The thread and the sandboxes that it alone uses: a thread that still ends shares none with the next."""
        if self._thread is None:
            pool = ThreadPoolExecutor(1, thread_name_prefix="headrace-tap", initializer=step_back)
            self._thread = (pool, Rerunner(self._catalog))
        return self._thread

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Keeps the thread and its sandboxes for the block."""
        self._users += 1
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        """Lets the thread and its sandboxes go with their last user; what it works on is not waited for."""
        self._users -= 1
        if not self._users and self._thread is not None:
            pool, _ = self._thread
            self._thread = None
            pool.shutdown(wait=False)


def _encoded_record(
    sample: Sample, selection: Selection, hidden: HiddenFields, rerunner: Rerunner, secrets: Secrets
) -> bytes | None:
    record = record_of(sample, selection, hidden, rerunner)
    return None if record is None else secrets.hidden_in(encoded(record))


def step_back() -> None:
    """Lowers the priority of this thread, where the system takes the number of a thread for that of a process."""
    if sys.platform != "linux":
        return
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    except OSError:
        log.debug("the thread of taps has the priority of the process")


def _judged_late(selection: Selection) -> bool:
    return bool({"slow", "skipped"}.intersection(selection.outcome))


def _matches(samples: list[Sample], hidden: list[HiddenFields], selection: Selection, secrets: Secrets) -> list[Sample]:
    """The samples that `match` selects by what may be seen of them."""
    seen: list[tuple[Sample, bytes]] = []
    for sample, fields in zip(samples, hidden, strict=True):
        if sample.text is None:
            continue
        with contextlib.suppress(ValueError, RecursionError):
            seen.append((sample, matched_text(sample, fields, secrets)))
    return matching(seen, selection.conditions)
