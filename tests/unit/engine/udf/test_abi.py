"""ABI detection and the UDF result contract (docs/reference/udf-abi.md)."""

from __future__ import annotations

import json
import shutil

import pytest

from examples import build
from headrace_pipelines._wasm import ModuleError
from headrace_pipelines.engine import Batch, Deadline
from tests.conftest import compile_wat
from tests.support import wat

INPUT = b'{"a":1,"keep":0.10}'


def run_wat(batch: Batch, code: str, **options):
    udf = compile_wat(code).bind(b"{}", timeout_ms=200, memory=16 << 20)
    return batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s", **options)


def run(code, kind="document", *, trial=False, document=INPUT, parameters=b"{}", target_field=None, **bind):
    udf = compile_wat(code).bind(parameters, **{"timeout_ms": 200, "memory": 16 << 20, **bind})
    batch = Batch.of(kind, document, trial=trial)
    batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s", target_field=target_field)
    return batch


@pytest.mark.parametrize(
    ("answer", "state", "document"),
    [
        ('{"b":2}', "live", b'{"b":2}'),
        (' {"b":2}\n', "live", b'{"b":2}'),
        ("true", "live", INPUT),
        ("null", "live", INPUT),
        ("false", "dropped", INPUT),
        (json.dumps('{"a":2,"n":[]}'), "live", b'{"a":2,"keep":0.10,"n":[]}'),
    ],
)
def test_answers_of_a_document_udf(answer, state, document):
    batch = run(wat.answering(answer))
    assert batch.outcome(0)[0] == state
    assert batch.document(0) == document


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('"text"', "a string that is not a JSON object"),
        ("5", "no [target_field]"),
        ('[{"a":1},5]', "a list whose element 1 is not an object"),
        ("{} {}", "not valid JSON"),
        ("\x00", "not valid JSON"),
        ("[" * 200 + "]" * 200, "nested deeper than 128"),
    ],
)
def test_answers_that_break_the_contract_are_stage_errors(answer, words):
    state, failure = run(wat.answering(answer)).outcome(0)
    assert state == "failed"
    assert failure[:2] == (400, "udf_result_exception")
    assert words in failure[2]


@pytest.mark.parametrize("kind", ["query", "result"])
def test_false_refuses_a_request_or_a_response(kind):
    state, failure = run(wat.answering("false"), kind).outcome(0)
    assert state == "failed"
    assert failure[:2] == (400, "filtered")


def test_in_a_trial_any_answer_is_the_output():
    assert run(wat.answering('"text"'), trial=True).document(0) == b'"text"'
    assert run(wat.answering("5"), trial=True).document(0) == b"5"
    assert run(wat.answering("false"), "query", trial=True).outcome(0)[0] == "dropped"


def test_merge_writes_a_partial_object_over_the_input():
    assert run(wat.answering('{"a":{"x":1}}'), merge=True).document(0) == b'{"a":{"x":1},"keep":0.10}'


def test_a_number_goes_into_the_target_field():
    assert run(wat.answering("7"), target_field="m.n").document(0) == b'{"a":1,"keep":0.10,"m":{"n":7}}'


@pytest.mark.parametrize(
    ("result", "body", "text"),
    [
        ("i64", "(i64.const -9223372036854775808)", b"-9223372036854775808"),
        ("f32", "(f32.const 0.5)", b"0.5"),
        ("f64", "(f64.const 1)", b"1.0"),
        ("f64", "(f64.const -1.7976931348623157e308)", b"-1.7976931348623157e+308"),
    ],
)
@pytest.mark.parametrize(
    ("field", "document"), [("a", b'{"a":%b,"keep":0.10}'), ("m.n", b'{"a":1,"keep":0.10,"m":{"n":%b}}')]
)
def test_a_result_goes_into_the_target_field(result, body, text, field, document):
    assert run(wat.field_udf(body, result=result), target_field=field).document(0) == document % text


