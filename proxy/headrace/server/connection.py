"""The connection of a client: the state machine between its bytes, the forwarder and aiohttp's handler.

A connection has one request in progress. What a client sends behind it (pipelining) waits unparsed, and from
`MAX_BACKLOG` bytes on in the client's socket.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, cast

from headrace.http1.body import DEFER_FROM, RequestBody
from headrace.http1.splice import untaken
from headrace.server.handler_transport import HandlerTransport
from headrace.server.inbound import InboundRequest
from headrace.server.response import rejection
from headrace.server.states import NEXT, Event, State
from headrace_pipelines.http1 import HeadError, RequestParser

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.server.inbound import Forwarded


BODY_SECONDS = 0.1
"""Seconds that a body may take behind its head for the request to be forwarded without a handler."""
SMALL_BODY = 64 << 10
"""Maximum length in bytes of a body that is copied as it arrives; a longer one is received in place."""
MAX_BACKLOG = 64 << 10
"""Bytes behind the request in progress at which reading from the connection stops."""
LINGER_SECONDS = 2.0
"""Seconds in which a client may take the last response before the connection is closed: if that is done while bytes of
the client are unread, the system throws the response away (RFC 9112, 9.6)."""


class Forwarder(Protocol):
    """Sends requests to a node in the callback that read them."""

    def forward(self, request: InboundRequest, client: ClientConnection) -> Forwarded | None:
        """Sends a request whose body is here, or can go past the process; `None` where it is one for its handler."""
        ...

    def awaits(self, request: InboundRequest) -> bool:
        """Whether a request would be forwarded once its body is here, and there is room for that."""
        ...


class Acceptor(Protocol):
    """The listener of a connection: limits, shared memory, forwarder and handlers."""

    forwarder: Forwarder | None
    client_seconds: float
    """Seconds in which a client has to end a head, or to take something of a response."""
    idle_seconds: float
    """Seconds that a connection may be idle."""
    draining: bool
    """Whether each response is the last one of its connection."""
    buffer: memoryview
    """Where all connections read: what one reads is taken out before another one does."""
    connections: set[ClientConnection]

    @property
    def limits(self) -> tuple[int, int, int]:
        """Bytes of a request line and of all header lines, and header lines."""
        ...

    def lost(self, connection: ClientConnection) -> None:
        """The connection has ended."""
        ...

    def make_aiohttp_handler(self) -> web.RequestHandler:
        """A handler of aiohttp for one connection."""
        ...


class ClientConnection(asyncio.BufferedProtocol):
    """A client's connection."""

    __slots__ = (
        "_await_timer",
        "_awaiting_since",
        "_backlog",
        "_deadline",
        "_drained",
        "_handler",
        "_handler_transport",
        "_idle_since",
        "_idle_timer",
        "_listener",
        "_loop",
        "_parser",
        "_reading",
        "_request",
        "_state",
        "_taking_timer",
        "_untaken",
        "_write_paused",
        "remote",
        "stopping",
        "transport",
    )

    def __init__(self, listener: Acceptor, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self._loop = loop
        self._state = State.READING_HEAD
        self._parser = RequestParser(*listener.limits)
        self._backlog = bytearray()
        self._request: InboundRequest | None = None
        self._handler: web.RequestHandler | None = None
        self._handler_transport: HandlerTransport | None = None
        self._reading = True
        self._write_paused = False
        self._drained: asyncio.Future[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._await_timer: asyncio.TimerHandle | None = None
        self._awaiting_since = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._taking_timer: asyncio.TimerHandle | None = None
        self._untaken = -1
        self.transport: asyncio.Transport | None = None
        self.remote: str | None = None
        """The client's address."""
        self.stopping = False
        """Whether the response to the request in progress is the last one."""

    # The loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop has accepted the connection."""
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.remote = peer[0] if isinstance(peer, tuple) else peer or None
        self._idle_since = self._loop.time()
        self._idle_timer = self._loop.call_later(self._listener.idle_seconds, self._check_idle)
        self._listener.connections.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: into a body that is received in place, else into what all connections share."""
        if self._request is not None and (body := self._request.arriving) is not None and body.target is not None:
            return body.target.room()
        return self._listener.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the client. The shared buffer is read before anybody else writes to it."""
        request = self._request
        if request is not None and not request.complete:
            self._read_body(request, nbytes)
        elif request is None and self._state is State.READING_HEAD and not (self._backlog or self._write_paused):
            try:
                at = self._parse(self._listener.buffer, nbytes)
            except HeadError as error:
                self._refuse(error)
                return
            if at < nbytes:
                self._backlog += self._listener.buffer[at:nbytes]
            if self._request is not None:
                self._dispatch(self._request)
        elif self._state is not State.CLOSING:
            self._backlog += self._listener.buffer[:nbytes]
            self._proceed()

    def eof_received(self) -> bool:
        """A half-closed connection counts as closed, as with a node."""
        return False

    def pause_writing(self) -> None:
        """The client does not take what is written."""
        self._write_paused = True
        self._untaken = -1
        self._check_taking()

    def resume_writing(self) -> None:
        """The client takes what is written again."""
        self._write_paused = False
        if self._taking_timer is not None:
            self._taking_timer.cancel()
        self._wake_writers()
        self._proceed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the exchange and the handler of the request in progress."""
        self._listener.lost(self)
        for timer in (self._deadline, self._await_timer, self._idle_timer, self._taking_timer):
            if timer is not None:
                timer.cancel()
        self._state = State.CLOSING
        self.transport = None
        request, self._request = self._request, None
        error = ConnectionResetError("the client is gone")
        if request is not None:
            forwarded, request.forwarded = request.forwarded, None
            if forwarded is not None:
                forwarded.abandon()
            if request.arriving is not None:
                request.arriving.fail(error)
            request.release()
        self._wake_writers()
        if self._handler is not None:
            self._handler.connection_lost(exc)

    # Incoming bytes.

    def _parse(self, data: memoryview, size: int) -> int:
        """Takes the request that the first `size` bytes of `data` begin with; gives where it ends. Raises HeadError."""
        head = self._parser.parse(data, 0, size)
        if head is None:
            if self._deadline is None:
                self._deadline = self._loop.call_later(self._listener.client_seconds, self.abort)
            return 0
        if self._deadline is not None:
            self._stop_deadline()
        at = head.size
        length = (head.length or 0) if head.has_body else 0
        if not head.has_body or 0 < length <= size - at:
            self._request = InboundRequest(head, bytes(data[at : at + length]))
            return at + length
        body = RequestBody(head, self)
        at = body.feed(data, at, size)
        self._request = InboundRequest(head, None, body)
        return at

    def _dispatch(self, request: InboundRequest) -> None:
        """Forwards a request, waits for its small body, or hands it to aiohttp."""
        forwarder, head = self._listener.forwarder, request.head
        if forwarder is not None and head.keep_alive and head.minor_version == 1 and not head.expect_continue:
            request.forwarded = forwarder.forward(request, self)
            if request.forwarded is not None:
                self._on(Event.FORWARD)
                return
            if self._state is State.READING_HEAD and not request.complete and self._awaits(request, forwarder):
                self._on(Event.AWAIT_BODY)
                return
        self._handle(request)

    def _awaits(self, request: InboundRequest, forwarder: Forwarder) -> bool:
        """Whether the request's body is waited for, for a moment. One timer serves many requests."""
        length = request.head.length
        if length is None or not forwarder.awaits(request):
            return False
        if length > SMALL_BODY:
            request.body.collect()
        self._awaiting_since = self._loop.time()
        if self._await_timer is None:
            self._await_timer = self._loop.call_later(BODY_SECONDS, self._stop_awaiting)
        return True

    def _stop_awaiting(self) -> None:
        self._await_timer = None
        if self._state is not State.READING_BODY or self._request is None:
            return
        due = self._awaiting_since + BODY_SECONDS
        if self._loop.time() < due:
            self._await_timer = self._loop.call_at(due, self._stop_awaiting)
        else:
            self._handle(self._request)

    def _read_body(self, request: InboundRequest, count: int) -> None:
        """More of the body of the request in progress."""
        body, buffer = request.body, self._listener.buffer
        if body.target is not None:
            body.filled(count)
            if body.complete and self._state is State.READING_BODY:
                self.body_ended()
            return
        try:
            end = body.feed(buffer, 0, count)
        except HeadError as error:
            self._refuse(error)
            return
        if self._state is State.DISCARDING:
            body.discard()
        if end < count:
            self._backlog += buffer[end:count]
        if body.complete:
            self.body_ended()

    def body_ended(self) -> None:
        """The whole body has been read, here or by the kernel."""
        if self._state is State.READING_BODY and self._request is not None:
            self._dispatch(self._request)
        elif self._state is State.DISCARDING:
            self._request = None
            self._on(Event.BODY_ENDED)
            self._stop_deadline()
            self._next()
        else:
            # The next bytes belong to a further request.
            self.resume_reading()

    # The request in progress.

    def _handle(self, request: InboundRequest) -> None:
        """Gives a request to aiohttp."""
        self._on(Event.HANDLE)
        self.stopping = self.stopping or self._listener.draining
        body = request.arriving
        if body is not None and not body.complete and request.forwarded is None:
            body.stop_collecting()
            if body.left >= DEFER_FROM:
                self.pause_reading()
        if self._handler is None or self._handler_transport is None:
            self._handler_transport = HandlerTransport(self, request)
            self._handler = self._listener.make_aiohttp_handler()
            self._handler.connection_made(self._handler_transport)
        else:
            self._handler_transport.request = request
        self._handler.data_received(request.head.head_for_handler())

    def fall_back(self) -> None:
        """The forwarded request goes to its handler, with the response that is pending."""
        if self._request is not None:
            self._handle(self._request)

    def answered(self, *, keep_alive: bool = True) -> None:
        """The response to the request in progress has been written."""
        request = self._request
        if request is None:
            return
        request.forwarded = None
        if self.stopping or not keep_alive:
            self._end()
            return
        body = request.arriving
        if body is not None and not body.complete:
            if body.error is not None:
                self._end()
                return
            self._on(Event.ANSWERED_EARLY)
            self._deadline = self._loop.call_later(self._listener.client_seconds, self.abort)
            body.discard()
            self.resume_reading()
            return
        self._on(Event.ANSWERED)
        self._request = None
        self._next()

    def _next(self) -> None:
        """Goes on behind a request."""
        self._idle_since = self._loop.time()
        if self._backlog or not self._reading:
            self._proceed()

    def _proceed(self) -> None:
        """Reads the request that waits, if there is one and the client takes its responses."""
        if self._state is State.READING_HEAD and not self._write_paused and self._backlog:
            try:
                with memoryview(self._backlog) as view:
                    at = self._parse(view, len(view))
            except HeadError as error:
                self._refuse(error)
                return
            del self._backlog[:at]
            if self._request is not None:
                self._dispatch(self._request)
        waits = self._state is not State.READING_HEAD or self._write_paused
        if waits and len(self._backlog) >= MAX_BACKLOG:
            self.pause_reading()
        elif not self._is_deferred:
            self.resume_reading()

    @property
    def _is_deferred(self) -> bool:
        """Whether the body of the request in progress is read, or not, as its reader says."""
        return self._state in (State.FORWARDING, State.HANDLING) and not (
            self._request is None or self._request.complete
        )

    def _refuse(self, error: HeadError) -> None:
        """Ends the connection behind what is not well-formed."""
        if self._state in (State.FORWARDING, State.HANDLING):
            # The reader of the body answers; the connection reads nothing behind it.
            self.stopping = True
            self.pause_reading()
            return
        if self._state is not State.DISCARDING and self.transport is not None:
            self.transport.write(rejection(error, self.remote))
        self._end(more=True)

    def refuse_handled(self) -> None:
        """Answers the request that aiohttp does not take: its parser is stricter in something."""
        if self._state is State.HANDLING and self.transport is not None:
            error = HeadError(400, "a header that is not taken", "handler")
            self.transport.write(rejection(error, self.remote))
            self._end()

    def _on(self, event: Event) -> None:
        state = NEXT[self._state][event]
        if state is None:
            raise RuntimeError(f"{event.name} while {self._state.name}")
        self._state = state

    # Closing.

    def _end(self, *, more: bool = False) -> None:
        """Closes the connection once the client has what was written; `more`: it may send what nobody will read."""
        transport = self.transport
        unread = more or bool(self._backlog) or (self._request is not None and not self._request.complete)
        if self._request is not None:
            self._request.release()
            self._request = None
        self._on(Event.END)
        if transport is None or transport.is_closing():
            return
        if not unread:
            transport.close()
            return
        self._backlog.clear()
        with suppress(OSError, NotImplementedError, RuntimeError):
            if transport.can_write_eof():
                transport.write_eof()
        self._stop_deadline()
        self._deadline = self._loop.call_later(LINGER_SECONDS, transport.close)
        self.resume_reading()

    def abort(self) -> None:
        """Closes the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """Closes the connection once the client has what was written."""
        if self.transport is not None:
            self.transport.close()

    def shut_down(self) -> None:
        """Ends the connection with the request in progress; at once, if there is none."""
        self.stopping = True
        if self._state is State.READING_BODY and (request := self._request) and request.body.target is not None:
            # A long body, for which a handler has `shutdown_grace`.
            self._handle(request)
        if self._state in (State.FORWARDING, State.HANDLING, State.CLOSING) or self.transport is None:
            return
        if self._state is State.DISCARDING:
            self._end()
            return
        self._on(Event.END)
        self.transport.close()

    def _check_idle(self) -> None:
        """Closes a connection that nobody uses. One timer serves all requests."""
        due = self._idle_since + self._listener.idle_seconds
        if self._state is not State.READING_HEAD or self._backlog:
            due = self._loop.time() + self._listener.idle_seconds
        elif self._loop.time() >= due and self.transport is not None:
            self.transport.close()
            return
        self._idle_timer = self._loop.call_at(due, self._check_idle)

    def _check_taking(self) -> None:
        """Closes the connection of a client that has taken nothing of what waits for it since the last look."""
        if self.transport is None:
            return
        waiting = untaken(self.transport)
        if waiting == self._untaken:
            self.transport.abort()
            return
        self._untaken = waiting
        self._taking_timer = self._loop.call_later(self._listener.client_seconds, self._check_taking)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # For bodies and handlers.

    def pause_reading(self) -> None:
        """Stops reading: further bytes stay in the socket."""
        if self._reading and self.transport is not None and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Reads what the client sends."""
        if not self._reading and self.transport is not None and not self.transport.is_closing():
            self._reading = True
            self.transport.resume_reading()

    def send_continue(self) -> None:
        """Tells the client that its body is wanted."""
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def drain(self) -> None:
        """Waits until the client has taken enough of what was written. Raises ConnectionResetError if it is gone."""
        if self._write_paused and self.transport is not None:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)
        if self.transport is None:
            raise ConnectionResetError("the client is gone")

    def _wake_writers(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
