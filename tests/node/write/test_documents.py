"""Document pipelines on `_bulk`, `_doc` and `_create`, in front of a real node."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from examples import build
from tests.conftest import NDJSON, Http, native, ndjson, wasm

SET = native("env", "set", field="env", value="prod")
LOWER = native("level", "lowercase", field="level")


async def source(http: Http, index: str, id_: str) -> Any:
    return (await http.get(f"/{index}/_doc/{id_}")).json.get("_source")


async def test_a_bulk_with_several_outcomes_keeps_its_order(through: Http, direct: Http, name: str):
    await through.udf(name, build.module("keep_level.wat").decode())
    await through.pipeline(name, "document", wasm("no-debug", name), SET, LOWER)
    await through.index(name, document=name)
    await through.index(f"{name}-plain")
    answer = await through.bulk(
        {"index": {"_index": name, "_id": "1"}}, {"level": "INFO", "n": 1},
        {"create": {"_index": name, "_id": "2"}}, {"level": "DEBUG"},
        {"index": {"_index": name, "_id": "3"}}, {"level": 5},
        {"index": {"_index": f"{name}-plain", "_id": "4"}}, {"level": "DEBUG"},
        {"delete": {"_index": name, "_id": "5"}},
        {"index": {"_index": name, "_id": "6"}}, '{"level":"WARN","big":12345678901234567890,"d":0.10,"e":1e400}',
        {"index": {"_index": name, "_id": "7"}}, '{"level":"WARN"',
    )  # fmt: skip
    assert answer.status == 200
    assert answer.headers["X-Pipeline"] == f"document={name}@1"
    assert answer.json["errors"] is True
    items = [(op, item["_id"], item["status"]) for entry in answer.json["items"] for op, item in entry.items()]
    # 1e400 is beyond a float field: the cluster says so itself, with its own words.
    assert items == [
        ("index", "1", 201), ("create", "2", 200), ("index", "3", 400), ("index", "4", 201),
        ("delete", "5", 404), ("index", "6", items[5][2]), ("index", "7", 400),
    ]  # fmt: skip
    dropped, failed, malformed = (answer.json["items"][i] for i in (1, 2, 6))
    assert dropped["create"]["result"] == "noop"
    assert failed["index"]["error"] == {
        "type": "illegal_argument_exception",
        "reason": "field [level] of type [java.lang.Integer] cannot be cast to [java.lang.String]",
        "pipeline": f"{name}@1",
        "stage": "level",
    }
    assert malformed["index"]["error"]["type"] == "mapper_parsing_exception"
    assert await source(direct, name, "1") == {"level": "info", "n": 1, "env": "prod"}
    assert await source(direct, f"{name}-plain", "4") == {"level": "DEBUG"}
    assert (await direct.get(f"/{name}/_doc/2")).status == 404


async def test_numbers_and_order_survive_a_transform(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", SET)
    await through.index(name, document=name)
    text = '{"z":0.10,"big":12345678901234567890123,"a":{"y":1,"x":[1.0,-0]},"s":"\\u00e9\\/"}'
    await through.put(f"/{name}", {})
    await direct.put(f"/{name}/_mapping", {"dynamic": False})
    assert (await through.put(f"/{name}/_doc/1", text)).status == 201
    stored = (await direct.get(f"/{name}/_doc/1")).body
    assert text[:-1].encode() + b',"env":"prod"}' in stored


async def test_ten_thousand_documents_like_the_cluster_would_have_done_it(through: Http, direct: Http, name: str):
    """Counts and contents against the cluster's own ingest pipeline of the same steps."""
    await through.udf(f"{name}-keep", build.module("keep_level.wat").decode())
    await through.udf(f"{name}-mask", build.module("mask_email.c"))
    stages = [wasm("no-debug", f"{name}-keep"), wasm("mask", f"{name}-mask"), SET, LOWER]
    await through.pipeline(name, "document", *stages)
    await through.index(name, document=name)
    await direct.put(f"/_ingest/pipeline/{name}-theirs", {"processors": [
        {"drop": {"if": "ctx.level == 'DEBUG'"}},
        {"gsub": {"field": "m", "pattern": r"[a-z.]+@", "replacement": "***@"}},
        {"set": {"field": "env", "value": "prod"}},
        {"lowercase": {"field": "level"}},
    ]})  # fmt: skip
    levels = ["INFO", "DEBUG", "WARN", "ERROR"]
    lines: list[Any] = []
    for i in range(10_000):
        lines += [{"index": {"_id": str(i)}}, {"level": levels[i % 4], "m": f"to u.{i % 9}x@example.org", "i": i}]
        lines[-1]["m"] = "to ada.l@example.org"
    body = ndjson(*lines)
    ours = await through.post(f"/{name}/_bulk?refresh=true", body, headers=NDJSON)
    await direct.put(f"/{name}-theirs", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}})
    theirs = await direct.post(f"/{name}-theirs/_bulk?refresh=true&pipeline={name}-theirs", body, headers=NDJSON)
    assert [i["index"]["status"] for i in ours.json["items"]] == [i["index"]["status"] for i in theirs.json["items"]]
    assert [i["index"]["_id"] for i in ours.json["items"]] == [str(i) for i in range(10_000)]
    assert [i["index"]["result"] for i in ours.json["items"]] == [i["index"]["result"] for i in theirs.json["items"]]
    found = [
        (await direct.post(f"/{index}/_search", {"size": 8000, "sort": ["i"]})).json["hits"]["hits"]
        for index in (name, f"{name}-theirs")
    ]
    assert len(found[0]) == 7500
    assert [h["_source"] for h in found[0]] == [h["_source"] for h in found[1]]


