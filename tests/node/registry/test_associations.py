"""Patterns, templates, aliases, data streams and final pipelines, on a real node."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from headrace.app import Proxy
from headrace.execution import search_plan
from headrace.protocol.indices import resolver
from headrace.protocol.indices.resolver import FRESH_SECONDS
from headrace.settings import Settings
from headrace_pipelines.registry import compile_pipeline
from tests.conftest import NDJSON, Http, native, ndjson, wasm
from tests.support import wat


def tag(value: str) -> dict[str, Any]:
    return native("tag", "append", field="tags", value=value)


async def tags(http: Http, index: str, id_: str) -> list[str]:
    found = await http.get(f"/{index}/_doc/{id_}")
    tags: list[str] = found.json["_source"].get("tags", [])
    return tags


async def test_patterns_attach_by_priority_and_old_indexes_too(through: Http, direct: Http, name: str):
    await direct.put(f"/{name}-old")
    for label in ("low", "high", "final"):
        await through.pipeline(f"{name}-{label}", "document", tag(label))
    low = await through.put(f"/_pipeline/_association/{name}-*", {"priority": 1, "document": f"{name}-low"})
    assert (low.status, low.json["document"]) == (201, {"default_pipeline": f"{name}-low"})
    body = {"priority": 5, "document": {"default_pipeline": f"{name}-high", "final_pipeline": f"{name}-final"}}
    assert (await through.put(f"/_pipeline/_association/{name}-h*", body)).status == 201
    assert (await through.put(f"/_pipeline/_association/{name}-h*", body)).status == 200
    for index, expected in ((f"{name}-old", ["low"]), (f"{name}-hot", ["high", "final"])):
        made = await through.put(f"/{index}/_doc/1", {"n": 1})
        assert made.status == 201, made.body
        assert await tags(direct, index, "1") == expected
    bulk = await through.bulk(
        {"index": {"_index": f"{name}-old", "_id": "2"}}, {}, {"index": {"_index": f"{name}-hot", "_id": "2"}}, {}
    )
    assert not bulk.json["errors"]
    assert await tags(direct, f"{name}-hot", "2") == ["high", "final"]
    listed = (await through.get("/_pipeline/_association")).json
    assert [a["pattern"] for a in listed["associations"]] == [f"{name}-h*", f"{name}-*"]
    assert (await through.get(f"/_pipeline/_association/{name}-*")).json["priority"] == 1
    used = await through.delete(f"/_pipeline/{name}-final")
    assert used.status == 409
    assert f"pattern [{name}-h*]" in used.error["reason"]
    assert (await through.delete(f"/_pipeline/_association/{name}-h*")).status == 200
    assert (await through.get(f"/_pipeline/_association/{name}-h*")).status == 404
    assert (await through.delete(f"/_pipeline/{name}-final")).status == 200


@pytest.mark.parametrize(
    ("pattern", "body", "words"),
    [
        ("x*", {"document": "nowhere"}, "pipeline [nowhere] does not exist"),
        ("x*", {"priority": "high"}, "must be a whole number"),
        ("x*", {"documents": "a"}, "unknown field; there are priority, document, query, result"),
        ("x*", {"document": {"first": "a"}}, "unknown field; there are default, default_pipeline"),
        ("x*", {"document": {"final": 5}}, "must be the name of a pipeline"),
        ("x*", {"priority": 5}, "names no pipeline"),
        ("X*", {"priority": 5}, "is not an index pattern"),
        (".x*", {"priority": 5}, "does not begin with a dot"),
    ],
)
async def test_associations_that_cannot_be(through: Http, pattern: str, body: dict[str, Any], words: str):
    answer = await through.put(f"/_pipeline/_association/{pattern}", body)
    assert answer.status == 400
    assert words in answer.error["reason"]


async def test_what_is_attached_and_what_would_run(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", tag("a"))
    await through.pipeline(name, "query", native("f", "filter_query", query={"match_all": {}}))
    await through.index(f"{name}-x", document=name)
    await through.put(f"/_pipeline/_association/{name}*", {"query": {"final": name}})
    assert (await through.get(f"/{name}-x/_pipeline")).json == {f"{name}-x": {"document": {"default_pipeline": name}}}
    found = (await through.get(f"/{name}-x/_pipeline/_resolve")).json[f"{name}-x"]
    assert found["document"]["default"] == {
        "pipeline": name, "version": "1", "enabled": True, "source": "index", "by": f"{name}-x",
    }  # fmt: skip
    assert (found["query"]["final"]["source"], found["query"]["final"]["by"]) == ("pattern", f"{name}*")
    assert (await through.get(f"/{name}-later/_pipeline")).status == 404
    future = (await through.get(f"/{name}-later/_pipeline/_resolve")).json
    assert future[f"{name}-later"]["query"]["final"]["pipeline"] == name
    assert (await through.get(f"/{name}*/_pipeline/_resolve")).json.keys() == {f"{name}-x"}


@pytest.mark.parametrize("kind", ["index", "component", "legacy"])
async def test_templates_attach_to_indexes_created_later_and_are_shown_with_our_settings(
    through: Http, direct: Http, name: str, kind: str
):
    for label in ("one", "two"):
        await through.pipeline(f"{name}-{label}", "document", tag(label))
    path = {"index": "_index_template", "component": "_component_template", "legacy": "_template"}[kind]

    def body(pipeline: str | None) -> dict[str, Any]:
        settings: dict[str, Any] = {"number_of_replicas": 0}
        if pipeline:
            settings["index"] = {"document": {"default_pipeline": pipeline}}
        match kind:
            case "index":
                return {"index_patterns": [f"{name}-*"], "priority": 7777, "template": {"settings": settings}}
            case "component":
                return {"template": {"settings": settings}}
            case _:
                return {"index_patterns": [f"{name}-*"], "order": 7777, "settings": settings}

    try:
        await direct.put(f"/{name}-before")
        refused = await through.put(f"/{path}/{name}", body("nowhere"))
        assert (refused.status, refused.error["field"]) == (400, "index.document.default_pipeline")
        made = await through.put(f"/{path}/{name}", body(f"{name}-one"))
        assert made.status == 200, made.body
        if kind == "component":
            composed = {"index_patterns": [f"{name}-*"], "priority": 7777, "composed_of": [name]}
            assert (await through.put(f"/_index_template/{name}", composed)).status == 200
        shown = json.dumps((await through.get(f"/{path}/{name}?flat_settings=true")).json)
        assert f'"index.document.default_pipeline": "{name}-one"' in shown
        assert "default_pipeline" not in json.dumps((await direct.get(f"/{path}/{name}")).json)
        assert (await through.get(f"/{name}-new/_pipeline/_resolve")).json[f"{name}-new"]["document"]["default"][
            "source"
        ] == "template"
        for index in (f"{name}-before", f"{name}-new"):
            await through.bulk({"index": {"_index": index, "_id": "1"}}, {})
        assert await tags(direct, f"{name}-before", "1") == []
        assert await tags(direct, f"{name}-new", "1") == ["one"]
        await direct.put(f"/{name}-behind")
        await through.put(f"/{name}-behind/_doc/1", {})
        assert await tags(direct, f"{name}-behind", "1") == ["one"], "an index that the cluster made by itself"
        assert (await through.put(f"/{path}/{name}", body(f"{name}-two"))).status == 200
        for index in (f"{name}-new", f"{name}-newer"):
            await through.put(f"/{index}/_doc/2", {})
        assert await tags(direct, f"{name}-new", "2") == ["one"], "an index keeps what it was created with"
        assert await tags(direct, f"{name}-newer", "2") == ["two"]
        assert (await through.delete(f"/_pipeline/{name}-two")).status == 409
        assert (await through.put(f"/{path}/{name}", body(None))).status == 200
        await through.put(f"/{name}-last/_doc/1", {})
        assert await tags(direct, f"{name}-last", "1") == []
        await through.put(f"/{name}-newer/_doc/3", {})
        assert await tags(direct, f"{name}-newer", "3") == ["two"]
        used = await through.delete(f"/_pipeline/{name}-two")
        assert used.status == 409
        assert f"index [{name}-newer]" in used.error["reason"]
    finally:
        if kind == "component":
            await through.delete(f"/_index_template/{name}")
        assert (await through.delete(f"/{path}/{name}")).status == 200


OTHER = ("PUT", "/_index_template/{n}-other", {"index_patterns": ["{n}-*"], "priority": 8888})


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("index", ("POST", "/_index_template/{n}-other", {"index_patterns": "{n}-o*", "priority": 8888})),
        ("index", ("PUT", "/_index_template/{n}", {"index_patterns": ["elsewhere-{n}"], "priority": 7777})),
        ("index", ("PUT", "/_index_template/{n}-other", '{"index_patterns":["{n}-*"],/* */"priority": 8888}')),
        ("index", ("DELETE", "/_index_template/{n}*", None)),
        ("component", OTHER),
        ("component", ("PUT", "/_index_template/{n}", {"index_patterns": ["{n}-*"], "priority": 7777})),
        ("legacy", OTHER),
        ("legacy", ("DELETE", "/_template/{n}", None)),
    ],
)
async def test_what_an_index_got_from_a_template_does_not_end_with_it(
    through: Http, direct: Http, name: str, kind: str, change: tuple[str, str, Any]
):
    method, path, body = change
    await through.pipeline(name, "query", native("f", "filter_query", query={"term": {"tenant": "a"}}))
    ours: dict[str, Any] = {"settings": {"index.query.final_pipeline": name, "number_of_replicas": 0}}
    if kind == "legacy":
        made = await through.put(f"/_template/{name}", {"index_patterns": [f"{name}-*"], "order": 7777, **ours})
    elif kind == "component":
        await through.put(f"/_component_template/{name}", {"template": ours})
        composed = {"index_patterns": [f"{name}-*"], "priority": 7777, "composed_of": [name]}
        made = await through.put(f"/_index_template/{name}", composed)
    else:
        template = {"index_patterns": [f"{name}-*"], "priority": 7777, "template": ours}
        made = await through.put(f"/_index_template/{name}", template)
    try:
        assert made.status == 200, made.body
        assert (await direct.put(f"/{name}-old/_doc/1?refresh=true", {"tenant": "b"})).status == 201
        text = body if isinstance(body, str) else json.dumps(body)
        told = await through(method, path.format(n=name), None if body is None else text.replace("{n}", name).encode())
        assert told.status == 200, told.body
        found = await through.post(f"/{name}-old/_search", {})
        assert (found.status, found.json["hits"]["hits"]) == (200, [])
        if kind != "component":
            return
        await through.delete(f"/_index_template/{name}*")
        assert (await through.delete(f"/_component_template/{name}")).status == 200
        assert (await through.post(f"/{name}-old/_search", {})).json["hits"]["hits"] == []
    finally:
        await direct.delete(f"/_index_template/{name}*")
        await direct.delete(f"/_component_template/{name}*")
        await direct.delete(f"/_template/{name}*")


async def test_aliases_and_data_streams(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", tag("a"))
    await through.index(f"{name}-1")
    await through.index(f"{name}-2", document=name)
    actions = [
        {"add": {"index": f"{name}-1", "alias": f"{name}-alias"}},
        {"add": {"index": f"{name}-2", "alias": f"{name}-alias", "is_write_index": True}},
    ]
    await direct.post("/_aliases", {"actions": actions})
    assert (await through.put(f"/{name}-alias/_doc/1", {})).status == 201
    assert await tags(direct, f"{name}-2", "1") == ["a"]
    stream = f"{name}-stream"
    template = {
        "index_patterns": [f"{stream}*"], "data_stream": {}, "priority": 8888,
        "template": {"settings": {"index.document.final_pipeline": name, "number_of_replicas": 0}},
    }  # fmt: skip
    try:
        assert (await through.put(f"/_index_template/{stream}", template)).status == 200
        document = {"@timestamp": "2026-01-01"}
        made = await through.bulk({"create": {"_index": stream}}, document)
        assert not made.json["errors"], made.body
        await through.post(f"/{stream}/_rollover")
        await through.bulk({"create": {"_index": stream}}, document)
        found = (await direct.get(f"/{stream}/_search")).json["hits"]["hits"]
        assert [hit["_source"]["tags"] for hit in found] == [["a"], ["a"]]
        assert len({hit["_index"] for hit in found}) == 2
        backing = found[0]["_index"]
        shown = (await through.get(f"/{backing}/_pipeline/_resolve")).json
        assert shown[stream]["document"]["final"]["pipeline"] == name
    finally:
        await direct.delete(f"/_data_stream/{stream}")
        await through.delete(f"/_index_template/{stream}")


async def test_no_request_switches_a_final_pipeline_off(through: Http, direct: Http, name: str):
    await through.pipeline(f"{name}-d", "document", tag("default"))
    await through.pipeline(f"{name}-f", "document", tag("final"))
    await through.pipeline(f"{name}-q", "query", native("f", "filter_query", query={"term": {"n": 1}}))
    await through.pipeline(f"{name}-m", "result", native("m", "mask", fields="secret"))
    made = await through.put(
        f"/{name}",
        {"settings": {"index": {
            "document": {"default_pipeline": f"{name}-d", "final_pipeline": f"{name}-f"},
            "query": {"final_pipeline": f"{name}-q"}, "result": {"final_pipeline": f"{name}-m"},
        }}},
    )  # fmt: skip
    assert made.status == 200, made.body
    for i, query in enumerate(("pipeline=_none", "document_pipeline=_none", "")):
        await through.put(f"/{name}/_doc/{i}?refresh=true&{query}", {"n": i, "secret": "s"})
    lines = [{"index": {"_id": "9", "pipeline": "_none"}}, {"n": 1, "secret": "s"}]
    bulk = await through.bulk(*lines, target=f"/{name}/_bulk?refresh=true")
    assert not bulk.json["errors"]
    assert bulk.headers["X-Pipeline"] == f"document_final={name}-f@1"
    assert [await tags(direct, name, i) for i in "0129"] == [["final"], ["final"], ["default", "final"], ["final"]]
    for target, body in (
        (f"/{name}/_search?search_pipeline=_none", {}),
        (f"/{name}/_search?query_pipeline=_none&result_pipeline=_none", {}),
        (f"/{name}/_search", {"search_pipeline": "_none"}),
        (f"/{name}*/_search", {}),
    ):
        found = await through.post(target, body)
        assert found.status == 200, found.body
        hits = found.json["hits"]["hits"]
        assert {hit["_id"] for hit in hits} == {"1", "9"}, target
        assert {hit["_source"]["secret"] for hit in hits} == {"****"}, target
    await direct.put(f"/_search/pipeline/{name}-theirs", {"request_processors": []})
    for target, body in (
        (f"/{name}/_search", {"search_pipeline": {"request_processors": []}}),
        (f"/{name}/_search", {"search_pipeline": f"{name}-theirs"}),
        (f"/{name}*/_search?search_pipeline={name}-theirs", {}),
    ):
        refused = await through.post(target, body)
        assert refused.status == 403, "the cluster's processors run behind the filter and before the mask"
    lines = f'{{"index":"{name}","search_pipeline":"{name}-theirs"}}\n{{}}\n'
    several = await through.post("/_msearch", lines, headers=NDJSON)
    assert several.json["responses"][0]["status"] == 403
    await direct.delete(f"/_search/pipeline/{name}-theirs")


async def test_finals_of_several_indexes_are_composed_and_never_vanish(through: Http, direct: Http, name: str):
    for tenant in ("a", "b"):
        await through.pipeline(
            f"{name}-{tenant}", "query", native("f", "filter_query", query={"term": {"tenant": tenant}})
        )
        await through.put(f"/{name}-{tenant}", {
            "mappings": {"properties": {"tenant": {"type": "keyword"}}},
            "settings": {"index.query.final_pipeline": f"{name}-{tenant}"},
        })  # fmt: skip
    await through.put(f"/{name}-free", {"mappings": {"properties": {"tenant": {"type": "keyword"}}}})
    for index in ("a", "b", "free"):
        for tenant in ("a", "b", "c"):
            await direct.put(f"/{name}-{index}/_doc/{tenant}?refresh=true", {"tenant": tenant})

    async def seen(expression: str, body: Any = None) -> set[str]:
        found = await through.post(f"/{expression}/_search?size=100", body)
        assert found.status == 200, found.body
        return {f"{hit['_index'].removeprefix(name)[1:]}/{hit['_id']}" for hit in found.json["hits"]["hits"]}

    assert await seen(f"{name}-a") == {"a/a"}
    assert await seen(f"{name}-*") == {"a/a", "b/b", "free/a", "free/b", "free/c"}
    assert await seen(f"{name}-a,{name}-b", {"query": {"terms": {"tenant": ["a", "c"]}}}) == {"a/a"}
    assert await seen(f"{name}-a,{name}-free", {"search_pipeline": "_none"}) == {"a/a", "free/a", "free/b", "free/c"}
    off = {"stages": [native("f", "filter_query", query={"match_none": {}})], "type": "query", "enabled": False}
    await through.put(f"/_pipeline/{name}-off", off)
    await through.put(f"/{name}-free/_settings", {"index.query.final_pipeline": f"{name}-off"})
    assert await seen(f"{name}-a,{name}-free") == {"a/a", "free/a", "free/b", "free/c"}, "a disabled one is none"
    await through.put(f"/{name}-free/_settings", {"index.query.final_pipeline": None})
    await through.put(f"/{name}-b/_settings", {"index.query.final_pipeline": None})
    await through.udf(name, wat.ECHO)
    await through.pipeline(f"{name}-code", "query", wasm("w", name))
    await through.put(f"/{name}-b/_settings", {"index.query.final_pipeline": f"{name}-code"})
    refused = await through.post(f"/{name}-*/_search", {})
    assert refused.status == 400
    assert f"{name}-a@1, {name}-code@1" in refused.error["reason"]
    assert (await through.post(f"/{name}-b,{name}-free/_search", {})).status == 200


async def test_what_is_attached_is_looked_up_again_when_names_or_pipelines_change(
    through: Http, direct: Http, name: str, monkeypatch
):
    composed: list[str] = []

    def counted(definition, *rest):
        composed.append(definition.name)
        return compile_pipeline(definition, *rest)

    monkeypatch.setattr(search_plan, "compile_pipeline", counted)
    for tenant in ("a", "b"):
        await through.pipeline(f"{name}-{tenant}", "query", native("f", "filter_query", query={"term": {"t": tenant}}))
        await through.put(f"/{name}-{tenant}", {
            "mappings": {"properties": {"t": {"type": "keyword"}}},
            "settings": {"index.query.final_pipeline": f"{name}-{tenant}"},
        })  # fmt: skip
        await direct.put(f"/{name}-{tenant}/_doc/1?refresh=true", {"t": tenant})
    await direct.put(f"/{name}-b/_doc/2?refresh=true", {"t": "a"})

    async def seen() -> set[str]:
        found = await through.post(f"/{name}-*/_search", {})
        assert found.status == 200, found.body
        return {f"{hit['_index'][-1]}/{hit['_id']}" for hit in found.json["hits"]["hits"]}

    for _ in range(5):
        assert await seen() == {"a/1", "b/1"}
    assert composed == [f"{name}-a+{name}-b"]
    await asyncio.sleep(FRESH_SECONDS)
    assert await seen() == {"a/1", "b/1"}
    assert len(composed) == 1, "the names were read again and are the same"
    await direct.put(f"/{name}-c/_doc/1?refresh=true", {"t": "a"})
    await asyncio.sleep(FRESH_SECONDS)
    assert await seen() == {"a/1", "b/1", "c/1"}
    assert len(composed) == 2
    await through.put(f"/{name}-b/_settings", {"index.query.final_pipeline": f"{name}-a"})
    assert await seen() == {"a/1", "b/2", "c/1"}, "at once"


async def test_result_pipelines_of_hits_work_on_the_hits_of_their_own_index(through: Http, direct: Http, name: str):
    for index in ("a", "b"):
        await through.pipeline(f"{name}-{index}", "result", native("m", "mask", fields="s", mask=index))
        await through.index(f"{name}-{index}", result=f"{name}-{index}")
    await through.index(f"{name}-c")
    for index in "abc":
        await direct.put(f"/{name}-{index}/_doc/1?refresh=true", {"s": "secret"})
    found = await through.post(f"/{name}-*/_search", {})
    shown = {hit["_index"][-1]: hit["_source"]["s"] for hit in found.json["hits"]["hits"]}
    assert shown == {"a": "a", "b": "b", "c": "secret"}
    assert "X-Pipeline-Conflict" not in found.headers
    await through.pipeline(f"{name}-t", "result", native("t", "truncate_hits", target_size=1))
    await through.put(f"/{name}-b/_settings", {"index.result.default_pipeline": f"{name}-t"})
    mixed = await through.post(f"/{name}-*/_search", {})
    assert mixed.headers["X-Pipeline-Conflict"] == f"result: {name}-a, {name}-t"
    assert len(mixed.json["hits"]["hits"]) == 3


async def test_conflicts_can_be_errors_and_the_proxy_has_defaults_of_its_own(settings: Settings, session, name: str):
    import msgspec

    changed = msgspec.structs.replace(settings, conflict="error", document_pipeline=f"{name}-d")
    proxy = Proxy(changed)
    await proxy.start()
    through = Http(proxy.url, session)
    try:
        missing = await through.put(f"/{name}-x/_doc/1", {})
        assert missing.status == 400, "a default that is not there lets nothing pass"
        await through.pipeline(f"{name}-d", "document", tag("standard"))
        await through.put(f"/{name}-x/_doc/1?refresh=true", {})
        assert await tags(through, f"{name}-x", "1") == ["standard"]
        assert "the settings of this proxy" in (await through.delete(f"/_pipeline/{name}-d")).error["reason"]
        for index in "ab":
            await through.pipeline(f"{name}-{index}", "query", native("f", "filter_query", query={"match_all": {}}))
            await through.index(f"{name}-{index}", query=f"{name}-{index}")
        refused = await through.post(f"/{name}-*/_search", {})
        assert refused.status == 400
        assert f"query: {name}-a, {name}-b" in refused.error["reason"]
    finally:
        await proxy.stop()
        await Http(settings.upstream, session).delete(f"/{settings.registry_index}")


async def test_stages_may_move_documents_and_finals_follow(through: Http, direct: Http, name: str):
    await through.pipeline(
        f"{name}-route", "document",
        {**native("move", "set", field="_index", value=f"{name}-{{{{kind}}}}"), "if": "has(doc.kind)"},
        {**native("id", "set", field="_id", value="{{key}}"), "if": "has(doc.key)"},
        {**native("route", "set", field="_routing", value="r"), "if": "has(doc.routed)"},
    )  # fmt: skip
    await through.pipeline(f"{name}-default", "document", tag("default"))
    await through.pipeline(f"{name}-final", "document", tag("final"))
    await through.index(f"{name}-in", document=f"{name}-route")
    await through.put(f"/{name}-out", {"settings": {
        "index.document.default_pipeline": f"{name}-default", "index.document.final_pipeline": f"{name}-final"}})  # fmt: skip
    bulk = await through.bulk(
        {"index": {"_index": f"{name}-in", "_id": "1"}}, {"kind": "out"},
        {"index": {"_index": f"{name}-in"}}, {"key": "k"},
        {"index": {"_index": f"{name}-in", "_id": "3"}}, {"routed": 1},
        {"create": {"_index": f"{name}-in", "_id": "4"}}, {"kind": "out", "key": "five"},
    )  # fmt: skip
    items = [next(iter(item.values())) for item in bulk.json["items"]]
    assert [(i["_index"].removeprefix(name), i["_id"], i["status"]) for i in items] == [
        ("-out", "1", 201), ("-in", "k", 201), ("-in", "3", 201), ("-out", "five", 201),
    ]  # fmt: skip
    assert await tags(direct, f"{name}-out", "1") == ["final"], "the new index's default does not run, its final does"
    assert (await direct.get(f"/{name}-in/_doc/3?routing=r")).json["_routing"] == "r"
    single = await through.put(f"/{name}-in/_doc/6?refresh=true", {"kind": "out"})
    assert (single.status, single.json["_index"], single.json["result"]) == (201, f"{name}-out", "created")
    assert await tags(direct, f"{name}-out", "6") == ["final"]
    again = await through.put(f"/{name}-in/_create/6", {"kind": "out"})
    assert (again.status, again.error["type"]) == (409, "version_conflict_engine_exception")
    registry = (await through.put(f"/{name}-in/_doc/7", {"kind": "x"})).json["_index"]
    assert registry == f"{name}-x"


async def test_a_final_pipeline_cannot_move_a_document_and_none_reaches_the_registry(
    through: Http, settings: Settings, name: str
):
    await through.pipeline(name, "document", native("move", "set", field="_index", value=f"{name}-other"))
    await through.put(f"/{name}", {"settings": {"index.document.final_pipeline": name}})
    failed = await through.put(f"/{name}/_doc/1", {})
    assert (failed.status, failed.error["reason"]) == (400, f"final pipeline [{name}] can't change the target index")
    await through.pipeline(
        f"{name}-r", "document", native("move", "set", field="_index", value=settings.registry_index)
    )
    await through.index(f"{name}-in", document=f"{name}-r")
    refused = await through.put(f"/{name}-in/_doc/1", {})
    assert (refused.status, refused.error["type"]) == (403, "security_exception")
    bulk = await through.bulk({"index": {"_index": f"{name}-in"}}, {})
    assert bulk.json["items"][0]["index"]["status"] == 403


@pytest.mark.parametrize("bad", ["<x-{red}>", "<x{now", "<{now/d{YYYY}>", "<>", "<x*{now/d}>"])
async def test_a_name_that_is_no_date_math_is_refused_as_the_node_does(
    through: Http, direct: Http, name: str, bad: str
):
    await through.pipeline(name, "document", native("m", "set", field="_index", value="{{to}}"))
    await through.pipeline(f"{name}-f", "query", native("f", "filter_query", query={"term": {"tenant": "a"}}))
    assert (await through.put(f"/{name}", {"settings": {"index.query.final_pipeline": f"{name}-f"}})).status == 200
    for method, target, body in (
        ("GET", f"/{quote(bad, safe='')}/_search", None),
        ("PUT", f"/{quote(bad, safe='')}/_doc/1", b"{}"),
        ("POST", "/_bulk", ndjson({"index": {"_index": bad, "_id": "1"}}, {})),
    ):
        theirs, ours = [await each(method, target, body, headers=NDJSON) for each in (direct, through)]
        assert ours.status == theirs.status, (target, theirs.body, ours.body)
        for said in ("type", "reason"):
            assert ours.json.get("error", {}).get(said) == theirs.json.get("error", {}).get(said), target
    sent = [each for to in (bad, name) for each in ({"index": {"_index": name}}, {"to": to})]
    several = await through.bulk(*sent, target=f"/_bulk?pipeline={name}")
    assert several.status == 200, several.body
    assert [item["index"]["status"] for item in several.json["items"]] == [400, 201], "one item is not the whole bulk"


async def test_one_document_becomes_many(through: Http, direct: Http, name: str):
    await through.udf(name, wat.answering('[{"n":1},{"n":2},{"n":3}]'))
    await through.udf(f"{name}-bad", wat.answering('[{"n":1},{"n":{"x":1}}]'))
    for pipeline in (name, f"{name}-bad"):
        await through.pipeline(pipeline, "document", wasm("w", pipeline), tag("each"))
        await through.put(f"/{pipeline}", {
            "settings": {"index.document.default_pipeline": pipeline}, "mappings": {"properties": {"n": {"type": "long"}}}})  # fmt: skip
    bulk = await through.bulk(
        {"index": {"_index": name, "_id": "a"}}, {}, {"index": {"_index": name}}, {},
        {"index": {"_index": name, "_id": "v", "version": 3, "version_type": "external"}}, {},
        {"index": {"_index": f"{name}-bad", "_id": "b"}}, {}, {"delete": {"_index": name, "_id": "none"}},
    )  # fmt: skip
    items = [next(iter(item.values())) for item in bulk.json["items"]]
    assert [item.get("expanded") for item in items] == [3, 3, None, 2, None]
    assert [item["status"] for item in items] == [201, 201, 400, 400, 404]
    assert "cannot become several" in items[2]["error"]["reason"]
    assert items[3]["_id"] == "b-1"
    found = (await direct.get(f"/{name}/_search?size=20&sort=n")).json["hits"]["hits"]
    assert sorted(hit["_source"]["n"] for hit in found) == [1, 1, 2, 2, 3, 3]
    assert {hit["_id"] for hit in found} >= {"a", "a-1", "a-2"}
    assert all(hit["_source"]["tags"] == ["each"] for hit in found)
    single = await through.put(f"/{name}/_doc/s?refresh=true", {})
    assert (single.status, single.json["_id"], single.json["expanded"]) == (201, "s", 3)
    failing = await through.put(f"/{name}-bad/_doc/s", {})
    assert (failing.status, failing.error["type"]) == (400, "mapper_parsing_exception")


async def test_a_query_pipeline_tells_the_result_pipeline(through: Http, direct: Http, name: str):
    await through.pipeline(name, "query", native("o", "oversample", sample_factor=3))
    await through.pipeline(
        name, "result",
        {**native("note", "set", field="asked", value=True), "if": "ctx.original_size == 2"},
        native("c", "collapse", field="k"), native("t", "truncate_hits"),
    )  # fmt: skip
    await through.index(name, query=name, result=name)
    for i in range(8):
        await direct.put(f"/{name}/_doc/{i}?refresh=true", {"k": i // 3, "n": i})
    found = (await through.post(f"/{name}/_search", {"size": 2, "sort": ["n"]})).json
    assert [hit["_id"] for hit in found["hits"]["hits"]] == ["0", "3"]
    assert found["asked"] is True


async def test_what_is_attached_to_an_index_deleted_past_the_proxy_can_be_detached(
    through: Http, direct: Http, name: str
):
    await through.pipeline(f"{name}-p", "document", native("d", "drop"))
    await through.put(f"/{name}", {"settings": {"index.document.final_pipeline": f"{name}-p"}})
    await direct.delete(f"/{name}")
    await asyncio.sleep(FRESH_SECONDS)
    assert (await through.delete(f"/_pipeline/{name}-p?type=document")).status == 409
    other = {"index.document.final_pipeline": f"{name}-p"}
    assert (await through.put(f"/{name}/_settings", other)).status == 400
    assert (await through.put(f"/{name}/_settings", {"index.document.final_pipeline": None})).status == 200
    assert (await through.delete(f"/_pipeline/{name}-p?type=document")).status == 200


async def test_a_restored_index_has_again_what_was_attached_to_it(through: Http, direct: Http, name: str):
    await through.pipeline(name, "query", native("f", "filter_query", query={"term": {"tenant": "a"}}))
    await through.put(f"/{name}", {"settings": {"index.query.final_pipeline": name}})
    await through.put(f"/{name}/_doc/1?refresh=true", {"tenant": "b"})
    snapshot, only = f"/_snapshot/{name}/one", {"indices": f"{name}*", "include_global_state": False}
    assert (await direct.put(f"/_snapshot/{name}", {"type": "fs", "settings": {"location": name}})).status == 200
    assert (await direct.put(f"{snapshot}?wait_for_completion=true", only)).status == 200

    async def found() -> int:
        return int((await through.post(f"/{name}/_search", {})).json["hits"]["total"]["value"])

    try:
        assert await found() == 0
        for _ in range(2):
            assert (await through.delete(f"/{name}")).status == 200
            renamed = only | {"rename_pattern": "t", "rename_replacement": "u"}
            assert (await through.post(f"{snapshot}/_restore", renamed)).status == 403
            assert (await through.put(f"/{name}", {})).status == 200
            assert "query" not in (await through.get(f"/{name}/_settings")).json[name]["settings"]["index"]
            assert (await through.post(f"{snapshot}/_restore", only)).status == 500, "it is there, and open"
            assert "query" not in (await through.get(f"/{name}/_settings")).json[name]["settings"]["index"]
            await through.post(f"/{name}/_close")
            restored = await through.post(f"{snapshot}/_restore?wait_for_completion=true", only)
            assert restored.status == 200, restored.body
            assert await found() == 0
            shown = (await through.get(f"/{name}/_settings")).json[name]["settings"]["index"]
            assert shown["query"] == {"final_pipeline": name}
        await through.delete(f"/{name}")
        assert (await through.delete(f"/_pipeline/{name}?type=query")).status == 200, "nothing has it attached"
        assert (await through.post(f"{snapshot}/_restore?wait_for_completion=true", only)).status == 200
        assert (await through.post(f"/{name}/_search", {})).status >= 400, "fails closed"
    finally:
        await direct.delete(f"{snapshot}")
        await direct.delete(f"/_snapshot/{name}")


async def test_a_backing_index_does_not_come_back_without_its_data_stream(through: Http, direct: Http, name: str):
    await through.pipeline(name, "query", native("f", "filter_query", query={"term": {"tenant": "a"}}))
    template = {"index_patterns": [f"{name}*"], "data_stream": {}, "priority": 9999}
    await direct.put(f"/_index_template/{name}", template)
    await direct.put(f"/_data_stream/{name}")
    assert (await through.put(f"/{name}/_settings", {"index.query.final_pipeline": name})).status == 200
    await through.post(f"/{name}/_doc?refresh=true", {"@timestamp": "2024-01-01", "tenant": "b"})
    snapshot, backing = f"/_snapshot/{name}/one", f".ds-{name}-000001"
    only = {"indices": name, "include_global_state": False}
    assert (await direct.put(f"/_snapshot/{name}", {"type": "fs", "settings": {"location": name}})).status == 200
    assert (await direct.put(f"{snapshot}?wait_for_completion=true", only)).status == 200
    restore = f"{snapshot}/_restore?wait_for_completion=true"
    try:
        assert (await through.delete(f"/_data_stream/{name}")).status == 200
        for wanted in (backing, [backing], f".ds-{name}*", f"{backing},nothing*", f".ds-*,{name},-{name}"):
            refused = await through.post(restore, {"indices": wanted})
            assert refused.status == 403, (wanted, refused.body)
        assert (await through.post(restore, {"indices": [f"{name}*"]})).status == 200
        for target in (name, backing):
            found = await through.post(f"/{target}/_search", {})
            assert (found.status, found.json["hits"]["hits"]) == (200, [])
    finally:
        await direct.delete(f"/_data_stream/{name}")
        await direct.delete(f"/_index_template/{name}")
        await direct.delete(snapshot)
        await direct.delete(f"/_snapshot/{name}")


async def test_an_alias_that_moves_while_a_bulk_is_planned(
    through: Http, direct: Http, name: str, monkeypatch: pytest.MonkeyPatch
):
    """Names read anew in the middle of a bulk: what is kept of it for the next one is of one moment."""
    await through.pipeline(name, "document", tag("first"))
    await through.index(f"{name}-1", document=name)
    await through.index(f"{name}-2")
    alias = f"{name}-alias"
    here, there = ({"index": f"{name}-{n}", "alias": alias} for n in (1, 2))
    await through.post("/_aliases", {"actions": [{"add": here}]})
    monkeypatch.setattr(resolver, "FRESH_SECONDS", 3600)
    await through.bulk({"index": {"_index": alias}}, {})
    await direct.post("/_aliases", {"actions": [{"remove": here}, {"add": there}]})
    await direct.put(f"/{name}-new")
    await asyncio.sleep(2 * resolver.AGAIN_SECONDS)
    for id_ in ("during", "after"):
        lines = [{"index": {"_index": alias, "_id": id_}}, {}, {"index": {"_index": f"{name}-new"}}, {}]
        assert not (await through.bulk(*lines)).json["errors"]
    assert await tags(direct, f"{name}-2", "after") == []
