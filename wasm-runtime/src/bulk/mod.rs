//! `_bulk`: the body of a request as actions and documents, the body to forward, and the answer to the client.
//!
//! `parser` splits a body into lines and reads the action lines (`action`); `line_cache` recognises an action line that equals an
//! earlier one but for `_id` and `routing`, so that few are parsed. `state` holds the body, the actions, and one `outcome` for each
//! action that is not forwarded as it came.
//!
//! A pipeline gets documents as a batch (`documents`) and gives them back; `prefilter` finds bodies in which no document meets any
//! condition, and `final_pipelines` reads documents strictly where a final pipeline must hold.
//!
//! `request` renders the body to forward from ranges: lines that no stage touched are copied byte for byte, and a body in which
//! nothing changed is not copied at all. `response` puts the cluster's items and ours in the order of the request. `body_view` is
//! the memory of a body that goes out without a copy.

pub(crate) mod action;
pub(crate) mod body_view;
pub(crate) mod documents;
pub(crate) mod final_pipelines;
pub(crate) mod line_cache;
pub(crate) mod outcome;
pub(crate) mod parser;
pub(crate) mod prefilter;
pub(crate) mod request;
pub(crate) mod response;
mod state;

use std::collections::HashSet;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyString};

pub(crate) use self::state::Bulk;
use crate::bulk::action::Op;
use crate::bulk::outcome::{ActionOutcome, ActionState, Indexes};
use crate::bulk::request::{Piece, joined};
use crate::document::Kind;
use crate::engine::deadline::Deadline;
use crate::error::{BulkError, Fault};
use crate::pipeline::batch::Batch;
use crate::pipeline::condition::Condition;
use crate::pipeline::counted::{FusedPipeline, FusedRun};

#[pymethods]
impl Bulk {
    /// Parses `body`; `index` is the URL's.
    ///
    /// Raises BulkError, with OpenSearch's text, for what makes OpenSearch refuse the whole request.
    #[new]
    #[pyo3(signature = (body, *, index=None))]
    fn new(py: Python<'_>, body: PyBackedBytes, index: Option<&str>) -> PyResult<Self> {
        py.detach(|| Self::parse(body, index)).map_err(BulkError::new_err)
    }

    /// The bulk of one document, of which `text` is all: it has no action line, and cannot be rendered.
    #[staticmethod]
    #[pyo3(signature = (text, *, index, id, creates))]
    fn single(text: PyBackedBytes, index: &str, id: Option<String>, creates: bool) -> Self {
        Self::of_document(text, index, id, if creates { Op::Create } else { Op::Index })
    }

    fn __len__(&self) -> usize {
        self.actions.list.len()
    }

    /// The distinct targets: (index or None, the `pipeline` named by the action or None, whether documents are written).
    fn targets(&self) -> Vec<(Option<&str>, Option<&str>, bool)> {
        self.targets.iter().map(|t| (t.index.as_deref(), t.pipeline.as_deref(), t.writes)).collect()
    }

    /// Bytes of the body that came in.
    #[getter]
    fn nbytes(&self) -> usize {
        self.body.len()
    }

    /// How many documents the actions at these targets write, if the body shows that no document in it meets any of
    /// `conditions`; `None` where it does not.
    fn ruled_out(&self, py: Python<'_>, keys: Vec<usize>, conditions: Vec<Py<Condition>>) -> Option<usize> {
        py.detach(|| prefilter::documents(self, &self.wanted(&keys), &conditions))
    }

    /// For each group of targets, the bytes of the lines that hold the documents of their actions.
    fn nbytes_of(&self, groups: Vec<Vec<usize>>) -> Vec<usize> {
        self.source_bytes(&groups)
    }

    /// The documents of the actions at these targets (by position in `targets`), as a batch for a document pipeline.
    ///
    /// An update gives its `upsert`, or its `doc` with `doc_as_upsert`; without either it is not in the batch.
    fn batch(&mut self, py: Python<'_>, keys: Vec<usize>) -> Batch {
        let body = Arc::clone(&self.body);
        let docs = py.detach(|| self.documents(&keys, None));
        Batch::new(body, docs, Kind::Document)
    }

