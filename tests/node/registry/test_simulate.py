"""`_execute` in all its forms, `_import`, `_udf/_source` and `_stats`, `/_proxy/metrics`."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.conftest import Http, native, wasm
from tests.support import wat

SET = native("s", "set", field="x", value=1)
LOW = native("low", "lowercase", field="level")


async def test_an_unsaved_definition_can_be_tried(through: Http, direct: Http, name: str):
    definition = {"type": "document", "stages": [SET, {**LOW, "if": "has(doc.level)"}]}
    body = {"pipeline": definition, "input": {"level": "A"}, "verbose": True}
    answer = (await through.post("/_pipeline/_execute", body)).json
    assert (answer["output"], answer["success"]) == ({"level": "a", "x": 1}, True)
    assert [(r["stage"], r["status"], r["output"]) for r in answer["stage_results"]] == [
        ("s", "success", {"level": "A", "x": 1}), ("low", "success", {"level": "a", "x": 1}),
    ]  # fmt: skip
    skipped = (await through.post("/_pipeline/_execute", {**body, "input": {}})).json["stage_results"][1]
    assert (skipped["status"], skipped["reason"]) == ("skipped", "if is false")
    assert (await through.get("/_pipeline")).json["total"] == 0
    broken = await through.post("/_pipeline/_execute", {"pipeline": {**definition, "stages": []}, "input": {}})
    assert (broken.status, broken.error["field"]) == (400, "stages")
    for missing, words in (({"input": {}}, "the definition to try"), ({"pipeline": definition}, "exactly one of")):
        refused = await through.post("/_pipeline/_execute", missing)
        assert refused.status == 400
        assert words in refused.error["reason"]


async def test_documents_are_tried_with_their_metadata(through: Http, name: str):
    await through.udf(name, wat.answering('[{"n":1},{"n":2}]'))
    await through.pipeline(
        name, "document",
        {**native("move", "set", field="_index", value="moved"), "if": "doc.kind == 'move'"},
        {**native("drop", "drop"), "if": "doc.kind == 'drop'"},
        {**native("fail", "fail", message="no"), "if": "doc.kind == 'fail'"},
        {**wasm("many", name), "if": "doc.kind == 'many'"},
    )  # fmt: skip
    docs: list[dict[str, Any]] = [
        {"_index": "i", "_id": "1", "_source": {"kind": kind}} for kind in ("move", "drop", "fail", "many", "")
    ]
    answer = (await through.post(f"/_pipeline/{name}/_execute", {"docs": docs})).json["docs"]
    assert answer[0] == {"doc": {"_index": "moved", "_id": "1", "_source": {"kind": "move"}}}
    assert answer[1] == {"doc": None, "filtered": True}
    assert answer[2]["error"] == {
        "type": "fail_processor_exception", "reason": "no", "stage": "fail", "status": 400,
    }  # fmt: skip
    assert [(d["_id"], d["_source"]) for d in answer[3]["docs"]] == [("1", {"n": 1}), ("1-1", {"n": 2})]
    assert answer[4]["doc"]["_source"] == {"kind": ""}
    several = (await through.post(f"/_pipeline/{name}/_execute", {"input": {"kind": "many"}})).json
    assert (several["output"], several["expanded"]) == ([{"n": 1}, {"n": 2}], 2)
    assert (await through.get(f"/_pipeline/{name}/_stats")).json["total_executions"] == 0, "trials are not counted"


async def test_an_ingest_pipeline_moves_over_with_its_meaning(through: Http, direct: Http, name: str):
    ingest = {
        "description": "as it was",
        "processors": [
            {"grok": {"field": "message", "patterns": ["%{IP:ip} %{WORD:verb}"], "tag": "parse", "on_failure": [
                {"set": {"field": "error", "value": "{{ _ingest.on_failure_message }}"}}]}},
            {"lowercase": {"field": "verb", "ignore_missing": True}},
            {"lowercase": {"field": "host", "ignore_failure": True}},
            {"foreach": {"field": "list", "ignore_missing": True,
                         "processor": {"uppercase": {"field": "_ingest._value", "tag": "inner"}}}},
            {"remove": {"field": "never"}},
            {"set": {"field": "unreached", "value": 1}},
        ],
        "on_failure": [{"append": {"field": "notes", "value": "{{_ingest.on_failure_processor_type}} failed"}}],
    }  # fmt: skip
    await direct.put(f"/_ingest/pipeline/{name}", ingest)
    try:
        made = await through.post("/_pipeline/_import", {"ingest": name, "name": f"{name}-ours", "version": "7"})
        assert made.status == 201, made.body
        assert made.json["pipelines"] == [{"name": f"{name}-ours", "version": "7", "type": "document"}]
        shown = (await through.get(f"/_pipeline/{name}-ours")).json
        assert [s["name"] for s in shown["stages"]] == ["parse", "lowercase", "lowercase-2", "foreach", "remove", "set"]
        again = await through.post("/_pipeline/_import", {"ingest": name, "name": f"{name}-ours", "version": "7"})
        assert again.status == 200
        documents: list[dict[str, Any]] = [
            {"message": "10.0.0.1 GET", "list": ["a"], "host": 5}, {"message": "nothing"}, {"never": 1, "message": "::1 PUT"},
        ]  # fmt: skip
        docs = [{"_index": "i", "_id": "1", "_source": d} for d in documents]
        theirs = (await direct.post(f"/_ingest/pipeline/{name}/_simulate", {"docs": docs})).json["docs"]
        ours = (await through.post(f"/_pipeline/{name}-ours/_execute", {"docs": docs})).json["docs"]
        assert [d["doc"]["_source"] for d in ours] == [d["doc"]["_source"] for d in theirs]
        same_name = await through.post("/_pipeline/_import", {"ingest": name, "name": name})
        assert same_name.status == 409
    finally:
        await direct.delete(f"/_ingest/pipeline/{name}")


async def test_an_ingest_pipeline_without_processors_leaves_documents_as_they_are(
    through: Http, direct: Http, name: str
):
    await direct.put(f"/_ingest/pipeline/{name}", {"processors": []})
    try:
        made = await through.post("/_pipeline/_import", {"ingest": name, "name": f"{name}-ours"})
        assert made.status == 201, made.body
        answer = await through.post(f"/_pipeline/{name}-ours/_execute", {"docs": [{"_source": {"a": 1}}]})
        assert answer.json["docs"][0]["doc"]["_source"] == {"a": 1}
    finally:
        await direct.delete(f"/_ingest/pipeline/{name}")


DEEP = [
    ("POST", "/_pipeline/_execute", '{"pipeline":{},"input":DEEP}'),
    ("POST", "/_pipeline/_execute", '{"pipeline":{"type":"document","stages":[]},"docs":[{"_source":DEEP}]}'),
    ("PUT", "/_pipeline/deep", '{"type":"document","stages":DEEP}'),
    ("PUT", "/_pipeline/deep", '{"type":"document","stages":[],"metadata":DEEP}'),
    ("PUT", "/_pipeline/_association/deep*", '{"document":DEEP}'),
    ("PUT", "/_udf/deep", '{"language":"python","source":"x","parameters":DEEP}'),
    ("POST", "/_pipeline/_import", '{"ingest":DEEP}'),
]


@pytest.mark.parametrize("levels", [129, 990, 20_000])
@pytest.mark.parametrize(("method", "path", "body"), DEEP)
async def test_json_that_is_nested_very_deep_is_the_clients_fault(
    through: Http, method: str, path: str, body: str, levels: int
):
    for opening, closing in (('{"d":', "}"), ("[", "]")):
        deep = opening * levels + "1" + closing * levels
        answer = await through(method, path, body.replace("DEEP", deep), headers={"Content-Type": "application/json"})
        assert answer.status == 400, answer.body[:300]


async def test_a_search_pipeline_becomes_two(through: Http, direct: Http, name: str):
    pipeline = {
        "request_processors": [{"filter_query": {"tag": "tenant", "query": {"term": {"k": 1}}}}],
        "response_processors": [{"truncate_hits": {"target_size": 1, "ignore_failure": True}}],
    }
    await direct.put(f"/_search/pipeline/{name}", pipeline)
    try:
        made = await through.post("/_pipeline/_import", {"search": name, "name": f"{name}-ours"})
        assert made.status == 201, made.body
        assert [p["type"] for p in made.json["pipelines"]] == ["query", "result"]
        for i in range(4):
            await direct.put(f"/{name}/_doc/{i}?refresh=true", {"k": i % 2})
        theirs = await direct.post(f"/{name}/_search?search_pipeline={name}", {"sort": ["_id"]})
        ours = await through.post(f"/{name}/_search?search_pipeline={name}-ours", {"sort": ["_id"]})
        assert ours.json["hits"] == theirs.json["hits"]
    finally:
        await direct.delete(f"/_search/pipeline/{name}")


@pytest.mark.parametrize(
    ("processors", "words"),
    [
        (
            [{"script": {"source": "ctx.a = 1"}}, {"remove_by_pattern": {"field_pattern": "x*"}}],
            "there is no built-in for remove_by_pattern, script",
        ),
        ([{"set": {"field": "a", "value": 1, "if": "ctx.b == 1"}}], "write it in CEL"),
    ],
)
async def test_what_cannot_be_imported_is_named(
    through: Http, direct: Http, name: str, processors: list[Any], words: str
):
    await direct.put(f"/_ingest/pipeline/{name}", {"processors": processors})
    try:
        refused = await through.post("/_pipeline/_import", {"ingest": name, "name": f"{name}-ours"})
        assert refused.status == 400
        assert words in refused.error["reason"]
    finally:
        await direct.delete(f"/_ingest/pipeline/{name}")
    missing = await through.post("/_pipeline/_import", {"ingest": f"{name}-nowhere", "name": "x"})
    assert missing.status == 404
    for body in ({}, {"ingest": "a", "search": "b", "name": "x"}, {"ingest": "a"}):
        assert (await through.post("/_pipeline/_import", body)).status == 400


async def test_source_and_statistics_of_a_udf(through: Http, name: str):
    await through.udf(name, wat.ECHO, version="1")
    await through.udf(name, wat.TRAP, version="2")
    await through.pipeline(
        f"{name}-a", "document", {**wasm("w", name), "config": {"udf_name": name, "udf_version": "1"}}
    )
    await through.pipeline(f"{name}-b", "document", wasm("w", name))
    for index, count in ((f"{name}-a", 3), (f"{name}-b", 1)):
        await through.index(index, document=index)
        for i in range(count):
            await through.put(f"/{index}/_doc/{i}", {})
    found = (await through.get(f"/_udf/{name}/_stats")).json
    assert (found["executions"], found["failures"]) == (4, 1)
    assert [(v["version"], v["documents_in"], v["failures"]) for v in found["versions"]] == [("1", 3, 0), ("2", 1, 1)]
    assert found["p99_duration_ms"] > 0
    one = (await through.get(f"/_udf/{name}/_stats?version=2")).json
    assert [v["version"] for v in one["versions"]] == ["2"]
    source = await through.get(f"/_udf/{name}/_source?version=1")
    assert (source.body.decode(), source.headers["Content-Type"]) == (wat.ECHO, "text/x-wat; charset=UTF-8")
    assert source.headers["ETag"] == f'"{hashlib.sha256(source.body).hexdigest()}"'
    assert (await through.get(f"/_udf/{name}/_source?version=9")).status == 404


async def test_statistics_of_a_pipeline(through: Http, name: str):
    retry = {"max_attempts": 2, "initial_delay": "1ms"}
    await through.pipeline(
        name,
        "document",
        {**LOW, "if": "doc.level != null", "retry": retry},
        {**native("d", "drop"), "if": "doc.n == 1"},
    )
    await through.index(name, document=name)
    action = {"index": {"_index": name}}
    await through.bulk(
        action, {"level": "A"}, action, {"level": 5, "secret": "hidden"}, action, {"n": 1}, action, {"n": 2}
    )
    stats = (await through.get(f"/_pipeline/{name}/_stats")).json
    assert (stats["total_executions"], stats["failed_executions"], stats["documents_in"]) == (1, 1, 4)
    assert (stats["documents_out"], stats["documents_dropped"], stats["documents_failed"]) == (2, 1, 1)
    assert (stats["retries"], stats["current"]) == (1, 0)
    low, drop = stats["stage_stats"]
    assert (low["documents_in"], low["skips"], low["failures"], low["retries"]) == (3, 2, 2, 1)
    assert (drop["documents_in"], drop["skips"], drop["documents_dropped"]) == (1, 2, 1)
    error = stats["last_errors"][-1]
    assert (error["stage"], error["type"]) == ("low", "illegal_argument_exception")
    assert error["document"] == '{"level":"number","secret":"string"}', "names and types, no values"


async def test_metrics_in_prometheus_format(through: Http, name: str):
    from prometheus_client.parser import text_string_to_metric_families

    await through.pipeline(name, "document", SET)
    await through.index(name, document=name)
    for i in range(3):
        await through.put(f"/{name}/_doc/{i}", {})
    await through.get("/_cluster/health")
    answer = await through.get("/_proxy/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(answer.body.decode())
        for s in family.samples
    }
    labels = (("pipeline", name), ("type", "document"), ("version", "1"))
    assert found[("headrace_pipeline_executions_total", labels)] == 3
    assert found[("headrace_pipeline_documents_out_total", labels)] == 3
    assert found[("headrace_pipeline_duration_seconds_count", labels)] == 3
    assert found[("headrace_stage_documents_total", (*labels[:1], ("stage", "s"), *labels[1:]))] == 3
    assert found[("headrace_requests_total", (("status", "2xx"), ("surface", "document")))] == 3
    assert found[("headrace_requests_total", (("status", "2xx"), ("surface", "passthrough")))] >= 1
    assert found[("headrace_registry_state", (("state", "current"),))] == 1
    assert found[("headrace_workers", ())] == 1
    inf = found[("headrace_request_duration_seconds_bucket", (("le", "+Inf"), ("surface", "document")))]
    assert inf == found[("headrace_request_duration_seconds_count", (("surface", "document"),))] == 3
