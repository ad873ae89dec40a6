//! The memory that new texts of documents are written into.

use std::ops::Range;

use memchr::memchr2;

use super::{Doc, State, Text, text_of};
use crate::json::Edit;
use crate::json::index::MemberSpan;
use crate::json::scan::has_control;

/// Bytes of spare capacity that a document gets with its first change, so that later stages need not move it.
pub(crate) const ROOM: usize = 64;

/// Minimum number of documents in a batch whose output goes into one buffer: for fewer it would be larger than the
/// texts.
const MANY: usize = 16;

/// The memory that the stages of a batch write to.
pub(crate) struct OutputBuffer<'b> {
    /// The body that the documents came in.
    body: &'b [u8],
    /// Where [`Text::Output`] is. Of a document in work it is the end, where it is changed in place.
    pub(crate) output: Vec<u8>,
    /// Whether new texts go there: of many documents they do, each one line, behind its [`Doc::action_line`] and before a line end.
    collects: bool,
    /// Bytes that they will take, about; asked for by the first of them.
    room: usize,
    /// Memory for the next index.
    pub(crate) members: Vec<MemberSpan>,
    /// Whether the last stage is at work, after which nobody asks for indexes.
    pub(crate) last: bool,
}

impl<'b> OutputBuffer<'b> {
    pub(crate) fn new(body: &'b [u8]) -> Self {
        Self { body, output: Vec::new(), collects: false, room: 0, members: Vec::new(), last: false }
    }

    /// One that gathers what is made of `docs` behind what has been `output`, if they are many; else each has its own.
    pub(crate) fn over(body: &'b [u8], output: Vec<u8>, docs: &[Doc]) -> Self {
        match docs.len() >= MANY {
            true => Self::collecting(body, output, docs),
            false => Self { output, ..Self::new(body) },
        }
    }

    /// One that gathers what is made of `docs`, behind what has been `output`.
    fn collecting(body: &'b [u8], output: Vec<u8>, docs: &[Doc]) -> Self {
        let mut buffer = Self { output, collects: true, ..Self::new(body) };
        let size: usize = docs.iter().map(|doc| buffer.text_len(doc) + doc.action_line.len() + 1).sum();
        buffer.room = size + size / 8;
        buffer
    }

    /// Makes room for the new text of a document behind its lead; gives where it begins.
    #[inline]
    fn start_line(&mut self, action_line: &Range<u32>) -> usize {
        if self.output.capacity() == 0 {
            self.output.reserve(self.room);
        }
        self.output.extend_from_slice(&self.body[action_line.start as usize..action_line.end as usize]);
        self.output.len()
    }

    /// The length of a document's text, wherever it is.
    pub(crate) fn text_len(&self, doc: &Doc) -> usize {
        match &doc.text {
            Text::Shared(range) | Text::Output(range) => range.len(),
            Text::Owned(text) => text.len(),
        }
    }

    /// Takes an index that is no longer needed out of the document, for its memory.
    pub(crate) fn reclaim_index(&mut self, doc: &mut Doc) {
        if let Some(index) = doc.index.take() {
            self.members = index.into_spans();
        }
    }

    pub(crate) fn text<'a>(&'a self, doc: &'a Doc) -> &'a [u8] {
        self.text_of(&doc.text)
    }

    #[inline]
    pub(crate) fn text_of<'a>(&'a self, text: &'a Text) -> &'a [u8] {
        match text {
            Text::Output(range) => &self.output[range.clone()],
            text => text_of(self.body, text),
        }
    }

    /// Changes the text of the document in work.
    #[inline]
    pub(crate) fn edit(&mut self, doc: &mut Doc, edit: &Edit) {
        let from = match &mut doc.text {
            Text::Owned(text) => return edit.apply_to(text, 0),
            Text::Output(range) => {
                edit.apply_to(&mut self.output, range.start);
                range.start
            }
            Text::Shared(range) if self.collects => {
                let from = self.start_line(&doc.action_line);
                edit.append_to(&mut self.output, &self.body[range.clone()]);
                from
            }
            Text::Shared(range) => {
                doc.text = Text::Owned(edit.applied_in(&self.body[range.clone()], ROOM));
                return;
            }
        };
        doc.text = Text::Output(from..self.output.len());
        if has_control(&edit.with) {
            join_lines(&mut self.output[from..]);
        }
    }

    /// Gives the document in work another text.
    pub(crate) fn replace(&mut self, doc: &mut Doc, text: Vec<u8>) {
        let from = match &mut doc.text {
            Text::Output(range) => {
                self.output.truncate(range.start);
                range.start
            }
            Text::Shared(_) if self.collects => self.start_line(&doc.action_line),
            _ => {
                doc.text = Text::Owned(text);
                return;
            }
        };
        // Looked through before it is copied: what has just been written is slower to read.
        let single_line = memchr2(b'\n', b'\r', &text).is_none();
        self.output.extend_from_slice(&text);
        doc.text = Text::Output(from..self.output.len());
        if !single_line {
            join_lines(&mut self.output[from..]);
        }
    }

    /// Ends the work on a document: what was made of it is one line, or its own where it was dropped.
    #[inline]
    pub(crate) fn finish(&mut self, doc: &mut Doc) {
        self.reclaim_index(doc);
        if let Text::Output(range) = &doc.text {
            if matches!(doc.state, State::Dropped) {
                let start = range.start - doc.action_line.len();
                doc.own_text(&self.output);
                self.output.truncate(start);
                return;
            }
            if !doc.action_line.is_empty() {
                self.output.push(b'\n');
            }
        }
    }
}

/// A UDF may have answered pretty-printed JSON, whose line ends are white space.
pub(crate) fn join_lines(text: &mut [u8]) {
    if memchr2(b'\n', b'\r', text).is_some() {
        text.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    }
}
