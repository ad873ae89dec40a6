"""Shadows of query and result pipelines: queries, hits, and searches that are sent in both forms."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.conftest import Http, native
from tests.node.rollouts.shadows import begin, rollout, settled, two_versions


async def filled(http: Http, name: str, **pipelines: str) -> None:
    await http.index(name, **pipelines)
    lines: list[Any] = []
    for n in range(12):
        lines += [{"index": {"_index": name, "_id": str(n)}}, {"n": n, "t": f"t{n % 3}"}]
    await http.bulk(*lines)


def below(limit: int) -> dict[str, Any]:
    return native("filter", "filter_query", query={"range": {"n": {"lt": limit}}})


async def searches(http: Http, name: str, kind: str, count: int) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (found := (await rollout(http, name, kind))["shadow"])["searches"]["n"] < count:
            await asyncio.sleep(0.05)
    return found


async def test_searches_are_sent_in_both_forms_and_their_hits_compared(through: Http, name: str):
    await two_versions(through, name, "query", [below(10)], [below(5)])
    await filled(through, name, query=name)
    await begin(through, name, "query", execute=1.0)
    body = {"query": {"match_all": {}}, "sort": ["n"]}
    for n in range(4):
        answer = await through.post(f"/{name}/_search?filter_path=hits.total", body)
        assert answer.json == {"hits": {"total": {"value": 10, "relation": "eq"}}}
        found = await searches(through, name, "query", n + 1)
    assert (found["different"], found["same"]) == (4, 0)
    assert found["paths"] == [{"path": "query.bool.filter[].range.n.lt", "kind": "changed", "count": 4}]
    told = found["searches"]
    assert (told["n"], told["failed"], told["missed"]) == (4, 0, 0)
    assert (told["overlap@10"], told["same_total"], told["total"]) == (0.5, 0.0, {"stable": 10.0, "candidate": 5.0})
    assert 0.5 < told["rbo"] < 1
    # A scroll and a point in time hold memory of the cluster: they are not sent again.
    await through.post(f"/{name}/_search?scroll=10s", body)
    found = await settled(through, name, 5, "query")
    await asyncio.sleep(0.3)
    assert (await rollout(through, name, "query"))["shadow"]["searches"]["n"] == 4


async def test_a_search_that_is_sent_again_obeys_final_pipelines(through: Http, name: str):
    await two_versions(through, name, "query", [below(10)], [native("n", "oversample", sample_factor=2)])
    await through.pipeline(f"{name}-f", "query", below(3))
    await filled(through, name, query=name)
    await through.put(f"/{name}/_settings", {"index.query.final_pipeline": f"{name}-f"})
    await begin(through, name, "query", execute=1.0)
    answer = await through.post(f"/{name}/_search", {"sort": ["n"]})
    assert answer.json["hits"]["total"]["value"] == 3
    told = (await searches(through, name, "query", 1))["searches"]
    assert (told["total"], told["overlap@10"]) == ({"stable": 3.0, "candidate": 3.0}, 1.0)


async def test_results_are_compared_by_hits_and_their_order(through: Http, name: str):
    stable = [native("m", "mask", fields=["t"])]
    await two_versions(through, name, "result", stable, [native("r", "rename_field", field="t", target_field="u")])
    await filled(through, name, result=name)
    await begin(through, name, "result")
    for _ in range(3):
        await through.post(f"/{name}/_search", {"sort": ["n"]})
    found = await settled(through, name, 3, "result")
    assert found["different"] == 3
    assert {each["path"] for each in found["paths"]} <= {"hits.hits[]._source.t", "hits.hits[]._source.u"}
    assert found["searches"]["n"] == 0
