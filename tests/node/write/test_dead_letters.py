"""Dead letters of bulks and of single writes, in front of a real node."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from headrace.protocol.indices import dead_letters
from headrace.protocol.indices.dead_letter_record import text_of
from tests.conftest import NDJSON, Http, native, ndjson, running_proxy, settings_for, wasm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STRICT = {
    "dynamic": "strict",
    "properties": {"n": {"type": "long"}, "when": {"type": "date"}, "t": {"type": "keyword"}},
}
NUMBER = native("number", "convert", field="n", type="long", ignore_missing=True)


@pytest.fixture
async def stream(direct: Http, name: str) -> AsyncIterator[str]:
    """A stream of dead letters by the shipped template."""
    stream = f"{name}-dead"
    made = await direct.put(f"/_index_template/{stream}", dead_letters.template(stream))
    assert made.status == 200, made.body
    yield stream
    await direct.delete(f"/_data_stream/{stream}")
    await direct.delete(f"/_index_template/{stream}")


async def records(direct: Http, stream: str) -> list[dict[str, Any]]:
    await direct.post(f"/{stream}/_refresh")
    found = (await direct.post(f"/{stream}/_search", {"size": 100, "sort": ["@timestamp"]})).json
    return [
        hit["_source"] | {"_id": hit["_id"], "_index": hit["_index"]} for hit in found.get("hits", {}).get("hits", [])
    ]


async def index(direct: Http, name: str) -> None:
    settings = {"number_of_shards": 1, "number_of_replicas": 0}
    made = await direct.put(f"/{name}", {"settings": settings, "mappings": STRICT})
    assert made.status == 200


async def attach(through: Http, pattern: str, **body: Any) -> None:
    made = await through.put(f"/_pipeline/_association/{pattern}", body)
    assert made.status == 201, made.body


async def test_documents_that_fail_are_kept_before_the_answer(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await through.pipeline(name, "document", NUMBER, dead_letters={"stream": stream})
    await attach(through, name, document=name)
    text = '{"n": "many",  "t":"\\u00e9"}'
    answer = await through.bulk(
        {"index": {"_index": name, "_id": "1"}}, {"n": "7"},
        {"index": {"_index": name, "_id": "2", "routing": "r"}}, text,
        {"create": {"_index": name}}, {"when": "never"},
        {"index": {"_index": name, "_id": "4"}}, {"unmapped": 1},
        {"delete": {"_index": name, "_id": "5"}},
    )  # fmt: skip
    items = [next(iter(item.values())) for item in answer.json["items"]]
    assert [item["status"] for item in items] == [201, 400, 400, 400, 404]
    assert answer.json["errors"] is True
    found = {record["_id"]: record for record in await records(direct, stream)}
    assert len(found) == 3
    assert "dead_letter" not in items[0]
    stage, date, strict = (found[item["dead_letter"]["_id"]] for item in items[1:4])
    assert [item["dead_letter"]["_index"] for item in items[1:4]] == [r["_index"] for r in (stage, date, strict)]
    assert stage["original"] == text
    assert (stage["op"], stage["target"], stage["id"], stage["routing"]) == ("index", name, "2", "r")
    assert (stage["cause"], stage["pipeline"], stage["version"], stage["stage"]) == ("pipeline", name, "1", "number")
    assert (date["cause"], date["error"]["type"]) == ("mapping", "mapper_parsing_exception")
    assert date["error"]["field"] == "when"
    assert "id" not in date
    assert date["attempt"] == 1
    assert strict["error"]["type"] == "strict_dynamic_mapping_exception"
    assert len({record["group"] for record in found.values()}) == 3


async def test_accepted_documents_look_indexed(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await attach(through, f"{name}*", dead_letters={"stream": stream, "answer": "accepted"})
    lines = ({"index": {"_index": name}}, {"n": "x"}, {"create": {"_index": name, "_id": "1"}}, {"n": "y"})
    answer = await through.bulk(*lines)
    first, second = (next(iter(item.values())) for item in answer.json["items"])
    assert answer.json["errors"] is False
    assert (first["status"], first["dead_lettered"], first["result"]) == (201, True, "created")
    assert first["_id"] == first["dead_letter"]["_id"]
    assert second["_id"] == "1"
    assert len(await records(direct, stream)) == 2
    # The same bulk again: the document with an id is the same, the other one counts again.
    await through.bulk(*lines)
    assert len(await records(direct, stream)) == 3
    single = await through.post(f"/{name}/_doc", {"n": "z"})
    assert single.status == 201
    assert single.json["dead_lettered"] is True
    updated = await through.post(f"/{name}/_update/9", {"doc": {"n": "q"}, "doc_as_upsert": True})
    assert updated.status == 201
    last = {record["op"]: record for record in await records(direct, stream)}["update"]
    assert last["original"] == '{"doc": {"n": "q"}, "doc_as_upsert": true}'


async def test_single_writes_stay_errors(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await through.pipeline(name, "document", NUMBER, dead_letters={"stream": stream})
    await attach(through, name, document=name)
    text = b'{"n":\n "many"}'
    failed = await through.put(f"/{name}/_doc/1?routing=r", text)
    assert failed.status == 400
    assert failed.json["error"]["stage"] == "number"
    (record,) = await records(direct, stream)
    assert failed.json["dead_letter"] == {"_index": record["_index"], "_id": record["_id"]}
    assert record["original"].encode() == text
    assert (record["id"], record["routing"]) == ("1", "r")
    refused = await through.put(f"/{name}/_create/2", {"when": "never"})
    assert refused.status == 400
    assert refused.json["error"]["type"] == "mapper_parsing_exception"
    assert "dead_letter" in refused.json
    unknown = await through.put(f"/{name}/_doc/3?foo=1", {"when": "never"})
    assert "dead_letter" not in unknown.json
    indexed = await through.put(f"/{name}/_doc/4", {"n": "5"})
    assert (indexed.status, indexed.json["result"]) == (201, "created")
    conflict = await through.put(f"/{name}/_create/4", {"n": "5"})
    assert conflict.status == 409
    assert len(await records(direct, stream)) == 2


async def test_the_pipeline_goes_before_the_pattern(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await through.pipeline(name, "document", NUMBER, dead_letters={"on": []})
    await through.pipeline(f"{name}-only", "document", NUMBER, dead_letters={"stream": stream, "on": ["mapping"]})
    await attach(through, name, document=name, dead_letters={"stream": stream})
    lines = ({"index": {"_index": name}}, {"n": "x"}, {"index": {"_index": name}}, {"when": "x"})
    answer = await through.bulk(*lines)
    assert not any("dead_letter" in item["index"] for item in answer.json["items"])
    answer = await through.bulk(*lines, target=f"/_bulk?pipeline={name}-only")
    assert ["dead_letter" in item["index"] for item in answer.json["items"]] == [False, True]
    (record,) = await records(direct, stream)
    assert (record["named"], record["pipeline"]) == (f"{name}-only", f"{name}-only")
    answer = await through.bulk(*lines, target="/_bulk?pipeline=_none")
    assert ["dead_letter" in item["index"] for item in answer.json["items"]] == [True, True]


async def test_documents_whose_records_cannot_be_written(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await attach(through, name, dead_letters={"stream": stream, "answer": "accepted"})
    await through.bulk({"index": {"_index": name}}, {"n": "x"})
    await direct.put(f"/{stream}/_settings", {"index.blocks.write": True})
    answer = await through.bulk({"index": {"_index": name}}, {"n": "x"})
    assert answer.json["errors"] is True
    assert answer.json["items"][0]["index"]["status"] == 429
    assert (await through.post(f"/{name}/_doc", {"n": "x"})).status == 429
    assert (await through.put(f"/_pipeline/_association/{name}", {"dead_letters": {"stream": stream}})).status == 200
    answer = await through.bulk({"index": {"_index": name}}, {"n": "x"})
    assert answer.json["items"][0]["index"]["status"] == 400
    assert "dead_letter" not in answer.json["items"][0]["index"]


@pytest.mark.parametrize("answer", ["error", "accepted"])
async def test_documents_over_the_limit_are_to_be_sent_again(
    through: Http, direct: Http, name: str, stream: str, answer: str
):
    await index(direct, name)
    await attach(through, name, dead_letters={"stream": stream, "answer": answer})
    line = ({"index": {"_index": name}}, {"n": "x"})
    answered = await through.post("/_bulk", ndjson(*(line * 1200)), headers=NDJSON)
    statuses = [item["index"]["status"] for item in answered.json["items"]]
    kept = {"error": 400, "accepted": 201}[answer]
    assert set(statuses) == {kept, 429}
    assert 1000 <= statuses.count(kept) < 1200
    await direct.post(f"/{stream}/_refresh")
    assert (await direct.get(f"/{stream}/_count")).json["count"] == statuses.count(kept)


async def test_texts_that_are_none_survive(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await through.pipeline(name, "document", NUMBER, dead_letters={"stream": stream})
    await attach(through, name, document=name)
    texts = [b'{"n":"\xff\xfe"}', b'{"n":"\\ud800"}', b'{"n":"\x7f\xc2\x80"}', b'{"n":', b"\xef\xbb\xbf{}"]
    body = b"".join(b'{"index":{"_index":"%b"}}\n%b\n' % (name.encode(), text) for text in texts)
    answer = await through.post("/_bulk", body, headers=NDJSON)
    failed = [text for text, item in zip(texts, answer.json["items"], strict=True) if item["index"]["status"] == 400]
    assert len(failed) >= 4
    found = await records(direct, stream)
    assert sorted(text_of(record) for record in found) == sorted(failed)


async def test_a_document_that_became_several_is_one_record(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    code = "def process(doc):\n    return [dict(doc, n=1), dict(doc, n='x')]\n"
    made = await through.put(f"/_udf/{name}?version=1", code.encode(), headers={"Content-Type": "text/x-python"})
    assert made.status == 201, made.body
    await through.pipeline(name, "document", wasm("split", name), dead_letters={"stream": stream})
    await attach(through, name, document=name)
    answer = await through.bulk({"index": {"_index": name}}, {"t": "a"})
    assert answer.json["items"][0]["index"]["expanded"] == 2
    (record,) = await records(direct, stream)
    assert (record["parts"], record["original"]) == (2, '{"t": "a"}')
    single = await through.post(f"/{name}/_doc", {"t": "b"})
    assert single.status == 400
    assert "dead_letter" in single.json


async def test_records_are_written_by_their_own_user(node: str, tmp_path: Path, direct: Http, name: str, stream: str):
    seen: list[tuple[str, str]] = []

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        if request.path == "/_bulk":
            seen.append((stream if stream.encode() in body else name, str(sorted(request.headers.items()))))
        headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        answer = await direct(request.method, request.path_qs, body or None, headers=headers)
        return web.Response(status=answer.status, body=answer.body, content_type="application/json")

    await index(direct, name)
    recording = web.Server(forward)
    runner = web.ServerRunner(recording)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    settings = settings_for(
        f"http://127.0.0.1:{port}", tmp_path, dead_letter_user="keeper", dead_letter_password="hushed"
    )
    try:
        async with running_proxy(settings, direct.session) as through:
            await attach(through, name, dead_letters={"stream": stream})
            own = {"Authorization": "Basic b3duOm93bg==", "Cookie": "a=owncookie", **NDJSON}
            body = ndjson({"index": {"_index": name}}, {"n": "x"})
            answer = await through.post("/_bulk", body, headers=own)
            assert "dead_letter" in answer.json["items"][0]["index"]
    finally:
        await runner.cleanup()
    keeper = base64.b64encode(b"keeper:hushed").decode()
    assert [who for who, _ in seen] == [name, stream]
    assert ("b3duOm93bg==" in seen[0][1], keeper in seen[0][1]) == (True, False)
    assert ("b3duOm93bg==" in seen[1][1], "owncookie" in seen[1][1], keeper in seen[1][1]) == (False, False, True)
    (record,) = await records(direct, stream)
    assert record["user"] == "own"


@pytest.mark.parametrize("may_write", [True, False])
async def test_who_may_not_write_leaves_no_record(
    node: str, tmp_path: Path, direct: Http, name: str, stream: str, may_write: bool
):
    """A document that a stage fails never comes to the cluster: nobody else asks who has sent it."""

    async def forward(request: web.Request) -> web.Response:
        if request.query_string == "perform_permission_check=true" and request.path.endswith("/_doc"):
            return web.json_response({"accessAllowed": may_write, "missingPrivileges": ["indices:data/write/index"]})
        body = await request.read()
        headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        answer = await direct(request.method, request.path_qs, body or None, headers=headers)
        return web.Response(status=answer.status, body=answer.body, content_type="application/json")

    await index(direct, name)
    runner = web.ServerRunner(web.Server(forward))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = settings_for(f"http://127.0.0.1:{runner.addresses[0][1]}", tmp_path)
    try:
        async with running_proxy(settings, direct.session) as through:
            await through.pipeline(name, "document", NUMBER, dead_letters={"stream": stream, "answer": "accepted"})
            answer = await through.bulk({"index": {"_index": name}}, {"n": "many"}, target=f"/_bulk?pipeline={name}")
    finally:
        await runner.cleanup()
    (item,) = [item["index"] for item in answer.json["items"]]
    assert item["status"] == (201 if may_write else 400)
    assert len(await records(direct, stream)) == (1 if may_write else 0)


async def test_a_pipeline_that_keeps_nothing_has_the_last_word(through: Http, direct: Http, name: str, stream: str):
    await index(direct, name)
    await through.pipeline(f"{name}-f", "document", NUMBER, dead_letters={"stream": stream, "on": []})
    await through.pipeline(
        f"{name}-d", "document", native("a", "set", field="a", value=1), dead_letters={"stream": stream}
    )
    body = {"index.document.default_pipeline": f"{name}-d", "index.document.final_pipeline": f"{name}-f"}
    assert (await through.put(f"/{name}/_settings", body)).status == 200
    answer = await through.bulk({"index": {"_index": name}}, {"n": "many"})
    assert "dead_letter" not in answer.json["items"][0]["index"]
    assert await records(direct, stream) == []
