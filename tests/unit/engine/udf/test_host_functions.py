"""The field ABI: what a UDF can ask and change, and that wrong addresses are its own error."""

from __future__ import annotations

import json
import time

import pytest

from headrace_pipelines._wasm import ModuleError, Native
from headrace_pipelines.engine import Batch, Bulk, Deadline, Step, fixed_sources
from tests.conftest import compile_wat
from tests.support import wat

DOCUMENT = rb'{"s":"h\u00e9llo","n":42,"f":2.5,"b":true,"big":12345678901234567890,"o":{"t":["x",{"y":7}]},"z":null}'

STRING = '(import "env" "get_field_string" (func $get (param i64 i32 i32 i32 i32) (result i32)))'
PUT = '(import "env" "set_field_string" (func $put (param i64 i32 i32 i32 i32) (result i32)))'
PUT_I64 = '(import "env" "set_field_i64" (func $puti (param i64 i32 i32 i64) (result i32)))'


def run(text: str, document: bytes = DOCUMENT, parameters: bytes = b"{}", **meta):
    udf = compile_wat(text).bind(parameters, timeout_ms=200, memory=1 << 20)
    batch = Batch.of("document", document, **meta)
    result = batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s")
    return batch, result


def copy_string(path: str, capacity: int) -> str:
    """Copies the string at `path` into the field `r`, and the result code and length into `c` and `l`."""
    return wat.field_udf(
        f"""(local $rc i32)
        (i32.store (i32.const 96) (i32.const {capacity}))
        (local.set $rc (call $get (local.get $ctx) (i32.const 0) (i32.const {len(path)}) (i32.const 128) (i32.const 96)))
        (drop (call $puti (local.get $ctx) (i32.const 64) (i32.const 1) (i64.extend_i32_u (local.get $rc))))
        (drop (call $puti (local.get $ctx) (i32.const 65) (i32.const 1) (i64.load32_u (i32.const 96))))
        (if (local.get $rc)
          (then (drop (call $put (local.get $ctx) (i32.const 66) (i32.const 1) (i32.const 128)
                            (i32.load (i32.const 96))))))
        (i32.const 1)""",
        imports=STRING + PUT + PUT_I64,
        data=f'(data (i32.const 0) "{path}") (data (i32.const 64) "clr")',
    )


@pytest.mark.parametrize(
    ("path", "capacity", "added"),
    [
        ("s", 64, '"c":1,"l":6,"r":"héllo"'),
        ("s", 5, '"c":0,"l":6'),
        ("o.t.0", 64, '"c":1,"l":1,"r":"x"'),
        ("o.t[0]", 64, '"c":1,"l":1,"r":"x"'),
        ("n", 64, '"c":0,"l":64'),
        ("nope", 64, '"c":0,"l":64'),
    ],
)
def test_strings_respect_the_capacity_of_the_buffer(path, capacity, added):
    batch, _ = run(copy_string(path, capacity))
    assert batch.document(0) == DOCUMENT[:-1] + b"," + added.encode() + b"}"


@pytest.mark.parametrize(
    ("function", "load", "path", "expected"),
    [
        ("get_field_i64", "i64.load", "n", 42),
        ("get_field_i64", "i64.load", "o.t.1.y", 7),
        ("get_field_i64", "i64.load", "f", 2),
        ("get_field_f64", "f64.load", "f", 2.5),
        ("get_field_f64", "f64.load", "n", 42.0),
    ],
)
def test_numbers_are_written_where_the_guest_says(function, load, path, expected):
    result = load.split(".")[0]
    text = wat.field_udf(
        f"""(if (i32.eqz (call $get (local.get $ctx) (i32.const 0) (i32.const {len(path)}) (i32.const 64)))
              (then unreachable))
        ({load} (i32.const 64))""",
        imports=f'(import "env" "{function}" (func $get (param i64 i32 i32 i32) (result i32)))',
        data=f'(data (i32.const 0) "{path}")',
        result=result,
    )
    module = compile_wat(text, entry="filter")
    batch = Batch.of("document", DOCUMENT, trial=True)
    udf = module.bind(b"{}", timeout_ms=200, memory=1 << 20)
    batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s")
    assert batch.outcome(0)[0] == "finished"
    assert float(batch.document(0)) == expected


@pytest.mark.parametrize(
    ("function", "path", "result", "expected"),
    [
        ("get_field_int64", "n", "i64", b"42"),
        ("get_field_int64", "s", "i64", b"0"),
        ("get_field_float64", "f", "f64", b"2.5"),
    ],
)
def test_the_other_spelling_returns_the_value(function, path, result, expected):
    text = wat.field_udf(
        f"(call $get (local.get $ctx) (i32.const 0) (i32.const {len(path)}))",
        imports=f'(import "env" "{function}" (func $get (param i64 i32 i32) (result {result})))',
        data=f'(data (i32.const 0) "{path}")',
        result=result,
    )
    udf = compile_wat(text).bind(b"{}", timeout_ms=200, memory=1 << 20)
    batch = Batch.of("document", DOCUMENT, trial=True)
    batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s")
    assert batch.document(0) == expected


