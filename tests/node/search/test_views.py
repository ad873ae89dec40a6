"""Query UDFs that leave notes in `_meta`, and result UDFs that see a response without its nesting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import native, wasm

if TYPE_CHECKING:
    from tests.conftest import Http

SYNONYMS = """
WORDS = {'sofa': ['couch', 'settee']}

def udf_main(request):
    text = request['query']['match']['t']
    words = [text, *WORDS.get(text, [])]
    request['query'] = {'bool': {'should': [{'match': {'t': word}} for word in words]}}
    request['_meta'] = {'expanded': words, 'by': 'synonyms'}
    return request
"""
AGAIN = """
def udf_main(request, params, ctx):
    ctx['seen'] = ctx['meta']['expanded'][-1]
    request['_meta'] = {'by': 'spelling'}
    return request
"""
RANK = """
# @udf: view=flat

def udf_main(results, params, ctx):
    hits = [hit for hit in results['hits'] if hit['_source']['n'] != 3]
    for hit in hits:
        hit['score'] = float(hit['_source']['n'])
        hit['_source']['noted'] = ctx['meta'] | {'seen': ctx.get('seen')}
    hits.sort(key=lambda hit: -hit['score'])
    return {'hits': hits, 'total': results['total']}
"""
RANK_JAVASCRIPT = """
function udf_main(results) {
    results.hits = results.hits.filter(hit => hit._source.n !== 3).reverse();
    results.took = -1;
    return results;
}
"""
QUERY = {"query": {"match": {"t": "sofa"}}, "sort": [{"n": "asc"}], "track_scores": True}


@pytest.fixture
async def filled(through: Http, name: str) -> str:
    """Four documents with three words for the same."""
    await through.put(f"/{name}", {"mappings": {"properties": {"t": {"type": "text"}, "n": {"type": "integer"}}}})
    for n, word in enumerate(("sofa", "couch", "settee", "chair"), 1):
        await through.put(f"/{name}/_doc/{n}", {"t": word, "n": n})
    await through.post(f"/{name}/_refresh")
    return name


async def upload(through: Http, name: str, source: str, language: str = "python", **manifest: Any) -> None:
    answer = await through.put(f"/_udf/{name}", {"language": language, "source": source, **manifest})
    assert answer.status == 201, answer.body


async def search(through: Http, name: str, body: dict[str, Any], **given: str) -> Any:
    target = "&".join(f"{kind}_pipeline={pipeline}" for kind, pipeline in given.items())
    answer = await through.post(f"/{name}/_search?{target}", body)
    assert answer.status == 200, answer.body
    return answer.json


async def test_notes_become_context_and_do_not_reach_the_cluster(through: Http, filled: str):
    await upload(through, f"{filled}-s", SYNONYMS)
    await upload(through, f"{filled}-a", AGAIN)
    await upload(through, f"{filled}-r", RANK)
    late = native("late", "filter_query", query={"range": {"n": {"lte": 9}}}) | {"if": "ctx.meta.by == 'spelling'"}
    await through.pipeline(f"{filled}-q", "query", wasm("s", f"{filled}-s"), wasm("a", f"{filled}-a"), late)
    await through.pipeline(f"{filled}-r", "result", wasm("r", f"{filled}-r"), on_failure="abort")
    plain = await search(through, filled, QUERY, query=f"{filled}-q")
    assert [hit["_id"] for hit in plain["hits"]["hits"]] == ["1", "2", "3"]
    found = await search(through, filled, QUERY, query=f"{filled}-q", result=f"{filled}-r")
    noted = {"expanded": ["sofa", "couch", "settee"], "by": "spelling", "seen": "settee"}
    shown = [(hit["_id"], hit["_score"], hit["sort"], hit["_source"]["noted"]) for hit in found["hits"]["hits"]]
    assert shown == [("2", 2.0, [2], noted), ("1", 1.0, [1], noted)]
    assert found["hits"]["total"] == plain["hits"]["total"] == {"value": 3, "relation": "eq"}
    assert found["hits"]["max_score"] == 2.0
    assert found.keys() == plain.keys()


async def test_what_the_client_writes_there_is_for_the_cluster(through: Http, filled: str):
    await upload(through, f"{filled}-a", "def udf_main(request, params, ctx):\n    return request\n")
    await through.pipeline(f"{filled}-q", "query", wasm("a", f"{filled}-a"))
    refused = await through.post(f"/{filled}/_search?query_pipeline={filled}-q", {"_meta": {"by": "a client"}})
    assert (refused.status, refused.error["type"]) == (400, "parsing_exception")


@pytest.mark.parametrize("declared", ["stage", "manifest"])
async def test_a_view_is_declared_in_the_stage_or_the_manifest(through: Http, filled: str, declared: str):
    view = {"view": "flat"}
    manifest = view if declared == "manifest" else {}
    await upload(through, f"{filled}-r", RANK_JAVASCRIPT, "javascript", **manifest)
    stage = wasm("r", f"{filled}-r")
    if declared == "stage":
        stage["config"] |= view
    await through.pipeline(f"{filled}-r", "result", stage, on_failure="abort")
    plain = await search(through, filled, {"sort": ["n"]})
    found = await search(through, filled, {"sort": ["n"]}, result=f"{filled}-r")
    assert [hit["_id"] for hit in found["hits"]["hits"]] == ["4", "2", "1"]
    assert found["took"] >= 0
    for hit in found["hits"]["hits"]:
        assert hit in plain["hits"]["hits"]


async def test_a_hit_of_its_own_fails_the_stage(through: Http, filled: str):
    await upload(through, f"{filled}-r", "def udf_main(r):\n    return {'hits': [{'_id': 'x', '_index': 'y'}]}\n")
    stage = wasm("r", f"{filled}-r")
    stage["config"]["view"] = "flat"
    await through.pipeline(f"{filled}-r", "result", stage, on_failure="abort")
    failed = await through.post(f"/{filled}/_search?result_pipeline={filled}-r", {})
    assert failed.status == 400, failed.body
    assert "is none of the response's" in failed.error["reason"]
    for kind, scope in (("query", None), ("result", "hit")):
        stage["config"]["scope"] = scope
        refused = await through.put(f"/_pipeline/{filled}-x", {"type": kind, "stages": [stage]})
        assert refused.error["field"] == "stages[0].config.view"
