"""Long bodies between two sockets: byte for byte in both directions, and whatever may break off on the way."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest

from headrace.http1 import splice as splicing
from tests.integration.ways import get, post
from tests.support.cluster import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.ways import Way

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="splice is Linux's")

MIB = 1 << 20
LENGTHS = [70_000, 300_000, MIB + 1, 9 * MIB]


class Moved:
    """Counts what goes past the process, in bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        self._splice = os.splice
        monkeypatch.setattr(os, "splice", self)

    def __call__(self, source: int, sink: int, count: int, *, flags: int = 0) -> int:
        moved = self._splice(source, sink, count, flags=flags)
        self.bytes += moved
        return moved


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Moved:
    return Moved(monkeypatch)


def body_of(length: int) -> bytes:
    return random.Random(length).randbytes(length)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


def sockets() -> int:
    return sum(1 for _ in os.scandir("/proc/self/fd"))


def bulk(length: int, body: bytes = b"") -> bytes:
    """A bulk that says it has so many bytes, and what of them comes at once."""
    return post("/_bulk", b"").replace(b"Content-Length: 0", b"Content-Length: %d" % length) + body


def in_chunks(length: int) -> bytes:
    """A bulk of one long chunk, and no end."""
    head = b"POST /_bulk HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n"
    return b"%b%x\r\n%b\r\n" % (head, length, body_of(length))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_a_long_body_arrives_as_it_was_sent(start: Any, moved: Moved, fast: bool, length: int):
    way: Way = await start(fast=fast)
    way.cluster.answers["/_bulk"] = answer(b'{"items":[]}')
    client, body = await way.client(), body_of(length)
    connections = way.cluster.connections
    for _ in range(3):
        assert (await client(post("/_bulk", body))).endswith(b'{"items":[]}')
        assert way.cluster.seen.pop().partition(b"\r\n\r\n")[2] == body
    assert way.taken == ["/_bulk"] * 3 * fast
    # A shorter body may be here whole before it is looked at.
    assert moved.bytes > length or length < MIB
    assert b'{"items":[]}' in await client(post("/_bulk", b"{}")), "the connection goes on behind it"
    assert way.cluster.connections == connections


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_a_body_that_comes_bit_by_bit_behind_its_head(start: Any, moved: Moved, fast: bool):
    way: Way = await start(fast=fast)
    way.cluster.answers["/_bulk"] = answer(b"{}")
    client, body = await way.client(), body_of(2 * MIB)
    step = MIB // 2 + 7
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    assert (await client(bulk(len(body)), *pieces)).endswith(b"{}")
    assert way.cluster.seen.pop().partition(b"\r\n\r\n")[2] == body
    assert moved.bytes > MIB


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_requests_behind_a_long_body_are_answered_in_their_order(start: Any, moved: Moved, fast: bool):
    way: Way = await start(fast=fast)
    way.cluster.answers |= {"/_bulk": answer(b"first"), "/a/_search": answer(b"second"), "/b/_search": answer(b"third")}
    client = await way.client()
    client.writer.write(post("/_bulk", body_of(3 * MIB)) + get("/a/_search") + get("/b/_search"))
    for expected in (b"first", b"second", b"third"):
        assert (await client.answer()).endswith(expected)
    assert moved.bytes > MIB


@pytest.mark.parametrize("length", LENGTHS[2:])
async def test_a_long_answer_arrives_as_it_was_sent(start: Any, moved: Moved, length: int):
    way: Way = await start()
    body = body_of(length)
    way.cluster.answers["/i/_search"] = answer(body, "X-Note: caf\u00e9", "Content-Type: application/json")
    client = await way.client()
    connections = way.cluster.connections
    for _ in range(3):
        got = await client(get("/i/_search"))
        head, _, rest = got.partition(b"\r\n\r\n")
        assert rest == body
        assert b"X-Note: caf\xc3\xa9\r\nContent-Type: application/json\r\n" in head
        assert head.lower().count(b"content-length") == 1
    assert moved.bytes > length
    assert (await client(get("/warm"))).endswith(b"ok"), "the connection goes on behind it"
    assert way.cluster.connections == connections


