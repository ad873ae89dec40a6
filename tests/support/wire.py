"""A wire between proxy and node that can be cut: fakes belong at the network's edge."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit


class Wire:
    """Forwards bytes from a port of its own to the node while it is up."""

    def __init__(self, node: str) -> None:
        parts = urlsplit(node)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()
        self._own_port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._own_port}"

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._link, "127.0.0.1", self._own_port)
        self._own_port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuses new connections and resets those that are open."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._links):
            writer.transport.abort()
        self._server = None
        await asyncio.sleep(0)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self.host, self.port)
        self._links |= {writer, there_writer}
        await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
        self._links -= {writer, there_writer}

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(ConnectionError, OSError):
            writer.close()
