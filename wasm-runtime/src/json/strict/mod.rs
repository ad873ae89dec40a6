//! One JSON value as the cluster's reader takes it, written anew; what is not surely understood is refused.
//!
//! The cluster reads JSON with Jackson: a byte order mark and comments are passed over, a key that is there twice is an error.
//! Where it is more generous than the standard in what a text means (overlong UTF-8, halves of surrogate pairs, what stands
//! behind the value) nothing is taken, so that the text that is forwarded has one meaning only.

mod keys;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use self::keys::{Key, shown, twice};
use crate::json::lex::skip_ws;
use crate::json::scan::scalar::number;
use crate::json::scan::special;

/// Digits of the longest number that the cluster reads (Jackson's limit, like the next two).
const MAX_DIGITS: usize = 1_000;
/// Bytes of the longest key.
const MAX_KEY: usize = 50_000;
/// UTF-16 units of the longest string.
const MAX_STRING: usize = 50_000_000;
/// Bytes from which on the lock of Python is released: a shorter text takes less time than the lock's change of
/// hands.
const LONG: usize = 32 * 1024;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Why a text is refused, and the byte where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) at: usize,
}

type Taken<T> = Result<T, Refusal>;

fn refuse<T>(at: usize, reason: impl Into<String>) -> Taken<T> {
    Err(Refusal { reason: reason.into(), at })
}

/// The same JSON value, compact and in plain characters; `ValueError` says what is wrong with it and where.
#[pyfunction]
#[pyo3(signature = (text, max_depth=500))]
pub(crate) fn canonical_json(py: Python<'_>, text: PyBackedBytes, max_depth: usize) -> PyResult<Bound<'_, PyBytes>> {
    let written =
        if text.len() < LONG { canonical(&text, max_depth) } else { py.detach(|| canonical(&text, max_depth)) };
    match written {
        Ok(written) => Ok(PyBytes::new(py, &written)),
        Err(Refusal { reason, at }) => Err(PyValueError::new_err(format!("{reason} at byte {at}"))),
    }
}

/// The JSON value of `text`, written anew.
///
/// # Errors
/// [`Refusal`] for what is not one JSON value that the cluster reads in one way.
pub(crate) fn canonical(text: &[u8], max_depth: usize) -> Taken<Vec<u8>> {
    check_encoding(text)?;
    let at = if text.starts_with(BOM) { BOM.len() } else { 0 };
    // What is written is never longer than what was read.
    let out = Vec::with_capacity(text.len() - at);
    let mut reader = Reader { text, at, out, levels: Vec::new(), keys: Vec::new(), max_depth };
    reader.read()?;
    Ok(reader.out)
}

fn check_encoding(text: &[u8]) -> Taken<()> {
    let wide = text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff");
    if wide || text.iter().take(4).any(|byte| *byte == 0) {
        return refuse(0, "UTF-16 and UTF-32 are not read: send UTF-8");
    }
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(wrong) => refuse(wrong.valid_up_to(), "invalid UTF-8"),
    }
}

/// An open array or object.
struct Level {
    object: bool,
    /// Where its keys start in [`Reader::keys`].
    keys: usize,
    at: usize,
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    levels: Vec<Level>,
    /// The keys of the open objects, one object behind the other.
    keys: Vec<Key>,
    max_depth: usize,
}

