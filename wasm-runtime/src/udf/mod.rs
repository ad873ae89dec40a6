//! UDFs: modules, sandboxes, calls and results.

pub mod batch_abi;
pub mod exact_numbers;
pub mod host;
pub mod interpreter;
pub mod invoke;
pub mod module;
pub mod numbers;
pub mod result_contract;
pub mod sandbox;
