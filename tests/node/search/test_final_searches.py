"""Ways to read what a final query pipeline leaves out or a final mask hides: each is a 4xx or shows nothing of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.conftest import NDJSON, Http, native

if TYPE_CHECKING:
    pass
from tests.node.conftest import OTHERS
from tests.node.search.test_final_reads import ALL, shows


async def test_a_body_that_comes_as_a_parameter(through: Http, direct: Http, tenants: str):
    open_index = f"{tenants}-open"
    await direct.put(f"/{open_index}/_doc/probe?refresh=true", {"text": f"{OTHERS}word0 common"})
    look_up = {"query": {"terms": {"text.raw": {"index": tenants, "id": "b0", "path": "text"}}}}
    everything = json.dumps(ALL)
    docs = json.dumps({"docs": [{"_index": tenants, "_id": "b0"}, {"_index": tenants, "_id": "a0"}]})
    stored = json.dumps({"docs": [{"_index": tenants, "_id": "a0", "stored_fields": ["shadow"]}]})
    before = (await direct.get(f"/{tenants}/_count")).json["count"]
    for method, target, source in (
        ("GET", f"/{tenants}/_search", everything),
        ("GET", f"/{tenants}/_search", json.dumps({"aggs": {"g": {"global": {}, "aggs": {"t": {"top_hits": {}}}}}})),
        ("GET", f"/{open_index}/_search", json.dumps(look_up)),
        ("GET", f"/{open_index}/_count", json.dumps(look_up)),
        ("GET", f"/{open_index}/_validate/query", json.dumps(look_up)),
        ("GET", f"/{open_index}/_explain/probe", json.dumps(look_up)),
        ("GET", "/_mget", docs),
        ("GET", "/_mget", stored),
        ("GET", f"/{open_index}/_mtermvectors", docs),
        ("GET", f"/{open_index}/_termvectors", json.dumps({"_index": tenants, "_id": "b0", "fields": ["text"]})),
        ("POST", f"/{tenants}/_delete_by_query", json.dumps({"query": {"term": {"tenant": "nobody"}}})),
        ("POST", f"/{open_index}/_delete_by_query", json.dumps(look_up)),
    ):
        for kind in ("application/json", "application/yaml", None):
            more = f"&source_content_type={quote(kind, safe='')}" if kind else ""
            answer = await through(method, f"{target}?source={quote(source)}{more}")
            assert not shows(answer.body), (target, source, answer.body)
            told = answer.json if answer.status == 200 else {}
            assert not {name: told[name] for name in ("count", "deleted", "matched") if told.get(name)}, (target, told)
    await direct.post(f"/{tenants}/_refresh")
    assert (await direct.get(f"/{tenants}/_count")).json["count"] == before
    assert (await direct.get(f"/{open_index}/_doc/probe")).json["found"]


async def test_templates(through: Http, direct: Http, tenants: str):
    open_index = f"{tenants}-open"
    await direct.put(f"/{open_index}/_doc/probe?refresh=true", {"n": 7000, "text": "own"})
    look_up = {"query": {"terms": {"n": {"index": tenants, "id": "b0", "path": "n"}}}}
    for body in (look_up, {"aggs": {"g": {"global": {}, "aggs": {"t": {"terms": {"field": "text.raw"}}}}}}, ALL):
        if body is not look_up:
            await direct.delete(f"/{open_index}/_doc/probe?refresh=true")
        stored = {"script": {"lang": "mustache", "source": json.dumps(body)}}
        assert (await direct.put(f"/_scripts/{tenants}", stored)).status == 200
        for sent_body in ({"source": json.dumps(body)}, {"source": body}, {"id": tenants}):
            for index in (tenants, open_index, f"{tenants}*"):
                answer = await through.post(f"/{index}/_search/template", sent_body)
                assert not shows(answer.body), (index, sent_body, answer.body)
                lines = f'{{"index":"{index}"}}\n{json.dumps(sent_body)}\n'
                answer = await through.post("/_msearch/template", lines, headers=NDJSON)
                assert not shows(answer.body), (index, sent_body, answer.body)
    await direct.delete(f"/_scripts/{tenants}")


async def test_writes_by_query_hold_nothing_that_is_not_reviewed(through: Http, direct: Http, tenants: str):
    open_index = f"{tenants}-open"
    await direct.put(f"/{open_index}/_doc/probe?refresh=true", {"text": f"{OTHERS}word0 common"})
    query = {"terms": {"text.raw": {"index": tenants, "id": "b0", "path": "text"}}}
    script = {"type": "number", "script": "throw new Exception(doc['tenant'].value)", "order": "asc"}
    for more in (
        {"post_filter": query},
        {"rescore": {"query": {"rescore_query": query}}},
        {"sort": [{"_script": script}]},
        {"derived": {"d": {"type": "keyword", "script": "emit('x')"}}},
        {"ext": {}},
    ):
        for target in (tenants, open_index):
            for verb in ("_delete_by_query", "_update_by_query"):
                answer = await through.post(f"/{target}/{verb}", {"query": {"match_none": {}}, **more})
                assert not shows(answer.body), answer.body
                if "post_filter" in more or "rescore" in more:
                    assert answer.status == 403, answer.body
        copied = await through.post(
            "/_reindex", {"source": {"index": open_index, **more}, "dest": {"index": f"{tenants}-copy"}}
        )
        assert copied.status in (400, 403), copied.body
        assert not shows(copied.body)


async def test_a_media_type_is_what_stands_before_its_parameters(through: Http, tenants: str):
    body = b"---\nquery:\n  terms:\n    text.raw:\n      inde\\x78: x\n"
    for kind in ("application/yaml; a=json", "application/cbor;json", "application/smile; charset=json"):
        for target in (f"/{tenants}/_search", f"/{tenants}-open/_search"):
            for _ in range(2):
                answer = await through.post(target, body, headers={"Content-Type": kind})
                # Read as what its type says, and reviewed, or not to be read as that.
                assert answer.status in (400, 403), (kind, answer.status, answer.body)
                assert not shows(answer.body)


LOOKS_AT_THE_QUERY = """
def process(request):
    if request.get("query"):
        request["query"] = {"bool": {"must": [request["query"]], "filter": [{"term": {"tenant": "a"}}]}}
    return request
