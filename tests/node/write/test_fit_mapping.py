"""`fit_mapping` in front of a real node: what the node accepts stays as it is, and nothing is refused.

`FIT_CASES=20000 pytest tests/node/write/test_fit_mapping.py` draws more documents.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from headrace_pipelines import Bulk, Deadline, Mapping, Mappings
from headrace_pipelines.stages.native import fitter
from tests.conftest import Http, native
from tests.node.write import generated_fits

CASES = int(os.environ.get("FIT_CASES", "1500"))
"""Drawn documents of one field."""
DYNAMIC_CASES = max(30, CASES // 50)
"""Drawn documents with new fields, for each kind of mapping: each of them is a change of the mapping."""
TARGETS = {"_unfit": {"type": "flat_object"}, "_unfit_fields": {"type": "keyword"}}
SETTINGS = {"number_of_shards": 1, "number_of_replicas": 0, "index.mapping.total_fields.limit": 50_000}
_UNSTEADY = ('{"binary"', '{"nested."', '{"binary.')
"""Where the node accepts by chance: it reads on inside an object that a `binary` has left."""


def fitted(mapping: dict[str, Any], documents: list[str], **options: Any) -> list[str]:
    """The documents as one batch, fitted."""
    mappings = Mappings()
    settings = {name: str(value) for name, value in SETTINGS.items()}
    mappings.set("i", Mapping(json.dumps(mapping).encode(), json.dumps(settings).encode()))
    lines = "".join(f'{{"index":{{"_index":"i"}}}}\n{text}\n' for text in documents)
    batch = Bulk(lines.encode()).batch([0])
    batch.fit(mappings)
    assert not batch.check("p")
    options = {"coerce": False, "max_new_fields": 10**6, **options}
    native = fitter(json.dumps(options).encode()).native
    batch.run_native(native, Deadline(60), abort=True, pipeline="p", stage="s")
    return [batch.document(i).decode() for i in range(len(batch))]


async def indexed(direct: Http, index: str, mapping: dict[str, Any], documents: list[str]) -> list[Any]:
    """The error of each document, in a new index."""
    await direct.delete(f"/{index}")
    made = await direct.put(f"/{index}", {"settings": SETTINGS, "mappings": mapping})
    assert made.status == 200, made.body
    lines = [line for text in documents for line in ('{"index":{}}', text)]
    answer = await direct.bulk(*lines, target=f"/{index}/_bulk")
    return [item["index"].get("error") for item in answer.json["items"]]


async def compare(direct: Http, name: str, mapping: dict[str, Any], documents: list[str]) -> int:
    """Compares the node's answers to the documents as they are, and as they are fitted; gives the number of refusals."""
    new = fitted(mapping, documents)
    before = await indexed(direct, f"{name}-as-is", mapping, documents)
    after = await indexed(direct, f"{name}-fitted", mapping, new)
    for text, error, fit, refusal in zip(documents, before, new, after, strict=True):
        if text.startswith(_UNSTEADY):
            continue
        assert refusal is None, (text, fit, refusal)
        if error is None:
            assert fit == text, (text, fit)
        else:
            assert json.loads(fit)["_unfit_fields"], (text, fit, error)
    return sum(error is not None for error in before)


async def test_every_value_of_every_type(direct: Http, name: str):
    rng = random.Random(31)
    documents = [generated_fits.document(rng, rng.choice(list(generated_fits.FIELDS))) for _ in range(CASES)]
    refused = await compare(direct, name, {"properties": generated_fits.FIELDS | TARGETS}, documents)
    assert refused > CASES // 3


@pytest.mark.parametrize(
    "mapping",
    [
        {},
        {"dynamic_templates": generated_fits.TEMPLATES, "numeric_detection": True},
        {"date_detection": False},
        {"dynamic": "strict"},
        {"dynamic": "strict_allow_templates", "dynamic_templates": generated_fits.TEMPLATES},
        {"dynamic": "false"},
    ],
    ids=["default", "templates", "no dates", "strict", "strict with templates", "false"],
)
async def test_fields_that_no_mapping_has(direct: Http, name: str, mapping: dict[str, Any]):
    rng = random.Random(32)
    documents = [f'{{"c{n}":{generated_fits.fresh(rng)}}}' for n in range(DYNAMIC_CASES)]
    await compare(direct, name, {**mapping, "properties": TARGETS}, documents)


