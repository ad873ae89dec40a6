//! `dissect`: fields out of a string by its delimiters.

use serde::Deserialize;

use super::{Function, Parameters, field};
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dissect {
    field: String,
    pattern: String,
    #[serde(default)]
    append_separator: String,
    #[serde(default)]
    ignore_missing: bool,
    #[serde(skip)]
    parsed: Pattern,
}

/// Keys that a pattern may have: each is looked for among the others.
const MOST_KEYS: usize = 500;

/// What a key does with its text.
#[derive(Clone, PartialEq)]
enum Use {
    Plain,
    Skip,
    Append(usize),
    Name,
    Value,
}

#[derive(Clone)]
struct Key {
    name: String,
    role: Use,
    /// `->`: the delimiter behind it may be there several times.
    padded: bool,
    /// The delimiter behind it; empty for the last.
    delimiter: String,
}

#[derive(Default, Clone)]
struct Pattern {
    leading: String,
    keys: Vec<Key>,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("Unable to parse pattern: {text} Reason: {why}");
        let Some(first) = text.find("%{") else {
            return Err(wrong("Unable to find any keys or delimiters."));
        };
        let mut pattern = Self { leading: text[..first].to_owned(), keys: Vec::new() };
        let mut rest = &text[first..];
        while let Some(inner) = rest.strip_prefix("%{") {
            let end = inner.find('}').ok_or_else(|| wrong("a key does not end"))?;
            let next = inner[end + 1..].find("%{").map_or(inner.len(), |at| end + 1 + at);
            let mut key = Self::key(&inner[..end], pattern.keys.len()).map_err(|why| wrong(&why))?;
            key.delimiter = inner[end + 1..next].to_owned();
            pattern.keys.push(key);
            rest = &inner[next..];
        }
        pattern.check().map_err(|why| wrong(&why))?;
        Ok(pattern)
    }

    fn key(text: &str, at: usize) -> Result<Key, String> {
        let (text, padded) = text.strip_suffix("->").map_or((text, false), |bare| (bare, true));
        let key = |name: &str, role| Key { name: name.to_owned(), role, padded, delimiter: String::new() };
        Ok(match text.chars().next() {
            None => key("", Use::Skip),
            Some('?') => key(&text[1..], Use::Skip),
            Some('*') => key(&text[1..], Use::Name),
            Some('&') => key(&text[1..], Use::Value),
            Some('+') => match text[1..].split_once('/') {
                Some((name, order)) => {
                    let order = order.parse().map_err(|_| format!("[{order}] is not an order"))?;
                    key(name, Use::Append(order))
                }
                None => key(&text[1..], Use::Append(1000 + at)),
            },
            Some(_) => key(text, Use::Plain),
        })
    }

    fn check(&self) -> Result<(), String> {
        if self.keys.len() > MOST_KEYS {
            return Err(format!("it has {} keys, the limit is {MOST_KEYS}", self.keys.len()));
        }
        let inner = self.keys.len().saturating_sub(1);
        if self.keys[..inner].iter().any(|key| key.delimiter.is_empty()) {
            return Err("two keys need a delimiter between them".to_owned());
        }
        for key in self.keys.iter().filter(|key| matches!(key.role, Use::Name | Use::Value)) {
            let other = if key.role == Use::Name { Use::Value } else { Use::Name };
            if !self.keys.iter().any(|k| k.name == key.name && k.role == other) {
                return Err(format!("found invalid key/reference associations: [{}]", key.name));
            }
        }
        if !self.keys.iter().any(|key| key.role != Use::Skip) {
            return Err("Unable to find any keys or delimiters.".to_owned());
        }
        Ok(())
    }

    /// The text of every key; `None` if the pattern does not match.
    fn matched<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let mut rest = text.strip_prefix(self.leading.as_str())?;
        let mut found = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            if key.delimiter.is_empty() {
                found.push(rest);
                rest = "";
                continue;
            }
            let at = rest.find(&key.delimiter)?;
            found.push(&rest[..at]);
            rest = &rest[at + key.delimiter.len()..];
            while key.padded && rest.starts_with(&key.delimiter) {
                rest = &rest[key.delimiter.len()..];
            }
        }
        (!text.is_empty()).then_some(found)
    }

    /// The fields that a text gives, in the order of the pattern.
    fn fields(&self, text: &str, separator: &str) -> Option<Vec<(String, String)>> {
        let values = self.matched(text)?;
        let mut out: Vec<(String, String)> = Vec::new();
        let mut joined: Vec<&str> = Vec::new();
        let mut put = |name: &str, value: String| match out.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => out.push((name.to_owned(), value)),
        };
        for (key, value) in self.keys.iter().zip(&values) {
            match key.role {
                Use::Append(_) if joined.contains(&key.name.as_str()) => {}
                Use::Plain | Use::Append(_) => {
                    joined.push(&key.name);
                    put(&key.name, self.appended(&key.name, &values, value, separator));
                }
                Use::Name => {
                    let paired = self.keys.iter().position(|k| k.name == key.name && k.role == Use::Value)?;
                    put(value, values[paired].to_owned());
                }
                Use::Skip | Use::Value => {}
            }
        }
        Some(out)
    }

    /// The value of a key with all that is appended to it.
    fn appended(&self, name: &str, values: &[&str], own: &str, separator: &str) -> String {
        let mut parts: Vec<(usize, &str)> = Vec::new();
        for (key, value) in self.keys.iter().zip(values).filter(|(key, _)| key.name == name) {
            match key.role {
                Use::Append(order) => parts.push((order, value)),
                Use::Plain if self.keys.iter().any(|k| k.name == name && matches!(k.role, Use::Append(_))) => {
                    parts.push((0, value));
                }
                _ => {}
            }
        }
        if parts.is_empty() {
            return own.to_owned();
        }
        parts.sort_by_key(|(order, _)| *order);
        parts.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(separator)
    }
}

impl Parameters for Dissect {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        self.parsed = Pattern::parse(&self.pattern)?;
        Ok(())
    }
}

impl Function for Dissect {
    fn apply(&self, text: &[u8], _meta: &mut Meta) -> Result<Effect, Fault> {
        let place = field::Place::new(&self.field, None, self.ignore_missing);
        let Some(source) = place.text(text, "cannot process it.")? else { return Ok(Effect::Unchanged) };
        let Some(fields) = self.parsed.fields(&source, &self.append_separator) else {
            return Err(Fault::new(
                400,
                "find_match",
                format!("Unable to find match for dissect pattern: {} against source: {source}", self.pattern),
            ));
        };
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, json::quote(&value))).collect();
        field::put_all(text, &fields).map(Effect::Replaced)
    }
}
