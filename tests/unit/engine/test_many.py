"""`process_batch`: many documents in one call of a compiled UDF (docs/reference/udf-abi.md)."""

from __future__ import annotations

import json

import pytest

from examples import build
from headrace_pipelines._wasm import Module, ModuleError
from headrace_pipelines.engine import Batch, Bulk, Deadline, Step
from tests.conftest import compile_wat
from tests.support import wat


def many(imports: str = "", host: str = "") -> str:
    """Does to each document what the first letter of its `a` says; answers for each call how many it was of its sandbox."""
    return f"""(module {imports} (memory (export "memory") 64) {wat.HEAP}
  (data (i32.const 16) "false") (data (i32.const 32) "{{\\"call\\":0}}") (data (i32.const 48) "{{\\"one\\":true}}")
  (data (i32.const 64) "a")
  (global $calls (mut i32) (i32.const 0))
  (global $to (mut i32) (i32.const 0))
  (func (export "process") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 48) (i64.const 32)) (i64.const 12)))
  (func $put (param $at i32) (param $len i32)
    (i32.store (global.get $to) (local.get $len))
    (memory.copy (i32.add (global.get $to) (i32.const 4)) (local.get $at) (local.get $len))
    (global.set $to (i32.add (global.get $to) (i32.add (local.get $len) (i32.const 4)))))
  (func (export "process_batch") (param $p i32) (param $n i32) (result i64)
    (local $end i32) (local $len i32) (local $c i32) (local $i i32)
    (global.set $to (i32.const 2000000))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store8 (i32.const 40) (i32.add (global.get $calls) (i32.const 48)))
    (local.set $end (i32.add (local.get $p) (local.get $n)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $p) (local.get $end)))
        (local.set $len (i32.load (local.get $p)))
        (local.set $p (i32.add (local.get $p) (i32.const 4)))
        (local.set $c (i32.load8_u offset=6 (local.get $p)))
        (if (i32.eq (local.get $c) (i32.const {ord("t")})) (then (unreachable)))
        (if (i32.eq (local.get $c) (i32.const {ord("l")})) (then (loop (br 0))))
        (if (i32.eq (local.get $c) (i32.const {ord("w")})) (then
          (local.set $i (i32.const 3000000))
          (loop (br_if 0 (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))))
        (if (i32.eq (local.get $c) (i32.const {ord("m")})) (then
          (if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then (unreachable)))))
        (if (i32.eq (local.get $c) (i32.const {ord("d")})) (then (call $put (i32.const 16) (i32.const 5))))
        (if (i32.eq (local.get $c) (i32.const {ord("e")})) (then (call $put (local.get $p) (local.get $len))))
        (if (i32.eq (local.get $c) (i32.const {ord("c")})) (then (call $put (i32.const 32) (i32.const 10))))
        (if (i32.eq (local.get $c) (i32.const {ord("g")})) (then (call $put (i32.const 32) (i32.const 9))))
        (if (i32.eq (local.get $c) (i32.const {ord("b")})) (then (call $put (i32.const 0) (i32.const 5000))))
        (if (i32.eq (local.get $c) (i32.const {ord("x")})) (then (call $put (i32.const 0) (i32.const 0))
                                                             (call $put (i32.const 0) (i32.const 0))))
        (if (i32.eq (local.get $c) (i32.const {ord("h")})) (then {host}))
        (if (i32.or (i32.eq (local.get $c) (i32.const {ord("u")})) (i32.eq (local.get $c) (i32.const {ord("w")})))
          (then (call $put (i32.const 0) (i32.const 0))))
        (local.set $p (i32.add (local.get $p) (local.get $len)))
        (br $next)))
    (i64.or (i64.shl (i64.const 2000000) (i64.const 32))
            (i64.extend_i32_u (i32.sub (global.get $to) (i32.const 2000000))))))"""


PLAIN = many()


