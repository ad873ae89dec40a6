from __future__ import annotations

import json
import time

import msgspec
import pytest

from headrace_pipelines import Batch, Deadline, RunOptions, Snapshot, execute
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.registry import compile_pipeline
from headrace_pipelines.udf.catalog import Catalog
from tests.conftest import native, wasm
from tests.support import wat
from tests.unit.headrace_pipelines.registry.test_registry import pipeline, records, udf
from tests.unit.headrace_pipelines.test_executor import LOW, SET, compiled, run, through


def test_final_pipelines_fail_closed_by_default():
    made = compiled(LOW, kind="query")
    for final, state in ((False, "live"), (True, "failed")):
        batch = Batch.of("query", b'{"level":5}')
        execute(made, batch, Deadline(5), RunOptions(final=final))
        assert batch.outcome(0)[0] == state


HITS = {
    "hits": {
        "total": {"value": 3},
        "max_score": 3.0,
        "hits": [
            {"_index": "a", "_id": "1", "_score": 3.0, "_source": {"n": 1, "t": "x"}},
            {"_index": "b", "_id": "2", "_score": 2.0, "_source": {"n": 2, "t": "y"}},
            {"_index": "a", "_id": "3", "_score": 1.0, "_source": {"n": 9, "t": "z"}},
        ],
    }
}
BY_FIELD = wat.field_udf(
    "(call $get (local.get $ctx) (i32.const 0) (i32.const 1))",
    imports='(import "env" "get_field_float64" (func $get (param i64 i32 i32) (result f64)))',
    data='(data (i32.const 0) "n")',
    result="f64",
).replace('"filter"', '"score"')
KEEP_SCORED = wat.field_udf(
    "(f64.gt (call $score (local.get $ctx)) (f64.const 1.5))",
    imports='(import "env" "get_score" (func $score (param i64) (result f64)))',
)


def on_hits(name, udf, **more):
    return {"name": name, "type": "wasm", "config": {"udf_name": udf, "scope": "hit"}, **more}


def result_of(made, response=HITS, options=None):
    batch = Batch.of("result", json.dumps(response).encode())
    execute(made, batch, Deadline(5), options)
    assert batch.outcome(0)[0] == "live", batch.outcome(0)
    return json.loads(batch.document(0))["hits"]


def ids(hits):
    return [hit["_id"] for hit in hits["hits"]]


def scoring(code=BY_FIELD):
    record, codes = udf("u", code)
    return msgspec.structs.replace(record, manifest=msgspec.structs.replace(record.manifest, entry="score")), codes


def compiled_result(*stages, pairs):
    codes = {digest: code for _, part in pairs for digest, code in part.items()}
    record = pipeline("p", *stages, kind="result")
    snapshot = Snapshot(records(record, udfs=[r for r, _ in pairs]), {}, codes)
    return compile_pipeline(record.definition, snapshot, Catalog())


def test_a_number_is_the_new_score_of_a_hit_and_hits_are_sorted_anew():
    hits = result_of(compiled_result(on_hits("s", "u"), pairs=[scoring()]))
    assert (ids(hits), hits["max_score"]) == (["3", "2", "1"], 9.0)
    assert [hit["_score"] for hit in hits["hits"]] == [9.0, 2.0, 1.0]
    assert hits["total"] == {"value": 3}


def test_false_removes_a_hit_and_get_score_is_its_score():
    hits = result_of(compiled(on_hits("k", "u"), kind="result", udfs=[("u", KEEP_SCORED)]))
    assert (ids(hits), hits["max_score"], hits["total"]) == (["1", "2"], 3.0, {"value": 3})


def test_the_condition_of_a_hit_stage_is_asked_for_each_hit():
    made = compiled_result(on_hits("s", "u", **{"if": "hit._source.n > 1"}), pairs=[scoring()])
    assert ids(result_of(made)) == ["3", "1", "2"]


def test_only_the_hits_of_some_indexes_are_seen():
    made = compiled_result(on_hits("s", "u"), pairs=[scoring()])
    assert made.per_hit
    assert ids(result_of(made, options=RunOptions(indexes=["b"]))) == ["1", "2", "3"]
    assert ids(result_of(made, options=RunOptions(indexes=["a"]))) == ["3", "2", "1"]


def test_a_failing_hit_fails_the_response_or_stays_as_it_was():
    trap = compiled(on_hits("t", "u"), kind="result", udfs=[("u", wat.TRAP)])
    assert ids(result_of(trap)) == ["1", "2", "3"]
    batch = Batch.of("result", json.dumps(HITS).encode())
    execute(trap, batch, Deadline(5), RunOptions(final=True))
    assert batch.outcome(0)[1][1:2] == ("udf_trap_exception",)


def test_a_mask_reaches_inner_hits_and_top_hits():
    inner = {"_index": "a", "_id": "9", "_source": {"secret": "s3", "o": [{"secret": "s4"}]}}
    response = {
        "hits": {"hits": [{"_index": "a", "_id": "1", "_source": {"secret": "s1"}, "fields": {"secret": ["s2"]},
                           "inner_hits": {"x": {"hits": {"hits": [inner]}}}}]},
        "aggregations": {"g": {"buckets": [{"top": {"hits": {"hits": [{"_id": "7", "_source": {"secret": "s5"}}]}}}]}},
    }  # fmt: skip
    made = compiled(native("m", "mask", fields=["secret", "o.secret"]), kind="result")
    batch = Batch.of("result", json.dumps(response).encode())
    execute(made, batch, Deadline(5))
    text = batch.document(0).decode()
    assert all(f"s{n}" not in text for n in range(1, 6))
    assert text.count("****") == 5


def test_metadata_of_a_stage_reaches_the_next_one():
    first = native("a", "set", field="_ctx.seen", value=["{{level}}"])
    second = {**SET, "if": "ctx.seen == ['X']"}
    batch, _ = run(compiled(first, second, native("c", "set", field="copy", value="{{_ctx.seen}}")))
    assert batch.document(0) == b'{"level":"X","x":1,"copy":"{0=X}"}'
    assert batch.context(0) == b'{"seen":["X"]}'


def test_a_timeout_ends_a_built_in_whose_work_a_document_decides():
    document = {"a": "&".join(f"k{i}=v" for i in range(100_000))}
    made = compiled({**native("kv", "kv", field="a", field_split="&", value_split="="), "timeout": "50ms"})
    started = time.monotonic()
    found, _ = through(made, document)
    assert found == ["failed"]
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("doc.l.all(a, doc.l.all(b, doc.l.all(c, c > 0)))", "nested deeper than 2"),
        ("doc.a == 1 && " * 1000 + "true", "the limit is 8192"),
    ],
)
def test_conditions_that_could_take_for_ever_are_refused(condition, words):
    with pytest.raises(InvalidError, match=words):
        compiled({**SET, "if": condition})


def test_a_condition_that_loops_is_kept_off_the_event_loop():
    assert compiled({**SET, "if": "doc.n > 1"}).inline_safe
    assert not compiled({**SET, "if": "doc.l.exists(x, x > 1)"}).inline_safe


def test_a_document_becomes_a_bounded_number_of_documents():
    many = "[" + ",".join(["{}"] * 10_001) + "]"
    batch, _ = run(compiled(wasm("w", "u"), udfs=[("u", wat.answering(many))]))
    assert "the limit is 10000" in batch.outcome(0)[1][2]
