//! A batch: documents, and the bytes that their texts are parts of.

use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::document::{Doc, Kind, Text, text_of};
use crate::native::fit_mapping::Fitting;

#[pyclass(module = "headrace_pipelines._wasm")]
pub(crate) struct Batch {
    pub(crate) body: Arc<PyBackedBytes>,
    pub(crate) docs: Vec<Doc>,
    pub(crate) kind: Kind,
    pub(crate) trial: bool,
    /// Whether breakers of UDFs are neither asked nor told, as in trial runs.
    pub(crate) ignores_breakers: bool,
    /// Stage runs so far.
    pub(crate) runs: u32,
    /// The texts that stages made of many documents, one behind the other.
    pub(crate) output: Vec<u8>,
    /// Hits of a response that cannot be read, taken out of it, with their places.
    pub(crate) poison: Vec<(usize, Vec<u8>)>,
    /// The mappings that documents are fitted to.
    pub(crate) fitting: Option<Arc<Fitting>>,
}

impl Batch {
    pub(crate) fn new(body: Arc<PyBackedBytes>, docs: Vec<Doc>, kind: Kind) -> Self {
        Self {
            body,
            docs,
            kind,
            trial: false,
            ignores_breakers: false,
            runs: 0,
            output: Vec::new(),
            poison: Vec::new(),
            fitting: None,
        }
    }

    pub(super) fn next_run(&mut self) -> u32 {
        self.runs += 1;
        self.runs
    }

    pub(super) fn doc(&self, i: usize) -> PyResult<&Doc> {
        self.docs
            .get(i)
            .ok_or_else(|| PyIndexError::new_err(format!("no document {i} in a batch of {}", self.docs.len())))
    }

    pub(crate) fn text<'a>(&'a self, doc: &'a Doc) -> &'a [u8] {
        match &doc.text {
            Text::Output(range) => &self.output[range.clone()],
            text => text_of(&self.body, text),
        }
    }

    /// Gives documents whose texts are in `output` their own, for stages that take the batch as a whole.
    pub(super) fn own_texts(&mut self) {
        self.docs.iter_mut().for_each(|doc| doc.own_text(&self.output));
    }
}
