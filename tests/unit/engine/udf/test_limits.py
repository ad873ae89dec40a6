"""Limits are enforced: each hostile UDF is one clear error, and the next document is served."""

from __future__ import annotations

import faulthandler
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from headrace_pipelines.engine import Batch, Bulk, Deadline
from tests.conftest import ROOT, compile_wat, ndjson
from tests.support import wat

TIMEOUT = (429, "udf_timeout_exception")
TRAP = (400, "udf_trap_exception")
MEMORY = (429, "udf_memory_limit_exception")
RESULT = (400, "udf_result_exception")


def run(text: str, *, timeout_ms: float = 50, memory: int = 64 << 20, deadline: Deadline | None = None, **options):
    udf = compile_wat(text).bind(b"{}", timeout_ms=timeout_ms, memory=memory, **options)
    batch = Batch.of("document", b'{"a":1}')
    started = time.monotonic()
    batch.run_udf(udf, deadline or Deadline(30), abort=True, pipeline="p@1", stage="s")
    return batch.outcome(0), time.monotonic() - started, udf


@pytest.mark.parametrize(
    ("text", "expected", "words"),
    [
        (wat.LOOP, TIMEOUT, "longer than its limit of 50 ms"),
        (wat.FILLS, TIMEOUT, "longer than its limit"),
        (wat.SLOW_LOADS, TIMEOUT, "longer than its limit"),
        (wat.TRAP, TRAP, "unreachable"),
        (wat.OUT_OF_BOUNDS, TRAP, "outside its memory"),
        (wat.RECURSION, TRAP, "recursed too deep"),
        (wat.GROWS, MEMORY, "needs more memory than its limit of 65536 KiB"),
        (wat.GARBAGE, RESULT, "not valid JSON"),
        (wat.HUGE, RESULT, "answered 1073741824 bytes, the limit is 8388608"),
        (wat.OUTSIDE, RESULT, "outside its memory"),
    ],
    ids=["loop", "fills", "slow-loads", "trap", "oob", "recursion", "grows", "garbage", "huge", "outside"],
)
def test_a_hostile_udf_is_one_clear_error(text, expected, words):
    (state, failure), seconds, _ = run(text)
    assert state == "failed"
    assert failure[:2] == expected
    assert words in failure[2]
    assert failure[3:] == ("p@1", "s")
    assert seconds < 5, "a limit of 50 ms must hold within a small factor, also on a busy machine"


def test_a_trap_is_not_blamed_on_memory_that_was_refused_to_an_earlier_call():
    initialize = '(func (export "_initialize") (drop (memory.grow (i32.const 60000))))'
    (state, failure), _, _ = run(wat.field_udf("unreachable", data=initialize))
    assert state == "failed"
    assert failure[:2] == TRAP


def test_a_broken_sandbox_is_thrown_away_and_the_next_document_is_served():
    text = wat.field_udf(
        """(if (call $has (local.get $ctx) (i32.const 0) (i32.const 3)) (then unreachable)) (i32.const 1)""",
        imports='(import "env" "has_field" (func $has (param i64 i32 i32) (result i32)))',
        data='(data (i32.const 0) "bad")',
    )
    udf = compile_wat(text).bind(b"{}", timeout_ms=100, memory=1 << 20)
    lines = [part for i in range(30) for part in ({"index": {}}, {"bad": 1} if i % 3 == 1 else {"n": i})]
    bulk = Bulk(ndjson(*lines), index="i")
    batch = bulk.batch([0])
    result = batch.run_udf(udf, Deadline(10), abort=True, pipeline="p", stage="s")
    assert (result.documents, result.failures, batch.live) == (30, 10, 20)
    assert [batch.outcome(i)[0] for i in range(3)] == ["live", "failed", "live"]


def test_the_memory_that_a_module_asks_for_at_start_is_limited_too():
    (state, failure), _, _ = run(wat.field_udf("(i32.const 1)", pages=2000))
    assert state == "failed"
    assert failure[:2] == MEMORY
    assert "wants 2000 pages of 64 KiB, the limit is 1024" in failure[2]


def test_a_table_larger_than_the_limit_is_refused():
    text = wat.field_udf("(i32.const 1)", data="(table 20000 funcref)")
    (state, failure), _, _ = run(text)
    assert state == "failed"
    assert "table of 20000" in failure[2]


