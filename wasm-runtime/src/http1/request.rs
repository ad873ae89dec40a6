//! Requests of clients.

use std::borrow::Cow;

use memchr::memchr;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyFrozenSet, PyString, PyTuple};

use super::buffer::with_bytes;
use super::fields::{Fields, Role, push_line};
use super::framing::{Framing, framing, keep_alive};
use super::head_end::HeadEnd;
use super::violation::Violation;

/// The methods that a node knows, but for CONNECT, which asks for a tunnel.
const METHODS: [&[u8]; 8] = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE"];

/// Parses the heads of one connection's requests, one after the other.
#[pyclass(module = "headrace_pipelines._wasm")]
pub(crate) struct RequestParser {
    max_line: usize,
    max_headers_bytes: usize,
    max_headers: usize,
    end: HeadEnd,
}

#[pymethods]
impl RequestParser {
    /// `max_request_line`: bytes of a request line, without its end; `max_headers_bytes`: of all header lines, without
    /// their ends; `max_headers`: how many header lines there may be.
    #[new]
    fn new(max_request_line: usize, max_headers_bytes: usize, max_headers: usize) -> Self {
        Self { max_line: max_request_line, max_headers_bytes, max_headers, end: HeadEnd::default() }
    }

    /// The head that the bytes `offset..end` of `data` begin with, or `None` as long as it is not whole.
    ///
    /// Until then every call has to have the same bytes, and more; where in `data` they are may differ. Raises
    /// HeadError, after which nothing more can be read of the connection.
    #[pyo3(signature = (data, offset = 0, end = None))]
    fn parse(&mut self, data: &Bound<'_, PyAny>, offset: usize, end: Option<usize>) -> PyResult<Option<RequestHead>> {
        with_bytes(data, offset, end, |bytes| Ok(self.head(bytes)?))
    }
}

impl RequestParser {
    fn head(&mut self, data: &[u8]) -> Result<Option<RequestHead>, Violation> {
        let skipped = if data.starts_with(b"\r\n") { 2 } else { 0 };
        if data == b"\r" {
            return Ok(None);
        }
        let data = &data[skipped..];
        let Some((size, first)) = self.end.find(data, self.max_line, self.max_headers_bytes)? else {
            // What cannot become a request is not waited for: a TLS client on a plain port hears so at once.
            return if starts_with_method(data) { Ok(None) } else { Err(Violation::Malformed("an unknown method")) };
        };
        let head = RequestHead::parse(&data[..size], first, self.max_headers, skipped)?;
        if head.fields.counted(first) > self.max_headers_bytes {
            return Err(Violation::LongHeaders(self.max_headers_bytes));
        }
        Ok(Some(head))
    }
}

/// The head of a request.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct RequestHead {
    fields: Fields,
    method: &'static [u8],
    target: Box<[u8]>,
    minor_version: u8,
    framing: Framing,
    keep_alive: bool,
    skipped: usize,
}

impl RequestHead {
    fn parse(head: &[u8], first: usize, max_headers: usize, skipped: usize) -> Result<Self, Violation> {
        let (method, target, minor_version) = request_line(&head[..first - 2])?;
        if target == b"*" && method != b"OPTIONS" {
            return Err(Violation::Malformed("a target that only OPTIONS has"));
        }
        let target = origin_form(target)?.into();
        let fields = Fields::parse(head, first, max_headers)?;
        match fields.of(Role::Host).count() {
            0 if minor_version == 1 => return Err(Violation::Malformed("no Host")),
            0 | 1 => {}
            _ => return Err(Violation::Malformed("more than one Host")),
        }
        let framing = framing(&fields, minor_version)?;
        if minor_version == 1 && fields.of(Role::Expect).any(|value| !value.eq_ignore_ascii_case(b"100-continue")) {
            return Err(Violation::Expectation);
        }
        let keep_alive = keep_alive(&fields, minor_version);
        Ok(Self { fields, method, target, minor_version, framing, keep_alive, skipped })
    }

    /// Appends the header lines for a node.
    fn push_forwarded(&self, lines: &mut Vec<u8>, remote: Option<&str>, is_dropped: impl Fn(&[u8]) -> bool) {
        let named = self.fields.has(Role::Connection);
        let mut forwarded = Vec::new();
        for field in self.fields.list() {
            let (name, value) = (self.fields.name(field), self.fields.value(field));
            if Self::is_hop_by_hop(field.role) || matches!(field.role, Role::Host | Role::Admin) || is_dropped(name) {
                continue;
            }
            if field.role == Role::ForwardedFor && remote.is_some() {
                forwarded.extend_from_slice(value);
                forwarded.extend_from_slice(b", ");
            } else if !(named && self.fields.named_by_connection(field)) {
                push_line(lines, name, value);
            }
        }
        if let Some(remote) = remote.filter(|remote| !remote.is_empty()) {
            forwarded.extend_from_slice(remote.as_bytes());
            push_line(lines, b"X-Forwarded-For", &forwarded);
        }
    }

