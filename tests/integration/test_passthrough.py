"""Pass-through against a cluster of ours at the network's edge: what arrives there, and what comes back, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from headrace.app import Proxy
from tests.conftest import settings_for
from tests.support.cluster import Cluster, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Wired:
    cluster: Cluster
    port: int

    async def __call__(self, request: bytes, *, keep: bool = False) -> bytes:
        """Sends raw bytes to the proxy and reads until it closes (or half a second of silence with `keep`)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        out = b""
        try:
            async with asyncio.timeout(0.5 if keep else 5):
                while chunk := await reader.read(1 << 16):
                    out += chunk
        except TimeoutError:
            pass
        writer.close()
        return out

    def sent_on(self) -> tuple[list[bytes], bytes]:
        head, _, body = self.cluster.seen[-1].partition(b"\r\n\r\n")
        return head.split(b"\r\n"), body


@pytest.fixture
async def wired(tmp_path: Any) -> AsyncIterator[Wired]:
    """The proxy before the cluster."""
    cluster = Cluster()
    server = await cluster.start()
    proxy = Proxy(settings_for(f"http://127.0.0.1:{cluster.port}", tmp_path))
    await proxy.start()
    yield Wired(cluster, int(proxy.url.rpartition(":")[2]))
    await proxy.stop()
    server.close()


GET = "GET {} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n{}\r\n"
NOT_HTTP = {
    "cl+te": b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two-cl": b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    "chunk-size": b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "header-name": b"GET / HTTP/1.1\r\nHost: p\r\nBad Header: 1\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: p\r\nX: a\x00b\r\n\r\n",
    "long-line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: p\r\n\r\n",
    "te+cl": b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "te-other": b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /zz HTTP/1.1\r\n\r\n",
    "te-space": b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "te-list": b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nzz",
    "cl-plus": b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: +5\r\n\r\nabcde",
    "cl-minus": b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: -1\r\n\r\n",
    "cl-hex": b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 0x5\r\n\r\nabcde",
    "cl-list": b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 1,1\r\n\r\na",
    "cl-huge": b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 99999999999999999999\r\n\r\na",
    "chunk-minus": b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nzz\r\n0\r\n\r\n",
    "chunk-huge": b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nzz\r\n",
    "chunk-long": b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nzzzz\r\n0\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nHost: p\r\n X: folded\r\n\r\n",
    "bare-cr": b"GET / HTTP/1.1\r\nHost: p\r\nX: a\rb\r\n\r\n",
    "bare-lf": b"GET / HTTP/1.1\nHost: p\n\n",
    "version": b"GET / HTTP/9.9\r\nHost: p\r\n\r\n",
    "space": b"GET /a b HTTP/1.1\r\nHost: p\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "many-headers": b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(2000)) + b"\r\n",
}
"""Requests that one server could read otherwise than the next, and what is no request at all."""


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb/_doc/x%20y?q=%E2%82%AC&empty&a=1&a=2&b=%2F+%2B",
        "/<logs-{now/d}>/_mapping",
        "/%3Clogs-%7Bnow%2Fd%7D%3E/_mapping",
        "/i/../_cluster/health",
        "/i//_mapping",
        "/i/_mapping/",
        "/@127.0.0.1:99/",
        "//127.0.0.1:99/x",
        "/i;v=1/_mapping?x=a;b",
        "/%",
    ],
)
async def test_the_target_arrives_as_it_was_sent(wired: Wired, target: str):
    await wired(GET.format(target, "").encode())
    assert wired.sent_on()[0][0] == f"GET {target} HTTP/1.1".encode()


