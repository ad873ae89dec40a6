//! JSON without a tree: find, splice and check values in raw bytes.
//!
//! A document that nobody touches leaves as the bytes that came in, and a touched one keeps the raw
//! text of every field that was not (number text, escapes, key order). So nothing here builds a DOM:
//! values are byte ranges of the text. Of duplicate keys the last one counts, as in Jackson.
//!
//! Everything here trusts its input to be one valid JSON value: `valid::check` runs once when a document enters a
//! pipeline, and again on what a UDF returns.

pub(crate) mod bracket_path;
pub(crate) mod filter_path;
pub(crate) mod index;
pub(crate) mod java;
pub(crate) mod media;
pub(crate) mod scan;
pub(crate) mod scratch;
pub(crate) mod strict;
pub(crate) mod validate;

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

use crate::engine::deadline::glance;
use crate::json::scan::array;

mod members;

pub(crate) use members::{merge, put_members};

/// First index at or after `i` that is not JSON white space.
pub(crate) fn skip_ws(b: &[u8], mut i: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = b.get(i) {
        i += 1;
    }
    i
}

/// Strings shorter than this are walked; beyond it memchr's start-up is worth its price.
const SHORT: usize = 24;

/// Index just behind the string whose opening quote is at `i`; `None` if it does not end.
pub(crate) fn skip_string(b: &[u8], i: usize) -> Option<usize> {
    let mut at = i + 1;
    let short_end = b.len().min(at + SHORT);
    while at < short_end {
        match b[at] {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    loop {
        let hit = at + memchr2(b'"', b'\\', b.get(at..)?)?;
        if b[hit] == b'"' {
            return Some(hit + 1);
        }
        at = hit + 2;
    }
}

/// Index just behind the value that starts at `i`; `None` if the text ends inside it.
pub(crate) fn skip_value(b: &[u8], i: usize) -> Option<usize> {
    match *b.get(i)? {
        b'"' => skip_string(b, i),
        b'{' | b'[' => {
            let mut depth = 0usize;
            let mut at = i;
            loop {
                match *b.get(at)? {
                    b'"' => {
                        at = skip_string(b, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            let mut at = i;
            while let Some(c) = b.get(at) {
                if matches!(c, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r') {
                    break;
                }
                at += 1;
            }
            (at > i).then_some(at)
        }
    }
}

/// One `"key": value` pair of an object, as ranges of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The key's raw text between its quotes.
    pub(crate) key: Range<usize>,
    /// The value's raw text.
    pub(crate) value: Range<usize>,
}

/// The entries of the object that starts at `at` (its `{`).
pub(crate) struct Entries<'a> {
    text: &'a [u8],
    at: usize,
    done: bool,
}

impl<'a> Entries<'a> {
    /// `None` unless an object starts at `start`.
    pub(crate) fn new(text: &'a [u8], start: usize) -> Option<Self> {
        (text.get(start) == Some(&b'{')).then_some(Self { text, at: start + 1, done: false })
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.done {
            return None;
        }
        let b = self.text;
        let mut at = skip_ws(b, self.at);
        if b.get(at) == Some(&b',') {
            at = skip_ws(b, at + 1);
        }
        if b.get(at) != Some(&b'"') {
            self.at = at;
            self.done = true;
            return None;
        }
        let key_end = skip_string(b, at)?;
        let key = at + 1..key_end - 1;
        at = skip_ws(b, key_end);
        if b.get(at) != Some(&b':') {
            self.done = true;
            return None;
        }
        let start = skip_ws(b, at + 1);
        let end = skip_value(b, start)?;
        self.at = end;
        Some(Entry { key, value: start..end })
    }
}

/// The elements of the array that starts at `start` (its `[`); empty if none does.
pub(crate) fn elements(text: &[u8], start: usize) -> Vec<Range<usize>> {
    if text.get(start) == Some(&b'[') { array::elements(text, start) } else { Vec::new() }
}

/// Whether a raw key (text between the quotes) spells `name`; escapes only ever make a key longer.
pub(crate) fn key_is(raw: &[u8], name: &str) -> bool {
    raw == name.as_bytes()
        || (raw.len() > name.len() && raw.contains(&b'\\') && unescape(raw).is_some_and(|s| s == name))
}

/// The text of a raw string (without its quotes); `None` if an escape is not valid Unicode.
pub(crate) fn unescape(raw: &[u8]) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', raw).is_none() {
        return std::str::from_utf8(raw).ok().map(Cow::Borrowed);
    }
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice::<String>(&quoted).ok().map(Cow::Owned)
}

/// The text of a JSON string value (with its quotes); `None` if `raw` is no string.
pub(crate) fn string(raw: &[u8]) -> Option<Cow<'_, str>> {
    if raw.len() < 2 || raw[0] != b'"' {
        return None;
    }
    unescape(&raw[1..raw.len() - 1])
}

/// `text` as a JSON string with quotes and escapes.
pub(crate) fn quote(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).unwrap_or_else(|_| b"\"\"".to_vec())
}

