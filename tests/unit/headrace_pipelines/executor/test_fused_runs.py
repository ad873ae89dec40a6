"""Runs by the engine alone do and count what runs stage by stage do."""

from __future__ import annotations

import json
import logging

import pytest

from headrace_pipelines import Batch, Bulk, Deadline, attempt_fused, count_fused, execute
from headrace_pipelines.stats import shown
from tests.conftest import native, ndjson, wasm
from tests.support import wat
from tests.unit.headrace_pipelines.executor.test_executor import LOW, SET, compiled

DROP = native("d", "drop") | {"if": "has(doc.drop)"}
FAIL = native("f", "fail", message="no") | {"if": "has(doc.fail)"}
TOLERANT = LOW | {"name": "t", "on_failure": "continue"}
WRONG = SET | {"name": "w", "if": "doc.level > 3", "on_failure": "continue"}
LOGS = wat.field_udf(
    "(call $log (i32.const 3) (i32.const 0) (i32.const 5)) (i32.const 1)",
    imports='(import "env" "log" (func $log (param i32 i32 i32)))',
    data='(data (i32.const 0) "hello")',
)
UDFS = {"logs": LOGS, "echo": wat.ECHO}
DOCUMENT_STAGES = [
    [DROP, SET, LOW],
    [FAIL, SET],
    [TOLERANT, SET],
    [WRONG, LOW],
    [SET | {"if": "doc.level == 'NONE'"}, LOW | {"if": "doc.level == 'NONE'"}],
    [wasm("u", "logs"), SET],
]
DOCUMENTS = [
    *({"level": "A"}, {"drop": 1}, {"fail": 1}, {"level": 5}, {"level": "B", "text": "x\u2028"}, {}),
    '{\t"level" : "NONE" }',
    "{",
    "[]",
]
RENAME = native("r", "rename_field", field="level", target_field="grade")
HIT = '{"_index":"i","_id":"1","_score":1.0,"_source":{"level":"A"}}'
RESPONSES = [
    f'{{"hits":{{"hits":[{",".join(hits)}]}}}}'
    for hits in ([], [HIT, HIT], [HIT.replace('"A"', '"\\ud800"'), HIT], [HIT.replace('"A"', "tru")])
]
ELSEWHERE = [*RESPONSES, '{"hits":{"hits":[]},"aggregations":{"a":"\\ud800"}}', '{"hits"']
QUERIES = ['{"query":{"match_all":{}}}', '{"query":{},"_meta":{"a":1}}', "{}", "{", '{"size":"x"}']


def pair(stages, **fields):
    used = [stage["config"]["udf_name"] for stage in stages if stage["type"] == "wasm"]
    return [compiled(*stages, udfs=[(name, UDFS[name]) for name in used], **fields) for _ in range(2)]


def counted(made):
    text = json.dumps(shown(made.stats.dump()), sort_keys=True)
    return [
        (key, value)
        for key, value in sorted(json.loads(text).items())
        if "duration" not in key and key not in ("last_executed", "stage_stats", "last_errors", "fuel")
    ] + sorted(
        repr(
            sorted((key, value) for key, value in part.items() if "duration" not in key and key not in ("time", "fuel"))
        )
        for many in ("stage_stats", "last_errors")
        for part in json.loads(text)[many]
    )


def ended(batch):
    state, failure = batch.outcome(0)
    return state, failure, batch.document(0), batch.context(0)


@pytest.mark.parametrize("stages", DOCUMENT_STAGES)
def test_bulks(stages, caplog):
    caplog.set_level(logging.DEBUG, "headrace.udf")
    whole, alone = pair(stages)
    lines = [line for n, text in enumerate(DOCUMENTS) for line in ({"index": {"_index": "i", "_id": f"{n}"}}, text)]
    bodies = [ndjson(*lines[n : n + 2]) for n in range(0, len(lines), 2)] + [ndjson(*lines)] * 2
    for body in bodies:
        one, other = Bulk(body), Bulk(body)
        batch = one.batch([0])
        execution = execute(whole, batch, Deadline(30))
        one.absorb(batch)
        before = len(caplog.records)
        run = attempt_fused(alone.fused, other, 30, [0])
        assert len(caplog.records) == before
        assert (run.late, run.skipped, len(run)) == (False, execution.skipped, len(batch) or len(run))
        count_fused(alone, run)
        assert one.render() == other.render()
        assert [one.outcome(n) for n in range(len(one))] == [other.outcome(n) for n in range(len(other))]
    assert counted(whole) == counted(alone)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [] or len(lines) % 2 == 0


@pytest.mark.parametrize("policy", [None, "abort"])
@pytest.mark.parametrize(
    ("kind", "texts", "stages"),
    [
        ("query", QUERIES, [wasm("u", "echo")]),
        ("query", QUERIES, [native("s", "set", field="_meta.n", value=1), wasm("u", "logs")]),
        ("result", ELSEWHERE, [wasm("u", "echo")]),
        ("result", ELSEWHERE, [RENAME]),
    ],
)
def test_searches(kind, texts, stages, policy):
    whole, alone = pair(stages, kind=kind, **({"on_failure": policy} if policy else {}))
    if alone.fused is None:
        assert stages == [RENAME]
        return
    for text in texts:
        batches = [Batch.of(kind, text.encode(), index="i") for _ in range(2)]
        execution = execute(whole, batches[0], Deadline(30))
        run = attempt_fused(alone.fused, batches[1], 30)
        assert run.skipped == execution.skipped
        count_fused(alone, run)
        assert ended(batches[0]) == ended(batches[1])
    assert counted(whole) == counted(alone)


def test_what_is_late_is_not_counted():
    (made, _) = pair([SET])
    parsed = Bulk(ndjson({"index": {"_index": "i"}}, {}))
    run = attempt_fused(made.fused, parsed, 0, [0])
    assert run.late
    assert shown(made.stats.dump())["total_executions"] == 0
    assert shown(made.stats.dump())["stage_stats"] == []


@pytest.mark.parametrize("fields", [{"enabled": False}, {"timeout": "1s"}, {"on_failure": [SET | {"name": "h"}]}])
def test_other_pipelines_run_stage_by_stage(fields):
    (made, _) = pair([LOW], **fields)
    assert made.fused is None


@pytest.mark.parametrize("text", ['{"level":"A"}', '{"drop":1}', '{"level":5}', "{", ' {"level":"A"}'])
@pytest.mark.parametrize("id_", [None, "é"])
def test_a_single_document_is_a_bulk_of_one(text, id_):
    made, _ = pair([DROP, native("i", "set", field="id", value="{{_id}}"), LOW])
    action = {"create": {"_index": "i"} | ({"_id": id_} if id_ else {})}
    bulks = Bulk(ndjson(action, text)), Bulk.single(text.encode(), index="i", id=id_, creates=True)
    for each in bulks:
        attempt_fused(made.fused, each, 30, [0])
    one, other = bulks
    assert (one.targets(), one.outcome(0), one.document(0)) == (other.targets(), other.outcome(0), other.document(0))
    assert one.counts() == other.counts()
