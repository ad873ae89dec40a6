//! Violations of HTTP/1.1 and of limits, and the exception that Python sees.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pyo3::create_exception!(
    _wasm,
    HeadError,
    PyValueError,
    "A message that is not well-formed, or over a limit. Arguments: status, reason, kind."
);

/// The fault of a message.
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
