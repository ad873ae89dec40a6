"""Responses as they are written to a client: ours, and those of nodes, whole or as they come."""

from __future__ import annotations

import logging
from http.client import responses
from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs, web

from headrace.http1.framing import LAST_CHUNK, MAX_JOINED_BYTES, chunk
from headrace.http1.head_limits import LongHeaderError, LongLineError
from headrace.http1.headers import VENDOR_MEDIA, lines_back, lines_of
from headrace.ops.logs.lines import LimitedLog
from headrace.protocol.errors import error_body
from headrace.protocol.headers.encoding import accepts_gzip, deflate
from headrace.server.handler_transport import transport_of
from headrace.upstream.errors import ExchangeError
from headrace_pipelines.errors import HeadraceError

if TYPE_CHECKING:
    import asyncio

    from multidict import CIMultiDict

    from headrace.server.handler_transport import HandlerTransport
    from headrace.upstream.client import Upstream
    from headrace.upstream.response import BufferedResponse, StreamedResponse
    from headrace_pipelines.http1 import HeadError, ResponseHead

_malformed = LimitedLog(logging.getLogger("headrace.http"))
_LIMITS: dict[str, type[HeadraceError]] = {"line": LongLineError, "headers": LongHeaderError}
WITHOUT_BODY = (204, 304)
"""Statuses of responses that have no body."""
_JSON_HEAD = b"HTTP/1.1 %d %b\r\nContent-Type: application/json; charset=UTF-8\r\n%bContent-Length: %d\r\n\r\n"
"""The head of an answer of ours: status, reason, further lines, length."""
COMPRESSED = 1 << 10
"""Minimum length in bytes of our own answers that are compressed."""
SMALL = 1 << 20
"""Bytes of the longest response that is read whole before it is sent on: one that breaks off can be answered as an
error then."""


class Sent(web.StreamResponse):
    """A response that has been written: its status, and whether the connection may stay open."""

    def __init__(self, status: int, *, keep_alive: bool) -> None:
        super().__init__(status=status)
        self._stays = keep_alive

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may stay open."""
        return self._stays


class ClientGoneError(ConnectionResetError):
    """There is nobody to answer; `status` is what the response would have been."""

    def __init__(self, status: int) -> None:
        super().__init__("the client is gone")
        self.status = status


async def send_whole(
    request: web.BaseRequest, status: int, reason: str, headers: CIMultiDict[str], body: bytes, *, close: bool = False
) -> Sent:
    """Answers with a body at hand; to `HEAD` only with its length. `close`: the connection is not used again."""
    vendor = request.get(VENDOR_MEDIA)
    if vendor and headers.get(hdrs.CONTENT_TYPE, "").startswith("application/json"):
        headers[hdrs.CONTENT_TYPE] = vendor
    return await send_lines(request, status, reason, lines_of(headers), body, close=close)


async def send_lines(
    request: web.BaseRequest, status: int, reason: str, lines: bytes, body: bytes, *, close: bool = False
) -> Sent:
    """[`send_whole`] with header lines, in one go; waits for a slow client. Raises ClientGoneError."""
    transport = open_transport(request, status)
    keep_alive = transport.keep_alive and not close
    head = head_of(transport, status, reason, lines, len(body), keep_alive=keep_alive)
    if request.method == hdrs.METH_HEAD or status in WITHOUT_BODY:
        body = b""
    if len(body) <= MAX_JOINED_BYTES:
        transport.send(head + body)
    else:
        transport.send(head, body)
    await transport.drain()
    return Sent(status, keep_alive=keep_alive)


def open_transport(request: web.BaseRequest, status: int) -> HandlerTransport:
    """The transport of a client that is there. Raises ClientGoneError."""
    transport = transport_of(request)
    if transport is None or transport.is_closing():
        raise ClientGoneError(status)
    return transport


def head_of(
    transport: HandlerTransport, status: int, reason: str, lines: bytes, length: int | None, *, keep_alive: bool
) -> bytes:
    """The head of a response with a body of `length` bytes; `None`: in chunks, or to the end of an old connection."""
    if transport.request.head.minor_version:
        version, connection = b"1.1", b"" if keep_alive else b"Connection: close\r\n"
    else:
        version, connection = b"1.0", b"Connection: keep-alive\r\n" if keep_alive else b""
    framing = b""
    if status not in WITHOUT_BODY:
        if length is not None:
            framing = b"Content-Length: %d\r\n" % length
        elif transport.request.head.minor_version:
            framing = b"Transfer-Encoding: chunked\r\n"
    phrase = (reason or responses.get(status, "")).encode("utf-8", "surrogateescape")
    return b"HTTP/%b %d %b\r\n%b%b%b\r\n" % (version, status, phrase, lines, framing, connection)


def write_buffered(transport: asyncio.Transport, response: BufferedResponse) -> None:
    """Writes a node's whole response to a client that speaks HTTP/1.1 and stays."""
    _write_whole(transport, response.head, response.body)