"""


async def test_a_final_pipeline_that_leaves_an_empty_search_alone(through: Http, direct: Http, tenants: str, name: str):
    await through.put(f"/_udf/{name}-q", {"language": "python", "source": LOOKS_AT_THE_QUERY})
    stage = {"name": "q", "type": "python", "config": {"udf_name": f"{name}-q"}}
    await through.pipeline(f"{name}-q", "query", stage)
    await through.put(f"/{tenants}/_settings", {"index.query.final_pipeline": f"{name}-q"})
    found = await through.post(f"/{tenants}/_search", {"query": {"match_all": {}}})
    assert (found.status, shows(found.body)) == (200, False)
    for body in (
        {"query": {"match_all": {}}, "aggs": {"g": {"global": {}, "aggs": {"t": {"terms": {"field": "text.raw"}}}}}},
        {"query": {"match_all": {}}, "suggest": {"s": {"prefix": "zz", "completion": {"field": "suggest"}}}},
    ):
        answer = await through.post(f"/{tenants}/_search", body)
        assert answer.status == 403, answer.body


async def test_a_final_filter_that_leaves_every_document_refuses_nothing(
    through: Http, direct: Http, tenants: str, name: str
):
    await through.pipeline(f"{name}-all", "query", native("f", "filter_query", query={"match_all": {}}))
    finals = {"index.query.final_pipeline": f"{name}-all", "index.result.final_pipeline": None}
    await through.put(f"/{tenants}/_settings", finals)
    count = {"g": {"global": {}, "aggs": {"t": {"terms": {"field": "n", "min_doc_count": 0}}}}}
    for query in ({"match": {"text": "common"}}, {"bool": {"must_not": [{"term": {"tenant": "a"}}]}}, ALL["query"]):
        for body in (
            {"query": query, "aggs": count},
            {"query": query, "suggest": {"s": {"prefix": "zz", "completion": {"field": "suggest"}}}},
        ):
            ours, theirs = [await each.post(f"/{tenants}/_search", body) for each in (through, direct)]
            assert ours.status == 200, ours.body
            assert [ours.json.get(part) for part in ("aggregations", "suggest")] == [
                theirs.json.get(part) for part in ("aggregations", "suggest")
            ]


async def test_a_mask_with_a_condition_sees_whole_documents(through: Http, direct: Http, tenants: str, name: str):
    mask = {**native("m", "mask", fields=["secret", "people.ssn"]), "if": "hit._source.tenant == 'a'"}
    await through.pipeline(f"{name}-c", "result", mask)
    await through.put(f"/{tenants}/_settings", {"index.result.final_pipeline": f"{name}-c"})
    for target in (
        "_doc/a0?_source_includes=secret",
        "_doc/a0?_source=secret",
        "_source/a0?_source_excludes=tenant",
        "_doc/a0",
        "_source/a0",
    ):
        assert not shows((await through.get(f"/{tenants}/{target}")).body), target
    several = await through.post(f"/{tenants}/_mget", {"docs": [{"_id": "a0", "_source": ["secret"]}, {"_id": "a1"}]})
    assert not shows(several.body)
    for body in ({"_source": ["secret"]}, {"_source": {"excludes": ["tenant"]}}, {}):
        answer = await through.post(f"/{tenants}/_search", body)
        assert not shows(answer.body), body


async def test_a_result_pipeline_that_a_request_names_sees_what_final_ones_leave(
    through: Http, tenants: str, name: str
):
    """It may move values to names that the mask does not know, or take away by what the mask finds its hits."""
    movers = {
        "r": [native("r", "rename_field", field="secret", target_field="opened")],
        "c": [native("c", "copy", source_field="hits.hits.0._source.secret", target_field="opened")],
        "s": [native("r", "rename_field", field="secret", target_field="opened"), native("t", "mask", fields="secret")],
        "i": [native("i", "set", field="hits.hits.0._index", value="other")],
    }
    for label, stages in movers.items():
        await through.pipeline(f"{name}-{label}", "result", *stages, on_failure="continue")
    for pipeline in (f"{name}-{label}" for label in movers):
        for target in (
            "_search?result_pipeline={p}",
            "_search?search_pipeline={p}",
            "_search?scroll=1m&result_pipeline={p}",
        ):
            answer = await through.post(f"/{tenants}/{target.format(p=pipeline)}", {"size": 1})
            assert (answer.status, shows(answer.body)) == (200, False), (pipeline, target, answer.body)
            if "scroll=" in target:
                page = await through.post("/_search/scroll", {"scroll_id": answer.json["_scroll_id"]})
                assert (page.status, shows(page.body)) == (200, False), (pipeline, page.body)
        wanted = {"search_pipeline": pipeline}
        answer = await through.post(f"/{tenants}*/_search", wanted)
        assert (answer.status, shows(answer.body)) == (200, False), (pipeline, answer.body)
        lines = f'{{"index":"{tenants}"}}\n{json.dumps(wanted)}\n'
        answer = await through.post("/_msearch", lines, headers=NDJSON)
        assert (answer.status, shows(answer.body)) == (200, False), (pipeline, answer.body)
        for target in ("_doc/a0", "_source/a0"):
            answer = await through.get(f"/{tenants}/{target}?result_pipeline={pipeline}")
            assert (answer.status, shows(answer.body)) == (200, False), (pipeline, answer.body)
        answer = await through.post(f"/{tenants}/_mget?result_pipeline={pipeline}", {"ids": ["a0", "a1"]})
        assert (answer.status, shows(answer.body)) == (200, False), (pipeline, answer.body)


async def test_what_failures_say(through: Http, direct: Http, tenants: str):
    """Functions and scripts of a query run on documents that the filter leaves out; their errors quote values."""
    await direct.put(f"/{tenants}/_doc/own?refresh=true", {"tenant": "a", "text": "own"})
    negative = {"function_score": {"min_score": 1, "field_value_factor": {"field": "n", "factor": -1}}}
    throwing = {"script": {"script": {"source": "throw new Exception(doc['text.raw'].value)"}}}
    await direct.put(f"/{tenants}/_alias/{tenants}-thrower", {"filter": throwing})
    quoted = 0
    for query in ({"bool": {"must_not": [negative]}}, {"bool": {"must_not": [throwing]}}, ALL["query"]):
        for target in (
            f"/{tenants}/_search",
            f"/{tenants}/_count",
            f"/{tenants}-thrower/_search",
            f"/{tenants}*/_count",
        ):
            quoted += shows((await direct.post(target, {"query": query})).body)
            answer = await through.post(target, {"query": query})
            assert not shows(answer.body), (target, query, answer.body)
        lines = f'{{"index":"{tenants}"}}\n{json.dumps({"query": query})}\n'
        assert not shows((await through.post("/_msearch", lines, headers=NDJSON)).body)
    assert quoted
    plain = await through.post(f"/{tenants}/_search", {"sort": ["text"]})
    assert "Text fields are not optimised" in plain.body.decode(), "what is safe is said"


async def test_pipelines_of_the_cluster_do_not_come_between(through: Http, direct: Http, tenants: str):
    rename = {"rename_field": {"field": "secret", "target_field": "opened"}}
    await direct.put(f"/_search/pipeline/{tenants}", {"response_processors": [rename]})
    await direct.put(f"/{tenants}/_settings", {"index.search.default_pipeline": tenants})
    assert "opened" in (await direct.post(f"/{tenants}/_search", ALL)).body.decode()
    for target in (f"/{tenants}/_search", f"/{tenants}-alias/_search", f"/{tenants}*/_search"):
        answer = await through.post(target, ALL)
        assert answer.status == 200
        assert not shows(answer.body)
    lines = f'{{"index":"{tenants}"}}\n{{}}\n'
    answer = await through.post("/_msearch", lines, headers=NDJSON)
    assert not shows(answer.body)
    assert answer.json["responses"][0]["hits"]["hits"]
    copies = {"processors": [{"set": {"field": "opened", "value": "{{secret}}"}}]}
    await direct.put(f"/_ingest/pipeline/{tenants}", copies)
    assert (await through.post(f"/{tenants}/_update_by_query?pipeline={tenants}")).status == 403
    await direct.put(f"/{tenants}/_settings", {"index.search.default_pipeline": None})
    await direct.delete(f"/_search/pipeline/{tenants}")
    await direct.delete(f"/_ingest/pipeline/{tenants}")


async def test_an_alias_that_moves_meanwhile(through: Http, direct: Http, tenants: str):
    """Past the proxy names are seen within a second; until then an alias finds nothing in what was not judged."""
    alias = f"{tenants}-moving"

    async def point(index: str, old: str) -> None:
        away = [{"remove": {"index": old, "alias": alias}}] if old else []
        there = {"add": {"index": index, "alias": alias, "filter": {"match_all": {}}}}
        assert (await direct.post("/_aliases", {"actions": [*away, there]})).status == 200

    await point(f"{tenants}-open", "")
    at, before = f"{tenants}-open", ""
    for _ in range(12):
        at, before = (tenants, at) if at != tenants else (f"{tenants}-open", at)
        await point(at, before)
        for _ in range(3):
            assert not shows((await through.post(f"/{alias}/_search", ALL)).body)
            for target in ("_doc/b0", "_source/b0", "_doc/a0?_source=secret"):
                answer = await through.get(f"/{alias}/{target}")
                assert not shows(answer.body), (target, answer.body)
            several = await through.post(f"/{alias}/_mget", {"ids": ["b0", "a0"]})
            assert not shows(several.body)
            terms = await through.get(f"/{alias}/_termvectors/b0?fields=text,secret")
            assert not shows(terms.body)
            explained = await through.post(f"/{alias}/_explain/b0", {"query": {"term": {"tenant": OTHERS}}})
            assert b'"matched":true' not in explained.body
            counted = await through.post(f"/{alias}/_count", {"query": {"term": {"tenant": OTHERS}}})
            assert counted.json["count"] == 0


async def test_an_update_does_not_make_a_document_one_s_own(through: Http, direct: Http, tenants: str):
    steal = {"doc": {"tenant": "a"}}
    for index in (tenants, f"{tenants}-alias"):
        for body in (steal, {**steal, "doc_as_upsert": True}, {**steal, "upsert": {"tenant": "a"}}):
            single = await through.post(f"/{index}/_update/b1", body)
            assert (single.status, single.error["type"]) == (404, "document_missing_exception"), single.body
            lines = ({"update": {"_index": index, "_id": "b1"}}, body)
            refused = await through.bulk({"index": {"_index": f"{tenants}-open"}}, {"n": 1}, *lines)
            assert refused.status == 403, refused.body
            assert "nothing was written" in refused.error["reason"]
    assert not shows((await through.get(f"/{tenants}/_doc/b1")).body)
    assert (await direct.get(f"/{tenants}/_doc/b1")).json["_source"]["tenant"] == OTHERS
    own = await through.post(f"/{tenants}/_update/a1", {"doc": {"n": 9}})
    assert own.status == 200, own.body
    new = await through.post(f"/{tenants}/_update/fresh", {"doc": {"tenant": "a"}, "doc_as_upsert": True})
    assert new.status == 201, new.body
    several = await through.bulk(
        {"update": {"_index": tenants, "_id": "a1"}}, {"doc": {"n": 8}},
        {"update": {"_index": tenants, "_id": "later"}}, {"doc": {"tenant": "a"}, "doc_as_upsert": True},
        {"delete": {"_index": tenants, "_id": "fresh"}},
    )  # fmt: skip
    assert [next(iter(item.values()))["status"] for item in several.json["items"]] == [200, 201, 200]


async def test_a_document_that_nobody_can_read_is_not_there_by_its_id(through: Http, direct: Http, tenants: str):
    await direct.put(f"/{tenants}/_doc/odd?refresh=true", '{"tenant":"a","text":"\\ud800"}')
    for target in ("_doc/odd", "_source/odd"):
        answer = await through.get(f"/{tenants}/{target}")
        assert answer.status in (200, 404), answer.body
    assert (await through.post(f"/{tenants}/_search", ALL)).status == 200
