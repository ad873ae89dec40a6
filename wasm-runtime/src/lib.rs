//! Headrace's engine behind `headrace_pipelines._wasm`: WebAssembly UDFs and every loop over documents.
//!
//! This file is the module table only. A batch's way: `framing` → `bulk` → `batch` (documents and outcomes) → `lane` (a stage over
//! a document) > `native` or `work` > `instance` > `contract` → `bulk_body`
//! (the body to forward) → `bulk_answer` (the answer to send).

pub mod action;
pub mod alike;
mod aside;
pub mod batch;
pub mod bulk;
pub mod bulk_answer;
pub mod bulk_body;
pub mod chunks;
pub mod condition;
pub mod contract;
#[cfg(test)]
mod counted;
pub mod deadline;
pub mod document;
pub mod documents;
mod dotted;
pub mod effect;
mod elements;
pub mod error;
pub mod exact;
pub mod fate;
pub mod filter_path;
pub mod flat;
pub mod framing;
pub mod guest;
pub mod hits;
pub mod host;
pub mod http1;
pub mod instance;
pub mod interpreter;
mod interrupt;
pub mod java;
pub mod json;
pub mod lane;
pub mod levels;
pub mod limits;
mod linear;
pub mod made;
pub mod many;
pub mod media;
pub mod metadata;
mod meter;
mod model;
pub mod module;
pub mod native;
pub mod notes;
pub mod number;
pub mod outline;
pub mod places;
pub mod poison;
pub mod quick;
mod regex;
mod ruled_out;
pub mod runtime;
mod scan;
mod scratch;
pub mod settle;
mod shape;
pub mod snapshot;
pub mod stats;
pub mod stop;
pub mod strict;
pub mod unambiguous;
pub mod update;
pub mod valid;
pub mod wasi;
pub mod watchdog;
pub mod work;

use pyo3::prelude::*;

/// Python's allocator aligns to 16 bytes, whatever a class asks for: one that holds vectors has to box them.
macro_rules! fit_for_python {
    ($($class:ty),*) => { $(const _: () = assert!(align_of::<$class>() <= 16);)* };
}
fit_for_python!(
    batch::Batch,
    bulk::Bulk,
    condition::Condition,
    deadline::Deadline,
    http1::body_buffer::BodyBuffer,
    http1::chunked::ChunkedDecoder,
    http1::request::RequestHead,
    http1::request::RequestParser,
    http1::response::ResponseHead,
    http1::response::ResponseParser,
    lane::Step,
    made::Made,
    module::Module,
    module::Udf,
    native::Native,
    stats::Histogram,
    stats::StageRun,
    stats::Tally
);

#[pymodule]
fn _wasm(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<batch::Batch>()?;
    m.add_class::<deadline::Deadline>()?;
    m.add_class::<condition::Condition>()?;
    m.add_class::<stats::StageRun>()?;
    m.add_class::<lane::Step>()?;
    m.add_class::<bulk::Bulk>()?;
    http1::register(m)?;
    m.add_class::<module::Module>()?;
    m.add_class::<module::Udf>()?;
    m.add_class::<native::Native>()?;
    m.add_class::<stats::Histogram>()?;
    m.add_class::<stats::Tally>()?;
    m.add("PanicException", m.py().get_type::<pyo3::panic::PanicException>())?;
    m.add("ModuleError", m.py().get_type::<error::ModuleError>())?;
    m.add("BulkError", m.py().get_type::<error::BulkError>())?;
    m.add_function(wrap_pyfunction!(bulk::filter_path, m)?)?;
    m.add_function(wrap_pyfunction!(bulk::without_types, m)?)?;
    m.add_function(wrap_pyfunction!(batch::check_object, m)?)?;
    m.add_function(wrap_pyfunction!(strict::canonical_json, m)?)?;
    m.add_function(wrap_pyfunction!(media::json_from, m)?)?;
    m.add_function(wrap_pyfunction!(media::json_to, m)?)?;
    m.add_function(wrap_pyfunction!(media::plain_json, m)?)?;
    m.add_function(wrap_pyfunction!(unambiguous::unambiguous_json, m)?)?;
    m.add_function(wrap_pyfunction!(batch::keep_buffers, m)?)?;
    m.add_function(wrap_pyfunction!(batch::release_buffers, m)?)?;
    m.add("DEBUG_BUILD", cfg!(debug_assertions))?;
    Ok(())
}