/// [`quote`] at the end of `out`.
pub(crate) fn write_quoted(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|c| c >= 0x20 && c != b'"' && c != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend(quote(text));
    }
}

/// The value of key `name` in the object that starts at `start`; the last one wins.
pub(crate) fn get(text: &[u8], start: usize, name: &str) -> Option<Entry> {
    locate(text, start, name).0
}

/// What [`get`] finds, and where the object's closing brace is: both from one pass.
fn locate(text: &[u8], start: usize, name: &str) -> (Option<Entry>, usize) {
    if let Some(known) = index::ask(text, start, name) {
        return known;
    }
    let Some(mut entries) = Entries::new(text, start) else { return (None, text.len()) };
    let found = entries.by_ref().filter(|entry| key_is(&text[entry.key.clone()], name)).last();
    (found, skip_ws(text, entries.at))
}

/// Where a dotted path leads; a number names an array's element, `tags[0]` is taken as `tags.0`.
pub(crate) fn find(text: &[u8], path: &str) -> Option<Range<usize>> {
    if let Some((found, _)) = index::recall(text, path) {
        return found.map(|entry| entry.value);
    }
    let start = skip_ws(text, 0);
    if is_plain(path) {
        return step(text, start, path);
    }
    if is_nowhere(path) {
        return None;
    }
    let mut parts = segments(path);
    let first = step(text, start, &parts.next()?)?;
    parts.try_fold(first, |here, part| step(text, here.start, &part))
}

/// Whether a path has one part only.
pub(crate) fn is_plain(path: &str) -> bool {
    !path.bytes().any(|c| c == b'.')
}

/// Whether a path has no parts: it is made of dots only.
fn is_nowhere(path: &str) -> bool {
    !path.is_empty() && path.bytes().all(|c| c == b'.')
}

/// The parts of a dotted path. Empty parts count but at the end, as in Java.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    path.trim_end_matches('.').split('.').map(Cow::Borrowed)
}

fn step(text: &[u8], start: usize, part: &str) -> Option<Range<usize>> {
    match text.get(start)? {
        b'{' => get(text, start, part).map(|e| e.value),
        b'[' => {
            let wanted: usize = part.parse().ok()?;
            elements(text, start).into_iter().nth(wanted)
        }
        _ => None,
    }
}

/// Parts of the longest path that is written: every one may be a level of its own.
pub(crate) const DEEPEST_PATH: usize = 100;

