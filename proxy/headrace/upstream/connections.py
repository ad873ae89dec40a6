"""Exchanges with the cluster's nodes over aiohttp's connections, without its `ClientSession`.

A `ClientSession` is two thirds of what a small request costs in an aiohttp proxy. Pool, DNS, TLS, framing of large
bodies and the parser stay aiohttp's; what is left out builds requests and answers that a proxy has as bytes already.
That is internal API of aiohttp (`TCPConnector.connect`, `ResponseHandler`), as is what `protocols.py`, `server.py`,
`heads.py`, `bodies.py`, `known.py`, `gathering.py`, `splicing.py`, `idle.py` and `fast_path.py` use: aiohttp is pinned
to one minor version, and with any other one `exchanges.SessionExchanges` does the same by the public API
(docs/decisions/021-exchanges-without-a-session.md).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import aiohttp
from aiohttp import hdrs
from aiohttp.client_reqrep import ClientRequest
from aiohttp.http import HttpProcessingError, StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD
from yarl import URL

from headrace.http1 import splice as splicing
from headrace.http1.bodies import arrived, declared_length, with_length
from headrace.http1.splice import Lender, Patience, Pipes, Splice
from headrace.upstream.exchanges import CHUNK, LIMITS, SMALL, WITHOUT_BODY, SlowBodyError, framing, pieces
from headrace.upstream.idle import Idle
from headrace.upstream.protocols import NodeProtocol, Whole

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection

    from headrace.http1.bodies import Headers
    from headrace.upstream.exchanges import Body, Exchange, Text

_JOINED = 1 << 16
"""Head and body up to so many bytes are joined, which is cheaper than two writes."""

_T = TypeVar("_T")
_BROKEN: dict[type[Exception], type[aiohttp.ClientError]] = {
    splicing.SilentError: SlowBodyError,
    splicing.StuckError: aiohttp.SocketTimeoutError,
}
"""What an exchange fails with whose body was given up."""
Sending = asyncio.Task[None] | Splice
"""A body that is on its way still."""


class PooledExchanges:
    """Exchanges by aiohttp's connector and protocol."""

    def __init__(
        self, ssl_context: ssl.SSLContext | bool, connect: float, read: float, client: float | None = None
    ) -> None:
        self._patience = Patience(client, read)
        """With the two sides of a long body."""
        self._loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, ssl=ssl_context)
        self._connector._factory = cast("partial[ResponseHandler]", partial(NodeProtocol, self._loop))
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect)
        self._read_seconds = read
        self._nodes: dict[str, _Known] = {}
        self._pipes = Pipes()
        # Found out while there are file numbers.
        splicing.works()

    async def close(self) -> None:
        """Closes all connections."""
        self._pipes.close()
        for known in self._nodes.values():
            known.idle.end()
        await self._connector.close()

    def _node(self, node: str) -> _Known:
        known = self._nodes.get(node)
        if known is None:
            request = ClientRequest(hdrs.METH_GET, URL(node), loop=self._loop)
            host = b"Host: %b\r\n" % request.headers[hdrs.HOST].encode()
            known = self._nodes[node] = _Known(node, request, host, Idle(self._loop), self._pipes)
        return known

    async def begin(self, node: str, method: str, target: str, head: bytes, body: Body, length: int | None) -> Exchange:
        """See [`Exchanges.begin`]."""
        known = self._node(node)
        first = _first(known, method, target, head, framing(method, body, length))
        connection = known.idle.take() or await self._connector.connect(known.about, [], self._timeout)
        return await self._start(known, connection, method, first, body, length).exchange()

    def begin_now(
        self,
        node: str,
        method: str,
        target: str,
        head: bytes,
        body: Body,
        most: int,
        length: int | None,
    ) -> Begun | None:
        """Sends a request without waiting.

        Its body is at hand, or has arrived whole in a stream, with at most `most` bytes, or has a known `length` and
        can go past the process. `None`, with nothing taken or sent, where no connection is open or the body is not
        such a one.
        """
        known = self._node(node)
        connection = known.idle.take()
        if connection is None:
            return None
        if isinstance(body, aiohttp.StreamReader):
            if length is None:
                body = None if body is EMPTY_PAYLOAD else arrived(body, most)
                usable = body != b""
            else:
                protocol = connection.protocol
                usable = protocol is not None and splicing.possible(body._protocol.transport, protocol.transport)
            if not usable:
                known.idle.give(connection)
                return None
        first = _first(known, method, target, head, framing(method, body, length))
        return self._start(known, connection, method, first, body, length)

    def _start(
        self, known: _Known, connection: Connection, method: str, first: bytes, body: Body, length: int | None
    ) -> Begun:
        """Sends a request over a connection, or begins to; `first`: its head."""
        sending: Sending | None = None
        try:
            protocol = cast("NodeProtocol | None", connection.protocol)
            if protocol is None or protocol.transport is None:
                raise aiohttp.ServerDisconnectedError
            self._expect(protocol, method)
            protocol.first = first
            sending = self._send(protocol, first, body, length)
            protocol.compares = sending is None and not protocol.without_body
            if sending is None:
                protocol.start_timeout()
        except BaseException:
            _close(connection, sending)
            raise
        return Begun(protocol, connection, sending, known, body)

    def _expect(self, protocol: NodeProtocol, method: str) -> None:
        """Prepares the protocol for an answer; a parser that fits, and has nothing left in it, is kept."""
        without_body = method == hdrs.METH_HEAD
        if protocol.without_body is without_body and protocol._parser is not None and protocol.parser_fits:
            return
        protocol.without_body = without_body
        protocol.place.reset()
        protocol.set_response_params(
            skip_payload=without_body,
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=self._read_seconds,
            read_bufsize=CHUNK,
            **LIMITS,
        )

    def _send(self, protocol: ResponseHandler, first: bytes, body: Body, length: int | None) -> Sending | None:
        """Writes what can be written at once; the task that writes a longer body."""
        transport = protocol.transport
        if transport is None:
            raise aiohttp.ServerDisconnectedError
        if body is None:
            transport.write(first)
        elif isinstance(body, aiohttp.StreamReader) or len(body) > SMALL:
            transport.write(first)
            splice = None
            if isinstance(body, aiohttp.StreamReader) and length is not None:
                splice = self._splice(protocol, body, length)
            return splice or self._loop.create_task(self._stream(protocol, body, length))
        else:
            write(transport, first, body)
            if isinstance(body, memoryview) and not transport.get_write_buffer_size():
                _let_go(body)
        return None

    async def _stream(self, protocol: ResponseHandler, body: Text | aiohttp.StreamReader, length: int | None) -> None:
        """Writes a body as fast as the node takes it; one that breaks off ends the exchange, never the request."""
        writer = StreamWriter(protocol, self._loop)
        try:
            if not isinstance(body, aiohttp.StreamReader):
                async for piece in pieces(body):
                    await _within(self._patience.sink, writer.write(piece), splicing.StuckError)
                _let_go(body)
            else:
                if length is None:
                    writer.enable_chunking()
                while piece := await _within(self._patience.source, body.readany(), splicing.SilentError):
                    await _within(self._patience.sink, writer.write(piece), splicing.StuckError)
                await writer.write_eof()
        except Exception as error:  # noqa: BLE001 - whatever breaks the body off, the exchange ends with it
            self._ended(protocol, error)
        else:
            self._ended(protocol, None)

    def _splice(self, protocol: ResponseHandler, body: aiohttp.StreamReader, length: int) -> Splice | None:
        """Has a body of `length` bytes sent past the process, if that can be."""
        client, sink = body._protocol, protocol.transport
        if not isinstance(client, Lender) or sink is None or not splicing.possible(client.transport, sink):
            return None
        if body.exception() is not None:
            return None
        while piece := body.read_nowait():
            sink.write(piece)
        left = length - body.total_bytes
        if left <= 0:
            return None
        try:
            return Splice(self._pipes, client, body, sink, left, partial(self._ended, protocol), self._patience)
        except OSError:
            # No more file numbers.
            return None

    def _ended(self, protocol: ResponseHandler, error: Exception | None) -> None:
        """A long body has left, or broken off: then the node must not take it for whole."""
        if error is None:
            protocol.start_timeout()
            return
        if protocol.transport is not None:
            protocol.transport.abort()
        if protocol.exception() is None:
            kind = _BROKEN.get(type(error), aiohttp.ClientOSError)
            protocol.set_exception(kind(f"the body broke off: {type(error).__name__}"), error)


