"""Updates where final pipelines hold: every text of them is a document, and none shows what is hidden."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import NDJSON, native

if TYPE_CHECKING:
    from tests.conftest import Http

SET = native("mark", "set", field="mark", value="final")


async def final(through: Http, name: str, kind: str, *stages: dict[str, Any]) -> None:
    await through.pipeline(name, kind, *stages)
    settings = {"number_of_shards": 1, "number_of_replicas": 0, f"index.{kind}.final_pipeline": name}
    assert (await through.put(f"/{name}", {"settings": settings})).status == 200


async def update(http: Http, name: str, id_: str, source: Any, *, bulk: bool, target: str = "") -> tuple[int, Any]:
    """Status and answer of an update, alone or in a bulk."""
    text = source if isinstance(source, str) else json.dumps(source)
    if not bulk:
        answer = await http.post(f"/{name}/_update/{id_}{target}", text)
        return answer.status, answer.json
    body = f'{{"update":{{"_id":"{id_}"}}}}\n{text}\n'
    answer = await http.post(f"/{name}/_bulk{target}", body, headers=NDJSON)
    if answer.status != 200:
        return answer.status, answer.json
    item = answer.json["items"][0]["update"]
    return item["status"], item


async def source(direct: Http, name: str, id_: str) -> Any:
    return (await direct.get(f"/{name}/_doc/{id_}")).json.get("_source")


@pytest.mark.parametrize("bulk", [False, True], ids=["alone", "bulk"])
async def test_each_text_of_an_update_is_a_document(through: Http, direct: Http, name: str, bulk: bool):
    await final(through, name, "document", SET)
    both = {"doc": {"a": 1}, "upsert": {"b": 2}}
    assert (await update(through, name, "1", both, bulk=bulk))[0] == 201
    assert await source(direct, name, "1") == {"b": 2, "mark": "final"}
    assert (await update(through, name, "1", both, bulk=bulk))[0] == 200
    assert await source(direct, name, "1") == {"b": 2, "mark": "final", "a": 1}
    status, answer = await update(through, name, "1", both, bulk=bulk)
    assert (status, answer["result"]) == (200, "noop")
    assert (await update(through, name, "2", both | {"doc_as_upsert": True}, bulk=bulk))[0] == 201
    assert await source(direct, name, "2") == {"a": 1, "mark": "final"}
    assert (await update(through, name, "3", {"doc": {"a": 1}}, bulk=bulk))[0] == 404


@pytest.mark.parametrize("bulk", [False, True], ids=["alone", "bulk"])
@pytest.mark.parametrize("member", ["doc", "upsert"])
async def test_a_text_that_is_dropped_or_fails_is_not_written(
    through: Http, direct: Http, name: str, member: str, bulk: bool
):
    stages = [
        native("d", "drop") | {"if": "doc.drop == 'x'"},
        native("f", "fail", message="no") | {"if": "doc.fail == 'x'"},
        SET,
    ]
    await final(through, name, "document", *stages)
    await direct.put(f"/{name}/_doc/1", {"mark": "final"})
    other = {"doc": "upsert", "upsert": "doc"}[member]
    for id_ in ("1", "2"):
        status, answer = await update(through, name, id_, {member: {"drop": "x"}, other: {"b": 1}}, bulk=bulk)
        assert (status, answer["result"]) == (200, "noop")
        status, answer = await update(through, name, id_, {other: {"b": 1}, member: {"fail": "x"}}, bulk=bulk)
        assert (status, answer["error"]["type"]) == (400, "fail_processor_exception"), answer
    assert await source(direct, name, "1") == {"mark": "final"}
    assert await source(direct, name, "2") is None


@pytest.mark.parametrize("bulk", [False, True], ids=["alone", "bulk"])
async def test_scripts_and_unknown_members_are_refused(through: Http, direct: Http, name: str, bulk: bool):
    await final(through, name, "document", SET)
    await direct.put(f"/{name}/_doc/1", {"a": 1})
    for text, wanted in (
        ({"script": "ctx._source.a = 2"}, 403),
        ({"script": "ctx._source.a = 2", "upsert": {}, "scripted_upsert": True}, 403),
        ('{"scr\\u0069pt":"ctx._source.a = 2"}', 403),
        ({"doc": {"a": 2}, "document": {}}, 400),
        ({"doc": [{"a": 2}]}, 400),
        ('{"doc":{"a":2},"doc":{"a":3}}', 400),
        ('{"doc":{"a":2,"\\u0061":3}}', 400),
    ):
        status, answer = await update(through, name, "1", text, bulk=bulk)
        assert status == wanted, (text, answer)
        if wanted == 403:
            assert answer["error"]["type"] == "security_exception"
            assert "doc" in answer["error"]["reason"]
    assert await source(direct, name, "1") == {"a": 1}


@pytest.mark.parametrize("bulk", [False, True], ids=["alone", "bulk"])
@pytest.mark.parametrize("documents", [False, True], ids=["no-document-pipeline", "document-pipeline"])
@pytest.mark.parametrize("kind", ["query", "result"])
async def test_updates_show_nothing_that_is_hidden(
    through: Http, direct: Http, name: str, kind: str, documents: bool, bulk: bool
):
    stage = {
        "query": native("mine", "filter_query", query={"term": {"tenant": "a"}}),
        "result": native("mask", "mask", fields=["secret"]),
    }
    if documents:
        await through.pipeline(f"{name}-d", "document", SET)
    await final(through, name, kind, stage[kind])
    await direct.put(f"/{name}-plain", {"settings": {"number_of_replicas": 0}})
    await direct.put(f"/{name}/_alias/{name}-alias")
    for index in (name, f"{name}-plain"):
        await direct.put(f"/{index}/_doc/1?refresh=true", {"tenant": "a", "secret": "zebra"})
    doc = {"doc": {"x": 1}}
    asked: list[tuple[Any, str]] = [
        (doc, "?_source=true"), (doc, "?_source"), (doc, "?_source_includes=secret"), (doc, "?_source_excludes=x"), (doc, "?x;_source=secret"),
        (doc | {"_source": True}, ""), (doc | {"_source": "secret"}, ""), (doc | {"_source": ["s*"]}, ""), (doc | {"_source": {"includes": "*"}}, ""),
        ('{"doc":{"x":1},"_sourc\\u0065":true}', ""), ('{"doc":{"x":1},"_source":false,"_source":true}', ""), ('/**/{"doc":{"x":1},"_source":true}', ""),
        ({"script": "throw new Exception(ctx._source.secret)"}, ""), ({"script": "ctx.op = ctx._source.secret"}, ""), (doc | {"fields": ["secret"]}, ""),
    ]  # fmt: skip
    for index in (name, f"{name}-alias"):
        for text, target in asked:
            status, answer = await update(through, index, "1", text, bulk=bulk, target=target)
            assert status in (400, 403), (text, target, answer)
            assert "zebra" not in json.dumps(answer)
    for line in ('"_source":true', '"_source":"secret"', '"_sourc\\u0065":true', '"routing":"1","_source":"*"'):
        for head in (f'{{"update":{{"_id":"1",{line}}}}}', f'{{"upd\\u0061te":{{"_id":"1",{line}}}}}'):
            shown = await through.post(f"/{name}/_bulk", f"{head}\n{json.dumps(doc)}\n", headers=NDJSON)
            assert (b"zebra" in shown.body, b"403" in shown.body) == (False, True), (head, shown.body)
    wide = [part.encode("utf-16-be") for part in ('{"update":{"_id":"1","_source":true}}', json.dumps(doc))]
    assert (await through.post(f"/{name}/_bulk", b"\n".join([*wide, b""]), headers=NDJSON)).status == 400
    assert b"zebra" in (await direct.post(f"/{name}/_bulk", b"\n".join([*wide, b""]), headers=NDJSON)).body
    for text in (doc, doc | {"_source": False}):
        status, answer = await update(through, name, "1", text, bulk=bulk)
        assert status == 200, answer
    status, answer = await update(through, f"{name}-plain", "1", doc, bulk=bulk, target="?_source=true")
    assert (status, answer["get"]["_source"]["secret"]) == (200, "zebra")
    status, answer = await update(through, f"{name}-plain", "1", {"script": "ctx._source.n = 1"}, bulk=bulk)
    assert status == 200