/// Why a path could not be written; the text is OpenSearch's own.
pub(crate) type PathError = String;

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
    /// What is at `range` becomes `with`, which adds no member.
    pub(crate) fn of(range: Range<usize>, with: Vec<u8>) -> Self {
        Self { range, with, added: None }
    }

    fn new(range: Range<usize>, with: &[u8]) -> Self {
        Self::of(range, scratch::copy(with))
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

/// [`change`], done.
///
/// # Errors
/// As [`change`].
pub(crate) fn set(text: &[u8], path: &str, value: &[u8]) -> Result<Vec<u8>, PathError> {
    change(text, path, value).map(|edit| edit.applied(text))
}

/// The change that sets the value at the dotted `path` to the raw JSON `value`; missing parents are made.
///
/// # Errors
/// With OpenSearch's words when a parent of the path is neither an object nor an array.
pub(crate) fn change(text: &[u8], path: &str, value: &[u8]) -> Result<Edit, PathError> {
    if path.is_empty() {
        return Err("path cannot be null nor empty".to_owned());
    }
    if is_nowhere(path) {
        return Err(format!("path [{path}] is not valid"));
    }
    let here = skip_ws(text, 0);
    let known = index::recall(text, path);
    if known.is_some() || is_plain(path) && text.get(here) == Some(&b'{') {
        return Ok(match known.unwrap_or_else(|| locate(text, here, path)) {
            (Some(entry), _) => Edit::new(entry.value, value),
            (None, end) => insertion(text, here, end, path, value),
        });
    }
    change_at(text, path, &segments(path).take(DEEPEST_PATH + 1).collect::<Vec<_>>(), value)
}

/// [`change`] for a path by its parts.
///
/// # Errors
/// As [`change`].
pub(crate) fn change_at(text: &[u8], path: &str, parts: &[Cow<'_, str>], value: &[u8]) -> Result<Edit, PathError> {
    if parts.len() > DEEPEST_PATH {
        return Err(format!("the path has more than {DEEPEST_PATH} parts"));
    }
    let mut here = skip_ws(text, 0);
    for (i, part) in parts.iter().enumerate() {
        match text.get(here) {
            Some(b'{') => match locate(text, here, part) {
                (Some(entry), _) if i + 1 == parts.len() => return Ok(Edit::new(entry.value, value)),
                (Some(entry), _) if text[entry.value.start] == b'n' => {
                    let next = &parts[i + 1];
                    return Err(if i + 2 == parts.len() {
                        format!("cannot set [{next}] with null parent as part of path [{path}]")
                    } else {
                        format!("cannot resolve [{next}] from null as part of path [{path}]")
                    });
                }
                (Some(entry), _) => here = entry.value.start,
                (None, end) => return Ok(insertion(text, here, end, part, &nest(&parts[i + 1..], value))),
            },
            Some(b'[') => {
                let list = elements(text, here);
                let index: i32 = part.parse().map_err(|_| {
                    format!("[{part}] is not an integer, cannot be used as an index as part of path [{path}]")
                })?;
                let Some(range) = usize::try_from(index).ok().and_then(|index| list.get(index).cloned()) else {
                    return Err(format!(
                        "[{index}] is out of bounds for array with length [{}] as part of path [{path}]",
                        list.len()
                    ));
                };
                if i + 1 == parts.len() {
                    return Ok(Edit::new(range, value));
                }
                here = range.start;
            }
            _ => {
                let end = skip_value(text, here).unwrap_or(text.len());
                let found = java::type_name(&text[here..end]);
                return Err(if i + 1 == parts.len() {
                    format!("cannot set [{part}] with parent object of type [{found}] as part of path [{path}]")
                } else {
                    format!("cannot resolve [{part}] from object of type [{found}] as part of path [{path}]")
                });
            }
        }
    }
    Ok(Edit::new(0..0, b""))
}

/// `{"a":{"b":value}}` for the parts `a`, `b`; just `value` without parts.
fn nest(parts: &[Cow<'_, str>], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.push(b'{');
        out.extend(quote(part));
        out.push(b':');
    }
    out.extend_from_slice(value);
    out.extend(std::iter::repeat_n(b'}', parts.len()));
    out
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

/// `text` with a new last member in the object that starts at `start`.
pub(crate) fn insert_member(text: &[u8], start: usize, key: &str, value: &[u8]) -> Vec<u8> {
    let end = skip_value(text, start).unwrap_or(text.len());
    insertion(text, start, end - 1, key, value).applied(text)
}

/// The same as a change, for an object whose closing brace is at `end`.
fn insertion(text: &[u8], start: usize, end: usize, key: &str, value: &[u8]) -> Edit {
    let mut with = scratch::text(key.len() + value.len() + 4);
    if skip_ws(text, start + 1) != end {
        with.push(b',');
    }
    let from = with.len() + 1;
    write_quoted(key, &mut with);
    let added = from..with.len() - 1;
    with.push(b':');
    with.extend_from_slice(value);
    let trimmed = value.trim_ascii().len() == value.len();
    Edit { range: end..end, with, added: trimmed.then_some(added) }
}

/// `text` without the value at the dotted `path`; `None` if nothing is there.
pub(crate) fn remove(text: &[u8], path: &str) -> Option<Vec<u8>> {
    if is_nowhere(path) {
        return None;
    }
    let parts: Vec<_> = segments(path).collect();
    let (last, parents) = parts.split_last()?;
    let mut here = skip_ws(text, 0);
    for part in parents {
        here = step(text, here, part)?.start;
    }
    match text.get(here)? {
        b'{' => remove_member(text, here, last),
        b'[' => {
            let list = elements(text, here);
            let range = list.get(last.parse::<usize>().ok()?)?.clone();
            Some(splice(text, with_comma(text, range), b""))
        }
        _ => None,
    }
}

/// `text` without any member `key` of the object that starts at `start` (duplicates go too); `None` if there is none.
pub(crate) fn remove_member(text: &[u8], start: usize, key: &str) -> Option<Vec<u8>> {
    let entry = get(text, start, key)?;
    let member = entry.key.start - 1..entry.value.end;
    // The last of them was found: are there others?
    let mut entries = Entries::new(text, start)?;
    let first = entries.by_ref().find(|entry| key_is(&text[entry.key.clone()], key))?;
    if first == entry {
        return Some(splice(text, with_comma(text, member), b""));
    }
    let kept: Vec<&[u8]> = Entries::new(text, start)?
        .filter(|entry| !key_is(&text[entry.key.clone()], key))
        .map(|entry| &text[entry.key.start - 1..entry.value.end])
        .collect();
    let end = skip_value(text, start)?;
    Some(splice(text, start + 1..end - 1, &kept.join(&b',')))
}

/// `range` widened over the one comma that has to go with it.
fn with_comma(text: &[u8], range: Range<usize>) -> Range<usize> {
    let after = skip_ws(text, range.end);
    if text.get(after) == Some(&b',') {
        return range.start..skip_ws(text, after + 1);
    }
    let mut before = range.start;
    while before > 0 && matches!(text[before - 1], b' ' | b'\t' | b'\n' | b'\r') {
        before -= 1;
    }
    if before > 0 && text[before - 1] == b',' { before - 1..range.end } else { range }
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

#[cfg(test)]
mod tests;