class _Known(NamedTuple):
    """A node: its URL, what the connector wants of it, its `Host` line, the connections that nobody uses, and pipes."""

    url: str
    about: ClientRequest
    host: bytes
    idle: Idle
    pipes: Pipes


class Begun:
    """A request that has left: its answer is waited for with [`exchange`], or [`listen`]ed for and taken as `whole`."""

    __slots__ = ("_connection", "_known", "_protocol", "_sending", "body", "node")

    def __init__(
        self, protocol: NodeProtocol, connection: Connection, sending: Sending | None, known: _Known, body: Body
    ) -> None:
        self.node = known.url
        self.body = body
        self._protocol = protocol
        self._connection: Connection | None = connection
        self._sending = sending
        self._known = known

    async def exchange(self) -> Exchange:
        """The exchange, once the head of the answer has arrived. Raises as [`Exchanges.begin`] does."""
        connection, protocol = self._connection, self._protocol
        if connection is None:
            raise aiohttp.ServerDisconnectedError
        try:
            while True:
                message, payload = cast("tuple[Any, Any]", await protocol.read())
                if message is None:
                    protocol.answered(payload.status)
                    self._known.idle.give(connection)
                    return _WholeExchange(payload)
                if message.code >= 200 or message.code == 101:
                    break
        except HttpProcessingError as error:
            self.close()
            raise aiohttp.ClientPayloadError(f"the answer is not well-formed HTTP: {type(error).__name__}") from None
        except BaseException:
            self.close()
            raise
        return _PooledExchange(message, payload, connection, self._sending, self._known)

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Has `listener` called for whatever arrives, and when nothing will any more."""
        self._protocol.listener = listener

    def whole(self) -> Whole | None:
        """The final answer, once it is here with a body of known length; the connection is free then."""
        connection, protocol = self._connection, self._protocol
        if connection is None or not protocol._buffer or not self._sent:
            return None
        message, payload = cast("tuple[Any, Any]", protocol._buffer[0][0])
        if message is None:
            whole: Whole = payload
        elif _has_length(message) and (body := arrived(payload)):
            whole = Whole(message.code, message.reason, message.raw_headers, body)
            protocol.learn(message)
        else:
            return None
        protocol._buffer.popleft()
        protocol.listener = self._connection = None
        protocol.answered(whole.status)
        self._known.idle.give(connection)
        return whole

    @property
    def soon(self) -> bool:
        """Whether [`whole`] can be expected to have an answer when more has arrived."""
        if self._protocol.exception() is not None:
            return False
        if not self._protocol._buffer:
            return True
        message, payload = self._protocol._buffer[0][0]
        if not _has_length(message) or payload.is_eof():
            return False
        length = declared_length(message.raw_headers)
        return length is not None and length <= CHUNK

    @property
    def _sent(self) -> bool:
        """Whether the request has left whole."""
        return self._sending is None or self._sending.done()

    def close(self) -> None:
        """Ends it, unless it has ended; the answer is not wanted."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._protocol.listener = None
            _close(connection, self._sending)


