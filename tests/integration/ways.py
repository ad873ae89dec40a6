"""A proxy between a client that is on the wire itself and a cluster that says what it is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.app import Proxy
    from headrace.server.connection import ClientConnection
    from tests.support.cluster import Cluster


class Client:
    """A connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def __call__(self, *pieces: bytes, pause: float = 0.02) -> bytes:
        """Sends a request in pieces, and reads the answer to it."""
        for piece in pieces:
            self.writer.write(piece)
            if len(pieces) > 1:
                await asyncio.sleep(pause)
        return await self.answer()

    async def answer(self) -> bytes:
        """The next answer, by its Content-Length."""
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            return head + (await self.reader.readexactly(int(lengths[0][15:])) if lengths else b"")


@dataclass
class Way:
    """A proxy in front of a cluster; `taken`: what was forwarded without a handler."""

    cluster: Cluster
    proxy: Proxy
    taken: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    @property
    def forwarder(self) -> object:
        """What forwards without a handler."""
        return self.proxy._listener.forwarder if self.proxy._listener is not None else None

    @property
    def connections(self) -> set[ClientConnection]:
        """The clients' connections."""
        assert self.proxy._listener is not None
        return self.proxy._listener.connections

    async def client(self) -> Client:
        """A connection to the proxy, which has one to the cluster that nobody uses."""
        client = Client(*await asyncio.open_connection("127.0.0.1", int(self.proxy.url.rpartition(":")[2])))
        self.clients.append(client)
        await client(b"GET /warm HTTP/1.1\r\nHost: p\r\n\r\n")
        await asyncio.sleep(0.01)
        self.taken.clear()
        self.cluster.seen.clear()
        return client

    def sent_on(self) -> list[bytes]:
        """What arrived at the cluster, but for the port that it is called by."""
        return [request.replace(b":%d" % self.cluster.port, b"") for request in self.cluster.seen]

    async def stop_before(self, client: Client) -> bytes:
        """Stops the proxy while a client waits for an answer: what it gets, and nothing behind it."""
        _, came = await asyncio.gather(self.proxy.stop(), client.answer())
        assert await client.reader.read() == b""
        return came

    async def stop_listening(self) -> None:
        """Ends the clients' side of the proxy, which waits for what is in progress."""
        assert self.proxy._listener is not None
        await self.proxy._listener.stop(10)

    async def in_flight(self) -> int:
        assert self.proxy._components is not None
        return self.proxy._components.metrics.counts().in_flight


def post(target: str, body: bytes = b"{}", *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    head = b"POST %b HTTP/1.1\r\nHost: p\r\nContent-Length: %d\r\n%b\r\n" % (target.encode(), len(body), lines)
    return head + body


def get(target: str, *headers: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: p\r\n%b\r\n" % (target.encode(), b"".join(h + b"\r\n" for h in headers))
