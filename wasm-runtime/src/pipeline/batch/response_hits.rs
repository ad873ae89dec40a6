//! The hits of a response, given back.

use super::state::Batch;
use crate::document::response::hits;
use crate::document::{Doc, State, Text, text_of};

impl Batch {
    /// Takes over what became of the hits in `docs`, which are parts of `body`; `run` is the one that is blamed for a failure.
    pub(super) fn collect_hits(&mut self, docs: &[Doc], body: &[u8], run: u32, depth: usize, everywhere: bool) {
        let failed = docs.iter().find_map(|doc| match &doc.state {
            State::Failed(failure) => Some(failure.clone()),
            _ => None,
        });
        let Some(response) = self.docs.first_mut() else { return };
        if let Some(mut failure) = failed {
            failure.run = run;
            response.state = State::Failed(failure);
            return;
        }
        let text = text_of(&self.body, &response.text);
        if let Some(new) = hits::implode(text, body, docs, depth, everywhere) {
            response.text = Text::Owned(new);
            response.index = None;
        }
    }
}
