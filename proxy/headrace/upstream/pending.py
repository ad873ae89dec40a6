"""A request that has been sent, and its response, which is pending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headrace.http1.head_limits import FIRST_ERROR, sound
from headrace.upstream.connection import BUFFER_BYTES
from headrace.upstream.errors import DisconnectedError
from headrace.upstream.response import BufferedResponse, StreamedResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.upstream.connection import NodeConnection
    from headrace.upstream.response import SplicePool
    from headrace.upstream.sending import Body, Sending
    from headrace_pipelines.http1 import ResponseHead


class NodeConnections(Protocol):
    """The connections to a node, as an exchange needs them."""

    url: str

    @property
    def pool(self) -> SplicePool:
        """The pool of the connections."""
        ...

    def release(self, connection: NodeConnection) -> None:
        """Takes back a connection."""
        ...


class PendingResponse:
    """A request that has left, and its connection until that is released.

    Its response is waited for with [`response`], or [`listen`]ed for and taken as `buffered`. `message`: the request's
    head, maybe with its body.
    """

    __slots__ = ("_message", "_node", "_sending", "body", "connection")

    def __init__(
        self,
        node: NodeConnections,
        body: Body,
        connection: NodeConnection,
        message: bytes,
        sending: Sending | None,
    ) -> None:
        self.body = body
        self.connection: NodeConnection | None = connection
        self._node = node
        self._message = message
        self._sending = sending

    @property
    def node(self) -> str:
        """The URL of the node."""
        return self._node.url

    @property
    def pool(self) -> SplicePool:
        """Where its connection is from."""
        return self._node.pool

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Has `listener` called for whatever arrives, and when nothing will any more."""
        if self.connection is not None:
            self.connection.listener = listener

    def buffered(self) -> BufferedResponse | None:
        """The response, once it is whole, if it was to be; the connection is free then."""
        connection = self.connection
        if connection is None or not connection.is_complete or not self._is_sent:
            return None
        head = connection.head
        if head is None or head.length is None:
            return None
        response = BufferedResponse(head, connection.pop_buffered())
        self.release()
        return response

    @property
    def may_buffer(self) -> bool:
        """Whether [`buffered`] can be expected to have a response when more has arrived."""
        connection = self.connection
        if connection is None or connection.error is not None:
            return False
        head = connection.head
        if head is None:
            return True
        return not connection.is_complete and head.length is not None and head.length <= BUFFER_BYTES

    async def response(self) -> StreamedResponse:
        """The response, once its head has arrived. Raises ExchangeError, TimeoutError."""
        connection = self.connection
        if connection is None:
            raise DisconnectedError
        try:
            head: ResponseHead = await connection.head_here()
        except BaseException:
            self.close()
            raise
        if connection.is_complete and self._is_sent and head.length is not None:
            body = connection.pop_buffered()
            self.release()
            return StreamedResponse(head, None, body)
        return StreamedResponse(head, self)

    @property
    def _is_sent(self) -> bool:
        """Whether the request has left whole."""
        return self._sending is None or self._sending.done()

    def release(self) -> None:
        """Gives the connection back to the pool, or closes it where another request cannot be trusted to it."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        head = connection.head
        if (
            self._is_sent
            and head is not None
            and connection.is_complete
            and connection.is_reusable
            and not connection.is_unsent
            and (head.status < FIRST_ERROR or sound(head.status, self._message.partition(b"\r\n\r\n")[0]))
        ):
            connection.release()
            self._node.release(connection)
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
