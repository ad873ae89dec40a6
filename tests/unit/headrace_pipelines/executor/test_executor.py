from __future__ import annotations

import json
import threading
import time

import pytest

from headrace_pipelines import Batch, Bulk, Deadline, RunOptions, Snapshot, attempt, execute
from headrace_pipelines.registry import compile_pipeline
from headrace_pipelines.stats import shown
from headrace_pipelines.udf.catalog import Catalog
from tests.conftest import native, ndjson, wasm
from tests.support import wat
from tests.unit.headrace_pipelines.registry.test_registry import pipeline, records, udf

SET = native("s", "set", field="x", value=1)
LOW = native("low", "lowercase", field="level")


def compiled(*stages, udfs=(), **fields):
    pairs = [udf(name, code) for name, code in udfs]
    codes = {digest: code for _, part in pairs for digest, code in part.items()}
    record = pipeline("p", *stages, **fields)
    snapshot = Snapshot(records(record, udfs=[r for r, _ in pairs]), {}, codes)
    return compile_pipeline(record.definition, snapshot, Catalog())


def run(made, text=b'{"level":"X"}', kind="document", seconds=30.0, **options):
    batch = Batch.of(kind, text)
    return batch, execute(made, batch, Deadline(seconds), **options)


def test_stages_run_in_order_and_are_counted():
    made = compiled(SET, LOW)
    batch, execution = run(made)
    assert batch.document(0) == b'{"level":"x","x":1}'
    assert (execution.pipeline, execution.skipped, execution.failures) == ("p@1", [], 0)
    stats = shown(made.stats.dump())
    assert (stats["total_executions"], stats["documents_in"], stats["documents_out"], stats["current"]) == (1, 1, 1, 0)
    assert [s["name"] for s in stats["stage_stats"]] == ["s", "low"]


def test_stages_that_no_document_reaches_did_not_run():
    own_time = {**LOW, "timeout": "1s"}
    made = compiled(native("d", "drop"), {**SET, "enabled": False}, own_time, SET)
    _, execution = run(made)
    assert execution.skipped == []
    assert [(s["name"], s["executions"]) for s in shown(made.stats.dump())["stage_stats"]] == [("d", 1)]


def test_what_a_udf_costs_is_counted():
    made = compiled(wasm("w", "u"), udfs=[("u", wat.ECHO)])
    for _ in range(2):
        run(made)
    (stage,) = shown(made.stats.dump())["stage_stats"]
    assert (stage["executions"], stage["documents_in"], stage["failures"]) == (2, 2, 0)
    assert stage["fuel"] >= 2
    assert stage["memory_peak_bytes"] >= 1 << 16


@pytest.mark.parametrize(
    ("own", "inherited", "state"),
    [(None, None, "failed"), ("continue", None, "live"), (None, "continue", "live"), ("abort", "continue", "failed")],
)
def test_the_nearest_policy_holds(own, inherited, state):
    stage = {**LOW, **({"on_failure": own} if own else {})}
    fields = {"on_failure": inherited} if inherited else {}
    batch, execution = run(compiled(stage, SET, **fields), b'{"level":5}')
    assert batch.outcome(0)[0] == state
    if state == "live":
        assert batch.document(0) == b'{"level":5,"x":1}'
        assert execution.skipped == ["low"]


def test_the_policy_of_a_composite_holds_for_its_stages():
    composite = {"name": "c", "type": "composite", "on_failure": "continue", "config": {"stages": [LOW, SET]}}
    batch, execution = run(compiled(composite), b'{"level":5}')
    assert batch.document(0) == b'{"level":5,"x":1}'
    assert execution.skipped == ["c/low"]


def test_the_timeout_of_a_pipeline_ends_a_running_udf():
    made = compiled(wasm("w", "u"), udfs=[("u", wat.LOOP)], timeout="30ms")
    started = time.monotonic()
    batch, _ = run(made)
    assert time.monotonic() - started < 3
    state, failure = batch.outcome(0)
    assert (state, failure[0], failure[4]) == ("failed", 429, "w")


def test_stages_after_the_deadline_do_not_run():
    for policy, state in (("abort", "failed"), ("continue", "live")):
        batch, execution = run(compiled(SET, LOW, on_failure=policy), seconds=0)
        assert batch.outcome(0)[0] == state
        assert batch.document(0) == b'{"level":"X"}'
        assert execution.skipped[0] == "s"


def test_a_disabled_pipeline_lets_everything_pass():
    batch, execution = run(compiled(native("no", "fail", message="x"), enabled=False))
    assert batch.outcome(0)[0] == "live"
    assert execution.skipped == ["p"]


