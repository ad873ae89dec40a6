"""Ways to read what a final query pipeline leaves out or a final mask hides: each is a 4xx or shows nothing of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.conftest import NDJSON, Http
from tests.node.conftest import HIDDEN, MAPPING, OTHERS, document

if TYPE_CHECKING:
    pass


def shows(body: bytes) -> bool:
    """Whether an answer shows the other tenant's values or hidden ones."""
    text = body.decode("utf-8", "replace")
    return OTHERS in text or HIDDEN in text or NUMBERS.search(text) is not None


NUMBERS = re.compile(r"(?<![0-9a-z])700[0-2](?![0-9])")
"""Numbers of the other tenant's documents. Names of indexes are drawn, and may have such digits within them."""


TARGETS = [
    "/{i}/_search",
    "/{i}/_search?pretty=false;q=*:*",
    "/{i}/_search?q=tenant:zzother",
    "/{i}/_search?q=tenant:a&q=tenant:zzother",
    "/{i}/_search?=q=tenant:zzother",
    "/{i}/_search?q=x;q=%2A:%2A",
    "/{i}/_search;/",
    "/{i}/_search?docvalue_fields=secret",
    "/{i}/_search?x;docvalue_fields=secret",
    "/{i}/_search?stored_fields=shadow,all",
    "/{i}/_search?sort=secret",
    "/{i}/_search?explain=true",
    "/{i}/_search?scroll=1m",
    "/{i}/_search?pretty;scroll=1m",
    "/{i}/_search?suggest_field=suggest&suggest_text=zz&suggest_mode=always",
    "/{i}/_search?search_pipeline=_none",
    "/{i}/_search?query_pipeline=_none&result_pipeline=_none",
    "/{i}/_search?verbose_pipeline=true",
    "/{i},-*/_search",
    "/{i},-{i}/_search?ignore_unavailable=true",
    "/*,-{i}-alias/_search",
    "/{i}*/_search",
    "/{i}*/_search?expand_wildcards=all",
    "/{i}-h*/_search?expand_wildcards=hidden,open",
    "/{i}-hid/_search",
    "/{i}-tomb/_search",
    "/{i}-t*/_search",
    "/{i}-alias/_search",
    "/{i}-bs/_search",
    "/{i}-b*/_search",
    "/{i}-open,{i}/_search",
    "/%3C{i}%3E/_search",
    "/%3C{i}-%7Bnow%7B'alias'%7D%7D%3E,{i}-alias/_search?ignore_unavailable=true",
    "/_search?index={i}",
    "/_search?index={i}-hid",
    "/{i}-open/_search?index={i}",
    "/{i}-open/_search;index={i}",
    "/_all/_search",
    "/_search",
    "//{i}/_search",
    "/{i}//_search",
    "/{i}/%5Fsearch",
    "/_all/_search?expand_wildcards=all",
    "/_cat/count/{i}",
    "/_cat/count?index={i}",
    "/{i}/_doc/b0",
    "/{i}/_source/b0",
    "/{i}-alias/_doc/b0",
    "/{i}-bs/_doc/b0",
    "/{i}-bs/_source/b1",
    "/{i}-tomb/_doc/b1",
    "/{i}/_doc/b0?realtime=false",
    "/{i}/_doc/b0?routing=b0",
    "/{i}/_doc/b0;stored_fields=shadow",
    "/{i}/_doc/a0?stored_fields=shadow",
    "/{i}/_doc/a0",
    "/{i}/_source/a0",
    "/{i}-open/_doc/b0?index={i}",
    "/{i}/_explain/b0?q=*:*",
    "/{i}/_explain/b0?q=text:zzotherword0&_source=true",
    "/{i}/_termvectors/b0?fields=text",
    "/{i}/_termvectors/a0?fields=secret.part",
    "/{i}/_mtermvectors?ids=b0&fields=text",
    "/{i}/_mget?_source=true",
    "/{i}/_validate/query?q=text:zz*&rewrite=true&explain=true",
    "/{i}/_validate/query?q=text:zz*&rewrite=true&all_shards=true",
    "/{i}/_field_caps?fields=*",
    "/views/{i}/_search",
    "/{i}/_sql",
    "/_sql?query=select%20*%20from%20{i}",
    "/_plugins/_query/_x",
    "/{i}/_eql/search",
    "/{i}/_terms_enum",
    "/{i}/_knn_search",
    "/{i}/type/b0",
    "/{i}/_search/template",
    "/{i}/_graph/explore",
    "/self:{i}/_search",
    "/*:{i}/_search",
]

