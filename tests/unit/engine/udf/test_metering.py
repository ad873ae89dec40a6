"""Metering counts every operator once, ends whatever loops, and cannot be reached by the guest."""

from __future__ import annotations

import time

import pytest

from headrace_pipelines._wasm import ModuleError
from headrace_pipelines.engine import Batch, Deadline
from tests.conftest import compile_wat

TIMEOUT = (429, "udf_timeout_exception")
WAT = """(module (memory (export "memory") 1) {module}
  (func (export "filter") (param $ctx i64) (result i32) (local $n i32) (local $a i64) (local $b i64) {body}))"""
LOOP = "(loop {body} (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if 0 (i32.lt_u (local.get $n) (i32.const 10))))"


def run(body: str, module: str = "", **limits):
    udf = compile_wat(WAT.format(module=module, body=body)).bind(b"{}", memory=1 << 20, **limits)
    batch = Batch.of("document", b"{}")
    return batch.run_udf(udf, Deadline(30), abort=True, pipeline="p", stage="s").fuel, batch.outcome(0)


CALLEE = "(func $f (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))"
COUNTED = {
    "nothing but the answer": ("(i32.const 1)", "", 1),
    "a loop": (LOOP.format(body="") + "(i32.const 1)", "", 1 + 10 * 8 + 1),
    "a loop in a loop": (
        "(loop " + LOOP.format(body="") + "(local.set $n (i32.const 0)) (br_if 0 (i32.const 0))) (i32.const 1)",
        "",
        1 + (1 + 10 * 8 + 2 + 2) + 1,
    ),
    "the branch that is taken": (
        "(if (result i32) (i32.const 0) (then (nop) (i32.const 5) (drop) (i32.const 7)) (else (i32.const 1)))",
        "",
        2 + 1,
    ),
    "the other one": (
        "(if (result i32) (i32.const 1) (then (nop) (i32.const 5) (drop) (i32.const 7)) (else (i32.const 1)))",
        "",
        2 + 3 + 1,
    ),
    "a block that is left": ("(block (br_if 0 (i32.const 1)) (drop (i32.const 9))) (i32.const 1)", "", 2 + 1),
    "a return": ("(return (i32.const 1)) (drop (i32.const 9)) (i32.const 1)", "", 2),
    "a branch out of the function": ("(block (br 1 (i32.const 1))) (i32.const 1)", "", 2),
    "a branch out of it that may be taken": ("(br_if 0 (i32.const 1) (i32.const 1))", "", 3),
    "a table of branches": (
        "(block (block (br_table 0 1 (i32.const 1))) (unreachable)) (i32.const 1)",
        "",
        2 + 1,
    ),
    "a table of branches out of the function": (
        "(block (result i32) (br_table 0 1 (i32.const 1) (i32.const 1)))",
        "",
        3,
    ),
    "calls": ("(call $f (call $f (i32.const 0)))", CALLEE, 1 + 2 * (1 + 3)),
    "a call through a table": (
        "(call_indirect (param i32) (result i32) (i32.const 0) (i32.const 0))",
        CALLEE + "(table 1 funcref) (elem (i32.const 0) $f)",
        3 + 3,
    ),
    "bytes": ("(memory.fill (i32.const 0) (i32.const 7) (i32.const 800)) (i32.const 1)", "", 4 + 100 + 1),
    "pages": ("(memory.grow (i32.const 1))", "", 1 + 1000),
    "divisions": ("(i32.div_u (i32.const 9) (i32.const 3))", "", 2 + 8),
    "globals of its own": (
        "(global.set $g (i32.const 1)) (global.get $g)",
        "(global $h i64 (i64.const 7)) (global $g (mut i32) (i32.const 0))",
        3,
    ),
}


@pytest.mark.parametrize(("body", "module", "points"), COUNTED.values(), ids=COUNTED)
def test_every_operator_that_runs_is_counted_once(body, module, points):
    used, (state, failure) = run(body, module, timeout_ms=1000)
    assert (state, used) == ("live", points), failure
    assert run(body, module, timeout_ms=1000, fuel=points)[1][0] == "live"
    _, (state, failure) = run(body, module, timeout_ms=1000, fuel=points - 1)
    assert (state, failure[:2]) == ("failed", TIMEOUT)
    assert failure[2] == f"the UDF ran out of fuel: limit {points - 1} points"


def test_what_ran_before_a_trap_is_counted():
    used, (state, failure) = run(LOOP.format(body="") + "(drop (i32.const 3)) (unreachable)", timeout_ms=1000)
    assert (state, failure[1]) == ("failed", "udf_trap_exception")
    assert used == 1 + 10 * 8 + 2 + 1


ENDLESS = {
    "empty": ("(loop (br 0)) (unreachable)", ""),
    "counts": ("(loop (local.set $n (i32.add (local.get $n) (i32.const 1))) (br 0)) (unreachable)", ""),
    "by a condition": ("(loop (br_if 0 (i32.eqz (local.get $n)))) (i32.const 1)", ""),
    "by a table": ("(loop (br_table 0 0 (local.get $n))) (unreachable)", ""),
    "out of blocks": ("(loop (block (block (br_if 1 (local.get $n)) (br 2)))) (i32.const 1)", ""),
    "two in one": ("(loop (loop (br_if 0 (local.get $n))) (br 0)) (unreachable)", ""),
    "reads memory": ("(loop (local.set $n (i32.load (local.get $n))) (br 0)) (unreachable)", ""),
    "reads its own global": (
        "(loop (br_if 0 (i32.eqz (global.get $g)))) (i32.const 1)",
        "(global $g (mut i32) (i32.const 0))",
    ),
    "calls": ("(loop (drop (call $f (local.get $n))) (br 0)) (unreachable)", CALLEE),
    "in a call": ("(call $g) (i32.const 1)", "(func $g (loop (br 0)))"),
    "calls that double": (
        "(call $g (i32.const 100)) (i32.const 1)",
        "(func $g (param i32) (if (local.get 0) (then (call $g (i32.sub (local.get 0) (i32.const 1)))"
        " (call $g (i32.sub (local.get 0) (i32.const 1))))))",
    ),
}


@pytest.mark.parametrize(("body", "module"), ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("fuel", [None, 1 << 62], ids=["by the clock", "whatever fuel it has"])
def test_whatever_does_not_end_is_ended(body, module, fuel):
    started = time.monotonic()
    _, (state, failure) = run(body, module, timeout_ms=20, fuel=fuel)
    assert (state, failure[:2]) == ("failed", TIMEOUT)
    assert "longer than its limit of 20 ms" in failure[2]
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("name", ["headrace_fuel", "headrace_end", "headrace_exhausted"])
def test_a_guest_does_not_reach_what_counts(name):
    """Our globals are behind its own: code that names one of those is not valid, whatever is added later."""
    for place in range(3):
        for body in (f"(drop (global.get {place}))", f"(global.set {place} (i64.const 1))"):
            with pytest.raises(ModuleError, match="unknown global"):
                compile_wat(WAT.format(module="", body=body + "(i32.const 1)"))
    with pytest.raises(ModuleError, match=f"duplicate export name .{name}."):
        compile_wat(WAT.format(module=f'(global (export "{name}") (mut i64) (i64.const 0))', body="(i32.const 1)"))


def test_its_exports_are_its_own():
    module = compile_wat(WAT.format(module='(global (export "g") i32 (i32.const 3))', body="(i32.const 1)"))
    assert module.exports == ["memory", "g", "filter"]
