"""Writes whose pipelines run on a thread before they are sent: the same answers and effects as by their handlers."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from headrace.handlers.write.write_run import WriteRun
from headrace.ops import runner
from headrace.server.connection import ClientConnection
from headrace.upstream.client import Upstream
from headrace.upstream.pool import ConnectionPool
from headrace_pipelines.registry.cost import CostEstimate
from tests.conftest import Http, native, ndjson, running_proxy, wasm
from tests.node.http.inline.pairs import SHAPE, Pair
from tests.node.http.inline.test_pipelines import BULKS, DOCUMENTS, named
from tests.node.http.inline.wire import Wire, all_free
from tests.support import wat

if TYPE_CHECKING:
    from headrace.ops.body_budget import BodyBudget
    from headrace.settings import Settings
    from headrace.upstream.pool import IdleConnection
    from headrace_pipelines.http1 import RequestHead


@pytest.fixture
def threads(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has each pipeline run on a thread; the names of those that did."""
    found: list[str] = []
    start = runner.Runner.start

    def watched(self: runner.Runner, pipeline: Any, parsed: Any, keys: list[int]) -> Any:
        found.append(pipeline.label)
        return start(self, pipeline, parsed, keys)

    monkeypatch.setattr(runner.Runner, "start", watched)
    monkeypatch.setattr(runner, "INLINE_WORK", 0)
    monkeypatch.setattr(CostEstimate, "predict", lambda _self, _nbytes: 1e12)
    return found


@pytest.mark.parametrize("how", ["attached", "pipeline", "actions"])
@pytest.mark.parametrize("body", BULKS.values(), ids=list(BULKS))
async def test_bulks(pair: Pair, name: str, through: Http, body: bytes, how: str, threads: list[str]):
    parameter = await named(pair, through, name, how)
    inline = True
    if how == "actions":
        inline = b'"delete"' not in body
        body = body.replace(b'"_index": "INDEX"', b'"_index": "INDEX", "pipeline": "%b"' % name.encode())
    threads.clear()
    for target in (f"/_bulk?{parameter}timeout=9s", f"/INDEX/_bulk?{parameter}refresh=true"):
        await pair.same("POST", target, body, {"Content-Type": "application/x-ndjson"}, inline=inline)
    assert threads == [f"{name}@1"] * 2 * (
        inline and b"{" in body.partition(b"\n")[2] and "delete" not in body.decode()[:9]
    )
    fast, slow = await pair.stored()
    assert fast == slow


@pytest.mark.parametrize("body", DOCUMENTS.values(), ids=list(DOCUMENTS))
async def test_documents(pair: Pair, name: str, through: Http, body: Any, threads: list[str]):
    await named(pair, through, name, "attached")
    threads.clear()
    for method, target in (("POST", "/INDEX/_doc"), ("PUT", "/INDEX/_doc/x?refresh=true"), ("PUT", "/INDEX/_create/y")):
        await pair.same(method, target, body)
    assert threads == [f"{name}@1"] * 3
    fast, slow = await pair.stored()
    assert fast == slow


@pytest.mark.parametrize("target", ["<{now/d}>", ".headrace-forbidden", "moved"])
async def test_a_document_that_is_sent_elsewhere_is_its_handlers(
    pair: Pair, name: str, through: Http, settings: Settings, threads: list[str], target: str
):
    there = settings.registry_index if "forbidden" in target else target.replace("moved", f"{name}-moved")
    await through.pipeline(name, "document", native("s", "set", field="_index", value=there))
    await pair.make()
    for path, body in (("/_bulk", BULKS["without ids"]), ("/INDEX/_doc", {"a": 1})):
        await pair.same("POST", f"{path}?pipeline={name}", body)
    assert len(threads) == 2
    stats = (await through.get(f"/_pipeline/{name}/_stats")).body.decode().replace(" ", "")
    assert '"current":0' in stats


async def test_statistics_count_once(pair: Pair, name: str, through: Http, threads: list[str]):
    await through.udf(f"{name}-u", wat.ECHO)
    for each in ("a", "b"):
        await through.pipeline(f"{name}-{each}", "document", *SHAPE, wasm("w", f"{name}-u"))
        await through.index(f"{name}-{each}", document=f"{name}-{each}")
    await pair.same("POST", "/_bulk", BULKS["some failed"])
    assert len(threads) == 1
    counts = [(await through.get(f"/_pipeline/{name}-{each}/_stats")).body.decode() for each in ("a", "b")]
    texts = [
        re.sub(r'"(?:[a-z0-9_]*duration_ms|last_executed|time)" ?: ?("[^"]*"|[-\d.e]+)', "", each) for each in counts
    ]
    assert texts[0].replace(f"{name}-a", "") == texts[1].replace(f"{name}-b", "")


@pytest.mark.parametrize("body", [BULKS["changed"], BULKS["some dropped"], {"level": "A"}])
async def test_without_a_connection_the_handler_sends_what_the_thread_made(
    pair: Pair, name: str, through: Http, threads: list[str], monkeypatch: pytest.MonkeyPatch, body: Any
):
    await named(pair, through, name, "attached")
    threads.clear()
    acquire, taken = Upstream.acquire, []

    def once(self: Upstream, head: RequestHead, remote: str | None) -> IdleConnection | None:
        """A connection before the thread begins, and none when it is done."""
        taken.append(head.target)
        return acquire(self, head, remote) if len(taken) == 1 else None

    monkeypatch.setattr(Upstream, "acquire", once)
    target = "/_bulk" if isinstance(body, bytes) else "/INDEX/_doc/x"
    await pair.same("POST", target, body)
    assert threads == [f"{name}@1"]
    fast, slow = await pair.stored()
    assert fast == slow