def test_declared_fuel_ends_a_call_at_the_same_point_each_time():
    counted = wat.field_udf(
        """(local $i i32)
        (loop (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 1000))))
        (i32.const 1)"""
    )
    module = compile_wat(counted)
    seen = set()
    for _ in range(3):
        batch = Batch.of("document", b"{}")
        udf = module.bind(b"{}", timeout_ms=1000, memory=1 << 20)
        seen.add(batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s").fuel)
    assert len(seen) == 1
    needed = seen.pop()
    for fuel, state in ((needed, "live"), (needed - 10, "failed")):
        batch = Batch.of("document", b"{}")
        udf = module.bind(b"{}", timeout_ms=1000, memory=1 << 20, fuel=fuel)
        batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s")
        assert batch.outcome(0)[0] == state
    assert f"limit {needed - 10} points" in batch.outcome(0)[1][2]


def test_the_deadline_of_the_stage_ends_a_running_call():
    udf = compile_wat(wat.LOOP).bind(b"{}", timeout_ms=5000, memory=1 << 20)
    bulk = Bulk(ndjson(*[part for _ in range(5) for part in ({"index": {}}, {})]), index="i")
    batch = bulk.batch([0])
    started = time.monotonic()
    run_ = batch.run_udf(udf, Deadline(30), abort=True, pipeline="p", stage="s", timeout=0.05)
    assert time.monotonic() - started < 2
    assert run_.failures == 5
    assert {batch.outcome(i)[1][:3] for i in range(5)} == {
        (*TIMEOUT, "the deadline of the stage or pipeline has passed"),
    }


def test_cancelling_ends_a_running_call():
    deadline = Deadline(30)
    threading.Timer(0.05, deadline.cancel).start()
    (state, failure), seconds, _ = run(wat.LOOP, timeout_ms=20_000, deadline=deadline)
    assert state == "failed"
    assert "cancelled" in failure[2]
    assert seconds < 5


def test_sandboxes_are_reused_for_a_stage_and_never_shared_between_stages():
    module = compile_wat(wat.COUNTER)
    one, other = (module.bind(b"{}", timeout_ms=100, memory=1 << 20) for _ in range(2))
    values = []
    for udf in (one, one, other):
        batch = Batch.of("document", b"{}")
        batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s")
        values.append(batch.document(0))
    assert values == [b'{"n":1}', b'{"n":2}', b'{"n":1}']


def test_isolation_by_document_gives_each_document_fresh_memory():
    udf = compile_wat(wat.COUNTER).bind(b"{}", timeout_ms=100, memory=1 << 20, isolate=True)
    bulk = Bulk(ndjson(*[part for _ in range(4) for part in ({"index": {}}, {})]), index="i")
    batch = bulk.batch([0])
    batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s")
    assert [batch.document(i) for i in range(4)] == [b'{"n":1}'] * 4


def test_a_udf_cannot_do_the_host_s_work_for_free():
    text = wat.field_udf(
        "(loop (drop (call $has (local.get $ctx) (i32.const 0) (i32.const 4))) (br 0)) (i32.const 1)",
        imports='(import "env" "has_field" (func $has (param i64 i32 i32) (result i32)))',
        data='(data (i32.const 0) "none")',
    )
    document = b'{"a":"' + b"x" * 1_000_000 + b'"}'
    udf = compile_wat(text).bind(b"{}", timeout_ms=50, memory=1 << 20)
    batch = Batch.of("document", document)
    started = time.monotonic()
    batch.run_udf(udf, Deadline(30), abort=True, pipeline="p", stage="s")
    assert batch.outcome(0)[1][:2] == TIMEOUT
    assert time.monotonic() - started < 5


def test_threads_run_hostile_udfs_side_by_side():
    def work():
        for text in (wat.TRAP, wat.OUT_OF_BOUNDS, wat.RECURSION, wat.GROWS) * 3:
            outcomes.append(run(text)[0][0])

    outcomes: list[str] = []
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["failed"] * 48


def test_a_fault_handler_enabled_late_does_not_end_the_process():
    """wasmer takes its traps from SIGSEGV; faulthandler enabled after the first store would swallow them."""
    script = f"""
import faulthandler, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.unit.engine.udf.test_limits import run, wat
assert run(wat.OUT_OF_BOUNDS)[0][0] == "failed"
faulthandler.enable()
assert run(wat.OUT_OF_BOUNDS)[0][0] == "failed"
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "alive", done.stderr
    assert faulthandler is not None


def test_memory_returns_after_many_hostile_calls():
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    module = compile_wat(wat.GROWS)
    for _ in range(5):
        self_check(module)
    before = resident()
    for _ in range(100):
        self_check(module)
    assert resident() - before < 64 << 20, "one leaked sandbox alone would be 64 MiB"


def test_address_space_returns_with_every_sandbox():
    """Each memory reserves 8 GiB of addresses, freed only with its store: one store for each sandbox."""

    def reserved() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0]) * 4096

    module = compile_wat(wat.COUNTER)
    before = reserved()
    held = [module.bind(b"{}", timeout_ms=100, memory=1 << 20) for _ in range(40)]
    for udf in held:
        udf.warm_up()
    assert reserved() - before > 40 * 4 << 30
    assert sum(udf.warm for udf in held) == 40
    del udf
    held.clear()
    assert reserved() - before < 8 << 30


def self_check(module) -> None:
    udf = module.bind(b"{}", timeout_ms=500, memory=64 << 20)
    batch = Batch.of("document", b"{}")
    batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s")
    assert batch.outcome(0)[1][:2] == MEMORY
