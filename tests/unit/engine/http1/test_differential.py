"""Whatever the engine's parsers accept, two others read the same way: aiohttp's, in C, and h11.

The gate runs a sample; the long form is `HTTP1_FUZZ=100000 pytest tests/unit/engine/http1`.
"""

from __future__ import annotations

import asyncio
import os
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.engine.http1.messages import (
    REQUESTS,
    RESPONSES,
    aiohttp_reads,
    h11_requests,
    h11_response,
    mutated,
    read_requests,
    read_responses,
)

if TYPE_CHECKING:
    from tests.unit.engine.http1.messages import Read

ROUNDS = int(os.environ.get("HTTP1_FUZZ", "5000"))


@pytest.fixture
def chance() -> random.Random:
    return random.Random(int(os.environ.get("HTTP1_SEED", "7")))


def drawn(chance: random.Random, messages: list[bytes]) -> bytes:
    """A stream of some messages, one of which is changed."""
    chosen = chance.choices(messages, k=chance.choice((1, 1, 2, 3)))
    at = chance.randrange(len(chosen))
    chosen[at] = mutated(chance, chosen[at])
    return b"".join(chosen)


@pytest.mark.timeout(1200)
async def test_requests_are_read_as_others_read_them(chance: random.Random):
    loop, accepted = asyncio.get_running_loop(), 0
    for _ in range(ROUNDS):
        stream = drawn(chance, REQUESTS)
        ours = read_requests(stream)
        assert read_requests(stream, chance.randint(1, 40)).messages == ours.messages, stream
        accepted += len(ours.messages)
        for (start, end), head, message in zip(pairwise([0, *ours.ends]), ours.heads, ours.messages, strict=True):
            alone = stream[start:end].removeprefix(b"\r\n")
            check_others_agree(alone, message, loop)
            check_what_a_handler_is_given(head, message, loop)
    assert accepted > ROUNDS / 2


def check_others_agree(alone: bytes, message: Read, loop: asyncio.AbstractEventLoop) -> None:
    """Both others take these bytes for exactly this message, but for what only we take."""
    method, target, minor = message.line
    came = alone.split(b" ", 2)[1].decode("utf-8", "surrogateescape")
    assert came == target or str(target).startswith("/"), alone
    expected = message._replace(line=(method, came, minor))
    # A target without a slash is a tolerance, and one over ASCII.
    if came == target or came.lower().startswith(("http://", "https://")):
        assert aiohttp_reads(alone, loop, requests=True) == ([expected], False), alone
    if came.isascii():
        assert h11_requests(alone) == ([expected], False), alone


def check_what_a_handler_is_given(head: Any, message: Read, loop: asyncio.AbstractEventLoop) -> None:
    """A rewritten head is one request without a body, with the same method and none but the client's headers."""
    given = head.head_for_handler()
    [theirs], refused = aiohttp_reads(given, loop, requests=True)
    assert not refused, given
    assert theirs.line == (message.line[0], "/", message.line[2]), given
    assert not theirs.body, given
    names = {name for name, _ in theirs.headers}
    assert not names & {b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer"}, given
    assert all(pair in message.headers or pair[0] in (b"connection", b"host") for pair in theirs.headers), given


@pytest.mark.timeout(1200)
async def test_responses_are_read_as_others_read_them(chance: random.Random):
    loop, compared = asyncio.get_running_loop(), 0
    for _ in range(ROUNDS):
        stream = mutated(chance, chance.choice(RESPONSES))
        ours = read_responses(stream)
        assert read_responses(stream, chance.randint(1, 40)).messages == ours.messages, stream
        final = next((n for n, head in enumerate(ours.heads) if not head.interim), None)
        if final is None:
            continue
        alone = stream[: ours.ends[final]]
        expected = (ours.messages[: final + 1], False)
        assert h11_response(alone) == expected, alone
        assert aiohttp_reads(alone, loop, requests=False) == expected, alone
        compared += 1
    assert compared > ROUNDS / 4
