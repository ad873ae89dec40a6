"""Pipelines change while bulks run: no request fails, is lost, or mixes versions; no change of a writer is lost."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from headrace.app import Proxy
from headrace.protocol.indices.resolver import AGAIN_SECONDS
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
    watch_fast_path(monkeypatch, lambda _path, target: taken.append(target))
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
    for kind, concerned, expected in (
        ("document", {seen[3]}, ([plain | {"d": 2}], plain | {"d": 2}, 1)),
        ("result", set(seen), ([masked], masked, 1)),
        ("query", set(seen), ([], masked, 0)),
    ):
        setting = f"index.{kind}.{'final' if kind == 'result' else 'default'}_pipeline"
        assert (await through.put(f"/{name}/_settings", {setting: f"{name}-{kind[0]}"})).status == 200
        taken.clear()
        assert await look() == expected
        assert concerned.isdisjoint(taken)
    for kind in ("query", "result", "document"):
        setting = f"index.{kind}.{'final' if kind == 'result' else 'default'}_pipeline"
        await through.put(f"/{name}/_settings", {setting: "_none"})
        assert (await through.delete(f"/_pipeline/{name}-{kind[0]}?type={kind}")).status == 200
    assert await look() == ([plain], plain, 1)
    assert set(taken) >= set(seen)


class Passed:
    """Whether requests go by the fast path; the view of the cluster's names that it may need is made fresh before."""

    def __init__(self, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
        self.http = http
        self.taken: list[str] = []
        watch_fast_path(monkeypatch, lambda _path, target: self.taken.append(target))

    async def __call__(self, target: str, body: Any = None, *, method: str = "POST", **kw: Any) -> bool:
        for _ in range(5):
            self.taken.clear()
            for _ in range(2):
                answer = await self.http(method, target, body, **kw)
                assert answer.status in (200, 201), answer.body
            if target in self.taken:
                return True
        return False


async def test_beside_pipelines_of_other_indexes_the_rest_passes(
    through: Http, direct: Http, name: str, monkeypatch: pytest.MonkeyPatch
):
    passes = Passed(through, monkeypatch)
    free, bound, both = f"{name}-free", f"{name}-bound", f"{name}-both"
    every, document = {"query": {"match_all": {}}}, {"a": 1}
    for kind in ("document", "query", "result"):
        functions = {
            "query": native("q", "oversample", sample_factor=2),
            "result": native("r", "truncate_hits", target_size=5),
        }
        stage = functions.get(kind) or native("d", "set", field="d", value=2)
        await through.pipeline(f"{name}-{kind}", kind, stage | {"if": "true"})
    for index in (free, bound):
        await through.index(index)

    async def seen() -> set[str]:
        """The surfaces on which the free index passes."""
        requests = {
            "search": await passes(f"/{free}/_search", every),
            "count": await passes(f"/{free}/_count", every),
            "read": await passes(f"/{free}/_doc/1", method="GET"),
            "write": await passes(f"/{free}/_doc/1", document, method="PUT"),
        }
        return {surface for surface, passed in requests.items() if passed}

    await through.put(f"/{free}/_doc/1?refresh=true", document)
    await through.put(f"/{bound}/_doc/1?refresh=true", document)
    everywhere = {"search", "count", "read", "write"}
    assert await seen() == everywhere, "nothing is attached"
    for kind in ("document", "query", "result"):
        place = "final" if kind == "result" else "default"
        await through.put(f"/{bound}/_settings", {f"index.{kind}.{place}_pipeline": f"{name}-{kind}"})
    assert await seen() == everywhere
    # Another index, one among others, all that there are; a name in the request; what later pages need.
    for target, body in (
        (f"/{bound}/_search", every),
        (f"/{free},{bound}/_search", every),
        ("/_all/_search?size=0", every),
        (f"/{bound}/_count", every),
        (f"/{free}/_search", every | {"search_pipeline": "_none"}),
        (f"/{free}/_search", {"_source": ["x" * 900_000], "search_pipeline": "_none"}),
        (f"/{free}/_search?search_pipeline=_none", every),
        (f"/{free}/_search?search_pip%65line=_none", every),
        (f"/{free}/_search?result_pipeline={name}-result", every),
        (f"/{free}/_search?result_pip%65line={name}-result", every),
        (f"/{free}/_search?scroll=1m", every),
        ("/_search?size=0", every),
    ):
        assert not await passes(target, body), target
    named = quote(json.dumps(every | {"search_pipeline": f"{name}-result"}))
    target = f"/{free}/_search?source_content_type=application/json&source={named}"
    assert not await passes(target, method="GET")
    assert not await passes(f"/{bound}/_doc/1", document, method="PUT")
    assert not await passes(f"/{bound}/_doc/1", method="GET")
    squeezed = gzip.compress(json.dumps(every | {"search_pipeline": f"{name}-result"}).encode())
    assert not await passes(f"/{free}/_search", squeezed, headers={"Content-Encoding": "gzip"})
    assert not await passes(f"/{name}*/_search", every)
    assert await passes(f"/{name}*,-{bound}/_search", every)
    # An alias that the proxy did not see made is known within a second, and what it leads to concerns it.
    await direct.put(f"/{free}/_alias/{both}")
    await asyncio.sleep(AGAIN_SECONDS)
    assert await passes(f"/{both}/_search", every)
    await direct.put(f"/{bound}/_alias/{both}")
    await asyncio.sleep(1.1)
    assert not await passes(f"/{both}/_search", every)
    # And a pattern that is attached now concerns it now.
    await through.put(f"/_pipeline/_association/{name}-fr*", {"query": {"default_pipeline": f"{name}-query"}})
    assert await seen() == {"read", "write"}
    await through.delete(f"/_pipeline/_association/{name}-fr*")
    assert await seen() == everywhere