@pytest.mark.parametrize(
    ("parameters", "code"), [(b'{"k":5}', 0), (b"{}", 1), (b'{"k":"x"}', 2), (b'{"k":null}', 2), (b'{"k":1e3}', 0)]
)
def test_parameters_say_whether_they_are_there(parameters, code):
    text = wat.field_udf(
        f"(i32.eq (call $param (i32.const 0) (i32.const 1) (i32.const 64)) (i32.const {code}))",
        imports='(import "env" "get_param_i64" (func $param (param i32 i32 i32) (result i32)))',
        data='(data (i32.const 0) "k")',
    )
    batch, _ = run(text, parameters=parameters)
    assert batch.outcome(0)[0] == "live"


def test_a_parameter_that_does_not_fit_is_code_3():
    text = wat.field_udf(
        """(i32.store (i32.const 32) (i32.const 2))
        (i32.eq (call $param (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 32)) (i32.const 3))""",
        imports='(import "env" "get_param_string" (func $param (param i32 i32 i32 i32) (result i32)))',
        data='(data (i32.const 0) "k")',
    )
    assert run(text, parameters=b'{"k":"long"}')[0].outcome(0)[0] == "live"


@pytest.mark.parametrize(("arity", "level"), [(3, 4), (2, 2)])
def test_both_arities_of_log_are_linked_and_bounded(arity, level):
    params = "i32 i32 i32" if arity == 3 else "i32 i32"
    call = "(i32.const 4) " if arity == 3 else ""
    text = wat.field_udf(
        f"(loop (call $log {call}(i32.const 0) (i32.const 1000)) (br_if 0 (call $more))) (i32.const 1)",
        imports=f'(import "env" "log" (func $log (param {params})))',
        data="""(global $left (mut i32) (i32.const 100))
        (func $more (result i32) (global.set $left (i32.sub (global.get $left) (i32.const 1))) (global.get $left))""",
    )
    _, result = run(text)
    assert {entry[1] for entry in result.logs} == {level}
    assert sum(len(entry[2]) for entry in result.logs) <= 4096


def test_identity_of_the_document():
    text = wat.field_udf(
        """(i32.store (i32.const 32) (i32.const 64))
        (drop (call $id (local.get $ctx) (i32.const 128) (i32.const 32)))
        (call $put (local.get $ctx) (i32.const 0) (i32.const 3) (i32.const 128) (i32.load (i32.const 32)))""",
        imports='(import "env" "get_document_id" (func $id (param i64 i32 i32) (result i32)))' + PUT,
        data='(data (i32.const 0) "_di")',
    )
    batch, _ = run(text, b"{}", id="doc-7")
    assert batch.document(0) == b'{"_di":"doc-7"}'


@pytest.mark.parametrize(
    ("function", "arguments", "params", "changed"),
    [
        ("set_field_i64", "(i64.const -3)", "i64", b'{"k":-3}'),
        ("set_field_f64", "(f64.const 0.5)", "f64", b'{"k":0.5}'),
        ("set_field_bool", "(i32.const 1)", "i32", b'{"k":true}'),
        ("set_field_json", "(i32.const 8) (i32.const 5)", "i32 i32", b'{"k":[1,2]}'),
    ],
)
def test_fields_can_be_written(function, arguments, params, changed):
    text = wat.field_udf(
        f"(call $set (local.get $ctx) (i32.const 0) (i32.const 1) {arguments})",
        imports=f'(import "env" "{function}" (func $set (param i64 i32 i32 {params}) (result i32)))',
        data='(data (i32.const 0) "k") (data (i32.const 8) "[1,2]")',
    )
    assert run(text, b"{}")[0].document(0) == changed


READ = '(import "env" "get_field_int64" (func $read (param i64 i32 i32) (result i64)))'
REMOVE = '(import "env" "remove_field" (func $remove (param i64 i32 i32) (result i32)))'


def write(name: int, value: str) -> str:
    return f"(drop (call $puti (local.get $ctx) (i32.const {name}) (i32.const 1) {value}))"


def read(name: int) -> str:
    return f"(call $read (local.get $ctx) (i32.const {name}) (i32.const 1))"


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (write(0, "(i64.const 7)") + write(1, read(0)), b'{"n":7,"o":{},"k":7}'),
        (write(0, "(i64.const 7)") + f"(drop {read(0)})", b'{"n":7,"o":{}}'),
        (write(1, "(i64.const 8)") + write(1, "(i64.add (i64.const 1) " + read(1) + ")"), b'{"n":1,"o":{},"k":9}'),
        (
            write(0, "(i64.const 7)") + "(drop (call $remove (local.get $ctx) (i32.const 1) (i32.const 1)))",
            b'{"n":7,"o":{}}',
        ),
        (
            write(1, "(i64.const 7)") + "(drop (call $remove (local.get $ctx) (i32.const 0) (i32.const 1)))",
            b'{"o":{},"k":7}',
        ),
        (
            "(drop (call $remove (local.get $ctx) (i32.const 0) (i32.const 1)))" + write(0, "(i64.const 7)"),
            b'{"o":{},"n":7}',
        ),
    ],
)
def test_a_udf_sees_what_it_wrote(body, changed):
    text = wat.field_udf(body + "(i32.const 1)", imports=PUT_I64 + READ + REMOVE, data='(data (i32.const 0) "nk")')
    assert run(text, b'{"n":1,"o":{}}')[0].document(0) == changed


