//! Documents on their way through the stages of a pipeline, and what became of each.
//!
//! A batch is a whole `_bulk`, one document, one search body or one response. Python decides per stage (policy, deadline,
//! statistics); the loops over documents are here and run without the GIL.

pub(crate) mod check;
mod response_hits;
mod runs;
mod state;

use std::collections::HashSet;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use self::runs::end_of;
pub(crate) use self::state::Batch;
use crate::document::effect::ErrorContext;
use crate::document::metadata_fields::MetadataView;
use crate::document::query_notes;
use crate::document::response::hits;
use crate::document::{Doc, Kind, Meta, OutputBuffer, State, Text, text_of};
use crate::engine::clock::now_ns;
use crate::engine::deadline::{Deadline, within};
use crate::error::Fault;
use crate::json::validate;
use crate::native::Native;
use crate::native::fit_mapping::Mappings;
use crate::pipeline::condition::Condition;
use crate::pipeline::condition::state::ConditionState;
use crate::pipeline::scopes;
use crate::pipeline::share::KeyShare;
use crate::pipeline::stage::Counts;
use crate::pipeline::step::Step;
use crate::stats::StageRun;
use crate::udf::module::Udf;
use crate::udf::result_contract::Contract;

#[pymethods]
impl Batch {
    /// A batch of one document: `kind` is "document", "query" or "result"; `ctx` is a JSON object.
    #[staticmethod]
    #[pyo3(signature = (kind, text, *, index=None, id=None, routing=None, ctx=None, trial=false))]
    fn of(
        kind: &str,
        text: PyBackedBytes,
        index: Option<String>,
        id: Option<String>,
        routing: Option<String>,
        ctx: Option<Vec<u8>>,
        trial: bool,
    ) -> PyResult<Self> {
        let kind = match kind {
            "document" => Kind::Document,
            "query" => Kind::Query,
            "result" => Kind::Result,
            _ => return Err(PyValueError::new_err(format!("no kind of batch: {kind}"))),
        };
        let meta = Meta { index: index.map(Arc::from), id, routing, score: 0.0, ctx };
        let doc = Doc::new(Text::Shared(0..text.len()), meta, 0);
        Ok(Self { trial, ..Self::new(Arc::new(text), vec![doc], kind) })
    }

    fn __len__(&self) -> usize {
        self.docs.len()
    }

    /// Documents that the next stage sees.
    #[getter]
    fn live(&self) -> usize {
        self.counts().0
    }

    /// Documents that ended as errors.
    #[getter]
    fn failed(&self) -> usize {
        self.counts().1
    }

    /// Stage runs so far: a mark for `enter_failed`.
    #[getter]
    fn runs(&self) -> u32 {
        self.runs
    }

