"""Requests that name pipelines of the cluster pass without a handler where the registry has none of the type."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Http, native, ndjson
from tests.node.http.inline.pairs import shown

INDEX = {"index": {"_index": "INDEX"}}


@pytest.mark.parametrize("ours", ["document", "result"])
async def test_pipelines_of_the_cluster(through: Http, direct: Http, name: str, taken: list[str], ours: str):
    await direct.put(f"/_ingest/pipeline/{name}", {"processors": [{"set": {"field": "env", "value": "prod"}}]})
    rename = {"rename_field": {"field": "env", "target_field": "place"}}
    await direct.put(f"/_search/pipeline/{name}", {"response_processors": [rename]})
    stage = {"document": native("s", "set", field="b", value=1), "result": native("t", "truncate_hits", target_size=1)}
    await through.pipeline("p", ours, stage[ours])
    writes, searches = ours == "result", ours == "document"
    for inline, method, target, body in (
        (writes, "POST", f"/INDEX/_doc?pipeline={name}&refresh=true", {"a": 1}),
        (writes, "PUT", f"/INDEX/_create/x?pipeline={name}", {"a": 1}),
        (writes, "POST", f"/_bulk?pipeline={name}&refresh=true", ndjson(INDEX, {"a": 1})),
        (writes, "POST", "/INDEX/_doc?pipeline=_none", {"a": 1}),
        (writes, "POST", "/INDEX/_doc?pipeline=absent", {"a": 1}),
        (False, "POST", "/INDEX/_doc?pipeline=", {"a": 1}),
        (False, "POST", f"/INDEX/_doc?document_pipeline={name}", {"a": 1}),
        (False, "POST", f"/INDEX/_doc?pipeline={name}&document_pipeline={name}", {"a": 1}),
        (searches, "POST", f"/INDEX/_search?search_pipeline={name}", {"size": 1}),
        (searches, "POST", "/INDEX/_search?search_pipeline=_none", {"size": 1}),
        (searches, "POST", "/INDEX/_search?search_pipeline=absent", {"size": 1}),
        (False, "POST", "/INDEX/_search?search_pipeline=", {"size": 1}),
        (False, "POST", f"/INDEX/_search?query_pipeline={name}", {"size": 1}),
        (False, "POST", f"/INDEX/_count?search_pipeline={name}", None),
    ):
        taken.clear()
        answers: list[Any] = []
        for http, index in ((direct, f"{name}-node"), (through, f"{name}-passed")):
            sent = body.replace(b"INDEX", index.encode()) if isinstance(body, bytes) else body
            kind = {"Content-Type": "application/x-ndjson"} if isinstance(body, bytes) else {}
            answers.append(shown(await http(method, target.replace("INDEX", index), sent, kind), index))
        assert len(taken) == inline, target
        assert answers[0] == answers[1] or not inline, target
    found = (await direct.get(f"/{name}-passed/_search?q=env:prod")).json["hits"]["total"]["value"]
    assert found >= 2
