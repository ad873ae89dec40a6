"""Pipelines change while bulks run: no request fails, is lost, or mixes versions; no change of a writer is lost."""

from __future__ import annotations

import asyncio
import random
import uuid
from pathlib import Path
from typing import Any

import pytest

from proxy.app import Proxy
from tests.conftest import Http, native, ndjson, settings_for, watch_fast_path

NDJSON = {"Content-Type": "application/x-ndjson"}
DOCUMENTS = 60
WRITERS = 100


def stamped(version: int) -> dict[str, Any]:
    """A pipeline whose stages each stamp their version into the document."""
    stages = [native(f"s{i}", "append", field="stamps", value=version) for i in range(3)]
    return {"type": "document", "version": str(version), "stages": stages}


async def bulks(http: Http, index: str, over: asyncio.Event, seen: list[str]) -> int:
    """Bulks one after the other; gives how many documents were written, and notes the versions that answers name."""
    written = 0
    while not over.is_set():
        document = {"bulk": uuid.uuid4().hex}
        lines = [line for _ in range(DOCUMENTS) for line in ({"index": {"_index": index}}, document)]
        answer = await http.post("/_bulk", ndjson(*lines), headers=NDJSON)
        assert answer.status == 200, answer.body
        assert not answer.json["errors"], answer.body
        seen.append(answer.headers["X-Pipeline"])
        written += DOCUMENTS
    return written


async def test_a_hundred_writers_through_two_proxies_while_bulks_run(
    node: str, session: Any, direct: Http, name: str, tmp_path: Path
):
    settings = settings_for(node, tmp_path / "a")
    other = settings_for(node, tmp_path / "b", registry_index=settings.registry_index)
    proxies = [Proxy(settings), Proxy(other)]
    for proxy in proxies:
        await proxy.start()
    one, two = (Http(proxy.url, session) for proxy in proxies)
    over = asyncio.Event()
    try:
        await one.put(f"/_pipeline/{name}", stamped(0))
        await one.index(name, document=name)
        await asyncio.sleep(1.5)
        seen: list[str] = []
        running = [asyncio.create_task(bulks(http, name, over, seen)) for http in (one, two, one)]
        order = random.Random(7)

        async def writer(version: int) -> int:
            await asyncio.sleep(order.random() * 4)
            http = order.choice([one, two])
            return (await http.put(f"/_pipeline/{name}", stamped(version))).status

        statuses = await asyncio.gather(*(writer(v) for v in range(1, WRITERS + 1)))
        over.set()
        written = sum(await asyncio.gather(*running))
        assert set(statuses) <= {201, 409}, statuses
        await asyncio.sleep(1.5)
        stored = {v["version"] for v in (await two.get(f"/_pipeline/{name}/_versions")).json["versions"]}
        accepted = {str(v) for v, status in zip(range(1, WRITERS + 1), statuses, strict=True) if status == 201}
        assert stored == accepted | {"0"}, "what was acknowledged is there, what was refused is not"
        active = {(await http.get(f"/_pipeline/{name}")).json["version"] for http in (one, two)}
        assert len(active) == 1
        assert active <= stored
        assert len(set(seen)) > 3, "versions did change while bulks ran"
        await direct.post(f"/{name}/_refresh")
        found = (await direct.post(f"/{name}/_count", {})).json["count"]
        assert found == written
        page: dict[str, Any] = {"size": 1000, "sort": ["_doc"], "_source": ["stamps", "bulk"]}
        checked = 0
        by_bulk: dict[str, set[int]] = {}
        while hits := (await direct.post(f"/{name}/_search", page)).json["hits"]["hits"]:
            for hit in hits:
                stamps = hit["_source"]["stamps"]
                assert len(stamps) == 3
                assert len(set(stamps)) == 1, stamps
                by_bulk.setdefault(hit["_source"]["bulk"], set()).update(stamps)
            checked += len(hits)
            page["search_after"] = hits[-1]["sort"]
        assert checked == written
        assert all(len(versions) == 1 for versions in by_bulk.values()), "a bulk runs in one version"
    finally:
        over.set()
        for proxy in proxies:
            await proxy.stop()
        await direct.delete(f"/{settings.registry_index}")


async def test_what_passed_a_moment_ago_goes_through_a_pipeline_that_is_there_now(
    through: Http, name: str, monkeypatch: pytest.MonkeyPatch
):
    taken: list[str] = []
    watch_fast_path(monkeypatch, lambda _, target: taken.append(target))
    await through.index(name)
    seen = f"/{name}/_search", f"/{name}/_doc/1", f"/{name}/_count", f"/{name}/_doc/1?refresh=true"

    async def look() -> tuple[Any, Any, Any]:
        await through.put(seen[3], {"a": 1, "t": "x"})
        hits = (await through.post(seen[0], {"query": {"match_all": {}}})).json["hits"]["hits"]
        count = (await through.post(seen[2], {"query": {"match_all": {}}})).json["count"]
        return [hit["_source"] for hit in hits], (await through.get(seen[1])).json["_source"], count

    plain, masked = {"a": 1, "t": "x"}, {"a": 1, "hidden": "x", "d": 2}
    for _ in range(2):
        assert await look() == ([plain], plain, 1)
    assert set(taken) >= set(seen)
    taken.clear()
    await through.pipeline(f"{name}-d", "document", native("d", "set", field="d", value=2))
    await through.pipeline(f"{name}-q", "query", native("q", "filter_query", query={"term": {"a": 9}}))
    hidden = native("r", "rename_field", field="t", target_field="hidden")
    await through.pipeline(f"{name}-r", "result", hidden)
    for kind, expected in (
        ("document", ([plain | {"d": 2}], plain | {"d": 2}, 1)),
        ("result", ([masked], masked, 1)),
        ("query", ([], masked, 0)),
    ):
        setting = f"index.{kind}.{'final' if kind == 'result' else 'default'}_pipeline"
        assert (await through.put(f"/{name}/_settings", {setting: f"{name}-{kind[0]}"})).status == 200
        assert await look() == expected
    assert taken == []
    for kind in ("query", "result", "document"):
        setting = f"index.{kind}.{'final' if kind == 'result' else 'default'}_pipeline"
        await through.put(f"/{name}/_settings", {setting: "_none"})
        assert (await through.delete(f"/_pipeline/{name}-{kind[0]}?type={kind}")).status == 200
    assert await look() == ([plain], plain, 1)
    assert set(taken) >= set(seen)
