//! Where a message's body ends, by its head (RFC 9112, section 6), and whether its connection stays.

use super::fields::{Fields, Role, tokens};
use super::violation::Violation;

/// Maximum number of decimal digits of a `Content-Length`: it fits 63 bits.
const DIGITS: usize = 18;

/// The framing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The head says nothing of it.
    Unsaid,
    Length(u64),
    Chunked,
}

/// The framing that the fields say. Whatever two readers could read in two ways is refused.
pub(crate) fn framing(fields: &Fields, minor_version: u8) -> Result<Framing, Violation> {
    let says_length = |role| matches!(role, Role::ContentLength | Role::TransferEncoding);
    if fields.list().iter().any(|field| says_length(field.role) && fields.is_padded(field)) {
        // Some take "chunked" with a tab behind it for another coding.
        return Err(Violation::Malformed("white space behind the framing"));
    }
    let mut lengths = fields.of(Role::ContentLength);
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(Violation::Malformed("more than one Content-Length"));
    }
    if fields.has(Role::TransferEncoding) {
        if length.is_some() {
            return Err(Violation::Malformed("both Content-Length and Transfer-Encoding"));
        }
        return chunked(fields, minor_version);
    }
    length.map_or(Ok(Framing::Unsaid), content_length)
}

fn content_length(value: &[u8]) -> Result<Framing, Violation> {
    if value.is_empty() || value.len() > DIGITS || !value.iter().all(u8::is_ascii_digit) {
        return Err(Violation::Malformed("a Content-Length that is no number"));
    }
    Ok(Framing::Length(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))))
}

fn chunked(fields: &Fields, minor_version: u8) -> Result<Framing, Violation> {
    if minor_version == 0 {
        return Err(Violation::Malformed("Transfer-Encoding in HTTP/1.0"));
    }
    if fields.of(Role::TransferEncoding).count() > 1 {
        return Err(Violation::Malformed("more than one Transfer-Encoding"));
    }
    let value = fields.of(Role::TransferEncoding).next().unwrap_or_default();
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let codings: Vec<&[u8]> = tokens(value).collect();
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    match codings.split_last() {
        Some((last, before)) if is_chunked(last) && !before.is_empty() && !before.iter().any(is_chunked) => {
            Err(Violation::Coding)
        }
        _ => Err(Violation::Malformed("chunked is not the last transfer coding, or not once")),
    }
}

/// Whether the connection stays open behind the message.
pub(crate) fn keep_alive(fields: &Fields, minor_version: u8) -> bool {
    let says = |word: &[u8]| fields.connection_options().any(|option| option.eq_ignore_ascii_case(word));
    !says(b"close") && (minor_version == 1 || says(b"keep-alive"))
}