ALL = {"query": {"match_all": {}}}
BODIES: list[Any] = [
    {"aggs": {"g": {"global": {}, "aggs": {"t": {"terms": {"field": "text.raw"}}}}}},
    {"aggregations": {"g": {"global": {}, "aggregations": {"t": {"top_hits": {}}}}}},
    {"aggs": {"t": {"terms": {"field": "text.raw", "min_doc_count": 0}}}},
    {"aggs": {"t": {"terms": {"field": "secret"}}}},
    {"aggs": {"t": {"terms": {"field": "other_name"}}}},
    {"aggs": {"t": {"terms": {"field": "shadow"}}}},
    {"aggs": {"t": {"terms": {"field": "secret.part"}}}},
    {
        "aggs": {
            "t": {"cardinality": {"field": "tenant"}, "meta": {}},
            "h": {"top_hits": {"docvalue_fields": ["secret"]}},
        }
    },
    {"aggs": {"s": {"significant_text": {"field": "text"}}}},
    {"aggs": {"s": {"significant_terms": {"field": "text.raw"}}}},
    {"aggs": {"p": {"nested": {"path": "people"}, "aggs": {"x": {"terms": {"field": "people.ssn"}}}}}},
    {"suggest": {"s": {"prefix": "zz", "completion": {"field": "suggest"}}}},
    {"suggest": {"s": {"text": "zzotherword", "term": {"field": "text", "suggest_mode": "always"}}}},
    {
        "query": {
            "nested": {"path": "people", "query": {"match_all": {}}, "inner_hits": {"docvalue_fields": ["people.ssn"]}}
        }
    },
    {"query": {"nested": {"path": "people", "query": {"match_all": {}}, "inner_hits": {}}}},
    {"docvalue_fields": ["secret"]},
    {"docvalue_fields": [{"field": "sec*"}]},
    {"fields": ["*"]},
    {"fields": ["other_name"]},
    {"stored_fields": ["shadow"]},
    {"stored_fields": "*"},
    {"sort": ["secret"]},
    {"sort": [{"other_name": "asc"}]},
    {"collapse": {"field": "secret"}},
    {"collapse": {"field": "tenant", "inner_hits": {"name": "x", "docvalue_fields": ["secret"]}}},
    {"highlight": {"fields": {"secret": {}, "*": {}}, "require_field_match": False}, "query": {"match_all": {}}},
    {"explain": True, "query": {"term": {"secret": "hushedb0"}}},
    {"profile": True},
    {"script_fields": {"x": {"script": "doc['secret'].value"}}},
    {"script_fields": {"x": {"script": "params._source.secret"}}},
    {"query": {"script_score": {"query": {"match_all": {}}, "script": "doc['n'].value"}}},
    {"query": {"bool": {"must_not": {"script": {"script": "throw new Exception(doc['text.raw'].value)"}}}}},
    {"query": {"script": {"script": "throw new Exception(doc['secret'].value)"}}},
    {"derived": {"d": {"type": "keyword", "script": "emit(doc['secret'].value)"}}, "fields": ["d"]},
    {"query": {"wrapper": {"query": "eyJtYXRjaF9hbGwiOnt9fQ=="}}},
    {"query": {"terms": {"text.raw": {"index": "{i}", "id": "b0", "path": "text"}}}},
    {"query": {"more_like_this": {"like": [{"_index": "{i}", "_id": "b0"}], "min_term_freq": 1, "min_doc_freq": 1}}},
    {"post_filter": {"match_all": {}}, "query": {"match_none": {}}},
    {"query": {"bool": {"should": [{"match_all": {}}]}}, "min_score": 0},
    {"rescore": {"window_size": 9, "query": {"rescore_query": {"match_all": {}}}}},
    {"search_pipeline": {"response_processors": [{"rename_field": {"field": "secret", "target_field": "open"}}]}},
    {"search_pipeline": "_none"},
    {"pit": {"id": "zz"}},
    {"query": {"term": {"_index": "{i}-hid"}}},
    {"indices_boost": [{"{i}-hid": 2}]},
    {"slice": {"id": 0, "max": 2}},
    {"ext": {"x": {}}},
    {"_source": ["secret"], "query": {"match_all": {}}},
    {"_source": False, "fields": ["secret"]},
    {"size": 100, "query": {"match_all": {}}},
]
RAW = [
    '\ufeff{"query":{"match_all":{}}}',
    '/* c */{"query":{"match_all":{}}}',
    '// c\n{"query":{"match_all":{}}}',
    "{query:{match_all:{}}}",
    "{'query':{'match_all':{}}}",
    '{"query":{"match_none":{}},"query":{"match_all":{}}}',
    '{"qu\\u0065ry":{"match_all":{}}}',
    '{"\\u0061ggs":{"g":{"gl\\u006fbal":{},"aggs":{"t":{"terms":{"field":"text.raw"}}}}}}',
    '{"query":{"match_all":{}}}{"query":{"match_all":{}}}',
    '{"docvalue_fields":["s\\u0065cret"]}',
]


