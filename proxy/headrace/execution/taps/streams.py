"""Streams between workers: what one sends of its taps and UDF logs, and what the caller's worker gathers of all."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Self

import msgspec

from headrace.execution.taps.hub import MAX_QUEUED, Counted, Shown, Tap
from headrace.execution.taps.selection import LogsMessage, TapMessage
from headrace_pipelines.errors import OverloadedError
from headrace_pipelines.udf.lines import MAX_LINES, Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

    from headrace.execution.taps.hub import Taps
    from headrace.execution.taps.selection import Selection
    from headrace.ops.following import Following
    from headrace.ops.metrics import Peers
    from headrace_pipelines.udf.catalog import Catalog

COUNT_SECONDS = 0.5
"""Seconds between two words of a worker about its counts."""
_WANTED = msgspec.msgpack.Decoder(TapMessage | LogsMessage)
_FRAME = msgspec.msgpack.Decoder(Shown | Counted)
_LINES = msgspec.msgpack.Decoder(list[Line])


class Streams:
    """What this worker sends to another one that asks for it."""

    def __init__(self, taps: Taps, catalog: Catalog) -> None:
        self._taps = taps
        self._catalog = catalog

    async def __call__(
        self, wanted: bytes, send: Callable[[bytes], Awaitable[None]], ended: asyncio.Future[bytes]
    ) -> None:
        """Sends frames until the asker has ended its side."""
        message = _WANTED.decode(wanted)
        if isinstance(message, TapMessage):
            await self._tap(message, send, ended)
        else:
            await self._logs(message, send, ended)

    async def _tap(
        self, message: TapMessage, send: Callable[[bytes], Awaitable[None]], ended: asyncio.Future[bytes]
    ) -> None:
        event = asyncio.Event()
        try:
            tap = self._taps.start(message.selection, event.set)
        except OverloadedError:
            return
        told = Counted()
        try:
            await send(msgspec.msgpack.encode(told))
            while not (ended.done() or tap.over):
                await _either(event, ended, COUNT_SECONDS)
                while tap.queue:
                    await send(msgspec.msgpack.encode(tap.queue.popleft()))
                if tap.counted != told:
                    told = tap.counted
                    await send(msgspec.msgpack.encode(told))
        finally:
            self._taps.stop(tap)

    async def _logs(
        self, message: LogsMessage, send: Callable[[bytes], Awaitable[None]], ended: asyncio.Future[bytes]
    ) -> None:
        with _listening(self._catalog, message) as (waiting, event):
            await send(msgspec.msgpack.encode(self._catalog.lines(message.udf).last(message.lines)))
            while message.follow and not ended.done():
                await _either(event, ended, COUNT_SECONDS)
                if waiting:
                    lines = list(waiting)
                    waiting.clear()
                    await send(msgspec.msgpack.encode(lines))


async def _either(event: asyncio.Event, ended: asyncio.Future[bytes], seconds: float) -> None:
    """Waits for an event, the end of the asker's side, or so many seconds; clears the event."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((waiting, ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    event.clear()


@contextlib.contextmanager
def _listening(catalog: Catalog, message: LogsMessage) -> Iterator[tuple[deque[Line], asyncio.Event]]:
    """The lines of a UDF to come, at most as many as are kept, and an event for them."""
    waiting: deque[Line] = deque(maxlen=MAX_LINES)
    event, loop, lines = asyncio.Event(), asyncio.get_running_loop(), catalog.lines(message.udf)

    def listener(found: list[Line]) -> None:
        waiting.extend(found)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(event.set)

    if message.follow:
        lines.listen(listener)
    try:
        yield waiting, event
    finally:
        lines.forget(listener)