def test_a_document_that_is_not_json_fails_before_any_stage():
    made = compiled(SET)
    batch, _ = run(made, b"{oops")
    assert batch.outcome(0)[1][1] == "mapper_parsing_exception"
    assert shown(made.stats.dump())["stage_stats"] == []


def test_the_trace_shows_every_stage():
    _, execution = run(compiled({**SET, "enabled": False}, LOW), options=RunOptions(trace=True))
    assert [(t["stage"], t["status"]) for t in execution.trace] == [("s", "skipped"), ("low", "success")]
    assert execution.trace[1]["output"] == b'{"level":"x"}'


def test_what_udfs_log_goes_to_their_log(caplog):
    text = wat.field_udf(
        "(call $log (i32.const 3) (i32.const 0) (i32.const 5)) (i32.const 1)",
        imports='(import "env" "log" (func $log (param i32 i32 i32)))',
        data='(data (i32.const 0) "hello")',
    )
    run(compiled(wasm("w", "u"), udfs=[("u", text)]))
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        ("headrace.udf", "WARNING", "p@1/w [0] hello")
    ]


def bulk_of(*documents: object) -> Batch:
    lines = [line for d in documents for line in ({"index": {"_index": "i"}}, d)]
    return Bulk(ndjson(*lines)).batch([0])


def through(made, *documents, options=None, seconds=30.0):
    batch = bulk_of(*documents)
    execution = execute(made, batch, Deadline(seconds), options)
    return [json.loads(batch.document(i)) if batch.outcome(i)[0] == "live" else batch.outcome(i)[0]
            for i in range(len(batch))], execution  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "hit"),
    [
        ('doc.level == "X"', [True, False, False, False]),
        ('document.level == "X"', [True, False, False, False]),
        ("doc.level == null", [False, False, True, True]),
        ("has(doc.level)", [True, True, True, False]),
        ("has(doc.level) && doc.level == 'X'", [True, False, False, False]),
        ("'level' in doc", [True, True, True, False]),
        ("doc.n > 1 && doc.tags.exists(t, t == 'b')", [True, False, False, False]),
        ("doc.o.p.q == null", [True, True, True, True]),
        ("doc.o.k == 'v'", [True, False, False, False]),
        ("doc.n in [0, 5]", [True, True, False, False]),
        ("doc.level.startsWith('X')", [True, False, "failed", "failed"]),
        ("size(doc) == 4", [True, False, False, False]),
        ("params.value == 1", [True, True, True, True]),
        ("ctx.index == 'i' && ctx.pipeline == 'p'", [True, True, True, True]),
        ("doc", ["failed"] * 4),
    ],
)
def test_conditions(condition, hit):
    documents = [
        {"level": "X", "n": 5, "tags": ["a", "b"], "o": {"k": "v"}},
        {"level": "Y", "n": 0},
        {"level": None, "n": 1},
        {"n": 1},
    ]
    found, _ = through(compiled({**SET, "if": condition}), *documents)
    assert [d if d == "failed" else "x" in d for d in found] == hit


def test_a_condition_that_cannot_be_evaluated_is_a_failure_of_its_stage():
    stage = {**SET, "if": "doc.level > 5"}
    batch, _ = run(compiled(stage))
    assert batch.outcome(0)[1][1:] == ("condition_exception", batch.outcome(0)[1][2], "p@1", "s")
    assert "no matching overload" in batch.outcome(0)[1][2]
    batch, execution = run(compiled({**stage, "on_failure": "continue"}))
    assert (batch.outcome(0)[0], batch.document(0), execution.skipped) == ("live", b'{"level":"X"}', ["s"])
    found, _ = through(
        compiled({**stage, "on_failure": [native("h", "set", field="handled", value=True)]}), {"level": "X"}
    )
    assert found == [{"level": "X", "handled": True}]


def test_only_documents_that_meet_the_condition_are_counted_and_the_rest_are_skips():
    made = compiled({**SET, "if": "doc.n > 1"}, native("all", "set", field="y", value=1))
    found, execution = through(made, {"n": 1}, {"n": 2}, {"n": 3})
    assert found == [{"n": 1, "y": 1}, {"n": 2, "x": 1, "y": 1}, {"n": 3, "x": 1, "y": 1}]
    assert execution.skipped == []
    first, second = shown(made.stats.dump())["stage_stats"]
    assert (first["documents_in"], first["skips"], second["documents_in"]) == (2, 1, 3)


def test_the_condition_of_a_composite_holds_for_all_its_stages():
    composite = {
        "name": "c",
        "type": "composite",
        "if": "doc.n == 1",
        "config": {"stages": [SET, {**LOW, "if": "doc.level != null"}]},
    }
    found, _ = through(compiled(composite), {"n": 1, "level": "A"}, {"n": 2, "level": "A"}, {"n": 1})
    assert found == [{"n": 1, "level": "a", "x": 1}, {"n": 2, "level": "A"}, {"n": 1, "x": 1}]


