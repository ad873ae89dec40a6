"""Asynchronous searches. The node at hand has no such plugin: its API is faked at the network's edge, over the real node's
own answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import aiohttp
import msgspec
import pytest
from aiohttp import web
from yarl import URL

from tests.conftest import Http, native, running_proxy, settings_for
from tests.node.search.test_search import fill
from tests.node.search.test_surfaces import ASK, MASK, NOTE, ONLY_A

FORMS = ["/_plugins/_asynchronous_search?index={}", "/{}/_async_search"]


class Plugin:
    """The node with asynchronous searches in OpenSearch's and Elasticsearch's form; the first answer is never there yet."""

    def __init__(self, node: str, session: aiohttp.ClientSession) -> None:
        self.node = node
        self.session = session
        self.kept: dict[str, bytes] = {}

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, last = request.raw_path.partition("?")[0].rpartition("/")
        last = unquote(last)
        if path.endswith(("_asynchronous_search", "_async_search", "/status")):
            if last not in self.kept:
                return web.json_response({"error": {"type": "resource_not_found_exception"}, "status": 404}, status=404)
            if request.method == "DELETE":
                self.kept.pop(last)
                return web.json_response({"acknowledged": True})
            if path.endswith("/status"):
                return web.json_response({"id": last, "is_running": False})
            return self._told(last, self.kept[last])
        if last in ("_asynchronous_search", "_async_search"):
            index = request.query.get("index") or path.strip("/")
            query = "&".join(f"{key}={quote(value)}" for key, value in request.query.items() if key != "index")
            async with self._asked(request, f"/{index}/_search?{query}") as answer:
                body = await answer.read()
                if answer.status != 200:
                    return web.Response(status=answer.status, body=body, content_type="application/json")
            self.kept[id_ := f"a/b+{len(self.kept)}=="] = body
            return self._told(id_, b"null")
        async with self._asked(request, request.raw_path) as answer:
            kind = answer.headers.get("Content-Type", "application/json")
            return web.Response(status=answer.status, body=await answer.read(), headers={"Content-Type": kind})

    def _asked(self, request: web.BaseRequest, target: str) -> Any:
        kind = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        url = URL(self.node + target, encoded=True)
        return self.session.request(request.method, url, data=request.content, headers=kind)

    @staticmethod
    def _told(id_: str, response: bytes) -> web.Response:
        told = {"id": id_, "state": "SUCCEEDED", "response": msgspec.Raw(response)}
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")


@pytest.fixture
async def plugged(node: str, session: aiohttp.ClientSession, tmp_path: Path) -> AsyncIterator[Http]:
    runner = web.ServerRunner(web.Server(Plugin(node, session)))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = settings_for(f"http://127.0.0.1:{runner.addresses[0][1]}", tmp_path)
    async with running_proxy(settings, session) as http:
        yield http
    await Http(node, session).delete(f"/{settings.registry_index}")
    await runner.cleanup()


@pytest.mark.parametrize("form", FORMS)
async def test_answers_go_through_the_pipelines_of_the_beginning(plugged: Http, name: str, form: str):
    await plugged.pipeline(f"{name}-q", "query", ONLY_A, ASK, on_failure="abort")
    await plugged.pipeline(f"{name}-r", "result", MASK, NOTE, on_failure="abort")
    await fill(plugged, name, query=f"{name}-q", result=f"{name}-r")
    begun = await plugged.post(form.format(name), {"size": 10})
    assert (begun.status, begun.json["response"]) == (200, None), begun.body
    id_ = begun.json["id"]
    assert id_.startswith("hr1-")
    # A change now does not concern a search that has begun.
    await plugged.pipeline(f"{name}-r", "result", NOTE)
    base = "/_plugins/_asynchronous_search" if "_plugins" in form else "/_async_search"
    found = await plugged.get(f"{base}/{id_}")
    response = found.json["response"]
    assert [hit["_source"]["w"] for hit in response["hits"]["hits"]] == ["***"] * 5
    assert (response["note"], found.json["id"]) == ("yes", id_)
    assert found.headers["X-Pipeline"] == f"result={name}-r@1"
    if base == "/_async_search":
        assert (await plugged.get(f"/_async_search/status/{id_}")).json == {"id": id_, "is_running": False}
    assert (await plugged.delete(f"{base}/{id_}")).json == {"acknowledged": True}
    assert (await plugged.get(f"{base}/{id_}")).status == 404
    missing = await plugged.post(form.format(f"{name}-none"), {})
    assert (missing.status, missing.error["type"]) == (404, "index_not_found_exception")


async def test_an_asynchronous_search_is_no_way_around_a_final_pipeline(plugged: Http, name: str):
    await fill(plugged, name)
    begun = (await plugged.post(f"/{name}/_async_search", {})).json["id"]
    assert begun.startswith("a/b"), "without pipelines the cluster's own id is shown"
    await plugged.pipeline(name, "result", MASK)
    await plugged.put(f"/{name}/_settings", {"index.result.final_pipeline": name})
    refused = await plugged.get("/_async_search/a%2Fb+0==")
    assert (refused.status, "past this proxy" in refused.error["reason"]) == (400, True)
    forged = await plugged.get("/_async_search/hr1-AAAA")
    assert (forged.status, "was not made by this proxy" in forged.error["reason"]) == (400, True)


async def test_a_default_query_pipeline_alone_needs_no_sealed_id(plugged: Http, name: str):
    await plugged.pipeline(name, "query", native("f", "filter_query", query={"term": {"t": "a"}}))
    await fill(plugged, name, query=name)
    begun = await plugged.post(f"/{name}/_async_search?q=n:%3E2&size=3", headers={"Content-Type": "application/json"})
    assert (begun.headers["X-Pipeline"], begun.json["id"][:3]) == (f"query={name}@1", "a/b")
    found = await plugged.get("/_async_search/a%2Fb+0==")
    assert [hit["_source"]["t"] for hit in found.json["response"]["hits"]["hits"]] == ["a", "a", "a"]
