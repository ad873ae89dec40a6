//! Values by key and by path.

use std::borrow::Cow;
use std::ops::Range;

use super::index::view::DocView;
use super::lex::{Entries, Entry, key_is, skip_ws, unescape};
use super::scan::array;
use crate::engine::deadline::glance;

/// The elements of the array that starts at `start` (its `[`); empty if none does.
pub(crate) fn elements(text: &[u8], start: usize) -> Vec<Range<usize>> {
    if text.get(start) == Some(&b'[') { array::elements(text, start) } else { Vec::new() }
}

/// The value of key `name` in the object that starts at `start`; the last one wins.
#[inline]
pub(crate) fn get<'d>(doc: impl Into<DocView<'d>>, start: usize, name: &str) -> Option<Entry> {
    locate(doc.into(), start, name).0
}

/// The result of [`get`], and the position of the object's closing brace, from one pass.
pub(super) fn locate(doc: DocView<'_>, start: usize, name: &str) -> (Option<Entry>, usize) {
    if let Some(located) = doc.locate(start, name) {
        return located;
    }
    let text = doc.text();
    let Some(mut entries) = Entries::new(text, start) else { return (None, text.len()) };
    let found = entries.by_ref().filter(|entry| key_is(&text[entry.key.clone()], name)).last();
    (found, skip_ws(text, entries.at))
}

/// Where a dotted path leads; a number names an array's element, `tags[0]` is taken as `tags.0`.
#[inline]
pub(crate) fn find<'d>(doc: impl Into<DocView<'d>>, path: &str) -> Option<Range<usize>> {
    find_in(doc.into(), path)
}

fn find_in(doc: DocView<'_>, path: &str) -> Option<Range<usize>> {
    let start = skip_ws(doc.text(), 0);
    if is_plain(path) {
        return step(doc, start, path);
    }
    if is_nowhere(path) {
        return None;
    }
    let mut parts = segments(path);
    let first = step(doc, start, &parts.next()?)?;
    parts.try_fold(first, |here, part| step(doc, here.start, &part))
}

/// Whether a path has one part only.
pub(crate) fn is_plain(path: &str) -> bool {
    !path.bytes().any(|c| c == b'.')
}

/// Whether a path has no parts: it is made of dots only.
pub(super) fn is_nowhere(path: &str) -> bool {
    !path.is_empty() && path.bytes().all(|c| c == b'.')
}

/// The parts of a dotted path. Empty parts count but at the end, as in Java.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    path.trim_end_matches('.').split('.').map(Cow::Borrowed)
}

pub(super) fn step(doc: DocView<'_>, start: usize, part: &str) -> Option<Range<usize>> {
    let text = doc.text();
    match text.get(start)? {
        b'{' => get(doc, start, part).map(|e| e.value),
        b'[' => {
            let wanted: usize = part.parse().ok()?;
            elements(text, start).into_iter().nth(wanted)
        }
        _ => None,
    }
}

/// A key that an object in `text` (valid JSON) has twice, if one has.
pub(crate) fn repeated_key(text: &[u8]) -> Option<String> {
    glance();
    let start = skip_ws(text, 0);
    match text.get(start)? {
        b'{' => {
            let mut seen = std::collections::HashSet::new();
            for entry in Entries::new(text, start)? {
                let key = unescape(&text[entry.key]).unwrap_or_default().into_owned();
                if let Some(inner) = repeated_key(&text[entry.value]) {
                    return Some(inner);
                }
                if !seen.insert(key.clone()) {
                    return Some(key);
                }
            }
            None
        }
        b'[' => elements(text, start).into_iter().find_map(|range| repeated_key(&text[range])),
        _ => None,
    }
}
