//! `dissect`: fields out of a string by its delimiters.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::rewrite::FieldRewrite;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::json::java;

/// Splits a text at fixed separators into fields.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dissect {
    /// The field that is read, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The keys and the text between them, such as `%{ip} - %{user}`.
    pattern: String,
    /// The text between values that are appended to one key.
    #[serde(default)]
    append_separator: String,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    #[serde(skip)]
    parsed: Pattern,
}

/// Keys that a pattern may have: each is looked for among the others.
const MOST_KEYS: usize = 500;

/// Order of the first key without one of its own that is appended: all those come before the others.
const IMPLICIT: i64 = -1000;

/// The use that a key makes of its text.
#[derive(Clone, PartialEq)]
enum Use {
    Plain,
    Skip,
    Append(i64),
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
        // What stands before the first `%`, on its line; behind a key its delimiter ends at the next `%`.
        let leading = text.split_once('%').map_or("", |(before, _)| before);
        let leading = if leading.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) { "" } else { leading };
        let mut pattern = Self { leading: leading.to_owned(), keys: Vec::new() };
        let mut rest = &text[leading.len()..];
        while let Some((inner, behind)) = rest.split_once("%{").and_then(|(_, inner)| inner.split_once('}')) {
            let delimiter = &behind[..behind.find('%').unwrap_or(behind.len())];
            let mut key = Self::key(inner, &pattern.keys)
                .map_err(|why| wrong(&format!("Unable to parse key: {inner} Reason: {why}")))?;
            key.delimiter = delimiter.to_owned();
            pattern.keys.push(key);
            rest = &behind[delimiter.len()..];
        }
        pattern.check().map_err(|why| wrong(&why))?;
        Ok(pattern)
    }

    fn key(text: &str, before: &[Key]) -> Result<Key, String> {
        let marks: Vec<(usize, char)> =
            text.char_indices().filter(|(_, c)| matches!(c, '/' | '+' | '*' | '&' | '?')).collect();
        let (role, named) = match marks.as_slice() {
            [] => (Use::Plain, text),
            [(at, mark)] => {
                let role = match mark {
                    '+' => Use::Append(IMPLICIT + before.len() as i64),
                    '*' => Use::Name,
                    '&' => Use::Value,
                    '?' => Use::Skip,
                    _ => return Err("the key name could not be determined".to_owned()),
                };
                (role, &text[at + 1..])
            }
            [(plus, '+'), (slash, '/')] => {
                let (order, padding) =
                    text[slash + 1..].split_at(text[slash + 1..].bytes().take_while(u8::is_ascii_digit).count());
                let order: i16 = order.parse().map_err(|_| format!("[{order}] is not an order"))?;
                if !matches!(padding, "" | "->") {
                    return Err("the key name could not be determined".to_owned());
                }
                let (name, delimiter) = (text[plus + 1..*slash].to_owned(), String::new());
                return Self::usable(Key {
                    name,
                    role: Use::Append(order.into()),
                    padded: !padding.is_empty(),
                    delimiter,
                });
            }
            _ => return Err("multiple modifiers are not allowed.".to_owned()),
        };
        let (name, padded) = named.strip_suffix("->").map_or((named, false), |name| (name, true));
        let role = if role == Use::Plain && name.is_empty() { Use::Skip } else { role };
        Self::usable(Key { name: name.to_owned(), role, padded, delimiter: String::new() })
    }

    fn usable(key: Key) -> Result<Key, String> {
        match key.name.is_empty() && key.role != Use::Skip {
            true => Err("the key name could not be determined".to_owned()),
            false => Ok(key),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.keys.len() > MOST_KEYS {
            return Err(format!("it has {} keys, the limit is {MOST_KEYS}", self.keys.len()));
        }
        for key in self.keys.iter().filter(|key| matches!(key.role, Use::Name | Use::Value)) {
            let others = self.keys.iter().filter(|k| k.name == key.name && matches!(k.role, Use::Name | Use::Value));
            if others.count() != 2 {
                return Err(format!(
                    "Found invalid key/reference associations: '{}' Please ensure each '*<key>' is matched with a matching '&<key>",
                    key.name
                ));
            }
        }
        if !self.keys.iter().any(|key| key.role != Use::Skip) {
            return Err("Unable to find any keys or delimiters.".to_owned());
        }
        Ok(())
    }

    /// The text of every key; `None` if the pattern does not match.
    fn matched<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        // Two keys without a delimiter between them never match, nor does a text that ends with what leads.
        let mut rest = text.strip_prefix(self.leading.as_str()).filter(|rest| !rest.is_empty())?;
        let inner = &self.keys[..self.keys.len().saturating_sub(1)];
        if inner.iter().any(|key| key.delimiter.is_empty()) {
            return None;
        }
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
        Some(found)
    }

    /// The fields that a text gives, in the order of the pattern; `None` also where two of them have one name.
    fn fields(&self, text: &str, separator: &str) -> Option<Vec<(String, String)>> {
        let values = self.matched(text)?;
        let mut out: Vec<(String, String)> = Vec::new();
        let mut wanted: HashSet<&str> = HashSet::new();
        let mut add = |name: &str, value: String| match out.iter_mut().find(|(listed, _)| listed == name) {
            Some((_, old)) => *old = value,
            None => out.push((name.to_owned(), value)),
        };
        for (key, value) in self.keys.iter().zip(&values).filter(|(key, _)| key.role != Use::Skip) {
            let first = wanted.insert(&key.name);
            match key.role {
                Use::Append(_) if !first => {}
                Use::Plain | Use::Append(_) => add(&key.name, self.appended(&key.name, &values, value, separator)),
                Use::Name => {
                    let paired = self.keys.iter().position(|k| k.name == key.name && k.role == Use::Value)?;
                    add(value, values[paired].to_owned());
                }
                Use::Skip | Use::Value => {}
            }
        }
        (out.len() == wanted.len()).then_some(out)
    }

    /// The value of a key with all that is appended to it.
    fn appended(&self, name: &str, values: &[&str], own: &str, separator: &str) -> String {
        let mut parts: Vec<(i64, &str)> = Vec::new();
        for (at, (key, value)) in self.keys.iter().zip(values).enumerate().filter(|(_, (key, _))| key.name == name) {
            match key.role {
                Use::Append(order) => parts.push((order, value)),
                Use::Plain if self.keys.iter().any(|k| k.name == name && matches!(k.role, Use::Append(_))) => {
                    parts.push((IMPLICIT + at as i64, value));
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
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let rewrite = FieldRewrite::new(&self.field, None, self.ignore_missing);
        let Some(source) = rewrite.text(doc, "cannot process it.")? else { return Ok(Effect::Unchanged) };
        let Some(fields) = self.parsed.fields(&source, &self.append_separator) else {
            return Err(Fault::new(
                400,
                "find_match",
                format!("Unable to find match for dissect pattern: {} against source: {source}", self.pattern),
            ));
        };
        let mut fields: Vec<_> =
            fields.into_iter().map(|(name, value)| (field::unprefixed(name), json::quote(&value))).collect();
        // It decides where one field is within another.
        if fields.iter().any(|(name, _)| name.contains('.')) {
            let table = fields.len();
            java::in_order_of_hashes(&mut fields, table);
        }
        field::set_all(text, &fields).map(Effect::Replaced)
    }

    fn free(&self) -> bool {
        self.parsed.keys.iter().any(|key| key.role == Use::Name)
    }
}
