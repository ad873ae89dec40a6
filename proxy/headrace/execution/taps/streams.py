"""Streams between workers: what one sends of its taps and UDF logs, and what the caller's worker gathers of all."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Self

import msgspec

from headrace.execution.taps.hub import Counted, RecordQueue, Shown, Tap
from headrace.execution.taps.selection import MAX_SECONDS, LogsMessage, TapMessage
from headrace_pipelines.errors import OverloadedError
from headrace_pipelines.udf.lines import MAX_LINES, Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from headrace.execution.taps.hub import Taps
    from headrace.execution.taps.selection import Selection
    from headrace.ops.following import Following
    from headrace.ops.metrics import Peers
    from headrace_pipelines.udf.catalog import Catalog
    from headrace_pipelines.udf.lines import UdfLines

COUNT_SECONDS = 0.5
"""Seconds from one frame with the counts of a worker to the next."""
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
        sent = Counted()
        try:
            await send(msgspec.msgpack.encode(sent))
            while not (ended.done() or tap.over):
                await _either(event, ended, COUNT_SECONDS)
                while tap.queue:
                    await send(msgspec.msgpack.encode(tap.queue.popleft()))
                if tap.counted != sent:
                    sent = tap.counted
                    await send(msgspec.msgpack.encode(sent))
        finally:
            self._taps.stop(tap)

    async def _logs(
        self, message: LogsMessage, send: Callable[[bytes], Awaitable[None]], ended: asyncio.Future[bytes]
    ) -> None:
        lines, event = self._catalog.lines(message.udf), asyncio.Event()
        with Listener(lines, MAX_LINES, event, listens=message.follow) as listener:
            await send(msgspec.msgpack.encode(lines.last(message.lines)))
            async with self._taps.limits.within(MAX_SECONDS):
                while message.follow and not ended.done():
                    await _either(event, ended, COUNT_SECONDS)
                    if found := listener.pop_all():
                        await send(msgspec.msgpack.encode(found))


async def _either(event: asyncio.Event, ended: asyncio.Future[bytes], seconds: float) -> None:
    """Waits for an event, the end of the asker's side, or so many seconds; clears the event."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((waiting, ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    event.clear()


class Listener:
    """The lines of a UDF to come, at most so many; a context on the event loop, whatever thread logs them."""

    def __init__(self, lines: UdfLines, most: int, event: asyncio.Event, *, listens: bool = True) -> None:
        """`event` is set when there are lines. The catalog may have other lines of this name by the end."""
        self._lines = lines
        self._event = event
        self._listens = listens
        self._found: deque[Line] = deque(maxlen=most)
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        if self._listens:
            self._lines.listen(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.forget(self._hear)

    def add(self, lines: list[Line]) -> None:
        """Adds lines. Called on the loop."""
        self._found.extend(lines)
        self._event.set()

    def pop_all(self) -> list[Line]:
        """The lines that wait, by time."""
        found = sorted(self._found, key=lambda line: line.ts)
        self._found.clear()
        return found

    def _hear(self, lines: list[Line]) -> None:
        # A loop that is closed must not fail the run that logs.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.add, lines)


class Gathered:
    """The records of a tap from all workers; `counted` is the sum of their counts."""

    def __init__(self, taps: Taps, peers: Peers | None, selection: Selection) -> None:
        self._taps = taps
        self._selection = selection
        self._event = asyncio.Event()
        self._queue = RecordQueue(taps.held)
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
        try:
            if self._following is not None:
                await self._following.start()
        except BaseException:
            # Nobody enters the block: a client that goes now must not leave its tap open.
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Closes the tap in all workers; their last counts are here then."""
        tap, self._tap = self._tap, None
        if tap is not None:
            self._taps.stop(tap)
            self._counts["own"] = tap.counted
            try:
                if self._following is not None:
                    await self._following.stop()
            finally:
                self._queue.clear()

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
        elif self._tap is None or not self._queue.append(message):
            self._missed += 1
        else:
            self._event.set()


class GatheredLogs:
    """The lines of a UDF from all workers; further ones come to `next`."""

    def __init__(self, catalog: Catalog, peers: Peers | None, message: LogsMessage) -> None:
        self._lines = catalog.lines(message.udf)
        self._message = message
        self._event = asyncio.Event()
        self._listener = Listener(self._lines, 8 * MAX_LINES, self._event, listens=message.follow)
        self._following: Following | None = None
        if peers is not None:
            self._following = peers.follow(msgspec.msgpack.encode(message), self._receive)

    async def __aenter__(self) -> Self:
        self._listener.__enter__()
        try:
            self._listener.add(self._lines.last(self._message.lines))
            if self._following is not None:
                await self._following.start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    def last(self) -> list[Line]:
        """The last lines of all workers, oldest first."""
        last = self._listener.pop_all()
        return last[-self._message.lines :] if self._message.lines else []

    async def _stop(self) -> None:
        self._listener.__exit__()
        if self._following is not None:
            await self._following.stop()

    async def next(self, seconds: float) -> list[Line]:
        """Lines that have come within so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()
        return self._listener.pop_all()

    def _receive(self, _: str, frame: bytes) -> None:
        self._listener.add(_LINES.decode(frame))
