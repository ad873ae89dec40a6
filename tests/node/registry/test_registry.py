"""`/_pipeline`, `/_udf` and the index settings over REST, with the registry in a real cluster."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from examples import build
from headrace.app import Proxy
from headrace.settings import Settings
from tests.conftest import Http, native, settings_for, wasm
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
        ({"stages": [SET]}, "type", "required field [type] is missing"),
        ({"type": "documents", "stages": [SET]}, "type", "did you mean [document]?"),
        ({"type": "document"}, "stages", "required field [stages] is missing"),
        ({"type": "document", "stages": []}, "stages", "at least one stage"),
        (
            {"type": "document", "stages": [SET], "nam": 1},
            "nam",
            "unknown field [nam]: did you mean [name]? Fields: name, type, stages",
        ),
        ({"type": "document", "stages": [SET], "name": "other"}, "name", "the path names"),
        ({"type": "document", "stages": [SET], "version": "a b"}, "version", "does not match"),
        ({"type": "document", "stages": [SET], "timeout": "5"}, "timeout", "unit is missing"),
        ({"type": "document", "stages": [SET], "timeout": "0s"}, "timeout", "more than zero"),
        (
            {"type": "document", "stages": [SET], "on_failure": "explode"},
            "on_failure",
            "[explode] is not one of abort, continue, retry",
        ),
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
            "[rain] is not one of error, out_of_memory, timeout, trap",
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
        (
            {"type": "document", "stages": [{**SET, "type": "magic"}]},
            "stages[0].type",
            "[magic] is not one of python, wasm, javascript, native, composite",
        ),
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
        ({"language": "javascript", "wasm": "AGFzbQEAAAA="}, "as text in [source]"),
        ({"language": "python", "wasm": "AGFzbQEAAAA="}, "as text in [source]"),
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
        (
            {"language": "wat", "source": wat.LOOP, "surprise": 1},
            "unknown field [surprise]. Fields: name, version, language",
        ),
        ({"language": "wat", "source": wat.LOOP, "clock": "atomic"}, "[atomic] is not one of counted, real"),
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
