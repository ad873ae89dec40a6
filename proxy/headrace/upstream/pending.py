"""A request that has been sent, and its response, which is pending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.http1.head_limits import sound
from headrace.upstream.connection import BUFFER_BYTES
from headrace.upstream.errors import DisconnectedError
from headrace.upstream.response import BufferedResponse, StreamedResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.upstream.connection import NodeConnection
    from headrace.upstream.pool import ConnectionPool
    from headrace.upstream.sending import Body, Sending
    from headrace_pipelines.http1 import ResponseHead


class Exchange:
    """A request on a connection, until that is released."""

    __slots__ = ("_node", "_request_head", "_sending", "connection", "pool")

    def __init__(
        self, pool: ConnectionPool, node: str, connection: NodeConnection, request_head: bytes, sending: Sending | None
    ) -> None:
        self.pool = pool
        self._node = node
        self.connection: NodeConnection | None = connection
        self._request_head = request_head
        self._sending = sending

    @property
    def is_sent(self) -> bool:
        """Whether the request has left whole."""
        return self._sending is None or self._sending.done()

    def release(self) -> None:
        """Gives the connection back to the pool, or closes it where another request cannot be trusted to it."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        head = connection.head
        if (
            self.is_sent
            and head is not None
            and connection.is_complete
            and connection.is_reusable
            and sound(head.status, self._request_head)
        ):
            connection.release()
            self.pool.release(self._node, connection)
        else:
            self._close(connection)

    def close(self) -> None:
        """Ends it, unless it has ended; the response is not wanted."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self._close(connection)

    def _close(self, connection: NodeConnection) -> None:
        if self._sending is not None:
            self._sending.cancel()
        connection.close()


class PendingResponse:
    """A response that is waited for with [`response`], or [`listen`]ed for and taken as `buffered`."""

    __slots__ = ("_exchange", "body", "node")

    def __init__(self, node: str, body: Body, exchange: Exchange) -> None:
        self.node = node
        self.body = body
        self._exchange = exchange

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Has `listener` called for whatever arrives, and when nothing will any more."""
        connection = self._exchange.connection
        if connection is not None:
            connection.listener = listener

    def buffered(self) -> BufferedResponse | None:
        """The response, once it is whole, if it was to be; the connection is free then."""
        exchange = self._exchange
        connection = exchange.connection
        if connection is None or not connection.is_complete or not exchange.is_sent:
            return None
        head = connection.head
        if head is None or head.length is None:
            return None
        response = BufferedResponse(head, connection.take_buffered())
        exchange.release()
        return response

    @property
    def may_buffer(self) -> bool:
        """Whether [`buffered`] can be expected to have a response when more has arrived."""
        connection = self._exchange.connection
        if connection is None or connection.error is not None:
            return False
        head = connection.head
        if head is None:
            return True
        return not connection.is_complete and head.length is not None and head.length <= BUFFER_BYTES

    async def response(self) -> StreamedResponse:
        """The response, once its head has arrived. Raises ExchangeError, TimeoutError."""
        exchange = self._exchange
        connection = exchange.connection
        if connection is None:
            raise DisconnectedError
        try:
            head: ResponseHead = await connection.head_here()
        except BaseException:
            self.close()
            raise
        if connection.is_complete and exchange.is_sent and head.length is not None:
            body = connection.take_buffered()
            exchange.release()
            return StreamedResponse(head, None, body)
        return StreamedResponse(head, exchange)

    def close(self) -> None:
        """Ends it, unless it has ended; the response is not wanted."""
        self._exchange.close()
