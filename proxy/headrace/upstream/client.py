"""The cluster as the proxy talks to it: raw targets, raw headers, raw bodies, streamed both ways.

A write is never sent again once a byte of it has left, and nothing is decoded. What becomes of headers is
`header_lines.py`, connections are `connections.py`.
"""

from __future__ import annotations

import asyncio
from http.client import responses
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs, web

from headrace.http1 import bodies, tls
from headrace.http1.head_limits import HeadLimits
from headrace.http1.headers import VENDOR_MEDIA, answer_lines, lines_back, lines_of, response_headers
from headrace.upstream import connections
from headrace.upstream.connections import PooledExchanges
from headrace.upstream.exchanges import SMALL, WITHOUT_BODY, SessionExchanges, SlowBodyError
from headrace.upstream.nodes import Nodes
from headrace_pipelines.errors import (
    HeadraceError,
    MediaTypeError,
    SlowClientError,
    UnreachableError,
    UpstreamError,
    UpstreamTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from multidict import CIMultiDict

    from headrace.http1.headers import RawHeaders
    from headrace.settings import Settings
    from headrace.upstream.connections import Begun
    from headrace.upstream.exchanges import Body, Exchange, Exchanges, Text
    from headrace.upstream.nodes import Node
    from headrace.upstream.protocols import Whole


class Upstream:
    """The cluster. `send` gives its answer as it arrives, `read` whole; `relay` streams one to the client."""

    def __init__(self, settings: Settings, count: Callable[[str], None] = lambda kind: None) -> None:
        self._nodes = Nodes(settings.nodes)
        self._count = count
        self._health_seconds = settings.seconds("upstream_health_interval")
        self._connect_seconds = settings.seconds("upstream_connect_timeout")
        self._limits = HeadLimits.of(
            settings.size("max_request_line"), settings.size("max_request_headers"), settings.nodes
        )
        self._exchanges = self._make(settings)

    def _make(self, settings: Settings) -> Exchanges:
        """The faster exchanges, or those by the public API where aiohttp is not the one that is known."""
        ssl_context, read = tls.to_upstream(settings) or True, settings.seconds("upstream_timeout")
        if not bodies.KNOWN:
            return SessionExchanges(ssl_context, self._connect_seconds, read)
        return PooledExchanges(ssl_context, self._connect_seconds, read, settings.seconds("client_timeout"))

    @property
    def sends_now(self) -> bool:
        """Whether [`send_now`] ever sends anything."""
        return isinstance(self._exchanges, PooledExchanges)

    def start(self) -> None:
        """Begins to watch the nodes."""
        self._nodes.watch(self._healthy, self._health_seconds)

    async def _healthy(self, node: Node) -> bool:
        """Whether a node answers at all: a 401 is an answer, too."""
        try:
            async with asyncio.timeout(self._connect_seconds):
                exchange = await self._exchanges.begin(node.url, hdrs.METH_GET, "/", b"", None, None)
                try:
                    await exchange.read()
                finally:
                    exchange.release()
        except (TimeoutError, aiohttp.ClientError):
            return False
        return exchange.status not in (502, 503, 504)

    async def close(self) -> None:
        """Closes all connections."""
        await self._nodes.stop()
        await self._exchanges.close()

    async def send(
        self,
        method: str,
        target: str,
        head: bytes,
        body: Body,
        *,
        length: int | None = None,
        safe: bool = False,
        sent: Begun | None = None,
    ) -> Exchange:
        """Begins an exchange with the cluster: the answer's body has not been read yet, the caller must `release` it.

        `head`: header lines as [`request_lines`] gives them; `length`: of a streamed body, if it is known. Another node
        is tried when no connection is made: not a byte has left then. `safe`: the request changes nothing, so that it
        may be sent once more also when its connection breaks before the answer, unless its body cannot. `sent`: it has
        left already, by [`send_now`].

        Raises UnreachableError when no connection is made, UpstreamTimeoutError and UpstreamError when the answer
        does not come, LongLineError and LongHeaderError for a head that a node does not take.
        """
        tried: list[Node] = []
        if sent is None:
            self._limits.check(method, target, head)
        while True:
            node = self._nodes.pick(tried) if sent is None else self._nodes.at(sent.node)
            tried.append(node)
            try:
                if sent is None:
                    exchange = await self._exchanges.begin(node.url, method, target, head, body, length)
                else:
                    begun, sent = sent, None
                    exchange = await begun.exchange()
            except TimeoutError:
                raise self._late() from None
            except aiohttp.ClientConnectorError as error:
                self._count("unreachable")
                self._nodes.failed(node)
                if len(tried) >= len(self._nodes):
                    raise UnreachableError(f"the cluster cannot be reached: {error.strerror or error}") from None
            except SlowBodyError:
                raise SlowClientError("the body did not arrive in time; see client_timeout") from None
            except aiohttp.ClientError as error:
                repeatable = safe and not isinstance(body, aiohttp.StreamReader | memoryview)
                if not repeatable or len(tried) > 1:
                    raise self._broken(error) from None
                self._count("broken")
            else:
                self._nodes.answered(node)
                return exchange

    def send_now(
        self, method: str, target: str, head: bytes, body: Body, most: int, length: int | None = None
    ) -> Begun | None:
        """Sends a request over a connection that is open, without waiting; see [`PooledExchanges.begin_now`]."""
        try:
            self._limits.check(method, target, head)
        except HeadraceError:
            return None
        node = self._nodes.pick()
        begun = None
        if not node.failures and isinstance(self._exchanges, PooledExchanges):
            begun = self._exchanges.begin_now(node.url, method, target, head, body, most, length)
        if begun is None:
            self._nodes.put_back()
        return begun

    async def whole(self, exchange: Exchange) -> bytes:
        """The body of an answer. Raises UpstreamTimeoutError, UpstreamError when it breaks off."""
        try:
            return await exchange.read()
        except TimeoutError:
            raise self._late() from None
        except aiohttp.ClientError as error:
            raise self._broken(error) from None

    async def read(self, method: str, target: str, head: bytes, body: Text | None, *, safe: bool = False) -> Answer:
        """One exchange with the answer read whole; `head` as [`send`] takes it. Raises as [`send`]."""
        exchange = await self.send(method, target, head, body, safe=safe)
        try:
            text = await self.whole(exchange)
        finally:
            exchange.release()
        return Answer(exchange.status, exchange.reason, exchange.raw_headers, text, exchange.lines)

    async def relay(
        self, request: web.BaseRequest, exchange: Exchange, extra: CIMultiDict[str] | None = None
    ) -> web.StreamResponse:
        """Streams the cluster's answer to the client.

        An answer that breaks off ends the client's connection: it must not look complete, and nothing more can be said.
        """
        if 0 < (exchange.length or 0) <= SMALL and request.method != hdrs.METH_HEAD:
            body = await self.whole(exchange)
            lines = lines_back(request, exchange.raw_headers, extra, exchange.lines)
            return await send_lines(request, exchange.status, exchange.reason, lines, body)
        if request.transport is not None and request.method != hdrs.METH_HEAD and exchange.pours(request.transport):
            return await self._pour(request, exchange, extra)
        headers = response_headers(exchange.raw_headers)
        headers.extend(extra or {})
        response = RawResponse(exchange.status, exchange.reason, headers)
        await response.prepare(request)
        try:
            while piece := await exchange.piece():
                await response.write(piece)
        except (TimeoutError, aiohttp.ClientError):
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof()
        return response

    async def _pour(
        self, request: web.BaseRequest, exchange: Exchange, extra: CIMultiDict[str] | None
    ) -> web.StreamResponse:
        """[`relay`] for a long answer that need not pass the process."""
        transport = _transport(request, exchange.status)
        lines = lines_back(request, exchange.raw_headers, extra)
        head, keep_alive = _head(request, exchange.status, exchange.reason, lines, exchange.length or 0)
        transport.write(head)
        request.writer.output_size += len(head)
        try:
            if not await exchange.pour(transport):
                while piece := await exchange.piece():
                    transport.write(piece)
                    await request.writer.drain()
        except (OSError, aiohttp.ClientError):
            # A late node (TimeoutError) is an OSError.
            transport.abort()
            keep_alive = False
        return Sent(exchange.status, keep_alive=keep_alive)

    def _late(self) -> UpstreamTimeoutError:
        self._count("timeout")
        return UpstreamTimeoutError("the cluster did not answer in time; see upstream_timeout")

    def _broken(self, error: aiohttp.ClientError) -> UpstreamError:
        self._count("broken")
        return UpstreamError(f"the exchange with the cluster broke off: {type(error).__name__}")


class Answer:
    """A whole answer of the cluster."""

    def __init__(
        self, status: int, reason: str, raw_headers: RawHeaders, body: bytes, lines: bytes | None = None
    ) -> None:
        self.lines = lines
        """Its header lines as they are sent back, if they are known."""
        self.status = status
        self.reason = reason
        self.raw_headers = raw_headers
        self.body = body

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def require_ok(self) -> None:
        """Raises ClusterRefusedError unless the status is 2xx."""
        if not self.ok:
            raise ClusterRefusedError(self)

    def require_json(self) -> None:
        """Raises MediaTypeError for a good answer that pipelines which have to run cannot read."""
        if self.ok and not self.json:
            raise MediaTypeError(
                "the cluster's answer is not plain JSON, which a result pipeline has to read; ask for JSON"
            )

    @property
    def json(self) -> bool:
        """Whether the body is plain JSON."""
        if self._first(b"content-encoding") is not None:
            return False
        return (self._first(b"content-type") or b"").partition(b";")[0].strip().endswith(b"json")

    @property
    def typed(self) -> bool:
        """Whether it says what its body is."""
        return self._first(b"content-type") is not None

    def _first(self, wanted: bytes) -> bytes | None:
        """The value of a header, named in lower case."""
        return next((value for name, value in self.raw_headers if name.lower() == wanted), None)


class ClusterRefusedError(HeadraceError):
    """The cluster refused a call that a request needed: its own answer is the answer of the request."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the cluster answered {answer.status}")
        self.status = answer.status
        self.answer = answer


class Sent(web.StreamResponse):
    """An answer that has been written whole: what aiohttp's server still asks of it."""

    def __init__(self, status: int, *, keep_alive: bool) -> None:
        # Not aiohttp's own: nothing of a response that is yet to be written is needed.
        self._status = status
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """It has been written."""

    async def write_eof(self, data: bytes = b"") -> None:
        """It has been written."""


async def send_whole(
    request: web.BaseRequest, status: int, reason: str, headers: CIMultiDict[str], body: bytes, *, close: bool = False
) -> web.StreamResponse:
    """Answers with a body at hand; to `HEAD` only with its length. `close`: the connection is not used again."""
    vendor = request.get(VENDOR_MEDIA)
    if vendor and headers.get(hdrs.CONTENT_TYPE, "").startswith("application/json"):
        headers[hdrs.CONTENT_TYPE] = vendor
    return await send_lines(request, status, reason, lines_of(headers), body, close=close)


def write_whole(transport: asyncio.Transport, answer: Whole) -> None:
    """Writes an answer of the cluster to a client that speaks HTTP/1.1 and stays. Raises UpstreamError."""
    lines = answer_lines(answer.raw_headers) if answer.lines is None else answer.lines
    phrase, size = _phrase(answer.status, answer.reason), len(answer.body)
    head = b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n\r\n" % (answer.status, phrase, lines, size)
    connections.write(transport, head, answer.body)


def _phrase(status: int, reason: str) -> bytes:
    return (reason or responses.get(status, "")).encode("utf-8", "surrogateescape")


async def send_lines(
    request: web.BaseRequest, status: int, reason: str, lines: bytes, body: bytes, *, close: bool = False
) -> web.StreamResponse:
    """[`send_whole`] with header lines as [`lines_back`] gives them, in one go; waits for a slow client."""
    transport = _transport(request, status)
    head, keep_alive = _head(request, status, reason, lines, len(body), close=close)
    if request.method == hdrs.METH_HEAD or status in WITHOUT_BODY:
        body = b""
    connections.write(transport, head, body)
    # So that aiohttp does not write an error behind it, should anything still fail.
    request.writer.output_size += len(head)
    if request.protocol.writing_paused:
        await request.writer.drain()
    return Sent(status, keep_alive=keep_alive)


class ClientGoneError(ConnectionResetError):
    """There is nobody to answer; `status` is what the answer would have been."""

    def __init__(self, status: int) -> None:
        super().__init__("the client is gone")
        self.status = status


def _transport(request: web.BaseRequest, status: int) -> asyncio.Transport:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ClientGoneError(status)
    return transport


def _head(
    request: web.BaseRequest, status: int, reason: str, lines: bytes, length: int, *, close: bool = False
) -> tuple[bytes, bool]:
    """The head of an answer with a body of `length` bytes, and whether the connection stays open behind it."""
    keep_alive = request.keep_alive and not close
    if request.version >= (1, 1):
        version, connection = b"1.1", b"" if keep_alive else b"Connection: close\r\n"
    else:
        version, connection = b"1.0", b"Connection: keep-alive\r\n" if keep_alive else b""
    size = b"" if status in WITHOUT_BODY else b"Content-Length: %d\r\n" % length
    head = b"HTTP/%b %d %b\r\n%b%b%b\r\n" % (version, status, _phrase(status, reason), lines, size, connection)
    return head, keep_alive


class RawResponse(web.StreamResponse):
    """A response that sends the headers it was given and adds none but those that framing needs."""

    def __init__(self, status: int, reason: str, headers: CIMultiDict[str]) -> None:
        super().__init__(status=status, reason=reason or None, headers=headers)
        self._given = {name.lower() for name in headers}

    async def _prepare_headers(self) -> None:
        length = self._headers.get(hdrs.CONTENT_LENGTH)
        await super()._prepare_headers()
        for added in (hdrs.CONTENT_TYPE, hdrs.DATE, hdrs.SERVER):
            if added.lower() not in self._given:
                self._headers.popall(added, None)
        vendor = self._req.get(VENDOR_MEDIA) if self._req is not None else ""
        if vendor and self._headers.get(hdrs.CONTENT_TYPE, "").startswith("application/json"):
            self._headers[hdrs.CONTENT_TYPE] = vendor
        head = self._req is not None and self._req.method == hdrs.METH_HEAD
        if head and length is not None:
            self._headers[hdrs.CONTENT_LENGTH] = length
