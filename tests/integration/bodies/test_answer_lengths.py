"""Answers are framed by their own length, whatever came before with the same head on the same connections."""

from __future__ import annotations

import asyncio
import random
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.ways import get, post
from tests.support.cluster import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.ways import Client

ONE, CHANGE = "/i/_doc/1", "/i/_close"
LENGTHS = (0, 1, 2, 550, 60_000, 300_000)
WAYS = {
    "fast": get(ONE),
    "handlers": get(ONE),
    "a change": post(CHANGE, b""),
    "last of its connection": get(ONE, b"Connection: close"),
    "old": b"GET /i/_doc/1 HTTP/1.0\r\nHost: p\r\nConnection: keep-alive\r\n\r\n",
}


async def framed(client: Client, *, bare: bool = False) -> tuple[bytes, list[bytes], bytes]:
    """Status, lengths and body of the next answer; `bare`: it has no body, whatever it declares."""
    async with asyncio.timeout(5):
        head = await client.reader.readuntil(b"\r\n\r\n")
        lengths = [line[15:].strip() for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = b"" if bare or not lengths else await client.reader.readexactly(int(lengths[0]))
    return head.split(b" ")[1], lengths, body


@pytest.mark.parametrize("name", list(WAYS))
async def test_each_length_after_each_other(start: Callable[..., Any], name: str):
    way = await start(fast=name != "handlers")
    client = await way.client()
    for lengths in permutations(LENGTHS, 2):
        for length in lengths:
            way.cluster.answers[ONE] = way.cluster.answers[CHANGE] = answer(b"a" * length)
            if name == "last of its connection":
                client = await way.client()
            client.writer.write(WAYS[name])
            assert await framed(client) == (b"200", [b"%d" % length], b"a" * length)
    assert bool(way.taken) is (name == "fast")


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "handlers"])
async def test_several_requests_at_once(start: Callable[..., Any], fast: bool):
    way = await start(fast=fast)
    client, lengths = await way.client(), (550, 0, 3, 0, 0, 70_000, 0)
    way.cluster.answers |= {f"/i/_doc/{n}": answer(b"a" * length) for n, length in enumerate(lengths)}
    for _ in range(3):
        client.writer.write(b"".join(get(f"/i/_doc/{n}") for n in range(len(lengths))))
        for length in lengths:
            assert await framed(client) == (b"200", [b"%d" % length], b"a" * length)
    assert bool(way.taken) is fast


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "handlers"])
async def test_answers_with_and_without_bodies_in_any_order(start: Callable[..., Any], fast: bool):
    way, chance = await start(fast=fast), random.Random(5)
    client = await way.client()
    for _ in range(400):
        length, status = chance.choice(LENGTHS[:-1]), chance.choice((b"200", b"200", b"404", b"204", b"304"))
        bare, head = status in (b"204", b"304"), chance.random() < 0.25
        whole = answer(b"a" * length, status=f"{status.decode()} X")
        # What a `HEAD`, and a 304, declare does not come.
        way.cluster.answers[ONE] = whole[: len(whole) - length] if bare or head else whole
        client.writer.write(get(ONE).replace(b"GET", b"HEAD" if head else b"GET"))
        came, lengths, body = await framed(client, bare=bare or head)
        assert (came, body) == (status, b"" if bare or head else b"a" * length)
        # A 204 and a 304 may leave it out; nothing declares the length of another.
        assert lengths == [b"%d" % length] or (bare and not lengths), (status, head)
    assert bool(way.taken) is fast
