//! Parts of lists and objects that are left out, with the commas between them.

use std::ops::Range;

use crate::json::Edit;

/// Removes parts of a list or an object with the commas between them.
pub(super) struct Removal {
    /// Where the parts begin that are removed before any that stays.
    pending: Option<usize>,
    pub(super) stays: bool,
    end: usize,
}

impl Removal {
    pub(super) fn new() -> Self {
        Self { pending: None, stays: false, end: 0 }
    }

    /// Before a part that stays is looked at.
    pub(super) fn keep(&mut self, part: &Range<usize>, edits: &mut Vec<Edit>, mark: usize) {
        if let Some(from) = self.pending.take() {
            edits.insert(mark, Edit::of(from..part.start, Vec::new()));
        }
        (self.stays, self.end) = (true, part.end);
    }

    pub(super) fn remove(&mut self, part: &Range<usize>, edits: &mut Vec<Edit>) {
        if self.stays {
            edits.push(Edit::of(self.end..part.end, Vec::new()));
        } else if self.pending.is_none() {
            self.pending = Some(part.start);
        }
        self.end = part.end;
    }

    pub(super) fn finish(self, edits: &mut Vec<Edit>) {
        if let Some(from) = self.pending {
            edits.push(Edit::of(from..self.end, Vec::new()));
        }
    }
}
