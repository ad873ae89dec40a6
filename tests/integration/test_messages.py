"""One message after the other on a connection: each is its own, however it comes and whatever came before."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from headrace.handlers.bypass import BypassDecisions
from headrace.server.fast_path import BypassRoute
from tests.integration.ways import get, post
from tests.support.cluster import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.ways import Client, Way

SEARCH = "/i/_search"


async def ready(start: Callable[..., Any], **settings: Any) -> tuple[Way, Client]:
    """A proxy and a client of it that has searched before."""
    way = await start(**settings)
    way.cluster.answers[SEARCH] = answer(b"{}")
    client = await way.client()
    await client(post(SEARCH))
    assert way.taken == [SEARCH]
    way.cluster.seen.clear()
    way.taken.clear()
    return way, client


async def test_bodies_of_other_lengths(start: Callable[..., Any]):
    way, client = await ready(start)
    lengths = (1, 9, 10, 4_000, 60_000, 2)
    for length in lengths:
        way.cluster.answers[SEARCH] = answer(b"a" * length)
        assert (await client(post(SEARCH, b"q" * length))).partition(b"\r\n\r\n")[2] == b"a" * length
    assert [request.partition(b"\r\n\r\n")[2] for request in way.cluster.seen] == [b"q" * n for n in lengths]
    assert all(b"\r\nContent-Length: %d\r\n" % n in r for n, r in zip(lengths, way.cluster.seen, strict=True))


async def test_an_answer_without_a_body(start: Callable[..., Any]):
    way, client = await ready(start)
    for _ in range(2):
        way.cluster.answers[SEARCH] = answer(b"")
        assert (await client(post(SEARCH))).endswith(b"Content-Length: 0\r\n\r\n")


async def test_statuses_and_headers_of_answers_are_their_own(start: Callable[..., Any]):
    way, client = await ready(start)
    others = [answer(b"{}", status="429 Too Many"), answer(b"[]", "X-A: 1"), answer(b"{}", "X-A: 2"), answer(b"..")]
    for _ in range(2):
        for each in others:
            way.cluster.answers[SEARCH] = each
            came = await client(post(SEARCH))
            assert sorted(came.split(b"\r\n")) == sorted(each.split(b"\r\n"))
    counts = way.proxy._components.metrics.counts().requests
    assert (counts["search|2xx"], counts["search|4xx"]) == (7, 2)


async def test_an_answer_has_nothing_of_another_clients(start: Callable[..., Any]):
    way, client = await ready(start)
    other = await way.client()
    await client(post(SEARCH, b"{}", b"Authorization: Basic bWU6"))
    await other(post(SEARCH))
    await other(post(SEARCH))
    await client(post(SEARCH))
    await client(post(SEARCH, b"{}", b"Authorization: Basic bWU6"))
    assert [b"Authorization" in request for request in way.cluster.seen] == [True, False, False, False, True]


async def test_a_body_that_names_a_pipeline_is_for_its_handler(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    # As where there are pipelines of other indexes.
    monkeypatch.setattr(BypassDecisions, "decide", lambda *_: BypassRoute("search", None, True, (b"search_pipeline",)))
    way, client = await ready(start)
    assert (await client(post(SEARCH, b'{"search_pipeline":"none"}'))).endswith(b"{}")
    assert way.taken == []
    await client(post(SEARCH))


async def test_what_waits_may_come_in_pieces(start: Callable[..., Any]):
    way, client = await ready(start)
    way.cluster.pause = 0.1
    way.cluster.answers |= {SEARCH: [b"", answer(b"{}")], "/i/_doc/1": answer(b"1")}
    client.writer.write(post(SEARCH))
    await asyncio.sleep(0.03)
    client.writer.write(get("/i/_doc/1")[:9])
    await asyncio.sleep(0.03)
    client.writer.write(get("/i/_doc/1")[9:] + post(SEARCH, b"[]"))
    assert [(await client.answer())[-1:] for _ in range(3)] == [b"}", b"1", b"}"]
    assert [request[-2:] for request in way.cluster.seen] == [b"{}", b"\r\n", b"[]"]


async def test_one_waits_for_a_request_that_its_handler_has(start: Callable[..., Any]):
    way, client = await ready(start)
    way.cluster.pause = 0.1
    way.cluster.answers |= {"/i/_close": [b"", answer(b"1")]}
    # There are connections for both.
    await asyncio.gather(client(post("/i/_close")), (await way.client())(post("/i/_close")))
    client.writer.write(post("/i/_close"))
    await asyncio.sleep(0.03)
    client.writer.write(post(SEARCH))
    assert [(await client.answer())[-1:] for _ in range(2)] == [b"1", b"}"]
    assert way.taken == [SEARCH]


async def test_several_come_at_once(start: Callable[..., Any]):
    way, client = await ready(start)
    client.writer.write(post(SEARCH, b"1") + post(SEARCH, b"2") + post(SEARCH, b"3")[:-1])
    await asyncio.sleep(0.02)
    client.writer.write(b"3")
    for _ in range(3):
        assert (await client.answer()).endswith(b"{}")
    assert [request[-1:] for request in way.cluster.seen] == [b"1", b"2", b"3"]


LATER = {
    "in pieces": [answer(b"abcdef")[:30], answer(b"abcdef")[30:-3], b"def"],
    "head first": [answer(b"abcdef")[:-6], b"abcdef"],
    "an early hint": [b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", answer(b"abcdef")],
    "long": answer(b"a" * 300_000 + b"abcdef"),
    "longer": answer(b"a" * 3_000_000 + b"abcdef"),
    "closing": answer(b"abcdef", "Connection: close", "X-Cut: 1"),
    "one in another": [answer(answer(b"abcdef"))[: -len(answer(b"abcdef"))], answer(b"abcdef")],
    "nothing": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", list(LATER))
async def test_answers_arrive_however_they_come(start: Callable[..., Any], name: str):
    way, client = await ready(start)
    usual = way.cluster.answers[SEARCH]
    for n in range(1, 4):
        way.cluster.answers[SEARCH] = LATER[name]
        came = await client(post(SEARCH))
        assert came.endswith(b"abcdef" if name != "nothing" else b"\r\n\r\n")
        assert came.count(b"HTTP/1.1") == 1 + (name == "one in another")
        assert await way.in_flight() == 0
        way.cluster.answers[SEARCH] = usual
        assert (await client(post(SEARCH, b"..."))).endswith(b"\r\n\r\n{}")
        assert len(way.cluster.seen) == 2 * n


async def test_what_waits_behind_one_whose_answer_goes_another_way(start: Callable[..., Any]):
    way, client = await ready(start)
    way.cluster.pause = 0.1
    way.cluster.answers |= {SEARCH: [b"", answer(b"a" * 300_000 + b"f")], "/i/_doc/1": answer(b"1")}
    client.writer.write(post(SEARCH, b'{"a":1}'))
    await asyncio.sleep(0.03)
    client.writer.write(get("/i/_doc/1")[:-9])
    assert (await client.answer()).endswith(b"f")
    client.writer.write(get("/i/_doc/1")[-9:])
    assert (await client.answer()).endswith(b"1")
    assert len(way.cluster.seen) == 2


async def test_an_answer_that_comes_before_the_request_has_left(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture
):
    way, client = await ready(start)
    way.cluster.early["/i/_doc"] = answer(b"[]")
    for _ in range(2):
        before = way.cluster.connections
        client.writer.write(post("/i/_doc", b" " * 60_000_000))
        assert (await client.answer()).endswith(b"[]")
        # The rest of that body has nowhere to go.
        client = await way.client()
        assert way.cluster.connections > before
        assert (await client(post(SEARCH))).endswith(b"{}")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_node_that_closes_is_not_asked_over_the_same_connection(start: Callable[..., Any]):
    way, client = await ready(start)
    way.cluster.answers[SEARCH] = answer(b"{}", "Connection: close")
    for _ in range(3):
        before = way.cluster.connections
        assert (await client(post(SEARCH))).endswith(b"{}")
        await client(get("/warm"))
        assert way.cluster.connections == before + 1


async def test_a_node_is_late_by_the_pause_it_makes(start: Callable[..., Any]):
    way, client = await ready(start, upstream_timeout="400ms")
    whole = answer(b"abcdef")
    way.cluster.answers[SEARCH] = [whole[:-4], *(whole[n : n + 1] for n in range(len(whole) - 4, len(whole)))]
    way.cluster.pause = 0.25
    assert (await client(post(SEARCH))).endswith(b"abcdef")
    way.cluster.pause = 0.6
    way.cluster.answers[SEARCH] = [whole[:-4], whole[-4:]]
    assert (await client(post(SEARCH))).startswith(b"HTTP/1.1 504")
    assert await way.in_flight() == 0


async def test_a_node_that_has_answered_is_not_late(start: Callable[..., Any]):
    way, client = await ready(start, upstream_timeout="200ms")
    before = way.cluster.connections
    for _ in range(3):
        await client(post(SEARCH))
        await asyncio.sleep(0.3)
    assert way.cluster.connections == before


@pytest.mark.parametrize(
    "sent", [answer(b"{1}") + b"HTTP/1.1 ", [answer(b"{1}")[:-2], b"1}HTTP/1.1 200"]], ids=["at once", "in pieces"]
)
async def test_what_a_node_sends_behind_its_answer_ends_its_connection(start: Callable[..., Any], sent: Any):
    way, client = await ready(start)
    way.cluster.answers[SEARCH] = sent
    assert (await client(post(SEARCH))).endswith(b"\r\n\r\n{1}")
    way.cluster.answers[SEARCH] = answer(b"[]")
    before = way.cluster.connections
    assert (await client(post(SEARCH))).endswith(b"\r\n\r\n[]")
    assert way.cluster.connections == before + 1


async def test_a_long_answer_is_streamed(start: Callable[..., Any]):
    way, client = await ready(start)
    way.cluster.pause = 0.6
    whole = answer(b"a" * 2_000_000)
    way.cluster.answers[SEARCH] = [whole[:1_000_000], whole[1_000_000:]]
    client.writer.write(post(SEARCH))
    async with asyncio.timeout(0.4):
        await client.reader.readexactly(500_000)
    async with asyncio.timeout(5):
        await client.reader.readexactly(len(whole) - 500_000)


async def test_an_answer_in_chunks(start: Callable[..., Any]):
    way, client = await ready(start)
    usual = way.cluster.answers[SEARCH]
    way.cluster.answers[SEARCH] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    client.writer.write(post(SEARCH))
    async with asyncio.timeout(5):
        assert (await client.reader.readuntil(b"\r\n0\r\n\r\n")).endswith(b"3\r\nabc\r\n0\r\n\r\n")
    way.cluster.answers[SEARCH] = usual
    for _ in range(3):
        # What came behind the chunks is no header of the next answer.
        assert b"X-Trailer" not in await client(post(SEARCH))


BETWEEN = {
    "chunks": b"POST /i/_doc HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a long body": post("/i/_doc", b" " * 900_000),
    "a long body that is refused": post("/_udf/x", b" " * 900_000),
    "expectation": post("/i/_doc", b"{}", b"Expect: 100-continue"),
    "head": b"HEAD /i/_doc HTTP/1.1\r\nHost: p\r\n\r\n",
    "a write of ours": post("/_pipeline/_execute", b"{"),
    "compressed": post("/i/_doc", b"\x1f\x8b\x08", b"Content-Encoding: gzip"),
}


@pytest.mark.parametrize("name", list(BETWEEN))
async def test_whatever_goes_between(start: Callable[..., Any], name: str):
    way, client = await ready(start)
    way.cluster.answers["/i/_doc"] = answer(b"" if name == "head" else b"ok")
    for _ in range(3):
        came = await client(BETWEEN[name])
        assert came.startswith(b"HTTP/1.1 ")
        if b"connection: close" in came.lower():
            client = await way.client()
            await client(post(SEARCH))
        assert (await client(post(SEARCH, b"[1]"))).endswith(b"{}")
        assert way.cluster.seen[-1].endswith(b"\r\n\r\n[1]")


@pytest.mark.parametrize("cut", [0, 3])
async def test_a_client_that_goes(start: Callable[..., Any], cut: int):
    way, client = await ready(start)
    way.cluster.pause = 0.5
    way.cluster.answers[SEARCH] = [b"", answer(b"{}")]
    gone, whole = way.cluster.gone, post(SEARCH, b'{"a":1}')
    client.writer.write(whole[: len(whole) - cut])
    await asyncio.sleep(0.05)
    assert await way.in_flight() == (not cut)
    client.writer.close()
    async with asyncio.timeout(5):
        while not cut and way.cluster.gone == gone:
            await asyncio.sleep(0.01)
    assert await way.in_flight() == 0
    await asyncio.sleep(0.12)
    assert len(way.cluster.seen) == (not cut)


async def test_only_what_may_go_on_at_once_is_kept_for_its_body(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    way, client = await ready(start)
    client.writer.write(post(SEARCH, b" " * 100_000)[:90_000])
    await asyncio.sleep(0.05)
    # A long one is sent on as it comes.
    assert way.cluster.broken == 1
    client.writer.write(b" " * 20_000)
    way, client = await ready(start)
    monkeypatch.setattr(BypassDecisions, "decide", lambda *_: None)
    client.writer.write(post(SEARCH)[:-1])
    await asyncio.sleep(0.05)
    assert await way.in_flight() == 1


async def test_a_body_that_never_comes(start: Callable[..., Any]):
    way, client = await ready(start, client_timeout="200ms")
    client.writer.write(post(SEARCH, b'{"size":1}')[:-3])
    assert b"408" in (await client.answer()).split(b"\r\n")[0]
    assert await way.in_flight() == 0


@pytest.mark.parametrize("answers", [[b"", answer(b"abcdef")], [answer(b"a" * 300_000)[:-1], b"f"]])
async def test_one_in_progress_is_answered_before_the_proxy_stops(start: Callable[..., Any], answers: list[bytes]):
    way, client = await ready(start)
    way.cluster.pause = 0.3
    way.cluster.answers[SEARCH] = answers
    client.writer.write(post(SEARCH))
    await asyncio.sleep(0.05)
    assert (await way.stop_before(client)).endswith(b"f")


async def test_a_proxy_that_stops_does_not_wait_for_a_body(start: Callable[..., Any]):
    way, client = await ready(start)
    client.writer.write(post(SEARCH)[:-1])
    await asyncio.sleep(0.03)
    async with asyncio.timeout(3):
        await way.proxy.stop()
        assert await client.reader.read() == b""


async def test_a_connection_is_closed_when_nobody_uses_it_not_before(start: Callable[..., Any]):
    way, client = await ready(start, keepalive=0.2)
    way.cluster.pause = 0.5
    way.cluster.answers[SEARCH] = [b"", answer(b"{}")]
    assert (await client(post(SEARCH))).endswith(b"{}")
    await asyncio.sleep(0.12)
    # Its body is waited for while the time would be over.
    assert (await client(post(SEARCH)[:-2], b"{}", pause=0.09)).endswith(b"{}")
    async with asyncio.timeout(5):
        assert await client.reader.read() == b""


async def test_a_late_node_is_a_504_and_a_broken_exchange_a_502(start: Callable[..., Any]):
    way, client = await ready(start, upstream_timeout="300ms")
    way.cluster.pause = 1
    for answers, status in (([b"", answer(b"{}")], b"504"), (answer(b"abc", "X-Cut: 1")[:-1], b"502")):
        way.cluster.answers[SEARCH] = answers
        way.cluster.seen.clear()
        assert status in (await client(post(SEARCH))).split(b"\r\n")[0]
        assert len(way.cluster.seen) == 1
        assert await way.in_flight() == 0
        # That exchange's connection is gone: for the next request to go there must be one again.
        way.cluster.answers["/warm"] = answer(b"ok")
        await client(get("/warm"))
        await asyncio.sleep(0.01)


async def test_a_client_that_does_not_read_is_not_written_to_without_end(start: Callable[..., Any]):
    way, client = await ready(start)
    way.cluster.answers[SEARCH] = answer(b"a" * 200_000)
    sent = 0
    with suppress(TimeoutError):
        while True:
            client.writer.write(post(SEARCH))
            sent += 1
            async with asyncio.timeout(0.5):
                while len(way.cluster.seen) < sent:
                    await asyncio.sleep(0.001)
    # What the sockets' buffers take, and no more.
    assert 2 < sent < 150
    for _ in range(sent):
        assert len(await client.answer()) > 200_000


async def test_a_trailer_is_no_header_of_the_next_request(start: Callable[..., Any]):
    way, _ = await ready(start)
    way.cluster.answers |= {"/i/_doc": answer(b"ok"), "/i/_doc/1": answer(b"one")}
    chunked = b"POST /i/_doc HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
    for end in (b"0\r\nX-Secret: 1\r\n\r\n", b"0\r\nX-Secret: 1\r\n\r\n" + get("/i/_doc/1")):
        for cut in (0, 5, len(end) - 1):
            client = await way.client()
            client.writer.write(chunked + end[:cut])
            await asyncio.sleep(0.01)
            client.writer.write(end[cut:])
            assert (await client.answer()).endswith(b"ok")
            if not end.startswith(b"0\r\nX-Secret: 1\r\n\r\nGET"):
                client.writer.write(get("/i/_doc/1"))
            assert (await client.answer()).endswith(b"one")
            assert all(b"X-Secret" not in request for request in way.cluster.seen)
            assert len(way.cluster.seen) == 2


async def test_a_client_whose_heads_never_come_again(start: Callable[..., Any]):
    way, client = await ready(start)
    connections = way.cluster.connections
    for n in range(40):
        way.cluster.answers[SEARCH] = answer(b"{}", f"X-Opaque-Id: {n}")
        assert b"\r\nX-Opaque-Id: %d\r\n" % n in await client(post(SEARCH, b"{}", b"X-Opaque-Id: %d" % n))
        assert b"\r\nX-Opaque-Id: %d\r\n" % n in way.cluster.seen[-1]
    assert len(way.taken) == 40
    assert way.cluster.connections == connections
