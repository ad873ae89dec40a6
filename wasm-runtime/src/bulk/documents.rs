//! The documents of a bulk's actions: given out to a pipeline, and taken back.

use std::ops::Range;
use std::sync::Arc;

use crate::bulk::action::{Op, part_of_update, writable_part};
use crate::bulk::outcome::{ActionOutcome, Indexes, OutputDocument};
use crate::bulk::parser::Action;
use crate::bulk::state::Bulk;
use crate::document::{Doc, Kind, Meta, State, Text, join_lines};
use crate::error::Fault;
use crate::pipeline::batch::Batch;

/// Keeps a document that a stage made, on one line. Gives its place, `None` for one that came in; those of the batch are in
/// `output` already, from `before` on.
pub(crate) fn kept(output: &mut Arc<Vec<u8>>, text: &Text, before: usize) -> Option<Range<usize>> {
    match text {
        Text::Shared(_) => None,
        Text::Output(range) => Some(range.start + before..range.end + before),
        Text::Owned(text) => {
            let output = Arc::make_mut(output);
            let from = output.len();
            output.extend_from_slice(text);
            join_lines(&mut output[from..]);
            Some(from..output.len())
        }
    }
}

impl Bulk {
    /// The documents of the actions at these targets; `at`: of those only what goes to one of these indexes.
    pub(crate) fn documents(&mut self, keys: &[usize], at: Option<&Indexes>) -> Vec<Doc> {
        let (mut docs, mut members) = (Vec::with_capacity(self.actions.list.len()), Vec::new());
        let wanted = self.wanted(keys);
        for slot in 0..self.actions.list.len() {
            let action = &self.actions.list[slot];
            if !wanted[action.key] {
                continue;
            }
            let stays = at.is_none_or(|at| at.contains(&self.targets[action.key].index));
            match self.actions.outcome(slot) {
                ActionOutcome::Untouched | ActionOutcome::Changed { .. } | ActionOutcome::Updated { .. } if !stays => {}
                ActionOutcome::Updated { source } => self.texts_of_update(slot, source, &mut docs),
                ActionOutcome::Dropped | ActionOutcome::Failed(_) => {}
                ActionOutcome::Written(parts) => {
                    let Some(range) = writable_part(&self.body, action.op, &action.source) else { continue };
                    let here = |part: &&OutputDocument| at.is_none_or(|at| at.contains(&part.meta.index));
                    docs.extend(parts.iter().filter(here).map(|part| {
                        let output = part.text.clone().map(|output| Text::Owned(self.output[output].to_vec()));
                        Doc::new(output.unwrap_or_else(|| Text::Shared(range.clone())), part.meta.clone(), slot)
                    }));
                }
                ActionOutcome::Changed { text, .. } => {
                    let text = Text::Owned(self.output[text.clone()].to_vec());
                    let meta = self.targets[action.key].meta(self.actions.names(slot));
                    docs.push(Doc { action_line: action.action_line(), ..Doc::new(text, meta, slot) });
                }
                ActionOutcome::Untouched => {
                    let range = if action.op == Op::Update {
                        match part_of_update(&self.body, &action.source, &mut members) {
                            Ok(part) => part,
                            Err(why) => {
                                self.actions.set_outcome(slot, ActionOutcome::failed(Kind::Document.parse_error(&why)));
                                continue;
                            }
                        }
                    } else {
                        writable_part(&self.body, action.op, &action.source)
                    };
                    let Some(range) = range else { continue };
                    let meta = self.targets[action.key].meta(self.actions.names(slot));
                    docs.push(Doc { action_line: action.action_line(), ..Doc::new(Text::Shared(range), meta, slot) });
                }
            }
        }
        docs
    }

    /// Takes over what a pipeline made of the documents of a batch, which has none then; `pinned` as `Bulk.absorb` has it.
    pub(crate) fn collect_batch(&mut self, batch: &mut Batch, pinned: Option<&str>) {
        let mut docs = std::mem::take(&mut batch.docs);
        let before = self.output.len();
        if before == 0 {
            self.output = Arc::new(std::mem::take(&mut batch.output));
        } else {
            Arc::make_mut(&mut self.output).append(&mut batch.output);
        }
        for group in docs.chunk_by_mut(|doc, next| doc.slot == next.slot) {
            if let [doc] = &mut *group
                && pinned.is_none()
                && self.collect_single(doc, before)
            {
                continue;
            }
            match self.action_of(group[0].slot) {
                Some((n, member)) if matches!(self.actions.outcome(n), ActionOutcome::Updated { .. }) => {
                    self.collect_text(n, member, group, before);
                }
                _ => self.collect(group, pinned, before),
            }
        }
        self.given_out = None;
    }