    /// The documents that the next stage sees, those that ended as errors, and those that were dropped.
    #[getter]
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        self.docs.iter().fold((0, 0, 0), |(live, failed, dropped), doc| match doc.state {
            State::Live => (live + usize::from(doc.excluded_depth == 0), failed, dropped),
            State::Failed(_) => (live, failed + 1, dropped),
            State::Dropped => (live, failed, dropped + 1),
            State::Finished => (live, failed, dropped),
        })
    }

    /// Becomes the same as a batch that has just been made, which is empty then.
    fn restart(&mut self, mut fresh: PyRefMut<'_, Self>) {
        let empty = Self::new(Arc::clone(&fresh.body), Vec::new(), fresh.kind);
        *self = std::mem::replace(&mut *fresh, empty);
    }

    /// Moves the documents below `candidate` percent, and those from there to below `control`, into batches of their own.
    fn split(&mut self, py: Python<'_>, share: &Bound<'_, KeyShare>, candidate: f64, control: f64) -> (Self, Self) {
        let share = share.get();
        py.detach(|| self.split_by(share, candidate, control))
    }

    /// Removes all documents of the slots in which one ended as an error; gives these slots.
    fn remove_failed(&mut self) -> Vec<usize> {
        self.without_failed().into_iter().collect()
    }

    /// Keeps the documents of these slots alone.
    fn keep(&mut self, slots: HashSet<usize>) {
        self.docs.retain(|doc| slots.contains(&doc.slot));
    }

    /// Adds the documents of a batch of the same request, which is empty then.
    fn join(&mut self, mut batch: PyRefMut<'_, Self>) {
        self.append(&mut batch);
    }

    /// Bytes of the documents still on their way.
    #[getter]
    pub(crate) fn nbytes(&self) -> usize {
        self.docs.iter().filter(|d| matches!(d.state, State::Live)).map(|d| self.text(d).len()).sum()
    }

    /// The text of document `i` as it now is.
    fn document<'py>(&self, py: Python<'py>, i: usize) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.text(self.doc(i)?)))
    }

    /// The bulk action, or the place in a response, that document `i` comes from: all that it has become share it.
    fn slot(&self, i: usize) -> PyResult<usize> {
        Ok(self.doc(i)?.slot)
    }

    /// The metadata of document `i` as it now is: (index, id, routing).
    fn metadata(&self, i: usize) -> PyResult<(Option<&str>, Option<&str>, Option<&str>)> {
        Ok(self.doc(i)?.meta.destination().into())
    }

    /// The context of document `i` (a JSON object), `None` while it is empty.
    fn context<'py>(&self, py: Python<'py>, i: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.doc(i)?.meta.ctx.as_deref().map(|text| PyBytes::new(py, text)))
    }

    /// The state of document `i`, and of a failed one (status, type, reason, pipeline, stage).
    #[allow(clippy::type_complexity)]
    fn outcome(&self, i: usize) -> PyResult<(&'static str, Option<(u16, String, String, String, String)>)> {
        Ok(match &self.doc(i)?.state {
            State::Live => ("live", None),
            State::Dropped => ("dropped", None),
            State::Finished => ("finished", None),
            State::Failed(failure) => ("failed", Some(failure.shown())),
        })
    }

    /// Fails every document that is not one JSON object in UTF-8 (nested at most 128 deep); returns how many. What has been
    /// checked is not checked again.
    fn check(&mut self, py: Python<'_>, pipeline: &str) -> usize {
        py.detach(|| self.check_all(pipeline))
    }

    /// Takes the hits that cannot be read out of a response, the rest of which is checked then; says how many, or `None` where
    /// the response cannot be read without them either.
    ///
    /// `everywhere`: in aggregations, too; without it a response that has such hits there cannot be read.
    #[pyo3(signature = (*, everywhere))]
    fn sift(&mut self, py: Python<'_>, everywhere: bool) -> Option<usize> {
        py.detach(|| self.sift_response(everywhere))
    }

    /// Puts the hits that `sift` took out of the main list back as they were.
    fn put_back(&mut self) {
        self.restore_hits();
    }

    /// Has the breakers of UDFs neither asked nor told: for trial runs.
    fn ignore_breakers(&mut self) {
        self.ignores_breakers = true;
    }

    /// Has `mappings` for the stages that fit documents. `dry`: fields that documents add stay unknown to other batches.
    /// `refused`: paths whose values do not fit, whatever the mapping says.
    #[pyo3(signature = (mappings, *, dry = false, refused = Vec::new()))]
    fn fit(&mut self, mappings: &Bound<'_, Mappings>, dry: bool, refused: Vec<String>) {
        self.fitting = Some(mappings.get().fitting(dry, refused));
    }

    /// Goes on with what `before` has of mappings: the fields that its documents have added, and the counts.
    fn fit_as(&mut self, before: &Self) {
        self.fitting.clone_from(&before.fitting);
    }

    /// The values that did not fit so far, since this was asked last: (index, path, reason, count).
    fn unfit(&self) -> Vec<(String, String, &'static str, u64)> {
        let counts = self.fitting.as_ref().map(|fitting| fitting.counts()).unwrap_or_default();
        counts.into_iter().map(|((index, path, reason), count)| (index, path, reason.name(), count)).collect()
    }

    /// Gives every document a member of the context; `value` is JSON.
    fn set_context(&mut self, name: &str, value: &[u8]) {
        self.docs.iter_mut().for_each(|doc| doc.meta.set_ctx_member(name, value));
    }

    /// Whether the request has a member `_meta`.
    pub(crate) fn has_notes(&self) -> bool {
        self.docs.first().is_some_and(|doc| query_notes::is_in(text_of(&self.body, &doc.text)))
    }

    /// Moves what stages wrote into `_meta` of the request to `meta` of its context.
    pub(crate) fn take_notes(&mut self) {
        let body = Arc::clone(&self.body);
        let Some(doc) = self.docs.first_mut().filter(|doc| doc.active()) else { return };
        if let Some(text) = query_notes::moved(text_of(&body, &doc.text), &mut doc.meta) {
            (doc.index, doc.text) = (None, Text::Owned(text));
        }
    }

    /// Fails every active document with the same error: a deadline that has passed, a stage that cannot run.
    fn fail_all(&mut self, status: u16, kind: String, reason: &str, pipeline: &str, stage: &str) {
        let context = ErrorContext { abort: true, pipeline, stage, processor: "", run: self.runs };
        for doc in self.docs.iter_mut().filter(|d| d.active()) {
            doc.state = context.failed(Fault::new(status, kind.clone(), reason));
        }
    }

    /// Runs a UDF on every active document.
    ///
    /// `abort`: a failing document ends as an error, else it keeps its text and goes on. `timeout` (seconds) and
    /// `deadline` bound the whole stage; the UDF's own limits bound each document. `metadata`: the document shows its
    /// `_index`, `_id`, `_routing` and `_ctx` as members that the UDF may change. `flat`: it sees a response in its flat form.
    #[pyo3(signature = (udf, deadline, *, abort, pipeline, stage, processor="", timeout=None, target_field=None,
                        merge=false, metadata=false, flat=false))]
    #[allow(clippy::too_many_arguments)]
    fn run_udf(
        &mut self,
        py: Python<'_>,
        udf: &Bound<'_, Udf>,
        deadline: &Bound<'_, Deadline>,
        abort: bool,
        pipeline: &str,
        stage: &str,
        processor: &str,
        timeout: Option<f64>,
        target_field: Option<&str>,
        merge: bool,
        metadata: bool,
        flat: bool,
    ) -> StageRun {
        let udf = udf.get();
        let contract = Contract { flat, ..self.contract(udf, merge, target_field) };
        let limits = self.limits(udf, deadline.get(), end_of(now_ns(), timeout), pipeline);
        let context = ErrorContext { abort, pipeline, stage, processor, run: self.next_run() };
        py.detach(|| {
            self.run_contract(&limits, &contract, context, metadata.then_some(MetadataView::UDF), udf.batched())
        })
    }

    /// Runs a built-in on every active document; `deadline` and `timeout` (seconds) as for UDFs.
    #[pyo3(signature = (native, deadline, *, abort, pipeline, stage, timeout=None))]
    #[allow(clippy::too_many_arguments)]
    fn run_native(
        &mut self,
        py: Python<'_>,
        native: &Bound<'_, Native>,
        deadline: &Bound<'_, Deadline>,
        abort: bool,
        pipeline: &str,
        stage: &str,
        timeout: Option<f64>,
    ) -> StageRun {
        let native = native.get();
        let deadline = Arc::clone(&deadline.get().inner);
        let context = ErrorContext { abort, pipeline, stage, processor: native.function_name(), run: self.next_run() };
        py.detach(|| self.run_built_in(native, &deadline, timeout, context))
    }

    /// Runs stages that stand one behind the other, one document after the other; checks those that have not been checked.
    ///
    /// `closed`: whether a failure ends a document's way where a stage does not say. `timeout` (seconds) and `deadline` bound
    /// all of them together; large batches are shared by two `threads`, if there are. Gives for each stage: how many documents
    /// came so far; what its condition said, if it has one; and what it did, if a document met that.
    #[pyo3(signature = (steps, deadline, *, closed, pipeline, timeout=None, threads=1))]
    #[allow(clippy::too_many_arguments)]
    fn run_steps(
        &mut self,
        py: Python<'_>,
        steps: Vec<Py<Step>>,
        deadline: &Bound<'_, Deadline>,
        closed: bool,
        pipeline: &str,
        timeout: Option<f64>,
        threads: usize,
    ) -> Vec<Counts> {
        let end = end_of(now_ns(), timeout);
        let planned = self.planned(&steps, deadline.get(), closed, pipeline, end);
        let deadline = Arc::clone(&deadline.get().inner);
        py.detach(|| self.run_planned(&planned, &deadline, end, ErrorContext::of_check(pipeline), threads))
    }

    /// Enters a level of the documents that meet `condition`; every call needs its `leave`.
    ///
    /// A document for which it cannot be evaluated fails, or without `abort` sits the level out.
    fn enter_if(
        &mut self,
        py: Python<'_>,
        condition: &Bound<'_, Condition>,
        deadline: &Bound<'_, Deadline>,
        abort: bool,
        pipeline: &str,
        stage: &str,
    ) -> StageRun {
        let condition = condition.get();
        let deadline = Arc::clone(&deadline.get().inner);
        let context = ErrorContext { abort, pipeline, stage, processor: "if", run: self.next_run() };
        py.detach(|| {
            self.own_texts();
            let body = Arc::clone(&self.body);
            let buffer = OutputBuffer::new(&body);
            let mut condition_state = ConditionState::new(condition, context);
            within(&deadline, u64::MAX, || {
                scopes::enter(&mut self.docs, |at, doc| doc.active() && condition_state.evaluate(&buffer, doc, at))
            });
            condition_state.run
        })
    }

    /// Enters a level of the documents that failed since stage run `since`, alive again with the text they had; says how
    /// many. `classes`: only failures of these classes. `handler`: `ctx.on_failure` says why they failed.
    #[pyo3(signature = (since, *, classes=None, handler=false))]
    fn enter_failed(&mut self, since: u32, classes: Option<Vec<String>>, handler: bool) -> usize {
        scopes::enter_failed(&mut self.docs, since, classes.as_deref(), handler)
    }

    /// Leaves the level entered last. `handled`: its documents forget `ctx.on_failure`.
    #[pyo3(signature = (*, handled=false))]
    fn leave(&mut self, handled: bool) {
        if handled {
            scopes::forget_failure(&mut self.docs);
        }
        scopes::leave(&mut self.docs);
    }

    /// How deep the hits of the response are nested; `everywhere`: in aggregations and inner hits, too.
    fn hit_depth(&self, everywhere: bool) -> usize {
        self.docs.first().map_or(0, |doc| hits::deepest(self.text(doc), everywhere))
    }

    /// The hits of the response at `depth` as a batch of their own; `indexes`: only those of these indexes.
    #[pyo3(signature = (depth=0, *, everywhere=false, indexes=None))]
    fn hits(&mut self, py: Python<'_>, depth: usize, everywhere: bool, indexes: Option<Vec<String>>) -> Self {
        self.own_texts();
        let body = Arc::clone(&self.body);
        let docs = py.detach(|| match self.docs.first() {
            Some(doc) if doc.active() => {
                let base = if let Text::Shared(range) = &doc.text { Some(range.start) } else { None };
                hits::explode(self.text(doc), base, depth, everywhere, indexes.as_deref(), doc.meta.ctx.as_ref())
            }
            _ => Vec::new(),
        });
        let (trial, ignores_breakers) = (self.trial, self.ignores_breakers);
        Self { trial, ignores_breakers, ..Self::new(body, docs, Kind::Hit) }
    }

    /// Takes over what became of the hits of `hits`; a hit that failed fails the response.
    #[pyo3(signature = (hits, depth=0, *, everywhere=false))]
    fn absorb_hits(&mut self, py: Python<'_>, hits: &Bound<'_, Self>, depth: usize, everywhere: bool) {
        let mut hits = hits.borrow_mut();
        hits.own_texts();
        self.own_texts();
        let run = self.next_run();
        let (docs, body) = (&hits.docs, &hits.body);
        py.detach(|| self.collect_hits(docs, body, run, depth, everywhere));
    }
}

/// Why `text` is not one JSON object, or `None` if it is one.
#[pyfunction]
pub(crate) fn check_object(text: &[u8]) -> Option<String> {
    validate::check_object(text).err().map(|e| e.0)
}

/// Tells the allocator to give back what it has kept and nobody uses.
#[pyfunction]
pub(crate) fn release_buffers(py: Python<'_>) {
    py.detach(crate::engine::compiler::release_buffers);
}

/// Tells the allocator to keep buffers for the next request; for processes that serve traffic.
#[pyfunction]
pub(crate) fn keep_buffers() {
    crate::engine::compiler::keep_buffers();
}
