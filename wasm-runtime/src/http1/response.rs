//! Responses of nodes.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use super::buffer::with_bytes;
use super::fields::{Fields, Role, push_line};
use super::framing::{Framing, framing, keep_alive};
use super::head_end::HeadEnd;
use super::request::{minor_version, text};
use super::violation::Violation;

/// Bytes of the longest status line.
const MAX_STATUS_LINE: usize = 8190;

/// Parses the heads of the responses on one connection, one after the other.
#[pyclass(module = "headrace_pipelines._wasm")]
pub(crate) struct ResponseParser {
    max_headers_bytes: usize,
    max_headers: usize,
    end: HeadEnd,
}

#[pymethods]
impl ResponseParser {
    /// `max_headers_bytes`: of all header lines, without their ends; `max_headers`: how many there may be.
    #[new]
    fn new(max_headers_bytes: usize, max_headers: usize) -> Self {
        Self { max_headers_bytes, max_headers, end: HeadEnd::default() }
    }

    /// The head that the bytes `offset..end` of `data` begin with, or `None` as long as it is not whole.
    ///
    /// An interim one (1xx) is given like any other. `bodiless`: the response to HEAD. Until there is one every call has to
    /// have the same bytes, and more. Raises HeadError, after which nothing more can be read of the connection.
    #[pyo3(signature = (data, offset = 0, end = None, *, bodiless = false))]
    fn parse(
        &mut self,
        data: &Bound<'_, PyAny>,
        offset: usize,
        end: Option<usize>,
        bodiless: bool,
    ) -> PyResult<Option<ResponseHead>> {
        with_bytes(data, offset, end, |bytes| Ok(self.head(bytes, bodiless)?))
    }
}

impl ResponseParser {
    fn head(&mut self, data: &[u8], bodiless: bool) -> Result<Option<ResponseHead>, Violation> {
        let Some((size, first)) = self.end.find(data, MAX_STATUS_LINE, self.max_headers_bytes)? else {
            return Ok(None);
        };
        let head = ResponseHead::parse(&data[..size], first, self.max_headers, bodiless)?;
        if head.fields.counted(first) > self.max_headers_bytes {
            return Err(Violation::LongHeaders(self.max_headers_bytes));
        }
        Ok(Some(head))
    }
}

/// The head of a response.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct ResponseHead {
    fields: Fields,
    status: u16,
    /// Where the reason ends: behind the first line, without its end.
    line: usize,
    minor_version: u8,
    framing: Framing,
    bodiless: bool,
    keep_alive: bool,
}

impl ResponseHead {
    fn parse(head: &[u8], first: usize, max_headers: usize, bodiless: bool) -> Result<Self, Violation> {
        let (minor_version, status) = status_line(&head[..first - 2])?;
        let fields = Fields::parse(head, first, max_headers)?;
        let framing = framing(&fields, minor_version)?;
        let bodiless = bodiless || status < 200 || status == 204 || status == 304;
        let keep_alive = keep_alive(&fields, minor_version);
        if status < 200 && (status == 101 || framing != Framing::Unsaid || !keep_alive) {
            return Err(Violation::Malformed("an interim response that is the last one, or has a body"));
        }
        Ok(Self { fields, status, line: first - 2, minor_version, framing, bodiless, keep_alive })
    }

    fn reason_bytes(&self) -> &[u8] {
        self.fields.bytes().get(b"HTTP/1.1 200 ".len()..self.line).unwrap_or_default()
    }

