"""Quotas hold over all workers, for what passes and for what pipelines run on."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.conftest import NDJSON, Answer, Http, ndjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def as_user(name: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:pw'.encode()).decode()}"}


@pytest.fixture
async def limited(serve: Callable[..., Any], tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    async def start(quotas: str, **options: str) -> Http:
        (tmp_path / "quotas.yaml").write_text(quotas)
        process, http = serve(quotas=str(tmp_path / "quotas.yaml"), **options)
        await process.ready(http)
        workers = f"headrace_workers {options.get('workers', '1')}.0"
        while workers not in (await http.get("/_proxy/metrics")).body.decode():
            await asyncio.sleep(0.1)
        http.process = process  # type: ignore[attr-defined]
        return http

    return start


async def searches(http: Http, count: int, target: str, headers: dict[str, str] | None = None) -> Counter[int]:
    """Statuses of searches, each on a connection of its own: any worker may get it."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        each = Http(http.base, session, headers or {})
        answers = await asyncio.gather(*(each.get(target) for _ in range(count)))
    return Counter(answer.status for answer in answers)


async def test_a_rate_of_searches_holds_over_workers_by_user(limited: Callable[..., Any], direct: Http, name: str):
    await direct.put(f"/{name}", {})
    http = await limited("quotas: [{name: people, per: user, searches_per_second: 0.1, burst: 100s}]", workers="2")
    ann = await searches(http, 15, f"/{name}/_search", as_user("ann"))
    assert ann == {200: 10, 429: 5}
    assert await searches(http, 3, f"/{name}/_search", as_user("bob")) == {200: 3}
    refused: Answer = await http.get(f"/{name}/_search", headers=as_user("ann"))
    assert refused.status == 429
    assert 5 <= int(refused.headers["Retry-After"]) <= 11
    error = refused.json["error"]
    assert error["type"] == "rejected_execution_exception"
    assert "quota [people] of user [ann] is used up: 0.1 searches a second" in error["reason"]
    shown = (await http.get("/_proxy/quotas")).json
    assert shown["workers"] == 2
    assert shown["quotas"][0]["refused"] == {"searches_per_second": 6}
    assert [(key["key"], key["refused"]) for key in shown["quotas"][0]["keys"]] == [("ann", 6)]
    metrics = (await http.get("/_proxy/metrics")).body.decode()
    assert 'headrace_quota_refusals_total{limit="searches_per_second",quota="people"} 6.0' in metrics


async def test_each_search_of_an_msearch_counts(limited: Callable[..., Any], direct: Http, name: str):
    await direct.put(f"/{name}-a", {})
    await direct.put(f"/{name}-b", {})
    rule = f"quotas: [{{name: a, match: {{indexes: ['{name}-a']}}, searches_per_second: 0.01, burst: 300s}}]"
    http = await limited(rule)
    lines = [{"index": f"{name}-a"}, {}, {"index": f"{name}-b"}, {}, {"index": f"{name}-*"}, {}]
    first = await http.post("/_msearch", ndjson(*lines), headers=NDJSON)
    assert first.status == 200
    assert len(first.json["responses"]) == 3
    assert (await http.get(f"/{name}-b/_search")).status == 200
    assert [(await http.get(f"/{name}*/_search")).status for _ in range(3)] == [200, 429, 429]
    await direct.post("/_aliases", {"actions": [{"add": {"index": f"{name}-a", "alias": f"{name}-other"}}]})
    await asyncio.sleep(1.1)
    assert (await http.get(f"/{name}-other/_search")).status == 429, "an alias does not pass it by"
    assert (await http.get(f"/{name}-b/_count")).status == 200


async def test_documents_of_a_bulk_count_whatever_it_passes(limited: Callable[..., Any], direct: Http, name: str):
    rule = "quotas: [{name: ingest, per: 'header:X-Tenant', documents_per_second: 0.01, burst: 300s}]"
    http = await limited(rule)
    three = [part for n in range(3) for part in ({"index": {"_index": name, "_id": str(n)}}, {"n": n})]
    tenant = {"X-Tenant": "a"}
    first = await http.post("/_bulk", ndjson(*three), headers={**NDJSON, **tenant})
    assert first.json["errors"] is False
    refused = await http.post("/_bulk", ndjson(*three), headers={**NDJSON, **tenant})
    assert refused.status == 429
    assert (await http.put(f"/{name}/_doc/9", {}, headers=tenant)).status == 429
    assert (await http.post(f"/{name}/_update/0", {"doc": {}}, headers=tenant)).status == 429
    assert (await http.put(f"/{name}/_doc/9", {}, headers={"X-Tenant": "b"})).status == 201
    assert (await http.get(f"/{name}/_search", headers=tenant)).status == 200
    streamed = await http.post("/_bulk/stream", ndjson(*three), headers={**NDJSON, **tenant})
    assert streamed.status == 400
    assert "use _bulk" in streamed.json["error"]["reason"]


