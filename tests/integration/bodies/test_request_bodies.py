"""Bodies of requests for handlers, which read them whole or stream them on: whole, in order, however they come."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from headrace.server.connection import MAX_BACKLOG
from headrace.server.listener import READ_BYTES
from tests.integration.ways import get, post
from tests.support.cluster import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.ways import Client, Way

READ = "/_mget"
"""Its body is read whole before it goes on: it names indexes."""
STREAMED = "/i/_close"
"""Its body is streamed on."""


async def ready(start: Callable[..., Any], **settings: Any) -> tuple[Way, Client]:
    """A proxy and a client of it that has sent one of each before."""
    way = await start(**settings)
    way.cluster.answers |= {READ: answer(b"{}"), STREAMED: answer(b"{}"), "/i/_search": answer(b"{}")}
    client = await way.client()
    for target in (READ, STREAMED, "/i/_search", "/i/_search"):
        await client(post(target))
    way.cluster.seen.clear()
    return way, client


def cut(request: bytes, chance: random.Random, *, most: int) -> list[bytes]:
    """A request in pieces, the first of which has its head."""
    head = request.find(b"\r\n\r\n") + 4
    cuts = sorted(chance.sample(range(head, len(request)), min(len(request) - head, chance.randint(0, most))))
    return [request[a:b] for a, b in zip([0, *cuts], [*cuts, len(request)], strict=True)]


@pytest.mark.parametrize("target", [READ, STREAMED])
async def test_bodies_arrive_as_they_were_sent(start: Callable[..., Any], target: str):
    way, client = await ready(start)
    chance, lengths = random.Random(3), [1, 0, 9, 70_000, 300_000, 0, 1_500_000, 60_000, 3]
    for length in lengths:
        body = chance.randbytes(length)
        assert (await client(*cut(post(target, body), chance, most=4), pause=0.003)).endswith(b"{}")
        head, _, arrived = way.cluster.seen.pop().partition(b"\r\n\r\n")
        assert arrived == body
        assert b"\r\nContent-Length: %d\r\n" % length in head + b"\r\n"


async def test_a_length_does_not_outlive_its_request(start: Callable[..., Any]):
    # `_mget` without a body and with one, in turn: what a handler asks of the head is of this request.
    way, client = await ready(start)
    for body in (b"", b'{"ids":["1"]}', b"", b'{"docs":[]}'):
        await client(post(READ, body))
        assert way.cluster.seen.pop().partition(b"\r\n\r\n")[2] == body


async def test_what_one_head_says_is_not_said_of_another(start: Callable[..., Any]):
    way, client = await ready(start)
    for n in (1, 1, 2, 1, 3):
        await client(post(READ, b"{}", b"X-A: %d" % n))
        assert b"\r\nX-A: %d\r\n" % n in way.cluster.seen.pop()
        await client(post(READ))
        assert b"X-A" not in way.cluster.seen.pop()


async def test_requests_are_answered_in_their_order(start: Callable[..., Any]):
    way, client = await ready(start)
    way.cluster.pause = 0.1
    way.cluster.answers[READ] = [b"", answer(b"1")]
    # There are connections for all.
    other = await way.client()
    await asyncio.gather(client(post(READ)), other(post(READ)))
    way.cluster.seen.clear()
    client.writer.write(post(READ, b"[1]"))
    for body in (b"[22]", b"[333]", b"[4444]"):
        await asyncio.sleep(0.02)
        client.writer.write(post("/i/_search", body))
    assert [(await client.answer())[-1:] for _ in range(4)] == [b"1", b"}", b"}", b"}"]
    assert [request[-3:] for request in way.cluster.seen] == [b"[1]", b"22]", b"33]", b"44]"]
    # One may wait without the parser, which counts the others.


async def test_a_request_behind_a_body_in_the_same_piece(start: Callable[..., Any]):
    way, client = await ready(start)
    first = post(READ, b"a" * 200)
    client.writer.write(first[:-100])
    await asyncio.sleep(0.02)
    client.writer.write(first[-100:] + post(READ, b"b" * 100) + get("/i/_doc/1"))
    way.cluster.answers["/i/_doc/1"] = answer(b"1")
    assert [(await client.answer())[-1:] for _ in range(3)] == [b"}", b"}", b"1"]
    assert [request[-1:] for request in way.cluster.seen] == [b"a", b"b", b"\n"]


@pytest.mark.parametrize("target", [READ, STREAMED])
async def test_what_waits_behind_a_request_has_an_end(start: Callable[..., Any], target: str):
    """While a request is in work nobody reads the body of the next one: it stays in the socket."""
    way, client = await ready(start)
    way.cluster.answers["/slow"] = [b"", answer(b"1")]
    way.cluster.pause = 0.5
    client.writer.write(get("/slow"))
    await asyncio.sleep(0.05)
    long = b"a" * (30 << 20)
    client.writer.write(post(target, long))
    await asyncio.sleep(0.2)
    (connection,) = (each for each in way.connections if each.remote and len(each._backlog))
    assert len(connection._backlog) <= MAX_BACKLOG + READ_BYTES
    assert [(await client.answer())[-1:] for _ in range(2)] == [b"1", b"}"]
    assert way.cluster.seen[1].endswith(b"\r\n\r\n" + long)
    assert (await client(post(target, b"b"))).endswith(b"{}")


async def test_a_client_that_goes(start: Callable[..., Any]):
    way, client = await ready(start)
    for length in (9, 400_000):
        client.writer.write(post(READ, b"a" * length)[:-1])
        await asyncio.sleep(0.05)
        assert await way.in_flight() == 1
        client.writer.close()
        async with asyncio.timeout(5):
            while await way.in_flight():
                await asyncio.sleep(0.01)
        assert way.cluster.seen == []
        client = await way.client()
        await client(post(READ))
        way.cluster.seen.clear()


@pytest.mark.parametrize("length", [9, 100_000])
async def test_a_body_that_never_comes(start: Callable[..., Any], length: int):
    way, client = await ready(start, client_timeout="200ms")
    client.writer.write(post(READ, b"a" * length)[:-1])
    async with asyncio.timeout(8):
        assert (await client.answer()).startswith(b"HTTP/1.1 408 ")
    assert await way.in_flight() == 0


async def test_a_client_is_not_read_from_faster_than_the_cluster_takes_it(start: Callable[..., Any]):
    way, client = await ready(start)
    way.cluster.deaf.add(STREAMED)
    sent, body = 0, b"a" * (1 << 20)
    client.writer.write(post(STREAMED, b"a" * (200 << 20))[: 1 << 20])
    with suppress(TimeoutError):
        while sent < 200:
            client.writer.write(body)
            async with asyncio.timeout(0.5):
                await client.writer.drain()
            sent += 1
    assert sent < 50


async def test_a_body_that_nobody_reads(start: Callable[..., Any]):
    way, client = await ready(start, registry_index=".headrace")
    assert (await client(post("/.headrace/_mget"))).startswith(b"HTTP/1.1 403 ")
    # Refused by its target, before its body has come: what comes of it then is no request.
    refused = post("/.headrace/_mget", post(READ) * 9_000)
    client.writer.write(refused[:300_000])
    assert (await client.answer()).startswith(b"HTTP/1.1 403 ")
    with suppress(ConnectionError):
        client.writer.write(refused[300_000:])
        assert await client.reader.read() == b""
    assert way.cluster.seen == []


async def test_a_request_that_waits_when_the_proxy_stops(start: Callable[..., Any]):
    way, client = await ready(start)
    way.cluster.pause = 0.2
    way.cluster.answers[READ] = [b"", answer(b"1")]
    client.writer.write(post(READ, b"[1]"))
    await asyncio.sleep(0.03)
    client.writer.write(post(READ, b"[22]"))
    await asyncio.sleep(0.03)
    assert (await way.stop_before(client)).endswith(b"1")
    assert len(way.cluster.seen) == 1