    /// Appends the head for a client that speaks HTTP/1.1 and stays; `more`: header lines of ours.
    fn push_client_head(&self, head: &mut Vec<u8>, length: u64, more: &[u8]) {
        head.extend_from_slice(b"HTTP/1.1 ");
        head.extend_from_slice(itoa::Buffer::new().format(self.status).as_bytes());
        head.push(b' ');
        head.extend_from_slice(self.reason_bytes());
        head.extend_from_slice(b"\r\n");
        self.push_lines(head, None);
        head.extend_from_slice(more);
        if !matches!(self.status, 204 | 304) {
            push_line(head, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        head.extend_from_slice(b"\r\n");
    }

    /// The header lines for the client, appended to `lines`.
    fn push_lines(&self, lines: &mut Vec<u8>, media_type: Option<&[u8]>) {
        let named = self.fields.has(Role::Connection);
        for field in self.fields.list() {
            let (name, value) = (self.fields.name(field), self.fields.value(field));
            match (field.role, media_type) {
                (Role::Connection | Role::HopByHop | Role::TransferEncoding | Role::ContentLength, _) => {}
                _ if named && self.fields.named_by_connection(field) => {}
                (Role::ContentType, Some(media)) if value.starts_with(b"application/json") => {
                    push_line(lines, name, media);
                }
                _ => push_line(lines, name, value),
            }
        }
    }
}

#[pymethods]
impl ResponseHead {
    #[getter]
    fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase; it may be empty.
    #[getter]
    fn reason<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        text(py, self.reason_bytes())
    }

    #[getter]
    fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// Whether a final response follows.
    #[getter]
    fn interim(&self) -> bool {
        self.status < 200
    }

    /// Bytes of the body that follows; `None` where its end is not known, or has to be found in its chunks.
    ///
    /// What a response to HEAD says of its length is in its headers.
    #[getter]
    fn length(&self) -> Option<u64> {
        match self.framing {
            _ if self.bodiless => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::Unsaid => None,
        }
    }

    /// The length that the head declares, whether a body follows or not.
    #[getter]
    fn declared_length(&self) -> Option<u64> {
        if let Framing::Length(length) = self.framing { Some(length) } else { None }
    }

    /// Whether the body that follows is chunked.
    #[getter]
    fn chunked(&self) -> bool {
        !self.bodiless && self.framing == Framing::Chunked
    }

    /// Whether the body ends with the connection.
    #[getter]
    fn until_close(&self) -> bool {
        !self.bodiless && self.framing == Framing::Unsaid
    }

    /// Whether the connection stays open behind the response.
    #[getter]
    fn keep_alive(&self) -> bool {
        self.keep_alive && !self.until_close()
    }

    /// Bytes that the head took, with the empty line behind it.
    #[getter]
    fn size(&self) -> usize {
        self.fields.bytes().len()
    }

    /// The value of the first header of that name, in any case.
    fn header<'py>(&self, py: Python<'py>, name: &[u8]) -> Option<Bound<'py, PyBytes>> {
        self.fields.get(name).map(|value| PyBytes::new(py, value))
    }

    /// All headers as they came.
    #[getter]
    fn raw_headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.fields.pairs(py)
    }

    /// The header lines as they are sent back to a client: without those of the node's connection and the framing.
    ///
    /// `media_type` stands for `application/json`, where it is given.
    #[pyo3(signature = (media_type = None))]
    fn client_lines<'py>(&self, py: Python<'py>, media_type: Option<&[u8]>) -> Bound<'py, PyBytes> {
        let mut lines = Vec::with_capacity(self.size());
        self.push_lines(&mut lines, media_type);
        PyBytes::new(py, &lines)
    }

    /// The whole head for a client that speaks HTTP/1.1 and stays, of a response with a body of `length` bytes; `more`: header
    /// lines of ours, each with its end.
    #[pyo3(signature = (length, more = None))]
    fn client_head<'py>(&self, py: Python<'py>, length: u64, more: Option<&[u8]>) -> Bound<'py, PyBytes> {
        let more = more.unwrap_or_default();
        let mut head = Vec::with_capacity(self.size() + 64 + more.len());
        self.push_client_head(&mut head, length, more);
        PyBytes::new(py, &head)
    }

    /// The same with the body.
    #[pyo3(signature = (body, more = None))]
    fn client_message<'py>(&self, py: Python<'py>, body: &[u8], more: Option<&[u8]>) -> Bound<'py, PyBytes> {
        let more = more.unwrap_or_default();
        let mut message = Vec::with_capacity(self.size() + 64 + more.len() + body.len());
        self.push_client_head(&mut message, body.len() as u64, more);
        message.extend_from_slice(body);
        PyBytes::new(py, &message)
    }

    fn __repr__(&self) -> String {
        format!("<ResponseHead {} {} bytes>", self.status, self.size())
    }
}

/// Minor version and status of a status line, without its end.
fn status_line(line: &[u8]) -> Result<(u8, u16), Violation> {
    let malformed = Violation::Malformed("the status line is not well-formed");
    let (version, rest) = line.split_at_checked(8).ok_or(malformed)?;
    let minor_version = minor_version(version)?;
    let [b' ', code @ ..] = rest else { return Err(malformed) };
    let (code, reason) = code.split_at_checked(3).ok_or(malformed)?;
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=0x7e | 0x80..);
    if !code.iter().all(u8::is_ascii_digit) || code[0] == b'0' || !reason.iter().all(is_text) {
        return Err(malformed);
    }
    if !reason.is_empty() && reason[0] != b' ' {
        return Err(malformed);
    }
    Ok((minor_version, code.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))))
}
