//! Reading and writing a field the way OpenSearch's processors do it, with their error texts.

use std::ops::Range;

use crate::batch::Effect;
use crate::error::Fault;
use crate::{java, json};

/// Parts of a document's metadata that a built-in must not write.
const METADATA: [&str; 8] =
    ["_index", "_id", "_routing", "_version", "_version_type", "_if_seq_no", "_if_primary_term", "_ingest"];

/// A field's name without OpenSearch's optional `_source.` prefix.
///
/// # Errors
/// For an empty name, empty parts, and metadata.
pub fn checked(option: &str, name: &str) -> Result<String, String> {
    let name = name.strip_prefix("_source.").unwrap_or(name);
    if name.is_empty() {
        return Err(format!("[{option}] required property is missing"));
    }
    if name.split('.').any(str::is_empty) {
        return Err(format!("[{option}] path [{name}] is not valid"));
    }
    let head = name.split('.').next().unwrap_or(name);
    if METADATA.contains(&head) {
        return Err(format!("[{option}] must not name the metadata field [{head}]"));
    }
    Ok(name.to_owned())
}

/// Where `path` leads in `text`.
///
/// # Errors
/// OpenSearch's "not present" text.
pub fn require(text: &[u8], path: &str) -> Result<Range<usize>, Fault> {
    if let Some(range) = json::find(text, path) {
        return Ok(range);
    }
    Err(Fault::illegal(absence(text, path)))
}

/// Why `path` leads nowhere, as `IngestDocument.resolve` says it.
pub fn absence(text: &[u8], path: &str) -> String {
    let parts: Vec<_> = json::segments(path).collect();
    let mut prefix = String::new();
    for part in &parts {
        let parent =
            if prefix.is_empty() { Some(text.trim_ascii()) } else { json::find(text, &prefix).map(|r| &text[r]) };
        if !prefix.is_empty() {
            prefix.push('.');
        }
        prefix.push_str(part);
        if json::find(text, &prefix).is_some() {
            continue;
        }
        return match parent {
            Some(p) if p.first() == Some(&b'{') => format!("field [{part}] not present as part of path [{path}]"),
            Some(p) if p.first() == Some(&b'[') => match part.parse::<usize>() {
                Ok(index) => format!(
                    "[{index}] is out of bounds for array with length [{}] as part of path [{path}]",
                    json::elements(p, 0).len()
                ),
                Err(_) => format!("[{part}] is not an integer, cannot be used as an index as part of path [{path}]"),
            },
            Some(b"null") => format!("cannot resolve [{part}] from null as part of path [{path}]"),
            Some(p) => {
                format!("cannot resolve [{part}] from object of type [{}] as part of path [{path}]", java::type_name(p))
            }
            None => format!("field [{part}] not present as part of path [{path}]"),
        };
    }
    format!("field [{path}] not present as part of path [{path}]")
}

/// `text` with `value` at `path`.
///
/// # Errors
/// OpenSearch's texts for a path that leads through something else.
pub fn put(text: &[u8], path: &str, value: &[u8]) -> Result<Vec<u8>, Fault> {
    json::set(text, path, value).map_err(Fault::illegal)
}

/// What `convert`, `lowercase` and their kin share: one field, rewritten in place or into another.
pub struct Rewrite<'a> {
    pub field: &'a str,
    pub target: Option<&'a str>,
    pub ignore_missing: bool,
}

impl Rewrite<'_> {
    /// Applies `whole` to the field's value, or `element` to every element of a list; `null` is the words for a null.
    ///
    /// # Errors
    /// For an absent or null field that may not be missing, and what the closures refuse.
    pub fn apply(
        &self,
        text: &[u8],
        null: impl Fn() -> String,
        whole: impl Fn(&[u8]) -> Result<Vec<u8>, Fault>,
        element: impl Fn(&[u8]) -> Result<Vec<u8>, Fault>,
    ) -> Result<Effect, Fault> {
        let found = json::find(text, self.field);
        if self.ignore_missing && found.as_ref().is_none_or(|r| &text[r.clone()] == b"null") {
            return Ok(Effect::Unchanged);
        }
        let range = found.map_or_else(|| require(text, self.field), Ok)?;
        let value = match &text[range.clone()] {
            b"null" => return Err(Fault::illegal(null())),
            raw if raw[0] == b'[' => {
                let parts: Result<Vec<_>, _> =
                    json::elements(text, range.start).into_iter().map(|r| element(&text[r])).collect();
                [b"[".as_slice(), &parts?.join(&b','), b"]"].concat()
            }
            raw => whole(raw)?,
        };
        match self.target {
            None => Ok(Effect::Replaced(json::splice(text, range, &value))),
            Some(target) => put(text, target, &value).map(Effect::Replaced),
        }
    }
}