async def sent(through: Http, tenants: str, target: str, body: Any = None, headers: Any = None) -> Any:
    path = target.replace("{i}", tenants)
    if isinstance(body, (dict, list)):
        body = json.dumps(body).replace("{i}", tenants).encode()
    elif isinstance(body, str):
        body = body.replace("{i}", tenants).encode()
    method = "POST" if body is not None else "GET"
    return await through(method, path, body, headers=headers)


@pytest.mark.parametrize("target", TARGETS)
async def test_by_target(through: Http, tenants: str, target: str):
    answer = await sent(through, tenants, target)
    assert answer.status < 500 or answer.status == 501, answer.body
    assert not shows(answer.body), answer.body
    if "_scroll_id" in answer.body.decode():
        page = await through.post("/_search/scroll", {"scroll_id": answer.json["_scroll_id"], "scroll": "1m"})
        assert page.status == 200
        assert not shows(page.body)


async def test_by_body(through: Http, direct: Http, tenants: str):
    leaked: list[Any] = []
    shown = 0
    for body in BODIES:
        for target in ("/{i}/_search", "/{i}*/_search?expand_wildcards=all", "/_search"):
            answer = await sent(through, tenants, target, body)
            if shows(answer.body):
                leaked.append((target, body, answer.body[:300]))
            plain = await sent(direct, tenants, target, body)
            assert answer.status < 500 or answer.status in (501, plain.status), (body, answer.body)
            shown += plain.status == 200 and shows(plain.body)
        header = {"index": tenants}
        lines = f"{json.dumps(header)}\n{json.dumps(body).replace('{i}', tenants)}\n"
        answer = await through.post("/_msearch", lines, headers=NDJSON)
        if shows(answer.body):
            leaked.append(("_msearch", body, answer.body[:300]))
    for raw in RAW:
        for target in ("/{i}/_search", "/{i}/_count", "/{i}-alias/_search"):
            for kind in ("application/json", "application/yaml", "application/vnd.elasticsearch+json", ""):
                answer = await sent(through, tenants, target, raw, {"Content-Type": kind} if kind else None)
                if shows(answer.body):
                    leaked.append((target, raw, kind, answer.body[:300]))
        for encoding in ("utf-16", "utf-16-le", "utf-32"):
            answer = await through.post(f"/{tenants}/_search", raw.encode(encoding))
            if shows(answer.body):
                leaked.append((encoding, raw, answer.body[:300]))
    assert leaked == []
    assert shown > len(BODIES), "without the proxy most of these do show it"


