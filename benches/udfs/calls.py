"""What one call of a UDF costs, and what a parameter, a field read or written, and a result add: CPU in one thread.

Small documents go through `Batch.run_steps`, as through most pipelines, so that every figure is per document and
includes what the engine does around the call: the check of the JSON, the deadline, the watch, the fuel, what became of
the document. What of it is the document's own, a built-in shows that looks for a field which is not there. Two rows go
another way (`Batch.run_udf`, documents checked before): JSON-ABI UDFs, one document a call and many. Figures of one run
may be compared.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from typing import TYPE_CHECKING

from headrace_pipelines import _wasm
from headrace_pipelines._wasm import Module, Native
from headrace_pipelines.engine import Bulk, Deadline, Step

if TYPE_CHECKING:
    from headrace_pipelines._wasm import Udf

DOCUMENTS = 2000
ROUNDS = 61
BODY = b'{"index":{"_index":"i"}}\n{"n":1,"s":"abc"}\n' * DOCUMENTS
WAT = """(module {imports} (memory (export "memory") 1) (data (i32.const 16) "nabc")
  (func (export "filter") (param $ctx i64) (result i32) {body} (i32.const 1))
  (func (export "five") (param $ctx i64) (result i64) (i64.const 5)))"""
IDLE, CALL, RESULT = "no call, but a built-in", "a call", "and gives a result"
JSON = """(module (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "process") (param i32 i32) (result i64) (i64.const 0)) {many})"""
BATCH = '(func (export "process_batch") (param i32 i32) (result i64) (i64.const 0))'
STAGES = {"process alone": "", "process_batch alone": BATCH}
CASES = {
    CALL: ("", ""),
    "and reads a parameter": (
        '(import "env" "get_param_i64" (func $get (param i32 i32 i32) (result i32)))',
        "(drop (call $get (i32.const 16) (i32.const 1) (i32.const 32)))",
    ),
    "and reads a field": (
        '(import "env" "get_field_i64" (func $get (param i64 i32 i32 i32) (result i32)))',
        "(drop (call $get (local.get $ctx) (i32.const 16) (i32.const 1) (i32.const 32)))",
    ),
    "and writes a field": (
        '(import "env" "set_field_i64" (func $set (param i64 i32 i32 i64) (result i32)))',
        "(drop (call $set (local.get $ctx) (i32.const 16) (i32.const 1) (i64.const 2)))",
    ),
}


def udf(imports: str, body: str) -> Udf:
    """The compiled UDF of the field ABI."""
    return compiled(WAT.format(imports=imports, body=body))


def compiled(text: str, entry: str | None = None) -> Udf:
    """The UDF, metered as every one is."""
    code = text.encode()
    module = Module(code, hashlib.sha256(code).hexdigest(), entry=entry)
    return module.bind(b'{"n":5}', timeout_ms=100, memory=64 << 20)


def step_of(of: Udf, target_field: str | None = None) -> Step:
    """The UDF as a stage."""
    step = Step.udf("s", of, target_field=target_field)
    if step is None:
        raise RuntimeError("the UDF takes many documents in a call, not one after the other")
    return step


def measure(step: Step) -> float:
    """Nanoseconds of this thread for one document."""
    batch = Bulk(BODY).batch([0])
    before = time.thread_time_ns()
    batch.run_steps([step], Deadline(), closed=True, pipeline="p")
    return (time.thread_time_ns() - before) / DOCUMENTS


def measure_stage(of: Udf) -> float:
    """The same for a UDF that goes over the batch by itself, without the check of the documents."""
    batch = Bulk(BODY).batch([0])
    batch.check("p")
    before = time.thread_time_ns()
    batch.run_udf(of, Deadline(), abort=True, pipeline="p", stage="s")
    return (time.thread_time_ns() - before) / DOCUMENTS


def main() -> None:
    """Runs the cases in turn and prints medians."""
    if _wasm.DEBUG_BUILD:
        sys.exit("the engine is a debug build; its timings say nothing")
    _wasm.keep_buffers()
    idle = Native("lowercase", "document", b'{"field":"absent","ignore_missing":true}')
    steps = {IDLE: Step.native("s", idle)}
    steps |= {name: step_of(udf(*parts)) for name, parts in CASES.items()}
    steps[RESULT] = step_of(compiled(WAT.format(imports="", body=""), "five"), "n")
    stages = {name: compiled(JSON.format(many=many)) for name, many in STAGES.items()}
    rounds: dict[str, list[float]] = {name: [] for name in (*steps, *stages)}
    for n in range(ROUNDS):
        took = {name: measure(each) for name, each in steps.items()}
        took |= {name: measure_stage(each) for name, each in stages.items()}
        if n:
            for name, each in took.items():
                rounds[name].append(each)
    base = statistics.median(rounds[CALL])
    for name, values in rounds.items():
        median = statistics.median(values)
        more = "" if name in (IDLE, CALL, *STAGES) else f"   {median - base:+5.0f} ns"
        print(f"{name:<24} {median:5.0f} ns  ({min(values):.0f} to {max(values):.0f}){more}")


if __name__ == "__main__":
    main()
