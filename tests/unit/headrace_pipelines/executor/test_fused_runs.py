"""Runs by the engine alone do and count what runs stage by stage do."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time

import msgspec
import pytest

from headrace_pipelines import Batch, Bulk, Deadline, attempt_fused, count_fused, execute
from headrace_pipelines.stats import shown
from tests.conftest import native, ndjson, wasm, without
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
UDFS = {"logs": LOGS, "echo": wat.ECHO, "many": wat.ECHO_OF_SINGLES, "spins": wat.SPINS}
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
    '/* c */{"level":"A"/* c */}',
    "{",
    "[]",
    '{"level":"A" /* c }',
]
HIT = '{"_index":"i","_id":"1","_score":1.0,"_source":{"level":"A"}}'
RESPONSES = [
    f'{{"hits":{{"hits":[{",".join(hits)}]}}}}'
    for hits in ([], [HIT, HIT], [HIT.replace('"A"', '"\\ud800"'), HIT], [HIT.replace('"A"', "tru")])
]
ELSEWHERE = [*RESPONSES, '{"hits":{"hits":[]},"aggregations":{"a":"\\ud800"}}', '{"hits"']
QUERIES = [
    '{"query":{"match_all":{}}}',
    '{"query":{},"_meta":{"a":1}}',
    "{}",
    "{",
    '{"size":"x"}',
    '{"size":1 /* c */}',
]


def pair(stages, **fields):
    used = [stage["config"]["udf_name"] for stage in stages if stage["type"] == "wasm"]
    return [compiled(*stages, udfs=[(name, UDFS[name]) for name in used], **fields) for _ in range(2)]


def counted(made):
    text = json.dumps(shown(made.stats.dump()), sort_keys=True)
    return (
        [
            (key, value)
            for key, value in sorted(json.loads(text).items())
            if "duration" not in key and key not in ("last_executed", "stage_stats", "last_errors", "fuel")
        ]
        + sorted(
            repr(
                sorted(
                    (key, value) for key, value in part.items() if "duration" not in key and key not in ("time", "fuel")
                )
            )
            for many in ("stage_stats", "last_errors")
            for part in json.loads(text)[many]
        )
        + [
            without(msgspec.to_builtins(node.runner.stats.dump()), "duration", "fuel", "memory")
            for node in made.nodes
            if node.runner.stats is not None
        ]
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
        came = len(batch)
        execution = execute(whole, batch, Deadline(30))
        one.absorb(batch)
        before = len(caplog.records)
        run = attempt_fused(alone.fused, other, 30, [0])
        assert len(caplog.records) == before
        assert (run.late, run.skipped, len(run)) == (False, execution.skipped, came)
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
        ("query", QUERIES, [SET]),
        ("query", QUERIES, [wasm("u", "many")]),
        ("result", ELSEWHERE, [wasm("u", "echo")]),
        ("result", ELSEWHERE, [wasm("u", "many")]),
        ("result", ELSEWHERE, [native("t", "truncate_hits", target_size=1)]),
    ],
)
def test_searches(kind, texts, stages, policy):
    whole, alone = pair(stages, kind=kind, **({"on_failure": policy} if policy else {}))
    for text in texts:
        batches = [Batch.of(kind, text.encode(), index="i") for _ in range(2)]
        execution = execute(whole, batches[0], Deadline(30))
        run = attempt_fused(alone.fused, batches[1], 30)
        assert run.skipped == execution.skipped
        count_fused(alone, run)
        assert ended(batches[0]) == ended(batches[1])
    assert counted(whole) == counted(alone)


COMMENTED = {
    "in front": '/* c */{"level":"A"}',
    "inside": '{"level":/* " { */"A" /* c */}',
    "behind": '{"level":"A"} // c',
    "a mark": '\ufeff{"level":"A"}',
}


@pytest.mark.parametrize("text", COMMENTED.values(), ids=list(COMMENTED))
@pytest.mark.parametrize(
    ("kind", "stage"),
    [
        ("document", SET),
        ("document", wasm("u", "echo")),
        ("document", wasm("u", "many") | {"if": "has(doc.gone)"}),
        ("query", SET),
        ("query", wasm("u", "echo")),
        ("query", wasm("u", "many")),
    ],
)
def test_comments_are_passed_over(kind, stage, text):
    for made in pair([stage], kind=kind):
        batch = Batch.of(kind, text.encode())
        if made.fused is None:
            execute(made, batch, Deadline(30))
        else:
            assert not attempt_fused(made.fused, batch, 30).skipped
        assert batch.outcome(0) == ("live", None)
        assert json.loads(batch.document(0)) == {"level": "A"} | ({"x": 1} if stage is SET else {})


@pytest.mark.parametrize("stage", [SET, wasm("u", "echo")])
def test_comments_in_a_bulk_are_passed_over(stage):
    made, _ = pair([stage])
    texts = [text for text in COMMENTED.values() if not text.startswith("\ufeff")]
    for count in (1, 20):
        parsed = Bulk(ndjson(*[line for text in texts * count for line in ({"index": {"_index": "i"}}, text)]))
        attempt_fused(made.fused, parsed, 30, [0])
        assert parsed.counts() == (len(texts) * count, 0, 0)
        sources = [json.loads(line) for line in bytes(parsed.render()).splitlines()[1::2]]
        assert sources == [{"level": "A"} | ({"x": 1} if stage is SET else {})] * (len(texts) * count)


def test_many_documents_in_a_call_are_no_step_of_documents():
    many = [wasm("u", "many")]
    found = {kind: pair(many, kind=kind)[0].fused is not None for kind in ("document", "query", "result")}
    assert found == {"document": False, "query": True, "result": True}


def test_what_is_late_is_not_counted():
    (made, _) = pair([SET])
    parsed = Bulk(ndjson({"index": {"_index": "i"}}, {}))
    run = attempt_fused(made.fused, parsed, 0, [0])
    assert run.late
    assert parsed.render() is None
    assert parsed.counts() == (1, 0, 0)
    assert shown(made.stats.dump())["total_executions"] == 0
    assert shown(made.stats.dump())["stage_stats"] == []
    again = attempt_fused(made.fused, parsed, 30, [0])
    assert not again.late
    count_fused(made, again)
    assert bytes(parsed.render()).splitlines()[1] == b'{"x":1}'
    assert shown(made.stats.dump())["total_executions"] == 1


def test_the_wait_for_the_interpreter_is_not_late():
    (made, _) = pair([wasm("u", "spins")])
    parsed = Bulk(ndjson({"index": {"_index": "i"}}, {}))
    begun = threading.Event()
    end = time.monotonic() + 1.5

    def hold():
        begun.wait()
        while time.monotonic() < end:
            pass

    interval = sys.getswitchinterval()
    holder = threading.Thread(target=hold)
    holder.start()
    # No thread has to let go of the interpreter: the other one gets it while the engine works, and keeps it.
    sys.setswitchinterval(60)
    try:
        begun.set()
        run = attempt_fused(made.fused, parsed, end - 0.3 - time.monotonic(), [0])
        assert time.monotonic() >= end
    finally:
        sys.setswitchinterval(interval)
        holder.join()
    assert not run.late


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
