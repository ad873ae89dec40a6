//! Tokens as JSON text, compact.

use super::sink::{Done, Kind, MAX_DEPTH, Refused, Sink, refuse};
use crate::json::lex::write_quoted;

/// Writes one value, or several one after the other.
pub(crate) struct Json {
    out: Vec<u8>,
    limit: usize,
    depth: usize,
    /// Whether a comma stands before what comes next.
    comma: bool,
}

impl Json {
    pub(crate) fn new(limit: usize) -> Self {
        Self { out: Vec::new(), limit, depth: 0, comma: false }
    }

    /// Ends a line.
    pub(crate) fn line(&mut self) {
        self.out.push(b'\n');
        self.comma = false;
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.out
    }

    fn value(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Done {
        if self.comma {
            self.out.push(b',');
        }
        write(&mut self.out);
        self.comma = true;
        if self.out.len() > self.limit { Err(Refused::TooLong) } else { Ok(()) }
    }
}

impl Sink for Json {
    fn start(&mut self, kind: Kind) -> Done {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return refuse(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.value(|out| out.push(if kind == Kind::Object { b'{' } else { b'[' }))?;
        self.comma = false;
        Ok(())
    }

    fn end(&mut self, kind: Kind) -> Done {
        self.depth -= 1;
        self.out.push(if kind == Kind::Object { b'}' } else { b']' });
        self.comma = true;
        Ok(())
    }

    fn key(&mut self, text: &str) -> Done {
        self.value(|out| {
            write_quoted(text, out);
            out.push(b':');
        })?;
        self.comma = false;
        Ok(())
    }

    fn string(&mut self, text: &str) -> Done {
        self.value(|out| write_quoted(text, out))
    }

    fn number(&mut self, text: &str) -> Done {
        self.value(|out| out.extend_from_slice(text.as_bytes()))
    }

    fn boolean(&mut self, value: bool) -> Done {
        self.value(|out| out.extend_from_slice(if value { b"true" } else { b"false" }))
    }

    fn null(&mut self) -> Done {
        self.value(|out| out.extend_from_slice(b"null"))
    }
}