    /// Whether a field belongs to this connection alone.
    fn is_hop_by_hop(role: Role) -> bool {
        matches!(role, Role::Connection | Role::HopByHop | Role::TransferEncoding | Role::ContentLength | Role::Expect)
    }
}

#[pymethods]
impl RequestHead {
    #[getter]
    fn method<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, std::str::from_utf8(self.method).unwrap_or_default())
    }

    /// The target in origin form.
    #[getter]
    fn target<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        text(py, &self.target)
    }

    #[getter]
    fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// The `Content-Length`, if there is one.
    #[getter]
    fn length(&self) -> Option<u64> {
        if let Framing::Length(length) = self.framing { Some(length) } else { None }
    }

    #[getter]
    fn chunked(&self) -> bool {
        self.framing == Framing::Chunked
    }

    /// Whether bytes of a body follow.
    #[getter]
    fn has_body(&self) -> bool {
        !matches!(self.framing, Framing::Unsaid | Framing::Length(0))
    }

    /// Whether the client keeps the connection open behind the response.
    #[getter]
    fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client waits for a `100 Continue` before it sends the body.
    #[getter]
    fn expect_continue(&self) -> bool {
        self.minor_version == 1 && self.has_body() && self.fields.has(Role::Expect)
    }

    /// Bytes that the head took, with the empty line behind it.
    #[getter]
    fn size(&self) -> usize {
        self.skipped + self.fields.bytes().len()
    }

    /// Whether the body has a content coding.
    #[getter]
    fn has_encoding(&self) -> bool {
        self.fields.has(Role::ContentEncoding)
    }

    /// Whether the head says that the body is JSON, or does not say what it is.
    #[getter]
    fn says_json(&self) -> bool {
        let value = self.fields.of(Role::ContentType).next().unwrap_or_default();
        let end = memchr(b';', value).unwrap_or(value.len());
        let kind = value[..end].trim_ascii();
        kind.is_empty() || kind.len() >= 4 && kind[kind.len() - 4..].eq_ignore_ascii_case(b"json")
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

    /// The header lines as they are sent on to a node: without those of this connection, `Host`, the framing and `dropped`
    /// (names in lower case), and with `remote` appended to `X-Forwarded-For`.
    #[pyo3(signature = (remote = None, dropped = None))]
    fn forward_lines<'py>(
        &self,
        py: Python<'py>,
        remote: Option<&str>,
        dropped: Option<&Bound<'py, PyFrozenSet>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut names: Vec<PyBackedBytes> = Vec::new();
        for name in dropped.into_iter().flatten() {
            names.push(name.extract().map_err(PyErr::from)?);
        }
        let is_dropped = |name: &[u8]| names.iter().any(|dropped| name.eq_ignore_ascii_case(dropped));
        let mut lines = Vec::with_capacity(self.fields.bytes().len() + 64);
        self.push_forwarded(&mut lines, remote, is_dropped);
        Ok(PyBytes::new(py, &lines))
    }

    /// The message for a node, whose `Host` line is `host`: head and `body`, or the head of one with a body of `length`
    /// bytes to come. `target` stands for the client's, where it is given. `plain`: the response is asked for without a
    /// content coding.
    #[pyo3(signature = (host, remote = None, target = None, body = None, length = None, plain = false))]
    #[expect(clippy::too_many_arguments, reason = "keywords of a Python method")]
    fn forward<'py>(
        &self,
        py: Python<'py>,
        host: &[u8],
        remote: Option<&str>,
        target: Option<&str>,
        body: Option<&[u8]>,
        length: Option<u64>,
        plain: bool,
    ) -> Bound<'py, PyBytes> {
        let mut message = Vec::with_capacity(self.fields.bytes().len() + 256 + body.map_or(0, <[u8]>::len));
        for part in [self.method, b" ", target.map_or(&self.target, str::as_bytes), b" HTTP/1.1\r\n", host] {
            message.extend_from_slice(part);
        }
        self.push_forwarded(&mut message, remote, |name| plain && name.eq_ignore_ascii_case(b"accept-encoding"));
        let unsaid = matches!(self.method, b"POST" | b"PUT" | b"PATCH").then_some(0);
        if let Some(length) = length.or(body.map(|body| body.len() as u64)).or(unsaid) {
            push_line(&mut message, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(body.unwrap_or_default());
        PyBytes::new(py, &message)
    }

    /// The head for a server that gets no body and does not route: the same method, version and headers, without those
    /// of this connection and without framing. `Connection` says only whether it stays, the target is `/`, and there is
    /// a `Host`: what a stricter parser would refuse in them is not for it to judge.
    fn head_for_handler<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut head = Vec::with_capacity(self.fields.bytes().len() + 32);
        for part in [self.method, b" / HTTP/1.", &[b'0' + self.minor_version], b"\r\n"] {
            head.extend_from_slice(part);
        }
        let named = self.fields.has(Role::Connection);
        for field in self.fields.list() {
            let is_named = named && self.fields.named_by_connection(field);
            if field.role == Role::Host || !Self::is_hop_by_hop(field.role) && !is_named {
                push_line(&mut head, self.fields.name(field), self.fields.value(field));
            }
        }
        if !self.fields.has(Role::Host) {
            push_line(&mut head, b"Host", b"unsaid");
        }
        match (self.keep_alive, self.minor_version) {
            (false, 1) => push_line(&mut head, b"Connection", b"close"),
            (true, 0) => push_line(&mut head, b"Connection", b"keep-alive"),
            _ => {}
        }
        head.extend_from_slice(b"\r\n");
        PyBytes::new(py, &head)
    }

    fn __repr__(&self) -> String {
        // No target and no header: they may hold a secret.
        format!("<RequestHead {} {} bytes>", String::from_utf8_lossy(self.method), self.size())
    }
}