    /// [`Self::collect`] for the plain case, which makes nothing but what is kept: one live document of a write that
    /// nothing has touched yet. False (and nothing happened) if it is another.
    pub(crate) fn collect_single(&mut self, doc: &mut Doc, output: usize) -> bool {
        let Some(action) = self.actions.list.get(doc.slot) else { return false };
        let outcome = self.actions.outcome(doc.slot);
        let plain =
            matches!((outcome, action.op, &doc.state), (ActionOutcome::Untouched, Op::Index | Op::Create, State::Live));
        if !plain || self.given_out.is_some() {
            return false;
        }
        let framed = matches!(doc.text, Text::Output(_)) && !doc.action_line.is_empty();
        let text = kept(&mut self.output, &doc.text, output);
        let stays = self.targets[action.key].same_metadata(self.actions.names(doc.slot), &doc.meta);
        match text {
            None if stays => {}
            Some(text) if stays => self.actions.set_outcome(doc.slot, ActionOutcome::Changed { text, framed }),
            text => self.actions.set_outcome(
                doc.slot,
                ActionOutcome::Written(vec![OutputDocument { text, meta: std::mem::take(&mut doc.meta) }]),
            ),
        }
        true
    }

    /// Collects the documents of one action: they are written together or not at all.
    pub(crate) fn collect(&mut self, group: &mut [Doc], pinned: Option<&str>, output: usize) {
        let Some(slot) = group.first().map(|doc| doc.slot).filter(|slot| *slot < self.actions.list.len()) else {
            return;
        };
        let Action { key, op, versioned, .. } = self.actions.list[slot];
        let before = self.targets[key].meta(self.actions.names(slot));
        let came_from: Vec<Option<Arc<str>>> = match self.actions.outcome(slot) {
            ActionOutcome::Written(parts) => parts.iter().map(|p| p.meta.index.clone()).collect(),
            _ => vec![before.index.clone()],
        };
        let mut parts = match (self.actions.outcome(slot), &self.given_out) {
            (ActionOutcome::Written(parts), Some(out)) => {
                parts.iter().filter(|p| !out.contains(&p.meta.index)).cloned().collect()
            }
            _ => Vec::with_capacity(group.len()),
        };
        for doc in group {
            match std::mem::replace(&mut doc.state, State::Dropped) {
                State::Dropped | State::Finished => {}
                State::Failed(failure) => {
                    self.actions.set_outcome(slot, ActionOutcome::Failed(failure));
                    return;
                }
                State::Live if pinned.is_some() && !came_from.contains(&doc.meta.index) => {
                    let reason =
                        format!("final pipeline [{}] can't change the target index", pinned.unwrap_or_default());
                    let fault = Fault::new(400, "illegal_state_exception", reason);
                    self.actions.set_outcome(slot, ActionOutcome::failed(fault));
                    return;
                }
                State::Live => {
                    let text = kept(&mut self.output, &doc.text, output);
                    parts.push(OutputDocument { text, meta: std::mem::take(&mut doc.meta) });
                }
            }
        }
        let outcome = written(parts, &before, op, versioned);
        self.actions.set_outcome(slot, outcome);
    }
}

/// The outcome of an action whose document became `parts`; `before` is the metadata that it came with.
fn written(parts: Vec<OutputDocument>, before: &Meta, op: Op, versioned: bool) -> ActionOutcome {
    let moved = |part: &OutputDocument| part.meta.destination() != before.destination();
    if parts.len() > 1 && (op == Op::Update || versioned) {
        ActionOutcome::failed(Fault::illegal(
            "a document that is updated, or written with a version or a sequence number, cannot become several",
        ))
    } else if op == Op::Update && parts.iter().any(moved) {
        ActionOutcome::failed(Fault::illegal("the metadata of an update cannot be changed"))
    } else if parts.is_empty() {
        ActionOutcome::Dropped
    } else if parts.len() == 1 && parts[0].text.is_none() && parts[0].meta == *before {
        ActionOutcome::Untouched
    } else {
        ActionOutcome::Written(parts)
    }
}