@pytest.mark.parametrize("field", ["n", "k", "o.k"])
def test_later_stages_see_what_a_udf_wrote(field):
    body = f"(call $puti (local.get $ctx) (i32.const 0) (i32.const {len(field)}) (i64.const 12345))"
    text = wat.field_udf(body, imports=PUT_I64, data=f'(data (i32.const 0) "{field}")')
    udf = compile_wat(text).bind(b"{}", timeout_ms=200, memory=1 << 20)
    copy = Native("set", "document", b'{"field":"copy","value":"{{{%s}}}"}' % field.encode())
    lower = Native("lowercase", "document", b'{"field":"s"}')
    document = b'{"n":1, "o":{"a":2}, "s":"ABC"}'
    for more in (b"", b' "t":1,'):
        batch = Bulk(b'{"index":{"_index":"i"}}\n{' + more + document[1:] + b"\n").batch([0])
        steps = [Step.udf("w", udf), Step.native("l", lower), Step.native("c", copy)]
        batch.run_steps(steps, Deadline(5), closed=True, pipeline="p")
        expected = json.loads(b"{" + more + document[1:])
        (expected["o"] if "." in field else expected)[field[-1]] = 12345
        assert json.loads(batch.document(0)) == expected | {"s": "abc", "copy": "12345"}


@pytest.mark.parametrize(
    "text",
    [
        "(call $get (local.get $ctx) (i32.const -1) (i32.const 4) (i32.const 64) (i32.const 32))",
        "(call $get (local.get $ctx) (i32.const 0) (i32.const -1) (i32.const 64) (i32.const 32))",
        "(call $get (local.get $ctx) (i32.const 0) (i32.const 1) (i32.const 65535) (i32.const 32))",
        "(call $get (local.get $ctx) (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 65534))",
        "(call $get (local.get $ctx) (i32.const 65535) (i32.const 2) (i32.const 64) (i32.const 32))",
    ],
)
def test_addresses_outside_the_memory_are_an_error_of_that_call(text):
    udf = wat.field_udf(text, imports=STRING, data='(data (i32.const 0) "s") (data (i32.const 32) "\\40")')
    batch, _ = run(udf)
    state, failure = batch.outcome(0)
    assert state == "failed"
    assert failure[:2] == (400, "udf_trap_exception")


@pytest.mark.parametrize(
    ("imports", "words"),
    [
        ('(import "env" "open_socket" (func))', "import [env.open_socket] is not one that Headrace offers"),
        ('(import "wasi_snapshot_preview1" "sock_accept" (func))', "sock_accept] is not one that Headrace offers"),
        ('(import "env" "get_score" (func (param i32) (result f64)))', "import [env.get_score] is declared as"),
        ('(import "env" "table" (table 1 funcref))', "must define its own memory"),
    ],
)
def test_imports_that_we_do_not_have_are_refused_by_name(imports, words):
    with pytest.raises(ModuleError, match="import") as caught:
        compile_wat(
            f'(module {imports} (memory (export "memory") 1) (func (export "filter") (param i64) (result i32) unreachable))'
        )
    assert words in str(caught.value)


def looked(**bind) -> dict[str, int]:
    """What it wrote, in a new sandbox."""
    batch = Batch.of("document", b"{}")
    udf = compile_wat(wat.LOOKS).bind(b"{}", timeout_ms=200, memory=1 << 20, **bind)
    batch.run_udf(udf, Deadline(5), abort=True, pipeline="p", stage="s")
    return json.loads(batch.document(0))


def test_clock_and_randomness_are_the_same_in_every_sandbox():
    assert looked() == looked()
    assert looked()["t"] == 1_001_000_000


def test_each_of_the_two_can_be_the_real_one():
    before = time.time_ns() // 1_000_000
    seen = looked(real_clock=True)
    assert before <= seen["t"] // 1_000_000 <= time.time_ns() // 1_000_000
    assert seen["t"] % 1_000_000 == 0, "whole milliseconds"
    assert seen["r"] == looked()["r"]
    first, second = looked(real_random=True), looked(real_random=True)
    assert first["t"] == second["t"] == looked()["t"]
    assert len({first["r"], second["r"], looked()["r"]}) == 3


def test_the_real_ones_can_be_fixed_for_tests():
    real = {"real_clock": True, "real_random": True}
    with fixed_sources(time_ms=1_700_000_000_123, seed=1):
        seen = looked(**real)
        assert seen == looked(**real)
        assert seen["t"] == 1_700_000_000_123_000_000
        counted = looked()
    with fixed_sources(seed=2):
        assert looked(**real)["r"] != seen["r"]
    assert counted == looked(), "sources that are not real stay as they are"
    assert looked(**real)["t"] // 1_000_000 >= time.time_ns() // 1_000_000 - 60_000
    assert len({looked(**real)["r"] for _ in range(3)}) == 3
