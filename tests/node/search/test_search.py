"""Query and result pipelines on `_search`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import NDJSON, Http, native, wasm
from tests.support import wat

ONLY_A = native("tenant", "filter_query", query={"term": {"t": "a"}})
TWO = native("two", "truncate_hits", target_size=2)


@pytest.fixture
async def filled(through: Http, name: str) -> str:
    """An index of ten documents with a query and a result pipeline."""
    await through.pipeline(f"{name}-q", "query", ONLY_A, on_failure="abort")
    await through.pipeline(f"{name}-r", "result", TWO)
    await fill(through, name, query=f"{name}-q", result=f"{name}-r")
    return name


async def fill(http: Http, index: str, **pipelines: str) -> None:
    await http.index(index, **pipelines)
    await http.put(f"/{index}/_mapping", {"properties": {"t": {"type": "keyword"}}})
    lines: list[Any] = []
    for i in range(10):
        lines += [{"index": {"_index": index, "_id": str(i)}}, {"t": "ab"[i % 2], "n": i, "w": "word"}]
    assert (await http.bulk(*lines)).json["errors"] is False


def seen(answer: Any) -> tuple[int, list[str]]:
    assert answer.status == 200, answer.body
    hits = answer.json["hits"]
    return hits["total"]["value"], [hit["_id"] for hit in hits["hits"]]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("body", [None, {}, {"query": {"match_all": {}}}, {"query": {"range": {"n": {"gte": 0}}}}])
async def test_both_pipelines_run(through: Http, filled: str, method: str, body: Any):
    answer = await through(method, f"/{filled}/_search?sort=n", body)
    assert seen(answer) == (5, ["0", "2"])
    assert answer.headers["X-Pipeline"] == f"query={filled}-q@1,result={filled}-r@1"


async def test_the_url_is_folded_into_the_body(through: Http, filled: str):
    none = "&result_pipeline=_none"
    assert seen(await through.get(f"/{filled}/_search?q=n:%5B4%20TO%20*%5D&sort=n:desc&size=1{none}")) == (3, ["8"])
    answer = await through.post(
        f"/{filled}/_search?size=3&from=1&sort=n{none}", {"size": 9, "query": {"match_all": {}}}
    )
    assert seen(answer) == (5, ["2", "4", "6"])
    answer = await through.post(f"/{filled}/_search?sort=n:desc{none}", {"sort": ["t"], "size": 2})
    assert [hit["sort"] for hit in answer.json["hits"]["hits"]] == [["a", 8], ["a", 6]], "the URL's sort comes behind"
    answer = await through.get(f"/{filled}/_search?_source_includes=n&size=1&sort=n")
    assert answer.json["hits"]["hits"][0]["_source"] == {"n": 0}
    answer = await through.get(f"/{filled}/_search?_source=false&size=1&track_total_hits=2&sort=n")
    assert "_source" not in answer.json["hits"]["hits"][0]
    assert answer.json["hits"]["total"] == {"value": 2, "relation": "gte"}
    source = "%7B%22size%22%3A1%2C%22sort%22%3A%5B%22n%22%5D%7D"
    assert seen(await through.get(f"/{filled}/_search?source={source}&source_content_type=application/json")) == (
        5,
        ["0"],
    )


async def test_a_body_in_the_url_that_no_pipeline_concerns_has_a_type(through: Http, filled: str, name: str):
    """Pipelines are attached elsewhere, so that the body is read; the request has no Content-Type to send on."""
    await through.put(f"/{name}-plain", {})
    body = "source=%7B%22query%22%3A%7B%22match_all%22%3A%7B%7D%7D%7D&source_content_type=application/json"
    for call in ("_search", "_count", "_validate/query", "_msearch"):
        url = f"/{name}-plain/{call}?{body}"
        if call == "_msearch":
            url = f"/{name}-plain/_msearch?source=%7B%7D%0A%7B%22size%22%3A0%7D%0A&source_content_type=application/x-ndjson"
        answer = await through.get(url)
        assert answer.status == 200, (call, answer.body)
        assert filled


async def test_names_in_the_request(through: Http, direct: Http, filled: str):
    await through.pipeline(f"{filled}-one", "result", native("one", "truncate_hits", target_size=1))
    theirs = {"response_processors": [{"truncate_hits": {"target_size": 3}}]}
    await direct.put(f"/_search/pipeline/{filled}-theirs", theirs)
    s = f"/{filled}/_search?sort=n"
    assert len(seen(await through.get(f"{s}&search_pipeline=_none"))[1]) == 10
    assert len(seen(await through.get(f"{s}&search_pipeline={filled}-one"))[1]) == 1
    assert seen(await through.get(f"{s}&result_pipeline={filled}-one")) == (5, ["0"])
    assert seen(await through.get(f"{s}&query_pipeline=_none&result_pipeline=_none"))[0] == 10
    assert len(seen(await through.get(f"{s}&search_pipeline={filled}-theirs"))[1]) == 3
    assert len(seen(await through.post(s, {"search_pipeline": f"{filled}-one"}))[1]) == 1
    assert len(seen(await through.post(s, {"search_pipeline": theirs}))[1]) == 3
    unknown = await through.get(f"{s}&search_pipeline={filled}-nowhere")
    assert (unknown.status, unknown.error["reason"]) == (400, f"Pipeline {filled}-nowhere is not defined")
    assert (await through.get(f"{s}&query_pipeline={filled}-nowhere")).status == 400


async def test_a_query_pipeline_that_must_not_fail_fails_closed(through: Http, name: str):
    await through.pipeline(name, "query", native("no", "fail", message="no tenant"), on_failure="abort")
    await fill(through, name, query=name)
    answer = await through.get(f"/{name}/_search")
    assert (answer.status, answer.error["type"], answer.error["stage"]) == (400, "fail_processor_exception", "no")


async def test_a_default_query_pipeline_that_fails_lets_the_search_go_on_and_says_so(through: Http, name: str):
    await through.udf(name, wat.TRAP)
    await through.pipeline(name, "query", wasm("trap", name))
    await fill(through, name, query=name)
    answer = await through.get(f"/{name}/_search")
    assert seen(answer)[0] == 10
    assert answer.headers["X-Pipeline"] == f"query={name}@1;skipped=trap"


@pytest.mark.parametrize(
    "body",
    ['{"pit":{"id":"x"}}', '{"p\\u0069t":{"id":"x"}}', '/* c */ {"pit":{"id":"x"}}'],
    ids=["plain", "escaped", "comment"],
)
async def test_a_point_in_time_is_no_way_around(through: Http, filled: str, body: str):
    answer = await through.post("/_search", body)
    assert answer.status == 400, answer.body
    assert answer.error["type"] in ("illegal_argument_exception", "parse_exception")
    by_source = await through.get(f"/_search?source={quote(body)}&source_content_type=application/json")
    assert by_source.status == answer.status


async def test_a_body_that_only_the_cluster_could_read_is_no_way_around(through: Http, filled: str):
    """OpenSearch takes names without quotes; what we do not read we do not guess. Comments are read."""
    comment = '/* c */ {"source":{"index":"' + filled + '"},"dest":{"index":"' + filled + '-copy"}}'
    assert (await through.post("/_reindex", comment)).status == 200, "nothing final is attached"
    assert (await through.post("/_reindex", comment.replace('"source"', "source"))).status == 400
    assert (await through.post(f"/{filled}/_search", "{size:1}")).status == 400
    assert seen(await through.post(f"/{filled}/_search?sort=n", '/* c */ {"size":3}')) == (5, ["0", "2"])


async def test_date_math_is_no_way_around(through: Http, name: str):
    await through.pipeline(name, "query", ONLY_A, on_failure="abort")
    await through.pipeline(f"{name}-d", "document", native("s", "set", field="x", value=1))
    today = (await through.put(f"/%3C{name}-%7Bnow%2Fd%7D%3E", {})).json["index"]
    await through.delete(f"/{today}")
    await fill(through, today, query=name)
    assert seen(await through.get(f"/%3C{name}-%7Bnow%2Fd%7D%3E/_search"))[0] == 5
    assert (await through.get(f"/%3C{name}-%7Bnow%2Fd%7D%3E/_count")).json["count"] == 5
    await through.put(f"/{today}/_settings", {"index.document.default_pipeline": f"{name}-d"})
    written = await through.bulk({"index": {"_index": f"<{name}-{{now/d}}>", "_id": "z"}}, {"a": 1})
    assert written.headers["X-Pipeline"] == f"document={name}-d@1"


async def test_a_compiled_udf_rewrites_a_query_and_a_result(through: Http, name: str):
    await through.udf(f"{name}-q", wat.answering('{"size":1,"query":{"term":{"t":"b"}}}'))
    await through.udf(f"{name}-r", wat.answering('{"masked":true}'), merge=True)
    await through.pipeline(f"{name}-q", "query", wasm("q", f"{name}-q"))
    await through.pipeline(f"{name}-r", "result", wasm("r", f"{name}-r"))
    await fill(through, name, query=f"{name}-q", result=f"{name}-r")
    answer = await through.post(f"/{name}/_search", {"query": {"match_all": {}}})
    assert seen(answer)[0] == 5
    assert answer.json["masked"] is True
    assert answer.json["timed_out"] is False


async def test_filter_path_is_applied_after_the_result_pipeline(through: Http, filled: str):
    answer = await through.get(f"/{filled}/_search?filter_path=hits.hits._id&sort=n")
    assert answer.json == {"hits": {"hits": [{"_id": "0"}, {"_id": "2"}]}}


async def test_an_error_of_the_cluster_passes_as_it_is(through: Http, direct: Http, filled: str):
    body = {"query": {"no_such_query": {}}, "sort": []}
    plain = "query_pipeline=_none"
    ours = await through.post(f"/{filled}/_search?{plain}", body)
    theirs = await direct.post(f"/{filled}/_search", body)
    assert (ours.status, ours.json) == (theirs.status, theirs.json)


async def test_many_indexes(through: Http, name: str, filled: str):
    """The same pipeline everywhere: it runs. Different ones: none, and that is said. Without one: does not count."""
    await through.pipeline(f"{name}-b", "query", native("b", "filter_query", query={"term": {"t": "b"}}))
    await fill(through, f"{name}-same", query=f"{name}-q", result=f"{name}-r")
    await fill(through, f"{name}-plain")
    both = await through.get(f"/{filled},{name}-same/_search")
    assert seen(both)[0] == 10
    assert "X-Pipeline-Conflict" not in both.headers
    assert seen(await through.get(f"/{filled},{name}-plain/_search"))[0] == 10
    await through.post("/_aliases", {"actions": [{"add": {"index": f"{name}*", "alias": f"{name}-alias"}}]})
    assert seen(await through.get(f"/{name}-alias/_search"))[0] == 15
    await fill(through, f"{name}-other", query=f"{name}-b")
    mixed = await through.get(f"/{name}*/_search")
    assert seen(mixed)[0] == 40
    assert mixed.headers["X-Pipeline-Conflict"] == f"query: {name}-b, {name}-q"
    assert "299" in mixed.headers["Warning"]
    assert seen(await through.get(f"/{name}*,-{name}-other/_search"))[0] == 15


async def test_other_surfaces_pass_where_no_pipeline_is_concerned(through: Http, name: str, filled: str):
    await fill(through, f"{name}-plain")
    assert (await through.post(f"/{name}-plain/_count", {})).json["count"] == 10
    answer = await through.post("/_msearch", f'{{"index":"{name}-plain"}}\n{{}}\n', headers=NDJSON)
    assert answer.status == 200, answer.body
    assert answer.json["responses"][0]["hits"]["total"]["value"] == 10
    scroll = await through.post(f"/{name}-plain/_search?scroll=1m&size=4", {})
    page = await through.post("/_search/scroll", {"scroll": "1m", "scroll_id": scroll.json["_scroll_id"]})
    assert len(page.json["hits"]["hits"]) == 4


async def test_a_plain_update_passes(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="x", value=1))
    await through.index(name, document=name)
    await through.put(f"/{name}/_doc/1", {"a": 1})
    assert (await through.post(f"/{name}/_update/1", {"doc": {"b": 2}})).status == 200
    assert (await direct.get(f"/{name}/_doc/1")).json["_source"] == {"a": 1, "x": 1, "b": 2}