    /// Where the documents that are still to be written go now, or only those that stages have sent elsewhere.
    #[pyo3(signature = (*, moved = false))]
    fn indexes(&self, moved: bool) -> Vec<Option<&str>> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        for (_, action, outcome) in self.actions.with_outcomes() {
            let elsewhere = matches!(outcome, ActionOutcome::Written(_));
            if !(elsewhere || !moved && action.op != Op::Delete) {
                continue;
            }
            let mut note = |index| {
                if seen.insert(index) {
                    found.push(index);
                }
            };
            match outcome {
                ActionOutcome::Untouched | ActionOutcome::Changed { .. } | ActionOutcome::Updated { .. } => {
                    note(self.targets[action.key].index.as_deref());
                }
                ActionOutcome::Written(parts) => parts.iter().for_each(|part| note(part.meta.index.as_deref())),
                ActionOutcome::Dropped | ActionOutcome::Failed(_) => {}
            }
        }
        found
    }

    /// Where the updates go.
    fn indexes_of_updates(&self) -> HashSet<Option<&str>> {
        let updates = self.actions.list.iter().filter(|action| action.op == Op::Update);
        let keys: HashSet<usize> = updates.map(|action| action.key).collect();
        keys.into_iter().map(|key| self.targets[key].index.as_deref()).collect()
    }

    /// Fails the updates at these indexes that would show a stored document, or see it by a script; `shows`: the URL asks for it.
    fn refuse_shown(&mut self, py: Python<'_>, indexes: Vec<Option<String>>, shows: bool) {
        py.detach(|| self.refuse_shown_at(&named(indexes), shows));
    }

    /// Reads the documents and updates that go to these indexes strictly, before a final pipeline has them.
    fn settle(&mut self, py: Python<'_>, indexes: Vec<Option<String>>) {
        py.detach(|| self.read_strictly(&named(indexes)));
    }

    /// The documents that go to one of these indexes, as a batch for a final pipeline; of an update both `doc` and `upsert`.
    fn batch_at(&mut self, py: Python<'_>, indexes: Vec<Option<String>>) -> Batch {
        let body = Arc::clone(&self.body);
        let keys: Vec<usize> = (0..self.targets.len()).filter(|k| self.targets[*k].writes).collect();
        let indexes = named(indexes);
        let docs = py.detach(|| self.documents(&keys, Some(&indexes)));
        self.given_out = Some(indexes);
        Batch::new(body, docs, Kind::Document)
    }

    /// Takes over what a pipeline made of the documents of `batch`. `pinned`: the name of a final pipeline, which must not
    /// change a document's index.
    #[pyo3(signature = (batch, *, pinned=None))]
    fn absorb(&mut self, py: Python<'_>, batch: &mut Batch, pinned: Option<&str>) {
        py.detach(|| self.collect_batch(batch, pinned));
    }

    /// Runs a pipeline over the documents of the actions at these targets, for `seconds` at most, and takes over what it made
    /// of them unless that was too late. `asked`: the caller has had `ruled_out` say that a condition may be met.
    #[pyo3(signature = (pipeline, keys, seconds, *, asked = false))]
    fn run(
        &mut self,
        py: Python<'_>,
        pipeline: Py<FusedPipeline>,
        keys: Vec<usize>,
        seconds: f64,
        asked: bool,
    ) -> FusedRun {
        let conditions = &pipeline.get().conditions;
        if !asked
            && !conditions.is_empty()
            && let Some(idle) = prefilter::documents(self, &self.wanted(&keys), conditions)
        {
            return FusedRun::idle(pipeline, idle);
        }
        let mut batch = Batch::new(Arc::clone(&self.body), self.documents(&keys, None), Kind::Document);
        if batch.docs.is_empty() {
            return FusedRun::idle(pipeline, 0);
        }
        let run = FusedRun::over(py, pipeline, &mut batch, &Deadline::new(Some(seconds)));
        if !run.late {
            self.collect_batch(&mut batch, None);
        }
        run
    }

    /// Fails every action at target `key`.
    fn fail(&mut self, key: usize, status: u16, kind: String, reason: &str) {
        if self.of_target.is_empty() {
            self.of_target.resize(self.targets.len(), Vec::new());
            for (n, action) in self.actions.list.iter().enumerate() {
                self.of_target[action.key].push(n);
            }
        }
        for n in self.of_target.get(key).into_iter().flatten() {
            self.actions.set_outcome(*n, ActionOutcome::failed(Fault::new(status, kind.clone(), reason)));
        }
    }

    /// Fails every action whose document goes to `index` now.
    fn fail_at(&mut self, index: &str, status: u16, kind: String, reason: &str) {
        let there = |name: &Option<Arc<str>>| name.as_deref() == Some(index);
        for n in 0..self.actions.list.len() {
            let target = &self.targets[self.actions.list[n].key];
            let goes = match self.actions.outcome(n) {
                ActionOutcome::Untouched | ActionOutcome::Changed { .. } | ActionOutcome::Updated { .. } => {
                    target.writes && there(&target.index)
                }
                ActionOutcome::Written(parts) => parts.iter().any(|part| there(&part.meta.index)),
                ActionOutcome::Dropped | ActionOutcome::Failed(_) => false,
            };
            if goes {
                self.actions.set_outcome(n, ActionOutcome::failed(Fault::new(status, kind.clone(), reason)));
            }
        }
    }

    /// Takes `pipeline` out of the action lines at target `key`: it is ours, the cluster does not know it.
    fn strip_pipeline(&mut self, key: usize) {
        if let Some(strip) = self.strip.get_mut(key) {
            *strip = true;
        }
    }

    /// The outcome of the document of action `i`: ("here" | "elsewhere" | "dropped", None), or ("failed", its error).
    ///
    /// "here": one document, written where the client sent it; "elsewhere": moved, or several.
    #[allow(clippy::type_complexity)]
    fn outcome(&self, i: usize) -> PyResult<(&'static str, Option<(u16, String, String, String, String)>)> {
        let action = self.action(i)?;
        Ok(match self.actions.outcome(i) {
            ActionOutcome::Untouched | ActionOutcome::Changed { .. } | ActionOutcome::Updated { .. } => ("here", None),
            ActionOutcome::Written(parts) => {
                let stays = parts.len() == 1
                    && self.targets[action.key].same_destination(self.actions.names(i), &parts[0].meta);
                (if stays { "here" } else { "elsewhere" }, None)
            }
            ActionOutcome::Dropped => ("dropped", None),
            ActionOutcome::Failed(failure) => ("failed", Some(failure.shown())),
        })
    }

    /// Per action: its state ("same", "changed", "moved", "dropped" or "failed"), and how many actions it has become.
    fn states<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Vec<usize>)> {
        let names = ActionState::ALL.map(|state| PyString::intern(py, state.name()));
        let all = self.actions.with_outcomes();
        let states: Vec<_> = all.map(|(n, ..)| names[self.state(n) as usize].clone()).collect();
        let forwarded = self.actions.with_outcomes().map(|(.., outcome)| outcome.forwarded()).collect();
        Ok((PyList::new(py, states)?, forwarded))
    }

    /// Action `i` as it came: (name, position of its target, index, id, routing, source line).
    #[allow(clippy::type_complexity)]
    fn source<'py>(
        &self,
        py: Python<'py>,
        i: usize,
    ) -> PyResult<(&'static str, usize, Option<&str>, Option<&str>, Option<&str>, Bound<'py, PyBytes>)> {
        let action = self.action(i)?;
        let names = self.actions.names(i);
        let text = PyBytes::new(py, &self.body[action.source.clone()]);
        let index = self.targets[action.key].index.as_deref();
        Ok((action.op.name(), action.key, index, names.id.as_deref(), names.routing.as_deref(), text))
    }

    /// How many documents action `i` has become: those that are forwarded.
    fn forwarded(&self, i: usize) -> PyResult<usize> {
        self.action(i)?;
        Ok(self.actions.outcome(i).forwarded())
    }

    /// The new text of the one document of action `i`; `None` if it is the one that came in.
    fn document<'py>(&self, py: Python<'py>, i: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.action(i)?;
        let output = match self.actions.outcome(i) {
            ActionOutcome::Changed { text, .. } => Some(text.clone()),
            ActionOutcome::Written(parts) => parts.first().and_then(|part| part.text.clone()),
            _ => None,
        };
        Ok(output.map(|range| PyBytes::new(py, &self.output[range])))
    }

    /// The number of actions at each target, by its position in `targets`.
    fn actions_by_target(&self) -> Vec<usize> {
        let mut counts = vec![0; self.targets.len()];
        self.actions.list.iter().for_each(|action| counts[action.key] += 1);
        counts
    }

    /// (forwarded, dropped, failed) actions.
    fn counts(&self) -> (usize, usize, usize) {
        let (mut dropped, mut failed) = (0, 0);
        for (_, _, outcome) in self.actions.with_outcomes() {
            match outcome {
                ActionOutcome::Dropped => dropped += 1,
                ActionOutcome::Failed(_) => failed += 1,
                ActionOutcome::Untouched
                | ActionOutcome::Changed { .. }
                | ActionOutcome::Updated { .. }
                | ActionOutcome::Written(_) => {}
            }
        }
        (self.actions.list.len() - dropped - failed, dropped, failed)
    }

    /// The body to forward: `None` if it is the one that came in, empty if nothing is left to forward; a view of what stages made
    /// where that is all of it.
    fn render<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.actions.untouched() && !self.strip.contains(&true) {
            return Ok(None);
        }
        let pieces = py.detach(|| request::pieces(self));
        if let [Piece::Output(range)] = &pieces[..] {
            return body_view::view(py, &self.output, range.clone()).map(|view| Some(view.into_any()));
        }
        let parts: Vec<&[u8]> = pieces.iter().map(|piece| piece.bytes(self)).collect();
        joined(py, &parts).map(|whole| Some(whole.into_any()))
    }

    /// Lets go of all texts, so that others can have their memory: only `merge` and `counts` may be asked from now on.
    fn let_go(&mut self, py: Python<'_>) {
        self.body = Arc::new(PyBytes::new(py, b"").into());
        self.output = Arc::default();
    }

    /// The answer for the client: the cluster's items and ours, in the order of the request; the cluster's own but for `took`
    /// where each action was forwarded as one.
    ///
    /// `answer` is the cluster's response to the rendered body, `None` if nothing was forwarded; `took` in ms.
    /// Raises BulkError if the cluster answered another number of items than were forwarded, where items are put together.
    #[pyo3(signature = (answer, took))]
    fn merge<'py>(&self, py: Python<'py>, answer: Option<&[u8]>, took: u64) -> PyResult<Bound<'py, PyBytes>> {
        if let Some(rest) = answer.and_then(|answer| response::all_but_took(self, answer)) {
            return joined(py, &[format!("{{\"took\":{took}").as_bytes(), rest]);
        }
        let out = py.detach(|| response::merged(self, answer, took)).map_err(BulkError::new_err)?;
        Ok(PyBytes::new(py, &out))
    }
}

fn named(indexes: Vec<Option<String>>) -> Indexes {
    indexes.into_iter().map(|index| index.map(Arc::from)).collect()
}

/// `text` (JSON) reduced by OpenSearch's `filter_path` patterns.
#[pyfunction]
pub(crate) fn filter_path<'py>(py: Python<'py>, text: &[u8], patterns: Vec<String>) -> Bound<'py, PyBytes> {
    let out = py.detach(|| crate::json::filter_path::filter_path(text, &patterns));
    PyBytes::new(py, &out)
}

/// A bulk without the `_type` that clients of Elasticsearch 7 write into action lines; what is no bulk stays as it is.
#[pyfunction]
pub(crate) fn without_types<'py>(py: Python<'py>, body: &[u8]) -> Bound<'py, PyBytes> {
    let out = py.detach(|| crate::bulk::action::without_types(body));
    PyBytes::new(py, &out)
}
