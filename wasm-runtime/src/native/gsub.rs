//! `gsub`: replaces what a regular expression matches; lists element by element.

use serde::Deserialize;

use super::regex::{self, Regex};
use super::{Function, Parameters, field};
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::limits::check_made;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gsub {
    field: String,
    pattern: String,
    replacement: String,
    target_field: Option<String>,
    #[serde(default)]
    ignore_missing: bool,
    #[serde(skip)]
    compiled: Option<(Regex, Vec<Piece>)>,
}

/// A part of a replacement.
enum Piece {
    Text(String),
    Group(usize),
    Named(String),
}

impl Parameters for Gsub {
    fn prepare(&mut self) -> Result<(), String> {
        field::check_pair(&mut self.field, &mut self.target_field)?;
        let pattern = regex::compile(&self.pattern).map_err(|e| format!("[pattern] Invalid regex pattern. {e}"))?;
        let pieces = pieces(&self.replacement, pattern.captures_len())?;
        self.compiled = Some((pattern, pieces));
        Ok(())
    }
}

/// A replacement in Java's form: `$1`, `${name}`, `\\` escapes.
fn pieces(text: &str, groups: usize) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next().ok_or("[replacement] character to be escaped is missing")?),
            '$' => {
                if !plain.is_empty() {
                    out.push(Piece::Text(std::mem::take(&mut plain)));
                }
                if chars.next_if_eq(&'{').is_some() {
                    let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                    out.push(Piece::Named(name));
                    continue;
                }
                let first = chars.next().and_then(|c| c.to_digit(10)).ok_or("[replacement] Illegal group reference")?;
                let mut group = first as usize;
                if group >= groups {
                    return Err(format!("[replacement] No group {group}"));
                }
                while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                    if group * 10 + digit as usize >= groups {
                        break;
                    }
                    group = group * 10 + digit as usize;
                    chars.next();
                }
                out.push(Piece::Group(group));
            }
            c => plain.push(c),
        }
    }
    if !plain.is_empty() {
        out.push(Piece::Text(plain));
    }
    Ok(out)
}

impl Gsub {
    fn replaced(&self, value: &str) -> Result<Vec<u8>, Fault> {
        let Some((pattern, pieces)) = &self.compiled else { return Ok(json::quote(value)) };
        let mut out = String::with_capacity(value.len());
        let mut last = 0;
        pattern.each_captures(value, |found| {
            let Some(whole) = found.get(0) else { return Ok(()) };
            out.push_str(&value[last..whole.start]);
            last = whole.end;
            for piece in pieces {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Group(n) => out.push_str(found.get(*n).map_or("", |range| &value[range])),
                    Piece::Named(name) => out.push_str(found.name(name).map_or("", |range| &value[range])),
                }
                check_made(value.len(), out.len())?;
            }
            Ok(())
        })?;
        out.push_str(&value[last..]);
        Ok(json::quote(&out))
    }
}

impl Function for Gsub {
    fn apply(&self, text: &[u8], _meta: &mut Meta) -> Result<Effect, Fault> {
        let place = field::Place::new(&self.field, self.target_field.as_deref(), self.ignore_missing);
        place.map_text(text, |_| None, |value| self.replaced(value))
    }

    fn longest(&self) -> usize {
        self.compiled.as_ref().map_or(usize::MAX, |(pattern, _)| pattern.longest)
    }
}
