"""The body of a client's request, as it arrives.

A body has one reader, which takes it in one of four ways: whole where it is here already (`arrived`), received into the
memory where it stays (`receive`), in pieces (`piece`), or by the kernel (`suspend` and `resume`, for `splice`). Until
somebody reads, a long one stays where it is: the connection is not read from.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from headrace.http1.framing import MAX_TRAILER_BYTES
from headrace_pipelines.errors import HeadraceError
from headrace_pipelines.http1 import BodyBuffer, ChunkedDecoder, HeadError

if TYPE_CHECKING:
    from headrace_pipelines.http1 import RequestHead

MAX_BUFFERED = 512 << 10
"""Bytes of a body that may wait for their reader before the connection is not read from any more."""
DEFER_FROM = 32 << 10
"""Minimum of missing bytes for which reading stops until a reader asks: pausing costs more than receiving fewer."""


class BodySource(Protocol):
    """The connection that a body comes from."""

    transport: asyncio.Transport | None

    def pause_reading(self) -> None:
        """Stops reading from the connection."""
        ...

    def resume_reading(self) -> None:
        """Reads from the connection again."""
        ...

    def send_continue(self) -> None:
        """Tells the client that its body is wanted."""
        ...

    def body_ended(self) -> None:
        """The rest of the body has been read by somebody else."""
        ...


class MalformedBodyError(HeadraceError):
    """A body whose framing is not well-formed."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"the request is not well-formed HTTP: {reason}")
        self.status = status
        self.type = "illegal_argument_exception"


class RequestBody:
    """A body. `length` is the declared one; it is `None` for a chunked body."""

    __slots__ = (
        "_buffered",
        "_decoder",
        "_error",
        "_expected",
        "_pieces",
        "_source",
        "_target",
        "_waiter",
        "complete",
        "exists",
        "left",
        "length",
    )

    def __init__(self, head: RequestHead | None, source: BodySource | None) -> None:
        self.length = head.length if head is not None else None
        self._decoder = ChunkedDecoder(MAX_TRAILER_BYTES) if head is not None and head.chunked else None
        self.left = self.length or 0
        """Bytes still to come, where the length is known."""
        self.exists = self._decoder is not None or self.left > 0
        self.complete = not self.exists
        """Whether all of it has arrived."""
        self._source = source
        self._expected = head is not None and head.expect_continue
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._target: BodyBuffer | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @classmethod
    def whole(cls, head: RequestHead, text: bytes) -> RequestBody:
        """A body that came with its head."""
        body = cls(head, None)
        body.left, body.complete = 0, True
        body.restore(text)
        return body

    # The reader's side.

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection that it comes from; `None` once that is gone."""
        return self._source.transport if self._source is not None else None

    @property
    def error(self) -> Exception | None:
        """Why nothing more will come of it."""
        return self._error

    def arrived(self, limit: int) -> bytes | None:
        """The whole body, which is taken, if all of it is here, in at most `limit` bytes."""
        if not self.complete or self._buffered > limit or self._error is not None:
            return None
        return self._pop()

    def restore(self, whole: bytes) -> None:
        """Takes back what [`arrived`] gave."""
        if whole:
            self._pieces.append(whole)
            self._buffered = len(whole)

    def pop_buffered(self) -> bytes:
        """The bytes that have arrived; it does not wait."""
        return self._pop()

    async def piece(self) -> bytes:
        """The next piece; empty at the end. Raises ConnectionResetError when the client breaks off."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            await self._wait()
        piece = self._pop()
        if not self.complete and self._source is not None:
            self._source.resume_reading()
        return piece

    async def receive(self, seconds: float) -> bytes:
        """The whole body, of known length, received in place.

        Raises ConnectionResetError when the client breaks off, TimeoutError when it is not here in time.
        """
        if self.complete:
            return self._pop()
        self.collect()
        try:
            async with asyncio.timeout(seconds):
                while self.left:
                    if self._error is not None:
                        raise self._error
                    await self._wait()
        finally:
            self._target = None
        return self._pop()

    def collect(self) -> None:
        """Has the rest of a body of known length received in place; once it is complete it is read as any other."""
        if self.length is None:
            raise ValueError("the length of the body is not known")
        target = BodyBuffer(self.length)
        while self._pieces:
            target.append(self._pieces.pop(0))
        self._buffered = 0
        self._target = target

    def stop_collecting(self) -> None:
        """Ends what [`collect`] began: other ways to read the body are possible again."""
        target, self._target = self._target, None
        if target is not None:
            self.restore(target.part())

    def suspend(self) -> None:
        """Leaves the rest to somebody who reads the client's socket: everything that is here has been taken."""
        if self._source is not None:
            self._ask()
            self._source.pause_reading()

    def resume(self, left: int) -> None:
        """Ends what [`suspend`] began; `left` bytes of the body have not been read: nobody wants them."""
        self.left = left
        if not left and self._source is not None:
            self.complete = True
            self._source.body_ended()

    # The connection's side.

    @property
    def target(self) -> BodyBuffer | None:
        """The buffer that the connection writes the next bytes to, while a reader receives in place."""
        return self._target

    def filled(self, count: int) -> None:
        """Counts bytes that the connection has written to the target."""
        self.left -= count
        if self._target is not None:
            self._target.filled(count)
            if not self.left:
                self.restore(self._target.whole())
                self.complete, self._target = True, None
                self._wake()

    def feed(self, data: memoryview, at: int, end: int) -> int:
        """Takes what belongs to it of the bytes `at..end`; gives where that ends. Raises HeadError."""
        if self._decoder is not None:
            try:
                piece, at, self.complete = self._decoder.feed(data, at, end)
            except HeadError as error:
                self.fail(MalformedBodyError(error.args[0], error.args[1]))
                raise
        else:
            piece = bytes(data[at : min(end, at + self.left)])
            self.left -= len(piece)
            at += len(piece)
            self.complete = not self.left
        if piece:
            self._pieces.append(piece)
            self._buffered += len(piece)
            if self._buffered >= MAX_BUFFERED and not self.complete and self._source is not None:
                self._source.pause_reading()
        if self._waiter is not None:
            self._wake()
        return at

    def discard(self) -> None:
        """Drops what is here of a body that nobody reads."""
        self._target = None
        self._pieces.clear()
        self._buffered = 0

    def fail(self, error: Exception) -> None:
        """Nothing more will come."""
        if not self.complete and self._error is None:
            self._error = error
            self._wake()

    # Both sides.

    def _pop(self) -> bytes:
        pieces = self._pieces
        if not pieces:
            return b""
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered = 0
        return whole

    def _ask(self) -> None:
        if self._expected and self._source is not None:
            self._expected = False
            self._source.send_continue()

    async def _wait(self) -> None:
        """Waits for more; what was left where it is begins to come."""
        if self._source is None:
            raise ConnectionResetError("the client is gone")
        self._ask()
        self._source.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


NO_BODY = RequestBody(None, None)
"""The body of a request that has none."""