CONFLICTS: list[str] = [
    '{"n":"many"}', '{"n":{"a":1}}', '{"n":[1,"x",{"y":2}]}', '{"n":9223372036854775808}', '{"n":true}',
    '{"n.x":1}', '{"d":"yesterday"}', '{"d":"2020-02-30"}', '{"d":{"y":2020}}', '{"d":true}', '{"b":"maybe"}',
    '{"b":2}', '{"b":{}}', '{"ip":"1.2.3.256"}', '{"ip":7}', '{"k":{"a":1}}', '{"k":"%s"}' % ("x" * 32_767),
    '{"t":{"a":1}}', '{"o":5}', '{"o":"x"}', '{"o":[{"x":1},5]}', '{"o":{"x":"q"}}', '{"o.x":"q"}',
    '{"p":"91,0"}', '{"p":{"lat":1}}', '{"f":"flat"}', '{"f":[1]}', '{"s":{"new":1}}', '{"s.new":1}',
    '{"alias":1}', '{"c":"other"}', '{"byte":300}', '{"short":1e40}', '{"ul":-1}', '{"half":70000}', '{"float":1e39}',
    '{"double":1e400}', '{"nested":"x"}', '{"nested":[{},3]}', '{"copied":"x"}', '{"":1}', '{"..":1}', '{"a..b":1}',
    '{".a":1}', '{"_id":"1"}', '{"_source":{}}', '{"new":1}', '{"new":{"a":1}}', '{"new":["x",{}]}',
    '{"mixed":[1,"x",{"a":1}]}', '{"big":99999999999999999999}', '{"deep":%s}' % ('{"a":' * 30 + "1" + "}" * 30),
    json.dumps({"many": {f"m{n}": n for n in range(90)}}),
]  # fmt: skip
"""Documents that the node refuses, or the other half of such a pair."""
MAPPED = {
    "n": {"type": "long"}, "d": {"type": "date"}, "b": {"type": "boolean"}, "ip": {"type": "ip"},
    "k": {"type": "keyword"}, "t": {"type": "text"}, "o": {"properties": {"x": {"type": "long"}}},
    "p": {"type": "geo_point"}, "f": {"type": "flat_object"}, "s": {"type": "object", "dynamic": "strict"},
    "alias": {"type": "alias", "path": "n"}, "c": {"type": "constant_keyword", "value": "x"},
    "byte": {"type": "byte"}, "short": {"type": "short"}, "ul": {"type": "unsigned_long"},
    "half": {"type": "half_float"}, "float": {"type": "float"}, "double": {"type": "double"},
    "nested": {"type": "nested"}, "copied": {"type": "keyword", "copy_to": "n"},
}  # fmt: skip


async def attached(through: Http, name: str, **options: Any) -> None:
    made = await through.pipeline(name, "document", native("fit", "fit_mapping", **options))
    assert made.status == 201, made.body
    made = await through.put(f"/_pipeline/_association/{name}*", {"document": {"final_pipeline": name}})
    assert made.status == 201, made.body


async def test_no_conflict_is_refused(through: Http, direct: Http, name: str):
    await attached(through, name)
    settings = {"number_of_shards": 2, "number_of_replicas": 0, "index.mapping.total_fields.limit": 60}
    made = await direct.put(f"/{name}", {"settings": settings, "mappings": {"properties": MAPPED}})
    assert made.status == 200, made.body
    # The mapping is at hand, without the target.
    assert (await through.post(f"/{name}/_pipeline/_fit", {"docs": [{}]})).status == 200
    lines = [line for text in CONFLICTS for line in ('{"index":{}}', text)]
    answer = await through.bulk(*lines, target=f"/{name}/_bulk?refresh=true")
    errors = [item["index"]["error"] for item in answer.json["items"] if "error" in item["index"]]
    assert not errors
    assert answer.json["errors"] is False
    found = (await direct.post(f"/{name}/_search", {"query": {"term": {"_unfit.n": "many"}}})).json["hits"]["hits"]
    assert [hit["_source"] for hit in found] == [{"_unfit": {"n": "many"}, "_unfit_fields": ["n"]}]
    mapping = (await direct.get(f"/{name}/_mapping")).json[name]["mappings"]["properties"]
    assert {target: mapping[target]["type"] for target in TARGETS} == {
        "_unfit": "flat_object",
        "_unfit_fields": "keyword",
    }
    counted = (await through.get(f"/{name}/_pipeline/_unfit")).json
    assert {"path": "alias", "reason": "read_only", "count": 1} in counted["fields"]
    metrics = (await through.get("/_proxy/metrics")).body.decode()
    assert 'headrace_unfit_values_total{reason="unparsable"}' in metrics


