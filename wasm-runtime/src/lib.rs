//! Headrace's engine behind `headrace_pipelines._wasm`: WebAssembly UDFs and every loop over documents.
//!
//! This file is the module table only. A `_bulk` passes through the folders in this order:
//!
//! 1. `bulk`: `parser` splits the body into actions, and `documents` makes a batch of documents of them.
//! 2. `pipeline`: `fused` runs stages over one document after another, `apply` writes their effects.
//! 3. `native` and `udf`: a stage is a built-in or a WebAssembly UDF.
//! 4. `bulk`: `request` renders the body to forward, `response` merges the cluster's items with ours.
//!
//! A folder uses those below it only: `lib > bulk > pipeline > native | udf > document > json | regex > engine > stats > error`.
//! A test of the repository checks that (`tests/unit/test_rust_house_rules.py`).

#[cfg(test)]
mod alloc_tests;
mod bulk;
mod document;
mod engine;
mod error;
mod http1;
mod json;
mod native;
mod pipeline;
mod quota;
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
    pipeline::share::KeyShare,
    pipeline::step::Step,
    pipeline::counted::FusedPipeline,
    pipeline::counted::FusedRun,
    bulk::body_view::BodyView,
    udf::module::Module,
    udf::module::Udf,
    native::Native,
    quota::SharedBuckets,
    native::fit_mapping::Mapping,
    native::fit_mapping::Mappings,
    stats::Histogram,
    stats::StageRun,
    stats::RunTally,
    stats::Tally,
    http1::body_buffer::BodyBuffer,
    http1::chunked::ChunkedDecoder,
    http1::request::RequestHead,
    http1::request::RequestParser,
    http1::response::ResponseHead,
    http1::response::ResponseParser
);

#[pymodule]
fn _wasm(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<pipeline::batch::Batch>()?;
    m.add_class::<engine::deadline::Deadline>()?;
    m.add_class::<pipeline::condition::Condition>()?;
    m.add_class::<stats::StageRun>()?;
    m.add_class::<pipeline::share::KeyShare>()?;
    m.add_class::<pipeline::step::Step>()?;
    m.add_class::<pipeline::counted::FusedPipeline>()?;
    m.add_class::<pipeline::counted::FusedRun>()?;
    m.add_class::<bulk::Bulk>()?;
    m.add_class::<udf::module::Module>()?;
    m.add_class::<udf::module::Udf>()?;
    m.add_class::<native::Native>()?;
    m.add_class::<quota::SharedBuckets>()?;
    m.add_class::<native::fit_mapping::Mapping>()?;
    m.add_class::<native::fit_mapping::Mappings>()?;
    m.add_class::<stats::Histogram>()?;
    m.add_class::<stats::RunTally>()?;
    m.add_class::<stats::Tally>()?;
    m.add("PanicException", m.py().get_type::<pyo3::panic::PanicException>())?;
    m.add("ModuleError", m.py().get_type::<error::ModuleError>())?;
    m.add("BulkError", m.py().get_type::<error::BulkError>())?;
    m.add_function(wrap_pyfunction!(bulk::filter_path, m)?)?;
    m.add_function(wrap_pyfunction!(bulk::without_types, m)?)?;
    m.add_function(wrap_pyfunction!(native::native_schemas, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::batch::check_object, m)?)?;
    m.add_function(wrap_pyfunction!(json::strict::canonical_json, m)?)?;
    m.add_function(wrap_pyfunction!(json::media::json_from, m)?)?;
    m.add_function(wrap_pyfunction!(json::media::json_to, m)?)?;
    m.add_function(wrap_pyfunction!(json::media::plain_json, m)?)?;
    m.add_function(wrap_pyfunction!(document::unambiguous::unambiguous_json, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::batch::keep_buffers, m)?)?;
    m.add_function(wrap_pyfunction!(engine::fixed::fix_sources, m)?)?;
    m.add_function(wrap_pyfunction!(pipeline::batch::release_buffers, m)?)?;
    http1::register(m)?;
    m.add("DEBUG_BUILD", cfg!(debug_assertions))?;
    Ok(())
}
