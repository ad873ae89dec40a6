//! The body of a `_bulk` to forward: what came in, what stages made, and action lines that say something else now.

use std::borrow::Cow;
use std::ops::Range;

use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bulk::action::{Op, readdressed, without_pipeline, writable_part};
use crate::bulk::outcome::ActionOutcome;
use crate::bulk::parser::Action;
use crate::bulk::state::Bulk;
use crate::document::Meta;

/// A part of the body to forward.
pub(crate) enum Piece {
    /// A range of the body that came in.
    Body(Range<usize>),
    /// A range of [`Bulk::output`].
    Output(Range<usize>),
    New(Vec<u8>),
}

impl Piece {
    /// Its text.
    pub(crate) fn bytes<'b>(&'b self, bulk: &'b Bulk) -> &'b [u8] {
        match self {
            Self::Body(range) => &bulk.body[range.clone()],
            Self::Output(range) => &bulk.output[range.clone()],
            Self::New(text) => text,
        }
    }
}

/// The body to forward, in pieces: one for what stands together in the body that came in.
pub(crate) fn pieces(bulk: &Bulk) -> Vec<Piece> {
    let mut out = Pieces { bulk, list: Vec::new() };
    for (n, action, outcome) in bulk.actions.with_outcomes() {
        match outcome {
            ActionOutcome::Dropped | ActionOutcome::Failed(_) => {}
            ActionOutcome::Untouched => out.lines(n, action, None, None),
            ActionOutcome::Changed { text, framed: true } if !bulk.strip[action.key] => {
                out.output(text.start - action.line.len() - 1..text.end + 1);
            }
            ActionOutcome::Changed { text, .. } => out.lines(n, action, None, Some(text)),
            ActionOutcome::Updated { source } => out.updated(n, action, source),
            ActionOutcome::Written(parts) => {
                parts.iter().for_each(|part| out.lines(n, action, Some(&part.meta), part.text.as_ref()));
            }
        }
    }
    out.list
}

struct Pieces<'b> {
    bulk: &'b Bulk,
    list: Vec<Piece>,
}

impl Pieces<'_> {
    fn body(&mut self, range: Range<usize>) {
        match self.list.last_mut() {
            Some(Piece::Body(last)) if last.end == range.start => last.end = range.end,
            _ if range.is_empty() => {}
            _ => self.list.push(Piece::Body(range)),
        }
    }

    fn output(&mut self, range: Range<usize>) {
        match self.list.last_mut() {
            Some(Piece::Output(last)) if last.end == range.start => last.end = range.end,
            _ => self.list.push(Piece::Output(range)),
        }
    }

    /// A line end: that of the body, where the line ends with one alone.
    fn end(&mut self, line_end: usize) {
        if self.bulk.body.get(line_end) == Some(&b'\n') {
            self.body(line_end..line_end + 1);
        } else {
            self.list.push(Piece::New(b"\n".to_vec()));
        }
    }

    /// The lines of the `n`th action, with other metadata or another document (a part of `output`).
    fn lines(&mut self, n: usize, action: &Action, meta: Option<&Meta>, output: Option<&Range<usize>>) {
        self.action_line(n, action, meta);
        if action.op == Op::Delete {
            return;
        }
        match output {
            Some(output) => {
                let body = &self.bulk.body;
                let range = writable_part(body, action.op, &action.source).unwrap_or_else(|| action.source.clone());
                self.body(action.source.start..range.start);
                self.output(output.clone());
                self.body(range.end..action.source.end);
            }
            None => self.body(action.source.clone()),
        }
        self.end(action.source.end);
    }

    /// The lines of an update whose source is a part of `output`.
    fn updated(&mut self, n: usize, action: &Action, source: &Range<usize>) {
        self.action_line(n, action, None);
        self.output(source.clone());
        self.end(action.source.end);
    }

    fn action_line(&mut self, n: usize, action: &Action, meta: Option<&Meta>) {
        let Bulk { body, targets, strip, .. } = self.bulk;
        let (target, names) = (&targets[action.key], self.bulk.actions.names(n));
        let moved = meta.filter(|meta| !target.same_destination(names, meta));
        if strip[action.key] || moved.is_some() {
            let line = Cow::Borrowed(&body[action.line.clone()]);
            let line = if strip[action.key] { Cow::Owned(without_pipeline(&line)) } else { line };
            let line = match moved {
                Some(meta) => readdressed(line, &target.meta(names), meta),
                None => line,
            };
            self.list.push(Piece::New(line.into_owned()));
        } else {
            self.body(action.line.clone());
        }
        self.end(action.line.end);
    }
}

/// Parts as one; [`PyBytes::new_with`] would write zeros over it all first.
pub(crate) fn joined<'py>(py: Python<'py>, parts: &[&[u8]]) -> PyResult<Bound<'py, PyBytes>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let size = isize::try_from(length).map_err(|_| PyMemoryError::new_err("a bulk longer than the memory"))?;
    // SAFETY: a new object of `length` bytes that nobody else knows yet; the parts fill all of them.
    unsafe {
        let bytes = Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), size))?;
        let mut to = ffi::PyBytes_AsString(bytes.as_ptr()).cast::<u8>();
        for part in parts {
            std::ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
            to = to.add(part.len());
        }
        Ok(bytes.cast_into_unchecked())
    }
}