/// Whether these first bytes of a message may become a method and the space behind it.
fn starts_with_method(data: &[u8]) -> bool {
    METHODS.iter().any(|method| match data.split_at_checked(method.len()) {
        Some((start, rest)) => start == *method && rest.first().is_none_or(|byte| *byte == b' '),
        None => method.starts_with(data),
    })
}

/// Text as Python's `surrogateescape` has it.
pub(crate) fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(PyString::new(py, text)),
        Err(_) => PyString::from_encoded_object(&PyBytes::new(py, bytes), Some(c"utf-8"), Some(c"surrogateescape")),
    }
}

/// Method, target and minor version of a request line, without its end.
fn request_line(line: &[u8]) -> Result<(&'static [u8], &[u8], u8), Violation> {
    let malformed = Violation::Malformed("the request line is not well-formed");
    let space = memchr(b' ', line).ok_or(malformed)?;
    let method = METHODS.into_iter().find(|method| *method == &line[..space]);
    let method = method.ok_or(Violation::Malformed("an unknown method"))?;
    let rest = &line[space + 1..];
    let space = memchr(b' ', rest).ok_or(malformed)?;
    let (target, version) = (&rest[..space], &rest[space + 1..]);
    let is_plain = target.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..));
    if target.is_empty() || !is_plain || std::str::from_utf8(target).is_err() {
        return Err(malformed);
    }
    Ok((method, target, minor_version(version)?))
}

/// The minor version that `HTTP/1.x` says.
pub(crate) fn minor_version(version: &[u8]) -> Result<u8, Violation> {
    match version {
        b"HTTP/1.1" => Ok(1),
        b"HTTP/1.0" => Ok(0),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(Violation::Version)
        }
        _ => Err(Violation::Malformed("the HTTP version is not well-formed")),
    }
}

/// A target in origin form: an absolute one without scheme and authority, a missing slash put in; `*` stays.
fn origin_form(target: &[u8]) -> Result<Cow<'_, [u8]>, Violation> {
    if target[0] == b'/' || target == b"*" {
        return Ok(target.into());
    }
    let path = [b"http://".as_slice(), b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let path = match path {
        Some(rest) => {
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            if !is_host_and_port(authority) {
                return Err(Violation::Malformed("the authority of the target is not well-formed"));
            }
            path
        }
        None => target,
    };
    Ok(if path.first() == Some(&b'/') { path.into() } else { [b"/", path].concat().into() })
}

/// Whether it is a host, maybe with a port, and a user, which is dropped with the rest of it.
fn is_host_and_port(authority: &[u8]) -> bool {
    let user_end = authority.iter().rposition(|byte| *byte == b'@');
    let (user, authority) = authority.split_at(user_end.map_or(0, |at| at + 1));
    if !user.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%@".contains(byte)) {
        return false;
    }
    let colon = authority.iter().rposition(|byte| matches!(byte, b':' | b']')).filter(|at| authority[*at] == b':');
    let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
    let port = port.get(1..).unwrap_or_default();
    let is_port = port.iter().try_fold(0_u16, |number, digit| {
        number.checked_mul(10)?.checked_add(u16::from(char::from(*digit).to_digit(10)? as u8))
    });
    let is_address = |host: &[u8]| host.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    let is_name = |host: &[u8]| {
        host.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')) && !host.is_empty()
    };
    is_port.is_some()
        && host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).map_or_else(|| is_name(host), is_address)
}
