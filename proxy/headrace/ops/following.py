"""Streams of all other workers at once, which go on when a worker dies and another one takes its number."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import msgspec

from headrace.ops.messages import Follow, encoded, read_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger("headrace.workers")

POLL_SECONDS = 0.5
"""Seconds between two searches for new workers: for as long the documents of one may go unseen."""
CONNECT_SECONDS = 2.0
"""Seconds for a worker to take the connection."""
LAST_SECONDS = 1.0
"""Seconds for a worker to send the end of its stream."""
_BROKEN = (OSError, TimeoutError, msgspec.DecodeError)
"""What a worker that dies, hangs or is of another version raises."""


class Following:
    """The streams of the workers at `others`; each frame goes to `receive` with the name of its worker."""

    def __init__(self, others: Callable[[], list[Path]], wanted: bytes, receive: Callable[[str, bytes], None]) -> None:
        self._others = others
        self._wanted = encoded(Follow(wanted))
        self._receive = receive
        self._streams: dict[Path, tuple[asyncio.StreamWriter, asyncio.Task[None]]] = {}
        self._searching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connects to all workers that are there, and goes on to search for new ones."""
        await self._connect_new()
        self._searching = asyncio.create_task(self._poll())

    async def stop(self) -> None:
        """Asks each worker for the end of its stream, reads it, and ends; connections are closed in any case."""
        searching, self._searching = self._searching, None
        streams, self._streams = self._streams, {}
        reading = [task for _, task in streams.values()]
        if searching is not None:
            searching.cancel()
            reading.append(searching)
        try:
            for writer, _ in streams.values():
                with contextlib.suppress(OSError, RuntimeError):
                    writer.write_eof()
            if reading:
                await asyncio.wait(reading, timeout=LAST_SECONDS)
        finally:
            for writer, task in streams.values():
                task.cancel()
                writer.close()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self._connect_new()

    async def _connect_new(self) -> None:
        for path in [path for path, (_, task) in self._streams.items() if task.done()]:
            self._streams.pop(path)[0].close()
        await asyncio.gather(*(self._connect(path) for path in self._others() if path not in self._streams))

    async def _connect(self, path: Path) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(self._wanted)
                # The first frame says that the worker follows from now on.
                first = await read_frame(reader)
            if first is not None:
                self._receive(path.stem, first)
                self._streams[path] = (writer, asyncio.create_task(self._read(path.stem, reader)))
                writer = None
        except _BROKEN as error:
            log.debug("worker at %s has no stream: %s", path.name, type(error).__name__)
        finally:
            if writer is not None:
                writer.close()

    async def _read(self, name: str, reader: asyncio.StreamReader) -> None:
        try:
            while (frame := await read_frame(reader)) is not None:
                self._receive(name, frame)
        except _BROKEN as error:
            log.warning("the stream of %s has ended: %s", name, type(error).__name__)
