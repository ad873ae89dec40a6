"""A connection to a node: the state machine of one exchange at a time.

Bytes are read into a buffer that all connections of the pool share, and copied out of it once; a body of known length
is received in the memory where it stays.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

from headrace.http1.framing import MAX_TRAILER_BYTES
from headrace.upstream.errors import DisconnectedError, ExchangeError, MalformedResponseError, NodeTimeoutError
from headrace.upstream.stall import StallTimer
from headrace.upstream.states import NEXT, Event, State
from headrace_pipelines.http1 import BodyBuffer, ChunkedDecoder, HeadError, ResponseParser

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace_pipelines.http1 import ResponseHead


BUFFER_BYTES = 256 << 10
"""Bytes that are read at a time, and of the longest piece of a streamed body."""
SMALL = 1 << 20
"""Maximum length in bytes of a body that is received before its reader asks; a longer one stays in the socket."""
MAX_BUFFERED = 2 * BUFFER_BYTES
"""Bytes of a streamed body that may wait for their reader before the connection is not read from any more."""
MAX_HEADERS_BYTES = 256 << 10
"""Bytes of a response's header lines: more than nodes send, and no more than memory can bear a thousand times."""
MAX_HEADERS = 1024
MAX_INTERIM = 32
"""Interim responses (1xx) before the final one."""


