"""Connections to the cluster are kept and used again, and never while, or after, an exchange was not whole."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from headrace.upstream import pool
from headrace.upstream.errors import MalformedResponseError, NodeTimeoutError
from headrace.upstream.pool import ConnectionPool
from tests.support.cluster import Cluster, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.upstream.response import StreamedResponse

LATE = 0.2
"""Seconds after which a node is late."""


class Node:
    """A cluster of one node, and our connections to it."""

    def __init__(self, cluster: Cluster, connections: ConnectionPool) -> None:
        self.cluster = cluster
        self._pool = connections
        cluster.answers |= {"/whole": answer(b"ok"), "/part": answer(b"ok").replace(b": 2", b": 3")}

    async def begin(
        self, target: str = "/whole", body: bytes | memoryview | None = None, method: str = ""
    ) -> StreamedResponse:
        node, method = f"http://127.0.0.1:{self.cluster.port}", method or ("GET" if body is None else "POST")
        return await (await self._pool.send(node, method, target, b"", body)).response()

    async def exchange(self, target: str = "/whole") -> None:
        exchange = await self.begin(target)
        try:
            assert await exchange.read() == b"ok"
        finally:
            exchange.release()

    async def gone(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.cluster.gone < count:
                await asyncio.sleep(0.01)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    cluster = Cluster()
    server = await cluster.start()
    connections = ConnectionPool(None, connect=5, read=LATE)
    node = Node(cluster, connections)
    yield node
    await connections.close()
    await node.gone(cluster.connections)
    server.close()


async def test_one_connection_serves_one_exchange_after_the_other(node: Node):
    for _ in range(5):
        await node.exchange()
    assert node.cluster.connections == 1
    # One whose answer is here has left its connection to the next.
    both = [await node.begin(), await node.begin()]
    assert node.cluster.connections == 1
    both += await asyncio.gather(node.begin(), node.begin())
    assert node.cluster.connections == 2
    for exchange in both:
        assert await exchange.read() == b"ok"
        exchange.release()
    await node.exchange()
    assert node.cluster.connections == 2


@pytest.mark.parametrize("length", [900_000, 3_000_000])
async def test_a_view_that_has_left_keeps_nothing(node: Node, length: int):
    body = bytearray(length)
    view = memoryview(body)
    exchange = await node.begin(body=view)
    assert await exchange.read() == b"ok"
    exchange.release()
    assert node.cluster.seen[-1].endswith(bytes(length))
    # It could not grow while there is a view of it.
    body.append(0)
    with pytest.raises(ValueError, match="released"):
        len(view)


async def test_an_exchange_gives_its_connection_back_once(node: Node):
    exchange = await node.begin()
    await exchange.read()
    exchange.release()
    exchange.release()
    for _ in range(2):
        both = await asyncio.gather(node.begin(), node.begin())
        assert node.cluster.connections == 2
        for exchange in both:
            exchange.release()
            exchange.release()


async def test_an_exchange_that_is_not_whole_takes_its_connection_along(node: Node):
    exchange = await node.begin("/part")
    exchange.release()
    await node.gone(1)
    await node.exchange()
    assert node.cluster.connections == 2


async def test_answers_to_head_leave_their_connection_as_it_was(node: Node):
    node.cluster.answers |= {
        "/sized": b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    }
    for target in ("/sized", "/sized", "/chunked", "/chunked", "/sized"):
        exchange = await node.begin(target, method="HEAD")
        assert exchange.status == 200
        assert await exchange.read() == b""
        exchange.release()
        for _ in range(2):
            await node.exchange()
    assert node.cluster.connections == 1


async def test_a_connection_that_the_node_has_closed_is_not_used(node: Node):
    node.cluster.answers["/whole"] = answer(b"ok", "X-Cut: 1")
    await node.exchange()
    await node.gone(1)
    await asyncio.sleep(0.01)
    await node.exchange()
    assert node.cluster.connections == 2


async def test_what_comes_between_two_exchanges_belongs_to_none(node: Node):
    node.cluster.answers["/whole"] = answer(b"ok") + answer(b"never asked for")
    await node.exchange()
    await asyncio.sleep(0.01)
    await node.exchange()
    assert node.cluster.connections == 2


async def test_connections_that_nobody_uses_are_closed(node: Node, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.1)
    both = await asyncio.gather(node.begin(), node.begin())
    for exchange in both:
        await exchange.read()
        exchange.release()
    await node.exchange()
    assert node.cluster.gone == 0
    await node.gone(2)
    await node.exchange()
    assert node.cluster.connections == 3


async def test_a_node_is_late_by_the_clock_of_the_exchange(node: Node):
    await node.exchange()
    await asyncio.sleep(LATE * 0.75)
    await node.exchange()
    # Nobody waits now: the node cannot be late.
    await asyncio.sleep(LATE * 1.5)
    await node.exchange()
    assert node.cluster.connections == 1
    # By a head like one before, and by one that is new.
    for n, lines in enumerate((b"", b"X-New: 1\r\n")):
        node.cluster.answers["/part"] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n%b\r\nok" % lines
        begun = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await node.exchange("/part")
        assert LATE * 0.9 < asyncio.get_running_loop().time() - begun < LATE * 5
        assert node.cluster.connections == n + 1
        await node.exchange()
        assert node.cluster.connections == n + 2


async def test_a_node_that_says_nothing_is_late(node: Node):
    node.cluster.answers["/silent"] = b""
    with pytest.raises(TimeoutError):
        await node.begin("/silent")


async def test_a_node_that_does_not_take_a_long_body_is_late(node: Node):
    node.cluster.deaf.add("/deaf")
    async with asyncio.timeout(4):
        with pytest.raises(NodeTimeoutError):
            await node.begin("/deaf", bytes(40 << 20))
    await node.exchange()


@pytest.mark.parametrize("pieces", [1, 20])
async def test_interim_responses_without_end_end_the_exchange(node: Node, pieces: int):
    """However they are cut: each would keep the node from being late."""
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    node.cluster.answers["/hints"] = [interim * (100 // pieces)] * pieces + [answer(b"ok")]
    with pytest.raises(MalformedResponseError):
        await node.begin("/hints")
    node.cluster.answers["/hints"] = [interim * 16, interim * 16, answer(b"ok")]
    for _ in range(2):
        await node.exchange("/hints")


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
async def test_a_node_that_answers_before_it_has_taken_a_body_is_not_asked_again(status: str):
    """Nobody knows whether it ever reads the rest, and the next request waits behind that."""
    came: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while b"/early" not in (head := await reader.readuntil(b"\r\n\r\n")):
                came.append(head)
                writer.write(answer(b"ok"))
            writer.write(answer(b"ok", status=status))
            await asyncio.sleep(2 * LATE)
        writer.close()
        if b"/early" in head:
            ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    connections = ConnectionPool(None, connect=5, read=LATE)
    node = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def exchange(target: str, body: bytes | None = None) -> None:
        response = await (await connections.send(node, "GET", target, b"", body)).response()
        assert await response.read() == b"ok"
        response.release()

    try:
        await exchange("/first")
        (connection,) = connections._open
        assert connection.transport is not None
        # As over a network: the system does not take a megabyte at once.
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await exchange("/early", b"a" * 900_000)
        await exchange("/next")
    finally:
        await connections.close()
        server.close()
    assert len(came) == 2
    async with asyncio.timeout(5):
        await ended.wait()
