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
mod buffer;
pub(crate) mod chunked;
mod fields;
mod framing;
mod head_end;
pub(crate) mod request;
pub(crate) mod response;
mod violation;

use pyo3::prelude::*;

/// Adds the classes to the module.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<body_buffer::BodyBuffer>()?;
    m.add_class::<chunked::ChunkedDecoder>()?;
    m.add_class::<request::RequestHead>()?;
    m.add_class::<request::RequestParser>()?;
    m.add_class::<response::ResponseHead>()?;
    m.add_class::<response::ResponseParser>()?;
    m.add("HeadError", m.py().get_type::<violation::HeadError>())
}
