"""Exchanges with the cluster's nodes over aiohttp's connections, without its `ClientSession`.

A `ClientSession` is two thirds of what a small request costs in an aiohttp proxy. Pool, DNS, TLS, framing of large
bodies and the parser stay aiohttp's; what is left out builds requests and answers that a proxy has as bytes already.
That is internal API of aiohttp (`TCPConnector.connect`, `ResponseHandler`): it is pinned to one minor version, used in
this file (and `idle.py`) only, and with any other version [`SessionExchanges`] does the same by the public API
(docs/decisions/021-exchanges-without-a-session.md).
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import aiohttp
from aiohttp import hdrs
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.http import HttpProcessingError, StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import CIMultiDict
from yarl import URL

from proxy.idle import Idle

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from aiohttp.connector import Connection

PINNED = "3.14."
"""The aiohttp whose internals are known."""
_KNOWN = aiohttp.__version__.startswith(PINNED)
SMALL = 1 << 20
"""Bodies up to this many bytes leave in one piece, and answers are read whole; larger ones are streamed."""
_CHUNK = 1 << 18
_JOINED = 1 << 16
"""Head and body up to so many bytes are joined, which is cheaper than two writes."""
_LIMITS: dict[str, Any] = {"max_line_size": 16384, "max_field_size": 32768}
_WITH_LENGTH = (hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH)
"""Methods whose requests say that they have no body."""
WITHOUT_BODY = (204, 304)
"""Answers that never have one."""

Headers = tuple[tuple[bytes, bytes], ...]
Body = bytes | aiohttp.StreamReader | None


class Exchange(Protocol):
    """An answer whose head has arrived. Whoever has it must `release` it."""

    status: int
    reason: str
    raw_headers: Headers

    @property
    def length(self) -> int | None:
        """The length that the answer declares, in bytes."""
        ...

    async def read(self) -> bytes:
        """What is left of the body. Raises ClientError, TimeoutError if it breaks off."""
        ...

    async def piece(self) -> bytes:
        """The next piece of the body; empty at its end. Raises as [`read`]."""
        ...

    def release(self) -> None:
        """Gives the connection back, or closes it when the exchange was not whole."""
        ...


class Exchanges(Protocol):
    """Makes exchanges."""

    async def begin(self, node: str, method: str, target: str, head: bytes, body: Body, length: int | None) -> Exchange:
        """Sends a request to a node (its URL without a path) and waits for the head of the answer.

        `head`: header lines, each with its line end, none about framing or the host. `length`: of a streamed body,
        where it is known. Raises ClientConnectorError when no connection is made, TimeoutError, other ClientErrors.
        """
        ...

    def begin_now(
        self, node: str, method: str, target: str, head: bytes, stream: aiohttp.StreamReader, most: int
    ) -> Begun | None:
        """Sends a request whose body has arrived whole in `stream`, with at most `most` bytes, without waiting.

        `None`, with nothing taken or sent, where no connection is open or the body is not such a one.
        """
        ...

    async def close(self) -> None:
        """Closes all connections."""
        ...


def make(ssl_context: ssl.SSLContext | bool, connect: float, read: float) -> Exchanges:
    """The faster exchanges, or those by the public API where aiohttp is not the one that is known; times in seconds."""
    kind = PooledExchanges if _KNOWN else SessionExchanges
    return kind(ssl_context, connect, read)


class PooledExchanges:
    """Exchanges by aiohttp's connector and protocol."""

    def __init__(self, ssl_context: ssl.SSLContext | bool, connect: float, read: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, ssl=ssl_context)
        self._connector._factory = cast("partial[ResponseHandler]", partial(_Protocol, self._loop))
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect)
        self._read_seconds = read
        self._nodes: dict[str, _Known] = {}

    async def close(self) -> None:
        """Closes all connections."""
        for known in self._nodes.values():
            known.idle.end()
        await self._connector.close()

    def _node(self, node: str) -> _Known:
        known = self._nodes.get(node)
        if known is None:
            request = ClientRequest(hdrs.METH_GET, URL(node), loop=self._loop)
            host = b"Host: %b\r\n" % request.headers[hdrs.HOST].encode()
            known = self._nodes[node] = _Known(node, request, host, Idle(self._loop))
        return known

    async def begin(self, node: str, method: str, target: str, head: bytes, body: Body, length: int | None) -> Exchange:
        """See [`Exchanges.begin`]."""
        known = self._node(node)
        first = _first(known, method, target, head, _framing(method, body, length))
        connection = known.idle.take() or await self._connector.connect(known.about, [], self._timeout)
        return await self._start(known, connection, method, first, body, length).exchange()

    def begin_now(
        self, node: str, method: str, target: str, head: bytes, stream: aiohttp.StreamReader, most: int
    ) -> Begun | None:
        """See [`Exchanges.begin_now`]."""
        known = self._node(node)
        connection = known.idle.take()
        if connection is None:
            return None
        body = None if stream is EMPTY_PAYLOAD else arrived(stream, most)
        if body == b"":
            known.idle.give(connection)
            return None
        first = _first(known, method, target, head, _framing(method, body, None))
        return self._start(known, connection, method, first, body, None)

    def _start(
        self, known: _Known, connection: Connection, method: str, first: bytes, body: Body, length: int | None
    ) -> Begun:
        """Sends a request over a connection, or begins to; `first`: its head."""
        sending: asyncio.Task[None] | None = None
        try:
            protocol = cast("_Protocol | None", connection.protocol)
            if protocol is None or protocol.transport is None:
                raise aiohttp.ServerDisconnectedError
            self._expect(protocol, method)
            sending = self._send(protocol, first, body, length)
            if sending is None:
                protocol.start_timeout()
        except BaseException:
            _close(connection, sending)
            raise
        return Begun(protocol, connection, sending, known, body)

    def _expect(self, protocol: _Protocol, method: str) -> None:
        """Prepares the protocol for an answer; a parser that fits is kept."""
        without_body = method == hdrs.METH_HEAD
        if protocol.without_body is without_body and protocol._parser is not None:
            return
        protocol.without_body = without_body
        protocol.set_response_params(
            skip_payload=without_body,
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=self._read_seconds,
            read_bufsize=_CHUNK,
            **_LIMITS,
        )

    def _send(
        self, protocol: ResponseHandler, first: bytes, body: Body, length: int | None
    ) -> asyncio.Task[None] | None:
        """Writes what can be written at once; the task that writes a longer body."""
        transport = protocol.transport
        if transport is None:
            raise aiohttp.ServerDisconnectedError
        if body is None:
            transport.write(first)
        elif not isinstance(body, bytes) or len(body) > SMALL:
            transport.write(first)
            return self._loop.create_task(self._stream(protocol, body, length))
        else:
            write(transport, first, body)
        return None

    async def _stream(self, protocol: ResponseHandler, body: bytes | aiohttp.StreamReader, length: int | None) -> None:
        """Writes a body as fast as the node takes it; one that breaks off ends the exchange, never the request."""
        writer = StreamWriter(protocol, self._loop)
        try:
            if isinstance(body, bytes):
                async for piece in _pieces(body):
                    await writer.write(piece)
            else:
                if length is None:
                    writer.enable_chunking()
                while piece := await body.readany():
                    await writer.write(piece)
                await writer.write_eof()
            protocol.start_timeout()
        except Exception as error:  # noqa: BLE001 - whatever breaks the body off, the node must not take it for whole
            if protocol.transport is not None:
                protocol.transport.abort()
            if protocol.exception() is None:
                protocol.set_exception(aiohttp.ClientOSError(f"the body broke off: {type(error).__name__}"), error)