async def test_items_over_a_quota_by_index_are_429_and_the_others_are_written(
    limited: Callable[..., Any], direct: Http, name: str
):
    rule = f"""
quotas:
- {{name: small, match: {{indexes: ['{name}-a*']}}, per: index, documents_per_second: 0.01, burst: 200s}}
"""
    http = await limited(rule)
    to = lambda index, n: [{"index": {"_index": f"{name}-{index}", "_id": str(n)}}, {"n": n}]  # noqa: E731
    assert (await http.bulk(*to("a1", 1), *to("a1", 2), *to("a2", 1), *to("b", 1))).json["errors"] is False
    answer = (await http.bulk(*to("a1", 3), *to("a2", 2), *to("b", 2))).json
    statuses = [item["index"]["status"] for item in answer["items"]]
    assert statuses == [429, 201, 201]
    assert answer["errors"] is True
    assert "of index [" in answer["items"][0]["index"]["error"]["reason"]
    assert (await direct.get(f"/{name}-a1/_doc/3")).status == 404
    for index in ("a1", "a2", "b"):
        await direct.delete(f"/{name}-{index}")


async def test_a_write_by_query_is_held_to_the_rate(limited: Callable[..., Any], direct: Http, name: str):
    http = await limited("quotas: [{name: w, documents_per_second: 50, burst: 1s}]")
    await direct.bulk(*[part for n in range(40) for part in ({"index": {"_index": name}}, {"n": n})])
    for target, body in (
        (f"/{name}/_update_by_query?scroll_size=10", {}),
        (f"/{name}/_update_by_query?scroll_size=10&requests_per_second=-1", {}),
        (
            "/_reindex?requests_per_second=100000",
            {"source": {"index": name, "size": 10}, "dest": {"index": f"{name}2"}},
        ),
    ):
        answer = (await http.post(target, body)).json
        assert answer["requests_per_second"] == 50.0, target
    await direct.delete(f"/{name}2")


async def test_requests_at_once_are_bounded_and_end(limited: Callable[..., Any], direct: Http, name: str):
    http = await limited("quotas: [{name: slots, concurrent_requests: 2, match: {operations: [search]}}]", workers="2")
    slow = {
        "query": {
            "script_score": {
                "query": {"match_all": {}},
                "script": {"source": "double a=0; for (int i=0;i<400000;i++) {a+=Math.sqrt(i)} return a;"},
            }
        }
    }
    await direct.bulk(*[part for n in range(5) for part in ({"index": {"_index": name}}, {"n": n})])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        each = Http(http.base, session)
        answers = await asyncio.gather(*(each.post(f"/{name}/_search", slow) for _ in range(8)))
    statuses = Counter(answer.status for answer in answers)
    assert statuses[429] >= 1, answers
    assert statuses[429] + statuses[200] == 8
    for _ in range(20):
        assert (await http.get(f"/{name}/_search?size=0")).status == 200, "none is left in progress"


async def test_a_reload_adopts_other_quotas_or_none(
    limited: Callable[..., Any], direct: Http, name: str, tmp_path: Path
):
    http = await limited("quotas: [{name: a, searches_per_second: 1000}]")
    await direct.put(f"/{name}", {})
    (tmp_path / "quotas.yaml").write_text("quotas: [{name: a}]")
    refused = await http.post("/_proxy/reload")
    assert refused.status == 400
    assert "has no limit" in refused.json["error"]["reason"]
    (tmp_path / "quotas.yaml").write_text("quotas: [{name: a, searches_per_second: 0.01}]")
    assert "quotas" in (await http.post("/_proxy/reload")).json["changed"]
    assert [(await http.get(f"/{name}/_search")).status for _ in range(3)] == [200, 429, 429]
    assert (await http.get("/_proxy/health/live")).status == 200


async def test_the_rate_is_reached_and_not_passed(limited: Callable[..., Any], direct: Http, name: str):
    http = await limited("quotas: [{name: a, searches_per_second: 100, burst: 100ms}]", workers="2")
    await direct.put(f"/{name}", {})
    begun = time.monotonic()
    statuses: Counter[int] = Counter()
    while time.monotonic() - begun < 3:
        statuses += await searches(http, 8, f"/{name}/_search?size=0")
    seconds = time.monotonic() - begun
    assert statuses[200] <= 10 + 100 * seconds + 1
    assert statuses[200] >= 30, "a busy host sends fewer, and a tenth is enough to tell it from a full stop"