async def test_an_index_that_is_not_there_follows_its_template(through: Http, direct: Http, name: str):
    await attached(through, name)
    template = {"index_patterns": [f"{name}-*"], "template": {"mappings": {"properties": {"n": {"type": "long"}}}}}
    assert (await direct.put(f"/_index_template/{name}", template)).status == 200
    try:
        documents = ['{"n":"x"}', '{"n":1,"a":1}', '{"a":{"b":1}}', '{"2020-01-01":{"":1}}']
        lines = [line for text in documents for line in ('{"index":{}}', text)]
        for _ in range(2):
            answer = await through.bulk(*lines, target=f"/{name}-1/_bulk")
            assert answer.json["errors"] is False, answer.json
    finally:
        await direct.delete(f"/_index_template/{name}")


async def test_a_refused_document_is_sent_once_more(through: Http, direct: Http, name: str):
    await attached(through, name)
    await direct.put(f"/{name}", {"mappings": {"properties": {"n": {"type": "long"}}}})
    assert (await through.post(f"/{name}/_doc", {"n": 1})).status == 201
    for n in range(2):
        added = await direct.put(f"/{name}/_mapping", {"properties": {f"late{n}": {"type": "long"}}})
        assert added.status == 200
        if n == 0:
            assert (await through.post(f"/{name}/_doc/s?refresh=true", {"late0": "x"})).status == 201
            continue
        answer = await through.bulk(
            {"index": {"_id": "1", "routing": "r"}}, {"late1": "x"}, {"delete": {"_id": "none"}},
            {"index": {"_id": "2"}}, {"n": 5}, {"create": {"_id": "s"}}, {"late1": "y"},
            target=f"/{name}/_bulk?refresh=true",
        )  # fmt: skip
        assert [next(iter(item.values()))["status"] for item in answer.json["items"]] == [201, 404, 201, 409]
    for id_, path in (("s", "late0"), ("1?routing=r", "late1")):
        source = (await direct.get(f"/{name}/_doc/{id_}")).json["_source"]
        assert source == {"_unfit": {path: "x"}, "_unfit_fields": [path]}


OPAQUE = {
    "c": {"type": "completion"}, "g": {"type": "completion", "contexts": [{"name": "g", "type": "category"}]},
    "rf": {"type": "rank_features"}, "p": {"type": "percolator"}, "j": {"type": "join", "relations": {"a": "b"}},
    "r": {"type": "date_range"}, "s": {"type": "geo_shape"}, "o": {"properties": {"r": {"type": "ip_range"}}},
}  # fmt: skip
"""Fields of types that only the cluster judges."""
UNJUDGED = (
    '{"c":5}', '{"c":{"weight":"x"}}', '{"c":{"input":["a"],"weight":-1}}', '{"g":"a"}',
    '{"g":{"input":"a","contexts":{"z":"q"}}}', '{"rf":{"a":-1}}', '{"rf":{"a":"x"}}', '{"rf":{"a":{"b":1}}}',
    '{"p":{"none":{}}}', '{"j":5}', '{"j":"none"}', '{"r":{"gte":"x"}}', '{"s":"POINT(1"}', '{"o":{"r":"1.2.3.4/99"}}',
)  # fmt: skip


async def test_what_only_the_cluster_judges_is_not_refused(through: Http, direct: Http, name: str):
    await attached(through, name)
    assert (await direct.put(f"/{name}", {"mappings": {"properties": OPAQUE}})).status == 200
    documents = [text.replace("{", '{"k":"y",', 1) for text in UNJUDGED]
    lines = [line for text in documents for line in ('{"index":{}}', text)]
    answer = await through.bulk(*lines, target=f"/{name}/_bulk")
    assert answer.json["errors"] is False, [item for item in answer.json["items"] if "error" in item["index"]]
    for n, text in enumerate(documents):
        answer = await through.put(f"/{name}/_doc/{n}", json.loads(text))
        assert answer.status == 201, (text, answer.body)


async def test_a_document_with_the_target_in_another_form_is_written(through: Http, direct: Http, name: str):
    await attached(through, name)
    await direct.put(f"/{name}", {"mappings": {"properties": {"n": {"type": "long"}, **TARGETS}}})
    for text in ({"_unfit": 5}, {"_unfit": [1, {"a": "b"}], "n": "x"}, {"_unfit_fields": {"a": 1}, "n": "x"}):
        assert (await through.post(f"/{name}/_doc", text)).status == 201, text