class Sparing(BaseProtocol):
    """What both sides' protocols do less often than aiohttp's."""

    __slots__ = ()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Goes on reading after a pause; asked for at the end of every body, also where nothing was paused."""
        if resume_parser or self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)


class _Protocol(Sparing, ResponseHandler):
    """aiohttp's, with one timer that looks now and then whether the node is late, instead of one for each piece.

    `listener`, where there is one, is called when something of an answer has arrived, or none will.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._late_at: float | None = None
        self.listener: Callable[[], None] | None = None
        self.without_body: bool | None = None
        """Whether its parser is for answers to `HEAD`; `None` before the first request."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.listener is not None and self._buffer:
            self.listener()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        super().set_exception(exc, *cause)
        if self.listener is not None:
            self.listener()

    def _reschedule_timeout(self) -> None:
        timeout = self._read_timeout
        if not timeout:
            self._drop_timeout()
            return
        self._late_at = self._loop.time() + timeout
        if self._read_timeout_handle is None:
            self._read_timeout_handle = self._loop.call_at(self._late_at, self._look)

    def _drop_timeout(self) -> None:
        self._late_at = None

    def _look(self) -> None:
        self._read_timeout_handle = None
        if self._late_at is None:
            return
        if self._loop.time() < self._late_at:
            self._read_timeout_handle = self._loop.call_at(self._late_at, self._look)
        else:
            self._on_read_timeout()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._read_timeout_handle is not None:
            self._read_timeout_handle.cancel()
            self._read_timeout_handle = None


class _Known(NamedTuple):
    """A node: its URL, what the connector wants of it, its `Host` line, and the connections that nobody uses."""

    url: str
    about: ClientRequest
    host: bytes
    idle: Idle


class Whole(NamedTuple):
    """An answer that has arrived whole."""

    status: int
    reason: str
    raw_headers: Headers
    body: bytes


class Begun:
    """A request that has left: its answer is waited for with [`exchange`], or [`listen`]ed for and taken as `whole`."""

    __slots__ = ("_connection", "_idle", "_protocol", "_sending", "body", "node")

    def __init__(
        self, protocol: _Protocol, connection: Connection, sending: asyncio.Task[None] | None, known: _Known, body: Body
    ) -> None:
        self.node = known.url
        self.body = body
        self._protocol = protocol
        self._connection: Connection | None = connection
        self._sending = sending
        self._idle = known.idle

    async def exchange(self) -> Exchange:
        """The exchange, once the head of the answer has arrived. Raises as [`Exchanges.begin`] does."""
        connection = self._connection
        if connection is None:
            raise aiohttp.ServerDisconnectedError
        try:
            while True:
                message, payload = await self._protocol.read()
                if message.code >= 200 or message.code == 101:
                    break
        except HttpProcessingError as error:
            self.close()
            raise aiohttp.ClientPayloadError(f"the answer is not well-formed HTTP: {type(error).__name__}") from None
        except BaseException:
            self.close()
            raise
        return _PooledExchange(message, payload, connection, self._sending, self._idle)

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Has `listener` called for whatever arrives, and when nothing will any more."""
        self._protocol.listener = listener

    def whole(self) -> Whole | None:
        """The final answer, once it is here with a body of known length; the connection is free then."""
        connection = self._connection
        if connection is None or not self._protocol._buffer:
            return None
        message, payload = self._protocol._buffer[0][0]
        if not _has_length(message) or not (body := arrived(payload)):
            return None
        self._protocol._buffer.popleft()
        self._protocol.listener = self._connection = None
        self._idle.give(connection)
        return Whole(message.code, message.reason, message.raw_headers, body)

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
        return length is not None and length <= _CHUNK

    def close(self) -> None:
        """Ends it, unless it has ended; the answer is not wanted."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._protocol.listener = None
            _close(connection, self._sending)


def _has_length(message: Any) -> bool:
    """Whether an answer is a final one with a body that is not chunked."""
    return not message.chunked and message.code >= 200 and message.code not in WITHOUT_BODY


class _PooledExchange:
    __slots__ = ("_connection", "_idle", "_payload", "_sending", "raw_headers", "reason", "status")

    def __init__(
        self,
        message: Any,
        payload: aiohttp.StreamReader,
        connection: Connection,
        sending: asyncio.Task[None] | None,
        idle: Idle,
    ) -> None:
        self.status: int = message.code
        self.reason: str = message.reason
        self.raw_headers: Headers = message.raw_headers
        self._payload = payload
        self._connection: Connection | None = connection
        self._sending = sending
        self._idle = idle

    @property
    def length(self) -> int | None:
        return declared_length(self.raw_headers)

    async def read(self) -> bytes:
        return arrived(self._payload) or await self._payload.read()

    async def piece(self) -> bytes:
        return await self._payload.readany()

    def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._sending is None or self._sending.done():
            self._idle.give(connection)
        else:
            _close(connection, self._sending)


class SessionExchanges:
    """Exchanges by aiohttp's public `ClientSession`."""

    def __init__(self, ssl_context: ssl.SSLContext | bool, connect: float, read: float) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, ssl=ssl_context),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect, sock_read=read),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            read_bufsize=_CHUNK,
            **_LIMITS,
        )
        # aiohttp would send PUT and DELETE a second time when a kept connection turns out to be closed.
        self._session._retry_connection = False

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def begin(self, node: str, method: str, target: str, head: bytes, body: Body, length: int | None) -> Exchange:
        """See [`Exchanges.begin`]."""
        headers: CIMultiDict[str] = CIMultiDict()
        for line in (head + _framing(method, body, length)).split(b"\r\n"):
            name, _, value = line.partition(b": ")
            if name and name.lower() != b"transfer-encoding":
                headers.add(name.decode(), value.decode("utf-8", "surrogateescape"))
        data = _pieces(body) if isinstance(body, bytes) and len(body) > SMALL else body or None
        url = URL(node + target, encoded=True)
        return _SessionExchange(
            await self._session.request(method, url, headers=headers, data=data, allow_redirects=False)
        )

    def begin_now(
        self, node: str, method: str, target: str, head: bytes, stream: aiohttp.StreamReader, most: int
    ) -> Begun | None:
        """See [`Exchanges.begin_now`]: a session has no such way."""
        return None


