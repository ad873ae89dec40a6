//! The smallest parts of a JSON text: where strings, values and members end, and what their text says.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

/// First index at or after `i` that is not JSON white space.
pub(crate) fn skip_ws(b: &[u8], mut i: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = b.get(i) {
        i += 1;
    }
    i
}

/// `end` without the white space before it.
pub(crate) fn trimmed(text: &[u8], mut end: usize) -> usize {
    while end > 0 && matches!(text[end - 1], b' ' | b'\t' | b'\n' | b'\r') {
        end -= 1;
    }
    end
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
    pub(super) at: usize,
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
