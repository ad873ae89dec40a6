//! `mask`: hides fields of hits, wherever a hit shows them: `_source`, `fields`, highlights.
//!
//! It runs on the hits of `top_hits` and inner hits, too; a hit that is a nested object shows it without the names above it.
//! What did not fit a mapping (`fit_mapping`) may be a value of any field, and is hidden as a whole.
//! Aggregations over a masked field still show its values: keep the field out of them by the query pipeline.

use schemars::JsonSchema;
use serde::Deserialize;
use sha1::Digest;

use super::support::edits::edited;
use super::support::field::Names;
use super::support::function::{Function, Parameters};
use super::support::names::{Relation, below, holds_any, relation};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::glance;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::json::java;
use crate::json::{Edit, Entry};

#[derive(Deserialize, JsonSchema, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// A fixed text in place of the value.
    #[default]
    Redact,
    /// As many marks as the text has characters, but for the last `keep_last`.
    Partial,
    /// The first 16 hexadecimal digits of the value's SHA-256 under `salt`: equal values stay equal.
    Hash,
    /// The field is not there.
    Remove,
}

/// Characters that the mask and the salt may have: they are written, or hashed, for every value.
const LONGEST: usize = 1024;

/// Where a hit shows fields.
const CONTAINERS: [&str; 3] = ["_source", "fields", "highlight"];

/// Hides fields of hits.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mask {
    /// The fields that are hidden, as the mapping names them.
    #[schemars(extend("minItems" = 1, "minLength" = 1))]
    fields: Names,
    /// The form of a hidden value.
    #[serde(default)]
    mode: Mode,
    /// The text in place of a value, with mode `redact`.
    #[serde(default = "stars")]
    #[schemars(length(max = 1024))]
    mask: String,
    /// Number of characters that stay readable, with mode `partial`.
    #[serde(default)]
    keep_last: usize,
    /// The secret of the hash, with mode `hash`.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    salt: String,
}

fn stars() -> String {
    "****".to_owned()
}

impl Parameters for Mask {
    fn prepare(&mut self) -> Result<(), String> {
        let names = self.fields.list();
        if names.is_empty() || names.iter().any(|name| name.is_empty() || name.split('.').any(str::is_empty)) {
            return Err("[fields] needs the names of fields".to_owned());
        }
        if let Some(name) = names.iter().find(|name| name.contains('*')) {
            return Err(format!(
                "[fields] must name fields in full, without wildcards, but has [{name}]; the name of an object hides all that is below it"
            ));
        }
        if let Some(name) = names.iter().find(|name| hides_nothing(name)) {
            return Err(format!(
                "[fields] must name fields as the mapping does, without [_source.] and positions in lists, but has [{name}]; a mask holds for every element of a list"
            ));
        }
        if self.mask.len() > LONGEST || self.salt.len() > LONGEST {
            return Err(format!("[mask] and [salt] may have {LONGEST} characters each"));
        }
        if self.mode == Mode::Hash && self.salt.is_empty() {
            return Err("[salt] is needed for mode [hash]: without one, values can be guessed".to_owned());
        }
        Ok(())
    }
}

/// Whether a name is of a form that no field of a hit has.
fn hides_nothing(name: &str) -> bool {
    let position = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    name == "_source"
        || name.starts_with("_source.")
        || name.contains(['[', ']'])
        || name.split('.').skip(1).any(position)
}

impl Mask {
    fn hidden(&self, raw: &[u8]) -> Vec<u8> {
        glance();
        if raw[0] == b'[' {
            let items: Vec<Vec<u8>> = json::elements(raw, 0).into_iter().map(|r| self.hidden(&raw[r])).collect();
            return super::support::field::array(&items);
        }
        if raw == b"null" {
            return raw.to_vec();
        }
        let text = java::text(raw);
        json::quote(&match self.mode {
            Mode::Redact | Mode::Remove => self.mask.clone(),
            Mode::Partial => {
                let chars: Vec<char> = text.chars().collect();
                let shown = self.keep_last.min(chars.len() / 2);
                let (hidden, kept) = chars.split_at(chars.len() - shown);
                "*".repeat(hidden.len()) + &kept.iter().collect::<String>()
            }
            Mode::Hash => {
                let digest = sha2::Sha256::digest(format!("{}{text}", self.salt));
                digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
            }
        })
    }

    /// Notes in `edits` what hides the fields `names` of the object, or of the objects of the list, that starts at `at`.
    ///
    /// A name is what is left of it there; the empty one is everything. `whole`: it is the document itself, not a part.
    fn hide(&self, text: &[u8], at: usize, names: &[&str], whole: bool, edits: &mut Vec<Edit>) {
        glance();
        match text[at] {
            b'[' => json::elements(text, at).iter().for_each(|item| self.hide(text, item.start, names, false, edits)),
            b'{' => self.hide_members(text, at, names, whole, edits),
            _ => {}
        }
    }

    fn hide_members(&self, text: &[u8], at: usize, names: &[&str], whole: bool, edits: &mut Vec<Edit>) {
        let mut entries = json::Entries::new(text, at).into_iter().flatten().peekable();
        let (mut kept, mut last) = (false, at + 1);
        while let Some(Entry { key, value }) = entries.next() {
            let key_text = &text[key.clone()];
            let found = if whole && holds_any(key_text) { Relation::Covered } else { relation(key_text, names) };
            let removed = self.mode == Mode::Remove && matches!(found, Relation::Covered);
            match found {
                Relation::Elsewhere => {}
                Relation::Above(inner) => self.hide(text, value.start, &inner, false, edits),
                Relation::Covered if !removed => edits.push(Edit::of(value.clone(), self.hidden(&text[value.clone()]))),
                // One comma goes with it: the one before it, or where nothing is before it the one behind it.
                Relation::Covered if kept => edits.push(Edit::of(last..value.end, Vec::new())),
                Relation::Covered => {
                    let end = entries.peek().map_or(value.end, |next| next.key.start - 1);
                    edits.push(Edit::of(key.start - 1..end, Vec::new()));
                }
            }
            kept |= !removed;
            last = value.end;
        }
    }
}

/// The path of the nested object that the hit at `start` is; its `_source` is that object.
fn nested_path(doc: DocView<'_>, start: usize) -> Option<String> {
    let hit = doc.text();
    let mut here = json::get(doc, start, "_nested")?.value.start;
    let mut path = String::new();
    loop {
        path.push_str(&json::string(&hit[json::get(hit, here, "field")?.value])?);
        let Some(inner) = json::get(hit, here, "_nested") else { return Some(path) };
        path.push('.');
        here = inner.value.start;
    }
}

/// The rest of `names` in the object at the path `object`.
fn within<'n>(names: &[&'n str], object: &str) -> Vec<&'n str> {
    names.iter().filter_map(|name| below(object, name).map(|_| "").or_else(|| below(name, object))).collect()
}

impl Function for Mask {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let start = json::skip_ws(text, 0);
        let mut names = self.fields.list();
        if let Some(object) = nested_path(doc, start) {
            names.extend(within(&names, &object));
        }
        let mut places: Vec<usize> = CONTAINERS
            .iter()
            .filter_map(|container| json::get(doc, start, container).map(|entry| entry.value.start))
            .collect();
        places.sort_unstable();
        let mut edits = Vec::new();
        for range in places {
            self.hide(text, range, &names, true, &mut edits);
        }
        Ok(if edits.is_empty() { Effect::Unchanged } else { Effect::Replaced(edited(text, &edits)) })
    }
}

#[cfg(test)]
mod tests;
