"""A connection to a node, byte by byte: what comes, when it may be used again, and what is too much."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, cast

import pytest

from headrace.upstream.connection import (
    _NEXT,
    BUFFER_BYTES,
    MAX_BUFFERED,
    MAX_HEADERS_BYTES,
    MAX_INTERIM,
    SMALL,
    Event,
    NodeConnection,
    State,
)
from headrace.upstream.errors import DisconnectedError, ExchangeError, MalformedResponseError, NodeTimeoutError

if TYPE_CHECKING:
    from headrace_pipelines.http1 import ResponseHead


class Wire:
    """The transport of a connection; what the node sends is put in with [`feed`]."""

    def __init__(self, read_seconds: float | None = None) -> None:
        self.open: set[NodeConnection] = set()
        loop = asyncio.get_running_loop()
        self.connection = NodeConnection(loop, memoryview(bytearray(BUFFER_BYTES)), read_seconds, self.open)
        self.closed = ""
        self.reading = True
        self.connection.connection_made(cast("asyncio.Transport", self))

    def is_closing(self) -> bool:
        return bool(self.closed)

    def abort(self) -> None:
        self.closed = self.closed or "aborted"

    def close(self) -> None:
        self.closed = self.closed or "closed"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def feed(self, data: bytes, step: int = 0) -> None:
        """Bytes of the node, at most `step` at a time, as far as they are read."""
        while data and self.reading and not self.closed:
            room = self.connection.get_buffer(-1)
            size = min(len(room), len(data), step or len(data))
            room[:size] = data[:size]
            del room
            self.connection.buffer_updated(size)
            data = data[size:]

    async def pour(self, data: bytes) -> int:
        """A lot of bytes of the node, as fast as they are read; the most that waited for their reader."""
        most = 0
        for at in range(0, len(data), 65536):
            while not self.reading:
                await asyncio.sleep(0)
            self.feed(data[at : at + 65536])
            most = max(most, self.connection._buffered)
        return most

    def end(self) -> None:
        """The node closes."""
        self.connection.eof_received()
        self.connection.connection_lost(None)

    async def answer(self, message: bytes, step: int = 0, method: str = "GET") -> tuple[ResponseHead, bytes]:
        """The head and the body of a response to one more request."""
        self.connection.start_exchange(method)
        self.feed(message, step)
        head = await self.connection.head_here()
        if head.until_close:
            self.end()
        return head, await self.connection.read()


BODY = gzip.compress(b"x" * 50) * 3
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: 1\r\n\r\n"
WHOLE = {
    "sized": (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY), BODY),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "chunked": (CHUNKED, b"abcde"),
    "without a body": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "after interim ones": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nA: b\r\n\r\nHTTP/1.1 404 X\r\nContent-Length: 1\r\n\r\n!",
        b"!",
    ),
}
LAST = {
    "to the end": (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
    "closing": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n!", b"!"),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n!", b"!"),
    "more behind": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!HTTP/1.1 200 OK\r\n", b"!"),
    "more behind chunks": (CHUNKED + b"0\r\n", b"abcde"),
}


@pytest.mark.parametrize(("message", "body"), WHOLE.values(), ids=list(WHOLE))
async def test_a_response_is_the_same_wherever_it_is_cut(message: bytes, body: bytes):
    wire = Wire()
    for step in range(1, len(message) + 1):
        head, came = await wire.answer(message, step)
        assert came == body
        assert wire.connection.is_complete
        assert wire.connection.is_reusable
        assert wire.connection.head is head
        wire.connection.release()
        assert wire.connection.is_usable
    assert not wire.closed


@pytest.mark.parametrize(("message", "body"), LAST.values(), ids=list(LAST))
async def test_after_these_there_is_no_other_request(message: bytes, body: bytes):
    for step in range(1, len(message) + 1):
        wire = Wire()
        _, came = await wire.answer(message, step)
        assert came == body
        if step == 1 and "more" in str(message):
            wire.feed(b"x")
        await asyncio.sleep(0)
        assert not wire.connection.is_reusable


async def test_responses_to_head_have_no_body():
    wire = Wire()
    for lines in (b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n", b""):
        _, body = await wire.answer(b"HTTP/1.1 200 OK\r\n%b\r\n" % lines, method="HEAD")
        assert body == b""
        assert wire.connection.is_reusable
        wire.connection.release()


async def test_what_nobody_asked_for_ends_an_idle_connection():
    wire = Wire()
    await wire.answer(CHUNKED)
    wire.connection.release()
    wire.feed(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert wire.closed == "closed"
    assert not wire.connection.is_usable
    with pytest.raises(DisconnectedError):
        wire.connection.start_exchange("GET")


MALFORMED = {
    "no HTTP": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "too many interim ones": b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INTERIM + 1),
    "a head without an end": b"HTTP/1.1 200 OK\r\n" + b"X: %b\r\n" % (b"a" * 1000) * (3 * MAX_HEADERS_BYTES // 1000),
    "another protocol's switch": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=list(MALFORMED))
async def test_what_is_no_response_ends_the_connection(message: bytes):
    wire = Wire()
    with pytest.raises(MalformedResponseError):
        await wire.answer(message)
    assert wire.closed == "aborted"


async def test_a_body_whose_chunks_are_broken_is_not_whole():
    wire = Wire()
    wire.connection.start_exchange("GET")
    wire.feed(CHUNKED.replace(b"2;x", b"zz"), 1)
    assert (await wire.connection.head_here()).status == 200
    assert wire.connection.pop_buffered() == b"abc"
    with pytest.raises(MalformedResponseError):
        await wire.connection.piece()


@pytest.mark.parametrize(
    "message", [CHUNKED[:-5], b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", b"HTTP/1.1 2", b""]
)
async def test_a_response_that_breaks_off_is_an_error(message: bytes):
    wire = Wire()
    wire.connection.start_exchange("GET")
    wire.feed(message)
    wire.end()
    if wire.connection.head is None:
        with pytest.raises(DisconnectedError):
            await wire.connection.head_here()
    with pytest.raises(DisconnectedError):
        await wire.connection.read()
    assert not wire.open


async def test_a_body_that_nobody_reads_is_not_read_either():
    wire = Wire()
    wire.connection.start_exchange("GET")
    chunk = b"%x\r\n%b\r\n" % (100_000, b"x" * 100_000)
    message = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 40 + b"0\r\n\r\n"
    pouring = asyncio.create_task(wire.pour(message))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not wire.reading
    assert len(await wire.connection.read()) == 4_000_000
    assert MAX_BUFFERED <= await pouring <= MAX_BUFFERED + 65536
    assert wire.connection.is_reusable


async def test_of_a_long_body_nothing_is_read_before_somebody_wants_it():
    wire = Wire()
    wire.connection.start_exchange("GET")
    wire.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nabc" % (SMALL + 1))
    await wire.connection.head_here()
    assert not wire.reading
    assert wire.connection.left_to_stream == SMALL - 2
    assert await wire.connection.piece() == b"abc"
    reader = asyncio.create_task(wire.connection.read())
    await asyncio.sleep(0)
    assert wire.reading
    await wire.pour(b"x" * (SMALL - 2))
    assert len(await reader) == SMALL - 2
    assert wire.connection.is_complete


async def test_the_kernel_takes_over_and_gives_back():
    for left, reusable in ((0, True), (5, False)):
        wire = Wire()
        wire.connection.start_exchange("GET")
        wire.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nabc" % (SMALL + 1))
        assert wire.connection.pop_buffered() == b"abc"
        wire.connection.suspend()
        assert (wire.reading, wire.connection.left_to_stream) == (False, 0)
        wire.connection.resume(left)
        assert (wire.connection.is_complete, wire.connection.is_reusable) == (reusable, reusable)
        assert bool(wire.closed) is not reusable


async def test_a_refusal_before_the_request_has_left_is_the_last_response():
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    for is_sending in (False, True):
        wire = Wire()
        wire.connection.is_sending = is_sending
        await wire.answer(refusal)
        assert wire.connection.is_reusable is not is_sending


async def test_a_body_that_breaks_off_does_not_undo_a_response_that_is_here():
    wire = Wire()
    head, body = await wire.answer(CHUNKED)
    wire.connection.fail(ExchangeError("the body broke off"))
    assert (head.status, body) == (200, b"abcde")
    assert wire.closed == "aborted"
    assert not wire.connection.is_reusable


async def test_a_node_is_late_only_while_somebody_waits_for_it():
    wire = Wire(read_seconds=0.05)
    wire.connection.start_exchange("GET")
    await asyncio.sleep(0.1)
    wire.connection.expect()
    for piece in (b"HTTP/1.1 200 OK\r\nContent-", b"Length: 5\r\n\r\n", b"abc"):
        await asyncio.sleep(0.03)
        wire.feed(piece)
    with pytest.raises(NodeTimeoutError):
        await wire.connection.read()
    assert wire.closed == "aborted"


def test_every_state_can_be_left_and_closed():
    reached = {state for row in _NEXT for state in row if state is not None}
    assert reached == set(State)
    for state in State:
        assert _NEXT[state][Event.CLOSE] is State.CLOSED
        if state is not State.CLOSED:
            assert any(after not in (None, State.CLOSED) for after in _NEXT[state])


async def test_what_cannot_be_next_is_a_fault_of_ours():
    with pytest.raises(RuntimeError, match="RELEASE in IDLE"):
        Wire().connection.release()
