//! Where the members of a document are: found in one pass, asked by every stage.
//!
//! Each stage that reads or writes a field would otherwise walk the whole document, since of equal keys the last one counts. An
//! `ObjectIndex` holds the ranges of the members of the outermost object, and follows edits of the text. A `DocView` (`view`)
//! carries it with the text to all that look members up.

pub(crate) mod view;

use crate::json::lex::{self, trimmed};
use std::ops::Range;

use crate::json::edit::Edit;
use crate::json::lex::{Entry, skip_ws};
use crate::json::scan::common_prefix;
use crate::json::scan::structural::StructuralScanner;

/// One member, by its bytes: its key without quotes, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberSpan {
    pub(crate) key: u32,
    pub(crate) key_end: u32,
    pub(crate) value: u32,
    pub(crate) value_end: u32,
}

impl MemberSpan {
    #[inline]
    fn key<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.key as usize..self.key_end as usize]
    }

    /// Whether the key is `name`; most that are not differ in their length or first byte.
    #[inline]
    fn is(&self, text: &[u8], name: &[u8]) -> bool {
        (self.key_end - self.key) as usize == name.len() && same(self.key(text), name)
    }

    fn escaped(&self, text: &[u8]) -> bool {
        self.key(text).contains(&b'\\')
    }
}

/// Whether two texts of one length are the same; without a call for what is short.
#[inline(always)]
fn same(a: &[u8], b: &[u8]) -> bool {
    #[inline(always)]
    fn ends<const N: usize>(a: &[u8], b: &[u8]) -> bool {
        a.first_chunk::<N>() == b.first_chunk::<N>() && a.last_chunk::<N>() == b.last_chunk::<N>()
    }
    match a.len() {
        0..4 => a.iter().zip(b).all(|(a, b)| a == b),
        4..8 => ends::<4>(a, b),
        8..=16 => ends::<8>(a, b),
        _ => a == b,
    }
}

/// The members of an object at the top of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectIndex {
    start: u32,
    /// Where its closing brace is.
    end: u32,
    /// Whether a key has an escape.
    escapes: bool,
    members: Vec<MemberSpan>,
}

impl ObjectIndex {
    /// The index of a valid text; `None` for one that is no object, or too long.
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        let start = skip_ws(text, 0);
        if text.get(start) != Some(&b'{') {
            return None;
        }
        let mut members = Vec::with_capacity(24);
        let end = members_of(text, start, &mut members)?;
        let escapes = members.iter().any(|member| member.escaped(text));
        Some(Self::with(start as u32, end as u32, escapes, members))
    }

    /// The index of a text whose object begins at `start`, has its closing brace at `end`, and these members; `escapes`:
    /// whether a key has one.
    pub(crate) fn with(start: u32, end: u32, escapes: bool, members: Vec<MemberSpan>) -> Self {
        Self { start, end, escapes, members }
    }

    /// The members, in the order of the text.
    pub(crate) fn members(&self) -> &[MemberSpan] {
        &self.members
    }

    /// Where the closing brace is.
    pub(crate) fn end(&self) -> usize {
        self.end as usize
    }

    /// The memory of the members, to be used again.
    pub(crate) fn into_spans(self) -> Vec<MemberSpan> {
        self.members
    }

    /// The last member of this name.
    #[inline]
    pub(crate) fn get(&self, text: &[u8], name: &str) -> Option<Entry> {
        let mut members = self.members.iter();
        let found = if self.escapes {
            members.rfind(|m| lex::key_is(m.key(text), name))?
        } else {
            members.rfind(|m| m.is(text, name.as_bytes()))?
        };
        Some(Entry {
            key: found.key as usize..found.key_end as usize,
            value: found.value as usize..found.value_end as usize,
        })
    }

    /// Becomes that of `new`, which the text became by `edit`: a value in one of the members that is another, or a member
    /// that was added at the end. False for any other: it is of no use any more.
    // In place: moved about in pieces, an index cost more than what it is asked.
    pub(crate) fn edited(&mut self, edit: &Edit, new: &[u8]) -> bool {
        let (from, to) = (edit.range.start, edit.range.end);
        if from == to && from == self.end as usize {
            return match &edit.added {
                Some(key) => self.with_added(edit, key).is_some(),
                None => self.with_more(new).is_some(),
            };
        }
        let grown = edit.with.len() as i64 - (to - from) as i64;
        self.around(from, to).and_then(|at| self.moved_from(at, grown)).is_some()
    }

    /// Becomes that of `new`, a valid text that `old` became, where they differ in one value or by members at the end. False
    /// for any other, as [`Self::edited`].
    pub(crate) fn follow(&mut self, old: &[u8], new: &[u8]) -> bool {
        let prefix = common_prefix(old, new);
        let suffix = common_suffix(&old[prefix..], &new[prefix..]);
        let (from, to) = (prefix, old.len() - suffix);
        let grown = new.len() as i64 - old.len() as i64;
        if from == to && from == self.end as usize && new.get(from) == Some(&b',') {
            // Where the closing brace was a comma is: members were added.
            let end = moved(self.end, grown);
            return self.with_more(new).is_some() && Some(self.end) == end;
        }
        let Some(at) = self.around(from, to) else { return false };
        let (start, end) = (self.members[at].value as usize, moved(self.members[at].value_end, grown));
        let same = end.is_some_and(|end| lex::skip_value(new, start) == Some(end as usize));
        same && self.moved_from(at, grown).is_some()
    }

    /// The member in whose value these bytes are.
    fn around(&self, from: usize, to: usize) -> Option<usize> {
        self.members.iter().position(|m| m.value as usize <= from && to <= m.value_end as usize)
    }

    /// Takes in the members that `new` has where the closing brace was.
    fn with_more(&mut self, new: &[u8]) -> Option<()> {
        let count = self.members.len();
        let before = if count == 0 { self.start } else { self.end };
        self.end = members_of(new, before as usize, &mut self.members)? as u32;
        self.escapes |= self.members[count..].iter().any(|member| member.escaped(new));
        Some(())
    }

    /// Takes in the member that `edit` adds where the closing brace was; its key is there in what the edit writes.
    fn with_added(&mut self, edit: &Edit, key: &Range<usize>) -> Option<()> {
        let position = |at: usize| u32::try_from(edit.range.start + at).ok();
        let (key_from, key_end) = (position(key.start)?, position(key.end)?);
        self.end = position(edit.with.len())?;
        let name = &edit.with[key.clone()];
        self.escapes |= name.contains(&b'\\');
        self.members.push(MemberSpan { key: key_from, key_end, value: position(key.end + 2)?, value_end: self.end });
        Some(())
    }

    /// Has the value of member `at` grow by `grown` bytes.
    fn moved_from(&mut self, at: usize, grown: i64) -> Option<()> {
        if grown == 0 {
            return Some(());
        }
        self.end = moved(self.end, grown)?;
        self.members[at].value_end = moved(self.members[at].value_end, grown)?;
        for member in &mut self.members[at + 1..] {
            for position in [&mut member.key, &mut member.key_end, &mut member.value, &mut member.value_end] {
                *position = moved(*position, grown)?;
            }
        }
        Some(())
    }
}