async def test_headers_pass_and_hop_by_hop_ones_end_here(wired: Wired):
    await wired(
        b"GET /x HTTP/1.1\r\nHost: proxy\r\nAuthorization: Basic dTpw\r\nX-Opaque-Id: a\r\ntraceparent: 00-1-2-3\r\n"
        b"Accept: a/b\r\nAccept: c/d\r\nX-Forwarded-For: 10.0.0.1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\n"
        b"X-Hop: 1\r\nX-Headrace-Admin-Token: t\r\nProxy-Authorization: x\r\nConnection: close, X-Hop\r\n\r\n"
    )
    head, _ = wired.sent_on()
    assert head[0] == b"GET /x HTTP/1.1"
    assert sorted(head[1:]) == sorted(
        [
            f"Host: 127.0.0.1:{wired.cluster.port}".encode(),
            b"Authorization: Basic dTpw",
            b"X-Opaque-Id: a",
            b"traceparent: 00-1-2-3",
            b"Accept: a/b",
            b"Accept: c/d",
            b"X-Forwarded-For: 10.0.0.1, 127.0.0.1",
        ]
    )


async def test_an_answer_comes_back_as_it_was_sent(wired: Wired):
    body = gzip.compress(b"compressed")
    wired.cluster.answers["/x"] = answer(
        body,
        "Content-Encoding: gzip",
        "X-Two: 1",
        "X-Two: 2",
        "Warning: 299 x",
        "Keep-Alive: 5",
        status="299 Odd Reason",
    )
    head, _, got = (await wired(GET.format("/x", "Accept-Encoding: gzip\r\n").encode())).partition(b"\r\n\r\n")
    assert got == body
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 299 Odd Reason"
    assert sorted(head.split(b"\r\n")[1:]) == sorted(
        [
            f"Content-Length: {len(body)}".encode(),
            b"Content-Encoding: gzip",
            b"X-Two: 1",
            b"X-Two: 2",
            b"Warning: 299 x",
            b"Connection: close",
        ]
    )


