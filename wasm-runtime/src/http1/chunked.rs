//! Bodies in chunks (RFC 9112, section 7.1).

use memchr::memchr;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::buffer::with_bytes;
use super::fields::{Fields, Role};
use super::violation::Violation;

/// Maximum number of hexadecimal digits of a chunk size: it fits 60 bits.
const DIGITS: u32 = 15;
/// Bytes of all chunk extensions of a body together; they are dropped.
const MAX_EXTENSIONS: usize = 16 << 10;
/// Fields of the longest trailer section.
const MAX_TRAILERS: usize = 64;

/// The next byte's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The size of a chunk, after `digits` digits.
    Size {
        size: u64,
        digits: u32,
    },
    /// A chunk extension.
    Extension {
        size: u64,
        part: Part,
    },
    /// The LF behind a chunk's size.
    SizeEnd {
        size: u64,
    },
    /// The data of a chunk: `left` bytes are missing.
    Data {
        left: u64,
    },
    /// The CR behind a chunk.
    DataCr,
    /// The LF behind a chunk.
    DataLf,
    /// The trailer section, up to its empty line.
    Trailers,
    Done,
}

/// The part of a chunk extension that the last byte belongs to; white space is in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The semicolon.
    Start,
    Name,
    /// The equals sign.
    Equals,
    Value,
    Quoted,
    /// The closing quotation mark.
    Closed,
}

impl Part {
    /// The part that the next byte belongs to.
    fn next(self, byte: u8) -> Option<Self> {
        let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        match (self, byte) {
            (Self::Start | Self::Name, _) if is_token => Some(Self::Name),
            (Self::Name, b'=') => Some(Self::Equals),
            (Self::Equals | Self::Value, _) if is_token => Some(Self::Value),
            (Self::Equals, b'"') => Some(Self::Quoted),
            (Self::Quoted, b'"') => Some(Self::Closed),
            (Self::Quoted, b' '..=b'[' | b']'..=b'~') => Some(Self::Quoted),
            (Self::Name | Self::Value | Self::Closed, b';') => Some(Self::Start),
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::Closed)
    }
}

/// Takes a body out of its chunks. Trailers are read and dropped.
#[pyclass(module = "headrace_pipelines._wasm")]
pub(crate) struct ChunkedDecoder {
    state: State,
    extensions: usize,
    trailers: Vec<u8>,
    max_trailer_bytes: usize,
}

#[pymethods]
impl ChunkedDecoder {
    /// `max_trailer_bytes`: of the trailer section.
    #[new]
    fn new(max_trailer_bytes: usize) -> Self {
        Self { state: START, extensions: 0, trailers: Vec::new(), max_trailer_bytes }
    }

    /// Reads the bytes `offset..end` of `data`. Gives what they have of the body, where what was read of them ends, and
    /// whether the body has ended: what follows then belongs to the next message. Raises HeadError.
    #[pyo3(signature = (data, offset = 0, end = None))]
    fn feed<'py>(
        &mut self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        offset: usize,
        end: Option<usize>,
    ) -> PyResult<(Bound<'py, PyBytes>, usize, bool)> {
        let mut body = Vec::new();
        let read = with_bytes(data, offset, end, |bytes| Ok(self.read(bytes, &mut body)?))?;
        Ok((PyBytes::new(py, &body), offset + read, self.state == State::Done))
    }

    /// Whether the body has ended.
    #[getter]
    fn done(&self) -> bool {
        self.state == State::Done
    }
}

const START: State = State::Size { size: 0, digits: 0 };

