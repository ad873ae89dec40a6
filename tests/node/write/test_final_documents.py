"""Final document pipelines on every text that reaches an index: what gets past them, and what has to work as before."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import NDJSON, native, running_proxy, settings_for
from tests.node.write.hostile_writes import DOCUMENT, SEED, SPELLINGS, Way, ways

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from tests.conftest import Http

MAPPING = {
    "settings": {"number_of_shards": 1, "number_of_replicas": 0},
    "mappings": {"properties": {"level": {"type": "keyword"}, "mark": {"type": "keyword"}, "text": {"enabled": False}}},
}
MARK = native("mark", "set", field="mark", value="final")
FINALS = {"every": [MARK], "some": [MARK | {"if": "doc.level == 'secret'"}]}
PAST = {
    "every": {"bool": {"must_not": {"term": {"mark": "final"}}}},
    "some": {"bool": {"must": {"term": {"level": "secret"}}, "must_not": {"term": {"mark": "final"}}}},
}
"""What finds documents that a final pipeline has not had, as the cluster understands them."""


async def prepare(through: Http, direct: Http, index: str, final: str) -> None:
    """An index with a final pipeline and a document in it, one without beside it."""
    await through.pipeline(f"{index}-p", "document", *FINALS[final])
    settings = MAPPING["settings"] | {"index.document.final_pipeline": f"{index}-p"}
    made = await through.put(f"/{index}", MAPPING | {"settings": settings, "aliases": {f"{index}-alias": {}}})
    assert made.status == 200, made.body
    for plain in (f"{index}-free", f"{index}-free2"):
        assert (await through.put(f"/{plain}", MAPPING)).status == 200
    await direct.put(f"/{index}/_doc/{SEED}", {"level": "public", "mark": "final", "text": "x"})
    await direct.put(f"/{index}-free/_doc/1?refresh=true", DOCUMENT)


async def send(through: Http, way: Way, index: str) -> int:
    path = way.path.replace("{i}", index)
    escaped = f"{ord(index[0]):02x}{index[1:]}".encode()
    body = way.body.replace(b"\0i", index.encode()).replace(b"\0x", escaped)
    return (await through(way.method, path, body, headers=way.headers)).status


@pytest.mark.timeout(900)
@pytest.mark.parametrize("final", FINALS)
async def test_no_text_gets_past_a_final_document_pipeline(through: Http, direct: Http, name: str, final: str):
    await prepare(through, direct, name, final)
    past: list[str] = []
    every = list(ways())
    assert len(every) > 500
    taken = 0
    for way in every:
        status = await send(through, way, name)
        taken += status < 300
        assert status < 500 or status == 501, (way, status)
        await direct.post(f"/{name}/_refresh")
        found = (await direct.post(f"/{name}/_count", {"query": PAST[final]})).json["count"]
        if found:
            past.append(f"{way.title}: {status}")
            await direct.post(f"/{name}/_delete_by_query?refresh=true", {"query": PAST[final]})
            await direct.put(f"/{name}/_doc/{SEED}", {"level": "public", "mark": "final", "text": "x"})
    assert not past, f"{len(past)} of {len(every)}: " + "\n".join(past[:40])
    assert taken > 200, "most of what is well spelled is written"


@pytest.mark.parametrize("final", FINALS)
async def test_the_same_ways_get_past_without_it(through: Http, direct: Http, name: str, final: str):
    """So that the ways above are some: without the pipeline many of them leave a document that it would have changed."""
    for index in (name, f"{name}-free", f"{name}-free2"):
        await direct.put(f"/{index}", MAPPING)
    past = 0
    for way in list(ways())[::7]:
        await send(direct, way, name)
        await direct.post(f"/{name}/_refresh")
        past += (await direct.post(f"/{name}/_count", {"query": PAST[final]})).json.get("count", 0)
        await direct.post(f"/{name}/_delete_by_query?refresh=true", {"query": {"match_all": {}}})
    assert past > 25, past


async def test_where_a_document_goes_is_judged_whatever_sent_it_there(through: Http, direct: Http, name: str):
    """A default pipeline that moves it, a pattern that its index meets before it is there, date math, a data stream."""
    await prepare(through, direct, name, "some")
    await through.pipeline(f"{name}-move", "document", native("to", "set", field="_index", value=name))
    await through.put(f"/{name}-free/_settings", {"index.document.default_pipeline": f"{name}-move"})
    await through.put(f"/_pipeline/_association/{name}-new*", {"document": {"final": f"{name}-p"}})
    for text in SPELLINGS.values():
        for path in (f"/{name}-free/_bulk", f"/{name}-new/_bulk", f"/%3C{name}-new-%7Bnow%2Fd%7D%3E/_bulk"):
            await through.post(path, b'{"index":{}}\n' + text + b"\n", headers=NDJSON)
    await direct.post(f"/{name}*/_refresh")
    past = (await direct.post(f"/{name},{name}-new*/_count", {"query": PAST["some"]})).json
    marked = (await direct.post(f"/{name},{name}-new*/_count", {"query": {"term": {"mark": "final"}}})).json
    assert (past["count"], marked["count"] > 30) == (0, True), (past, marked)


def documents(random_: random.Random) -> dict[str, Any]:
    more = random_.choice([{}, {"o": {"x": [1, 2.50, None]}}, {"u": "é\U0001f600\n"}, {"n": "no number"}, {"n": 1}])
    return {"level": random_.choice(["public", "secret"]), "text": random_.randint(0, 3), **more}


def lines_of(random_: random.Random) -> bytes:
    lines: list[str] = []
    for _ in range(random_.randint(1, 8)):
        op = random_.choice(["index", "create", "update", "update", "delete"])
        about: dict[str, Any] = {"_id": str(random_.randint(0, 9))}
        if random_.random() < 0.1:
            about |= {"if_seq_no": random_.randint(0, 5), "if_primary_term": 1}
        lines.append(json.dumps({op: about}))
        doc = documents(random_)
        if op == "update":
            lines.append(json.dumps(random_.choice([
                {"doc": doc}, {"doc": doc, "doc_as_upsert": True}, {"doc": doc, "upsert": documents(random_)}, {"doc": doc, "detect_noop": False},
                {"doc": {}}, {"doc": doc, "_source": True}, {"doc": doc, "doc_as_upsert": True, "upsert": documents(random_)},
            ])))  # fmt: skip
        elif op != "delete":
            lines.append(json.dumps(doc, separators=random_.choice([(",", ":"), None, (" , ", " : ")])))
    return "".join(line + random_.choice(["\n", "\r\n"]) for line in lines).encode()


def told(answer: Any, index: str) -> Any:
    body = json.loads(answer.body.replace(index.encode(), b"{i}"))
    for entry in (*body.get("items", ()), {"": body}):
        for item in entry.values():
            if isinstance(error := item.get("error"), dict):
                item["error"] = error["type"]
    return answer.status, {key: value for key, value in body.items() if key not in ("took", "ingest_took")}


async def test_a_final_pipeline_that_changes_nothing_changes_nothing(through: Http, direct: Http, name: str):
    sides = [(direct, f"{name}-d"), (through, f"{name}-t")]
    await through.pipeline(name, "document", native("none", "remove", field="never", ignore_missing=True))
    mapping = {"properties": {"n": {"type": "long"}, "level": {"type": "keyword"}}}
    for http, index in sides:
        settings = MAPPING["settings"] | ({"index.document.final_pipeline": name} if http is through else {})
        assert (await http.put(f"/{index}", {"settings": settings, "mappings": mapping})).status == 200
    random_ = random.Random(7)
    for n in range(150):
        id_, op = random_.randint(0, 9), random_.choice(["_doc", "_doc", "_create", "_update"])
        doc = json.dumps(documents(random_), indent=random_.choice([None, 1]))
        single = f'{{"doc":{doc}, "doc_as_upsert" : true}}' if op == "_update" else doc
        request = random_.choice([
            ("POST", "/{i}/_bulk", lines_of(random_), NDJSON), ("POST", f"/{{i}}/{op}/{id_}", single, None), ("POST", f"/{{i}}/{op}/{id_}", single, None),
            ("POST", f"/{{i}}/_update/{id_}?_source=true", f'{{"doc":{doc}}}', None),
        ])  # fmt: skip
        method, path, body, headers = request
        answers = [told(await http(method, path.replace("{i}", i), body, headers=headers), i) for http, i in sides]
        assert answers[0] == answers[1], (n, request)
    stored = []
    for http, index in sides:
        await http.post(f"/{index}/_refresh")
        hits = (await direct.get(f"/{index}/_search?sort=_seq_no&size=99&version=true")).body
        stored.append(hits.replace(index.encode(), b"").partition(b'"hits":')[2])
    assert stored[0] == stored[1]


async def test_a_pipeline_of_the_cluster_is_refused_by_a_setting(
    node: str, tmp_path: Path, session: aiohttp.ClientSession, direct: Http, name: str
):
    await direct.put(f"/_ingest/pipeline/{name}-moves", {"processors": [{"set": {"field": "_index", "value": name}}]})
    for setting, status in (("allow", 201), ("refuse", 403)):
        async with running_proxy(
            settings_for(node, tmp_path / setting, cluster_ingest_pipelines=setting), session
        ) as through:
            await prepare(through, direct, name, "every")
            path, line = f"/{name}-free", {"index": {"pipeline": f"{name}-moves"}}
            assert (await through.post(f"{path}/_doc?pipeline={name}-moves", DOCUMENT)).status == status
            answer = await through.bulk({"index": {}}, DOCUMENT, line, DOCUMENT, target=f"{path}/_bulk")
            assert [item["index"]["status"] for item in answer.json["items"]] == [201, status]
            answer = await through.bulk({"index": {}}, DOCUMENT, target=f"{path}/_bulk?pipeline={name}-moves")
            assert answer.status == (200 if status == 201 else 403)
            assert (await through.post(f"{path}/_doc?pipeline=_none", DOCUMENT)).status == 201
            reindex = {
                "source": {"index": f"{name}-free"},
                "dest": {"index": f"{name}-free2", "pipeline": f"{name}-moves"},
            }
            assert (await through.post("/_reindex", reindex)).status == (200 if status == 201 else 403)
            await direct.delete(f"/{name},{name}-free,{name}-free2")
    await direct.delete(f"/_ingest/pipeline/{name}-moves")


async def test_a_backing_index_of_a_data_stream_is_judged_as_the_stream(through: Http, direct: Http, name: str):
    await through.pipeline(f"{name}-p", "document", MARK)
    await through.put(f"/_pipeline/_association/{name}*", {"document": {"final": f"{name}-p"}})
    template = {"index_patterns": [f"{name}*"], "data_stream": {}, "template": MAPPING, "priority": 900}
    assert (await direct.put(f"/_index_template/{name}", template)).status == 200
    try:
        assert (await direct.put(f"/_data_stream/{name}-s")).status == 200
        backing = f".ds-{name}-s-000001"
        doc = '{"@timestamp":"2026-01-01","level":"secret"}'
        for at, index in enumerate((f"{name}-s", backing, f"{name}-new")):
            for target, lines in (
                (f"/{index}/_bulk", '{"create":{}}'),
                ("/_bulk", f'{{"create":{{"_index":"{index}"}}}}'),
            ):
                answer = await through.post(target, f"{lines}\n{doc}\n", headers=NDJSON)
                assert answer.status == 200, (at, answer.body)
            await through.post(f"/{index}/_doc", doc)
        await through.post(f"/{backing}/_bulk", f'{{"index":{{"_id":"1"}}}}\n{doc}\n', headers=NDJSON)
        await direct.post(f"/{name}-*/_refresh")
        past = (await direct.post(f"/{name}-s,{name}-new/_count", {"query": PAST["every"]})).json["count"]
        every = (await direct.post(f"/{name}-s,{name}-new/_count", {"query": {"match_all": {}}})).json["count"]
        assert (past, every > 5) == (0, True), (past, every)
    finally:
        await direct.delete(f"/_data_stream/{name}-*")
        await direct.delete(f"/_index_template/{name}")