def test_a_result_of_32_bits_is_a_number_where_the_entry_is_not_filter():
    code = wat.field_udf("(i32.const -3)").replace('export "filter"', 'export "rank"')
    udf = compile_wat(code, entry="rank").bind(b"{}", timeout_ms=200, memory=16 << 20)
    batch = Batch.of("document", INPUT)
    batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s", target_field="a")
    assert batch.document(0) == b'{"a":-3,"keep":0.10}'


@pytest.mark.parametrize("field", ["a", "keep", "b"])
def test_a_result_goes_into_what_host_functions_made_of_the_document(field):
    code = wat.field_udf(
        "(drop (call $set (local.get $ctx) (i32.const 16) (i32.const 1) (i64.const 77))) (f64.const 0.5)",
        imports='(import "env" "set_field_i64" (func $set (param i64 i32 i32 i64) (result i32)))',
        data='(data (i32.const 16) "a")',
        result="f64",
    )
    made = json.loads(run(code, target_field=field).document(0))
    assert made == {"a": 77, "keep": 0.1, field: 0.5}


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ("(f64.const nan)", "a", "JSON cannot hold"),
        ("(f64.const -inf)", "a", "JSON cannot hold"),
        ("(f64.const 1)", "a.b", "cannot set [b] with parent object"),
        ("(f64.const 1)", None, "no [target_field]"),
    ],
)
def test_a_result_that_has_no_place_fails_the_document(body, field, words):
    state, failure = run(wat.field_udf(body, result="f64"), target_field=field).outcome(0)
    assert state == "failed"
    assert words in failure[2]


def test_a_large_document_gets_a_larger_buffer():
    document = b'{"t":"' + b"x" * 3_000_000 + b'"}'
    assert run(wat.ECHO, document=document).document(0) == document


def test_parameters_reach_init_once_per_sandbox():
    text = f"""(module (memory (export "memory") 2) {wat.HEAP}
      (global $p (mut i32) (i32.const 0)) (global $n (mut i32) (i32.const 0))
      (func (export "init") (param i32 i32) (global.set $p (local.get 0)) (global.set $n (local.get 1)))
      (func (export "process") (param i32 i32) (result i64)
        (i64.or (i64.shl (i64.extend_i32_u (global.get $p)) (i64.const 32)) (i64.extend_i32_u (global.get $n)))))"""
    assert run(text, parameters=b'{"k":[1,2]}').document(0) == b'{"k":[1,2]}'


def test_the_abi_is_found_from_the_exports():
    assert compile_wat(wat.ECHO).abi == "json"
    assert compile_wat(wat.LOOP).abi == "field"
    assert compile_wat(wat.LOOP).entry == "filter"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(module)", "exports no [memory]"),
        ('(module (memory (export "memory") 1))', "exports no function [filter]"),
        (
            '(module (memory (export "memory") 1) (func (export "filter") (param i32) (result i32) local.get 0))',
            "fits no ABI",
        ),
        (
            '(module (memory (export "memory") 1) (func (export "filter") (param i32 i32) (result i64) i64.const 0))',
            "exports no [alloc",
        ),
        (
            '(module (memory (export "memory") 1 2 shared) (func (export "filter") (param i64) (result i32) i32.const 1))',
            "",
        ),
        (
            '(module (memory (export "memory") 1) (global (export "headrace_abi") i32 (i32.const 9)) '
            '(func (export "filter") (param i64) (result i32) i32.const 1))',
            "ABI version",
        ),
        ("not a module", ""),
    ],
)
def test_modules_that_fit_no_abi_are_refused(text, words):
    with pytest.raises(ModuleError) as caught:
        compile_wat(text)
    assert words in str(caught.value)


def test_compiled_code_is_cached_on_disk_and_a_damaged_file_is_compiled_anew(tmp_path):
    assert not compile_wat(wat.ECHO, cache_dir=tmp_path).cached
    assert compile_wat(wat.ECHO, cache_dir=tmp_path).cached
    artifact = next(tmp_path.glob("*.bin"))
    assert artifact.stat().st_mode & 0o777 == 0o600
    artifact.write_bytes(b"damaged")
    module = compile_wat(wat.ECHO, cache_dir=tmp_path)
    assert not module.cached
    assert compile_wat(wat.ECHO, cache_dir=tmp_path).cached


