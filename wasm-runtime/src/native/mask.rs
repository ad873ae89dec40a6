//! `mask`: hides fields of hits, wherever a hit shows them: `_source`, `fields`, highlights.
//!
//! It runs on the hits of `top_hits` and inner hits, too. Aggregations over a masked field still show its values: keep the
//! field out of them by the query pipeline.

use std::ops::Range;

use serde::Deserialize;
use sha1::Digest;

use super::{Function, Parameters, field::Names};
use crate::deadline::glance;
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::{java, json};

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    fields: Names,
    #[serde(default)]
    mode: Mode,
    #[serde(default = "stars")]
    mask: String,
    #[serde(default)]
    keep_last: usize,
    #[serde(default)]
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
        if self.mask.len() > LONGEST || self.salt.len() > LONGEST {
            return Err(format!("[mask] and [salt] may have {LONGEST} characters each"));
        }
        if self.mode == Mode::Hash && self.salt.is_empty() {
            return Err("[salt] is needed for mode [hash]: without one, values can be guessed".to_owned());
        }
        Ok(())
    }
}

impl Mask {
    fn hidden(&self, raw: &[u8]) -> Vec<u8> {
        glance();
        if raw[0] == b'[' {
            let items: Vec<Vec<u8>> = json::elements(raw, 0).into_iter().map(|r| self.hidden(&raw[r])).collect();
            return super::field::array(&items);
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

    /// Every place of the path in `text`, through lists of objects; a key may hold the dots itself.
    fn hide(&self, text: &[u8], path: &str) -> Option<Vec<u8>> {
        if text[0] == b'[' {
            let mut changed = false;
            let items: Vec<Vec<u8>> = json::elements(text, 0)
                .into_iter()
                .map(|r| {
                    glance();
                    let item = &text[r];
                    self.hide(item, path).inspect(|_| changed = true).unwrap_or_else(|| item.to_vec())
                })
                .collect();
            return changed.then(|| super::field::array(&items));
        }
        if text[0] != b'{' {
            return None;
        }
        let mut out: Option<Vec<u8>> = None;
        if let Some(value) = last(text, path, &mut out) {
            let here = out.as_deref().unwrap_or(text);
            out = Some(if self.mode == Mode::Remove {
                json::remove_member(here, 0, path)?
            } else {
                json::splice(here, value.clone(), &self.hidden(&here[value]))
            });
        }
        for (dot, _) in path.match_indices('.') {
            let Some(value) = last(text, &path[..dot], &mut out) else { continue };
            let here = out.as_deref().unwrap_or(text);
            if let Some(inner) = self.hide(&here[value.clone()], &path[dot + 1..]) {
                out = Some(json::splice(here, value, &inner));
            }
        }
        out
    }
}

/// The value of the member `name` of the object that `out` is, or else `text`. Where there are several of the name, `out` is the
/// object with the last of them only.
fn last(text: &[u8], name: &str, out: &mut Option<Vec<u8>>) -> Option<Range<usize>> {
    let here = out.as_deref().unwrap_or(text);
    let mut all = json::Entries::new(here, 0)?.filter(|entry| json::key_is(&here[entry.key.clone()], name));
    let first = all.next()?;
    let Some(last) = all.last() else { return Some(first.value) };
    let value = here[last.value].to_vec();
    let alone = json::insert_member(&json::remove_member(here, 0, name)?, 0, name, &value);
    let found = json::get(&alone, 0, name).map(|entry| entry.value);
    *out = Some(alone);
    found
}

impl Function for Mask {
    fn apply(&self, text: &[u8], _meta: &mut Meta) -> Result<Effect, Fault> {
        let mut out: Option<Vec<u8>> = None;
        for container in ["_source", "fields", "highlight"] {
            for path in self.fields.list() {
                let here = out.as_deref().unwrap_or(text);
                let Some(object) = json::get(here, json::skip_ws(here, 0), container).map(|e| e.value) else {
                    continue;
                };
                if let Some(hidden) = self.hide(&here[object.clone()], path) {
                    out = Some(json::splice(here, object, &hidden));
                }
            }
        }
        Ok(out.map_or(Effect::Unchanged, Effect::Replaced))
    }
}
