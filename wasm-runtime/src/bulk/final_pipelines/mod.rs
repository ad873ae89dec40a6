//! Documents of a bulk for final document pipelines: their texts are read strictly before a condition sees them.
//!
//! Elsewhere a document that no condition concerns is forwarded unread; here the text that is judged is the text that
//! is stored.

pub(crate) mod update;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::bulk::action::{Op, writable_part};
use crate::bulk::documents::kept;
use crate::bulk::outcome::{ActionOutcome, Indexes, OutputDocument};
use crate::bulk::state::Bulk;
use crate::document::unambiguous;
use crate::document::{Doc, State, Text};
use crate::error::Fault;

impl Bulk {
    /// Reads strictly what goes to these indexes: what is odd is written anew, what has no one meaning fails, and so does an
    /// update with a script.
    pub(crate) fn read_strictly(&mut self, indexes: &Indexes) {
        for n in 0..self.actions.list.len() {
            let op = self.actions.list[n].op;
            let checked = match op {
                Op::Delete => continue,
                Op::Update => self.settled_update(n, indexes),
                Op::Index | Op::Create => self.settled_document(n, indexes),
            };
            match checked {
                Ok(Some(outcome)) => self.actions.set_outcome(n, outcome),
                Ok(None) => {}
                Err(fault) => self.actions.set_outcome(n, ActionOutcome::failed(fault)),
            }
        }
    }

    fn goes_to(&self, n: usize, indexes: &Indexes) -> bool {
        indexes.contains(&self.targets[self.actions.list[n].key].index)
    }

    fn settled_document(&mut self, n: usize, indexes: &Indexes) -> Result<Option<ActionOutcome>, Fault> {
        let source = self.actions.list[n].source.clone();
        match self.actions.outcome(n) {
            ActionOutcome::Untouched if self.goes_to(n, indexes) => {
                let text = self.plain(None, &source)?;
                Ok(text.map(|text| ActionOutcome::Changed { text, framed: false }))
            }
            ActionOutcome::Changed { text, .. } if self.goes_to(n, indexes) => {
                let text = text.clone();
                let text = self.plain(Some(&text), &source)?;
                Ok(text.map(|text| ActionOutcome::Changed { text, framed: false }))
            }
            ActionOutcome::Written(parts) => {
                let mut parts: Vec<OutputDocument> = parts.clone();
                let mut changed = false;
                for part in parts.iter_mut().filter(|part| indexes.contains(&part.meta.index)) {
                    if let Some(text) = self.plain(part.text.as_ref(), &source)? {
                        (part.text, changed) = (Some(text), true);
                    }
                }
                Ok(changed.then_some(ActionOutcome::Written(parts)))
            }
            _ => Ok(None),
        }
    }

    /// Where in `output` a document is written anew; `None` if it can stay as it is. It is a part of `output`, else of the body.
    fn plain(&mut self, output: Option<&Range<usize>>, source: &Range<usize>) -> Result<Option<Range<usize>>, Fault> {
        let text = output.map_or_else(|| &self.body[source.clone()], |range| &self.output[range.clone()]);
        match unambiguous::document(text)? {
            Cow::Borrowed(_) => Ok(None),
            Cow::Owned(text) => Ok(Some(self.make(&text))),
        }
    }

    fn make(&mut self, text: &[u8]) -> Range<usize> {
        let output = Arc::make_mut(&mut self.output);
        let from = output.len();
        output.extend_from_slice(text);
        from..output.len()
    }

    fn settled_update(&mut self, n: usize, indexes: &Indexes) -> Result<Option<ActionOutcome>, Fault> {
        if !self.goes_to(n, indexes) {
            return Ok(None);
        }
        let source = self.actions.list[n].source.clone();
        let written = match self.actions.outcome(n) {
            ActionOutcome::Untouched => update::read(&self.body[source])?,
            ActionOutcome::Changed { text, .. } => self.update_with(&source, text)?,
            ActionOutcome::Written(parts) => match parts.first().and_then(|part| part.text.clone()) {
                Some(text) => self.update_with(&source, &text)?,
                None => update::read(&self.body[source])?,
            },
            _ => return Ok(None),
        };
        update::check_writes(&written)?;
        Ok(Some(ActionOutcome::Updated { source: self.make(&written) }))
    }