class _SessionExchange:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.status = answer.status
        self.reason = answer.reason or ""
        self.raw_headers: Headers = answer.raw_headers

    @property
    def length(self) -> int | None:
        return declared_length(self.raw_headers)

    async def read(self) -> bytes:
        return await self._answer.read()

    async def piece(self) -> bytes:
        return await self._answer.content.readany()

    def release(self) -> None:
        self._answer.release()


async def _pieces(body: bytes) -> Any:
    """A large body in pieces, so that a slow cluster holds it back without holding the loop."""
    view = memoryview(body)
    for start in range(0, len(body), _CHUNK):
        yield view[start : start + _CHUNK]


def write(transport: asyncio.Transport, head: bytes, body: bytes) -> None:
    """Writes head and body in one go."""
    if len(body) <= _JOINED:
        transport.write(head + body)
    else:
        transport.writelines((head, body))


def _first(known: _Known, method: str, target: str, head: bytes, framing: bytes) -> bytes:
    """Request line and header lines."""
    line = target.encode("utf-8", "surrogateescape")
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (method.encode(), line, known.host, head, framing)


def _framing(method: str, body: Body, length: int | None) -> bytes:
    """The header line that says how long the body is."""
    if body is None:
        return b"Content-Length: 0\r\n" if method in _WITH_LENGTH else b""
    if isinstance(body, bytes):
        return b"Content-Length: %d\r\n" % len(body)
    return b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length


def arrived(stream: aiohttp.StreamReader, most: int = sys.maxsize) -> bytes:
    """What is left of a body that has arrived whole, with at most `most` bytes; empty for any other.

    aiohttp's own reading wakes the connection's parser for each piece, which a body that is there does not need.
    """
    if not _KNOWN or stream is EMPTY_PAYLOAD or not stream._eof or stream._exception is not None:
        return b""
    if stream._buffer_offset or stream._size > most:
        return b""
    pieces = stream._buffer
    whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    pieces.clear()
    stream._size = 0
    return whole


def mentions(stream: aiohttp.StreamReader, word: bytes) -> bool:
    """Whether a word is in what has arrived of a body and is yet to be read, which stays there."""
    if stream is EMPTY_PAYLOAD:
        return False
    pieces = stream._buffer
    return word in (pieces[0] if len(pieces) == 1 else b"".join(pieces))


def declared_length(raw_headers: Headers) -> int | None:
    """The `Content-Length` of a head, if it has one."""
    for name, value in raw_headers:
        if len(name) == 14 and name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None


def _close(connection: Connection, sending: asyncio.Task[None] | None) -> None:
    """Ends an exchange that is not whole."""
    if sending is not None:
        sending.cancel()
    connection.close()
