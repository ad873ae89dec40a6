//! The tokens of a JSON text.

use std::borrow::Cow;

use super::sink::{Done, Kind, MAX_DEPTH, Refused, Sink, refuse};
use crate::json::lex::{skip_string, skip_ws, string};

/// A token of a JSON text.
pub(crate) enum Token<'a> {
    Start(Kind),
    End(Kind),
    Key(Cow<'a, str>),
    String(Cow<'a, str>),
    Number(&'a str),
    Boolean(bool),
    Null,
}

/// Reads a JSON text token by token.
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    levels: Vec<Kind>,
    /// Whether a value has just ended, so that a comma or an end follows.
    ended: bool,
    /// Whether a key has just been read.
    keyed: bool,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: skip_ws(text, 0), levels: Vec::new(), ended: false, keyed: false }
    }

    /// The next token; `None` behind the value.
    pub(crate) fn next(&mut self) -> Result<Option<Token<'a>>, Refused> {
        self.at = skip_ws(self.text, self.at);
        if self.levels.is_empty() && self.ended {
            return if self.at == self.text.len() { Ok(None) } else { self.wrong() };
        }
        if self.ended && self.text.get(self.at) == Some(&b',') {
            self.ended = false;
            self.at = skip_ws(self.text, self.at + 1);
        }
        let Some(&byte) = self.text.get(self.at) else { return self.wrong() };
        if byte == b'}' || byte == b']' {
            return self.end(byte);
        }
        if self.ended {
            return self.wrong();
        }
        if self.levels.last() == Some(&Kind::Object) && !self.keyed {
            return self.key();
        }
        self.keyed = false;
        self.value(byte).map(Some)
    }

    fn wrong<T>(&self) -> Result<T, Refused> {
        refuse(format!("not JSON at byte {}", self.at))
    }

    fn end(&mut self, byte: u8) -> Result<Option<Token<'a>>, Refused> {
        let kind = if byte == b'}' { Kind::Object } else { Kind::Array };
        if self.keyed || self.levels.pop() != Some(kind) {
            return self.wrong();
        }
        self.at += 1;
        self.ended = true;
        Ok(Some(Token::End(kind)))
    }

    fn key(&mut self) -> Result<Option<Token<'a>>, Refused> {
        let key = self.string()?;
        self.at = skip_ws(self.text, self.at);
        if self.text.get(self.at) != Some(&b':') {
            return self.wrong();
        }
        self.at += 1;
        self.keyed = true;
        Ok(Some(Token::Key(key)))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Refused> {
        if self.text.get(self.at) != Some(&b'"') {
            return self.wrong();
        }
        let Some(end) = skip_string(self.text, self.at) else { return self.wrong() };
        let Some(text) = string(&self.text[self.at..end]) else { return self.wrong() };
        self.at = end;
        Ok(text)
    }

    fn value(&mut self, byte: u8) -> Result<Token<'a>, Refused> {
        let begun = match byte {
            b'{' => Some(Kind::Object),
            b'[' => Some(Kind::Array),
            _ => None,
        };
        if let Some(kind) = begun {
            if self.levels.len() >= MAX_DEPTH {
                return refuse(format!("nested deeper than {MAX_DEPTH} levels"));
            }
            self.levels.push(kind);
            self.at += 1;
            return Ok(Token::Start(kind));
        }
        self.ended = true;
        if byte == b'"' {
            return self.string().map(Token::String);
        }
        let rest = &self.text[self.at..];
        let len =
            rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"+-.".contains(byte)).unwrap_or(rest.len());
        let word = std::str::from_utf8(&rest[..len]).unwrap_or_default();
        let token = match word {
            "true" => Token::Boolean(true),
            "false" => Token::Boolean(false),
            "null" => Token::Null,
            _ if word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => Token::Number(word),
            _ => return self.wrong(),
        };
        self.at += len;
        Ok(token)
    }
}

/// Gives the tokens of a JSON text to a sink.
pub(crate) fn read(text: &[u8], sink: &mut impl Sink) -> Done {
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next()? {
        match token {
            Token::Start(kind) => sink.start(kind)?,
            Token::End(kind) => sink.end(kind)?,
            Token::Key(text) => sink.key(&text)?,
            Token::String(text) => sink.string(&text)?,
            Token::Number(text) => sink.number(text)?,
            Token::Boolean(value) => sink.boolean(value)?,
            Token::Null => sink.null()?,
        }
    }
    Ok(())
}
