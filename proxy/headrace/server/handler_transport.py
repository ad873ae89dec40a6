"""The transport that aiohttp's request handler writes to: a client's connection without its bodies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    from headrace.server.inbound import InboundRequest


class HandledConnection(Protocol):
    """The part of a client connection that the transport uses."""

    transport: asyncio.Transport | None
    stopping: bool

    def close(self) -> None:
        """Closes the connection once the client has what was written."""
        ...

    def abort(self) -> None:
        """Closes the connection at once."""
        ...

    def answered(self, *, keep_alive: bool) -> None:
        """The response to the request in progress has been written."""
        ...

    def refuse_handled(self) -> None:
        """Answers the request in progress, which its handler does not take, and ends the connection."""
        ...

    async def drain(self) -> None:
        """Waits until the client has taken enough of what was written."""
        ...


class HandlerTransport(asyncio.Transport):
    """A client's connection, for one request after the other. `request` is the one in progress.

    Reading is the connection's: aiohttp gets heads only, so that it has nothing to pause.
    """

    def __init__(self, connection: HandledConnection, request: InboundRequest) -> None:
        super().__init__()
        self._connection = connection
        self.request = request

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Extra info of the client's own transport."""
        transport = self._connection.transport
        return default if transport is None else transport.get_extra_info(name, default)

    @property
    def sink(self) -> asyncio.Transport | None:
        """The client's own transport, for who moves bytes to its socket."""
        return self._connection.transport

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open behind the response."""
        return self.request.head.keep_alive and not self._connection.stopping

    def send(self, *parts: bytes | memoryview) -> None:
        """Writes a part of a response to the client."""
        transport = self._connection.transport
        if transport is None:
            return
        if len(parts) == 1:
            transport.write(parts[0])
        else:
            transport.writelines(parts)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Called only when aiohttp refuses a head by itself: the connection sends our error in place of aiohttp's."""
        self._connection.refuse_handled()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """As [`write`]."""
        self._connection.refuse_handled()

    def answered(self, *, keep_alive: bool) -> None:
        """The response has been written."""
        self._connection.answered(keep_alive=keep_alive)

    async def drain(self) -> None:
        """Waits for a slow client. Raises ConnectionResetError if it is gone."""
        await self._connection.drain()

    def get_write_buffer_size(self) -> int:
        """Bytes that the client has not taken."""
        transport = self._connection.transport
        return 0 if transport is None else transport.get_write_buffer_size()

    def is_closing(self) -> bool:
        """Whether nobody can be answered any more."""
        return self._connection.transport is None or self._connection.transport.is_closing()

    def close(self) -> None:
        """Aiohttp's task has ended: there is nobody to hand a request to."""
        self._connection.close()

    def abort(self) -> None:
        """Closes the connection at once."""
        self._connection.abort()

    def is_reading(self) -> bool:
        """Heads come when they come."""
        return True

    def pause_reading(self) -> None:
        """There is never more than one head to read."""

    def resume_reading(self) -> None:
        """There is never more than one head to read."""


def transport_of(request: web.BaseRequest) -> HandlerTransport | None:
    """The transport of a request; `None` once the client is gone."""
    transport = request.transport
    return transport if isinstance(transport, HandlerTransport) else None