async def test_bodies_keep_their_framing_and_bytes(wired: Wired):
    body = gzip.compress(b"x" * 1000)
    head = f"POST /x HTTP/1.1\r\nHost: p\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    await wired(head.encode() + body)
    sent, got = wired.sent_on()
    assert got == body
    assert f"Content-Length: {len(body)}".encode() in sent
    assert b"Content-Encoding: gzip" in sent
    await wired(
        b"POST /x HTTP/1.1\r\nHost: p\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    sent, got = wired.sent_on()
    assert got == b"abcde"
    assert b"Transfer-Encoding: chunked" in sent


async def test_a_get_keeps_its_body(wired: Wired):
    await wired(b"GET /x HTTP/1.1\r\nHost: p\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
    head, body = wired.sent_on()
    assert (head[0], body) == (b"GET /x HTTP/1.1", b"{}")


async def test_head_has_the_length_and_no_body(wired: Wired):
    wired.cluster.answers["/x"] = b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"
    got = await wired(b"HEAD /x HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 77\r\n" in got
    assert got.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_answers_without_a_body(wired: Wired, status: str):
    wired.cluster.answers["/x"] = f"HTTP/1.1 {status}\r\n\r\n".encode()
    got = await wired(GET.format("/x", "").encode())
    assert got.startswith(f"HTTP/1.1 {status}\r\n".encode())
    assert got.endswith(b"\r\n\r\n")


async def test_chunked_answers_and_trailers(wired: Wired):
    wired.cluster.answers["/x"] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    got = await wired(GET.format("/x", "").encode())
    assert b"abc" in got
    assert got.endswith(b"0\r\n\r\n")
    assert b"X-Trailer" not in got


async def test_expect_is_answered_here_and_not_sent_on(wired: Wired):
    wired.cluster.answers["/x"] = answer(b"ok")
    head = b"PUT /x HTTP/1.1\r\nHost: p\r\nConnection: close\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", wired.port)
    writer.write(head)
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
    # One whose body is here already waits for nothing (RFC 9110, 10.1.1).
    assert (await wired(head + b"hi")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(wired.cluster.seen) == 2
    for seen in wired.cluster.seen:
        assert seen.endswith(b"\r\n\r\nhi")
        assert b"expect" not in seen.lower()


async def test_an_expectation_that_is_unknown_is_refused(wired: Wired):
    got = await wired(b"PUT /x HTTP/1.1\r\nHost: p\r\nExpect: wonders\r\nContent-Length: 2\r\n\r\nhi")
    assert got.startswith(b"HTTP/1.1 417 ")
    assert wired.cluster.seen == []


async def test_a_small_answer_that_breaks_off_is_a_502(wired: Wired):
    wired.cluster.answers["/x"] = b"HTTP/1.1 200 OK\r\nX-Cut: 1\r\nContent-Length: 100\r\n\r\nonly this"
    got = await wired(GET.format("/x", "").encode())
    assert got.startswith(b"HTTP/1.1 502 ")
    assert b"only this" not in got


async def test_a_large_answer_that_breaks_off_does_not_look_complete(wired: Wired):
    wired.cluster.answers["/x"] = b"HTTP/1.1 200 OK\r\nX-Cut: 1\r\nContent-Length: 5000000\r\n\r\nonly this"
    got = await wired(GET.format("/x", "").encode())
    assert b"Content-Length: 5000000" in got or got == b""
    assert len(got.partition(b"\r\n\r\n")[2]) < 5_000_000


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 3000000", b"Transfer-Encoding: chunked"], ids=["length", "chunked"]
)
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
async def test_a_body_that_breaks_off_is_never_whole_to_the_cluster(wired: Wired, framing: bytes, reset: bool):
    _, writer = await asyncio.open_connection("127.0.0.1", wired.port)
    piece = b"x" * 2_000_000
    sent = b"%x\r\n%b\r\n" % (len(piece), piece) if b"chunked" in framing else piece
    wired.cluster.gone = 0
    writer.write(b"POST /x HTTP/1.1\r\nHost: p\r\n" + framing + b"\r\n\r\n" + sent)
    await writer.drain()
    await asyncio.sleep(0.1)
    if reset:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
    for _ in range(100):
        if wired.cluster.gone:
            break
        await asyncio.sleep(0.02)
    assert (wired.cluster.gone, wired.cluster.broken, wired.cluster.seen) == (1, 1, [])


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_a_write_is_never_sent_twice(wired: Wired, method: str):
    """The kept connection is closed by the cluster as the request arrives: nobody can know whether it was carried out."""
    wired.cluster.answers["/ok"] = answer(b"ok")
    wired.cluster.answers["/x"] = b"X-Cut: 1"
    await wired(GET.format("/ok", "").encode())
    got = await wired(f"{method} /x HTTP/1.1\r\nHost: p\r\nConnection: close\r\nContent-Length: 1\r\n\r\na".encode())
    assert got.startswith(b"HTTP/1.1 502 ")
    assert b'"type":"upstream_exception"' in got
    assert sum(b" /x " in seen for seen in wired.cluster.seen) == 1


@pytest.mark.parametrize("value", ["a\rInjected: 1", "a\x00b", "a\n Injected: 1"])
async def test_an_answer_cannot_add_lines_to_the_head(wired: Wired, value: str):
    wired.cluster.answers["/x"] = answer(b"ok", f"X-Odd: {value}")
    got = await wired(GET.format("/x", "").encode())
    assert got.startswith((b"HTTP/1.1 502 ", b"HTTP/1.1 200 OK")), got
    head = got.partition(b"\r\n\r\n")[0]
    assert not any(line.strip().startswith(b"Injected") for line in head.replace(b"\r", b"\n").split(b"\n"))


async def test_bytes_that_are_no_text_pass_in_headers(wired: Wired):
    wired.cluster.answers["/x"] = b"HTTP/1.1 200 OK\r\nX-Odd: caf\xe9\r\nContent-Length: 2\r\n\r\nok"
    got = await wired(b"GET /x HTTP/1.1\r\nHost: p\r\nX-Mine: \xe9\xff\r\nConnection: close\r\n\r\n")
    assert b"X-Odd: caf\xe9\r\n" in got
    assert b"X-Mine: \xe9\xff" in wired.sent_on()[0]


async def test_redirects_are_the_client_s_to_follow(wired: Wired):
    wired.cluster.answers["/x"] = answer(b"", "Location: http://127.0.0.1:9/", status="302 Found")
    got = await wired(GET.format("/x", "").encode())
    assert got.startswith(b"HTTP/1.1 302 Found")
    assert b"Location: http://127.0.0.1:9/" in got


async def test_cookies_are_not_kept(wired: Wired):
    wired.cluster.answers["/x"] = answer(b"", "Set-Cookie: a=1; Path=/")
    await wired(GET.format("/x", "").encode())
    await wired(GET.format("/x", "").encode())
    assert not any(line.lower().startswith(b"cookie") for line in wired.sent_on()[0])


@pytest.mark.parametrize(
    ("target", "arrives"),
    [
        ("http://127.0.0.1:9/x?y", "/x?y"),
        ("HTTPS://127.0.0.1:9/x", "/x"),
        ("http://127.0.0.1:9", "/"),
        ("http://127.0.0.1:9?y", "/?y"),
        ("http://127.0.0.1:9//x", "//x"),
    ],
)
async def test_an_absolute_target_goes_to_the_cluster_and_nowhere_else(wired: Wired, target: str, arrives: str):
    wired.cluster.answers[arrives.partition("?")[0]] = answer(b"ok")
    got = await wired(f"GET {target} HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n".encode())
    assert got.startswith(b"HTTP/1.1 200 ")
    assert wired.sent_on()[0][0] == f"GET {arrives} HTTP/1.1".encode()


@pytest.mark.parametrize(
    ("target", "arrives"),
    [
        ("_snapshot/x", "/_snapshot/x"),
        ("i/_search?q=a", "/i/_search?q=a"),
        ("*/_refresh?a", "/*/_refresh?a"),
        ("@127.0.0.1:9/", "/@127.0.0.1:9/"),
        ("127.0.0.1:9/", "/127.0.0.1:9/"),
        ("a:b/_search", "/a:b/_search"),
        ("<logs-{now/d}>/_doc/1", "/<logs-{now/d}>/_doc/1"),
    ],
)
async def test_a_target_without_its_slash_gets_one(wired: Wired, target: str, arrives: str):
    """Java's low-level client sends such targets, and the node takes them."""
    await wired(f"DELETE {target} HTTP/1.1\r\nHost: p\r\nConnection: close\r\nContent-Length: 6\r\n\r\nGET x ".encode())
    head, body = wired.sent_on()
    assert (head[0], body) == (f"DELETE {arrives} HTTP/1.1".encode(), b"GET x ")


async def test_only_the_beginning_of_a_request_gets_a_slash(wired: Wired):
    reader, writer = await asyncio.open_connection("127.0.0.1", wired.port)
    pieces = [b"POST /x HTTP/1.1\r\nHost: p\r\nX-Odd: ", b"GET a b\r\nContent-Length: 10\r\n\r\n", b"GET x", b"GET y"]
    pieces += [b"GET z HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n"]
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.05)
    await reader.read()
    writer.close()
    first, second = wired.cluster.seen
    assert b"X-Odd: GET a b\r\n" in first
    assert first.endswith(b"\r\n\r\nGET xGET y")
    assert second.startswith(b"GET /z HTTP/1.1")


@pytest.mark.parametrize("request_", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_requests_that_could_smuggle_another_are_refused(wired: Wired, request_: bytes):
    got = await wired(request_, keep=True)
    status = int(got.split(b" ")[1])
    assert status in (400, 501, 505)
    assert got.count(b"HTTP/1.1 ") == 1
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head
    assert json.loads(body)["status"] == status
    assert not any(b"zz" in seen for seen in wired.cluster.seen)


async def test_a_client_that_does_not_go_on_is_let_go(tmp_path: Any):
    cluster = Cluster()
    server = await cluster.start()
    settings = settings_for(f"http://127.0.0.1:{cluster.port}", tmp_path, client_timeout="100ms")
    proxy = Proxy(settings)
    await proxy.start()
    try:
        wired = Wired(cluster, int(proxy.url.rpartition(":")[2]))
        got = await wired(b"POST /x HTTP/1.1\r\nHost: p\r\nContent-Length: 70000\r\n\r\nonly this")
        assert got.startswith(b"HTTP/1.1 408 ")
        assert b"timeout_exception" in got
        assert await wired(b"POST /x HTTP/1.1\r\nHost: p\r\nX: the head does not end") == b""
        assert cluster.seen == []
    finally:
        await proxy.stop()
        server.close()