class Gathered:
    """The records of a tap from all workers; `counted` is the sum of their counts."""

    def __init__(self, taps: Taps, peers: Peers | None, selection: Selection) -> None:
        self._taps = taps
        self._selection = selection
        self._event = asyncio.Event()
        self._queue: deque[Shown] = deque()
        self._counts: dict[str, Counted] = {}
        self._gone: list[Counted] = []
        self._missed = 0
        self._tap: Tap | None = None
        self._following: Following | None = None
        if peers is not None:
            wanted = msgspec.msgpack.encode(TapMessage(selection))
            self._following = peers.follow(wanted, self._receive)

    async def __aenter__(self) -> Self:
        """Opens the tap in all workers. Raises OverloadedError."""
        self._tap = self._taps.start(self._selection, self._event.set)
        if self._following is not None:
            await self._following.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Closes the tap in all workers; their last counts are here then."""
        tap, self._tap = self._tap, None
        if tap is not None:
            self._counts["own"] = tap.counted
            self._taps.stop(tap)
            if self._following is not None:
                await self._following.stop()

    @property
    def over(self) -> bool:
        """Whether the proxy has ended the tap."""
        return self._tap is None or self._tap.over

    @property
    def counted(self) -> Counted:
        """The counts of all workers now."""
        parts = [*self._counts.values(), *self._gone]
        if self._tap is not None:
            parts.append(self._tap.counted)
        return Counted(
            sum(part.seen for part in parts),
            sum(part.unexamined for part in parts),
            sum(part.missed for part in parts) + self._missed,
        )

    async def next(self, seconds: float) -> Shown | None:
        """The next record; `None` if none comes within so many seconds."""
        tap = self._tap
        if not self._queue and (tap is None or not tap.queue) and not self.over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._event.wait()
        self._event.clear()
        if tap is not None and tap.queue:
            return tap.queue.popleft()
        return self._queue.popleft() if self._queue else None

    def _receive(self, worker: str, frame: bytes) -> None:
        message = _FRAME.decode(frame)
        if isinstance(message, Counted):
            before = self._counts.get(worker)
            if before is not None and message.seen < before.seen:
                # Another worker has its number now.
                self._gone.append(before)
            self._counts[worker] = message
        elif len(self._queue) >= MAX_QUEUED:
            self._missed += 1
        else:
            self._queue.append(message)
            self._event.set()


class GatheredLogs:
    """The lines of a UDF from all workers; further ones come to `next`."""

    def __init__(self, catalog: Catalog, peers: Peers | None, message: LogsMessage) -> None:
        self._catalog = catalog
        self._message = message
        self._event = asyncio.Event()
        self._found: deque[Line] = deque(maxlen=8 * MAX_LINES)
        self._following: Following | None = None
        self._loop = asyncio.get_running_loop()
        if peers is not None:
            self._following = peers.follow(msgspec.msgpack.encode(message), self._receive)

    async def start(self) -> list[Line]:
        """The last lines of all workers, oldest first."""
        lines = self._catalog.lines(self._message.udf)
        if self._message.follow:
            lines.listen(self._listener)
        self._found.extend(lines.last(self._message.lines))
        if self._following is not None:
            await self._following.start()
        last = self.taken()
        return last[-self._message.lines :] if self._message.lines else []

    async def stop(self) -> None:
        """Ends the streams."""
        self._catalog.lines(self._message.udf).forget(self._listener)
        if self._following is not None:
            await self._following.stop()

    async def next(self, seconds: float) -> list[Line]:
        """Lines that have come within so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()
        return self.taken()

    def taken(self) -> list[Line]:
        """The lines that wait, by time."""
        found = sorted(self._found, key=lambda line: line.ts)
        self._found.clear()
        return found

    def _receive(self, _: str, frame: bytes) -> None:
        self._found.extend(_LINES.decode(frame))
        self._event.set()

    def _listener(self, lines: list[Line]) -> None:
        self._loop.call_soon_threadsafe(self._add, lines)

    def _add(self, lines: list[Line]) -> None:
        self._found.extend(lines)
        self._event.set()
