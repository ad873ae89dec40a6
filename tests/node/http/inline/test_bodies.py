"""Bulks longer than what comes with a head, whose pipelines run before they are sent; and requests sent twice."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from headrace.upstream.pool import ConnectionPool
from tests.conftest import Http, native, ndjson, running_proxy
from tests.node.http.inline.pairs import SHAPE, Pair
from tests.node.http.inline.wire import Wire, all_free

if TYPE_CHECKING:
    from headrace.ops.body_budget import BodyBudget
    from headrace.settings import Settings


def long_bulk(documents: int) -> bytes:
    """About a kilobyte for each document; some are dropped, some fail."""
    lines: list[Any] = []
    for n in range(documents):
        kind = ({"level": "A"}, {"drop": 1}, {"fail": 1}, {"level": "É", "tags": [n]})[n % 4]
        lines += [{"index": {"_index": "INDEX", "_id": f"{n}"}}, {**kind, "text": "x" * 900 + "é"}]
    return ndjson(*lines)


async def ready(pair: Pair, through: Http, name: str) -> None:
    await through.pipeline(name, "document", *SHAPE)
    await pair.make(document=name)


@pytest.mark.parametrize("parameter", ["", "pipeline"])
@pytest.mark.parametrize("documents", [80, 300, 900])
async def test_long_bulks(
    pair: Pair, name: str, through: Http, budgets: set[BodyBudget], documents: int, parameter: str
):
    await through.pipeline(name, "document", *SHAPE)
    await pair.make(**({} if parameter else {"document": name}))
    query = f"?pipeline={name}" if parameter else ""
    for target in ("/_bulk", "/INDEX/_bulk"):
        await pair.same("POST", target + query, long_bulk(documents), {"Content-Type": "application/x-ndjson"})
    fast, slow = await pair.stored()
    assert fast == slow
    await all_free(budgets)


async def test_a_bulk_that_is_too_long_is_left_to_its_handler(
    pair: Pair, name: str, through: Http, budgets: set[BodyBudget]
):
    await ready(pair, through, name)
    await pair.same("POST", "/_bulk", long_bulk(1300), inline=False)
    await all_free(budgets)


@pytest.mark.parametrize("first", [0, 100, 70_000, 150_000])
async def test_a_bulk_that_arrives_slowly_goes_on_in_its_handler(
    pair: Pair, name: str, through: Http, budgets: set[BodyBudget], first: int
):
    await ready(pair, through, name)
    body = long_bulk(300).replace(b"INDEX", pair.fast.encode())
    whole = await through.post("/_bulk", body.replace(pair.fast.encode(), pair.slow.encode()))
    pair.taken.clear()
    async with Wire(through, "/_bulk", body) as wire:
        await wire.send(wire.head, body[:first], pause=0.15)
        await wire.send(body[first:])
        came = await wire.answer()
        assert pair.taken == []
        assert came.count(b'"status"') == whole.body.count(b'"status"') == 300
        # The connection serves on.
        await wire.send(wire.head + body)
        assert (await wire.answer()).count(b'"status"') == 300
        assert pair.taken == ["/_bulk"]
    fast, slow = await pair.stored()
    assert [source for _, source in fast] == [source for _, source in slow]
    await all_free(budgets)


@pytest.mark.parametrize("sent", [0, 50_000, 200_000])
async def test_a_client_that_hangs_up_leaves_no_room_behind(
    pair: Pair, name: str, through: Http, budgets: set[BodyBudget], sent: int
):
    await ready(pair, through, name)
    body = long_bulk(300).replace(b"INDEX", pair.fast.encode())
    for pause in (0.0, 0.02, 0.15):
        async with Wire(through, "/_bulk", body) as wire:
            await wire.send(wire.head, body[:sent], pause=pause)
    async with Wire(through, "/_bulk", body) as wire:
        await wire.send(wire.head + body)
    await all_free(budgets)
    assert (await through.post("/_bulk", body)).status == 200


async def test_a_bulk_waits_for_room_in_its_handler(pair: Pair, name: str, through: Http, budgets: set[BodyBudget]):
    await ready(pair, through, name)
    body = long_bulk(300).replace(b"INDEX", pair.fast.encode())
    await through.post("/_bulk", body)
    (budget,) = budgets
    assert budget.acquire_at_once(budget.total)
    pair.taken.clear()
    async with Wire(through, "/_bulk", body) as wire:
        await wire.send(wire.head + body, pause=0.2)
        assert (budget.waiting, pair.taken) == (len(body), [])
        budget.release(budget.total)
        assert (await wire.answer()).startswith(b"HTTP/1.1 200")
    await all_free(budgets)


async def test_a_proxy_that_stops_answers_a_bulk_that_is_still_arriving(
    session: Any, settings: Settings, name: str, budgets: set[BodyBudget]
):
    async with AsyncExitStack() as stack:
        async with running_proxy(settings, session) as own:
            await own.pipeline(name, "document", native("s", "set", field="a", value=1))
            body = ndjson(*([{"index": {"_index": name}}, {"text": "x" * 900}] * 300))
            wire = await stack.enter_async_context(Wire(own, f"/_bulk?pipeline={name}", body))
            await wire.send(wire.head, body[:150_000], pause=0.03)
            # The proxy that is left here stops.
            coming = asyncio.ensure_future(_rest(wire, body))
        came = await coming
    assert came.startswith(b"HTTP/1.1 200")
    assert came.count(b'"status":201') == 300


async def _rest(wire: Wire, body: bytes) -> bytes:
    await asyncio.sleep(0.05)
    await wire.send(body[150_000:])
    return await wire.answer()


@pytest.mark.parametrize("parameter", ["query_pipeline", "search_pipeline"])
async def test_a_search_that_is_sent_again_names_no_pipeline(
    pair: Pair, name: str, through: Http, monkeypatch: pytest.MonkeyPatch, parameter: str
):
    await through.pipeline(name, "query", native("o", "oversample", sample_factor=2))
    await pair.make()
    forward, cut = ConnectionPool.forward, []

    def broken(self: ConnectionPool, *arguments: Any, **more: Any) -> Any:
        pending = forward(self, *arguments, **more)
        if pending is not None and not cut:
            cut.append(1)
            pending.connection.transport.abort()
        return pending

    monkeypatch.setattr(ConnectionPool, "forward", broken)
    pair.taken.clear()
    answer = await through.post(f"/{pair.fast}/_search?{parameter}={name}", {"size": 1})
    assert (answer.status, cut, len(pair.taken)) == (200, [1], 1), answer.body
    assert answer.headers["X-Pipeline"] == f"query={name}@1"


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/INDEX/_doc/1?pipeline=NAME", {"text": "x" * 20_000}),
        ("/_bulk?pipeline=NAME", ndjson(*([{"index": {"_index": "INDEX"}}, {"drop": 1, "text": "x" * 900}] * 30))),
        ("/INDEX/_search?search_pipeline=NAME", {"query": {"match": {"text": "x" * 20_000}}}),
    ],
)
async def test_a_body_over_the_limit_is_refused(
    session: Any, settings: Settings, name: str, target: str, body: Any, budgets: set[BodyBudget]
):
    async with running_proxy(msgspec.structs.replace(settings, max_body="10kb"), session) as own:
        await own.pipeline(name, "document", *SHAPE)
        await own.pipeline(name, "query", native("o", "oversample", sample_factor=2))
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = target.replace("NAME", name).replace("INDEX", name)
        for pieces in ([text], [text[:100], text[100:]]):
            async with Wire(own, path, text.replace(b"INDEX", name.encode())) as wire:
                await wire.send(wire.head.replace(b"x-ndjson", b"json"), *pieces, pause=0.02)
                assert (await wire.answer()).startswith(b"HTTP/1.1 413"), target
        stats = (await own.get(f"/_pipeline/{name}/_stats")).body.decode().replace(" ", "")
        assert '"total_executions":1' not in stats
