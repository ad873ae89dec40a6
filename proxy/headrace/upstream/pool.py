"""Connections to nodes: made, kept between two requests, and used again."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from yarl import URL

from headrace.http1 import splice
from headrace.http1.body import RequestBody
from headrace.http1.framing import MAX_JOINED_BYTES
from headrace.http1.splice import Pipes, StallTimeouts
from headrace.upstream.connection import BUFFER_BYTES, NodeConnection
from headrace.upstream.errors import ConnectError
from headrace.upstream.pending import PendingResponse
from headrace.upstream.sending import request_head, send

if TYPE_CHECKING:
    from headrace.upstream.sending import Body, Sending
    from headrace_pipelines.http1 import RequestHead

IDLE_SECONDS = 15.0
"""Seconds that a connection is kept which nobody uses: fewer than nodes and what is in front of them keep one."""


class ConnectionPool:
    """Connections to the nodes of a cluster.

    `connect`, `read`: seconds for a connection to be made, and for a node's next byte; `client`: for the next byte of a
    client's body, and for a client to take the next of a long response.
    """

    def __init__(
        self, ssl_context: ssl.SSLContext | None, connect: float, read: float | None, client: float | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ssl_context = ssl_context
        self._connect_seconds = connect
        self.read_seconds = read
        self.client_seconds = client
        self._patience = StallTimeouts(client, read)
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._nodes: dict[str, _Node] = {}
        self._open: set[NodeConnection] = set()
        self.pipes = Pipes()
        """For long bodies, both ways."""
        # The probe needs file numbers; they may run out later.
        splice.works()

    def renew(
        self, ssl_context: ssl.SSLContext | None, connect: float, read: float | None, client: float | None
    ) -> None:
        """Other terms for connections to come; those in use end with their exchange, and idle ones now."""
        self._ssl_context, self._connect_seconds = ssl_context, connect
        self.read_seconds, self.client_seconds = read, client
        self._patience = StallTimeouts(client, read)
        nodes, self._nodes = self._nodes, {}
        for node in nodes.values():
            node.retire()

    async def close(self) -> None:
        """Closes all connections."""
        self.pipes.close()
        for node in self._nodes.values():
            node.close()
        for connection in tuple(self._open):
            connection.close()

    def _node(self, url: str) -> _Node:
        node = self._nodes.get(url)
        if node is None:
            node = self._nodes[url] = _Node(self, url, self._ssl_context, self._loop)
        return node

    async def send(self, node: str, method: str, target: str, lines: bytes, body: Body) -> PendingResponse:
        """Sends a request to a node, by its URL without a path.

        `lines`: header lines, each with its end, none about framing or the host. Raises ConnectError when no connection
        is made, TimeoutError when that takes too long.
        """
        found = self._node(node)
        idle = found.acquire()
        connection = idle.connection if idle is not None else await self._connect(found)
        return self._start(found, connection, method, target, lines, body)

    def acquire(self, node: str) -> IdleConnection | None:
        """Takes a connection to a node that is open and that nobody uses, for [`forward`] or [`release_unused`]."""
        return self._node(node).acquire()

    def release_unused(self, idle: IdleConnection) -> None:
        """Gives back a connection that has not been used."""
        idle.node.release_unused(idle)

    def forward(
        self,
        idle: IdleConnection,
        head: RequestHead,
        target: str | None,
        remote: str | None,
        body: Body,
        *,
        plain: bool = False,
    ) -> PendingResponse | None:
        """Sends a client's request on over a connection that was acquired.

        `None`, with nothing taken or sent, where the body is one to come that cannot go past the process.
        """
        found, connection = idle.node, idle.connection
        sending: Sending | None = None
        try:
            if isinstance(body, RequestBody) and not splice.possible(body.transport, connection.transport):
                return None
            text, length = _joined(body)
            transport = connection.start_exchange(head.method)
            message = head.forward(found.host_line, remote, target, text, length, plain)
            if length is None:
                transport.write(message)
            else:
                sending = send(connection, transport, message, body, self.pipes, self._patience)
        except BaseException:
            connection.close()
            raise
        if sending is None:
            connection.expect()
        return PendingResponse(found, body, connection, message, sending)

    async def _connect(self, node: _Node) -> NodeConnection:
        async with asyncio.timeout(self._connect_seconds):
            try:
                _, connection = await self._loop.create_connection(
                    lambda: NodeConnection(self._loop, self._buffer, self.read_seconds, self._open),
                    node.host,
                    node.port,
                    ssl=node.ssl_context,
                )
            except TimeoutError:
                raise
            except (OSError, ValueError) as error:
                raise ConnectError(error if isinstance(error, OSError) else OSError(str(error))) from error
        return connection

    def _start(
        self, node: _Node, connection: NodeConnection, method: str, target: str, lines: bytes, body: Body
    ) -> PendingResponse:
        try:
            transport = connection.start_exchange(method)
            head = request_head(method, target, node.host_line, lines, body)
            sending = send(connection, transport, head, body, self.pipes, self._patience)
        except BaseException:
            connection.close()
            raise
        if sending is None:
            connection.expect()
        return PendingResponse(node, body, connection, head, sending)


def _joined(body: Body) -> tuple[bytes | None, int | None]:
    """The body that is sent with its head, or the length of one that follows, as a view does."""
    if isinstance(body, RequestBody):
        return None, body.length
    if body is not None and (isinstance(body, memoryview) or len(body) > MAX_JOINED_BYTES):
        return None, len(body)
    return body, None


class IdleConnection(msgspec.Struct):
    """A connection to a node that is open and not in use; `since` by the loop's clock."""

    node: _Node
    connection: NodeConnection
    since: float


class _Node:
    """A node: how it is reached, and the connections that nobody uses; the one that was used last goes first."""

    def __init__(
        self, pool: ConnectionPool, url: str, ssl_context: ssl.SSLContext | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        parsed = URL(url)
        self.pool = pool
        self.url = url
        self.host = parsed.raw_host or ""
        self.port = parsed.port or 0
        self.ssl_context = None
        if parsed.scheme == "https":
            self.ssl_context = ssl_context or ssl.create_default_context()
        self.host_line = b"Host: %b\r\n" % (parsed.host_port_subcomponent or "").encode()
        self._loop = loop
        self._waiting: deque[IdleConnection] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._retired = False

    def acquire(self) -> IdleConnection | None:
        """A connection that can be used, if there is any."""
        while self._waiting:
            idle = self._waiting.pop()
            if self._loop.time() - idle.since < IDLE_SECONDS and idle.connection.is_usable:
                return idle
            idle.connection.close()
        return None

    def release_unused(self, idle: IdleConnection) -> None:
        """Takes back a connection that has not been used: it is idle for as long as before."""
        if self._retired:
            idle.connection.close()
            return
        self._waiting.append(idle)

    def release(self, connection: NodeConnection) -> None:
        """Takes back a connection after an exchange."""
        if self._retired:
            connection.close()
            return
        self._waiting.append(IdleConnection(self, connection, self._loop.time()))
        if self._timer is None:
            self._timer = self._loop.call_later(IDLE_SECONDS, self._close_old)

    def _close_old(self) -> None:
        self._timer = None
        oldest = self._loop.time() - IDLE_SECONDS
        while self._waiting and self._waiting[0].since <= oldest:
            self._waiting.popleft().connection.close()
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0].since + IDLE_SECONDS, self._close_old)

    def retire(self) -> None:
        """Closes each connection once nobody uses it."""
        self._retired = True
        self.close()

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            self._waiting.pop().connection.close()
