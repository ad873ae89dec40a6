//! One change of a text, and the memory that short texts are written into.

use std::cell::Cell;
use std::ops::Range;

/// One change of a text: what is at `range` becomes `with`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) range: Range<usize>,
    pub(crate) with: Vec<u8>,
    /// Where in `with` the key (without quotes) of the one member is that it adds to the end of an object; the value is what
    /// is behind the colon.
    pub(crate) added: Option<Range<usize>>,
}

impl Edit {
    /// Replaces `range` by `with`, which adds no member.
    pub(crate) fn of(range: Range<usize>, with: Vec<u8>) -> Self {
        Self { range, with, added: None }
    }

    pub(super) fn new(range: Range<usize>, with: &[u8]) -> Self {
        Self::of(range, scratch_copy(with))
    }

    /// The text after the change.
    pub(crate) fn applied(&self, text: &[u8]) -> Vec<u8> {
        splice(text, self.range.clone(), &self.with)
    }

    /// The same with room for `more` bytes.
    pub(crate) fn applied_in(&self, text: &[u8], more: usize) -> Vec<u8> {
        splice_in(text, self.range.clone(), &self.with, more)
    }

    /// The same at the end of `out`.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>, text: &[u8]) {
        out.extend_from_slice(&text[..self.range.start]);
        out.extend_from_slice(&self.with);
        out.extend_from_slice(&text[self.range.end..]);
    }

    /// Changes the text itself that is in `text` from `from` to its end.
    pub(crate) fn apply_to(&self, text: &mut Vec<u8>, from: usize) {
        let (start, end, len) = (from + self.range.start, from + self.range.end, text.len());
        let new_end = start + self.with.len();
        if new_end > end {
            text.resize(len + new_end - end, 0);
        }
        if new_end != end {
            text.copy_within(end..len, new_end);
            text.truncate(len - end + new_end);
        }
        text[start..new_end].copy_from_slice(&self.with);
    }
}

/// `text` with `range` replaced by `value`.
pub(crate) fn splice(text: &[u8], range: Range<usize>, value: &[u8]) -> Vec<u8> {
    splice_in(text, range, value, 0)
}

/// The same with room for `more` bytes.
fn splice_in(text: &[u8], range: Range<usize>, value: &[u8], more: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() - range.len() + value.len() + more);
    out.extend_from_slice(&text[..range.start]);
    out.extend_from_slice(value);
    out.extend_from_slice(&text[range.end..]);
    out
}

/// Bytes of the largest text whose memory is kept for the next one; a thread keeps one.
const MOST_SCRATCH: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An empty text with room for `size` bytes.
#[inline]
pub(super) fn scratch_text(size: usize) -> Vec<u8> {
    let mut text = SCRATCH.take();
    text.clear();
    text.reserve(size);
    text
}

/// A copy of `of`, in memory that was left.
#[inline]
pub(crate) fn scratch_copy(of: &[u8]) -> Vec<u8> {
    let mut text = scratch_text(of.len());
    text.extend_from_slice(of);
    text
}

/// Leaves the memory of a text that has been written for the next one.
#[inline]
pub(crate) fn recycle(text: Vec<u8>) {
    if text.capacity() <= MOST_SCRATCH {
        SCRATCH.set(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_used_again_and_empty() {
        let first = scratch_copy(b"something");
        let at = first.as_ptr();
        recycle(first);
        let second = scratch_copy(b"other");
        assert_eq!((second.as_ptr(), &second[..]), (at, &b"other"[..]));
        let third = scratch_copy(b"third");
        assert_ne!(third.as_ptr(), at);
        recycle(second);
        recycle(vec![0; MOST_SCRATCH + 1]);
        assert!(scratch_text(10).is_empty());
    }
}
