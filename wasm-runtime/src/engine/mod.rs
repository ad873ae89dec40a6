//! Execution under limits: compilation, metering, memory, the clock, and the ways to end work.
//!
//! `compiler` compiles modules by wasmer and Cranelift and keeps artefacts on disk. `metering` rewrites a module so that it counts
//! fuel and asks a flag whether to end; `stop_flag` is the same for interpreters, which are not metered. `limits` bounds memory, tables
//! and stack, `memory` finds the linear memory of an instance, and `snapshot` maps a started interpreter copy on write.
//!
//! `clock` is the time base, `fixed` the time and the randomness that stages see. `deadline` is until when the work of a request may go on; our own loops ask it. The `watchdog` is a thread
//! that ends guest calls from outside, `interrupt` its softer way for Python, and `offload` runs work that nothing can interrupt on a
//! thread that the caller can leave.

pub(crate) mod clock;
pub(crate) mod compiler;
pub(crate) mod deadline;
pub(crate) mod fixed;
pub(crate) mod interrupt;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod metering;
pub(crate) mod offload;
pub(crate) mod snapshot;
pub(crate) mod stop_flag;
pub(crate) mod watchdog;