def _has_length(message: Any) -> bool:
    """Whether an answer is a final one with a body that is not chunked."""
    return not message.chunked and message.code >= 200 and message.code not in WITHOUT_BODY


class _WholeExchange:
    """An exchange whose answer has arrived whole, by a connection that others have by now."""

    __slots__ = ("_body", "lines", "raw_headers", "reason", "status")

    def __init__(self, whole: Whole) -> None:
        self.status, self.reason, raw_headers, self._body, self.lines = whole
        self.raw_headers = with_length(raw_headers, len(self._body))

    @property
    def length(self) -> int:
        return len(self._body)

    async def read(self) -> bytes:
        return await self.piece()

    async def piece(self) -> bytes:
        piece, self._body = self._body, b""
        return piece

    def pours(self, sink: asyncio.Transport) -> bool:
        return False

    async def pour(self, sink: asyncio.Transport) -> bool:
        return False

    def release(self) -> None:
        pass


class _PooledExchange:
    __slots__ = (
        "_connection",
        "_known",
        "_message",
        "_payload",
        "_sending",
        "_sized",
        "raw_headers",
        "reason",
        "status",
    )

    lines: bytes | None = None

    def __init__(
        self,
        message: Any,
        payload: aiohttp.StreamReader,
        connection: Connection,
        sending: Sending | None,
        known: _Known,
    ) -> None:
        self.status: int = message.code
        self.reason: str = message.reason
        self.raw_headers: Headers = message.raw_headers
        self._message = message
        self._payload = payload
        self._connection: Connection | None = connection
        self._sending = sending
        self._known = known
        self._sized = _has_length(message)

    @property
    def length(self) -> int | None:
        return declared_length(self.raw_headers)

    async def read(self) -> bytes:
        return arrived(self._payload) or await self._payload.read()

    async def piece(self) -> bytes:
        return await self._payload.readany()

    def pours(self, sink: asyncio.Transport) -> bool:
        protocol = self._connection.protocol if self._connection is not None else None
        if not self._sized or self.length is None or self._payload is EMPTY_PAYLOAD or protocol is None:
            return False
        return splicing.possible(protocol.transport, sink)

    async def pour(self, sink: asyncio.Transport) -> bool:
        while piece := self._payload.read_nowait():
            sink.write(piece)
        left = (self.length or 0) - self._payload.total_bytes
        protocol = self._connection.protocol if self._connection is not None else None
        if not left or not isinstance(protocol, NodeProtocol):
            return False
        patience = Patience(protocol.read_timeout, None)
        return await splicing.move(self._known.pipes, protocol, self._payload, sink, left, patience)

    def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._sending is None or self._sending.done():
            if isinstance(connection.protocol, NodeProtocol):
                connection.protocol.answered(self.status)
                if self._sized:
                    connection.protocol.learn(self._message)
            self._known.idle.give(connection)
        else:
            _close(connection, self._sending)


def write(transport: asyncio.Transport, head: bytes, body: Text) -> None:
    """Writes head and body in one go."""
    if len(body) <= _JOINED:
        transport.write(head + body)
    else:
        transport.writelines((head, body))


def _let_go(body: Text) -> None:
    """Ends a view of a body that has left, and is not sent again: others can have its memory while the node works."""
    if isinstance(body, memoryview):
        try:
            body.release()
        except BufferError:
            # Somebody looks at it still.
            return


def _first(known: _Known, method: str, target: str, head: bytes, framing: bytes) -> bytes:
    """Request line and header lines."""
    line = target.encode("utf-8", "surrogateescape")
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (method.encode(), line, known.host, head, framing)


async def _within(seconds: float | None, step: Awaitable[_T], error: type[TimeoutError]) -> _T:
    """A step that has so many seconds. Raises the error after them."""
    try:
        async with asyncio.timeout(seconds):
            return await step
    except TimeoutError:
        raise error from None


def _close(connection: Connection, sending: Sending | None) -> None:
    """Ends an exchange that is not whole."""
    if sending is not None:
        sending.cancel()
    connection.close()
