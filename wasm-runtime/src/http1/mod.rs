//! HTTP/1.1 messages (RFC 9112) as bytes: heads, chunked bodies, and the header lines of the forwarded message.
//!
//! Two sides use it. Requests of clients are parsed by [`request::RequestParser`], responses of nodes by
//! [`response::ResponseParser`]; `httparse` reads the header fields, everything else that decides where a message ends is here.
//! The rule is strict: a message whose end is not beyond doubt is an error, never a guess. The tolerances are few, and each has
//! its client:
//! - a request target without a leading slash (Java's low-level client sends `DELETE _snapshot/x HTTP/1.1`);
//! - one empty line before a request line (RFC 9112, 2.2: clients that end a body with a line of their own);
//! - a target with characters that are not ASCII, in UTF-8 (clients that do not escape names; the node takes them).
//!
//! Nothing here waits, does I/O, or keeps more of a message than its head.

pub(crate) mod body_buffer;
pub(crate) mod chunked;
mod fields;
mod framing;
mod head_end;
pub(crate) mod request;
pub(crate) mod response;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

pyo3::create_exception!(
    _wasm,
    HeadError,
    PyValueError,
    "A message that is not well-formed, or over a limit. Arguments: status, reason, kind."
);

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Not HTTP/1.x, or not beyond doubt. The text names the rule, never what was sent: that may hold a secret.
    Malformed(&'static str),
    /// A request line of more than so many bytes.
    LongLine(usize),
    /// Header fields of more than so many bytes.
    LongHeaders(usize),
    /// A transfer coding that is not `chunked`.
    Coding,
    /// An expectation that is not `100-continue`.
    Expectation,
    /// HTTP of another major version.
    Version,
}

impl From<Violation> for PyErr {
    fn from(violation: Violation) -> Self {
        let (status, kind, reason) = match violation {
            Violation::Malformed(reason) => (400, "malformed", reason.to_owned()),
            Violation::LongLine(limit) => (400, "line", format!("An HTTP line is larger than {limit} bytes.")),
            Violation::LongHeaders(limit) => (400, "headers", format!("HTTP header is larger than {limit} bytes.")),
            Violation::Coding => (501, "coding", "the only transfer coding is chunked".to_owned()),
            Violation::Expectation => (417, "expectation", "the only expectation is 100-continue".to_owned()),
            Violation::Version => (505, "version", "the only versions are HTTP/1.0 and HTTP/1.1".to_owned()),
        };
        HeadError::new_err((status, reason, kind))
    }
}

/// Adds the classes to the module.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<body_buffer::BodyBuffer>()?;
    m.add_class::<chunked::ChunkedDecoder>()?;
    m.add_class::<request::RequestHead>()?;
    m.add_class::<request::RequestParser>()?;
    m.add_class::<response::ResponseHead>()?;
    m.add_class::<response::ResponseParser>()?;
    m.add("HeadError", m.py().get_type::<HeadError>())
}

/// Calls `read` with the bytes `offset..end` of an object with a buffer; `end`: of the buffer, where there is none.
fn with_bytes<T>(
    data: &Bound<'_, PyAny>,
    offset: usize,
    end: Option<usize>,
    read: impl FnOnce(&[u8]) -> PyResult<T>,
) -> PyResult<T> {
    let part = |all: &[u8]| (offset <= end.unwrap_or(all.len()) && end.unwrap_or(offset) <= all.len()).then_some(());
    let outside = || PyIndexError::new_err("the range is outside the buffer");
    if let Ok(bytes) = data.cast::<PyBytes>() {
        let all = bytes.as_bytes();
        part(all).ok_or_else(outside)?;
        return read(&all[offset..end.unwrap_or(all.len())]);
    }
    let buffer = PyBuffer::<u8>::get(data)?;
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err("the buffer is not contiguous"));
    }
    // SAFETY: the export keeps the memory where it is, and nobody writes it: `read` holds the interpreter's lock and calls
    // nothing of Python that could.
    let all = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>().cast_const(), buffer.len_bytes()) };
    part(all).ok_or_else(outside)?;
    read(&all[offset..end.unwrap_or(all.len())])
}
