"""Long bodies that somebody reads, from the socket into their place: whole, in order, and whatever breaks off."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from headrace.http1 import body as bodies
from headrace.http1.body import RequestBody
from tests.integration.ways import get, post
from tests.support.cluster import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.ways import Way

MIB = 1 << 20
LENGTHS = [70_000, 300_000, MIB + 1, 9 * MIB]
READ = "/_mget"
"""Its body is read whole before it goes on: it names indexes."""


class InPlace:
    """Counts what is written by the loop to where it stays, in bytes and bodies."""

    bodies = bytes = 0


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> type[InPlace]:
    InPlace.bodies = InPlace.bytes = 0
    filled, make = RequestBody.filled, bodies.BodyBuffer

    def watched(self: RequestBody, count: int) -> None:
        InPlace.bytes += count
        filled(self, count)

    def made(size: int) -> Any:
        InPlace.bodies += 1
        return make(size)

    monkeypatch.setattr(RequestBody, "filled", watched)
    monkeypatch.setattr(bodies, "BodyBuffer", made)
    return InPlace


def body_of(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def head_of(length: int, *headers: bytes) -> bytes:
    return post(READ, b"", *headers).replace(b"Content-Length: 0", b"Content-Length: %d" % length)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def reading(start: Any, **settings: Any) -> Way:
    way: Way = await start(**settings)
    way.cluster.answers[READ] = answer(b"read")
    return way


@pytest.mark.parametrize("length", LENGTHS)
async def test_a_long_body_arrives_as_it_was_sent(start: Any, in_place: type[InPlace], length: int):
    way = await reading(start)
    client, body = await way.client(), body_of(length)
    for _ in range(3):
        assert (await client(post(READ, body))).endswith(b"read")
        assert way.cluster.seen.pop().partition(b"\r\n\r\n")[2] == body
    # Of a shorter one all may be here before it is looked at.
    assert in_place.bytes > length or length < MIB
    assert (await client(get("/warm"))).endswith(b"ok"), "the connection goes on behind it"


async def test_a_body_that_comes_bit_by_bit_behind_its_head(start: Any, in_place: type[InPlace]):
    way = await reading(start)
    client, body = await way.client(), body_of(2 * MIB)
    step = MIB // 2 + 7
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    assert (await client(head_of(len(body)), *pieces)).endswith(b"read")
    assert way.cluster.seen.pop().partition(b"\r\n\r\n")[2] == body
    assert in_place.bytes == len(body), "all of it, since nothing of it came with its head"


async def test_a_body_that_is_asked_for(start: Any, in_place: type[InPlace]):
    way = await reading(start)
    client, body = await way.client(), body_of(MIB)
    client.writer.write(head_of(len(body), b"Expect: 100-continue"))
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await client(body)).endswith(b"read")
    assert way.cluster.seen.pop().endswith(body)
    assert in_place.bodies == 1


async def test_requests_behind_a_long_body_are_answered_in_their_order(start: Any, in_place: type[InPlace]):
    way = await reading(start)
    way.cluster.answers |= {"/a/_search": answer(b"second"), "/b/_search": answer(b"third")}
    client = await way.client()
    client.writer.write(
        post(READ, body_of(3 * MIB)) + get("/a/_search") + post(READ, body_of(2 * MIB)) + get("/b/_search")
    )
    for expected in (b"read", b"second", b"read", b"third"):
        assert (await client.answer()).endswith(expected)
    assert in_place.bytes > MIB


async def test_a_body_in_chunks_goes_through_the_parser(start: Any, in_place: type[InPlace]):
    way = await reading(start)
    client, body = await way.client(), body_of(MIB)
    head = head_of(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    assert (await client(b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body))).endswith(b"read")
    assert way.cluster.seen.pop().partition(b"\r\n\r\n")[2] == body
    assert in_place.bodies == 0


@pytest.mark.parametrize("sent", [0, 2 * MIB], ids=["at once", "in the middle"])
async def test_a_client_that_goes_away(start: Any, in_place: type[InPlace], sent: int):
    way = await reading(start)
    for _ in range(5):
        client = await way.client()
        client.writer.write(head_of(5 * MIB) + body_of(sent))
        before = in_place.bodies
        await until(lambda: in_place.bodies > before)  # noqa: B023 - it is asked before the next turn
        client.writer.transport.abort()
    await until(lambda: way.proxy._components is not None and way.proxy._components.metrics.counts().in_flight == 0)
    assert way.cluster.seen == []
    assert (await (await way.client())(get("/warm"))).endswith(b"ok")


async def test_a_body_that_does_not_go_on_is_given_up(start: Any, in_place: type[InPlace], monkeypatch: Any):
    monkeypatch.setattr("headrace.server.received._SLOWEST", 1 << 30)
    way = await reading(start, client_timeout="300ms")
    client = await way.client()
    got = await client(head_of(5 * MIB) + body_of(2 * MIB))
    assert got.startswith(b"HTTP/1.1 408 ")
    assert b"client_timeout" in got
    assert in_place.bodies == 1


async def test_a_body_that_nobody_reads_does_not_hold_its_connection(start: Any, in_place: type[InPlace]):
    """What was held back of it is not waited for: the answer says that the connection ends."""
    way = await reading(start)
    client = await way.client()
    refused = f"/{way.proxy.settings.registry_index}/_doc/1".encode()
    client.writer.write(head_of(MIB).replace(READ.encode(), refused) + body_of(300_000))
    got = await client.answer()
    assert got.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close" in got.lower()
    assert in_place.bodies == 0


async def test_a_proxy_that_stops_finishes_the_body_on_its_way(start: Any, in_place: type[InPlace]):
    way = await reading(start)
    client, body = await way.client(), body_of(4 * MIB)
    client.writer.write(head_of(len(body)) + body[: 2 * MIB])
    await until(lambda: in_place.bytes > MIB)
    stopping = asyncio.create_task(way.stop_listening())
    await asyncio.sleep(0.05)
    client.writer.write(body[2 * MIB :])
    assert (await client.answer()).endswith(b"read")
    assert way.cluster.seen.pop().endswith(body)
    await stopping
