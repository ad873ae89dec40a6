"""Responses of nodes: buffered ones, and streamed ones, whose bodies are read in pieces or spliced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headrace.http1 import splice
from headrace.http1.splice import StallTimeouts

if TYPE_CHECKING:
    import asyncio

    from headrace.http1.headers import RawHeaders
    from headrace.http1.splice import Pipes
    from headrace.upstream.connection import NodeConnection
    from headrace_pipelines.http1 import ResponseHead


class SplicePool(Protocol):
    """The part of a connection pool that splicing uses."""

    pipes: Pipes
    read_seconds: float | None
    client_seconds: float | None


class Exchange(Protocol):
    """The request that a response belongs to, with its connection until that is released."""

    @property
    def connection(self) -> NodeConnection | None:
        """The connection; `None` once it is released."""
        ...

    @property
    def pool(self) -> SplicePool:
        """The pool of the connection."""
        ...

    def release(self) -> None:
        """Gives the connection back, or closes it where the exchange is not whole."""
        ...


def is_plain_json(content_type: bytes | None, content_encoding: bytes | None) -> bool:
    """Whether a body with these headers is JSON without a content coding."""
    return content_encoding is None and (content_type or b"").partition(b";")[0].strip().endswith(b"json")


class BufferedResponse:
    """A whole response; its connection has been released."""

    __slots__ = ("body", "head", "status")

    def __init__(self, head: ResponseHead, body: bytes) -> None:
        self.head = head
        self.body = body
        self.status = head.status

    @property
    def is_json(self) -> bool:
        """Whether the body is plain JSON."""
        return is_plain_json(self.head.header(b"content-type"), self.head.header(b"content-encoding"))


class StreamedResponse:
    """A response whose head has arrived, with its body to come, or here already. Whoever has it must `release` it."""

    __slots__ = ("_body", "_exchange", "head", "reason", "status")

    def __init__(self, head: ResponseHead, exchange: Exchange | None, body: bytes = b"") -> None:
        self.head = head
        self.status = head.status
        self.reason = head.reason
        self._exchange = exchange
        self._body = body

    @property
    def raw_headers(self) -> RawHeaders:
        """Its headers as they came."""
        return self.head.raw_headers

    @property
    def lines(self) -> bytes:
        """Its header lines for a client."""
        return self.head.client_lines()

    @property
    def length(self) -> int | None:
        """The length that it declares, in bytes, also in response to HEAD."""
        return self.head.declared_length

    @property
    def _connection(self) -> NodeConnection | None:
        return self._exchange.connection if self._exchange is not None else None

    async def read(self) -> bytes:
        """The rest of the body. Raises ExchangeError, TimeoutError if it breaks off."""
        connection = self._connection
        if connection is None:
            return await self.piece()
        return await connection.read()

    async def piece(self) -> bytes:
        """The next piece of the body; empty at its end. Raises as [`read`]."""
        connection = self._connection
        if connection is not None:
            return await connection.piece()
        piece, self._body = self._body, b""
        return piece

    def can_splice(self, sink: asyncio.Transport) -> bool:
        """Whether the body can go to a connection by [`splice_to`]."""
        connection = self._connection
        if connection is None or not connection.left_to_stream:
            return False
        return splice.possible(connection.transport, sink)

    async def splice_to(self, sink: asyncio.Transport) -> bool:
        """Sends the body to a connection, past the process; whether it did: else what is left comes in pieces.

        Raises OSError (TimeoutError is one) when one of the two breaks off.
        """
        connection = self._connection
        if connection is None or self._exchange is None:
            return False
        if piece := connection.pop_buffered():
            sink.write(piece)
        left = connection.left_to_stream
        if not left:
            return False
        pool = self._exchange.pool
        return await splice.move(
            pool.pipes, connection, sink, left, StallTimeouts(pool.read_seconds, pool.client_seconds)
        )

    def release(self) -> None:
        """Gives the connection back, or closes it where the exchange is not whole."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.release()