HEADERS: list[Any] = [
    {"index": "{i}"},
    {"indices": ["{i}"]},
    {"index": ["{i}-open", "{i}"]},
    {"index": "{i}-open", "indices": "{i}"},
    {"index": "{i}*", "expand_wildcards": "all"},
    {"index": "{i}*", "expandWildcards": ["hidden", "open"]},
    {"index": "{i},-*", "ignore_unavailable": True},
    {"index": "{i},-{i}", "ignoreUnavailable": "true"},
    {"index": "{i}-tomb"},
    {"index": "{i}-bs"},
    {},
    {"index": "{i}", "search_pipeline": "_none"},
    {"index": "{i}", "unknown": 1},
]


async def test_by_the_header_line_of_a_multi_search(through: Http, tenants: str):
    for header in HEADERS:
        for body in (ALL, {"aggs": {"g": {"global": {}, "aggs": {"t": {"terms": {"field": "text.raw"}}}}}}):
            for target in ("/_msearch", f"/{tenants}/_msearch", f"/_msearch?index={tenants}-hid"):
                lines = f"{json.dumps(header)}\n{json.dumps(body)}\n".replace("{i}", tenants)
                answer = await through.post(target, lines, headers=NDJSON)
                assert not shows(answer.body), (header, target, answer.body)
                if (header, target) in (({"index": "{i}"}, "/_msearch"), ({}, f"/{tenants}/_msearch")) and body is ALL:
                    assert answer.json["responses"][0]["hits"]["hits"], "what may be seen is there"
    escaped = f'{{"ind\\u0065x":"{tenants}"}}\n{{}}\n'
    assert not shows((await through.post("/_msearch", escaped, headers=NDJSON)).body)


async def test_documents_by_id(through: Http, direct: Http, tenants: str):
    bodies: list[Any] = [
        {"ids": ["b0", "a0"]},
        {"docs": [{"_id": "b0"}, {"_id": "a0", "stored_fields": ["shadow"]}]},
        {"docs": [{"_id": "b0", "_index": f"{tenants}-bs"}]},
        {"docs": [{"_id": "b0", "_index": f"{tenants}-tomb", "_source": ["text"]}]},
        {"docs": [{"_id": "b0", "_index": f"<{tenants}>"}]},
    ]
    for body in bodies:
        for target in (f"/{tenants}/_mget", "/_mget", f"/{tenants}-open/_mget", f"/_mget?index={tenants}"):
            answer = await through.post(target, body)
            assert answer.status in (200, 400, 403), answer.body
            assert not shows(answer.body), (target, body, answer.body)
    own = await through.get(f"/{tenants}/_doc/a0")
    assert (own.status, own.json["_source"]["secret"]) == (200, "****")
    for target in ("_doc", "_source"):
        there = await through("HEAD", f"/{tenants}/{target}/a0")
        other = await through("HEAD", f"/{tenants}/{target}/b0")
        missing = await through("HEAD", f"/{tenants}/{target}/none")
        assert (there.status, other.status, missing.status) == (200, 404, 404)
        other, missing = (
            (await through.get(f"/{tenants}/{target}/{id_}") for id_ in ("b0", "none"))
            if False
            else (
                await through.get(f"/{tenants}/{target}/b0"),
                await through.get(f"/{tenants}/{target}/none"),
            )
        )
        same = other.body.replace(b'"b0"', b'"none"').replace(b"[b0]", b"[none]").replace(b"/b0]", b"/none]")
        assert same == missing.body, "as if it were not there"
    await through.put(f"/{tenants}/_doc/new", {"tenant": "a", "text": "just written"})
    assert (await through.get(f"/{tenants}/_doc/new")).json["found"], "a read by id is real-time"
    await through.put(f"/{tenants}/_doc/new", {"tenant": OTHERS, "text": OTHERS})
    assert (await through.get(f"/{tenants}/_doc/new")).status == 404