impl Reader<'_> {
    fn read(&mut self) -> Taken<()> {
        self.space()?;
        loop {
            if self.value()? {
                continue;
            }
            if !self.goes_on()? {
                break;
            }
        }
        match self.text.get(self.at) {
            None => Ok(()),
            Some(_) => refuse(self.at, "there is more behind the JSON value"),
        }
    }

    /// Passes over white space and comments.
    #[inline(always)]
    fn space(&mut self) -> Taken<()> {
        loop {
            self.at = skip_ws(self.text, self.at);
            if self.text.get(self.at) != Some(&b'/') {
                return Ok(());
            }
            self.comment()?;
        }
    }

    #[cold]
    fn comment(&mut self) -> Taken<()> {
        let start = self.at;
        let block = match self.text.get(start + 1) {
            Some(b'*') => true,
            Some(b'/') => false,
            _ => return refuse(start, "unexpected character '/'"),
        };
        self.at = start + 2;
        loop {
            let Some(&c) = self.text.get(self.at) else {
                return if block { refuse(start, "the text ends in a comment that begins") } else { Ok(()) };
            };
            self.at += 1;
            match c {
                b'*' if block && self.text.get(self.at) == Some(&b'/') => {
                    self.at += 1;
                    return Ok(());
                }
                b'\n' | b'\r' if !block => return Ok(()),
                b'\t' | b'\n' | b'\r' | b' '.. => {}
                _ => return refuse(self.at - 1, "a control character in a comment"),
            }
        }
    }

    /// Takes what begins here; whether that is a member's or an element's parent, whose first value begins here now.
    #[inline(always)]
    fn value(&mut self) -> Taken<bool> {
        match self.text.get(self.at) {
            Some(b'"') => self.string()?,
            Some(open @ (b'{' | b'[')) => return self.open(*open == b'{'),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            _ => return self.unexpected("a value"),
        }
        Ok(false)
    }

    #[cold]
    fn unexpected<T>(&self, wanted: &str) -> Taken<T> {
        match std::str::from_utf8(&self.text[self.at..]).ok().and_then(|rest| rest.chars().next()) {
            None => match self.levels.last() {
                Some(level) => refuse(level.at, format!("the text ends in the {} that begins", level.name())),
                None => refuse(self.at, "the text ends where a JSON value is expected"),
            },
            Some(c) => refuse(self.at, format!("unexpected character {c:?} where {wanted} is expected")),
        }
    }

    fn open(&mut self, object: bool) -> Taken<bool> {
        if self.levels.len() == self.max_depth {
            return refuse(self.at, format!("nested deeper than {} levels", self.max_depth));
        }
        let (open, close) = if object { (b'{', b'}') } else { (b'[', b']') };
        self.levels.push(Level { object, keys: self.keys.len(), at: self.at });
        self.out.push(open);
        self.at += 1;
        self.space()?;
        if self.text.get(self.at) == Some(&close) {
            self.levels.pop();
            self.out.push(close);
            self.at += 1;
            return Ok(false);
        }
        if object {
            self.key()?;
        }
        Ok(true)
    }

    /// Goes on behind a value: to the next one, or behind the levels that end here. Whether there is a next one.
    #[inline(always)]
    fn goes_on(&mut self) -> Taken<bool> {
        loop {
            self.space()?;
            let Some(level) = self.levels.last() else { return Ok(false) };
            let object = level.object;
            match self.text.get(self.at) {
                Some(b',') => {
                    self.out.push(b',');
                    self.at += 1;
                    self.space()?;
                    if object {
                        self.key()?;
                    }
                    return Ok(true);
                }
                Some(b'}') if object => self.close_object()?,
                Some(b']') if !object => {
                    self.levels.pop();
                    self.out.push(b']');
                }
                _ => return self.unexpected(if object { "',' or '}'" } else { "',' or ']'" }),
            }
            self.at += 1;
        }
    }

    fn close_object(&mut self) -> Taken<()> {
        if let Some(level) = self.levels.pop() {
            let (keys, out) = (&mut self.keys[level.keys..], &self.out);
            if let Some(key) = twice(keys, out) {
                return refuse(key.at, format!("Duplicate Object property {}", shown(&out[key.from..key.to])));
            }
            self.keys.truncate(level.keys);
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Takes a key and its colon; the value begins here then.
    #[inline(always)]
    fn key(&mut self) -> Taken<()> {
        let (at, from) = (self.at, self.out.len());
        if self.text.get(at) != Some(&b'"') {
            return self.unexpected("a key in double quotes");
        }
        self.string()?;
        let to = self.out.len();
        if to - from > MAX_KEY + 2 {
            return refuse(at, format!("a key is longer than {MAX_KEY} bytes"));
        }
        self.keys.push(Key { from, to, at });
        self.space()?;
        if self.text.get(self.at) != Some(&b':') {
            return self.unexpected("':'");
        }
        self.out.push(b':');
        self.at += 1;
        self.space()
    }

    #[inline(always)]
    fn string(&mut self) -> Taken<()> {
        let (quote, start) = (self.at, self.out.len());
        self.out.push(b'"');
        let mut from = quote + 1;
        loop {
            let Some(stop) = special(self.text, from) else {
                return refuse(quote, "the text ends in the string that begins");
            };
            self.out.extend_from_slice(&self.text[from..stop]);
            match self.text[stop] {
                b'"' => break self.at = stop + 1,
                b'\\' => from = self.escape(stop)?,
                _ => return refuse(stop, "a control character in a string has to be escaped"),
            }
        }
        self.out.push(b'"');
        if self.out.len() - start > MAX_STRING { self.check_length(quote, start) } else { Ok(()) }
    }

    #[cold]
    fn check_length(&self, at: usize, start: usize) -> Taken<()> {
        let units = String::from_utf8_lossy(&self.out[start..]).encode_utf16().count();
        if units > MAX_STRING + 2 {
            refuse(at, format!("a string is longer than {MAX_STRING} characters"))
        } else {
            Ok(())
        }
    }

    /// Writes what the escape at `at` means; gives the index behind it.
    fn escape(&mut self, at: usize) -> Taken<usize> {
        match self.text.get(at + 1) {
            Some(plain @ (b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't')) => self.out.extend([b'\\', *plain]),
            Some(b'/') => self.out.push(b'/'),
            Some(b'u') => return self.unicode(at),
            Some(_) => return refuse(at, "an unknown escape"),
            None => return refuse(at, "the text ends in an escape"),
        }
        Ok(at + 2)
    }

    fn unicode(&mut self, at: usize) -> Taken<usize> {
        let (unit, mut end) = (self.unit(at)?, at + 6);
        let mut code = unit;
        if matches!(unit, 0xd800..=0xdbff) && self.text.get(end..end + 2) == Some(b"\\u") {
            let low = self.unit(end)?;
            if matches!(low, 0xdc00..=0xdfff) {
                code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                end += 6;
            }
        }
        match char::from_u32(code) {
            Some(c) => self.write(c),
            None => return refuse(at, "half of a surrogate pair in a string"),
        }
        Ok(end)
    }

    /// The four hexadecimal digits of the escape at `at`.
    fn unit(&self, at: usize) -> Taken<u32> {
        let digits = self.text.get(at + 2..at + 6).unwrap_or_default();
        let digit = |unit: u32, byte: &u8| char::from(*byte).to_digit(16).map(|digit| unit << 4 | digit);
        match digits.iter().try_fold(0, digit) {
            Some(unit) if digits.len() == 4 => Ok(unit),
            _ => refuse(at, "an escape without four hexadecimal digits"),
        }
    }

    fn write(&mut self, c: char) {
        match c {
            '"' | '\\' => self.out.extend([b'\\', c as u8]),
            '\u{8}' => self.out.extend(b"\\b"),
            '\u{c}' => self.out.extend(b"\\f"),
            '\n' => self.out.extend(b"\\n"),
            '\r' => self.out.extend(b"\\r"),
            '\t' => self.out.extend(b"\\t"),
            '\0'..='\u{1f}' => self.out.extend(format!("\\u{:04x}", c as u32).bytes()),
            _ => self.out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }

    #[inline(always)]
    fn number(&mut self) -> Taken<()> {
        let at = self.at;
        let Some(end) = number(self.text, at) else { return refuse(at, "not a JSON number") };
        if self.text.get(end).is_some_and(u8::is_ascii_digit) {
            return refuse(at, "a number with leading zeros");
        }
        let token = &self.text[at..end];
        if token.len() > MAX_DIGITS && token.iter().filter(|c| c.is_ascii_digit()).count() > MAX_DIGITS {
            return refuse(at, format!("a number has more than {MAX_DIGITS} digits"));
        }
        self.out.extend_from_slice(token);
        self.at = end;
        Ok(())
    }

    #[inline(always)]
    fn word(&mut self, word: &[u8]) -> Taken<()> {
        if !self.text[self.at..].starts_with(word) {
            return refuse(self.at, "an unknown word where a value is expected");
        }
        self.out.extend_from_slice(word);
        self.at += word.len();
        Ok(())
    }
}

impl Level {
    fn name(&self) -> &'static str {
        if self.object { "object" } else { "array" }
    }
}

#[cfg(test)]
mod tests;