async def test_a_full_mapping_gets_room_for_the_target(through: Http, direct: Http, name: str):
    await attached(through, name)
    mappings = {"properties": {"n": {"type": "long"}, "k": {"type": "keyword"}}}
    settings = {"index.mapping.total_fields.limit": 2}
    assert (await direct.put(f"/{name}", {"settings": settings, "mappings": mappings})).status == 200
    documents = ['{"n":"x"}', '{"new":1}', '{"n":{"a":1}}', '{"k":[{"a":1}]}']
    lines = [line for text in documents for line in ('{"index":{}}', text)]
    answer = await through.bulk(*lines, target=f"/{name}/_bulk?refresh=true")
    assert answer.json["errors"] is False, answer.json
    mapping = (await direct.get(f"/{name}/_mapping")).json[name]["mappings"]["properties"]
    assert set(mapping) == {"n", "k", *TARGETS}


async def test_a_dry_run_writes_nothing(through: Http, direct: Http, name: str):
    await direct.put(f"/{name}", {"mappings": {"properties": {"n": {"type": "long"}, **TARGETS}}})
    body = {"docs": [{"n": 1}, {"n": "x"}, {"q": 1}, {"q": {"a": 1}}], "parameters": {"unparsable": "drop_field"}}
    answer = (await through.post(f"/{name}/_pipeline/_fit", body)).json
    assert "documents" in answer, answer
    assert (answer["documents"], answer["fit"]) == (4, 2)
    assert answer["docs"][1] == {
        "fits": False,
        "moved": [{"path": "n", "reason": "unparsable"}],
        "doc": {"_unfit_fields": ["n"]},
    }
    assert answer["fields"][1] == {"path": "q", "reason": "object_for_scalar", "count": 1}
    assert (await direct.get(f"/{name}/_count")).json["count"] == 0
    assert "q" not in (await direct.get(f"/{name}/_mapping")).json[name]["mappings"]["properties"]
    assert (await through.get(f"/{name}/_pipeline/_unfit")).json["total"] == 0
    wrong = await through.post(f"/{name}/_pipeline/_fit", {"docs": [{}], "parameters": {"unparsable": "x"}})
    assert wrong.status == 400


async def test_what_has_moved_from_a_masked_field_is_hidden(through: Http, direct: Http, name: str):
    await direct.put(f"/{name}", {"mappings": {"properties": {"ssn": {"type": "long"}, "n": {"type": "long"}}}})
    await through.pipeline(f"{name}-fit", "document", native("fit", "fit_mapping"))
    await through.pipeline(f"{name}-mask", "result", native("mask", "mask", fields=["ssn"]))
    finals = {"index.document.final_pipeline": f"{name}-fit", "index.result.final_pipeline": f"{name}-mask"}
    assert (await through.put(f"/{name}/_settings", finals)).status == 200
    for n, value in enumerate(({"a": "hushed"}, "hushed", ["hushed"])):
        assert (await through.put(f"/{name}/_doc/{n}?refresh=true", {"ssn": value, "n": n})).status == 201
    assert "hushed" in (await direct.get(f"/{name}/_doc/0")).body.decode()
    for target, body in (
        (f"/{name}/_search", {"fields": ["*"]}),
        (f"/{name}/_search", {"highlight": {"fields": {"*": {}}}, "query": {"query_string": {"query": "hushed"}}}),
        (f"/{name}/_search", {"docvalue_fields": ["_unfit._value"]}),
        (f"/{name}/_search", {"size": 0, "aggs": {"a": {"terms": {"field": "_unfit._value"}}}}),
        (f"/{name}/_search", {"size": 0, "aggs": {"a": {"terms": {"field": "_unfit.ssn"}}}}),
        (f"/{name}/_search", {"sort": ["_unfit.ssn"]}),
        (f"/{name}/_doc/0", None),
        (f"/{name}/_source/1", None),
    ):
        answer = await (through.get(target) if body is None else through.post(target, body))
        assert "hushed" not in answer.body.decode(), (target, body)
    listed = (await through.post(f"/{name}/_search", {"query": {"term": {"_unfit_fields": "ssn"}}})).json
    assert listed["hits"]["total"]["value"] == 3


async def test_a_pipeline_that_a_request_names_changes_no_mapping(through: Http, direct: Http, name: str):
    await direct.put(f"/{name}", {"mappings": {"properties": {"n": {"type": "long"}}}})
    await through.pipeline(f"{name}-fit", "document", native("fit", "fit_mapping"))
    assert (await through.put(f"/{name}/_doc/1?pipeline={name}-fit&refresh=true", {"n": 1})).status == 201
    mapping = (await direct.get(f"/{name}/_mapping")).json[name]["mappings"]
    assert mapping["properties"] == {"n": {"type": "long"}}
    assert (await through.put(f"/{name}/_doc/2?pipeline={name}-fit", {"n": {"a": 1}})).status == 201
