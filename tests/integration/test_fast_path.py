"""Requests on the fast path: the same bytes there and back as by the way of all requests, whatever comes between."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from headrace.server.connection import ClientConnection
from tests.integration.ways import get, post
from tests.support.cluster import Cluster, answer

if TYPE_CHECKING:
    from collections.abc import Callable

LATE = "300ms"

SAME = {
    "search": post("/i/_search", b'{"query":{}}', b"Content-Type: application/json"),
    "bulk": post("/_bulk", b'{"delete":{"_index":"i","_id":"1"}}\n', b"Content-Type: application/x-ndjson"),
    "count": get("/i/_count?q=a%20b"),
    "document": get("/i/_doc/a%2Fb?_source=x"),
    "a wildcard": get("/logs-*,-logs-1/_search?expand_wildcards=open"),
    "write": post("/i/_doc/1", b'{"a":1}'),
    "a pipeline of the cluster": post("/i/_search?search_pipeline=x", b"{}", b"Content-Type: application/json"),
    "passed": get("/_cat/indices?v"),
    "options": b"OPTIONS / HTTP/1.1\r\nHost: p\r\n\r\n",
    "secrets": get("/i/_search", b"Authorization: Basic dTpw", b"X-Headrace-Admin-Token: t", b"TE: trailers"),
    "forwarded": get("/i/_search", b"X-Forwarded-For: 10.0.0.1", b"x-forwarded-for: 10.0.0.2", b"Accept: a/b"),
    "named": get("/i/_search", b"Connection: keep-alive, X-Hop", b"X-Hop: 1", b"X-Stays: 1"),
    "kept": get("/i/_search", b"Connection: keep-alive"),
    "no text": get("/i/_search", b"X-Name: caf\xe9", b"X-Empty:"),
    "encoded": post("/i/_search", b"\x1f\x8b\x08", b"Content-Encoding: gzip"),
    "a bare target": b"GET _cat/nodes HTTP/1.1\r\nHost: p\r\n\r\n",
    "an empty body": post("/i/_search", b""),
    "a long body": post("/i/_search", b"{" + b" " * 900_000 + b"}", b"Content-Type: application/json"),
}


@pytest.mark.parametrize("name", list(SAME))
async def test_both_ways_send_the_same(start: Callable[..., Any], name: str):
    request_, came = SAME[name], []
    for fast in (True, False):
        way = await start(fast=fast)
        path = b"/" + request_.split(b" ")[1].partition(b"?")[0].lstrip(b"/")
        way.cluster.answers[path.decode()] = answer(
            b'{"took":1}', "X-Two: 1", "X-Two: 2", "Connection: X-Inner", "X-Inner: 1", "Keep-Alive: 5", "Server: c"
        )
        client = await way.client()
        came += [(await client(request_), way.sent_on()[n:]) for n in range(3)]
        assert len(way.taken) == 3 * fast
    assert all(each == came[0] for each in came)
    assert came[0][0].endswith(b'{"took":1}')
    for ours in (b"X-Hop", b"X-Headrace", b"TE:"):
        assert ours not in came[0][1][0]
    assert b"X-Inner" not in came[0][0]
    assert len(came[0][1]) == 1


NOT_TAKEN = {
    "head": b"HEAD /_cat/none HTTP/1.1\r\nHost: p\r\n\r\n",
    "close": get("/i/_search", b"Connection: close"),
    "old": b"GET /i/_search HTTP/1.0\r\nHost: p\r\n\r\n",
    "old, kept": b"GET /i/_search HTTP/1.0\r\nHost: p\r\nConnection: keep-alive\r\n\r\n",
    "expect": post("/i/_search", b"{}", b"Expect: 100-continue"),
    "a change": post("/i/_close"),
    "a pipeline by name": post("/i/_count?search_pipeline=x"),
    "ours": get("/_udf"),
    "several searches": post("/_msearch", b"{}\n{}\n"),
}


@pytest.mark.parametrize("request_", NOT_TAKEN.values(), ids=list(NOT_TAKEN))
async def test_what_is_not_plain_goes_the_way_of_all_requests(start: Callable[..., Any], request_: bytes):
    way = await start()
    for path in ("/i/_search", "/i/_count", "/i/_close", "/_msearch", "/_cat/none"):
        way.cluster.answers[path] = answer(b"" if "none" in path else b"{}")
    client = await way.client()
    assert (await client(request_)).startswith((b"HTTP/1.1 200", b"HTTP/1.0 200", b"HTTP/1.1 100"))
    assert way.taken == []


async def test_the_registry_index_stays_out_of_reach(start: Callable[..., Any]):
    way = await start(registry_index=".headrace")
    client = await way.client()
    for target in (
        "/.headrace/_search",
        "/a,.headrace/_doc/1",
        "/.head*/_search",
        "/%2Eheadrace/_count",
        "/*race/_search?expand_wildcards=all",
        "/*/_search?expand%5Fwildcards=open,hidden",
        "/.headrac%2A/_search",
        "/a,%3C.headrace%3E/_search",
        "/%3C.head%7Bnow%7B'race'%7D%7D%3E/_doc/1",
        "/%3C%7Bnow%7B'.headrace'%7D%7D%3E/_doc/1",
    ):
        # A wildcard passes the registry by; where the cluster's names cannot be read it goes nowhere.
        refused = b"HTTP/1.1 503" if "*" in unquote(target) else b"HTTP/1.1 403"
        assert (await client(get(target))).startswith(refused), target
    assert way.taken == way.cluster.seen == []


async def test_pipelined_requests_are_answered_in_order(start: Callable[..., Any]):
    way = await start()
    for n in range(1, 9):
        way.cluster.answers[f"/i/_doc/{n}"] = answer(b"%d" % n)
    client = await way.client()
    for other, taken in (("", range(1, 9)), ("?pipeline_=x", (1, 2, 4, 5, 7, 8))):
        client.writer.write(b"".join(get(f"/i/_doc/{n}{'' if n % 3 else other}") for n in range(1, 9)))
        assert [(await client.answer())[-1:] for _ in range(8)] == [b"%d" % n for n in range(1, 9)]
        assert way.taken == [f"/i/_doc/{n}" for n in taken]
        way.taken.clear()
    chunked = b"POST /i/_doc/3 HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    client.writer.write(get("/i/_doc/1") + get("/_udf") + chunked + get("/i/_doc/2"))
    assert [(await client.answer()).partition(b"\r\n\r\n")[2] for _ in range(4)] == [
        b"1",
        b'{"total":0,"udfs":[]}',
        b"3",
        b"2",
    ]
    assert way.taken == ["/i/_doc/1", "/i/_doc/3", "/i/_doc/2"]


async def test_a_body_may_come_behind_its_head(start: Callable[..., Any]):
    way = await start()
    way.cluster.answers["/i/_search"] = answer(b"{}")
    client = await way.client()
    head, _, body = post("/i/_search", b'{"size":1}').partition(b"\r\n\r\n")
    for pieces in (
        (head + b"\r\n\r\n", body),
        (head + b"\r\n\r\n", body[:3], body[3:]),
        (head[:20], head[20:] + b"\r\n\r\n" + body),
    ):
        assert (await client(*pieces)).endswith(b"{}")
    assert way.taken == ["/i/_search"] * 3
    # One that takes longer is waited for elsewhere.
    assert (await client(head + b"\r\n\r\n", body[:3], body[3:], pause=0.15)).endswith(b"{}")
    assert (await client(head + b"\r\n\r\n", *(body[i : i + 1] for i in range(len(body))), pause=0.04)).endswith(b"{}")
    assert len(way.taken) == 3
    assert (await client(head + b"\r\n\r\n", body)).endswith(b"{}")
    assert len(way.taken) == 4
    assert [request.partition(b"\r\n\r\n")[2] for request in way.cluster.seen] == [body] * 6


async def test_a_body_that_never_comes_holds_nothing_for_long(start: Callable[..., Any]):
    way = await start(client_timeout="200ms")
    client = await way.client()
    client.writer.write(post("/i/_search", b'{"size":1}')[:-3])
    assert b"408" in (await client.answer()).split(b"\r\n")[0]
    assert await way.in_flight() == 0


LATER = {
    "in pieces": [answer(b"abcdef")[:30], answer(b"abcdef")[30:-3], b"def"],
    "head first": [answer(b"abcdef")[:-6], b"abcdef"],
    "an early hint": [b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", answer(b"abcdef")],
    "long": answer(b"a" * 300_000 + b"abcdef"),
    "longer": answer(b"a" * 3_000_000 + b"abcdef"),
    "closing": answer(b"abcdef", "Connection: close", "X-Cut: 1"),
}


@pytest.mark.parametrize("pieces", LATER.values(), ids=list(LATER))
async def test_answers_arrive_however_they_come(start: Callable[..., Any], pieces: Any):
    way = await start()
    way.cluster.answers["/i/_search"] = pieces
    client = await way.client()
    for _ in range(2):
        assert (await client(post("/i/_search"))).endswith(b"abcdef")
    assert way.taken
    assert await way.in_flight() == 0
    assert len(way.cluster.seen) == 2


async def test_answers_without_a_length(start: Callable[..., Any]):
    way = await start()
    way.cluster.answers |= {
        "/_cat/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "/_cat/none": b"HTTP/1.1 204 No Content\r\n\r\n",
        "/_cat/empty": answer(b""),
        "/_cat/until-it-closes": b"HTTP/1.1 200 OK\r\nX-Cut: 1\r\n\r\nabc",
    }
    client = await way.client()
    client.writer.write(get("/_cat/chunked"))
    async with asyncio.timeout(5):
        chunked = await client.reader.readuntil(b"0\r\n\r\n")
    assert chunked.endswith(b"3\r\nabc\r\n0\r\n\r\n")
    assert (await client(get("/_cat/none"))).startswith(b"HTTP/1.1 204")
    assert (await client(get("/_cat/empty"))).endswith(b"Content-Length: 0\r\n\r\n")
    client.writer.write(get("/_cat/until-it-closes"))
    async with asyncio.timeout(5):
        await client.reader.readuntil(b"abc")
    assert way.taken == ["/_cat/chunked", "/_cat/none", "/_cat/empty", "/_cat/until-it-closes"]


async def test_an_exchange_that_breaks_is_a_502_and_no_write_is_sent_twice(start: Callable[..., Any]):
    way = await start()
    part = answer(b"abcdef", "X-Cut: 1")[:-3]
    way.cluster.answers |= {"/_bulk": b"X-Cut: 1", "/i/_search": part, "/i/_doc/1": b"HTTP/1.1 200 OK\r\nX-Cut: 1"}
    client = await way.client()
    assert (await client(post("/_bulk", b"{}\n"))).startswith(b"HTTP/1.1 502")
    assert len(way.cluster.seen) == 1
    await way.client()
    assert (await client(post("/i/_search"))).startswith(b"HTTP/1.1 502")
    assert len(way.cluster.seen) == 1
    # What only reads is sent once more when nothing has come of its answer.
    await way.client()
    assert (await client(get("/i/_doc/1"))).startswith(b"HTTP/1.1 502")
    assert len(way.cluster.seen) == 2
    assert await way.in_flight() == 0
    way.cluster.answers["/i/_search"] = answer(b"{}")
    assert (await client(post("/i/_search"))).startswith(b"HTTP/1.1 200")


async def test_a_node_that_is_late_is_a_504(start: Callable[..., Any]):
    way = await start(upstream_timeout=LATE)
    way.cluster.pause = 1
    way.cluster.answers |= {"/i/_search": [b"", answer(b"{}")], "/_bulk": [answer(b"abcdef")[:-3], b"def"]}
    client = await way.client()
    for target in ("/i/_search", "/_bulk"):
        assert (await client(post(target))).startswith(b"HTTP/1.1 504")
        await way.client()
    assert await way.in_flight() == 0


async def test_an_answer_that_cannot_be_sent_back_is_a_502(start: Callable[..., Any]):
    way = await start()
    for odd in ("X-Odd: a\rb", "X-Odd: a\n b", "X-Odd : a", "X-Odd: \0"):
        way.cluster.answers |= {"/_bulk": answer(b"{}", odd), "/i/_search": answer(b"{}", odd)}
        for target in ("/_bulk", "/i/_search"):
            client = await way.client()
            assert (await client(post(target, b"{}\n"))).startswith(b"HTTP/1.1 502"), odd
            assert way.taken == [target]
            assert len(way.cluster.seen) == 1 + (target != "/_bulk"), "what only reads is sent once more"
    assert await way.in_flight() == 0


async def test_a_client_that_goes_takes_its_exchange_along(start: Callable[..., Any]):
    way = await start()
    way.cluster.pause = 0.5
    way.cluster.answers["/i/_search"] = [b"", answer(b"{}")]
    client = await way.client()
    gone = way.cluster.gone
    client.writer.write(post("/i/_search"))
    await asyncio.sleep(0.05)
    assert way.taken == ["/i/_search"]
    assert await way.in_flight() == 1
    client.writer.close()
    async with asyncio.timeout(5):
        while way.cluster.gone == gone:
            await asyncio.sleep(0.01)
    assert await way.in_flight() == 0


async def test_a_request_in_progress_is_answered_before_the_proxy_stops(start: Callable[..., Any]):
    way = await start()
    way.cluster.pause = 0.3
    way.cluster.answers["/i/_search"] = [b"", answer(b"{}")]
    client = await way.client()
    client.writer.write(post("/i/_search"))
    await asyncio.sleep(0.05)
    assert way.taken
    assert (await way.stop_before(client)).endswith(b"{}")


async def test_a_connection_is_closed_when_nobody_uses_it_not_before(start: Callable[..., Any]):
    way = await start(keepalive=0.2)
    way.cluster.pause = 0.5
    way.cluster.answers["/i/_search"] = [b"", answer(b"{}")]
    client = await way.client()
    assert (await client(post("/i/_search"))).endswith(b"{}")
    assert way.taken
    async with asyncio.timeout(5):
        assert await client.reader.read() == b""


async def test_requests_are_counted(start: Callable[..., Any]):
    way = await start()
    way.cluster.answers["/i/_search"] = answer(b"{}")
    client = await way.client()
    for _ in range(3):
        await client(post("/i/_search"))
    assert way.proxy._components.metrics.counts().requests["search|2xx"] == 3
    assert len(way.taken) == 3


async def test_one_connection_serves_many_requests(start: Callable[..., Any]):
    way = await start()
    way.cluster.answers["/i/_search"] = answer(b"{}")
    client = await way.client()
    for _ in range(300):
        assert (await client(post("/i/_search"))).endswith(b"{}")
    assert len(way.taken) == 300
    assert way.cluster.connections < 5


async def test_many_pipelined_requests_are_read_on(start: Callable[..., Any]):
    way = await start()
    way.cluster.answers["/i/_search"] = answer(b"{}")
    client = await way.client()
    client.writer.write(post("/i/_search") * 300)
    for _ in range(300):
        assert (await client.answer()).endswith(b"{}")
    assert len(way.taken) == len(way.cluster.seen) == 300


async def test_a_client_that_goes_while_its_request_changes_hands(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    fall_back = ClientConnection.fall_back

    def gone(self: ClientConnection) -> None:
        fall_back(self)
        self.abort()

    way = await start()
    way.cluster.answers["/i/_search"] = answer(b"a" * 300_000)[:-1]
    client = await way.client()
    monkeypatch.setattr(ClientConnection, "fall_back", gone)
    client.writer.write(post("/i/_search"))
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            assert await client.reader.read() == b""
    assert way.taken == ["/i/_search"]
    await asyncio.sleep(0.01)
    assert await way.in_flight() == 0
    # The exchange was not whole: its connection is gone.
    before = way.cluster.connections
    monkeypatch.undo()
    await way.client()
    assert way.cluster.connections == before + 1


async def test_a_client_that_does_not_read_is_not_written_to_without_end(start: Callable[..., Any]):
    way = await start()
    way.cluster.answers["/i/_search"] = answer(b"a" * 200_000)
    client = await way.client()
    client.writer.write(post("/i/_search") * 300)
    await asyncio.sleep(0.5)
    # What the sockets' buffers take, and no more: 60 MB in all.
    assert len(way.cluster.seen) < 150
    for _ in range(300):
        assert len(await client.answer()) > 200_000
    assert way.taken


async def test_nodes_take_turns(start: Callable[..., Any]):
    other = Cluster(answers={"/warm": answer(b"ok"), "/i/_search": answer(b"{}")})
    server = await other.start()
    way = await start(other=other.port)
    way.cluster.answers["/i/_search"] = answer(b"{}")
    client = await way.client()
    other.seen.clear()
    for _ in range(20):
        await client(post("/i/_search"))
    assert len(way.cluster.seen) == len(other.seen) == 10
    assert len(way.taken) >= 18
    server.close()