async def test_a_client_that_reads_late_gets_all_of_it(start: Any, moved: Moved):
    way: Way = await start(upstream_timeout="300ms")
    body = body_of(30 * MIB)
    way.cluster.answers["/i/_search"] = answer(body)
    client = await way.client()
    client.writer.write(get("/i/_search"))
    connections = way.cluster.connections
    # The node is not late while the client does not read.
    await asyncio.sleep(0.8)
    assert (await client.answer()).endswith(body[-1000:])
    assert (await client(get("/warm"))).endswith(b"ok")
    assert way.cluster.connections == connections
    assert moved.bytes > MIB


async def test_a_node_that_breaks_off_ends_the_clients_connection(start: Any, moved: Moved):
    way: Way = await start()
    whole = answer(body_of(4 * MIB), "X-Cut: 1")
    way.cluster.answers["/i/_search"] = [whole[:MIB], whole[MIB : 2 * MIB]]
    client = await way.client()
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await client(get("/i/_search"))
    assert len(caught.value.partial) < 2 * MIB
    assert moved.bytes > MIB
    assert await way.in_flight() == 0


async def test_a_node_that_is_silent_in_the_middle_is_late(start: Any, moved: Moved):
    way: Way = await start(upstream_timeout="300ms")
    whole = answer(body_of(4 * MIB))
    way.cluster.answers["/i/_search"] = [whole[:MIB], whole[MIB : 2 * MIB], b"", whole[2 * MIB :]]
    way.cluster.pause = 0.6
    client = await way.client()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client(get("/i/_search"))
    assert moved.bytes > 0


async def test_a_body_that_breaks_off_is_not_taken_for_whole(start: Any, moved: Moved):
    way: Way = await start()
    client = await way.client()
    client.writer.write(bulk(5 * MIB, body_of(2 * MIB)))
    await until(lambda: moved.bytes > MIB)
    client.writer.transport.abort()
    await until(lambda: way.cluster.gone == 1)
    assert way.cluster.broken == 1
    assert way.cluster.seen == []
    await until(lambda: way.proxy._components is not None and way.proxy._components.metrics.counts().in_flight == 0)


@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "in chunks"])
async def test_a_body_that_does_not_go_on_is_given_up(start: Any, moved: Moved, chunked: bool):
    way: Way = await start(client_timeout="300ms")
    client = await way.client()
    got = await client(in_chunks(2 * MIB) if chunked else bulk(5 * MIB, body_of(2 * MIB)))
    assert got.startswith(b"HTTP/1.1 408 ")
    assert b"client_timeout" in got
    assert chunked or moved.bytes > MIB
    await until(lambda: way.cluster.gone == 1)


@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "in chunks"])
async def test_a_node_that_does_not_read_is_late(start: Any, moved: Moved, chunked: bool):
    """Also for a client that has more patience."""
    way: Way = await start(upstream_timeout="300ms", client_timeout="10s")
    way.cluster.deaf.add("/_bulk")
    client = await way.client()
    client.writer.write(in_chunks(40 * MIB) if chunked else post("/_bulk", body_of(40 * MIB)))
    got = await client.answer()
    assert got.startswith(b"HTTP/1.1 504 ")
    assert b"upstream_timeout" in got
    assert chunked or moved.bytes > 0
    assert await way.in_flight() == 0
    # What was left of that body between the two is not in the next one.
    way.cluster.answers["/i/_bulk"] = answer(b"{}")
    client, body = await way.client(), body_of(2 * MIB)
    assert (await client(post("/i/_bulk", body))).endswith(b"{}")
    assert way.cluster.seen.pop().partition(b"\r\n\r\n")[2] == body


