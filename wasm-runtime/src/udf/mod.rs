//! UDFs: compiled modules, sandboxes, calls, and the meaning of results.
//!
//! `module` is an upload: it is compiled once, its ABI is found from its exports (`abi`), and it is bound to the parameters and limits
//! of a stage. A `sandbox` is one store with one instance. It serves one document after another, and is thrown away after a trap, a
//! timeout or a refused growth, since its memory may be in any state.
//!
//! `invoke` takes a sandbox from the pool, runs it under a watch, and decides whether the sandbox or the document is to blame for a
//! failure. `batch_abi` and `interpreter` are calls over many documents. `host` has the functions that a guest may call: fields,
//! parameters, context, log, and a WASI that grants nothing. `result_contract` turns an answer into an effect; `answers`
//! reads what interpreters answer. `breaker` spares a UDF that fails again and again.
//!
//! Limits are enforced by the `engine`: fuel, wall clock, memory, stack, and sizes of answers and logs.

pub(crate) mod abi;
mod answers;
pub(crate) mod batch_abi;
pub(crate) mod breaker;
pub(crate) mod host;
pub(crate) mod interpreter;
pub(crate) mod invoke;
pub(crate) mod module;
pub(crate) mod numbers;
pub(crate) mod result_contract;
pub(crate) mod sandbox;
