"""`/_pipeline`, `/_udf` and the index settings over REST, with the registry in a real cluster."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from typing import Any

import pytest

from examples import build
from headrace.app import Proxy
from headrace.registry.records_codec import Document
from headrace.registry.signatures import Signer
from headrace.settings import Settings
from tests.conftest import SECRET, Http, native, settings_for, wasm
from tests.support import wat

SET = native("s", "set", field="x", value=1)
SEEN_SECONDS = 4
"""Other proxies follow within 2 s; twice that, for a machine that does other things at the same time."""


async def test_versions_of_a_pipeline(through: Http, name: str):
    body = {"type": "document", "stages": [SET]}
    made = await through.post(f"/_pipeline/{name}", body)
    assert (made.status, made.json) == (
        201,
        {"acknowledged": True, "name": name, "version": "1", "type": "document"},
    )
    again = await through.put(f"/_pipeline/{name}", body)
    assert (again.status, again.json["version"]) == (200, "1")
    changed = await through.put(f"/_pipeline/{name}", {**body, "description": "new"})
    assert (changed.status, changed.json["version"]) == (201, "2")
    named = await through.put(f"/_pipeline/{name}", {**body, "version": "2.1.0"})
    assert (named.status, named.json["version"]) == (201, "2.1.0")
    clash = await through.put(f"/_pipeline/{name}", {**body, "version": "2.1.0", "enabled": False})
    assert clash.status == 409
    assert "versions never change" in clash.error["reason"]
    shown = (await through.get(f"/_pipeline/{name}")).json
    assert (shown["version"], shown["active"], shown["enabled"]) == ("2.1.0", True, True)
    assert shown["stages"] == [SET]
    assert shown["created"] <= shown["updated"]
    assert (await through.get(f"/_pipeline/{name}?version=2")).json["description"] == "new"
    versions = (await through.get(f"/_pipeline/{name}/_versions")).json["versions"]
    assert [(v["version"], v["active"]) for v in versions] == [("1", False), ("2", False), ("2.1.0", True)]
    assert (await through.post(f"/_pipeline/{name}/_activate?version=1")).status == 200
    assert (await through.get(f"/_pipeline/{name}")).json["version"] == "1"
    assert (await through.delete(f"/_pipeline/{name}?version=1")).status == 409
    assert (await through.delete(f"/_pipeline/{name}?version=2")).status == 200
    assert (await through.get(f"/_pipeline/{name}?version=2")).status == 404
    assert (await through.delete(f"/_pipeline/{name}")).status == 200
    missing = await through.get(f"/_pipeline/{name}")
    assert (missing.status, missing.error["type"]) == (404, "resource_not_found_exception")
    assert (await through.put(f"/_pipeline/{name}", body)).json["version"] == "1"


async def test_names_are_unique_per_type(through: Http, name: str):
    await through.pipeline(name, "query", native("q", "filter_query", query={"match_all": {}}))
    await through.pipeline(name, "result", native("r", "truncate_hits", target_size=1))
    ambiguous = await through.get(f"/_pipeline/{name}")
    assert ambiguous.status == 400
    assert "?type=" in ambiguous.error["reason"]
    assert (await through.get(f"/_pipeline/{name}?type=result")).json["type"] == "result"
    listed = (await through.get("/_pipeline?type=query")).json
    assert [p["name"] for p in listed["pipelines"]] == [name]
    assert (await through.get("/_pipeline")).json["total"] == 2
    assert (await through.get("/_pipeline?enabled=false")).json["total"] == 0


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"stages": [SET]}, "type", "missing required field `type`"),
        ({"type": "documents", "stages": [SET]}, "type", "Invalid enum value"),
        ({"type": "document"}, "stages", "missing required field"),
        ({"type": "document", "stages": []}, "stages", "at least one stage"),
        ({"type": "document", "stages": [SET], "nam": 1}, "nam", "unknown field"),
        ({"type": "document", "stages": [SET], "name": "other"}, "name", "the path names"),
        ({"type": "document", "stages": [SET], "version": "a b"}, "version", "does not match"),
        ({"type": "document", "stages": [SET], "timeout": "5"}, "timeout", "unit is missing"),
        ({"type": "document", "stages": [SET], "timeout": "0s"}, "timeout", "more than zero"),
        ({"type": "document", "stages": [SET], "on_failure": "explode"}, "on_failure", "Invalid enum value"),
        ({"type": "document", "stages": [SET, SET]}, "stages[1].name", "used twice"),
        ({"type": "document", "stages": [{**SET, "if": "x"}]}, "stages[0].if", "[x] is not known here"),
        ({"type": "document", "stages": [{**SET, "if": "doc.a =="}]}, "stages[0].if", "is not a CEL expression"),
        ({"type": "document", "stages": [{**SET, "if": "hit.a == 1"}]}, "stages[0].if", "[hit] is not known here"),
        (
            {"type": "document", "stages": [{**SET, "retry": {"max_attempts": 0}}]},
            "stages[0].retry.max_attempts",
            "must be between 1 and 100",
        ),
        (
            {"type": "document", "stages": [{**SET, "retry": {"initial_delay": "5"}}]},
            "stages[0].retry.initial_delay",
            "unit is missing",
        ),
        (
            {"type": "document", "stages": [{**SET, "retry": {"retryable_errors": ["rain"]}}]},
            "stages[0].retry.retryable_errors[0]",
            "Invalid enum value 'rain'",
        ),
        ({"type": "document", "stages": [{**SET, "on_failure": []}]}, "stages[0].on_failure", "must not be empty"),
        (
            {"type": "document", "stages": [{**SET, "on_failure": [native("h", "nope")]}]},
            "stages[0].on_failure[0].config.function",
            "no built-in is called",
        ),
        ({"type": "document", "stages": [SET], "on_failure": [SET, SET]}, "on_failure[1].name", "used twice"),
        (
            {"type": "query", "stages": [{"name": "u", "type": "wasm", "config": {"udf_name": "u", "scope": "hit"}}]},
            "stages[0].config.scope",
            "not a scope of query pipelines",
        ),
        ({"type": "document", "stages": [{**SET, "type": "magic"}]}, "stages[0].type", "Invalid value 'magic'"),
        ({"type": "document", "stages": [wasm("u", "nowhere")]}, "stages[0].config.udf_name", "is missing"),
        (
            {"type": "document", "stages": [{**SET, "type": "wasm", "config": {}}]},
            "stages[0].config.udf_name",
            "required",
        ),
        (
            {"type": "document", "stages": [{"name": "c", "type": "python", "config": {"code": "x = ("}}]},
            "stages[0].config.code",
            "SyntaxError",
        ),
        (
            {"type": "query", "stages": [native("d", "drop")]},
            "stages[0].config.function",
            "belongs in pipelines of type",
        ),
        ({"type": "document", "stages": [native("d", "nope")]}, "stages[0].config.function", "no built-in is called"),
        ({"type": "document", "stages": [native("d", "set")]}, "stages[0].config.parameters", "missing field `field`"),
        (
            {
                "type": "document",
                "stages": [{"name": "c", "type": "composite", "config": {"stages": [native("d", "nope")]}}],
            },
            "stages[0].config.stages[0].config.function",
            "no built-in",
        ),
        (
            {"type": "document", "stages": [{"name": "c", "type": "composite", "config": {"pipeline": "nowhere"}}]},
            "stages[0].config.pipeline",
            "no document pipeline is called",
        ),
    ],
)
async def test_bad_definitions_name_the_field(through: Http, name: str, body: dict[str, Any], field: str, words: str):
    answer = await through.put(f"/_pipeline/{name}", body)
    assert answer.status == 400, answer.body
    assert answer.error["field"] == field
    assert words in answer.error["reason"]
    assert (await through.get(f"/_pipeline/{name}")).status == 404


@pytest.mark.parametrize("target", ["/_pipeline/UPPER", "/_pipeline/-x", "/_pipeline/" + "x" * 129, "/_pipeline/a%20b"])
async def test_bad_names_are_refused(through: Http, target: str):
    assert (await through.put(target, {"type": "document", "stages": [SET]})).status == 400


async def test_bodies_that_are_not_json(through: Http, name: str):
    for body in (b"", b"{", b"[]", b"\xff"):
        answer = await through.put(f"/_pipeline/{name}", body)
        assert (answer.status, answer.error["type"]) == (400, "parse_exception"), body


async def test_circles_of_composites_are_refused(through: Http, name: str):
    def naming(other: str) -> dict[str, Any]:
        return {"name": "c", "type": "composite", "config": {"pipeline": other}}

    await through.pipeline(f"{name}-a", "document", SET)
    await through.pipeline(f"{name}-b", "document", naming(f"{name}-a"))
    answer = await through.put(f"/_pipeline/{name}-a", {"type": "document", "stages": [naming(f"{name}-b")]})
    assert answer.status == 400
    assert f"{name}-a > {name}-b > {name}-a" in answer.error["reason"]
    used = await through.delete(f"/_pipeline/{name}-a")
    assert (used.status, used.error["type"]) == (409, "resource_in_use_exception")
    assert f"pipeline [{name}-b@1]" in used.error["reason"]


async def test_a_name_that_the_cluster_has_is_refused(through: Http, direct: Http, name: str):
    await direct.put(f"/_ingest/pipeline/{name}", {"processors": []})
    answer = await through.put(f"/_pipeline/{name}", {"type": "document", "stages": [SET]})
    assert answer.status == 409
    assert "of its own" in answer.error["reason"]


async def test_uploads_of_udfs(through: Http, name: str):
    code = build.module("mask_email.c")
    upload = {"language": "c", "wasm": base64.b64encode(code).decode(), "tags": ["pii"], "author": "ada"}
    made = await through.post(f"/_udf/{name}", upload)
    assert made.status == 201
    assert made.json["digest"] == hashlib.sha256(code).hexdigest()
    assert (made.json["size"], made.json["abi"], made.json["entry"]) == (len(code), "json", "process")
    assert made.json["exports"] == ["memory", "alloc", "process", "process_batch"]
    assert (await through.post(f"/_udf/{name}", upload)).status == 200
    assert (await through.post(f"/_udf/{name}", {**upload, "author": "bob"})).json["version"] == "2"
    raw = await through.put(f"/_udf/{name}?version=7", code, headers={"Content-Type": "application/wasm"})
    assert (raw.status, raw.json["version"], raw.json["language"]) == (201, "7", "wasm")
    assert (await through.get(f"/_udf/{name}")).json["version"] == "7"
    assert (await through.get(f"/_udf/{name}?version=1")).json["author"] == "ada"
    assert [v["version"] for v in (await through.get(f"/_udf/{name}/_versions")).json["versions"]] == ["1", "2", "7"]
    other = await through.post(f"/_udf/{name}", {**upload, "version": "7"})
    assert other.status == 409
    assert (await through.get("/_udf?tag=pii")).json["total"] == 0, "the latest version has no tags"
    assert (await through.get("/_udf?language=wasm")).json["udfs"][0]["name"] == name
    assert (await through.delete(f"/_udf/{name}?version=7")).status == 200
    assert (await through.get("/_udf?tag=pii")).json["total"] == 1


async def test_a_large_module_is_stored_in_chunks(through: Http, settings: Settings, direct: Http, name: str):
    filler = "".join(f'(data (i32.const {i * 60_000}) "{chr(97 + i % 26) * 60_000}")' for i in range(50))
    module = wat.field_udf("(i32.const 1)", pages=64, data=filler)
    await through.udf(name, module)
    await direct.post(f"/{settings.registry_index}/_refresh")
    count = await direct.post(f"/{settings.registry_index}/_count", {"query": {"term": {"kind": "code"}}})
    assert count.json["count"] >= 3
    await through.pipeline(name, "document", wasm("u", name))
    other = Proxy(
        settings_for(settings.upstream, settings.state_folder / "other", registry_index=settings.registry_index)
    )
    await other.start()
    try:
        http = Http(other.url, through.session)
        assert (await http.post(f"/_pipeline/{name}/_execute", {"input": {"a": 1}})).json["output"] == {"a": 1}
    finally:
        await other.stop()
    await through.delete(f"/_pipeline/{name}")
    await through.delete(f"/_udf/{name}")
    await direct.post(f"/{settings.registry_index}/_refresh")
    count = await direct.post(f"/{settings.registry_index}/_count", {"query": {"term": {"kind": "code"}}})
    assert count.json["count"] == 0


@pytest.mark.parametrize(
    ("upload", "words"),
    [
        ({"language": "javascript", "wasm": "AGFzbQEAAAA="}, "SyntaxError"),
        ({"language": "python", "wasm": "AGFzbQEAAAA="}, "SyntaxError"),
        ({"language": "cobol", "source": "x"}, "is not one of"),
        ({"language": "wat", "source": "(module"}, "expected"),
        ({"language": "wat", "source": "(module)"}, "exports no [memory]"),
        ({"language": "wasm", "wasm": "!!!"}, "not base64"),
        ({"language": "wasm", "wasm": "AAAA"}, ""),
        ({"language": "wasm"}, "exactly one of wasm"),
        ({"language": "rust", "source": "fn main() {}"}, "compile your rust code"),
        ({"language": "wat", "source": wat.LOOP, "limits": {"timeout": "1h"}}, "more than this proxy allows"),
        ({"language": "wat", "source": wat.LOOP, "limits": {"memory": "9gb"}}, "more than this proxy allows"),
        ({"language": "wat", "source": wat.LOOP, "abi": "json"}, "exports fit the field ABI"),
        ({"language": "wat", "source": wat.LOOP, "entry": "main"}, "exports no function [main]"),
        ({"language": "wat", "source": wat.LOOP, "surprise": 1}, "unknown field `surprise`"),
        ({"language": "wat", "source": wat.LOOP, "clock": "atomic"}, "Invalid enum value 'atomic'"),
        ({"language": "python", "source": "def process(doc): pass", "clock": "counted"}, "always has the real one"),
        ({"language": "javascript", "source": "function process() {}", "random": "seeded"}, "always has the real one"),
        (
            {"language": "wat", "source": wat.ECHO[:-1] + '(func (export "process_batch") (param i32)))'},
            "function [process_batch] is",
        ),
    ],
)
async def test_uploads_that_cannot_run_are_refused(through: Http, name: str, upload: dict[str, Any], words: str):
    answer = await through.put(f"/_udf/{name}", upload)
    assert answer.status == 400, answer.body
    assert words in answer.error["reason"]


async def test_a_start_function_that_traps_is_seen_at_upload(through: Http, name: str):
    text = '(module (memory (export "memory") 1) (func $s unreachable) (start $s) (func (export "filter") (param i64) (result i32) i32.const 1))'
    answer = await through.put(f"/_udf/{name}", {"language": "wat", "source": text})
    assert answer.status == 400
    assert "cannot be started" in answer.error["reason"]


@pytest.mark.parametrize("whole", ["integer", "i64"])
async def test_declared_parameters_are_checked(through: Http, name: str, whole: str):
    await through.udf(
        name,
        wat.PARAMETER,
        parameters=[
            {"name": "tag", "type": "string", "required": True},
            {"name": "n", "type": whole, "default": 5},
            {"name": "on", "type": "bool" if whole == "i64" else "boolean", "default": True},
            {"name": "share", "type": "f64" if whole == "i64" else "number", "default": 0.5},
        ],
    )

    async def put(**parameters: Any) -> Any:
        return await through.put(f"/_pipeline/{name}", {"type": "document", "stages": [wasm("u", name, **parameters)]})

    field = "stages[0].config.parameters"
    assert (await put()).error["field"] == f"{field}.tag"
    assert (await put(tag=1)).error["field"] == f"{field}.tag"
    for wrong in ({"n": True}, {"n": 1.5}, {"on": 1}, {"share": "1"}, {"share": False}):
        assert (await put(tag="x", **wrong)).error["field"] == f"{field}.{next(iter(wrong))}"
    assert "declares no such parameter" in (await put(tag="x", z=1)).error["reason"]
    assert (await put(tag="x")).status == 201
    tried = await through.post(f"/_pipeline/{name}/_execute", {"input": {}, "parameters": {"tag": "y"}})
    assert tried.json["output"] == {"p": "y"}
    assert (await through.post(f"/_udf/{name}/_test", {"input": {}, "parameters": {"tag": "z"}})).json["output"] == {
        "p": "z"
    }


async def test_a_udf_in_use_cannot_be_deleted(through: Http, name: str):
    await through.udf(name, wat.ECHO)
    await through.pipeline(name, "document", wasm("u", name))
    refused = await through.delete(f"/_udf/{name}")
    assert (refused.status, refused.error["type"]) == (409, "resource_in_use_exception")
    assert f"pipeline [{name}@1]" in refused.error["reason"]
    await through.delete(f"/_pipeline/{name}")
    assert (await through.delete(f"/_udf/{name}")).status == 200
    assert (await through.get(f"/_udf/{name}")).status == 404


async def output(http: Http, pipeline: str) -> Any:
    return (await http.post(f"/_pipeline/{pipeline}/_execute", {"input": {}})).json["output"]


async def test_a_pipeline_keeps_the_udf_that_it_was_stored_with(through: Http, name: str):
    floats = {**wasm("u", name), "config": {"udf_name": name, "udf_version": "latest"}}
    inner = {"name": "c", "type": "composite", "config": {"pipeline": name}}
    await through.udf(name, wat.answering('{"v":1}'))
    for pipeline, stage in ((name, wasm("u", name)), (f"{name}-floats", floats), (f"{name}-outer", inner)):
        await through.pipeline(pipeline, "document", stage)
    assert (await through.get(f"/_pipeline/{name}")).json["stages"][0]["config"]["udf_version"] == "1"
    assert (await through.get(f"/_pipeline/{name}-outer")).json["stages"][0]["config"]["version"] == "1"
    await through.udf(name, wat.answering('{"v":2}'))
    names = (name, f"{name}-floats", f"{name}-outer")
    assert [(await output(through, n))["v"] for n in names] == [1, 2, 1]

    again = await through.put(f"/_pipeline/{name}", {"type": "document", "stages": [wasm("u", name)]})
    assert (again.status, again.json["version"]) == (201, "2"), "the same text means the newer code"
    assert [(await output(through, n))["v"] for n in names] == [2, 2, 1]
    same = await through.put(f"/_pipeline/{name}", {"type": "document", "version": "1", "stages": [wasm("u", name)]})
    assert (same.status, same.json["version"]) == (200, "1"), "a version that is there stays as it is"
    assert [(await output(through, n))["v"] for n in names] == [1, 2, 1]
    await through.post(f"/_pipeline/{name}/_activate?version=2")
    await through.post(f"/_pipeline/{name}/_activate?version=1")
    assert await output(through, name) == {"v": 1}, "the old version runs the old code"
    unsaved = {"pipeline": {"type": "document", "stages": [wasm("u", name)]}, "input": {}}
    assert (await through.post("/_pipeline/_execute", unsaved)).json["output"] == {"v": 2}


async def test_versions_that_are_pinned_cannot_be_deleted(through: Http, name: str):
    await through.udf(name, wat.answering('{"v":1}'))
    await through.pipeline(name, "document", wasm("u", name))
    await through.pipeline(
        f"{name}-outer", "document", {"name": "c", "type": "composite", "config": {"pipeline": name}}
    )
    await through.udf(name, wat.answering('{"v":2}'))
    await through.pipeline(name, "document", wasm("u", name))
    refused = await through.delete(f"/_pipeline/{name}?version=1")
    assert refused.status == 409
    assert f"pipeline [{name}-outer@1]" in refused.error["reason"]
    refused = await through.delete(f"/_udf/{name}?version=1")
    assert refused.status == 409
    assert f"pipeline [{name}@1]" in refused.error["reason"]
    await through.delete(f"/_pipeline/{name}-outer")
    assert (await through.delete(f"/_pipeline/{name}?version=1")).status == 200
    assert (await through.delete(f"/_udf/{name}?version=1")).status == 200
    assert await output(through, name) == {"v": 2}


async def test_execute_shows_each_stage(through: Http, name: str):
    await through.pipeline(name, "document", SET, native("low", "lowercase", field="level"))
    good = (await through.post(f"/_pipeline/{name}/_execute", {"input": {"level": "X"}, "verbose": True})).json
    assert (good["output"], good["success"]) == ({"level": "x", "x": 1}, True)
    assert [(s["stage"], s["status"], s["output"]) for s in good["stage_results"]] == [
        ("s", "success", {"level": "X", "x": 1}),
        ("low", "success", {"level": "x", "x": 1}),
    ]
    bad = (await through.post(f"/_pipeline/{name}/_execute", {"input": {"level": 1}, "verbose": True})).json
    assert bad["success"] is False
    assert bad["error"]["stage"] == "low"
    assert bad["stage_results"][1]["error"]["type"] == "illegal_argument_exception"
    await through.pipeline(f"{name}-drop", "document", native("d", "drop"))
    dropped = (await through.post(f"/_pipeline/{name}-drop/_execute", {"input": {}})).json
    assert (dropped["output"], dropped["filtered"]) == (None, True)
    assert (await through.post(f"/_pipeline/{name}/_execute", {"inputs": {}})).status == 400


async def test_statistics(through: Http, name: str):
    await through.pipeline(name, "document", native("low", "lowercase", field="level"))
    await through.index(name, document=name)
    await through.post(f"/_pipeline/{name}/_execute", {"input": {"level": "not counted"}})
    for level in ("A", "B", 3):
        await through.put(f"/{name}/_doc/1", {"level": level})
    stats = (await through.get(f"/_pipeline/{name}/_stats")).json
    assert (stats["total_executions"], stats["successful_executions"], stats["failed_executions"]) == (3, 2, 1)
    assert (stats["documents_in"], stats["documents_out"], stats["documents_failed"]) == (3, 2, 1)
    assert 0 < stats["p50_duration_ms"] <= stats["p99_duration_ms"]
    assert stats["stage_stats"][0]["failures"] == 1
    assert stats["last_errors"][0]["type"] == "illegal_argument_exception"
    assert (await through.get("/_pipeline/_stats")).json["pipelines"][0]["total_executions"] == 3


async def test_index_settings_in_every_notation(through: Http, direct: Http, name: str):
    await through.pipeline(name, "document", SET)
    nested: list[dict[str, Any]] = [
        {"index": {"document": {"default_pipeline": name}}},
        {"index": {"document.default_pipeline": name}},
        {"index.document": {"default_pipeline": name}},
        {"index.document.default_pipeline": name},
        {"document": {"default_pipeline": name}},
    ]
    for i, settings in enumerate(nested):
        index = f"{name}-{i}"
        assert (await through.put(f"/{index}", {"settings": {"number_of_shards": 1, **settings}})).status == 200
        shown = (await through.get(f"/{index}/_settings")).json[index]["settings"]["index"]
        assert shown["document"] == {"default_pipeline": name}
        assert shown["number_of_shards"] == "1"
        assert (await through.get(f"/{index}")).json[index]["settings"]["index"]["document"] == {
            "default_pipeline": name
        }
        flat = (await through.get(f"/{index}/_settings?flat_settings=true")).json[index]["settings"]
        assert flat["index.document.default_pipeline"] == name
        cleared = await through.put(f"/{index}/_settings", {"index": {"document": {"default_pipeline": None}}})
        assert cleared.json == {"acknowledged": True}
        assert "document" not in (await through.get(f"/{index}/_settings")).json[index]["settings"]["index"]
        both = {"index": {"number_of_replicas": 0, "document": {"default_pipeline": name}}}
        assert (await through.put(f"/{index}/_settings", both)).status == 200
        shown = (await through.get(f"/{index}/_settings")).json[index]["settings"]["index"]
        assert (shown["number_of_replicas"], shown["document"]) == ("0", {"default_pipeline": name})
        assert "document" not in (await direct.get(f"/{index}/_settings")).json[index]["settings"]["index"]


async def test_index_settings_that_cannot_be(through: Http, name: str):
    await through.pipeline(name, "query", native("q", "filter_query", query={"match_all": {}}))
    for settings, words in (
        ({"index.document.default_pipeline": "nowhere"}, "does not exist"),
        ({"index.document.default_pipeline": name}, "is of type query, not document"),
        ({"index.query.default_pipeline": 5}, "must be the name of a pipeline"),
        ({"index.query.final_pipeline": "nowhere"}, "does not exist"),
    ):
        answer = await through.put(f"/{name}", {"settings": settings})
        assert answer.status == 400, settings
        assert words in answer.error["reason"]
    assert (await through.get(f"/{name}")).status == 404, "nothing was created"
    await through.index(name)
    await through.put(f"/{name}/_alias/{name}-alias")
    alias = await through.put(f"/{name}-alias/_settings", {"index.query.default_pipeline": name})
    assert alias.status == 400
    assert f"attach them to its indexes: {name}" in alias.error["reason"]
    missing = await through.put(f"/{name}-no/_settings", {"index.query.default_pipeline": name})
    assert missing.status == 400


async def test_an_index_that_cannot_be_created_gets_no_pipeline(through: Http, name: str):
    await through.pipeline(name, "document", SET)
    bad = {"settings": {"index.document.default_pipeline": name, "no_such_setting": 1}}
    assert (await through.put(f"/{name}", bad)).status == 400
    assert (await through.delete(f"/_pipeline/{name}")).status == 200, "nothing uses it"


async def test_deleting_an_index_drops_what_is_attached(through: Http, name: str):
    await through.pipeline(name, "document", SET)
    await through.index(name, document=name)
    used = await through.delete(f"/_pipeline/{name}")
    assert used.status == 409
    assert f"index [{name}]" in used.error["reason"]
    assert (await through.delete(f"/{name}")).status == 200
    assert (await through.delete(f"/_pipeline/{name}")).status == 200


async def test_paths_of_ours_never_reach_the_cluster(through: Http):
    assert (await through.get("/_pipeline/x/_nothing")).status == 404
    wrong = await through("PATCH", "/_pipeline/x")
    assert wrong.status == 405
    assert wrong.headers["Allow"] == "DELETE, GET, POST, PUT"
    assert (await through.get("/_proxy/nothing")).status == 404


async def test_two_proxies_see_each_other_s_changes(through: Http, settings: Settings, tmp_path, name: str):
    other = Proxy(settings_for(settings.upstream, tmp_path / "other", registry_index=settings.registry_index))
    await other.start()
    try:
        http = Http(other.url, through.session)
        await through.udf(name, wat.answering('{"v":1}'))
        await through.pipeline(name, "document", wasm("u", name))
        await through.index(name, document=name)
        async with asyncio.timeout(SEEN_SECONDS):
            while (await http.put(f"/{name}/_doc/1", {"a": 1})).headers.get("X-Pipeline") is None:
                await asyncio.sleep(0.05)
        assert (await through.get(f"/{name}/_doc/1")).json["_source"] == {"v": 1}
        await through.put(f"/{name}/_settings", {"index.document.default_pipeline": None})
        async with asyncio.timeout(SEEN_SECONDS):
            while "X-Pipeline" in (await http.put(f"/{name}/_doc/1", {"a": 1})).headers:
                await asyncio.sleep(0.05)
    finally:
        await other.stop()


async def test_of_two_writers_of_one_version_one_wins(through: Http, settings: Settings, tmp_path, name: str):
    other = Proxy(settings_for(settings.upstream, tmp_path / "other", registry_index=settings.registry_index))
    await other.start()
    try:
        http = Http(other.url, through.session)
        for version in range(10):
            bodies = [
                {"type": "document", "version": f"v{version}", "stages": [native("s", "set", field="by", value=who)]}
                for who in ("one", "two")
            ]
            answers = await asyncio.gather(
                through.put(f"/_pipeline/{name}", bodies[0]), http.put(f"/_pipeline/{name}", bodies[1])
            )
            assert sorted(a.status for a in answers) == [201, 409], [a.body for a in answers]
            # The winner's own proxy knows at once; the other follows within its poll.
            winner, asked = ("one", through) if answers[0].status == 201 else ("two", http)
            shown = (await asked.get(f"/_pipeline/{name}?version=v{version}")).json
            assert shown["stages"][0]["config"]["parameters"]["value"] == winner
    finally:
        await other.stop()


async def test_a_lost_registry_index_is_written_anew(through: Http, direct: Http, settings: Settings, name: str):
    await through.udf(name, wat.answering('{"v":1}'))
    await through.pipeline(name, "document", wasm("u", name))
    await through.index(name, document=name)
    await direct.delete(f"/{settings.registry_index}")
    async with asyncio.timeout(10):
        while (await direct.get(f"/{settings.registry_index}/_doc/pipeline:document:{name}@1")).status != 200:
            await asyncio.sleep(0.1)
    assert (await through.put(f"/{name}/_doc/1", {"a": 1})).headers["X-Pipeline"] == f"document={name}@1"


def signer_of(settings: Settings) -> Signer:
    return Signer([SECRET.encode()], settings.registry_index)


async def test_an_entry_that_cannot_be_read_fails_closed_and_stops_nothing_else(
    through: Http, direct: Http, settings: Settings, tmp_path, name: str
):
    await through.pipeline(name, "document", SET)
    await through.pipeline(f"{name}-good", "document", SET)
    await through.index(name, document=name)
    await through.index(f"{name}-good", document=f"{name}-good")
    definition = {"name": name, "type": "document", "stages": [], "from_the_future": 1}
    newer = json.dumps({"created": "x", "definition": definition})
    document = Document(kind="pipeline", name=f"document:{name}", body=newer)
    entry = signer_of(settings).sign(f"pipeline:document:{name}@1", document, 2)
    await direct.put(f"/{settings.registry_index}/_doc/{entry.id}?refresh=true", entry.source)
    other = Proxy(settings_for(settings.upstream, tmp_path / "other", registry_index=settings.registry_index))
    await other.start()
    try:
        http = Http(other.url, through.session)
        answer = await http.bulk({"index": {"_index": name}}, {"a": 1}, {"index": {"_index": f"{name}-good"}}, {"a": 1})
        failed, good = (item["index"] for item in answer.json["items"])
        assert failed["status"] == 400
        assert "is attached here, but is not in the registry" in failed["error"]["reason"]
        assert good["status"] == 201
    finally:
        await other.stop()


async def test_an_altered_module_is_not_run_and_written_anew(
    through: Http, direct: Http, settings: Settings, tmp_path, name: str
):
    made = await through.udf(name, wat.answering('{"v":1}'))
    await through.pipeline(name, "document", wasm("u", name))
    chunk = f"/{settings.registry_index}/_doc/code:{made.json['digest']}:0"
    altered = base64.b64encode(wat.answering('{"v":"evil"}').encode()).decode()
    await direct.put(f"{chunk}?refresh=true", {"kind": "code", "name": made.json["digest"], "body": altered})
    other = Proxy(settings_for(settings.upstream, tmp_path / "other", registry_index=settings.registry_index))
    await other.start()
    try:
        http = Http(other.url, through.session)
        async with asyncio.timeout(10):
            while (answer := await http.put(f"/{name}/_doc/1?pipeline={name}", {"a": 1})).status != 201:
                assert answer.status == 400
                assert "cannot run" in answer.error["reason"]
                await asyncio.sleep(0.05)
        assert (await direct.get(f"/{name}/_doc/1")).json["_source"] == {"v": 1}
        await direct.delete(chunk)
        async with asyncio.timeout(10):
            while (await direct.get(chunk)).status != 200:
                await asyncio.sleep(0.05)
    finally:
        await other.stop()