def test_failure_handlers_see_why_and_the_pipeline_goes_on():
    handler = native(
        "h", "set", field="error", value="{{_ingest.on_failure_processor_tag}}: {{_ingest.on_failure_message}}"
    )
    found, _ = through(compiled({**LOW, "on_failure": [handler]}, SET), {"level": 5}, {"level": "A"})
    reason = "field [level] of type [java.lang.Integer] cannot be cast to [java.lang.String]"
    assert found == [{"level": 5, "error": f"low: {reason}", "x": 1}, {"level": "a", "x": 1}]
    batch, _ = run(
        compiled({**LOW, "on_failure": [{**SET, "if": "ctx.on_failure.stage == 'low' && ctx.on_failure.type != ''"}]}),
        b'{"level":5}',
    )
    assert (batch.document(0), batch.context(0)) == (b'{"level":5,"x":1}', None)


def test_a_handler_that_fails_fails_the_document():
    batch, _ = run(compiled({**LOW, "on_failure": [native("no", "fail", message="worse")]}), b'{"level":5}')
    assert batch.outcome(0)[1][1:] == ("fail_processor_exception", "worse", "p@1", "low/on_failure/no")


def test_the_handlers_of_a_pipeline_end_its_way_as_opensearch_has_it():
    made = compiled(LOW, SET, on_failure=[native("h", "set", field="handled", value=True)])
    found, _ = through(made, {"level": 5}, {"level": "A"})
    assert found == [{"level": 5, "handled": True}, {"level": "a", "x": 1}]


def test_the_handlers_of_a_composite_end_the_composite_only():
    composite = {
        "name": "c",
        "type": "composite",
        "config": {"stages": [LOW, SET]},
        "on_failure": [native("h", "set", field="h", value=1)],
    }
    found, _ = through(compiled(composite, native("after", "set", field="y", value=1)), {"level": 5}, {"level": "A"})
    assert found == [{"level": 5, "h": 1, "y": 1}, {"level": "a", "x": 1, "y": 1}]


FLAKY = wat.field_udf(
    """(global.set $n (i32.add (global.get $n) (i32.const 1)))
    (if (i32.eqz (call $has (local.get $ctx) (i32.const 0) (i32.const 3))) (then (return (i32.const 1))))
    (if (i32.lt_s (global.get $n) (i32.const 4)) (then unreachable))
    (i32.const 1)""",
    imports="""(import "env" "has_field" (func $has (param i64 i32 i32) (result i32)))
    (global $n (mut i32) (i32.const 0))""",
    data='(data (i32.const 0) "bad")',
)
"""Traps on documents with a field `bad`. A sandbox that trapped is thrown away, so it does so each time."""


@pytest.mark.parametrize(
    ("retry", "retries", "state"),
    [
        ({"max_attempts": 4, "initial_delay": "1ms"}, 3, "failed"),
        ({"max_attempts": 1}, 0, "failed"),
        ({"retryable_errors": ["timeout"]}, 0, "failed"),
        ({"retryable_errors": ["trap"], "initial_delay": "1ms"}, 2, "failed"),
    ],
)
def test_only_failed_documents_are_tried_again(retry, retries, state):
    made = compiled({**wasm("w", "u"), "retry": retry}, udfs=[("u", FLAKY)])
    found, _ = through(made, {"n": 1}, {"bad": 1})
    assert found == [{"n": 1}, state]
    stage = shown(made.stats.dump())["stage_stats"][0]
    assert (stage["retries"], stage["documents_in"]) == (retries, 2 + retries)


def test_retries_wait_longer_each_time_and_end_at_the_deadline():
    retry = {"max_attempts": 100, "initial_delay": "10ms", "multiplier": 2, "max_delay": "40ms"}
    made = compiled({**LOW, "retry": retry, "timeout": "200ms"})
    started = time.monotonic()
    batch, _ = run(made, b'{"level":5}')
    assert 0.1 < time.monotonic() - started < 2
    assert batch.outcome(0)[0] == "failed"
    assert 3 <= shown(made.stats.dump())["retries"] <= 7


def test_after_retries_the_policy_holds():
    retry = {"max_attempts": 2, "initial_delay": "1ms"}
    batch, execution = run(compiled({**LOW, "on_failure": "continue", "retry": retry}, SET), b'{"level":5}')
    assert (batch.document(0), execution.skipped) == (b'{"level":5,"x":1}', ["low"])
    batch, _ = run(compiled({**LOW, "on_failure": "retry", "retry": retry}), b'{"level":5}')
    assert batch.outcome(0)[0] == "failed"
    batch, _ = run(compiled({**LOW, "on_failure": [SET], "retry": retry}), b'{"level":5}')
    assert batch.document(0) == b'{"level":5,"x":1}'