async def test_what_the_transport_was_given_before_goes_first(moved: Moved):
    """And while it is there, it is the sink that is waited for."""
    loop = asyncio.get_running_loop()
    (here, client), (there, node) = socket.socketpair(), socket.socketpair()
    there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    source = Left(cast("asyncio.Transport", (await loop.create_connection(asyncio.Protocol, sock=here))[0]))
    sink, _ = await loop.create_connection(asyncio.Protocol, sock=there)
    first, rest = body_of(300_000), body_of(200_000)
    sink.write(first)
    pipes = splicing.Pipes()
    moving = asyncio.create_task(splicing.move(pipes, source, sink, len(rest), splicing.StallTimeouts(0.2, 5)))
    await asyncio.sleep(0.5)
    reader, writer = await asyncio.open_connection(sock=node)
    async with asyncio.timeout(5):
        await loop.sock_sendall(non_blocking(client), rest[:1000])
        assert await reader.readexactly(301_000) == first + rest[:1000]
        await loop.sock_sendall(client, rest[1000:])
        assert await reader.readexactly(199_000) == rest[1000:]
        assert await moving
    assert source.left == 0
    assert moved.bytes == 2 * len(rest)
    for transport in (source.transport, sink):
        cast("asyncio.Transport", transport).close()
    writer.close()
    client.close()
    pipes.close()
    await asyncio.sleep(0)


