"""Heads that a node does not take: an answer for who sent them, and a sound connection for who comes next."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from headrace.app import Proxy
from headrace.http1.head_limits import LongHeaderError, LongLineError, NodeHeadLimits, sound
from tests.conftest import Http

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from headrace.settings import Settings

SECONDS = 5.0
LINE, HEADER = "too_long_http_line_exception", "too_long_http_header_exception"
LONG = {
    "one header": (HEADER, "", b"X-Big: " + b"a" * 17_000 + b"\r\n"),
    "many headers": (HEADER, "", b"".join(b"X-%d: %b\r\n" % (n, b"a" * 100) for n in range(160))),
    "a line": (LINE, "?pretty=" + "a" * 4200, b""),
    "both": (LINE, "?pretty=" + "a" * 4200, b"X-Big: " + b"a" * 17_000 + b"\r\n"),
}


async def ask(url: str, target: str, head: bytes, method: str = "GET", body: bytes = b"") -> tuple[int, dict]:
    """One request on a connection of its own."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        line = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        writer.write(line.encode() + head + b"\r\n" + body)
        async with asyncio.timeout(SECONDS):
            answer = await reader.read()
    finally:
        writer.close()
    return int(answer.split()[1]), json.loads(answer.partition(b"\r\n\r\n")[2])


async def alike(url: str, direct: str, error: str, extra: str, head: bytes) -> None:
    """Asks in every way that requests go, and then plainly: each connection to the node has to be sound."""
    for method, target, body in (
        ("GET", "/_cluster/health", b""),
        ("POST", "/_search", b'{"size":0}'),
        ("PUT", "/_cluster/settings", b"{}"),
    ):
        status, answer = await ask(url, target + extra, head, method, body)
        assert (status, answer["error"]["type"]) == (400, error), target
        assert (status, answer) == await ask(direct, target + extra, head, method, body)
        for _ in range(3):
            assert (await ask(url, "/_cluster/health", b""))[0] == 200


@pytest.mark.parametrize("kind", LONG)
async def test_what_is_too_long_for_a_node(settings: Settings, through: Http, direct: Http, kind: str):
    await alike(through.base, direct.base, *LONG[kind])


@pytest.mark.parametrize("kind", LONG)
async def test_what_the_proxy_takes_and_the_node_does_not(
    settings: Settings, session: ClientSession, direct: Http, name: str, kind: str
):
    wide = msgspec.structs.replace(settings, max_request_line="16kb", max_request_headers="32kb")
    proxy = Proxy(wide)
    await proxy.start()
    try:
        await alike(proxy.url, direct.base, *LONG[kind])
    finally:
        await proxy.stop()


def test_the_limits_are_those_of_a_node():
    limits = NodeHeadLimits.of(4096, 16384, ["http://node:9200"])
    line = "/" + "a" * (4096 - len("GET / HTTP/1.1"))
    limits.check("GET", line, b"")
    with pytest.raises(LongLineError):
        limits.check("GET", line + "a", b"")
    limits.check("GET", "/", b"X: %b\r\n" % (b"a" * 16_300))
    with pytest.raises(LongHeaderError):
        limits.check("GET", "/", b"X: %b\r\n" % (b"a" * 16_384))


@pytest.mark.parametrize(
    ("status", "head", "expected"),
    [
        (200, b"a" * 5000, True),
        (404, b"a" * 5000, True),
        (400, b"GET / HTTP/1.1\r\n", True),
        (400, b"a" * 5000, False),
        (400, b"X: \x0b\r\n", False),
        (400, "X: ä\r\n".encode(), False),
        (413, b"", False),
        (417, b"", False),
    ],
)
def test_which_connections_are_used_again(status: int, head: bytes, expected: bool):
    assert sound(status, head) is expected
