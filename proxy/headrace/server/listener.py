"""The socket that clients connect to, and what their connections share."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from headrace.server.connection import ClientConnection
from headrace.server.handler_transport import transport_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from headrace.server.connection import Forwarder

log = logging.getLogger("headrace.http")
_silent = logging.getLogger("headrace.http.aiohttp")
"""aiohttp logs what it refuses with a trace; such requests are refused, and logged, by their connection."""
_silent.setLevel(logging.CRITICAL + 1)

READ_BYTES = 256 << 10
"""Bytes that one read of a socket takes at most: as many as uvloop's own buffer has."""
IDLE_SECONDS = 3630.0
"""Seconds that a connection may be idle: longer than the clients' pools and the load balancers in front keep theirs, so
that it is they who close it."""
_MAX_HEADERS = 1024
"""Maximum number of header lines of a request."""
_NEVER = 10.0 * 365 * 24 * 3600
"""Seconds after which aiohttp takes a connection for idle: idling is the connection's to judge."""
BACKLOG = 1024
"""Connections that the system accepts before the process does."""


class RequestHeadLimits(NamedTuple):
    """Limits of a head: bytes of the request line, bytes of all header lines, number of header lines."""

    request_line: int
    header_bytes: int
    headers: int = _MAX_HEADERS


class Listener:
    """Accepts clients. `handle` answers a request and says what it has sent."""

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        forwarder: Forwarder | None,
        limits: RequestHeadLimits,
        *,
        client_seconds: float,
    ) -> None:
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self.forwarder = forwarder
        self.limits = limits
        self.client_seconds = client_seconds
        """Seconds in which a client has to end a head, or to take something of a response."""
        self.idle_seconds = IDLE_SECONDS
        self.buffer = memoryview(bytearray(READ_BYTES))
        """Where all connections read: what one reads is taken out before another one does."""
        self.connections: set[ClientConnection] = set()
        self.draining = False
        """Whether each response is the last one of its connection."""
        self._none_left: asyncio.Future[None] | None = None
        self._servers: list[asyncio.Server] = []
        # Ours is the stricter parser: aiohttp's limits are wider.
        longest = 2 * (limits.request_line + limits.header_bytes)
        self._aiohttp_server = web.Server(
            self._answer,
            handler_cancellation=True,
            access_log=None,
            logger=_silent,
            keepalive_timeout=_NEVER,
            tcp_keepalive=False,
            lingering_time=0.0,
            max_line_size=longest,
            max_field_size=longest,
            max_headers=2 * limits.headers,
        )

    async def start(self, host: str, port: int, context: ssl.SSLContext | None, *, shared: bool) -> None:
        """Listens; `shared`: with other processes. Raises OSError if the address is taken."""
        server = await self._loop.create_server(
            self.accept, host, port, ssl=context, backlog=BACKLOG, reuse_port=shared or None
        )
        self._servers = [server]

    def accept(self) -> ClientConnection:
        """A connection for a client that has come, also one within this process."""
        return ClientConnection(self, self._loop)

    async def renew_tls(self, context: ssl.SSLContext) -> None:
        """Accepts further clients with another context; the sockets stay, so that nobody is refused meanwhile.

        Sessions of the context before cannot be resumed: whoever comes shows a certificate of the present authorities.
        """
        before = self._servers
        # The transport of a listening socket has no `dup`, but a file number.
        sockets = [socket.socket(fileno=os.dup(each.fileno())) for server in before for each in server.sockets]
        self._servers = [
            await self._loop.create_server(self.accept, sock=each, ssl=context, backlog=BACKLOG) for each in sockets
        ]
        # uvloop accepts a client and hands it over in one step, so none is between two servers.
        for server in before:
            server.close()

    def drain(self) -> None:
        """From now on every response ends its connection, and says so."""
        self.draining = True
        # Only handlers write heads that say it.
        self.forwarder = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._servers[0].sockets[0].getsockname()[1])

    async def stop(self, grace: float) -> None:
        """Accepts nobody any more, and ends with the requests in progress, or after `grace` seconds."""
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.shut_down()
        if self.connections:
            self._none_left = self._loop.create_future()
            await asyncio.wait([self._none_left], timeout=grace)
        for connection in list(self.connections):
            connection.abort()
        await self._aiohttp_server.shutdown(0)

    def lost(self, connection: ClientConnection) -> None:
        """A client is gone."""
        self.connections.discard(connection)
        if not self.connections and self._none_left is not None and not self._none_left.done():
            self._none_left.set_result(None)

    def make_aiohttp_handler(self) -> web.RequestHandler:
        """The handler of aiohttp for the requests of a connection."""
        return self._aiohttp_server()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers a request, and has its connection go on."""
        transport = transport_of(request)
        if transport is None:
            return _WRITTEN
        try:
            sent = await self._handle(request)
        except ConnectionError:
            transport.abort()
        except Exception:
            log.exception("a request failed without a response")
            transport.abort()
        else:
            transport.answered(keep_alive=bool(sent.keep_alive))
        return _WRITTEN


class _Written(web.StreamResponse):
    """A response that has been written: nothing of it is left for aiohttp."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """It has been written."""

    async def write_eof(self, data: bytes = b"") -> None:
        """It has been written."""

    @property
    def keep_alive(self) -> bool:
        """Whether aiohttp's handler goes on; the connection is ours to close."""
        return True


_WRITTEN = _Written()
