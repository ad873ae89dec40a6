//! The WebAssembly engine, its limits and its clock.

pub(crate) mod clock;
pub(crate) mod compiler;
pub(crate) mod deadline;
pub(crate) mod interrupt;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod metering;
pub(crate) mod offload;
pub(crate) mod snapshot;
pub(crate) mod stop_flag;
pub(crate) mod watchdog;