class NodeConnection(asyncio.BufferedProtocol):
    """A connection to a node."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffer: memoryview,
        read_seconds: float | None,
        open_connections: set[NodeConnection],
    ) -> None:
        self._loop = loop
        self._open = open_connections
        self._buffer = buffer
        self._stall = StallTimer(loop, read_seconds, lambda: self._fail(NodeTimeoutError("the node is late")))
        self._state = State.IDLE
        self._parser = ResponseParser(MAX_HEADERS_BYTES, MAX_HEADERS)
        self._bodiless = False
        self._interims = 0
        self._partial = bytearray()
        self._target: BodyBuffer | None = None
        self._decoder: ChunkedDecoder | None = None
        self._left: int | None = None
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._reading = True
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._writing_paused = False
        self.transport: asyncio.Transport | None = None
        self.head: ResponseHead | None = None
        """The head of the response, once it has arrived."""
        self.error: Exception | None = None
        """Why the exchange cannot become whole."""
        self.is_reusable = True
        """Whether nothing has come that forbids another request."""
        self.is_sending = False
        """Whether the request's body is on its way still."""
        self.listener: Callable[[], None] | None = None
        """Called when something of a response is here, or nothing will come any more."""

    def _on(self, event: Event) -> None:
        state = NEXT[self._state][event]
        if state is None:
            raise RuntimeError(f"{event.name} in {self._state.name}")
        self._state = state

    # The exchange's side.

    @property
    def is_usable(self) -> bool:
        """Whether a request can be sent."""
        return self._state is State.IDLE and self.transport is not None and not self.transport.is_closing()

    @property
    def is_complete(self) -> bool:
        """Whether the response is whole."""
        return self._state is State.COMPLETE

    @property
    def is_unsent(self) -> bool:
        """Whether the node has not taken all that was written."""
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    @property
    def left_to_stream(self) -> int:
        """Bytes of a streamed body of known length that have not been read."""
        return (self._left or 0) if self._state is State.STREAMING and self.error is None else 0

    def start_exchange(self, method: str) -> asyncio.Transport:
        """A request is about to be sent. Raises DisconnectedError."""
        if not self.is_usable or self.transport is None:
            raise DisconnectedError
        self._on(Event.REQUEST)
        self._bodiless = method == "HEAD"
        self._interims = 0
        self.head = None
        return self.transport

    def release(self) -> None:
        """The response has been taken: the next request may come."""
        self._on(Event.RELEASE)
        self.listener = self.head = None
        self._pieces.clear()
        self._buffered = 0

    def close(self) -> None:
        """Closes the connection at once; nobody is told."""
        self.listener = None
        if self._state is not State.CLOSED:
            self._fail(DisconnectedError("the connection has been closed"))

    def fail(self, error: Exception) -> None:
        """Ends the exchange: its request cannot become whole. A response that is here whole already stays."""
        if self._state is not State.COMPLETE:
            self._fail(error)
            return
        self.is_reusable = False
        if self.transport is not None:
            self.transport.abort()

    async def head_here(self) -> ResponseHead:
        """Waits for the head of the response. Raises ExchangeError, TimeoutError."""
        while self.head is None:
            await self._wait()
        return self.head

    async def read(self) -> bytes:
        """The rest of the body. Raises ExchangeError, TimeoutError."""
        while self._state is State.RECEIVING and self.error is None:
            await self._wait()
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def piece(self) -> bytes:
        """The next piece of the body; empty at its end. Raises as [`read`]."""
        while not self._pieces:
            if self._state is State.COMPLETE:
                return b""
            if self._state is State.STREAMING:
                self._resume()
            await self._wait()
        piece = self._pieces.popleft()
        self._buffered -= len(piece)
        return piece

    def pop_buffered(self) -> bytes:
        """The bytes of the body that have arrived; it does not wait."""
        pieces = self._pieces
        whole = pieces.popleft() if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered = 0
        return whole

    async def drain(self) -> None:
        """Waits until the node takes more. Raises the connection's error."""
        if self.error is not None or self.transport is None:
            raise self.error or DisconnectedError("the node is gone")
        if self._writing_paused:
            self._drained = self._loop.create_future()
            await self._drained

    async def _wait(self) -> None:
        """Waits for whatever comes. Raises the error that the exchange ended with."""
        if self.error is not None:
            raise self.error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # The kernel's turn at a long body (`splice.Source`).

    def suspend(self) -> None:
        """Leaves the socket to the kernel."""
        self._on(Event.SPLICE)
        self._stall.stop()
        self._pause()

    def resume(self, left: int) -> None:
        """Takes it back, `left` bytes before the end of the body."""
        if self._state is not State.SPLICING:
            return
        if left:
            self._fail(DisconnectedError("the body was left before its end"))
        else:
            self._left = 0
            self._on(Event.WHOLE)
            self._resume()

    # Time.

    def expect(self) -> None:
        """The node has some seconds from now on for its next byte."""
        self._stall.start()

    # The loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The node is there."""
        self.transport = cast("asyncio.Transport", transport)
        self._open.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer if self._target is None else self._target.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the node."""
        try:
            if self._target is not None:
                self._target.filled(nbytes)
                self._receive(self._target)
            elif self._state is State.AWAITING:
                self._read_head(nbytes)
            elif self._state is State.STREAMING:
                self._stream(self._buffer, 0, nbytes)
            else:
                # No exchange is in progress.
                self._end_reuse()
        except HeadError as error:
            self._fail(MalformedResponseError(f"the response is not well-formed HTTP: {error.args[1]}"))

    def eof_received(self) -> bool:
        """The node sends nothing more."""
        if self._state is State.STREAMING and self._left is None and self._decoder is None:
            self.is_reusable = False
            self._whole()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The node is gone."""
        self._open.discard(self)
        self._stall.cancel()
        if self._state is State.COMPLETE:
            self.is_reusable = False
        elif self._state is not State.CLOSED:
            self._fail(DisconnectedError("the node closed the connection"))
        self.transport = None
        self._wake_writer()

    def pause_writing(self) -> None:
        """The node does not take what is written."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """It takes it again."""
        self._writing_paused = False
        self._wake_writer()

    # Incoming bytes.

    def _read_head(self, size: int) -> None:
        data: memoryview | bytearray = self._buffer
        if self._partial:
            data, self._partial = self._partial, bytearray()
            data += self._buffer[:size]
            size = len(data)
        at = 0
        while self._interims <= MAX_INTERIM:
            head = self._parser.parse(data, at, size, bodiless=self._bodiless)
            if head is None:
                self._partial += data[at:size]
                self._stall.extend()
                return
            at += head.size
            if not head.interim:
                self._start_body(head, data, at, size)
                return
            self._interims += 1
        raise HeadError(502, "too many interim responses", "malformed")

    def _start_body(self, head: ResponseHead, data: memoryview | bytearray, at: int, size: int) -> None:
        self.head = head
        # A node that refuses what it has not read to its end may never read on.
        refused_early = self.is_sending and head.status >= 400
        self.is_reusable = self.is_reusable and head.keep_alive and not refused_early
        length = head.length
        if length is not None and size - at >= length:
            self._append(bytes(data[at : at + length]))
            if size - at > length:
                self._end_reuse()
            self._whole()
        elif length is not None and length <= SMALL:
            self._on(Event.RECEIVE)
            self._target = BodyBuffer(length)
            self._target.append(data, at, size)
            self._stall.extend()
            self._notify()
        else:
            self._on(Event.STREAM)
            self._left = length
            self._decoder = ChunkedDecoder(MAX_TRAILER_BYTES) if head.chunked else None
            if length is not None:
                # It stays where it is until somebody wants it: the kernel may have it.
                self._pause()
            self._stream(data, at, size)

    def _receive(self, target: BodyBuffer) -> None:
        if target.left:
            self._stall.extend()
            return
        self._target = None
        self._append(target.whole())
        self._whole()

    def _append(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self._buffered += len(piece)

    def _stream(self, data: memoryview | bytearray, at: int, size: int) -> None:
        """Takes a piece of a body."""
        done = False
        if self._decoder is not None:
            piece, end, done = self._decoder.feed(data, at, size)
        else:
            end = size if self._left is None else min(size, at + self._left)
            piece = bytes(data[at:end])
            if self._left is not None:
                self._left -= len(piece)
                done = not self._left
        self._append(piece)
        if end < size:
            self._end_reuse()
        if done:
            self._whole()
            return
        if self._buffered >= MAX_BUFFERED:
            self._pause()
        self._stall.extend()
        self._notify()

    def _whole(self) -> None:
        self._on(Event.WHOLE)
        self._stall.stop()
        self._decoder = self._left = None
        self._resume()
        self._notify()

    def _end_reuse(self) -> None:
        """Ends reuse of the connection: bytes behind a response belong to no exchange."""
        self.is_reusable = False
        if self._state is State.IDLE:
            self._fail(ExchangeError("something came that nobody asked for"))

    def _pause(self) -> None:
        if self._reading and self.transport is not None and not self.transport.is_closing():
            self._reading = False
            self._stall.stop()
            self.transport.pause_reading()

    def _resume(self) -> None:
        if not self._reading and self.transport is not None and not self.transport.is_closing():
            self._reading = True
            self.transport.resume_reading()
            if self._state is State.STREAMING:
                self.expect()

    def _fail(self, error: Exception) -> None:
        idle = self._state is State.IDLE
        self._on(Event.CLOSE)
        self.is_reusable = False
        self._stall.stop()
        if self.error is None:
            self.error = error
        if self.transport is not None:
            # An idle connection has no request that a plain close could truncate unnoticed.
            (self.transport.close if idle else self.transport.abort)()
        self._target = None
        self._wake_writer()
        self._notify()

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self.listener is not None:
            self.listener()

    def _wake_writer(self) -> None:
        drained, self._drained = self._drained, None
        if drained is None or drained.done():
            return
        if self.error is not None or self.transport is None:
            drained.set_exception(self.error or DisconnectedError("the node is gone"))
        else:
            drained.set_result(None)