def test_the_example_in_c_with_the_json_abi():
    batch = run(build.module("mask_email.c"), document=b'{"m":"to ada.l@example.org, bob@x.y","at":"@"}')
    assert batch.document(0) == b'{"m":"to ***@example.org, ***@x.y","at":"@"}'


def test_the_example_in_c_with_the_field_abi():
    states = {
        document: run(build.module("drop_below.c"), document=document, parameters=b'{"field":"p","minimum":3}').outcome(
            0
        )[0]
        for document in (b'{"p":3.0}', b'{"p":2}', b"{}")
    }
    assert states == {b'{"p":3.0}': "live", b'{"p":2}': "dropped", b"{}": "dropped"}


def test_the_example_in_wat():
    states = [
        run(build.module("keep_level.wat"), document=document).outcome(0)[0]
        for document in (b'{"level":"DeBuG"}', b'{"level":"INFO"}', b'{"level":"debugs"}', b"{}")
    ]
    assert states == ["dropped", "live", "live", "live"]


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go toolchain here")
def test_the_example_in_go():
    batch = run(build.module("replace_word.go"), document=b'{"t":"colours"}', memory=64 << 20)
    assert batch.document(0) == b'{"t":"colors"}'


@pytest.mark.skipif(not build.rust_target_installed(), reason="rustc has no wasm32-unknown-unknown here")
def test_the_example_in_rust():
    batch = run(build.module("shout.rs"), document=b'{"t":"abc","u":"x"}', parameters=b'{"field":"t"}')
    assert batch.document(0) == b'{"t":"ABC","u":"x"}'


@pytest.mark.parametrize(
    ("answer", "ids", "documents"),
    [
        ('[{"a":1},{"a":2},{"a":3}]', ["7", "7-1", "7-2"], [{"a": 1}, {"a": 2}, {"a": 3}]),
        ('[{"a":1}]', ["7"], [{"a": 1}]),
    ],
)
def test_a_list_makes_several_documents(answer: str, ids: list[str], documents: list[dict[str, int]]):
    batch = Batch.of("document", b"{}", index="i", id="7")
    run = run_wat(batch, wat.answering(answer))
    assert [json.loads(batch.document(i)) for i in range(len(batch))] == documents
    assert [batch.metadata(i)[1] for i in range(len(batch))] == ids
    assert run.expanded == (len(ids) > 1)


def test_an_empty_list_drops_the_document():
    batch = Batch.of("document", b"{}")
    run_wat(batch, wat.answering("[]"))
    assert batch.outcome(0)[0] == "dropped"


def test_metadata_is_shown_and_taken_back_only_when_asked_for():
    batch = Batch.of("document", b'{"a":1}', index="i", id="7")
    run_wat(batch, wat.answering('{"b":2,"_index":"other","_routing":"r","_ctx":{"seen":true}}'), metadata=True)
    assert (batch.document(0), batch.metadata(0)) == (b'{"b":2}', ("other", "7", "r"))
    assert batch.context(0) == b'{"seen":true}'
    seen = Batch.of("document", b'{"a":1}', index="i", id="7", ctx=b'{"k":1}')
    run_wat(seen, wat.ECHO, metadata=True)
    assert (seen.document(0), seen.metadata(0), seen.context(0)) == (b'{"a":1}', ("i", "7", None), b'{"k":1}')
    plain = Batch.of("document", b'{"a":1}', index="i", id="7")
    run_wat(plain, wat.answering('{"b":2,"_index":"other"}'))
    assert (plain.document(0), plain.metadata(0)) == (b'{"b":2,"_index":"other"}', ("i", "7", None))


def test_a_document_with_metadata_inside_is_refused_where_metadata_is_shown():
    batch = Batch.of("document", b'{"_index":"evil"}', index="i")
    run_wat(batch, wat.ECHO, metadata=True)
    assert "is a metadata field and cannot be added inside a document" in batch.outcome(0)[1][2]