class Left:
    """A body on a connection; `left` of it when it was given back."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport: asyncio.Transport | None = transport
        self.left = -1

    def suspend(self) -> None:
        assert self.transport is not None
        self.transport.pause_reading()

    def resume(self, left: int) -> None:
        self.left = left


def non_blocking(of: socket.socket) -> socket.socket:
    of.setblocking(False)
    return of


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_an_answer_before_the_body_has_ended(start: Any, moved: Moved, fast: bool):
    """The rest of the body is thrown away, and the connection goes on behind it."""
    way: Way = await start(fast=fast)
    way.cluster.early["/_bulk"] = answer(b"too much", status="413 Too Large")
    client, body = await way.client(), body_of(8 * MIB)
    connections = way.cluster.connections
    got = await client(bulk(len(body), body[: 3 * MIB]))
    assert got.startswith(b"HTTP/1.1 413 ")
    assert got.endswith(b"too much")
    assert moved.bytes > 0
    client.writer.write(body[3 * MIB :])
    assert (await client(get("/warm"))).endswith(b"ok")
    assert way.cluster.connections == connections + 1, "the node still waits for the body on the other"


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_a_node_that_goes_away_while_a_body_is_on_its_way(start: Any, moved: Moved, fast: bool):
    way: Way = await start(fast=fast)
    way.cluster.early["/_bulk"] = b""
    client = await way.client()
    client.writer.write(bulk(8 * MIB, body_of(3 * MIB)))
    got = await client.answer()
    assert got.startswith(b"HTTP/1.1 502 ")
    assert way.cluster.seen == []


async def test_a_proxy_that_stops_finishes_the_body_on_its_way(start: Any, moved: Moved):
    way: Way = await start()
    way.cluster.answers["/_bulk"] = answer(b"done")
    client, body = await way.client(), body_of(4 * MIB)
    client.writer.write(bulk(len(body), body[: 2 * MIB]))
    await until(lambda: moved.bytes > MIB)
    stopping = asyncio.create_task(way.stop_listening())
    await asyncio.sleep(0.05)
    client.writer.write(body[2 * MIB :])
    assert (await client.answer()).endswith(b"done")
    assert way.cluster.seen.pop().endswith(body)
    await stopping


async def test_nothing_stays_open(start: Any, moved: Moved):
    way: Way = await start()
    way.cluster.answers |= {"/_bulk": answer(b"{}"), "/i/_search": answer(body_of(2 * MIB))}
    client = await way.client()
    await client(post("/_bulk", body_of(2 * MIB)))
    await client(get("/i/_search"))
    before = sockets()
    for _ in range(20):
        await client(post("/_bulk", body_of(2 * MIB)))
        await client(get("/i/_search"))
    assert sockets() == before
    for _ in range(20):
        broken = await way.client()
        broken.writer.write(bulk(5 * MIB, body_of(2 * MIB)))
        await asyncio.sleep(0.02)
        broken.writer.transport.abort()
    await until(lambda: way.cluster.gone >= 20)
    # One pipe more may be kept than before: two bodies were on their way at once.
    await until(lambda: sockets() <= before + 2 * way.cluster.connections - 2 * way.cluster.gone + 4)


async def test_without_file_numbers_a_body_goes_the_way_of_pieces(
    start: Any, moved: Moved, monkeypatch: pytest.MonkeyPatch
):
    way: Way = await start()
    way.cluster.answers |= {"/_bulk": answer(b"{}"), "/i/_search": answer(body_of(2 * MIB))}
    client = await way.client()
    with monkeypatch.context() as patched:
        patched.setattr(splicing.Pipes, "acquire", _no_more)
        assert (await client(post("/_bulk", body_of(3 * MIB)))).endswith(b"{}")
        assert way.cluster.seen.pop().endswith(body_of(3 * MIB))
        assert (await client(get("/i/_search"))).endswith(body_of(2 * MIB))
    assert moved.bytes == 0
    await client(post("/_bulk", body_of(3 * MIB)))
    assert moved.bytes > 0


def _no_more(_: splicing.Pipes) -> Any:
    raise OSError(24, "Too many open files")


def test_a_pipe_with_something_in_it_is_not_used_again():
    pipes = splicing.Pipes()
    first = pipes.acquire()
    pipes.release(first, empty=True)
    assert pipes.acquire() == first
    pipes.release(first, empty=False)
    second = pipes.acquire()
    os.write(second[1], b"x")
    assert os.read(second[0], 10) == b"x"
    pipes.release(second, empty=True)
    pipes.close()
    with pytest.raises(OSError, match="Bad file"):
        os.write(second[1], b"x")


async def test_where_the_system_forbids_it_bodies_go_in_pieces(start: Any, monkeypatch: pytest.MonkeyPatch):
    def forbidden(*_: Any, **__: Any) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "splice", forbidden)
    splicing.works.cache_clear()
    try:
        way: Way = await start()
        way.cluster.answers |= {"/_bulk": answer(b"{}"), "/i/_search": answer(body_of(2 * MIB))}
        client = await way.client()
        assert (await client(post("/_bulk", body_of(3 * MIB)))).endswith(b"{}")
        assert way.cluster.seen.pop().endswith(body_of(3 * MIB))
        assert (await client(get("/i/_search"))).endswith(body_of(2 * MIB))
        assert not splicing.works()
    finally:
        splicing.works.cache_clear()


def test_bodies_leave_file_numbers_for_connections():
    pipes = splicing.Pipes(most=2)
    taken = [pipes.acquire(), pipes.acquire()]
    with pytest.raises(OSError, match="Too many open files"):
        pipes.acquire()
    pipes.release(taken.pop(), empty=False)
    taken.append(pipes.acquire())
    for pipe in taken:
        pipes.release(pipe, empty=True)
    pipes.close()


def test_only_sockets_that_carry_what_the_other_side_reads():
    class Transport(asyncio.Transport):
        def is_closing(self) -> bool:
            return False

    left, right = socket.socketpair()
    with left, right:
        plain = Transport({"socket": left})
        assert splicing.possible(plain, plain)
        assert not splicing.possible(plain, Transport({"socket": left, "sslcontext": object()}))
        assert not splicing.possible(Transport({}), plain)
        assert not splicing.possible(None, plain)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_what_no_pipeline_reads_may_be_as_long_as_it_likes(start: Any, fast: bool):
    way: Way = await start(fast=fast, max_body="100kb")
    way.cluster.answers["/_bulk"] = answer(b"{}")
    client = await way.client()
    for length in (90_000, 300_000, 2 * MIB):
        assert (await client(post("/_bulk", body_of(length)))).endswith(b"{}")
        assert way.cluster.seen.pop().endswith(body_of(length))
