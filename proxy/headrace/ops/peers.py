"""The workers of one proxy to each other: counts on request, word of changes in the registry and of names, streams.

Each worker listens on a Unix socket in a folder that only this user can enter. A connection begins with a message
(`messages`); the answer is everything up to the end of the connection, or frames. That names change holds until the
connection ends, however it does. A worker that does not answer in time is left out, as one that is just starting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from headrace.ops.following import Following
from headrace.ops.messages import (
    Changed,
    Changing,
    Follow,
    History,
    Reload,
    Stats,
    encoded,
    framed,
    read_message,
)
from headrace.ops.metrics.history import Wanted
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headrace.ops.lifecycle import Lifecycle
    from headrace.ops.messages import Message
    from headrace.ops.metrics import Metrics
    from headrace.protocol.indices.resolver import IndexResolver
    from headrace.registry.live import LiveRegistry

log = logging.getLogger("headrace.workers")

ANSWER_SECONDS = 2.0
"""Seconds for the answer of another worker; one that is late is left out, so that a request does not hang on it."""
RELOAD_SECONDS = 30.0
"""Seconds for another worker that reloads or reads the registry: it may compile all pipelines."""
HEARD = b"ok\n"


Streams = Callable[[bytes, Callable[[bytes], Awaitable[None]], asyncio.Future[bytes]], Awaitable[None]]
"""Sends frames of what is wanted, the first one at once, until the asker has ended its side."""


class Peers:
    """The sockets of the other workers, and the one of this."""

    def __init__(
        self,
        folder: Path,
        number: int,
        metrics: Metrics,
        registry: LiveRegistry,
        resolver: IndexResolver,
        lifecycle: Lifecycle,
        streams: Streams,
    ) -> None:
        """`streams` sends the frames that another worker asks for."""
        self._folder = folder
        self._own = folder / f"worker-{number}.sock"
        self._metrics = metrics
        self._registry = registry
        self._resolver = resolver
        self._lifecycle = lifecycle
        self._streams = streams
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens, and lets metrics and registry know of the others."""
        self._own.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._answer, self._own)
        self._metrics.peers = self
        self._metrics.history.ask_others = self.histories
        self._registry.tell_others = self.changed
        self._resolver.tell_others = self.changing

    async def stop(self) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.close()
        self._own.unlink(missing_ok=True)

    async def dumps(self) -> list[bytes]:
        """The counts of each other worker that answers."""
        return await self._ask(Stats())

    async def compact_dumps(self) -> list[bytes]:
        """The same with durations for Prometheus' buckets only."""
        return await self._ask(Stats(compact=True))

    async def histories(self, wanted: Wanted) -> list[bytes]:
        """The history of each other worker that answers, as `History.dump` gives it."""
        return await self._ask(History(msgspec.json.encode(wanted)))

    async def changed(self) -> None:
        """Has each other worker read the registry, and waits for it."""
        await self._ask(Changed(), RELOAD_SECONDS)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Has each other worker read names anew for every request, until the context ends."""
        told = await asyncio.gather(*(self._notify(path) for path in self._others()))
        try:
            yield
        finally:
            for writer in told:
                if writer is not None:
                    writer.close()

    async def reload(self) -> list[str]:
        """Has each other worker reload; gives the reasons of those that did not."""
        others = self._others()
        answers = await asyncio.gather(*(self._ask_worker(path, Reload(), RELOAD_SECONDS) for path in others))
        texts = [answer.decode(errors="replace").strip() or "no answer" for answer in answers]
        return [
            f"{path.stem}: {text}" for path, text in zip(others, texts, strict=True) if text.encode() + b"\n" != HEARD
        ]

    def follow(self, wanted: bytes, receive: Callable[[str, bytes], None]) -> Following:
        """The streams of all other workers; `receive` gets the name of a worker and a frame."""
        return Following(self._others, wanted, receive)

    def _others(self) -> list[Path]:
        return [path for path in self._folder.glob("worker-*.sock") if path != self._own]

    @staticmethod
    async def _notify(path: Path) -> asyncio.StreamWriter | None:
        writer = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(encoded(Changing()))
                await reader.readline()
                return writer
        except (OSError, TimeoutError) as error:
            log.warning("worker at %s does not answer: %s", path.name, type(error).__name__)
            return writer

    async def _ask(self, message: Message, seconds: float = ANSWER_SECONDS) -> list[bytes]:
        answers = await asyncio.gather(*(self._ask_worker(path, message, seconds) for path in self._others()))
        return [answer for answer in answers if answer]

    @staticmethod
    async def _ask_worker(path: Path, message: Message, seconds: float = ANSWER_SECONDS) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    writer.write(encoded(message))
                    return await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            log.warning("worker at %s does not answer: %s", path.name, type(error).__name__)
            return b""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            message = await read_message(reader)
            if isinstance(message, Stats):
                writer.write(await asyncio.to_thread(self._metrics.dump, compact=message.compact))
            elif isinstance(message, History):
                wanted = msgspec.json.decode(message.wanted, type=Wanted)
                writer.write(await asyncio.to_thread(self._metrics.history.dump, wanted))
            elif isinstance(message, Changed):
                await self._registry.refresh()
                writer.write(HEARD)
            elif isinstance(message, Reload):
                writer.write(await self._reloaded())
            elif isinstance(message, Follow):
                await self._stream(message.wanted, reader, writer)
            elif message is not None:
                async with self._resolver.changing():
                    writer.write(HEARD)
                    await writer.drain()
                    await reader.read()
            await writer.drain()
        except (HeadraceError, OSError) as error:
            log.warning("a question of another worker could not be answered: %s", error)
        finally:
            writer.close()

    async def _stream(self, wanted: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Sends frames until the asker ends its side; then those that are left."""
        ended = asyncio.create_task(reader.read())

        async def send(frame: bytes) -> None:
            writer.write(framed(frame))
            await writer.drain()

        try:
            await self._streams(wanted, send, ended)
        finally:
            ended.cancel()

    async def _reloaded(self) -> bytes:
        try:
            await self._lifecycle.reload()
        except HeadraceError as error:
            return error.reason.encode()
        return HEARD