def test_cancelling_ends_the_wait_between_retries():
    made = compiled({**LOW, "retry": {"initial_delay": "10s", "max_delay": "10s"}})
    deadline = Deadline(30)
    threading.Timer(0.1, deadline.cancel).start()
    started = time.monotonic()
    execute(made, bulk_of({"level": 5}), deadline)
    assert time.monotonic() - started < 5


def test_a_pipeline_that_has_to_wait_is_kept_off_the_event_loop():
    assert compiled(SET, LOW).inline_safe
    assert not compiled({**SET, "retry": {}}).inline_safe
    assert not compiled(native("g", "grok", field="a", patterns=["%{WORD:w}"])).inline_safe
    assert not compiled(SET, on_failure=[wasm("w", "u")], udfs=[("u", wat.ECHO)]).inline_safe


def test_an_attempt_that_was_too_slow_leaves_nothing_behind():
    made = compiled(SET, LOW, on_failure="continue")
    batch, fresh = (bulk_of({"level": "X"}, {"level": 5}) for _ in range(2))
    texts = [fresh.document(i) for i in range(2)]
    assert attempt(made, batch, Deadline(0)) is None
    batch.restart(fresh)
    assert ([batch.document(i) for i in range(2)], len(fresh)) == (texts, 0)
    stats = shown(made.stats.dump())
    assert (stats["total_executions"], stats["current"], stats["last_errors"], stats["stage_stats"]) == (0, 0, [], [])
    run = attempt(made, batch, Deadline(30))
    assert run is not None
    assert shown(made.stats.dump())["total_executions"] == 0
    run.count()
    assert (run.execution.failures, batch.document(0)) == (0, b'{"level": "x","x":1}')
    assert shown(made.stats.dump())["total_executions"] == 1


@pytest.mark.parametrize(
    "condition",
    [
        "doc.level == 'DEBUG'",
        "doc.level != 'DEBUG'",
        "doc.a.b == 'x' && doc.level == 'DEBUG'",
        "doc.level == 'DEBUG' && doc.a.b == 'x'",
        "doc.a.b == 'x' || doc.level == 'DEBUG'",
        "has(doc.zz) || doc.level == 'DEBUG'",
        "doc.zz == 'DEBUG' && has(doc.zz)",
        "!has(doc.zz) && doc.level == 'a/b'",
        "!(doc.level == 'DEBUG')",
    ],
)
def test_what_the_bytes_of_a_document_rule_out_the_condition_rules_out(condition):
    texts = [
        b'{"a":"s","level":"INFO"}', b'{"a":{"b":"x"},"level":"DEBUG"}', b'{"level":null}', b'{"level":["DEBUG"]}', b"{}",
        b'{"level":5,"zz":1}', b'{"level":"\\u0044EBUG"}', b'{"le\\u0076el":"DEBUG"}', b'{"zz":"DEBUG"}', b'{"level":"a\\/b"}',
        b' {"level":"DEBUG"}', b'{"level":"DEBUG","level":"INFO"}', b'{"level":"INFO","level":"DEBUG"}',
    ]  # fmt: skip
    outcomes = []
    for trace in (False, True):  # with a trace every condition is evaluated
        made = compiled(native("out", "drop") | {"if": condition}, on_failure="abort")
        batch = Bulk(b"".join(b'{"index":{"_index":"i"}}\n%b\n' % text for text in texts)).batch([0])
        execute(made, batch, Deadline(30), RunOptions(trace=trace))
        outcomes.append([batch.outcome(i) for i in range(len(texts))])
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("first", ["doc.a == 'XX'", "doc.n > 1"])
def test_what_is_no_json_fails_before_a_stage_sees_it_and_is_not_handled(first):
    handler = native("h", "set", field="handled", value=True)
    own = {**LOW, "on_failure": [native("own", "set", field="level", value="")]}
    made = compiled(native("out", "drop") | {"if": first}, own, on_failure=[handler])
    batch = Bulk(b'{"index":{"_index":"i"}}\n{"a":\n{"index":{"_index":"i"}}\n{"level":5,"n":1}\n').batch([0])
    execute(made, batch, Deadline(30))
    state, failure = batch.outcome(0)
    assert (state, failure[1], failure[4]) == ("failed", "mapper_parsing_exception", "")
    assert batch.document(0) == b'{"a":'
    assert json.loads(batch.document(1)) == {"level": "", "n": 1}
    assert "on_failure/h" not in [s["name"] for s in shown(made.stats.dump())["stage_stats"]]
