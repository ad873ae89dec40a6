//! Tokens as YAML, in the form of what the cluster writes: blocks, with every text in double quotes.

use super::json_out::Json;
use super::sink::{Done, Kind, Sink};

/// Depth from which on a value is written in one line, as JSON: deeper lines would be mostly white space.
const DEEP: usize = 32;

#[derive(Default)]
pub(crate) struct Yaml {
    out: Vec<u8>,
    levels: Vec<Level>,
    /// Whether the value that comes stands behind a key or a dash.
    behind: Behind,
    /// A deep value on its way, and how many of its levels are open.
    deep: Option<(Json, usize)>,
}

struct Level {
    kind: Kind,
    indent: usize,
    empty: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Behind {
    #[default]
    Nothing,
    Key,
    Dash,
}

impl Yaml {
    pub(crate) fn done(mut self) -> Vec<u8> {
        if self.out.is_empty() {
            self.out.extend_from_slice(b"---");
        }
        if self.out.last() != Some(&b'\n') {
            self.out.push(b'\n');
        }
        self.out
    }

    /// Begins the line, or goes on with the one behind a dash, of a key or of an element.
    fn entry(&mut self) {
        let Some(level) = self.levels.last_mut() else { return };
        let indent = level.indent;
        let goes_on = level.empty && self.behind == Behind::Dash;
        level.empty = false;
        if goes_on {
            self.out.push(b' ');
        } else {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + indent, b' ');
        }
    }

    /// Writes the indentation and the marker before a value.
    fn before(&mut self) {
        if self.out.is_empty() {
            self.out.extend_from_slice(b"---");
        }
        if self.levels.last().is_some_and(|level| level.kind == Kind::Array) {
            self.entry();
            self.out.push(b'-');
            self.behind = Behind::Dash;
        }
    }

    fn scalar(&mut self, text: &[u8]) -> Done {
        self.before();
        self.out.push(b' ');
        self.out.extend_from_slice(text);
        self.behind = Behind::Nothing;
        Ok(())
    }
}

/// Gives a token to the deep value on its way, if there is one, and is done.
macro_rules! deep {
    ($self:ident, $name:ident $(, $argument:expr)?) => {
        if let Some((json, _)) = &mut $self.deep {
            return json.$name($($argument)?);
        }
    };
}

impl Sink for Yaml {
    fn start(&mut self, kind: Kind) -> Done {
        if let Some((json, open)) = &mut self.deep {
            *open += 1;
            return json.start(kind);
        }
        self.before();
        if self.levels.len() >= DEEP {
            let mut json = Json::new(usize::MAX);
            json.start(kind)?;
            self.deep = Some((json, 1));
            return Ok(());
        }
        // A list in an object stands no deeper than its key.
        let indent = match self.levels.last() {
            None => 0,
            Some(level) if level.kind == Kind::Object && kind == Kind::Array => level.indent,
            Some(level) => level.indent + 2,
        };
        self.levels.push(Level { kind, indent, empty: true });
        Ok(())
    }

    fn end(&mut self, kind: Kind) -> Done {
        if let Some((mut json, open)) = self.deep.take() {
            json.end(kind)?;
            if open > 1 {
                self.deep = Some((json, open - 1));
                return Ok(());
            }
            self.out.push(b' ');
            self.out.extend_from_slice(&json.done());
            self.behind = Behind::Nothing;
            return Ok(());
        }
        if self.levels.pop().is_some_and(|level| level.empty) {
            self.out.extend_from_slice(if kind == Kind::Object { b" {}" } else { b" []" });
        }
        self.behind = Behind::Nothing;
        Ok(())
    }

    fn key(&mut self, text: &str) -> Done {
        deep!(self, key, text);
        self.entry();
        if plain_key(text) {
            self.out.extend_from_slice(text.as_bytes());
        } else {
            quote(text, &mut self.out);
        }
        self.out.push(b':');
        self.behind = Behind::Key;
        Ok(())
    }

    fn string(&mut self, text: &str) -> Done {
        deep!(self, string, text);
        let mut quoted = Vec::with_capacity(text.len() + 2);
        quote(text, &mut quoted);
        self.scalar(&quoted)
    }

    fn number(&mut self, text: &str) -> Done {
        deep!(self, number, text);
        let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return self.scalar(text.as_bytes()) };
        // Readers of YAML 1.1 want a point and a sign.
        let point = if mantissa.contains('.') { "" } else { ".0" };
        let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
        self.scalar(format!("{mantissa}{point}e{sign}{exponent}").as_bytes())
    }

    fn boolean(&mut self, value: bool) -> Done {
        deep!(self, boolean, value);
        self.scalar(if value { b"true" } else { b"false" })
    }

    fn null(&mut self) -> Done {
        deep!(self, null);
        self.scalar(b"null")
    }
}

/// Whether every reader takes a key without quotes for this text.
fn plain_key(text: &str) -> bool {
    let word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte));
    word && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&text.to_ascii_lowercase().as_str())
}

/// A text in double quotes; characters that YAML does not print are escaped.
fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for char in text.chars() {
        match char {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..='\x1f' | '\x7f'..='\u{a0}' => out.extend_from_slice(format!("\\x{:02x}", char as u32).as_bytes()),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.extend_from_slice(format!("\\u{:04x}", char as u32).as_bytes());
            }
            _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}
