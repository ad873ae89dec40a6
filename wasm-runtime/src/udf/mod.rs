//! UDFs: modules, sandboxes, calls and results.

pub(crate) mod abi;
pub(crate) mod batch_abi;
pub(crate) mod exact_numbers;
pub(crate) mod host;
pub(crate) mod interpreter;
pub(crate) mod invoke;
pub(crate) mod module;
pub(crate) mod numbers;
pub(crate) mod result_contract;
pub(crate) mod sandbox;
