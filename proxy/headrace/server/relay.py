"""A node's response on its way to the client, as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs

from headrace.http1.headers import lines_back
from headrace.server.response import WITHOUT_BODY, Sent, head_of, open_transport, send_lines
from headrace.upstream.errors import ExchangeError

if TYPE_CHECKING:
    from aiohttp import web
    from multidict import CIMultiDict

    from headrace.server.handler_transport import HandlerTransport
    from headrace.upstream.client import Upstream
    from headrace.upstream.response import StreamedResponse

SMALL = 1 << 20
"""Bytes of the longest response that is read whole before it is sent on: one that breaks off can be answered as an
error then."""


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
        transport.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await transport.drain()
    if chunked:
        transport.send(b"0\r\n\r\n")