    /// The source of an update with what a default pipeline made of its document.
    fn update_with(&self, source: &Range<usize>, output: &Range<usize>) -> Result<Vec<u8>, Fault> {
        let Some(part) = writable_part(&self.body, Op::Update, source) else {
            return update::read(&self.body[source.clone()]);
        };
        let (before, behind) = (&self.body[source.start..part.start], &self.body[part.end..source.end]);
        update::read(&[before, &self.output[output.clone()], behind].concat())
    }

    /// Fails the updates at these indexes that would show what is stored there; with `shows` every one that is not failed yet.
    pub(crate) fn refuse_shown_at(&mut self, indexes: &Indexes, shows: bool) {
        for n in 0..self.actions.list.len() {
            let action = &self.actions.list[n];
            let failed = matches!(self.actions.outcome(n), ActionOutcome::Failed(_));
            if action.op != Op::Update || failed || !self.goes_to(n, indexes) {
                continue;
            }
            let (line, source) = (&self.body[action.line.clone()], &self.body[action.source.clone()]);
            let checked = update::read(source)
                .and_then(|written| if shows { Err(update::shown()) } else { update::check_shows(&written, line) });
            if let Err(fault) = checked {
                self.actions.set_outcome(n, ActionOutcome::failed(fault));
            }
        }
    }

    /// The texts of an update that has been read, each as a document of its own: its slot tells the member, too.
    pub(crate) fn texts_of_update(&self, n: usize, source: &Range<usize>, docs: &mut Vec<Doc>) {
        let written = &self.output[source.clone()];
        let meta = self.targets[self.actions.list[n].key].meta(self.actions.names(n));
        for member in 0..update::TEXTS.len() {
            if let Some(text) = update::text(written, member) {
                let slot = n + member * self.actions.list.len();
                docs.push(Doc::new(Text::Owned(written[text].to_vec()), meta.clone(), slot));
            }
        }
    }

    /// The action of a slot, and the member of its update.
    pub(crate) fn action_of(&self, slot: usize) -> Option<(usize, usize)> {
        let count = self.actions.list.len();
        (count > 0).then(|| (slot % count, slot / count)).filter(|(_, member)| *member < update::TEXTS.len())
    }

    /// Collects one text of an update: it stays one text of this update, or the update is not made.
    pub(crate) fn collect_text(&mut self, n: usize, member: usize, group: &mut [Doc], before: usize) {
        let ActionOutcome::Updated { source } = self.actions.outcome(n) else { return };
        let (source, target) = (source.clone(), &self.targets[self.actions.list[n].key]);
        let names = self.actions.names(n);
        let mut live = group.iter().filter(|doc| matches!(doc.state, State::Live));
        let (first, more, moved) = (live.next(), live.next(), |doc: &Doc| !target.same_destination(names, &doc.meta));
        let failure = group.iter().find_map(|doc| match &doc.state {
            State::Failed(failure) => Some(failure.clone()),
            _ => None,
        });
        let outcome = match (failure, first, more) {
            (Some(failure), ..) => ActionOutcome::Failed(failure),
            (None, _, Some(_)) => {
                ActionOutcome::failed(Fault::illegal("a document that is updated cannot become several"))
            }
            (None, None, None) => ActionOutcome::Dropped,
            (None, Some(doc), None) if moved(doc) => {
                ActionOutcome::failed(Fault::illegal("the metadata of an update cannot be changed"))
            }
            (None, Some(doc), None) => match kept(&mut self.output, &doc.text, before) {
                Some(text) => self.update_with_text(&source, member, &text),
                None => return,
            },
        };
        self.actions.set_outcome(n, outcome);
    }

    fn update_with_text(&mut self, source: &Range<usize>, member: usize, text: &Range<usize>) -> ActionOutcome {
        let written = &self.output[source.clone()];
        let Some(destination) = update::text(written, member) else { return ActionOutcome::Dropped };
        let whole = [&written[..destination.start], &self.output[text.clone()], &written[destination.end..]].concat();
        ActionOutcome::Updated { source: self.make(&whole) }
    }
}