def run(letters: str, code: str = PLAIN, *, metadata: bool = False, **bind) -> Batch:
    """A batch of documents with these letters, after the UDF."""
    udf = compile_wat(code).bind(b"{}", **{"timeout_ms": 500, "memory": 8 << 20, **bind})
    lines = [f'{{"index":{{"_id":"{n}"}}}}\n{{"a":"{letter}"}}\n' for n, letter in enumerate(letters)]
    batch = Bulk("".join(lines).encode()).batch(list(range(len(letters))))
    batch.check("p@1")
    batch.run_udf(udf, Deadline(60), abort=True, pipeline="p@1", stage="s", metadata=metadata)
    return batch


def outcomes(batch: Batch) -> str:
    """The first letter of what became of each document: live, dropped or failed."""
    return "".join(batch.outcome(i)[0][0] for i in range(len(batch)))


def reason(batch: Batch, at: int) -> str:
    """Why that document failed."""
    failure = batch.outcome(at)[1]
    assert failure is not None
    return failure[2]


def test_each_document_gets_its_own_answer():
    batch = run("dueucd")
    assert outcomes(batch) == "dlll" + "ld"
    texts = [batch.document(i) for i in range(1, 5)]
    assert texts == [b'{"a":"u"}', b'{"a":"e"}', b'{"a":"u"}', b'{"call":1}']


def test_an_answer_of_nothing_leaves_all_as_they_are():
    code = f"""(module (memory (export "memory") 2) {wat.HEAP}
      (func (export "process") (param i32 i32) (result i64) (unreachable))
      (func (export "process_batch") (param i32 i32) (result i64) (i64.const 0)))"""
    assert outcomes(run("abc", code)) == "lll"


def test_one_document_goes_through_process():
    assert run("c").document(0) == b'{"one":true}'


def test_isolated_documents_go_through_process():
    batch = run("cc", isolate=True)
    assert [batch.document(i) for i in range(2)] == [b'{"one":true}'] * 2


@pytest.mark.parametrize(
    ("letter", "bind", "words"),
    [
        ("t", {}, "unreachable"),
        ("l", {"timeout_ms": 30}, "longer than its limit of 30 ms"),
        ("l", {"fuel": 100_000}, "out of fuel: limit 100000 points"),
        ("m", {}, "more memory than its limit of 8192 KiB"),
        ("b", {"output": 4000}, "answered 5000 bytes, the limit is 4000"),
        ("g", {}, "not valid JSON"),
    ],
)
def test_only_the_document_that_is_to_blame_fails(letter, bind, words):
    batch = run(f"uc{letter}ud", **bind)
    assert outcomes(batch) == "llfl" + "d"
    assert words in reason(batch, 2)
    assert batch.document(1).startswith(b'{"call":')


@pytest.mark.parametrize("letter", ["s", "x"])
def test_another_number_of_answers_is_an_error_of_all(letter):
    batch = run(f"u{letter}d")
    assert outcomes(batch) == "fff"
    assert "took 3 documents in a call and answered" in reason(batch, 0)


def test_an_answer_outside_the_memory_is_an_error():
    far = "(i64.or (i64.shl (i64.const 0xfffffff0) (i64.const 32)) (i64.const 100))"
    code = f"""(module (memory (export "memory") 2) {wat.HEAP}
      (func (export "process") (param i32 i32) (result i64) (i64.const 0))
      (func (export "process_batch") (param i32 i32) (result i64) {far}))"""
    batch = run("ab", code)
    assert outcomes(batch) == "ff"
    assert "outside its memory" in reason(batch, 1)


def test_calls_grow_as_far_as_time_allows():
    batch = run("c" * 200)
    calls = [json.loads(batch.document(i))["call"] for i in range(200)]
    assert calls[0] == 1
    assert 2 <= calls[-1] <= 4
    assert calls.count(1) == 16


def test_documents_that_are_slow_together_do_not_time_out():
    assert outcomes(run("w" * 60, timeout_ms=60)) == "l" * 60


def test_calls_are_small_where_memory_is():
    large = "e" + "x" * 60_000
    udf = compile_wat(PLAIN).bind(b"{}", timeout_ms=500, memory=4 << 20)
    lines = [f'{{"index":{{}}}}\n{{"a":"{letters}"}}\n' for letters in [large] * 20 + ["c"]]
    batch = Bulk("".join(lines).encode()).batch(list(range(21)))
    batch.run_udf(udf, Deadline(60), abort=True, pipeline="p@1", stage="s")
    assert json.loads(batch.document(20))["call"] == 6, "a sixteenth of the memory holds four of them"