async def test_too_many_that_wait_are_refused_by_their_handler(
    pair: Pair, name: str, through: Http, threads: list[str], monkeypatch: pytest.MonkeyPatch
):
    await named(pair, through, name, "attached")
    monkeypatch.setattr(runner.Runner, "_submit", lambda *_: None)
    answer = await pair.same("POST", "/_bulk", BULKS["changed"], inline=False)
    assert answer.status == 429


async def test_a_client_that_hangs_up_ends_the_thread(
    pair: Pair, name: str, through: Http, threads: list[str], budgets: set[BodyBudget], monkeypatch: pytest.MonkeyPatch
):
    await through.udf(f"{name}-u", wat.SPINS)
    await through.pipeline(name, "document", wasm("w", f"{name}-u"))
    await pair.make(document=name)
    threads.clear()
    body = ndjson(*([{"index": {"_index": pair.fast}}, {"text": "x" * 900}] * 300))
    async with Wire(through, "/_bulk", body) as wire:
        await wire.send(wire.head + body, pause=0.1)
    assert threads == [f"{name}@1"]
    await all_free(budgets)
    async with asyncio.timeout(10):
        while '"current":0' not in (await through.get(f"/_pipeline/{name}/_stats")).body.decode().replace(" ", ""):
            await asyncio.sleep(0.05)


async def test_a_proxy_that_stops_answers_what_a_thread_works_on(
    pair: Pair, session: Any, settings: Settings, name: str, threads: list[str]
):
    async with AsyncExitStack() as stack:
        async with running_proxy(settings, session) as own:
            await own.udf(f"{name}-u", wat.ECHO)
            await own.pipeline(name, "document", wasm("w", f"{name}-u"))
            body = ndjson(*([{"index": {"_index": name}}, {"text": "x" * 900}] * 1000))
            wire = await stack.enter_async_context(Wire(own, f"/_bulk?pipeline={name}", body))
            threads.clear()
            await wire.send(wire.head + body, pause=0.001)
            coming = asyncio.ensure_future(wire.answer())
        came = await coming
    assert threads == [f"{name}@1"]
    assert came.count(b'"status":201') == 1000


@pytest.mark.parametrize("astray", [False, True])
async def test_a_bulk_keeps_its_room_in_the_hands_of_its_handler(
    pair: Pair,
    name: str,
    through: Http,
    threads: list[str],
    budgets: set[BodyBudget],
    monkeypatch: pytest.MonkeyPatch,
    astray: bool,
):
    stages = [native("s", "set", field="_index", value="<{now/d}>")] if astray else SHAPE
    await through.pipeline(name, "document", *stages)
    held: list[bool] = []
    fall_back = ClientConnection.fall_back

    def watched(self: ClientConnection) -> None:
        (budget,) = budgets
        held.append(budget.free < budget.total)
        fall_back(self)

    monkeypatch.setattr(ClientConnection, "fall_back", watched)
    if not astray:
        monkeypatch.setattr(ConnectionPool, "forward", lambda *_, **__: None)
    body = ndjson(*([{"index": {"_index": pair.fast}}, {"level": "x" * 900}] * 300))
    async with Wire(through, f"/_bulk?pipeline={name}", body) as wire:
        await wire.send(wire.head + body)
        assert (await wire.answer()).count(b'"status":201') == 300
    assert held == [True]
    assert threads == [f"{name}@1"]
    await all_free(budgets)


@pytest.mark.parametrize("where", ["adopt", "settle"])
async def test_whatever_fails_behind_a_thread_the_client_does_not_wait(
    pair: Pair,
    name: str,
    through: Http,
    threads: list[str],
    budgets: set[BodyBudget],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
):
    class PanicError(BaseException):
        """As the engine's, which is no Exception."""

    await named(pair, through, name, "attached")

    def fail(*_: Any, **__: Any) -> None:
        raise PanicError

    monkeypatch.setattr(WriteRun, where, fail)
    body = ndjson(*([{"index": {"_index": pair.fast}}, {"level": "x" * 900}] * 300))
    async with Wire(through, "/_bulk", body) as wire:
        await wire.send(wire.head + body)
        async with asyncio.timeout(10):
            assert await wire.reader.read() == b""
    await all_free(budgets)
    assert "an unexpected error in POST /_bulk" in caplog.text


async def test_a_run_whose_client_is_gone_is_counted(pair: Pair, name: str, through: Http, threads: list[str]):
    source = "def process(doc):\n    for _ in range(1000000):\n        pass\n    print('ran')\n    return doc\n"
    await through.put(f"/_udf/{name}-u", {"language": "python", "source": source, "limits": {"timeout": "2s"}})
    await through.pipeline(name, "document", {"name": "u", "type": "python", "config": {"udf_name": f"{name}-u"}})
    body = ndjson({"index": {"_index": pair.fast}}, {"a": 1})
    async with Wire(through, f"/_bulk?pipeline={name}", body) as wire:
        await wire.send(wire.head + body, pause=0.02)
    async with asyncio.timeout(10):
        while '"total_executions":1' not in (await through.get(f"/_pipeline/{name}/_stats")).body.decode().replace(
            " ", ""
        ):
            await asyncio.sleep(0.05)
    assert '"current":0' in (await through.get(f"/_pipeline/{name}/_stats")).body.decode().replace(" ", "")
