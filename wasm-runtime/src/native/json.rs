//! `json`: the value that a string spells.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::glance;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::json::java;
use crate::json::validate;

/// Reads a text as JSON.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Json {
    /// The field that is read, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The field that gets the result; default: `field`.
    #[schemars(length(min = 1))]
    target_field: Option<String>,
    /// Whether the members are added to the document itself.
    #[serde(default)]
    add_to_root: bool,
}

impl Parameters for Json {
    fn prepare(&mut self) -> Result<(), String> {
        if self.add_to_root && self.target_field.is_some() {
            return Err("[target_field] Cannot set a target field while also setting `add_to_root` to true".to_owned());
        }
        let written = self.field.clone();
        field::check_pair(&mut self.field, &mut self.target_field)?;
        if self.add_to_root {
            self.field = written;
        }
        Ok(())
    }
}

/// The first value of `text`, as Jackson reads it: comments and a byte order mark are blanks, what follows a list or an
/// object does not count, nothing is null.
fn spelled(text: &str) -> Result<Vec<u8>, Fault> {
    let bytes = text.strip_prefix('\u{feff}').filter(|rest| !rest.is_empty()).unwrap_or(text).as_bytes();
    let start = behind_blanks(bytes, 0)?;
    let value = match bytes.get(start) {
        None => return Ok(b"null".to_vec()),
        Some(b'{' | b'[') => structure(&bytes[start..])?,
        Some(b'"') => bytes[start..json::skip_string(bytes, start).unwrap_or(bytes.len())].to_vec(),
        // A number ends with white space only.
        Some(b'-' | b'0'..=b'9') => {
            let blank = |c: &u8| matches!(c, b' ' | b'\t' | b'\n' | b'\r');
            let end = bytes[start..].iter().position(blank).map_or(bytes.len(), |len| start + len);
            bytes[start..end].to_vec()
        }
        Some(_) => {
            let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
            let rest = std::str::from_utf8(&bytes[start..]).unwrap_or_default();
            rest.as_bytes()[..rest.find(|c| !word(c)).unwrap_or(rest.len())].to_vec()
        }
    };
    validate::check(&value).map_err(|e| Fault::illegal(format!("the text is {}", e.0)))?;
    if let Some(key) = json::repeated_key(&value) {
        return Err(Fault::illegal(format!("Duplicate Object property \"{key}\"")));
    }
    Ok(value)
}

/// The first place at or after `at` that is neither white space nor in a comment.
fn behind_blanks(text: &[u8], mut at: usize) -> Result<usize, Fault> {
    loop {
        at = json::skip_ws(text, at);
        match comment(text, at)? {
            Some(end) => at = end,
            None => return Ok(at),
        }
    }
}

/// Where the comment ends that begins at `at`, if one does.
fn comment(text: &[u8], at: usize) -> Result<Option<usize>, Fault> {
    glance();
    let rest = &text[at..];
    if rest.starts_with(b"//") {
        return Ok(Some(memchr::memchr2(b'\n', b'\r', rest).map_or(text.len(), |end| at + end)));
    }
    if rest.starts_with(b"/*") {
        let end = memchr::memmem::find(&rest[2..], b"*/").map(|end| at + end + 4);
        return end.map(Some).ok_or_else(|| Fault::illegal("the text is not valid JSON: a comment does not end"));
    }
    Ok(None)
}

/// The object or list at the beginning of `text`, its comments left out.
fn structure(text: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(text.len());
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(&c) = text.get(at) {
        glance();
        let end = match c {
            b'"' => json::skip_string(text, at).unwrap_or(text.len()),
            b'/' => match comment(text, at)? {
                Some(end) => {
                    out.push(b' ');
                    at = end;
                    continue;
                }
                None => at + 1,
            },
            _ => at + 1,
        };
        out.extend_from_slice(&text[at..end]);
        at = end;
        match c {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    Ok(out)
}

impl Function for Json {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let no_object = || Fault::illegal("cannot add non-map fields to root of document");
        let raw = match self.add_to_root {
            false => &text[field::require(doc, &self.field)?],
            // Only a member of the document itself is looked for.
            true => {
                let entry = json::get(doc, json::skip_ws(text, 0), &self.field).ok_or_else(no_object)?;
                &text[entry.value]
            }
        };
        let value = spelled(&java::text(raw))?;
        if !self.add_to_root {
            let target = self.target_field.as_deref().unwrap_or(&self.field);
            return field::change(doc, target, &value);
        }
        if value[0] != b'{' {
            return Err(no_object());
        }
        Ok(Effect::Replaced(json::merge(text, &value)))
    }

    fn free(&self) -> bool {
        self.add_to_root
    }
}
