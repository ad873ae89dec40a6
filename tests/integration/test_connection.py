"""A client's connection: the order of its messages, its end, and what it takes of a client that is slow or gone."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from headrace.server.connection import MAX_BACKLOG
from headrace.server.listener import READ_BYTES
from headrace.server.states import NEXT, TABLE, Event, State
from tests.integration.ways import Client, get, post
from tests.support.cluster import answer

if TYPE_CHECKING:
    from collections.abc import Callable

READ, STREAMED, SEARCH, HANDLED = "/_mget", "/i/_close", "/i/_search", "/i/_doc/2?pipeline_=x"
"""Targets whose requests are read whole, streamed on, forwarded without a handler, and handled without a body."""


def chunked(target: str, *pieces: bytes, trailers: bytes = b"") -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n" % target.encode()
    body = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head + body + b"0\r\n" + trailers + b"\r\n"


STREAM = [
    (post(SEARCH, b'{"a":1}'), b"search"),
    (chunked(READ, b"0\r\n\r\n", b"GET /x HTTP/1.1\r\n\r\n", trailers=b"X-Secret: 1\r\n"), b"read"),
    (get("/i/_doc/1"), b"one"),
    (get(HANDLED), b"two"),
    (chunked(SEARCH, b"{}"), b"search"),
    (b"DELETE i/_alias/a HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\nGET /", b"gone"),
    (post(STREAMED, b"x" * 20), b"closed"),
    (post(STREAMED, b""), b"closed"),
    (get("http://other/i/_doc/1"), b"one"),
]


async def ready(start: Callable[..., Any], **settings: Any) -> Any:
    way = await start(**settings)
    way.cluster.answers |= {
        SEARCH: answer(b"search"),
        READ: answer(b"read"),
        "/i/_doc/1": answer(b"one"),
        "/i/_doc/2": answer(b"two"),
        "/i/_alias/a": answer(b"gone"),
        STREAMED: answer(b"closed"),
    }
    return way


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_stream_of_requests_is_the_same_wherever_it_is_cut(start: Callable[..., Any]):
    way = await ready(start)
    stream, expected = b"".join(request for request, _ in STREAM), [body for _, body in STREAM]
    client = await way.client()
    client.writer.write(stream)
    assert [(await client.answer()).partition(b"\r\n\r\n")[2] for _ in STREAM] == expected
    whole = way.sent_on()
    assert not any(b"X-Secret" in request for request in whole)
    for at in range(1, len(stream)):
        way.cluster.seen.clear()
        client.writer.write(stream[:at])
        await asyncio.sleep(0)
        await asyncio.sleep(0.002)
        client.writer.write(stream[at:])
        assert [(await client.answer()).partition(b"\r\n\r\n")[2] for _ in STREAM] == expected, at
        sent = [request.partition(b"\r\n\r\n")[0].split(b"\r\n")[0] for request in way.sent_on()]
        assert sent == [request.partition(b"\r\n\r\n")[0].split(b"\r\n")[0] for request in whole], at


async def test_a_stream_that_comes_byte_by_byte(start: Callable[..., Any]):
    way = await ready(start)
    client = await way.client()
    for byte in b"".join(request for request, _ in STREAM):
        client.writer.write(bytes([byte]))
        await asyncio.sleep(0.001)
    assert [(await client.answer()).partition(b"\r\n\r\n")[2] for _ in STREAM] == [body for _, body in STREAM]


async def test_connections_share_where_they_read_and_nothing_else(start: Callable[..., Any]):
    way, chance = await ready(start), random.Random(7)

    async def talk(number: int) -> None:
        client = Client(*await asyncio.open_connection("127.0.0.1", int(way.proxy.url.rpartition(":")[2])))
        way.clients.append(client)
        for n in range(30):
            body = b"%d-%d-" % (number, n) + bytes([97 + number]) * chance.choice((1, 5_000, 70_000, 300_000))
            target = chance.choice((SEARCH, READ, STREAMED))
            request, at = post(target, body), chance.randrange(1, 300)
            client.writer.write(request[:at])
            await asyncio.sleep(chance.random() * 0.003)
            client.writer.write(request[at:])
            await client.answer()
            sent.add(body)

    sent: set[bytes] = set()
    await asyncio.gather(*map(talk, range(8)))
    assert {request.partition(b"\r\n\r\n")[2] for request in way.cluster.seen} == sent


@pytest.mark.parametrize("target", [SEARCH, READ])
async def test_the_last_request_of_a_connection(start: Callable[..., Any], target: str):
    way = await ready(start)
    for request, version in (
        (post(target, b"{}", b"Connection: close"), b"1.1"),
        (post(target, b"{}", b"connection: Keep-Alive, CLOSE"), b"1.1"),
        (post(target).replace(b"HTTP/1.1", b"HTTP/1.0"), b"1.0"),
    ):
        client = await way.client()
        client.writer.write(request + get("/never"))
        async with asyncio.timeout(5):
            came = await client.reader.read()
        assert came.startswith(b"HTTP/%b 200 " % version)
        assert (b"Connection: close\r\n" in came) is (version == b"1.1")
        assert came.count(b"HTTP/1.") == 1
    client = await way.client()
    for _ in range(2):
        old = post(target, b"{}", b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
        assert b"Connection: keep-alive\r\n" in await client(old)
    assert not any(b"/never" in request for request in way.cluster.seen)


async def test_an_answer_of_unknown_length_ends_an_old_connection(start: Callable[..., Any]):
    way = await ready(start)
    way.cluster.answers["/_cat/x"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    client = await way.client()
    client.writer.write(get("/_cat/x", b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"))
    async with asyncio.timeout(5):
        came = await client.reader.read()
    assert came == b"HTTP/1.0 200 OK\r\n\r\nabc"


BAD = {
    "no method": b"\x16\x03\x01\x02\x00",
    "a bare line feed": b"GET / HTTP/1.1\nHost: p\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
    "both framings": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk without a size": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n;\r\n\r\n",
}


@pytest.mark.parametrize("name", list(BAD))
async def test_what_is_no_request_is_refused_in_its_turn(start: Callable[..., Any], name: str):
    way = await ready(start)
    client = await way.client()
    way.cluster.pause = 0.1
    way.cluster.answers[SEARCH] = [b"", answer(b"search")]
    client.writer.write(post(SEARCH) + get(HANDLED) + BAD[name] + get("/never"))
    assert (await client.answer()).endswith(b"search")
    assert (await client.answer()).endswith(b"two")
    refused = await client.answer()
    head, _, body = refused.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close" in head
    assert json.loads(body)["status"] == 400
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            assert await client.reader.read() == b""
    assert not any(b"/never" in request for request in way.cluster.seen)


@pytest.mark.parametrize(
    "line", [b"Transfer-Encoding: gzip, chunked", b"Expect: x", b"no header", b"A: %b" % (b"a" * 99999)]
)
async def test_a_refusal_arrives_though_the_client_still_sends(start: Callable[..., Any], line: bytes):
    """What comes behind a refused head is dropped for a while: closed at once, the system would reset the client."""
    way = await ready(start)
    client = await way.client()
    client.writer.write(b"POST %b HTTP/1.1\r\nHost: p\r\n%b\r\n\r\n" % (READ.encode(), line))
    for _ in range(20):
        client.writer.write(b"a" * 100_000)
        await client.writer.drain()
        await asyncio.sleep(0.002)
    assert (await client.answer()).startswith((b"HTTP/1.1 4", b"HTTP/1.1 501 "))
    async with asyncio.timeout(5):
        assert await client.reader.read() == b""


@pytest.mark.parametrize("target", [READ, STREAMED])
async def test_a_body_that_goes_wrong_on_its_way(start: Callable[..., Any], target: str):
    way = await ready(start)
    client = await way.client()
    good, broken = chunked(target, b"abc")[:-5], b"zz\r\n\r\n" + get("/never")
    came = await client(good, broken)
    assert came.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close" in came
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            assert await client.reader.read() == b""
    assert way.cluster.seen == []
    await until(lambda: way.cluster.broken == 0 or way.cluster.gone > 0)
    assert await way.in_flight() == 0


@pytest.mark.parametrize("target", [SEARCH, HANDLED, "/i/_doc/\u00e9", "/i/_doc/\u00e9?pipeline_=x"])
async def test_a_target_is_for_the_cluster_to_judge(start: Callable[..., Any], target: str):
    way = await ready(start)
    client = await way.client()
    came = await client(f"GET {target} HTTP/1.1\r\nHost: p\r\n\r\n".encode())
    assert came.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 404 "))
    assert way.cluster.seen[0].startswith(f"GET {target} HTTP/1.1\r\n".encode())


async def test_what_aiohttp_does_not_take_is_refused_in_our_words(start: Callable[..., Any]):
    """It is stricter than a node in some headers: a handled request ends there, a forwarded one does not."""
    way = await ready(start)
    twice = (b"User-Agent: a", b"User-Agent: b")
    assert (await (await way.client())(get("/i/_doc/1", *twice))).endswith(b"one")
    client = await way.client()
    client.writer.write(get(HANDLED, *twice) + get("/never"))
    async with asyncio.timeout(5):
        came = await client.answer()
    # Not every aiohttp is.
    assert came.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 200 "))
    if came.startswith(b"HTTP/1.1 400 "):
        assert json.loads(came.partition(b"\r\n\r\n")[2])["error"]["type"] == "illegal_argument_exception"
        with suppress(ConnectionResetError):
            assert await client.reader.read() == b""
        assert b"never" not in b"".join(way.cluster.seen)


async def test_a_response_arrives_though_the_client_still_sends(start: Callable[..., Any]):
    """Closed at once, with bytes of the client unread, the system would throw it away."""
    way = await ready(start, max_body="100kb")
    for _ in range(5):
        client = await way.client()
        client.writer.write(post(READ, b"a" * (8 << 20)))
        came = await client.answer()
        assert came.startswith(b"HTTP/1.1 413 ")
        assert b"Connection: close" in came
        with suppress(ConnectionError):
            async with asyncio.timeout(5):
                await client.reader.read()


async def test_a_head_has_a_deadline(start: Callable[..., Any]):
    way = await ready(start, client_timeout="300ms")
    client = await way.client()
    began = asyncio.get_running_loop().time()
    with suppress(ConnectionError):
        for byte in get(SEARCH, *[b"X-A: 1"] * 20):
            client.writer.write(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0.02)
    with suppress(ConnectionError):
        assert await client.reader.read() == b""
    assert asyncio.get_running_loop().time() - began < 2
    # A connection between two requests has none.
    client = await way.client()
    await asyncio.sleep(0.5)
    assert (await client(post(SEARCH))).endswith(b"search")


async def test_what_nobody_reads_of_a_body_has_a_deadline(start: Callable[..., Any]):
    way = await ready(start, client_timeout="300ms")
    way.cluster.early[STREAMED] = answer(b"early", status="413 Too Large")
    client = await way.client()
    client.writer.write(post(STREAMED, b"a" * (8 << 20))[: 3 << 20])
    assert (await client.answer()).endswith(b"early")
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            assert await client.reader.read() == b""


async def test_pipelined_requests_wait_for_a_client_that_reads(start: Callable[..., Any]):
    way = await ready(start)
    way.cluster.answers[SEARCH] = answer(b"a" * 200_000)
    client = await way.client()
    client.writer.write(post(SEARCH) * 20_000)
    await asyncio.sleep(0.5)
    (waiting,) = (each for each in way.connections if each._backlog)
    assert len(waiting._backlog) <= MAX_BACKLOG + READ_BYTES
    assert len(way.cluster.seen) < 150
    for _ in range(200):
        assert len(await client.answer()) > 200_000


@pytest.mark.parametrize("target", [SEARCH, READ, HANDLED])
async def test_a_client_that_sends_nothing_more_is_gone(start: Callable[..., Any], target: str):
    """As for a node: a half-closed connection is closed, and what was in progress for it ends."""
    way = await ready(start)
    way.cluster.pause = 0.5
    path = target.partition("?")[0]
    way.cluster.answers[path] = [b"", answer(b"late")]
    client = await way.client()
    gone = way.cluster.gone
    client.writer.write(get(target) if target == HANDLED else post(target))
    await asyncio.sleep(0.1)
    assert await way.in_flight() == 1
    client.writer.write_eof()
    async with asyncio.timeout(0.4):
        assert await client.reader.read() == b""
    await until(lambda: way.cluster.gone > gone)
    assert await way.in_flight() == 0


@pytest.mark.parametrize("length", [700_000, 20 << 20], ids=["whole", "streamed"])
@pytest.mark.parametrize("target", [SEARCH, READ])
async def test_a_client_that_takes_nothing_of_a_response_is_given_up(
    start: Callable[..., Any], target: str, length: int
):
    """It would keep memory, and of a long response a connection to the cluster, for as long as it likes."""
    way = await ready(start, client_timeout="300ms")
    way.cluster.answers[target] = answer(b"a" * length)
    client, slow = await way.client(), await way.client()
    slow.writer.write(post(target))
    client.writer.write(post(target) * 20)
    client.writer.transport.pause_reading()
    left = length
    while left > 0 and len(way.connections) == 2:
        left -= len(await slow.reader.read(length // 10))
        await asyncio.sleep(0.08)
    await until(lambda: len(way.connections) == 1)
    while left > 0:
        left -= len(await slow.reader.read(length))
    assert (await way.in_flight()) == 0


async def test_answers_to_head_and_without_a_body_leave_the_connection_as_it_was(start: Callable[..., Any]):
    way = await ready(start)
    way.cluster.answers |= {
        "/head": b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n",
        "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "/none": b"HTTP/1.1 204 No Content\r\n\r\n",
        "/same": b"HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n",
    }
    client = await way.client()
    for method, path in (("HEAD", "/head"), ("HEAD", "/chunks"), ("GET", "/none"), ("GET", "/same")):
        for _ in range(2):
            client.writer.write(f"{method} {path} HTTP/1.1\r\nHost: p\r\n\r\n".encode())
            async with asyncio.timeout(5):
                head = await client.reader.readuntil(b"\r\n\r\n")
            assert (b"Content-Length: 77" in head) is (path == "/head")
            assert (await client(get("/i/_doc/1"))).endswith(b"\r\n\r\none")


async def test_interim_answers_of_a_node_end_there(start: Callable[..., Any]):
    way = await ready(start)
    way.cluster.answers[SEARCH] = way.cluster.answers[READ] = [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
        answer(b"at last"),
    ]
    client = await way.client()
    for target in (SEARCH, READ):
        assert (await client(post(target))).startswith(b"HTTP/1.1 200 OK")


async def test_a_proxy_that_stops_closes_what_is_idle_and_ends_what_is_not(start: Callable[..., Any]):
    way = await ready(start)
    way.cluster.pause = 0.3
    way.cluster.answers[SEARCH] = way.cluster.answers["/i/_doc/2"] = [b"", answer(b"last")]
    idle, busy, handled, halfway = [await way.client() for _ in range(4)]
    busy.writer.write(post(SEARCH) + get("/never"))
    handled.writer.write(get(HANDLED) + get("/never"))
    halfway.writer.write(post(SEARCH)[:20])
    await asyncio.sleep(0.05)
    stopping = asyncio.create_task(way.stop_listening())
    async with asyncio.timeout(0.2):
        for client in (idle, halfway):
            assert await client.reader.read() == b""
    for client in (busy, handled):
        assert (await client.answer()).endswith(b"last")
        assert await client.reader.read() == b""
    await stopping
    assert not any(b"/never" in request for request in way.cluster.seen)
    assert way.connections == set()


async def test_a_proxy_that_stops_does_not_wait_longer_than_it_may(start: Callable[..., Any]):
    way = await ready(start)
    way.cluster.deaf.update((SEARCH, HANDLED))
    clients = [await way.client() for _ in range(2)]
    clients[0].writer.write(post(SEARCH))
    clients[1].writer.write(get(HANDLED))
    await asyncio.sleep(0.05)
    assert await way.in_flight() == 2
    async with asyncio.timeout(2):
        await way.proxy._listener.stop(0.1)
    assert way.connections == set()
    await until(lambda: way.proxy._components.metrics.counts().in_flight == 0)


async def test_a_proxy_that_stops_lets_an_early_response_arrive(start: Callable[..., Any]):
    """The body behind it still comes: closed at once, the system would throw the response away."""
    way = await ready(start)
    way.cluster.early[STREAMED] = answer(b"early", status="413 Too Large")
    client = await way.client()
    client.writer.write(post(STREAMED, b"a" * (8 << 20))[: 3 << 20])
    await until(lambda: any(each._state is State.DISCARDING for each in way.connections))
    stopping = asyncio.create_task(way.stop_listening())
    for _ in range(10):
        client.writer.write(b"a" * 100_000)
        await client.writer.drain()
        await asyncio.sleep(0.01)
    assert (await client.answer()).endswith(b"early")
    client.writer.close()
    await stopping


def test_every_state_has_a_way_on_and_an_end():
    for state in State:
        assert NEXT[state][Event.END] is State.CLOSING
        if state is not State.CLOSING:
            assert any(NEXT[state][event] not in (None, State.CLOSING) for event in Event)
    reached = {target for (state, _), target in TABLE.items() if state is not target}
    assert reached == set(State)
    assert NEXT[State.CLOSING] == [None] * (len(Event) - 1) + [State.CLOSING]
