"""Elasticsearch's Python clients 7, 8 and 9 through the proxy to OpenSearch, with `elasticsearch_compat`."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import Http, native, running_proxy, settings_for


@pytest.fixture
async def compatible(node: str, tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[Http]:
    async with running_proxy(settings_for(node, tmp_path, elasticsearch_compat=True), session) as http:
        yield http


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("major", [7, 8, 9])
async def test_an_application_of_elasticsearch(compatible: Http, direct: Http, name: str, major: int):
    await compatible.pipeline(name, "document", native("s", "set", field="x", value=1))
    await compatible.pipeline(f"{name}-q", "query", native("f", "filter_query", query={"range": {"n": {"gte": 2}}}))
    await compatible.index(name, document=name, query=f"{name}-q")
    module = importlib.import_module(f"elasticsearch{major}")
    helpers = importlib.import_module(f"elasticsearch{major}.helpers")

    def story() -> list[Any]:
        client = module.Elasticsearch([compatible.base])
        out: list[Any] = [client.info()["version"]["number"], client.ping()]
        typed = {"_type": "_doc"} if major == 7 else {}
        actions = [{"_index": name, "_id": str(i), "n": i, **typed} for i in range(5)]
        actions.append({"_op_type": "delete", "_index": name, "_id": "0", **typed})
        out.append(helpers.bulk(client, actions))
        client.indices.refresh(index=name)
        body: dict[str, Any] = {"query": {"match_all": {}}, "sort": ["n"]}
        found = client.search(index=name, body=body) if major == 7 else client.search(index=name, **body)
        out.append([hit["_source"] for hit in found["hits"]["hits"]])
        out.append(client.count(index=name)["count"])
        out.append(sorted(hit["_id"] for hit in helpers.scan(client, index=name, size=2)))
        out.append(client.get(index=name, id="1")["_source"])
        try:
            client.get(index=name, id="none")
        except module.NotFoundError:
            out.append("missing")
        if major > 7:
            pit = client.open_point_in_time(index=name, keep_alive="1m")["id"]
            pages = client.search(pit={"id": pit, "keep_alive": "1m"}, sort=["n"], size=1)
            out.append([hit["_id"] for hit in pages["hits"]["hits"]])
            out.append(dict(client.close_point_in_time(id=pages["pit_id"])))
        client.close()
        return out

    found = await asyncio.to_thread(story)
    sources = [{"n": n, "x": 1} for n in (2, 3, 4)]
    over_pit: list[Any] = [["2"], {"succeeded": True, "num_freed": 1}] if major > 7 else []
    assert found == ["7.10.2", True, (6, []), sources, 3, ["2", "3", "4"], {"n": 1, "x": 1}, "missing", *over_pit]


async def test_media_types_come_back_as_they_were_asked_for(compatible: Http, name: str):
    vendor = "application/vnd.elasticsearch+json; compatible-with=8"
    answer = await compatible.post(f"/{name}/_doc", "{}", headers={"Content-Type": vendor, "Accept": vendor})
    assert (answer.status, answer.headers["Content-Type"]) == (201, vendor)
    assert answer.headers["X-Elastic-Product"] == "Elasticsearch"
    lines = '{"index":{"_index":"' + name + '","_type":"_doc"}}\n{"_type":"kept"}\n'
    ndjson = "application/vnd.elasticsearch+x-ndjson;compatible-with=9"
    bulk = await compatible.post("/_bulk", lines, headers={"Content-Type": ndjson, "Accept": vendor})
    assert (bulk.status, bulk.json["errors"]) == (200, False), bulk.body
    missing = await compatible.get("/_pipeline/none", headers={"Accept": vendor})
    assert (missing.status, missing.headers["X-Elastic-Product"]) == (404, "Elasticsearch")


async def test_points_in_time_of_elasticsearch_without_any_pipeline(compatible: Http, name: str):
    await compatible.index(name)
    pit = (await compatible.post(f"/{name}/_pit?keep_alive=1m")).json["id"]
    assert (await compatible.post("/_search", {"pit": {"id": pit}})).status == 200
    assert (await compatible.delete("/_pit", body={"id": pit})).json == {"succeeded": True, "num_freed": 1}
    assert (await compatible.post(f"/{name}-none/_pit?keep_alive=1m")).status == 404


async def test_without_the_setting_nothing_is_pretended(through: Http):
    answer = await through.get("/")
    assert "X-Elastic-Product" not in answer.headers
    assert answer.json["version"]["distribution"] == "opensearch"