def test_fuel_is_for_each_document():
    batch = run("wwwwc", timeout_ms=5000, fuel=3_000_000 * 8)
    assert batch.document(4) == b'{"call":1}', "one call had fuel for four slow documents"
    assert "out of fuel" in reason(run("wu", timeout_ms=5000, fuel=3_000_000), 0)


def test_the_document_is_not_there_for_host_functions():
    imports = """(import "env" "set_field_i64" (func $set (param i64 i32 i32 i64) (result i32)))
      (import "env" "set_ctx_json" (func $ctx (param i32 i32 i32 i32) (result i32)))
      (import "env" "has_field" (func $has (param i64 i32 i32) (result i32)))"""
    host = """(if (i32.or (call $has (i64.const 0) (i32.const 64) (i32.const 1))
        (i32.or (call $set (i64.const 0) (i32.const 64) (i32.const 1) (i64.const 1))
                (call $ctx (i32.const 64) (i32.const 1) (i32.const 48) (i32.const 12)))) (then (unreachable)))
      (call $put (i32.const 0) (i32.const 0))"""
    batch = run("hh", many(imports, host))
    assert outcomes(batch) == "ll"
    assert batch.document(0) == b'{"a":"h"}'
    assert batch.context(0) is None


def test_metadata_is_shown_where_it_is_asked_for():
    batch = run("ee", metadata=True)
    assert outcomes(batch) == "ll"
    assert batch.metadata(1)[1] == "1"
    assert batch.document(1) == b'{"a":"e"}'


def test_hits_of_a_response_share_a_call():
    hits = ",".join(f'{{"a":"{letter}","_id":"{n}"}}' for n, letter in enumerate("udu"))
    response = Batch.of("result", f'{{"hits":{{"hits":[{hits}]}}}}'.encode())
    parts = response.hits()
    udf = compile_wat(PLAIN).bind(b"{}", timeout_ms=500, memory=8 << 20)
    parts.run_udf(udf, Deadline(5), abort=True, pipeline="p@1", stage="s")
    response.absorb_hits(parts)
    assert [hit["_id"] for hit in json.loads(response.document(0))["hits"]["hits"]] == ["0", "2"]


def test_it_is_found_beside_the_entry():
    renamed = PLAIN.replace('"process"', '"clean"').replace('"process_batch"', '"clean_batch"')
    udf = Module(renamed.encode(), "renamed", entry="clean").bind(b"{}", timeout_ms=500, memory=8 << 20)
    assert Step.udf("s", udf) is None
    other = PLAIN.replace('"process"', '"clean"')
    udf = Module(other.encode(), "other", entry="clean").bind(b"{}", timeout_ms=500, memory=8 << 20)
    assert Step.udf("s", udf) is not None, "process_batch is not the batch of another entry"


def test_one_of_another_type_is_refused():
    code = wat.ECHO[:-1] + '(func (export "process_batch") (param i32) (result i32) (i32.const 0)))'
    with pytest.raises(ModuleError, match=r"function \[process_batch\] is .*\(i32, i32\) -> i64"):
        compile_wat(code)


def test_the_example_does_the_same_either_way():
    udf = Module(build.module("mask_email.c"), "mask").bind(b"{}", timeout_ms=500, memory=8 << 20)
    texts = [b'{"m":"%s"}' % text for text in (b"ada@example.org", b"none", b"", b"a@b, c@d.e", b"@")]
    lines = b"".join(b'{"index":{}}\n%s\n' % text for text in texts)
    together = Bulk(lines).batch(list(range(len(texts))))
    together.run_udf(udf, Deadline(5), abort=True, pipeline="p@1", stage="s")
    for n, text in enumerate(texts):
        alone = Batch.of("document", text)
        alone.run_udf(udf, Deadline(5), abort=True, pipeline="p@1", stage="s")
        assert together.document(n) == alone.document(0)
    assert together.document(0) == b'{"m":"***@example.org"}'
