//! The WebAssembly engine, its limits and its clock.

pub mod compiler;
pub mod deadline;
pub mod interrupt;
pub mod limits;
pub mod memory;
pub mod metering;
pub mod offload;
pub mod snapshot;
pub mod stop_flag;
pub mod watchdog;
