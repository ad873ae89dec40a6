from __future__ import annotations

import time

import pytest

from pipelines import Batch, Deadline, Snapshot, execute
from pipelines.registry import compile_pipeline
from pipelines.udf.catalog import Catalog
from tests import wat
from tests.conftest import native, wasm
from tests.unit.pipelines.test_registry import pipeline, records, udf

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
    shown = made.stats.to_json()
    assert (shown["total_executions"], shown["documents_in"], shown["documents_out"], shown["current"]) == (1, 1, 1, 0)
    assert [s["name"] for s in shown["stage_stats"]] == ["s", "low"]


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
    assert made.stats.to_json()["stage_stats"] == []


def test_the_trace_shows_every_stage():
    _, execution = run(compiled({**SET, "enabled": False}, LOW), trace=True)
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
