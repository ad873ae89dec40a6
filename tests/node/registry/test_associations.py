"""Patterns, templates, aliases, data streams and final pipelines, on a real node."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from headrace.protocol.indices import resolver
from tests.conftest import NDJSON, Http, native


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
        (
            "x*",
            {"documents": "a"},
            "unknown field [documents]: did you mean [document]? Fields: priority, document, query, result",
        ),
        ("x*", {"document": {"first": "a"}}, "Fields: default, default_pipeline"),
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
