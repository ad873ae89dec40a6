//! A document's text as it is judged and stored where a final pipeline has to hold: one that every reader takes for the same.

use std::borrow::Cow;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::document::Kind;
use crate::error::Fault;
use crate::json::scan::common_prefix;
use crate::json::skip_ws;
use crate::json::strict::{Refusal, canonical};
use crate::json::validate::{Invalid, MAX_DEPTH};

/// The text itself, if it is its canonical form but for white space; else its value written anew, without a byte order mark,
/// comments and escapes that plain characters need not.
///
/// # Errors
/// [`Refusal`] for what is not one JSON value that every reader takes for the same.
pub(crate) fn unambiguous(text: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    let written = canonical(text, MAX_DEPTH)?;
    Ok(if spaced(text, &written) { Cow::Borrowed(text) } else { Cow::Owned(written) })
}

/// The same of a document, which is an object.
///
/// # Errors
/// The fault of a document that cannot be read.
pub(crate) fn document(text: &[u8]) -> Result<Cow<'_, [u8]>, Fault> {
    let wrong = |Refusal { reason, at }| Kind::Document.parse_error(&Invalid(format!("{reason} at byte {at}")));
    let text = unambiguous(text).map_err(wrong)?;
    match text.get(skip_ws(&text, 0)) {
        Some(b'{') => Ok(text),
        _ => Err(Kind::Document.parse_error(&Invalid("not a JSON object".to_owned()))),
    }
}

/// Whether `text` is `canonical` with white space between its tokens.
fn spaced(text: &[u8], canonical: &[u8]) -> bool {
    let (mut at, mut of) = (0, 0);
    loop {
        let same = common_prefix(&text[at..], &canonical[of..]);
        (at, of) = (at + same, of + same);
        match text.get(at) {
            None => return of == canonical.len(),
            // White space within strings stands in both, so that it is never what only one of them has.
            Some(b' ' | b'\t' | b'\n' | b'\r') => at += 1,
            Some(_) => return false,
        }
    }
}

/// [`unambiguous`] for Python; `ValueError` says what is wrong and where.
#[pyfunction]
pub(crate) fn unambiguous_json(py: Python<'_>, text: PyBackedBytes) -> PyResult<Bound<'_, PyBytes>> {
    match py.detach(|| unambiguous(&text).map(|text| text.into_owned())) {
        Ok(text) => Ok(PyBytes::new(py, &text)),
        Err(Refusal { reason, at }) => Err(PyValueError::new_err(format!("{reason} at byte {at}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_stays() {
        for text in ["{}", " {\n\"a\" :\t[1, 2.50 ,\"x  y\"]\r\n} ", r#"{"a":"\n\"\\"}"#, r#"{ "é" : "ü " }"#] {
            assert!(matches!(unambiguous(text.as_bytes()), Ok(Cow::Borrowed(_))), "{text}");
        }
    }

    #[test]
    fn what_readers_may_take_otherwise_is_written_anew() {
        for (text, plain) in [
            ("\u{feff}{\"a\":1}", r#"{"a":1}"#),
            ("{/* x */\"a\" : 1 // y\n}", r#"{"a":1}"#),
            (r#"{"\u0061":"tru\u0065\/"}"#, r#"{"a":"true/"}"#),
            (r#"{"a":" \u0020"}"#, r#"{"a":"  "}"#),
        ] {
            assert_eq!(unambiguous(text.as_bytes()).unwrap(), plain.as_bytes(), "{text}");
        }
    }

    #[test]
    fn what_has_no_one_meaning_is_refused() {
        let bad: [&[u8]; 8] = [
            b"{\"a\":1,\"a\":2}",
            b"{\"a\":1,\"\\u0061\":2}",
            b"{\"a\":\"\xc1\xa1\"}",
            b"{\"a\":\"\\ud800\"}",
            b"{a:1}",
            b"{\"a\":1} {}",
            b"{\0\"\0",
            b"[1]",
        ];
        for text in bad {
            let fault = document(text).unwrap_err();
            assert_eq!((fault.status, &*fault.kind), (400, "mapper_parsing_exception"), "{fault:?}");
        }
    }
}