def _write_whole(transport: asyncio.Transport, head: ResponseHead, body: bytes, more: bytes | None = None) -> None:
    """Writes a response with the head of a node; `more`: header lines of ours."""
    if len(body) <= MAX_JOINED_BYTES:
        transport.write(head.client_message(body, more))
    else:
        transport.writelines((head.client_head(len(body), more), body))


class WholeAnswer(msgspec.Struct):
    """An answer that is written at once.

    `body`: `None` for that of the cluster's response as it came. `pipelines`: as `X-Pipeline` says them.
    """

    status: int
    body: bytes | None
    pipelines: str = ""
    more: bytes = b""
    """Further header lines, each with its end."""
    is_error: bool = False


def retry_after(error: HeadraceError) -> int | None:
    """Seconds after which a client may try again what this error ended; `None` where that is of no use."""
    return getattr(error, "retry_after", 1) if error.status in (429, 503) else None


def written_error(error: HeadraceError, pipelines: str) -> WholeAnswer:
    """The answer that says an error, in OpenSearch's shape."""
    seconds = retry_after(error)
    more = b"Retry-After: %d\r\n" % seconds if seconds is not None else b""
    return WholeAnswer(error.status, error_body(error), pipelines, more, is_error=True)


def write_answer(
    transport: asyncio.Transport, response: BufferedResponse | None, answer: WholeAnswer, accept_encoding: bytes | None
) -> None:
    """Writes an answer to a client that speaks HTTP/1.1 and stays.

    Its head is that of `response`, unless there is none or it is an error of ours.
    """
    lines = b"X-Pipeline: %b\r\n" % answer.pipelines.encode() if answer.pipelines else b""
    lines += answer.more
    if answer.body is None and response is not None:
        body = response.body
    else:
        body = answer.body or b""
        may_compress = not answer.is_error and len(body) >= COMPRESSED
        if may_compress and accept_encoding and accepts_gzip(accept_encoding.decode("latin-1")):
            body, lines = deflate(body), lines + b"Content-Encoding: gzip\r\n"
    if response is not None and not answer.is_error:
        _write_whole(transport, response.head, body, lines)
        return
    head = _JSON_HEAD % (answer.status, responses.get(answer.status, "").encode(), lines, len(body))
    transport.writelines((head, body))


class RejectedError(HeadraceError):
    """A message that is not well-formed, or asks for what HTTP has and the proxy has not."""

    type = "illegal_argument_exception"

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def rejection(error: HeadError, remote: str | None) -> bytes:
    """The whole response to what is no request, the last one of its connection. `remote`: the client's address."""
    status, reason, kind = error.args
    rejected: HeadraceError
    if kind in _LIMITS:
        rejected = _LIMITS[kind](reason)
    elif status == 400:
        # The reason names the rule, never what was sent, which may hold a secret.
        _malformed.write("a request from %s that is no HTTP: %s", remote, reason)
        rejected = RejectedError(status, f"the request is not well-formed HTTP: {reason}")
    else:
        rejected = RejectedError(status, reason)
    body = error_body(rejected)
    return b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        rejected.status,
        responses.get(rejected.status, "").encode(),
        len(body),
        body,
    )


async def relay(
    request: web.BaseRequest, upstream: Upstream, response: StreamedResponse, extra: CIMultiDict[str] | None = None
) -> Sent:
    """Streams a node's response to the client.

    One that breaks off ends the client's connection: it must not look complete, and nothing more can be said.
    """
    bodiless = request.method == hdrs.METH_HEAD or response.status in WITHOUT_BODY
    length = response.length
    if not bodiless and 0 < (length or 0) <= SMALL:
        body = await upstream.read_body(response)
        return await send_lines(
            request,
            response.status,
            response.reason,
            lines_back(request, response.raw_headers, extra, response.lines),
            body,
        )
    transport = open_transport(request, response.status)
    chunked = length is None and bool(transport.request.head.minor_version)
    keep_alive = transport.keep_alive and (length is not None or chunked or bodiless)
    lines = lines_back(request, response.raw_headers, extra, response.lines)
    transport.send(head_of(transport, response.status, response.reason, lines, length, keep_alive=keep_alive))
    if bodiless:
        return Sent(response.status, keep_alive=keep_alive)
    try:
        if not await _splice(transport, response):
            await _write(transport, response, chunked=chunked)
    except (OSError, ExchangeError):
        # A late node (TimeoutError) is an OSError.
        transport.abort()
        keep_alive = False
    return Sent(response.status, keep_alive=keep_alive)


async def _splice(transport: HandlerTransport, response: StreamedResponse) -> bool:
    """Sends a long body past the process; whether that could be."""
    sink = transport.sink
    return sink is not None and response.can_splice(sink) and await response.splice_to(sink)


async def _write(transport: HandlerTransport, response: StreamedResponse, *, chunked: bool) -> None:
    """Sends a body in pieces, as fast as the client takes it."""
    while piece := await response.piece():
        transport.send(chunk(piece) if chunked else piece)
        await transport.drain()
    if chunked:
        transport.send(LAST_CHUNK)