async def test_look_ups_from_an_index_of_one_s_own(through: Http, tenants: str):
    open_index = f"{tenants}-open"
    look_ups: list[Any] = [
        {"terms": {"text.raw": {"index": tenants, "id": "b0", "path": "text"}}},
        {"terms": {"secret": {"index": tenants, "id": "a0", "path": "secret"}}},
        {"more_like_this": {"like": [{"_index": tenants, "_id": "b0"}], "min_term_freq": 1, "min_doc_freq": 1}},
        {"bool": {"filter": [{"terms": {"text.raw": {"index": f"{tenants}-alias", "id": "b0", "path": "text"}}}]}},
    ]
    await through.put(f"/{open_index}/_doc/probe?refresh=true", {"text": f"{OTHERS}word0 common", "secret": "husheda0"})
    for query in look_ups:
        for target in (f"/{open_index}/_search", f"/{open_index}/_count", f"/{open_index}/_delete_by_query"):
            for raw in (json.dumps({"query": query}), json.dumps({"query": query}).replace("index", "ind\\u0065x")):
                answer = await through.post(target, raw)
                found = answer.status == 200 and "probe" in answer.body.decode()
                counted = answer.status == 200 and answer.json.get("count", answer.json.get("deleted", 0))
                assert not found, (query, target)
                assert not counted, (query, target)


async def test_copies_and_points_in_time(through: Http, direct: Http, tenants: str):
    await direct.put(f"/{tenants}/_settings", {"index.blocks.write": True})
    for verb in ("_clone", "_split", "_shrink"):
        answer = await through.put(f"/{tenants}/{verb}/{tenants}-copy-{verb[1:]}")
        assert answer.status == 403, answer.body
    await direct.put(f"/{tenants}/_settings", {"index.blocks.write": None})
    for target in (f"/{tenants}", f"/{tenants}-tomb", f"/{tenants}*"):
        pit = await through.post(f"{target}/_search/point_in_time?keep_alive=1m&expand_wildcards=all")
        assert pit.status == 200, pit.body
        answer = await through.post("/_search", {"pit": {"id": pit.json["pit_id"]}, "size": 50})
        assert answer.status == 200, answer.body
        assert answer.json["hits"]["hits"], "one's own are there"
        assert not shows(answer.body)
    theirs = await direct.post(f"/{tenants}/_search/point_in_time?keep_alive=1m")
    assert (await through.post("/_search", {"pit": {"id": theirs.json["pit_id"]}})).status == 400
    scroll = await direct.post(f"/{tenants}/_search?scroll=1m&size=1", ALL)
    page = await through.post("/_search/scroll", {"scroll_id": scroll.json["_scroll_id"], "scroll": "1m"})
    assert page.status == 400
    reindexed = await through.post("/_reindex", {"source": {"index": tenants}, "dest": {"index": f"{tenants}-open"}})
    assert reindexed.status == 501, "the mask would be skipped"


async def test_a_new_index_is_judged_at_once(through: Http, direct: Http, tenants: str):
    pattern = f"{tenants}-new*"
    await through.put(f"/_pipeline/_association/{quote(pattern)}", {"query": {"final_pipeline": f"{tenants}-f"}})
    for n in range(8):
        index = f"{tenants}-new{n}"
        assert not shows((await through.get(f"/{tenants}*/_search?size=100")).body)
        if n % 2:
            await through.put(f"/{index}", {"mappings": MAPPING})
            await direct.put(f"/{index}/_doc/b?refresh=true", document("b", n))
        else:
            await through.put(f"/{index}/_doc/b?refresh=true", document("b", n))
        for expression in (index, f"{tenants}*", f"{index[:-1]}*", "_all"):
            answer = await through.get(f"/{expression}/_search?size=100")
            assert answer.status == 200, answer.body
            assert not shows(answer.body), expression
