//! JSON without what the cluster passes over: a byte order mark, and comments.

use std::borrow::Cow;

use memchr::{memchr, memmem};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::json::lex::skip_string;

const MARK: &[u8] = b"\xef\xbb\xbf";

/// `text` without a byte order mark at its beginning and without comments, if it has any, line for line.
#[pyfunction]
pub(crate) fn plain_json<'py>(py: Python<'py>, text: PyBackedBytes) -> Option<Bound<'py, PyBytes>> {
    match plain(&text) {
        Cow::Borrowed(same) if same.len() == text.len() => None,
        plain => Some(PyBytes::new(py, &plain)),
    }
}

/// The same, as it is where there are none. What is no JSON stays none.
///
/// A comment of several lines leaves no line end behind, so that what is before and behind it is one line.
pub(crate) fn plain(text: &[u8]) -> Cow<'_, [u8]> {
    let text = text.strip_prefix(MARK).unwrap_or(text);
    let mut out: Vec<u8> = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(hit) = text[at..].iter().position(|byte| *byte == b'"' || *byte == b'/') {
        let hit = at + hit;
        if text[hit] == b'"' {
            let Some(end) = skip_string(text, hit) else { break };
            at = end;
            continue;
        }
        let Some(end) = comment_end(text, hit) else { break };
        out.extend_from_slice(&text[from..hit]);
        // What stands before and behind it stays apart.
        out.push(b' ');
        from = end;
        at = end;
    }
    if out.is_empty() && from == 0 {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(&text[from..]);
    Cow::Owned(out)
}

/// The same, owned if anything is left out.
pub(crate) fn plain_copy(text: &[u8]) -> Cow<'_, [u8]> {
    match plain(text) {
        Cow::Borrowed(same) if same.len() < text.len() => Cow::Owned(same.to_vec()),
        plain => plain,
    }
}

/// Where a comment that begins at `at` ends; `None` for none, or one that does not end.
fn comment_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at + 1)? {
        b'*' => memmem::find(&text[at + 2..], b"*/").map(|end| at + 2 + end + 2),
        b'/' => Some(memchr(b'\n', &text[at..]).map_or(text.len(), |end| at + end)),
        _ => None,
    }
}