@pytest.mark.parametrize("target", ["_doc/1", "_create/1", "_doc"])
async def test_a_single_document(through: Http, direct: Http, name: str, target: str):
    await through.pipeline(name, "document", SET)
    await through.index(name, document=name)
    answer = await through.post(f"/{name}/{target}", {"a": 1})
    assert answer.status == 201
    assert answer.headers["X-Pipeline"] == f"document={name}@1"
    assert await source(direct, name, answer.json["_id"]) == {"a": 1, "env": "prod"}


@pytest.mark.parametrize(
    ("target", "id_", "version"),
    [("_doc/1", "1", -3), ("_create/1", "1", -4), ("_doc", "auto-generated", -4), ("_doc/1?op_type=create", "1", -4)],
)
async def test_a_dropped_document_is_answered_as_the_cluster_does(
    through: Http, direct: Http, name: str, target: str, id_: str, version: int
):
    await through.pipeline(name, "document", native("d", "drop"))
    await through.index(name, document=name)
    await direct.put(f"/_ingest/pipeline/{name}-drop", {"processors": [{"drop": {}}]})
    mark = "&" if "?" in target else "?"
    ours = await through.post(f"/{name}/{target}", {"a": 1})
    theirs = await direct.post(f"/{name}/{target}{mark}pipeline={name}-drop", {"a": 1})
    assert (ours.status, ours.json) == (theirs.status, theirs.json)
    assert (ours.json["_id"], ours.json["_version"]) == (id_, version)


async def test_a_failing_single_document_is_an_error_response(through: Http, name: str):
    await through.pipeline(name, "document", native("no", "fail", message="not {{a}}"))
    await through.index(name, document=name)
    answer = await through.put(f"/{name}/_doc/1", {"a": "this"})
    assert answer.status == 400
    assert answer.error["type"] == "fail_processor_exception"
    assert answer.error["reason"] == "not this"
    assert (answer.error["pipeline"], answer.error["stage"]) == (f"{name}@1", "no")
    assert answer.error["root_cause"][0]["type"] == "fail_processor_exception"


async def test_all_dropped_means_nothing_is_forwarded(through: Http, name: str):
    await through.pipeline(name, "document", native("d", "drop"))
    await through.index(name, document=name)
    answer = await through.bulk({"index": {"_index": name}}, {"a": 1}, {"index": {"_index": name}}, {"a": 2})
    assert answer.status == 200
    assert answer.json["errors"] is False
    assert [item["index"]["result"] for item in answer.json["items"]] == ["noop", "noop"]


async def test_names_in_the_request(through: Http, direct: Http, name: str):
    """Item beats URL beats index; ours is taken off, theirs goes on; `_none` switches the default off."""
    await through.pipeline(f"{name}-default", "document", native("s", "set", field="by", value="default"))
    await through.pipeline(f"{name}-other", "document", native("s", "set", field="by", value="other"))
    await direct.put(f"/_ingest/pipeline/{name}-theirs", {"processors": [{"set": {"field": "by", "value": "theirs"}}]})
    await through.index(name, document=f"{name}-default")

    async def by(target: str, **action: str) -> Any:
        lines = [{"index": {"_index": name, "_id": "1", **action}}, {"a": 1}]
        answer = await through.bulk(*lines, target=f"/_bulk{target}")
        item = answer.json["items"][0]["index"]
        if "error" in item:
            return item["error"]["reason"]
        return (await source(direct, name, "1")).get("by")

    assert await by("") == "default"
    assert await by(f"?pipeline={name}-other") == "other"
    assert await by(f"?document_pipeline={name}-other") == "other"
    assert await by(f"?pipeline={name}-other", pipeline=f"{name}-default") == "default"
    assert await by("", pipeline=f"{name}-theirs") == "theirs"
    assert await by("?pipeline=_none") is None
    assert await by("", pipeline="_none") is None
    assert await by("", pipeline=f"{name}-nowhere") == f"pipeline with id [{name}-nowhere] does not exist"
    assert "must not be empty" in await by("", pipeline="")


