"""`?explain_pipelines=true`: what the pipelines did, in the answer."""

from __future__ import annotations

import pytest

from tests.conftest import Http, native


@pytest.fixture
async def index(through: Http, name: str) -> str:
    fails = {**native("refuse", "fail", message="no {{a}}"), "if": "doc.b == 1"}
    drops = {**native("drop", "drop"), "if": "doc.b == 2"}
    await through.pipeline(name, "document", native("lower", "lowercase", field="a"), fails, drops)
    await through.pipeline(f"{name}-f", "document", native("final", "set", field="seen", value=True))
    await through.index(name, document=name)
    settings = {"index.document.final_pipeline": f"{name}-f"}
    assert (await through.put(f"/{name}/_settings", settings)).status == 200
    return name


async def test_single_writes_show_every_pipeline(through: Http, index: str):
    for method, target, body, changed in (
        ("PUT", f"/{index}/_doc/1?explain_pipelines=true", {"a": "A"}, "created"),
        ("POST", f"/{index}/_doc?explain_pipelines", {"a": "A"}, "created"),
        ("PUT", f"/{index}/_create/2?explain_pipelines=true&refresh=true", {"a": "A"}, "created"),
        ("POST", f"/{index}/_update/3?explain_pipelines=true", {"doc": {"a": "A"}, "doc_as_upsert": True}, "created"),
    ):
        answer = await through(method, target, body)
        assert answer.status == 201, answer.body
        assert answer.json["result"] == changed
        default, final = answer.json["_pipelines"]
        assert (default["pipeline"], default["final"], default["outcome"]) == (index, False, "changed")
        assert default["stages"][0]["patch"] == [{"op": "replace", "path": "/a", "value": "a"}]
        assert (final["pipeline"], final["final"]) == (f"{index}-f", True)
        assert final["after"] == {"a": "a", "seen": True}
        assert answer.headers["X-Pipeline"] == f"document={index}@1,document_final={index}-f@1"


async def test_failed_and_dropped_documents_are_explained_too(through: Http, index: str):
    failed = await through.put(f"/{index}/_doc/1?explain_pipelines=true", {"a": "A", "b": 1})
    assert failed.status == 400
    assert failed.json["_pipelines"][0]["outcome"] == "failed"
    dropped = await through.put(f"/{index}/_doc/1?explain_pipelines=true", {"a": "A", "b": 2})
    assert dropped.json["result"] == "noop"
    assert dropped.json["_pipelines"][0]["outcome"] == "dropped"


async def test_a_search_shows_its_query_and_the_numbers_of_hits(through: Http, name: str):
    await through.pipeline(f"{name}-q", "query", native("f", "filter_query", query={"term": {"b": 3}}))
    await through.pipeline(f"{name}-r", "result", native("m", "mask", fields=["s"]))
    await through.index(name, query=f"{name}-q", result=f"{name}-r")
    await through.put(f"/{name}/_doc/1?refresh=true", {"b": 3, "s": "hushed"})
    answer = await through.post(f"/{name}/_search?explain_pipelines=true", {"query": {"match_all": {}}})
    query, result = answer.json["_pipelines"]
    assert query["after"]["query"]["bool"]["filter"] == [{"term": {"b": 3}}]
    assert result["hits"]["changed"] == 1
    assert len(answer.json["hits"]["hits"]) == 1
    narrowed = await through.get(f"/{name}/_search?explain_pipelines=true&filter_path=_pipelines.pipeline")
    assert narrowed.json == {"_pipelines": [{"pipeline": f"{name}-q"}, {"pipeline": f"{name}-r"}]}


async def test_the_parameter_never_reaches_the_cluster(through: Http, name: str):
    plain = await through.put(f"/{name}/_doc/1?explain_pipelines=true&refresh=true", {"a": 1})
    assert (plain.status, plain.json["_pipelines"]) == (201, [])
    for target in (f"/{name}/_search?explain_pipelines=true", "/_search?explain_pipelines=true&size=0"):
        answer = await through.get(target)
        assert (answer.status, answer.json["_pipelines"]) == (200, [])
    off = await through.get(f"/{name}/_search?explain_pipelines=false")
    assert "_pipelines" not in off.json
    bulk = await through.bulk({"index": {"_index": name}}, {}, target="/_bulk?explain_pipelines=true")
    assert (bulk.status, bulk.error["field"]) == (400, "explain_pipelines")