impl ChunkedDecoder {
    /// Appends what `data` has of the body; gives how much of `data` was read.
    fn read(&mut self, data: &[u8], body: &mut Vec<u8>) -> Result<usize, Violation> {
        let mut at = 0;
        while at < data.len() && self.state != State::Done {
            at += match self.state {
                State::Data { left } => {
                    let count = usize::try_from(left).map_or(data.len() - at, |left| left.min(data.len() - at));
                    body.extend_from_slice(&data[at..at + count]);
                    let left = left - count as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                    count
                }
                State::Trailers => self.trailer(&data[at..])?,
                _ => {
                    self.state = self.step(data[at])?;
                    1
                }
            };
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Violation> {
        match (self.state, byte) {
            (State::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Ok(State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
            }
            (State::Size { size, digits: 1.. }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Size { size, digits: 1.. }, b';') => self.extension(size, Part::Start),
            (State::Extension { size, part }, b'\r') if part.may_end() => Ok(State::SizeEnd { size }),
            (State::Extension { size, part }, _) => {
                let part = part.next(byte).ok_or(Violation::Malformed("a chunk extension is not well-formed"))?;
                self.extension(size, part)
            }
            (State::SizeEnd { size: 0 }, b'\n') => Ok(State::Trailers),
            (State::SizeEnd { size }, b'\n') => Ok(State::Data { left: size }),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(START),
            (State::Size { .. }, _) => Err(Violation::Malformed("the size of a chunk is not well-formed")),
            _ => Err(Violation::Malformed("a chunk does not end with CR LF")),
        }
    }

    fn extension(&mut self, size: u64, part: Part) -> Result<State, Violation> {
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS {
            return Err(Violation::LongHeaders(MAX_EXTENSIONS));
        }
        Ok(State::Extension { size, part })
    }

    /// Reads trailers up to the end of a line.
    fn trailer(&mut self, data: &[u8]) -> Result<usize, Violation> {
        let line = memchr(b'\n', data).map_or(data.len(), |end| end + 1);
        self.trailers.extend_from_slice(&data[..line]);
        if self.trailers.len() > self.max_trailer_bytes.saturating_add(2) {
            return Err(Violation::LongHeaders(self.max_trailer_bytes));
        }
        if self.trailers.ends_with(b"\n") && !self.trailers.ends_with(b"\r\n") {
            return Err(Violation::Malformed("a line does not end with CR LF"));
        }
        if self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n") {
            check_trailers(&self.trailers)?;
            self.trailers = Vec::new();
            self.state = State::Done;
        }
        Ok(line)
    }
}

/// Trailers are dropped; one that would say where a message ends is refused, as others do (RFC 9110, 6.5.1).
fn check_trailers(section: &[u8]) -> Result<(), Violation> {
    let fields = Fields::parse(section, 0, MAX_TRAILERS)?;
    if fields.list().iter().any(|field| matches!(field.role, Role::ContentLength | Role::TransferEncoding | Role::Host))
    {
        return Err(Violation::Malformed("a trailer that belongs into the head"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), Violation> {
        let mut decoder = ChunkedDecoder::new(64);
        let (mut body, mut read) = (Vec::new(), 0);
        for part in parts {
            read += decoder.read(part, &mut body)?;
        }
        Ok((body, read, decoder.state == State::Done))
    }

    const BODY: &[u8] = b"3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\nnext";

    #[test]
    fn a_body_is_the_same_wherever_it_is_cut() {
        let whole = (b"abc0123456789".to_vec(), BODY.len() - 4, true);
        for at in 0..BODY.len() {
            assert_eq!(read(&[&BODY[..at], &BODY[at..]]), Ok(whole.clone()), "{at}");
        }
        let bytes: Vec<&[u8]> = BODY.chunks(1).collect();
        assert_eq!(read(&bytes), Ok(whole));
    }

    #[test]
    fn what_is_not_beyond_doubt_is_refused() {
        for wrong in [
            "\r\n",
            "g\r\n",
            "1 \r\n",
            " 1\r\n",
            "1\n",
            "+1\r\n",
            "-1\r\n",
            "0x1\r\n",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\r1",
            "1;\n",
            "1;\0",
            ";a\r\n",
            "1000000000000000\r\n",
            "0000000000000001\r\n",
            "0\r\na\r\n\r\n",
            "0\r\na: b\n",
            "0\r\n a: b\r\n\r\n",
            "0\r\na : b\r\n\r\n",
            "0\r\n\n",
        ] {
            assert!(matches!(read(&[wrong.as_bytes()]), Err(Violation::Malformed(_))), "{wrong:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long = format!("1;{}", "a".repeat(MAX_EXTENSIONS + 1));
        assert_eq!(read(&[long.as_bytes()]), Err(Violation::LongHeaders(MAX_EXTENSIONS)));
        let many = "1;ab\r\nx\r\n".repeat(MAX_EXTENSIONS);
        assert_eq!(read(&[many.as_bytes()]), Err(Violation::LongHeaders(MAX_EXTENSIONS)));
        let trailers = format!("0\r\na: {}\r\n\r\n", "b".repeat(70));
        assert_eq!(read(&[trailers.as_bytes()]), Err(Violation::LongHeaders(64)));
    }
}