async def test_the_same_bulk_again_has_the_same_plan_until_something_changes(
    through: Http, direct: Http, settings, name: str
):
    async def define(value: str) -> None:
        await through.pipeline(name, "document", native("s", "set", field="by", value=value))

    await define("first")
    lines = [
        {"index": {"_index": name, "_id": "1"}}, {"a": 1},
        {"index": {"_index": name, "_id": "2", "pipeline": "_none"}}, {"a": 1},
        {"index": {"_index": name, "_id": "3", "pipeline": name}}, {"a": 1},
        {"index": {"_index": name, "_id": "4", "pipeline": ""}}, {"a": 1},
        {"index": {"_index": settings.registry_index, "pipeline": ""}}, {"a": 1},
        {"delete": {"_index": name, "_id": "5"}},
    ]  # fmt: skip

    async def outcomes() -> Any:
        answer = await through.bulk(*lines, target=f"/_bulk?pipeline={name}")
        stored = [(await source(direct, name, id_)).get("by") for id_ in "123"]
        return [item["status"] for entry in answer.json["items"] for item in entry.values()], stored

    statuses, stored = await outcomes()
    assert (statuses, stored) == ([201, 201, 201, 400, 403, 404], ["first", None, "first"])
    for _ in range(3):
        assert await outcomes() == ([200, 200, 200, 400, 403, 404], stored)
    await define("second")
    for _ in range(2):
        assert await outcomes() == ([200, 200, 200, 400, 403, 404], ["second", None, "second"])


