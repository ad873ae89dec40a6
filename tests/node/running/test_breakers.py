"""Breakers: a UDF that fails again and again is not called, the policy of its stage decides, and all can be seen."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from tests.conftest import Http, native, running_proxy, settings_for, wasm
from tests.support import wat

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

TRAPS = wat.field_udf(
    "(if (call $has (local.get $ctx) (i32.const 0) (i32.const 3)) (then unreachable)) (i32.const 1)",
    imports='(import "env" "has_field" (func $has (param i64 i32 i32) (result i32)))',
    data='(data (i32.const 0) "bad")',
)
"""Traps on a document with the field `bad`."""


def lines(count: int, doc: dict[str, Any]) -> list[Any]:
    return [line for n in range(count) for line in ({"index": {"_id": str(n)}}, doc)]


def kinds(answer: Any) -> list[str]:
    return [item["index"].get("error", {}).get("type", "") for item in answer.json["items"]]


async def test_a_stage_whose_udf_hangs_costs_no_more_than_its_first_calls(through: Http, name: str):
    await through.udf(f"{name}-u", wat.LOOP, limits={"timeout": "20ms"})
    await through.pipeline(f"{name}-p", "document", wasm("hangs", f"{name}-u"))
    await through.index(name, document=f"{name}-p")
    begun = time.monotonic()
    answer = await through.bulk(*lines(500, {"a": 1}), target=f"/{name}/_bulk")
    assert time.monotonic() - begun < 5
    found = kinds(answer)
    assert found.count("udf_timeout_exception") <= 45
    assert found[-1] == "udf_breaker_exception"
    assert {item["index"]["status"] for item in answer.json["items"]} == {429}
    stats = (await through.get(f"/_pipeline/{name}-p/_stats")).json
    assert stats["stage_stats"][0]["breaker"] == {"opened": 1, "open_in_workers": 1}
    metrics = (await through.get("/_proxy/metrics")).body.decode()
    series = f'headrace_stage_breaker_open{{pipeline="{name}-p",stage="hangs",type="document",version="1"}} 1.0'
    assert series in metrics


async def test_the_policy_decides_and_handlers_run(through: Http, name: str):
    await through.udf(f"{name}-u", wat.TRAP)
    passes = wasm("traps", f"{name}-u") | {"on_failure": "continue"}
    handled = wasm("handled", f"{name}-u") | {
        "on_failure": [native("note", "set", field="why", value="{{_ctx.on_failure.type}}")]
    }
    await through.pipeline(f"{name}-p", "document", passes, handled, native("last", "set", field="b", value=2))
    await through.index(name, document=f"{name}-p")
    answer = await through.bulk(*lines(100, {"a": 1}), target=f"/{name}/_bulk?refresh=true")
    assert answer.json["errors"] is False
    hits = (await through.get(f"/{name}/_search?size=100")).json["hits"]["hits"]
    assert all(hit["_source"]["b"] == 2 for hit in hits)
    assert {hit["_source"]["why"] for hit in hits} == {"udf_trap_exception", "udf_breaker_exception"}


async def test_a_few_bad_documents_stop_no_others(through: Http, name: str):
    await through.udf(f"{name}-u", TRAPS)
    await through.pipeline(f"{name}-p", "document", wasm("some", f"{name}-u"))
    await through.index(name, document=f"{name}-p")
    mixed = [line for n in range(300) for line in ({"index": {"_id": str(n)}}, {"bad": 1} if n % 5 == 0 else {"a": 1})]
    found = kinds(await through.bulk(*mixed, target=f"/{name}/_bulk"))
    assert found.count("udf_trap_exception") == 60
    assert found.count("") == 240


async def test_it_is_tried_again_after_the_pause(node: str, session: aiohttp.ClientSession, name: str, tmp_path: Path):
    settings = settings_for(node, tmp_path, breaker_failures=3, breaker_pause="300ms")
    async with running_proxy(settings, session) as http:
        await http.udf(f"{name}-u", TRAPS)
        await http.pipeline(f"{name}-p", "document", wasm("some", f"{name}-u"))
        path = f"/{name}/_doc/1?pipeline={name}-p"
        statuses = [(await http.put(path, {"bad": 1})).status for _ in range(5)]
        assert statuses == [400, 400, 400, 429, 429]
        refused = await http.put(path, {"a": 1})
        assert (refused.status, refused.error["type"]) == (429, "udf_breaker_exception")
        await asyncio.sleep(0.35)
        assert (await http.put(path, {"a": 1})).status == 201
        assert (await http.put(path, {"a": 1})).status == 200
        assert (await http.put(path, {"bad": 1})).status == 400


async def test_trial_runs_neither_open_it_nor_ask_it(through: Http, name: str):
    await through.udf(f"{name}-u", wat.TRAP)
    await through.pipeline(f"{name}-p", "document", wasm("traps", f"{name}-u"))
    docs = {"docs": [{"_source": {"a": 1}}] * 40}
    tried = (await through.post(f"/_pipeline/{name}-p/_execute", docs)).json["docs"]
    assert {each["error"]["type"] for each in tried} == {"udf_trap_exception"}
    live = await through.put(f"/{name}/_doc/1?pipeline={name}-p", {"a": 1})
    assert live.error["type"] == "udf_trap_exception"


async def test_none_never_opens(node: str, session: aiohttp.ClientSession, name: str, tmp_path: Path):
    async with running_proxy(settings_for(node, tmp_path, breaker_failures=0), session) as http:
        await http.udf(f"{name}-u", wat.TRAP)
        await http.pipeline(f"{name}-p", "document", wasm("traps", f"{name}-u"))
        await http.index(name, document=f"{name}-p")
        found = kinds(await http.bulk(*lines(100, {"a": 1}), target=f"/{name}/_bulk"))
        assert set(found) == {"udf_trap_exception"}
