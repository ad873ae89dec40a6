//! JSON as SMILE.

use std::cell::RefCell;

use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};

use super::sink::{Kind, Refused, refuse};
use super::tokens::{Token, Tokens};

/// A JSON text as SMILE; keys are shared, texts are not.
pub(crate) fn written(text: &[u8]) -> Result<Vec<u8>, Refused> {
    let tokens = RefCell::new(Tokens::new(text));
    let mut out = serde_smile::Serializer::new(Vec::new());
    let unreadable = |error: String| Refused::Unreadable(error);
    Next(&tokens).serialize(&mut out).map_err(|error| unreadable(error.to_string()))?;
    match tokens.borrow_mut().next()? {
        None => Ok(out.into_inner()),
        Some(_) => refuse("there is more behind the JSON value"),
    }
}

/// The value that comes next.
struct Next<'a, 'b>(&'b RefCell<Tokens<'a>>);

impl<'a> Next<'a, '_> {
    fn token<E: serde::ser::Error>(&self) -> Result<Token<'a>, E> {
        match self.0.borrow_mut().next() {
            Ok(Some(token)) => Ok(token),
            Ok(None) => Err(E::custom("cut off")),
            Err(refused) => Err(E::custom(format!("{refused:?}"))),
        }
    }
}

impl Serialize for Next<'_, '_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        self.write(self.token()?, out)
    }
}

impl<'a> Next<'a, '_> {
    fn write<S: Serializer>(&self, token: Token<'a>, out: S) -> Result<S::Ok, S::Error> {
        match token {
            Token::Start(Kind::Object) => {
                let mut map = out.serialize_map(None)?;
                loop {
                    match self.token()? {
                        Token::Key(key) => map.serialize_entry(&key, self)?,
                        _ => return map.end(),
                    }
                }
            }
            Token::Start(Kind::Array) => {
                let mut seq = out.serialize_seq(None)?;
                loop {
                    match self.token()? {
                        Token::End(_) => return seq.end(),
                        token => seq.serialize_element(&Begun(self, RefCell::new(Some(token))))?,
                    }
                }
            }
            Token::String(text) => out.serialize_str(&text),
            Token::Number(text) => number(text, out),
            Token::Boolean(value) => out.serialize_bool(value),
            Token::Null => out.serialize_unit(),
            Token::End(_) | Token::Key(_) => Err(S::Error::custom("not a value")),
        }
    }
}

/// A value whose first token has been read.
struct Begun<'a, 'b, 'c>(&'c Next<'a, 'b>, RefCell<Option<Token<'a>>>);

impl Serialize for Begun<'_, '_, '_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.1.take() {
            Some(token) => self.0.write(token, out),
            None => Err(S::Error::custom("no value")),
        }
    }
}

fn number<S: Serializer>(text: &str, out: S) -> Result<S::Ok, S::Error> {
    if let Ok(number) = text.parse::<i32>() {
        return out.serialize_i32(number);
    }
    if let Ok(number) = text.parse::<i64>() {
        return out.serialize_i64(number);
    }
    if let Ok(number) = text.parse::<i128>() {
        return out.serialize_i128(number);
    }
    match text.parse::<f64>() {
        Ok(number) => out.serialize_f64(number),
        Err(_) => Err(S::Error::custom("not a number")),
    }
}
