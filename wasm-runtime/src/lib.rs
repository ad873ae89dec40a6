//! Headrace's engine behind `pipelines._wasm`: WebAssembly UDFs and every loop over documents.
//!
//! This file is the module table only. A batch's way: `framing` → `bulk` → `batch` (documents and outcomes) → `lane` (a stage over
//! a document) > `native` or `work` > `instance` > `contract` → `bulk_body`
//! (the body to forward) → `bulk_answer` (the answer to send).

#[cfg(test)]
mod alloc_tests;
mod bulk;
mod document;
mod engine;
mod error;
mod json;
mod native;
mod pipeline;
mod regex;
mod stats;
mod udf;

use pyo3::prelude::*;

/// Python's allocator aligns to 16 bytes, whatever a class asks for: one that holds vectors has to box them.
macro_rules! fit_for_python {
    ($($class:ty),*) => { $(const _: () = assert!(align_of::<$class>() <= 16);)* };
}
fit_for_python!(
    pipeline::batch::Batch,
    bulk::Bulk,
    pipeline::condition::Condition,
    engine::deadline::Deadline,
    bulk::body_buffer::Intake,
    pipeline::step::Step,
    bulk::body_view::BodyView,
    udf::module::Module,
    udf::module::Udf,
    native::Native,
    stats::Histogram,
    stats::StageRun,
    stats::Tally
);

#[pymodule]
fn _wasm(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<pipeline::batch::Batch>()?;
    m.add_class::<engine::deadline::Deadline>()?;
    m.add_class::<pipeline::condition::Condition>()?;
    m.add_class::<stats::StageRun>()?;
    m.add_class::<pipeline::step::Step>()?;
    m.add_class::<bulk::Bulk>()?;
    m.add_class::<bulk::body_buffer::Intake>()?;
    m.add_class::<udf::module::Module>()?;
    m.add_class::<udf::module::Udf>()?;
    m.add_class::<native::Native>()?;
    m.add_class::<stats::Histogram>()?;
    m.add_class::<stats::Tally>()?;
    m.add("PanicException", m.py().get_type::<pyo3::panic::PanicException>())?;
    m.add("ModuleError", m.py().get_type::<error::ModuleError>())?;
    m.add("BulkError", m.py().get_type::<error::BulkError>())?;
    m.add_function(wrap_pyfunction!(bulk::filter_path, m)?)?;
    m.add_function(wrap_pyfunction!(bulk::without_types, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::batch::check_object, m)?)?;
    m.add_function(wrap_pyfunction!(json::strict::canonical_json, m)?)?;
    m.add_function(wrap_pyfunction!(json::media::json_from, m)?)?;
    m.add_function(wrap_pyfunction!(json::media::json_to, m)?)?;
    m.add_function(wrap_pyfunction!(json::media::plain_json, m)?)?;
    m.add_function(wrap_pyfunction!(document::unambiguous::unambiguous_json, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::batch::keep_buffers, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::batch::release_buffers, m)?)?;
    m.add("DEBUG_BUILD", cfg!(debug_assertions))?;
    Ok(())
}