/// A place behind one that grew by `grown` bytes.
fn moved(at: u32, grown: i64) -> Option<u32> {
    u32::try_from(i64::from(at) + grown).ok()
}

fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 32;
    let whole = a.rchunks_exact(STEP).zip(b.rchunks_exact(STEP)).take_while(|(a, b)| a == b).count() * STEP;
    let (a, b) = (&a[..a.len() - whole], &b[..b.len() - whole]);
    whole + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// The members between the brace or comma at `start` and the closing brace of that object, whose place is the result.
fn members_of(text: &[u8], start: usize, members: &mut Vec<MemberSpan>) -> Option<usize> {
    let mut depth = 1usize;
    let mut key_from = start + 1;
    let mut colon = None;
    for at in StructuralScanner::<true>::new(text, start + 1) {
        match text[at] {
            b'{' | b'[' => depth += 1,
            b':' if depth == 1 => colon = Some(at),
            b',' if depth > 1 => {}
            b':' => {}
            closing => {
                if closing != b',' {
                    depth -= 1;
                    if depth > 0 {
                        continue;
                    }
                }
                if let Some(colon) = colon.take() {
                    let key = skip_ws(text, key_from) + 1..trimmed(text, colon) - 1;
                    let value = skip_ws(text, colon + 1)..trimmed(text, at);
                    if key.start > key.end || value.start > value.end {
                        // The text is no JSON.
                        return None;
                    }
                    members.push(MemberSpan {
                        key: key.start as u32,
                        key_end: key.end as u32,
                        value: value.start as u32,
                        value_end: value.end as u32,
                    });
                }
                if depth == 0 {
                    return Some(at);
                }
                key_from = at + 1;
            }
        }
    }
    None
}

/// A member, if it is there, and where the closing brace of its object is.
pub(crate) type Located = (Option<Entry>, usize);

impl ObjectIndex {
    /// Looks a member of the object that starts at `start` up; `None` if that is another object.
    pub(crate) fn locate(&self, text: &[u8], start: usize, name: &str) -> Option<Located> {
        if self.start as usize != start {
            return None;
        }
        Some((self.get(text, name), self.end as usize))
    }
}

#[cfg(test)]
mod tests;
