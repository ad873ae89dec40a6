"""Every document built-in does what OpenSearch's processor of that name does: the same documents through both."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines._wasm import Native
from pipelines.batch import Batch
from tests.conftest import Http

DOCUMENTS: list[dict[str, Any]] = [
    {"a": "Some Text", "n": 5, "l": ["X", "y"], "o": {"k": "V", "d": {"e": 1}}, "z": None, "b": True, "f": 2.5},
    {"a": "", "n": "0x1F", "l": [1, "2"], "o": "text", "z": "null"},
    {"a": 7, "n": "12", "l": [], "o": {"k": None}, "f": "3.25", "b": "TRUE"},
    {"a": {"x": 1}, "n": "abc", "l": [{"k": "Q"}], "o": [{"k": "W"}], "b": "no", "f": "1e3"},
    {"n": 3000000000, "b": "false", "f": "-0.5", "a": "192.168.0.1"},
    {},
]

CASES: list[tuple[str, dict[str, Any]]] = [
    ("set", {"field": "new", "value": 1}),
    ("set", {"field": "a", "value": {"deep": [1, 2]}}),
    ("set", {"field": "o.k", "value": "x"}),
    ("set", {"field": "o.d.e", "value": "x"}),
    ("set", {"field": "a.b.c", "value": True}),
    ("set", {"field": "n", "value": 1, "override": False}),
    ("set", {"field": "z", "value": 1, "override": False}),
    ("set", {"field": "t", "value": "{{a}}-{{o.k}}"}),
    ("set", {"field": "t", "value": "{{{a}}}", "ignore_empty_value": True}),
    ("set", {"field": "o.k.x.y", "value": 1}),
    ("set", {"field": "z.x", "value": 1}),
    ("set", {"field": "{{o.k}}", "value": "named by the document"}),
    ("set", {"field": "l.0", "value": "first"}),
    ("set", {"field": "_source.a", "value": "prefixed"}),
    ("remove", {"field": "a"}),
    ("remove", {"field": ["a", "o.k"]}),
    ("remove", {"field": "o.d.e", "ignore_missing": True}),
    ("remove", {"field": "l.0"}),
    ("remove", {"field": "z"}),
    ("rename", {"field": "a", "target_field": "o.new"}),
    ("rename", {"field": "a", "target_field": "n"}),
    ("rename", {"field": "o.k", "target_field": "k"}),
    ("rename", {"field": "z", "target_field": "zz", "ignore_missing": True}),
    ("lowercase", {"field": "a"}),
    ("lowercase", {"field": "l"}),
    ("lowercase", {"field": "a", "target_field": "low"}),
    ("lowercase", {"field": "z", "ignore_missing": True}),
    ("lowercase", {"field": "z"}),
    ("convert", {"field": "n", "type": "integer"}),
    ("convert", {"field": "n", "type": "long"}),
    ("convert", {"field": "f", "type": "double"}),
    ("convert", {"field": "f", "type": "float", "target_field": "g"}),
    ("convert", {"field": "b", "type": "boolean"}),
    ("convert", {"field": "n", "type": "string"}),
    ("convert", {"field": "l", "type": "string"}),
    ("convert", {"field": "a", "type": "ip"}),
    ("convert", {"field": "n", "type": "auto"}),
    ("convert", {"field": "z", "type": "integer"}),
    ("convert", {"field": "z", "type": "integer", "ignore_missing": True}),
    ("drop", {}),
    ("fail", {"message": "no {{a}} here"}),
]


def ours(function: str, parameters: dict[str, Any], document: dict[str, Any]) -> Any:
    batch = Batch.of("document", json.dumps(document).encode())
    batch.run_native(Native(function, json.dumps(parameters).encode()), abort=True, pipeline="", stage="")
    state, failure = batch.outcome(0)
    if failure is not None:
        return ("error", failure[1], failure[2])
    return ("dropped",) if state == "dropped" else ("document", json.loads(batch.document(0)))


def theirs(shown: dict[str, Any] | None) -> Any:
    if shown is None:
        return ("dropped",)
    if "error" in shown:
        return ("error", shown["error"]["type"], shown["error"]["reason"])
    return ("document", shown["doc"]["_source"])


@pytest.mark.parametrize(("function", "parameters"), CASES, ids=lambda v: v if isinstance(v, str) else json.dumps(v))
async def test_as_the_cluster_does_it(direct: Http, function: str, parameters: dict[str, Any]):
    body = {
        "pipeline": {"processors": [{function: parameters}]},
        "docs": [{"_index": "i", "_id": "1", "_source": document} for document in DOCUMENTS],
    }
    answer = await direct.post("/_ingest/pipeline/_simulate", body)
    assert answer.status == 200, answer.body
    expected = [theirs(shown) for shown in answer.json["docs"]]
    assert [ours(function, parameters, document) for document in DOCUMENTS] == expected


@pytest.mark.parametrize(
    ("function", "parameters", "words"),
    [
        ("set", {"field": "a"}, "[value] required property is missing"),
        ("set", {"value": 1}, "missing field `field`"),
        ("set", {"field": "", "value": 1}, "[field] required property is missing"),
        ("set", {"field": "a", "value": 1, "copy_from": "b"}, "unknown field `copy_from`"),
        ("set", {"field": "_index", "value": "x"}, "metadata field [_index]"),
        ("set", {"field": "a", "value": "{{#x}}y{{/x}}"}, "only {{field}} tags"),
        ("remove", {}, "[field] required property is missing"),
        ("rename", {"field": "a"}, "missing field `target_field`"),
        ("convert", {"field": "a", "type": "decimal"}, "unknown variant `decimal`"),
        ("drop", {"x": 1}, "unknown field `x`"),
        ("filter_query", {"query": []}, "must be an object"),
        ("truncate_hits", {"target_size": -1}, "greater than or equal to 0"),
        ("nothing", {}, "no built-in function [nothing]"),
    ],
)
def test_bad_options_are_refused_when_the_stage_is_made(function: str, parameters: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=r".") as caught:
        Native(function, json.dumps(parameters).encode())
    assert words in str(caught.value)


async def test_filter_query_and_truncate_hits_as_the_cluster_does_them(direct: Http, name: str):
    await direct.put(f"/{name}", {"mappings": {"properties": {"t": {"type": "keyword"}}}})
    for i in range(6):
        await direct.put(f"/{name}/_doc/{i}?refresh=true", {"t": "ab"[i % 2], "n": i})
    pipeline = {
        "request_processors": [{"filter_query": {"query": {"term": {"t": "a"}}}}],
        "response_processors": [{"truncate_hits": {"target_size": 2}}],
    }
    assert (await direct.put(f"/_search/pipeline/{name}", pipeline)).status == 200
    for body in ({}, {"query": {"range": {"n": {"gte": 1}}}}, {"query": {"match_all": {}}, "sort": ["n"]}):
        expected = (await direct.post(f"/{name}/_search?search_pipeline={name}", body)).json["hits"]
        batch = Batch.of("query", json.dumps(body).encode())
        filter_query = Native("filter_query", b'{"query":{"term":{"t":"a"}}}')
        batch.run_native(filter_query, abort=True, pipeline="", stage="")
        answer = await direct.post(f"/{name}/_search", batch.document(0))
        result = Batch.of("result", answer.body)
        truncate = Native("truncate_hits", b'{"target_size":2}')
        result.run_native(truncate, abort=True, pipeline="", stage="")
        assert json.loads(result.document(0))["hits"] == expected
