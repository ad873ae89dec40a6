"""Requests with a head like one before that are for a handler: it gets what aiohttp's parser would give it."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from headrace.server.connection import Connection
from tests.cluster import answer
from tests.integration.ways import get, post

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.ways import Client, Way

READ = "/_mget"
"""Its body is read whole before it goes on: it names indexes."""
STREAMED = "/i/_close"
"""Its body is streamed on."""


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the bodies of requests that reached aiohttp's task without its parser."""
    found: list[int] = []
    take = Connection._take

    def watched(self: Any, known: Any, data: bytes, start: int, length: int) -> Any:
        found.append(length)
        return take(self, known, data, start, length)

    monkeypatch.setattr(Connection, "_take", watched)
    return found


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
async def test_bodies_arrive_as_they_were_sent(start: Callable[..., Any], taken: list[int], target: str):
    way, client = await ready(start)
    chance, lengths = random.Random(3), [1, 0, 9, 70_000, 300_000, 0, 1_500_000, 60_000, 3]
    for length in lengths:
        body = chance.randbytes(length)
        assert (await client(*cut(post(target, body), chance, most=4), pause=0.003)).endswith(b"{}")
        head, _, arrived = way.cluster.seen.pop().partition(b"\r\n\r\n")
        assert arrived == body
        assert b"\r\nContent-Length: %d\r\n" % length in head + b"\r\n"
    assert taken == lengths


async def test_a_length_does_not_outlive_its_request(start: Callable[..., Any], taken: list[int]):
    # `_mget` without a body and with one, in turn: what a handler asks of the head is of this request.
    way, client = await ready(start)
    for body in (b"", b'{"ids":["1"]}', b"", b'{"docs":[]}'):
        await client(post(READ, body))
        assert way.cluster.seen.pop().partition(b"\r\n\r\n")[2] == body
    assert taken == [0, 13, 0, 11]


async def test_what_is_known_of_one_head_is_not_said_of_another(start: Callable[..., Any], taken: list[int]):
    way, client = await ready(start)
    for n in (1, 1, 2, 1, 3):
        await client(post(READ, b"{}", b"X-A: %d" % n))
        assert b"\r\nX-A: %d\r\n" % n in way.cluster.seen.pop()
        await client(post(READ))
        assert b"X-A" not in way.cluster.seen.pop()
    assert len(taken) == 7


async def test_requests_are_answered_in_their_order(start: Callable[..., Any], taken: list[int]):
    way, client = await ready(start)
    way.cluster.pause = 0.1
    way.cluster.answers[READ] = [b"", answer(b"1")]
    # There are connections for all.
    other = await way.client()
    await asyncio.gather(client(post(READ)), other(post(READ)))
    way.cluster.seen.clear()
    taken.clear()
    client.writer.write(post(READ, b"[1]"))
    for body in (b"[22]", b"[333]", b"[4444]"):
        await asyncio.sleep(0.02)
        client.writer.write(post("/i/_search", body))
    assert [(await client.answer())[-1:] for _ in range(4)] == [b"1", b"}", b"}", b"}"]
    assert [request[-3:] for request in way.cluster.seen] == [b"[1]", b"22]", b"33]", b"44]"]
    # One may wait without the parser, which counts the others.
    assert taken == [3, 4]


async def test_a_request_behind_a_body_in_the_same_piece(start: Callable[..., Any], taken: list[int]):
    way, client = await ready(start)
    first = post(READ, b"a" * 200)
    client.writer.write(first[:-100])
    await asyncio.sleep(0.02)
    client.writer.write(first[-100:] + post(READ, b"b" * 100) + get("/i/_doc/1"))
    way.cluster.answers["/i/_doc/1"] = answer(b"1")
    assert [(await client.answer())[-1:] for _ in range(3)] == [b"}", b"}", b"1"]
    assert [request[-1:] for request in way.cluster.seen] == [b"a", b"b", b"\n"]
    assert taken == [200]


@pytest.mark.parametrize("target", [READ, STREAMED])
async def test_a_body_whose_end_is_more_than_may_wait(
    start: Callable[..., Any], taken: list[int], monkeypatch: pytest.MonkeyPatch, target: str
):
    pieces: list[int] = []
    take_off = Connection._take_off

    def watched(self: Any, data: bytes) -> bytes:
        pieces.append(len(data))
        return take_off(self, data)

    monkeypatch.setattr(Connection, "_take_off", watched)
    way, client = await ready(start)
    way.cluster.answers["/slow"] = [b"", answer(b"1")]
    way.cluster.pause = 0.2
    long = b"a" * 660_000
    # The system lets more wait on a connection that has had long ones; behind the first one the parser is new.
    for header in (b"X-A: 1", *[b"X-A: 2"] * 3):
        await client(post(target, long, header))
    way.cluster.seen.clear()
    # While a request is in work nobody reads the body of the next one.
    client.writer.write(get("/slow"))
    await asyncio.sleep(0.05)
    request = post(target, long)
    pieces.clear()
    for begin, end in ((0, -650_000), (-650_000, -400_000), (-400_000, -150_000), (-150_000, None)):
        client.writer.write(request[begin:end])
        await asyncio.sleep(0.01)
    assert [(await client.answer())[-1:] for _ in range(2)] == [b"1", b"}"]
    # 512 kB may wait: the last piece, mostly one here, is too much.
    assert sum(pieces) == 650_000
    assert way.cluster.seen[1].endswith(b"\r\n\r\n" + long)
    assert (await client(post(target, b"b"))).endswith(b"{}")
    assert taken[-2:] == [660_000, 1]


async def test_a_client_that_goes(start: Callable[..., Any], taken: list[int]):
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
    assert taken == [9, 400_000]


@pytest.mark.parametrize("length", [9, 100_000])
async def test_a_body_that_never_comes(start: Callable[..., Any], taken: list[int], length: int):
    way, client = await ready(start, client_timeout="200ms")
    client.writer.write(post(READ, b"a" * length)[:-1])
    async with asyncio.timeout(8):
        assert (await client.answer()).startswith(b"HTTP/1.1 408 ")
    assert await way.in_flight() == 0
    assert taken == [length]


async def test_a_client_is_not_read_from_faster_than_the_cluster_takes_it(start: Callable[..., Any], taken: list[int]):
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
    assert taken == [200 << 20]


async def test_a_body_that_nobody_reads(start: Callable[..., Any], taken: list[int]):
    way, client = await ready(start, registry_index=".headrace")
    assert (await client(post("/.headrace/_mget"))).startswith(b"HTTP/1.1 403 ")
    # Refused by its target, before its body has come: what comes of it then is no request.
    refused = post("/.headrace/_mget", post(READ) * 9_000)
    client.writer.write(refused[:300_000])
    assert (await client.answer()).startswith(b"HTTP/1.1 403 ")
    with suppress(ConnectionError):
        client.writer.write(refused[300_000:])
        assert await client.reader.read() == b""
    assert taken == [len(post(READ)) * 9_000]
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
