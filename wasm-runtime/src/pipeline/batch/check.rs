//! Whether the documents of a batch can be read, and a response without the hits that cannot.

use std::sync::Arc;

use super::state::Batch;
use crate::document::effect::ErrorContext;
use crate::document::response::unreadable;
use crate::document::{Doc, State, Text, text_of};
use crate::json::index::ObjectIndex;
use crate::json::{media, validate};

impl Batch {
    /// See `Batch.check` of Python.
    pub(super) fn check_all(&mut self, pipeline: &str) -> usize {
        let mut bad = 0;
        let context = ErrorContext::of_check(pipeline);
        let (body, kind) = (Arc::clone(&self.body), self.kind);
        let mut members = Vec::new();
        for doc in self.docs.iter_mut().filter(|d| d.active() && !d.checked) {
            doc.own_text(&self.output);
            let found = validate::validate_and_index(text_of(&body, &doc.text), std::mem::take(&mut members));
            match found.or_else(|why| without_comments(doc, &body).ok_or(why)) {
                Ok(index) => {
                    doc.checked = true;
                    members = index.map(ObjectIndex::into_spans).unwrap_or_default();
                }
                Err(why) => {
                    doc.state = context.failed(kind.parse_error(&why));
                    bad += 1;
                }
            }
        }
        bad
    }

    /// See `Batch.sift` of Python.
    pub(crate) fn sift_response(&mut self, everywhere: bool) -> Option<usize> {
        self.own_texts();
        let body = Arc::clone(&self.body);
        let Some(doc) = self.docs.first_mut().filter(|doc| doc.active() && !doc.checked) else { return Some(0) };
        let text = text_of(&body, &doc.text);
        if !unreadable::has_lone_surrogate(text)
            && let Ok(index) = validate::validate_and_index(text, Vec::new())
        {
            (doc.checked, doc.index) = (true, index);
            return Some(0);
        }
        let sifted = unreadable::sift(text).filter(|sifted| everywhere || sifted.elsewhere == 0)?;
        let index = validate::validate_and_index(&sifted.text, Vec::new()).ok()?;
        let count = sifted.taken.len() + sifted.elsewhere;
        (doc.checked, doc.index, doc.text) = (true, index, Text::Owned(sifted.text));
        self.poison = sifted.taken;
        Some(count)
    }

    /// See `Batch.put_back` of Python.
    pub(crate) fn restore_hits(&mut self) {
        let (body, poison) = (Arc::clone(&self.body), std::mem::take(&mut self.poison));
        self.own_texts();
        let Some(doc) = self.docs.first_mut().filter(|doc| matches!(doc.state, State::Live)) else { return };
        if let Some(text) = unreadable::restore(text_of(&body, &doc.text), &poison) {
            (doc.checked, doc.index, doc.text) = (false, None, Text::Owned(text));
        }
    }
}

/// The index of a document that can be read but for a byte order mark and comments, which the cluster passes over; it loses them.
#[cold]
pub(crate) fn without_comments(doc: &mut Doc, body: &[u8]) -> Option<Option<ObjectIndex>> {
    let std::borrow::Cow::Owned(plain) = media::plain_copy(text_of(body, &doc.text)) else { return None };
    let index = validate::validate_and_index(&plain, Vec::new()).ok()?;
    doc.text = Text::Owned(plain);
    Some(index)
}
