//! `gsub`: replaces what a regular expression matches; lists element by element.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::rewrite::FieldRewrite;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::limits::check_output_size;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::regex::{self, Found, Regex};

/// Replaces what a regular expression matches, in a text or in each text of a list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gsub {
    /// The field that is read, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The regular expression, as in Java.
    pattern: String,
    /// The replacement; `$1` and `${name}` are groups of the match.
    replacement: String,
    /// The field that gets the result; default: `field`.
    #[schemars(length(min = 1))]
    target_field: Option<String>,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    #[serde(skip)]
    compiled: Option<(Regex, Result<Vec<Piece>, String>)>,
}

/// A part of a replacement.
enum Piece {
    Text(String),
    Group(usize),
}

impl Parameters for Gsub {
    fn prepare(&mut self) -> Result<(), String> {
        field::check_pair(&mut self.field, &mut self.target_field)?;
        let pattern = regex::java(&self.pattern).map_err(|e| format!("[pattern] Invalid regex pattern. {e}"))?;
        // A replacement that is none fails where it is used, as in Java: where the pattern matches.
        let pieces = pieces(&self.replacement, &pattern);
        self.compiled = Some((pattern, pieces));
        Ok(())
    }
}

/// A replacement in Java's form: `$1`, `${name}`, `\\` escapes.
fn pieces(text: &str, pattern: &Regex) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let group = match c {
            '\\' => {
                plain.push(chars.next().ok_or("character to be escaped is missing")?);
                continue;
            }
            '$' if chars.next_if_eq(&'{').is_some() => named(&mut chars, pattern)?,
            '$' => numbered(&mut chars, pattern.captures_len())?,
            c => {
                plain.push(c);
                continue;
            }
        };
        if !plain.is_empty() {
            out.push(Piece::Text(std::mem::take(&mut plain)));
        }
        out.push(Piece::Group(group));
    }
    if !plain.is_empty() {
        out.push(Piece::Text(plain));
    }
    Ok(out)
}

type Chars<'t> = std::iter::Peekable<std::str::Chars<'t>>;

fn named(chars: &mut Chars<'_>, pattern: &Regex) -> Result<usize, String> {
    let mut name = String::new();
    while let Some(c) = chars.next_if(char::is_ascii_alphanumeric) {
        name.push(c);
    }
    if name.is_empty() {
        return Err("named capturing group has 0 length name".to_owned());
    }
    if chars.next() != Some('}') {
        return Err("named capturing group is missing trailing '}'".to_owned());
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("capturing group name {{{name}}} starts with digit character"));
    }
    let found = pattern.names().iter().find(|(listed, _)| *listed == name);
    found.map(|(_, groups)| groups[0]).ok_or_else(|| format!("No group with name {{{name}}}"))
}

/// As many digits as there are groups for.
fn numbered(chars: &mut Chars<'_>, groups: usize) -> Result<usize, String> {
    let first = chars.next().ok_or("Illegal group reference: group index is missing")?;
    let mut group = first.to_digit(10).ok_or("Illegal group reference")? as usize;
    if group >= groups {
        return Err(format!("No group {group}"));
    }
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        if group * 10 + digit as usize >= groups {
            break;
        }
        group = group * 10 + digit as usize;
        chars.next();
    }
    Ok(group)
}

impl Gsub {
    fn replaced(&self, value: &str) -> Result<Vec<u8>, Fault> {
        let Some((pattern, pieces)) = &self.compiled else { return Ok(json::quote(value)) };
        let wants_groups = pieces.as_ref().is_ok_and(|p| p.iter().any(|piece| matches!(piece, Piece::Group(1..))));
        let mut out = String::with_capacity(value.len());
        let mut last = 0;
        let mut search = pattern.search(value);
        loop {
            let found = if wants_groups { search.captures()? } else { search.find()?.map(Found::whole_of) };
            let Some(found) = found else { break };
            let pieces = pieces.as_ref().map_err(|why| Fault::illegal(why.clone()))?;
            out.push_str(&value[last..found.whole().start]);
            last = found.whole().end;
            for piece in pieces {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Group(n) => out.push_str(found.get(*n).map_or("", |range| &value[range])),
                }
                check_output_size(value.len(), out.len())?;
            }
        }
        out.push_str(&value[last..]);
        Ok(json::quote(&out))
    }
}

impl Function for Gsub {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let rewrite = FieldRewrite::new(&self.field, self.target_field.as_deref(), self.ignore_missing);
        rewrite.map_text(doc, |_| None, |value| self.replaced(value))
    }

    fn longest(&self) -> usize {
        self.compiled.as_ref().map_or(usize::MAX, |(pattern, _)| pattern.longest)
    }
}
