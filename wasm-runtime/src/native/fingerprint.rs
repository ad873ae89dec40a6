//! `fingerprint`: a hash over fields, to find documents that say the same.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use schemars::JsonSchema;
use serde::Deserialize;
use sha1::Digest;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::schema::{Caseless, Spelled};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::document::metadata_fields;
use crate::engine::deadline::glance;
use crate::engine::limits::check_output_size;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::json::java;

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Method {
    /// As it was written, small letters or not.
    name: String,
    hash: fn(&str) -> Vec<u8>,
}

impl Caseless for Method {
    const NAMES: &'static [&'static str] = &["MD5@2.16.0", "SHA-1@2.16.0", "SHA-256@2.16.0", "SHA3-256@2.16.0"];
}

impl TryFrom<String> for Method {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let hash = match name.to_uppercase().as_str() {
            "MD5@2.16.0" => |text: &str| md5::Md5::digest(text).to_vec(),
            "SHA-1@2.16.0" => |text: &str| sha1::Sha1::digest(text).to_vec(),
            "SHA-256@2.16.0" => |text: &str| sha2::Sha256::digest(text).to_vec(),
            "SHA3-256@2.16.0" => |text: &str| sha3::Sha3_256::digest(text).to_vec(),
            _ => {
                let methods = "MD5@2.16.0, SHA-1@2.16.0, SHA-256@2.16.0 or SHA3-256@2.16.0";
                return Err(format!("[hash_method] hash method must be {methods}, not [{name}]"));
            }
        };
        Ok(Self { name, hash })
    }
}

impl Method {
    /// `method:base64`, as the target field holds it.
    fn hashed(&self, text: &str) -> String {
        let digest = base64::engine::general_purpose::STANDARD.encode((self.hash)(text));
        format!("{}:{digest}", self.name)
    }
}

/// Writes a hash of fields.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fingerprint {
    /// The fields that are hashed; default: all.
    #[serde(default)]
    fields: Vec<String>,
    /// The fields that are not hashed, where all others are.
    #[serde(default)]
    exclude_fields: Vec<String>,
    /// The field that gets the hash.
    #[serde(default = "target")]
    #[schemars(length(min = 1))]
    target_field: String,
    /// The hash function.
    #[schemars(with = "Spelled<Method>")]
    #[serde(default = "method")]
    hash_method: Method,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
}

fn target() -> String {
    "fingerprint".to_owned()
}

fn method() -> Method {
    Method { name: "SHA-1@2.16.0".to_owned(), hash: |text| sha1::Sha1::digest(text).to_vec() }
}

impl Parameters for Fingerprint {
    fn prepare(&mut self) -> Result<(), String> {
        if !self.fields.is_empty() && !self.exclude_fields.is_empty() {
            return Err("either fields or exclude_fields can be set".to_owned());
        }
        if self.fields.iter().chain(&self.exclude_fields).any(String::is_empty) {
            return Err("field name cannot be null nor empty".to_owned());
        }
        self.target_field = field::checked("target_field", &self.target_field)?;
        Ok(())
    }
}

impl Fingerprint {
    fn names(&self, text: &[u8]) -> Vec<String> {
        let mut names = if self.fields.is_empty() {
            let entries = json::Entries::new(text, json::skip_ws(text, 0)).into_iter().flatten();
            let keys = entries.filter_map(|e| json::unescape(&text[e.key]).map(std::borrow::Cow::into_owned));
            let excluded: HashSet<&str> = self.exclude_fields.iter().map(String::as_str).collect();
            keys.filter(|key| excluded.is_empty() || !excluded.contains(key.as_str())).collect()
        } else {
            self.fields.clone()
        };
        names.retain(|name| !metadata_fields::is_own(name));
        names.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
        names.dedup();
        names
    }
}

/// Maximum number of fields that are looked up one by one: a table costs more below it.
const FEW: usize = 16;
/// Bytes that the paths of all leaves may have together.
const MOST_PATHS: usize = 64 << 20;

/// The leaves of an object by their dotted paths, lists being leaves.
///
/// # Errors
/// For paths that are many times longer than the object.
fn flattened(raw: &[u8], prefix: &str, out: &mut Vec<(String, String)>, output_size: &mut usize) -> Result<(), Fault> {
    for entry in json::Entries::new(raw, 0).into_iter().flatten() {
        let key = json::unescape(&raw[entry.key]).unwrap_or_default();
        let path = if prefix.is_empty() { key.into_owned() } else { format!("{prefix}.{key}") };
        let value = &raw[entry.value];
        if value[0] == b'{' {
            flattened(value, &path, out, output_size)?;
        } else {
            glance();
            *output_size += path.len();
            check_output_size(MOST_PATHS, *output_size)?;
            out.push((path, java::text(value)));
        }
    }
    Ok(())
}

impl Function for Fingerprint {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let mut hashed = String::new();
        let mut add = |path: &str, value: &str| {
            let length = value.encode_utf16().count();
            hashed.push_str(&format!("|{path}|{length}:{value}"));
        };
        let names = self.names(text);
        let entries = (names.len() > FEW).then(|| json::Entries::new(text, json::skip_ws(text, 0))).flatten();
        let members: HashMap<_, _> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| Some((json::unescape(&text[entry.key])?, entry.value)))
            .collect();
        let many = names.len() > FEW;
        for name in names {
            glance();
            let path = field::bare(&name);
            let found = if many && json::is_plain(path) { members.get(path).cloned() } else { json::find(doc, path) };
            let Some(range) = found else {
                if self.ignore_missing {
                    continue;
                }
                return Err(Fault::illegal(format!("field [{name}] doesn't exist")));
            };
            let raw = &text[range];
            if raw[0] == b'{' {
                let mut leaves = Vec::new();
                flattened(raw, "", &mut leaves, &mut 0)?;
                leaves.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
                leaves.iter().for_each(|(path, value)| add(&format!("{name}.{path}"), value));
            } else {
                add(&name, &java::text(raw));
            }
        }
        if hashed.is_empty() {
            return Ok(Effect::Unchanged);
        }
        hashed.push('|');
        let value = json::quote(&self.hash_method.hashed(&hashed));
        field::change(doc, &self.target_field, &value)
    }
}
