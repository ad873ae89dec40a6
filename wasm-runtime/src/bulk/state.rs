//! A bulk in work: its body, its actions, and the texts that stages made.

use std::ops::Range;
use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::bulk::action::{Op, Target};
use crate::bulk::outcome::{ActionOutcome, ActionState, Indexes};
use crate::bulk::parser::{Action, Actions, Names, ParsedBulk, parse};
use crate::document::Meta;

/// A parsed `_bulk` body.
#[pyclass(module = "headrace_pipelines._wasm")]
pub(crate) struct Bulk {
    pub(crate) body: Arc<PyBackedBytes>,
    pub(crate) actions: Actions,
    pub(crate) targets: Vec<Target>,
    /// See [`ParsedBulk::plain_documents`](crate::bulk::parser::ParsedBulk::plain_documents).
    pub(crate) plain_documents: bool,
    /// Per target: whether the `pipeline` in its action lines is ours and must not reach the cluster.
    pub(crate) strip: Vec<bool>,
    /// The indexes whose documents `batch_at` gave out; other documents of the same action stay as they are.
    pub(crate) given_out: Option<Indexes>,
    /// Per target: its actions, once one has failed. A body may have as many targets as actions.
    pub(super) of_target: Vec<Vec<usize>>,
    /// The texts that stages made, one behind the other: freed as one, and read in order. Shared with the body to forward.
    pub(crate) output: Arc<Vec<u8>>,
}

impl Bulk {
    pub(super) fn parse(body: PyBackedBytes, index: Option<&str>) -> Result<Self, String> {
        let parsed = parse(&body, index)?;
        Ok(Self::of(body, parsed))
    }

    /// See `Bulk.single` of Python.
    pub(super) fn of_document(body: PyBackedBytes, index: &str, id: Option<String>, op: Op) -> Self {
        let parsed = ParsedBulk::of_document(&body, index, id, op);
        Self::of(body, parsed)
    }

    fn of(body: PyBackedBytes, ParsedBulk { actions, targets, plain_documents }: ParsedBulk) -> Self {
        Self {
            body: Arc::new(body),
            strip: vec![false; targets.len()],
            actions,
            targets,
            plain_documents,
            given_out: None,
            of_target: Vec::new(),
            output: Arc::default(),
        }
    }

    pub(super) fn action(&self, i: usize) -> PyResult<&Action> {
        self.actions.list.get(i).ok_or_else(|| PyIndexError::new_err(format!("no action {i}")))
    }

    /// The state of action `n`, which exists.
    pub(super) fn state(&self, n: usize) -> ActionState {
        let action = &self.actions.list[n];
        let compared = |text: &Option<Range<usize>>| match text {
            Some(text) if self.output[text.clone()] != self.body[action.source.clone()] => ActionState::Changed,
            _ => ActionState::Same,
        };
        match self.actions.outcome(n) {
            ActionOutcome::Untouched | ActionOutcome::Updated { .. } => ActionState::Same,
            ActionOutcome::Changed { text, .. } => compared(&Some(text.clone())),
            ActionOutcome::Written(parts) => match &parts[..] {
                [part] if self.targets[action.key].same_destination(self.actions.names(n), &part.meta) => {
                    compared(&part.text)
                }
                _ => ActionState::Moved,
            },
            ActionOutcome::Dropped => ActionState::Dropped,
            ActionOutcome::Failed(_) => ActionState::Failed,
        }
    }

    /// For each group of targets, the bytes of the lines that hold the documents of their actions.
    pub(super) fn source_bytes(&self, groups: &[Vec<usize>]) -> Vec<usize> {
        let mut of_target = vec![0; self.targets.len()];
        for action in &self.actions.list {
            of_target[action.key] += action.source.len();
        }
        let bytes_at = |key: &usize| of_target.get(*key).copied().unwrap_or_default();
        groups.iter().map(|keys| keys.iter().map(bytes_at).sum()).collect()
    }

    /// For each target, whether it is among these.
    pub(crate) fn wanted(&self, keys: &[usize]) -> Vec<bool> {
        let mut wanted = vec![false; self.targets.len()];
        for key in keys {
            wanted.get_mut(*key).into_iter().for_each(|wanted| *wanted = true);
        }
        wanted
    }
}

impl Target {
    /// The metadata of the document that an action with these names writes here.
    pub(crate) fn meta(&self, names: &Names) -> Meta {
        let Names { id, routing } = names.clone();
        Meta { index: self.index.clone(), id, routing, ..Meta::default() }
    }

    /// Whether `meta` is still that of [`Self::meta`].
    pub(crate) fn same_metadata(&self, names: &Names, meta: &Meta) -> bool {
        self.same_destination(names, meta) && meta.score == 0.0 && meta.ctx.is_none()
    }

    /// Whether its document is still written where the action with these names says.
    pub(crate) fn same_destination(&self, names: &Names, meta: &Meta) -> bool {
        self.index == meta.index && meta.id == names.id && meta.routing == names.routing
    }
}
