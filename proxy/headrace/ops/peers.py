"""The workers of one proxy to each other: counts on request, and word of changes in the registry and of names.

Each worker listens on a Unix socket in a folder that only this user can enter. A message is one word; the answer is
everything up to the end of the connection. That names change holds until the connection ends, however it does. A
worker that does not answer in time is left out, as one that is just starting.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from headrace.ops.metrics.history import Wanted
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headrace.ops.lifecycle import Lifecycle
    from headrace.ops.metrics import Metrics
    from headrace.protocol.indices.resolver import IndexResolver
    from headrace.registry.live import LiveRegistry

log = logging.getLogger("headrace.workers")

ANSWER_SECONDS = 2.0
"""Seconds for the answer of another worker; one that is late is left out, so that a request does not hang on it."""
RELOAD_SECONDS = 30.0
"""Seconds for another worker that reloads or reads the registry: it may compile all pipelines."""
STATS, METRICS, CHANGED, CHANGING = b"stats\n", b"metrics\n", b"changed\n", b"changing names\n"
RELOAD = b"reload\n"
HISTORY = b"history "
"""What follows it, up to the end of the line, is a [`Wanted`] in JSON."""
HEARD = b"ok\n"


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
    ) -> None:
        self._folder = folder
        self._own = folder / f"worker-{number}.sock"
        self._metrics = metrics
        self._registry = registry
        self._resolver = resolver
        self._lifecycle = lifecycle
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
        return await self._ask(STATS)

    async def compact_dumps(self) -> list[bytes]:
        """The same with durations for Prometheus' buckets only."""
        return await self._ask(METRICS)

    async def histories(self, wanted: Wanted) -> list[bytes]:
        """The history of each other worker that answers, as `History.dump` gives it."""
        return await self._ask(HISTORY + msgspec.json.encode(wanted) + b"\n")

    async def changed(self) -> None:
        """Has each other worker read the registry, and waits for it."""
        await self._ask(CHANGED, RELOAD_SECONDS)

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
        answers = await asyncio.gather(*(self._ask_worker(path, RELOAD, RELOAD_SECONDS) for path in others))
        texts = [answer.decode(errors="replace").strip() or "no answer" for answer in answers]
        return [
            f"{path.stem}: {text}" for path, text in zip(others, texts, strict=True) if text.encode() + b"\n" != HEARD
        ]

    def _others(self) -> list[Path]:
        return [path for path in self._folder.glob("worker-*.sock") if path != self._own]

    @staticmethod
    async def _notify(path: Path) -> asyncio.StreamWriter | None:
        writer = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(CHANGING)
                await reader.readline()
                return writer
        except (OSError, TimeoutError) as error:
            log.warning("worker at %s does not answer: %s", path.name, type(error).__name__)
            return writer

    async def _ask(self, message: bytes, seconds: float = ANSWER_SECONDS) -> list[bytes]:
        answers = await asyncio.gather(*(self._ask_worker(path, message, seconds) for path in self._others()))
        return [answer for answer in answers if answer]

    @staticmethod
    async def _ask_worker(path: Path, message: bytes, seconds: float = ANSWER_SECONDS) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    writer.write(message)
                    return await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            log.warning("worker at %s does not answer: %s", path.name, type(error).__name__)
            return b""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            message = await reader.readline()
            if message in (STATS, METRICS):
                writer.write(await asyncio.to_thread(self._metrics.dump, compact=message == METRICS))
            elif message.startswith(HISTORY):
                wanted = msgspec.json.decode(message.removeprefix(HISTORY), type=Wanted)
                writer.write(await asyncio.to_thread(self._metrics.history.dump, wanted))
            elif message == CHANGED:
                await self._registry.refresh()
                writer.write(HEARD)
            elif message == RELOAD:
                writer.write(await self._reloaded())
            elif message == CHANGING:
                async with self._resolver.changing():
                    writer.write(HEARD)
                    await writer.drain()
                    await reader.read()
            await writer.drain()
        except (HeadraceError, OSError) as error:
            log.warning("a question of another worker could not be answered: %s", error)
        finally:
            writer.close()

    async def _reloaded(self) -> bytes:
        try:
            await self._lifecycle.reload()
        except HeadraceError as error:
            return error.reason.encode()
        return HEARD
