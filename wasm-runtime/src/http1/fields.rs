//! The header fields of a head: where they are in its bytes, and which of them the proxy has to know.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::violation::Violation;

/// The admin token's header, which is never sent on. `headrace.http1.headers.ADMIN_HEADER` is the same.
const ADMIN: &[u8] = b"x-headrace-admin-token";
/// Heads with more fields than this take a second look with room on the heap.
const USUAL: usize = 32;

/// The meaning of a field for the proxy, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Unrelated,
    Connection,
    /// Another hop-by-hop field (RFC 9110, 7.6.1).
    HopByHop,
    TransferEncoding,
    ContentLength,
    ContentType,
    ContentEncoding,
    Host,
    Expect,
    ForwardedFor,
    Admin,
}

impl Role {
    fn of(name: &[u8]) -> Self {
        let is = |expected: &[u8]| name.eq_ignore_ascii_case(expected);
        match name.len() {
            2 if is(b"te") => Self::HopByHop,
            4 if is(b"host") => Self::Host,
            6 if is(b"expect") => Self::Expect,
            7 if is(b"trailer") || is(b"upgrade") => Self::HopByHop,
            10 if is(b"connection") => Self::Connection,
            10 if is(b"keep-alive") => Self::HopByHop,
            12 if is(b"content-type") => Self::ContentType,
            14 if is(b"content-length") => Self::ContentLength,
            15 if is(b"x-forwarded-for") => Self::ForwardedFor,
            16 if is(b"content-encoding") => Self::ContentEncoding,
            16 if is(b"proxy-connection") => Self::HopByHop,
            17 if is(b"transfer-encoding") => Self::TransferEncoding,
            18 if is(b"proxy-authenticate") => Self::HopByHop,
            19 if is(b"proxy-authorization") => Self::HopByHop,
            22 if is(ADMIN) => Self::Admin,
            _ => Self::Unrelated,
        }
    }
}

/// Where a field is in the head's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    name: (u32, u32),
    value: (u32, u32),
    pub(crate) role: Role,
}

/// The header fields of a head, in order, with the bytes that they are in.
#[derive(Debug)]
pub(crate) struct Fields {
    bytes: Box<[u8]>,
    list: Vec<Field>,
}

impl Fields {
    /// Parses the fields of a head of which `first` is the size of its first line.
    pub(crate) fn parse(head: &[u8], first: usize, most: usize) -> Result<Self, Violation> {
        let mut few = [httparse::EMPTY_HEADER; USUAL];
        let parsed = match httparse::parse_headers(&head[first..], &mut few[..USUAL.min(most)]) {
            Err(httparse::Error::TooManyHeaders) if most > USUAL => {
                let mut many = vec![httparse::EMPTY_HEADER; most];
                return Self::collect(head, httparse::parse_headers(&head[first..], &mut many));
            }
            parsed => parsed,
        };
        Self::collect(head, parsed)
    }

    fn collect(head: &[u8], parsed: httparse::Result<(usize, &[httparse::Header<'_>])>) -> Result<Self, Violation> {
        let headers = match parsed {
            Ok(httparse::Status::Complete((_, headers))) => headers,
            Ok(httparse::Status::Partial) => return Err(Violation::Malformed("the head has no end")),
            Err(httparse::Error::HeaderName) => return Err(Violation::Malformed("a header's name is not a token")),
            Err(httparse::Error::HeaderValue) => {
                return Err(Violation::Malformed("a header's value has a control byte"));
            }
            Err(httparse::Error::TooManyHeaders) => return Err(Violation::Malformed("too many headers")),
            Err(_) => return Err(Violation::Malformed("a header line is not well-formed")),
        };
        let span = |part: &[u8]| {
            // Inside the head, which is shorter than 4 GiB; an empty value may be anywhere.
            let start = (part.as_ptr() as usize).saturating_sub(head.as_ptr() as usize);
            if part.is_empty() { (0, 0) } else { (start as u32, (start + part.len()) as u32) }
        };
        let list = headers
            .iter()
            .map(|header| Field {
                name: span(header.name.as_bytes()),
                value: span(header.value),
                role: Role::of(header.name.as_bytes()),
            })
            .collect();
        Ok(Self { bytes: head.into(), list })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn list(&self) -> &[Field] {
        &self.list
    }

    pub(crate) fn name(&self, field: &Field) -> &[u8] {
        &self.bytes[field.name.0 as usize..field.name.1 as usize]
    }

    pub(crate) fn value(&self, field: &Field) -> &[u8] {
        &self.bytes[field.value.0 as usize..field.value.1 as usize]
    }

    /// Whether white space follows the value of a field.
    pub(crate) fn is_padded(&self, field: &Field) -> bool {
        field.value != (0, 0) && self.bytes.get(field.value.1 as usize) != Some(&b'\r')
    }

    /// The fields of a role.
    pub(crate) fn of(&self, role: Role) -> impl Iterator<Item = &[u8]> {
        self.list.iter().filter(move |field| field.role == role).map(|field| self.value(field))
    }

    /// Whether there is a field of a role.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.list.iter().any(|field| field.role == role)
    }

    /// The value of the first field of that name, in any case.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.list.iter().find(|field| self.name(field).eq_ignore_ascii_case(name)).map(|field| self.value(field))
    }

    /// Names and values as Python has them.
    pub(crate) fn pairs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let pair = |field: &Field| (PyBytes::new(py, self.name(field)), PyBytes::new(py, self.value(field)));
        PyTuple::new(py, self.list.iter().map(pair).collect::<Vec<_>>())
    }

    /// Tokens of the `Connection` fields, without white space.
    pub(crate) fn connection_options(&self) -> impl Iterator<Item = &[u8]> {
        self.of(Role::Connection).flat_map(tokens)
    }

    /// Whether a `Connection` field names this one as hop-by-hop.
    pub(crate) fn named_by_connection(&self, field: &Field) -> bool {
        let name = self.name(field);
        self.connection_options().any(|option| option.eq_ignore_ascii_case(name) && !is_always_named(option))
    }

    /// The bytes that a node counts against its limit: names and values with what is between, without line ends.
    pub(crate) fn counted(&self, first: usize) -> usize {
        // Each line has an end of two bytes, and so has the empty one.
        self.bytes.len() - first - 2 * (self.list.len() + 1)
    }
}

/// What `Connection` says of the connection itself.
fn is_always_named(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive")
}

/// The tokens of a list (RFC 9110, 5.6.1), without white space and without empty ones.
pub(crate) fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Appends a header line.
pub(crate) fn push_line(lines: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    lines.extend_from_slice(name);
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}
