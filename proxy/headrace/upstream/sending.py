"""Requests on their way to a node: heads, and bodies at hand, streamed or spliced."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from headrace.http1 import splice
from headrace.http1.body import RequestBody
from headrace.http1.framing import LAST_CHUNK, MAX_JOINED_BYTES, chunk
from headrace.http1.splice import Splice
from headrace.upstream.connection import BUFFER_BYTES, SMALL
from headrace.upstream.errors import NodeTimeoutError, RequestBodyError, SlowBodyError
from headrace_pipelines.errors import HeadraceError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from headrace.http1.splice import Pipes, StallTimeouts
    from headrace.upstream.connection import NodeConnection

Text = bytes | memoryview
"""A body at hand. A view is of bytes, is not sent twice, and may have ended when the response comes."""
Body = Text | RequestBody | None
Sending = asyncio.Task[None] | Splice
"""A body that is on its way still."""

_WITH_LENGTH = ("POST", "PUT", "PATCH")
"""Methods whose requests say that they have no body."""
_BROKEN: dict[type[Exception], type[Exception]] = {
    splice.SilentError: SlowBodyError,
    splice.StuckError: NodeTimeoutError,
}
"""The error of an exchange whose body stalled, by the side that stalled."""
_T = TypeVar("_T")


_NOT_IN_TARGETS = re.compile(rb"[\x00-\x20\x7f]")


def request_head(method: str, target: str, host: bytes, lines: bytes, body: Body) -> bytes:
    """The head of a request: request line, host, header lines and framing."""
    line = target.encode("utf-8", "surrogateescape")
    if _NOT_IN_TARGETS.search(line):
        # A target that would end the request line, whoever has made it.
        raise InvalidError("a request target has no spaces and no control characters (RFC 9112, section 3.2)")
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (method.encode(), line, host, lines, _framing(method, body))


def _framing(method: str, body: Body) -> bytes:
    """The header line that says how long the body is."""
    if body is None:
        return b"Content-Length: 0\r\n" if method in _WITH_LENGTH else b""
    length = body.length if isinstance(body, RequestBody) else len(body)
    return b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length


def send(
    connection: NodeConnection,
    transport: asyncio.Transport,
    head: bytes,
    body: Body,
    pipes: Pipes,
    patience: StallTimeouts,
) -> Sending | None:
    """Writes what can be written at once; gives what sends the rest of a long body."""
    if isinstance(body, bytes | memoryview) and len(body) <= SMALL:
        if len(body) <= MAX_JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        if isinstance(body, memoryview) and not transport.get_write_buffer_size():
            _release(body)
        return None
    transport.write(head)
    if body is None:
        return None
    connection.is_sending = True
    spliced = _splice(connection, transport, body, pipes, patience) if isinstance(body, RequestBody) else None
    return spliced or asyncio.get_running_loop().create_task(_stream(connection, transport, body, patience))


def _splice(
    connection: NodeConnection, sink: asyncio.Transport, body: RequestBody, pipes: Pipes, patience: StallTimeouts
) -> Splice | None:
    """Has the rest of a body sent past the process, if that can be."""
    if body.length is None or body.error is not None or not splice.possible(body.transport, sink):
        return None
    sink.write(body.pop_buffered())
    if body.left <= 0:
        return None
    try:
        return Splice(pipes, body, sink, body.left, partial(_ended, connection), patience)
    except OSError:
        # No more file numbers.
        return None


async def _stream(
    connection: NodeConnection, transport: asyncio.Transport, body: Text | RequestBody, patience: StallTimeouts
) -> None:
    """Writes a body as fast as the node takes it; one that breaks off ends the exchange, never the request."""
    try:
        if isinstance(body, RequestBody):
            await _stream_client(connection, transport, body, patience)
        else:
            view = memoryview(body)
            for start in range(0, len(body), BUFFER_BYTES):
                transport.write(view[start : start + BUFFER_BYTES])
                await _within(patience.sink, connection.drain(), splice.StuckError)
            view.release()
            if isinstance(body, memoryview):
                _release(body)
    except Exception as error:  # noqa: BLE001 - whatever breaks the body off, the exchange ends with it
        _ended(connection, error)
    else:
        _ended(connection, None)


async def _stream_client(
    connection: NodeConnection, transport: asyncio.Transport, body: RequestBody, patience: StallTimeouts
) -> None:
    chunked = body.length is None
    while piece := await _within(patience.source, body.piece(), splice.SilentError):
        transport.write(chunk(piece) if chunked else piece)
        await _within(patience.sink, connection.drain(), splice.StuckError)
    if chunked:
        transport.write(LAST_CHUNK)


def _ended(connection: NodeConnection, error: Exception | None) -> None:
    """A long body has left, or broken off: then the node must not take it for whole."""
    connection.is_sending = False
    if error is None:
        if not connection.is_complete:
            connection.expect()
    elif connection.error is None:
        kind = _BROKEN.get(type(error), RequestBodyError)
        told = isinstance(error, HeadraceError)
        connection.fail(error if told else kind(f"the body broke off: {type(error).__name__}"))


async def _within(seconds: float | None, step: Awaitable[_T], error: type[TimeoutError]) -> _T:
    """Awaits a step for at most `seconds`. Raises `error` after them."""
    try:
        async with asyncio.timeout(seconds):
            return await step
    except TimeoutError:
        raise error from None


def _release(body: memoryview) -> None:
    """Ends a view of a body that has left, and is not sent again: others can have its memory while the node works."""
    try:
        body.release()
    except BufferError:
        # Somebody looks at it still.
        return
