"""Ways to read what a final query pipeline leaves out or a final mask hides: each is a 4xx or shows nothing of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.conftest import NDJSON, Http, native

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OTHERS = "zzother"
"""In every value of the other tenant's documents."""
HIDDEN = "hushed"
"""In every value of hidden fields."""
MAPPING = {
    "properties": {
        "tenant": {"type": "keyword"},
        "text": {"type": "text", "fields": {"raw": {"type": "keyword"}}, "copy_to": "all"},
        "all": {"type": "text", "store": True},
        "n": {"type": "long"},
        "secret": {"type": "keyword", "copy_to": "shadow", "fields": {"part": {"type": "text", "fielddata": True}}},
        "shadow": {"type": "keyword", "store": True},
        "other_name": {"type": "alias", "path": "secret"},
        "suggest": {"type": "completion"},
        "people": {"type": "nested", "properties": {"ssn": {"type": "keyword"}, "name": {"type": "keyword"}}},
    }
}


def document(tenant: str, n: int) -> dict[str, Any]:
    mark = OTHERS if tenant == "b" else "own"
    return {
        "tenant": OTHERS if tenant == "b" else tenant,
        "text": f"{mark}word{n} common",
        "n": 7000 + n if tenant == "b" else n,
        "secret": f"{HIDDEN}{tenant}{n}",
        "suggest": [f"{mark}sug{n}"],
        "people": [{"ssn": f"{HIDDEN}ssn{n}", "name": f"{mark}person{n}"}],
    }


@pytest.fixture
async def tenants(through: Http, direct: Http, name: str) -> AsyncIterator[str]:
    """`{name}`: two tenants, of which the final filter shows `a`; `{name}-open` is not protected."""
    settings = {"number_of_shards": 1, "number_of_replicas": 0}
    await direct.put(f"/{name}", {"settings": settings, "mappings": MAPPING})
    await direct.put(f"/{name}-open", {"settings": settings, "mappings": MAPPING})
    await direct.put(f"/{name}-hid", {"settings": {**settings, "index.hidden": True}, "mappings": MAPPING})
    lines: list[Any] = []
    for index in (name, f"{name}-hid"):
        for tenant in ("a", "b"):
            for n in range(3):
                lines += [{"index": {"_index": index, "_id": f"{tenant}{n}"}}, document(tenant, n)]
    lines += [{"index": {"_index": f"{name}-open", "_id": "o"}}, {"tenant": "a", "text": "open"}]
    await direct.bulk(*lines)
    actions = [
        {"add": {"index": name, "alias": f"{name}-alias"}},
        {"add": {"index": name, "alias": f"{name}-bs", "filter": {"term": {"tenant": OTHERS}}}},
        {"add": {"index": f"{name}-hid", "alias": f"{name}-tomb"}},
    ]
    await direct.post("/_aliases", {"actions": actions})
    await through.pipeline(f"{name}-f", "query", native("f", "filter_query", query={"term": {"tenant": "a"}}))
    await through.pipeline(f"{name}-m", "result", native("m", "mask", fields=["secret", "people.ssn"]))
    for index in (name, f"{name}-hid"):
        body = {"index.query.final_pipeline": f"{name}-f", "index.result.final_pipeline": f"{name}-m"}
        assert (await through.put(f"/{index}/_settings", body)).status == 200
    yield name
    await direct.delete(f"/{name}-hid")


def shows(body: bytes) -> bool:
    """Whether an answer shows the other tenant's values or hidden ones."""
    text = body.decode("utf-8", "replace")
    return OTHERS in text or HIDDEN in text or "7000" in text or "7001" in text


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
