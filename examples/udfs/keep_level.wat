;; Field ABI, no toolchain needed: drops documents whose `level` is DEBUG, whatever its case.
(module
  (import "env" "get_field_string" (func $get_field_string (param i64 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "level")
  (data (i32.const 16) "debug")
  (func (export "filter") (param $ctx i64) (result i32)
    (local $i i32)
    ;; capacity of the buffer at 64
    (i32.store (i32.const 32) (i32.const 16))
    (if (i32.eqz (call $get_field_string (local.get $ctx) (i32.const 0) (i32.const 5) (i32.const 64) (i32.const 32)))
      (then (return (i32.const 1))))
    (if (i32.ne (i32.load (i32.const 32)) (i32.const 5))
      (then (return (i32.const 1))))
    (loop $next
      ;; letters differ from their other case in bit 5
      (if (i32.ne
            (i32.or (i32.load8_u (i32.add (i32.const 64) (local.get $i))) (i32.const 32))
            (i32.load8_u (i32.add (i32.const 16) (local.get $i))))
        (then (return (i32.const 1))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5))))
    (i32.const 0)))
