"""UDFs in WAT that the tests use: small, exact, and without a toolchain."""

from __future__ import annotations

HEAP = """
  (global $heap (mut i32) (i32.const 65536))
  (func (export "alloc") (param $n i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $heap))
    (global.set $heap (i32.add (global.get $heap) (local.get $n)))
    (block $done
      (loop $grow
        (br_if $done (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
        (br $grow)))
    (local.get $at))
"""


def field_udf(body: str, *, data: str = "", imports: str = "", pages: int = 1, result: str = "i32") -> str:
    """A field-ABI UDF whose `filter` has this body."""
    return f"""(module {imports} (memory (export "memory") {pages}) {data}
      (func $filter (export "filter") (param $ctx i64) (result {result}) {body}))"""


def answering(text: str, *, pages: int = 2) -> str:
    """A JSON-ABI UDF that answers `text`, whatever it is given."""
    raw = text.encode()
    escaped = "".join(f"\\{byte:02x}" for byte in raw)
    return f"""(module (memory (export "memory") {pages}) (data (i32.const 16) "{escaped}") {HEAP}
      (func (export "process") (param i32 i32) (result i64)
        (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const {len(raw)}))))"""


LOOP = field_udf("(loop (br 0)) (i32.const 1)")
SPINS = field_udf(
    """(local $n i32) (local.set $n (i32.const 30000000))
    (loop $l (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $l (local.get $n))) (i32.const 1)"""
)
"""Lets documents pass after some ten milliseconds."""
TRAP = field_udf("unreachable")
OUT_OF_BOUNDS = field_udf("(i32.load (i32.const -4))")
RECURSION = field_udf("(i32.add (i32.const 1) (call $filter (local.get $ctx)))")
FILLS = field_udf(
    "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 16000000)) (br 0)) (i32.const 1)", pages=256
)
GROWS = field_udf(
    "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
)
SLOW_LOADS = field_udf(
    """(local $p i32)
    (loop
      (local.set $p (i32.and (i32.add (i32.mul (local.get $p) (i32.const 1664525)) (i32.const 1013904223))
                             (i32.const 0xfffffc)))
      (local.set $p (i32.add (local.get $p) (i32.load (local.get $p))))
      (br 0)) (i32.const 1)""",
    pages=256,
)
GARBAGE = answering('{"a": oops')
HUGE = f"""(module (memory (export "memory") 2) {HEAP}
  (func (export "process") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 1073741824))))"""
OUTSIDE = f"""(module (memory (export "memory") 2) {HEAP}
  (func (export "process") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const 0xfffffff0) (i64.const 32)) (i64.const 100))))"""
ECHO = f"""(module (memory (export "memory") 2) {HEAP}
  (func (export "process") (param $p i32) (param $n i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get $p)) (i64.const 32)) (i64.extend_i32_u (local.get $n)))))"""
"""Answers its input."""
ECHO_OF_SINGLES = f'{ECHO[:-1]} (func (export "process_batch") (param i32 i32) (result i64) unreachable))'
"""The same for one document in a call; fails where it gets many."""

COUNTER = field_udf(
    """(global.set $n (i32.add (global.get $n) (i32.const 1)))
    (drop (call $set (local.get $ctx) (i32.const 0) (i32.const 1) (i64.extend_i32_u (global.get $n))))
    (i32.const 1)""",
    imports="""(import "env" "set_field_i64" (func $set (param i64 i32 i32 i64) (result i32)))
    (global $n (mut i32) (i32.const 0))""",
    data='(data (i32.const 0) "n")',
)
"""Writes into `n` how often this sandbox has been called."""

PARAMETER = field_udf(
    """(i32.store (i32.const 32) (i32.const 64))
    (if (i32.ne (call $param (i32.const 0) (i32.const 3) (i32.const 128) (i32.const 32)) (i32.const 0))
      (then (return (i32.const 0))))
    (call $set (local.get $ctx) (i32.const 8) (i32.const 1) (i32.const 128) (i32.load (i32.const 32)))""",
    imports="""(import "env" "get_param_string" (func $param (param i32 i32 i32 i32) (result i32)))
    (import "env" "set_field_string" (func $set (param i64 i32 i32 i32 i32) (result i32)))""",
    data='(data (i32.const 0) "tag") (data (i32.const 8) "p")',
)
"""Writes its parameter `tag` into the field `p`; drops the document without one."""

_WASI = """(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "env" "set_field_i64" (func $set (param i64 i32 i32 i64) (result i32)))"""
LOOKS = field_udf(
    """(if (call $clock (i32.const 0) (i64.const 0) (i32.const 64)) (then (unreachable)))
    (if (call $random (i32.const 72) (i32.const 8)) (then (unreachable)))
    (drop (call $set (local.get $ctx) (i32.const 0) (i32.const 1) (i64.load (i32.const 64))))
    (call $set (local.get $ctx) (i32.const 1) (i32.const 1) (i64.load (i32.const 72)))""",
    imports=_WASI,
    data='(data (i32.const 0) "tr")',
)
"""Writes the time into `t` and eight random bytes into `r`."""