async def test_the_same_bulk_again_goes_where_the_alias_leads_now(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", SET)
    await through.index(f"{name}-old")
    await through.index(f"{name}-new", document=name)
    await through.post("/_aliases", {"actions": [{"add": {"index": f"{name}-old", "alias": f"{name}-alias"}}]})
    for _ in range(2):
        await through.bulk({"index": {"_index": f"{name}-alias", "_id": "1"}}, {"a": 1})
        assert await source(direct, f"{name}-old", "1") == {"a": 1}
    moved = [
        {"remove": {"index": f"{name}-old", "alias": f"{name}-alias"}},
        {"add": {"index": f"{name}-new", "alias": f"{name}-alias"}},
    ]
    assert (await through.post("/_aliases", {"actions": moved})).status == 200
    for _ in range(2):
        await through.bulk({"index": {"_index": f"{name}-alias", "_id": "1"}}, {"a": 1})
        assert await source(direct, f"{name}-new", "1") == {"a": 1, "env": "prod"}


async def test_the_cluster_s_own_pipelines_run_after_ours(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", native("s", "set", field="x", value="ours"))
    processors = [{"set": {"field": "seen", "value": "{{x}}"}}]
    await direct.put(f"/_ingest/pipeline/{name}-theirs", {"processors": processors})
    await through.index(name, document=name)
    await direct.put(f"/{name}/_settings", {"index.default_pipeline": f"{name}-theirs"})
    answer = await through.bulk({"index": {"_index": name, "_id": "1"}}, {"a": 1})
    assert "ingest_took" in answer.json
    assert await source(direct, name, "1") == {"a": 1, "x": "ours", "seen": "ours"}


async def test_writes_through_an_alias_run_the_pipeline_of_its_write_index(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", SET)
    await through.index(f"{name}-old")
    await through.index(f"{name}-new", document=name)
    actions = [
        {"add": {"index": f"{name}-old", "alias": f"{name}-alias"}},
        {"add": {"index": f"{name}-new", "alias": f"{name}-alias", "is_write_index": True}},
    ]
    assert (await through.post("/_aliases", {"actions": actions})).status == 200
    await through.bulk({"index": {"_index": f"{name}-alias", "_id": "1"}}, {"a": 1})
    assert await source(direct, f"{name}-new", "1") == {"a": 1, "env": "prod"}


async def test_upserts_run_the_pipeline_and_patches_do_not(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", SET)
    await through.index(name, document=name)
    update = {"update": {"_index": name, "_id": "1"}}
    await through.bulk(update, {"doc": {"a": 1}, "doc_as_upsert": True})
    assert await source(direct, name, "1") == {"a": 1, "env": "prod"}
    await through.bulk({"update": {"_index": name, "_id": "2"}}, {"script": {"source": ""}, "upsert": {"b": 1}})
    assert await source(direct, name, "2") == {"b": 1, "env": "prod"}
    await direct.put(f"/{name}/_doc/3", {"c": 1})
    await through.bulk({"update": {"_index": name, "_id": "3"}}, {"doc": {"d": 1}})
    assert await source(direct, name, "3") == {"c": 1, "d": 1}


async def test_filter_path_as_shippers_send_it(through: Http, name: str):
    await through.pipeline(name, "document", native("d", "lowercase", field="level"))
    await through.index(name, document=name)
    body = [{"index": {"_index": name}}, {"level": "X"}, {"index": {"_index": name}}, {"level": 1}]
    answer = await through.bulk(*body, target="/_bulk?filter_path=errors,items.*.error.type,items.*.status")
    assert answer.json == {
        "errors": True,
        "items": [
            {"index": {"status": 201}},
            {"index": {"status": 400, "error": {"type": "illegal_argument_exception"}}},
        ],
    }


async def test_a_gzipped_bulk_is_read_and_a_bomb_is_not(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", SET)
    await through.index(name, document=name)
    headers = {**NDJSON, "Content-Encoding": "gzip"}
    body = gzip.compress(ndjson({"index": {"_index": name, "_id": "1"}}, {"a": 1}))
    assert (await through.post("/_bulk", body, headers=headers)).json["errors"] is False
    assert await source(direct, name, "1") == {"a": 1, "env": "prod"}
    bomb = gzip.compress(b" " * (200 << 20))
    answer = await through.post("/_bulk", bomb, headers=headers)
    assert answer.status == 413
    assert "inflates to more than" in answer.error["reason"]
    answer = await through.post("/_bulk", b"not gzip", headers=headers)
    assert answer.status == 400


async def test_a_body_that_a_stage_cannot_read_is_refused(through: Http, name: str):
    await through.pipeline(name, "document", SET)
    await through.index(name, document=name)
    for target in (f"/{name}/_doc/1", f"/{name}/_bulk"):
        answer = await through.put(target, b"\xbf\xff\n", headers={"Content-Type": "application/cbor"})
        assert answer.status in (400, 406), answer.body
    answer = await through.put(f"/{name}/_doc/1", b"x", headers={"Content-Type": "text/plain"})
    assert answer.status == 406


async def test_what_cannot_be_read_passes_where_no_pipeline_is_attached(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", SET)
    cbor = {"Content-Type": "application/cbor"}
    ours, theirs = [await http.post(f"/{name}/_bulk", b"\xbf\xff\xff", headers=cbor) for http in (through, direct)]
    assert (ours.status, ours.body) == (theirs.status, theirs.body)
    assert (await through.post(f"/{name}/_bulk?pipeline={name}", b"\xbf\xff\xff", headers=cbor)).status == 406


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b'{"index":{"_index":"x"}}\n{"a":1}',
        b'{"foo":{"_index":"x"}}\n{"a":1}\n',
        b'[1]\n{"a":1}\n',
        b'{"index":[1]}\n{"a":1}\n',
        b'{"index":{"_foo":1}}\n{"a":1}\n',
        b'{"index":{"_id":{}}}\n{"a":1}\n',
        b"{}\n{}\n",
        b'{"index":{"_index":"x"}}\n',
        b'{"index":{"_id":"1"}}\n{"a":1}\n',
    ],
)
async def test_a_malformed_bulk_is_answered_in_the_cluster_s_words(through: Http, direct: Http, name: str, body: bytes):
    await through.pipeline(name, "document", SET)
    await through.index(name, document=name)
    ours, theirs = [await http.post("/_bulk", body, headers=NDJSON) for http in (through, direct)]
    assert (ours.status, ours.json) == (theirs.status, theirs.json)


ODD = [
    b'{"level":',
    b"{level:1}",
    b"[1]",
    b"5",
    b'{"a":"\xff"}',
    b"{} {}",
    b"",
    b'{"level":"\\u0058\\u0058"}',
    b'{"level":"XX"}',
    b'{"level":"X\\u0058"} ',
    b'/* a comment */{"level":"XX"}',
    b'\xef\xbb\xbf{"level":"XX"}',
    '{"level":"XX"}'.encode("utf-16-le"),
    '{"level":"XX"}'.encode("utf-16-be"),
    '{"level":"XX"}'.encode("utf-32-be"),
]


@pytest.mark.parametrize("text", ODD)
async def test_no_spelling_of_a_document_passes_by_its_condition(through: Http, direct: Http, name: str, text: bytes):
    await through.pipeline(name, "document", native("out", "drop") | {"if": "doc.level == 'XX'"})
    await through.index(name, document=name)
    body = b'{"index":{"_index":"%b","_id":"1"}}\n%b\n' % (name.encode(), text)
    (item,) = (await through.post("/_bulk?refresh=true", body, headers=NDJSON)).json["items"]
    found = await direct.get(f"/{name}/_search?q=level:XX")
    assert found.json["hits"]["hits"] == [], "it is in the index although the pipeline drops such documents"
    assert item["index"]["status"] in (200, 400)
