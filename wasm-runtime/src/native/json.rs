//! `json`: the value that a string spells.

use serde::Deserialize;

use super::{Function, Parameters, field};
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::{java, json, valid};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Json {
    field: String,
    target_field: Option<String>,
    #[serde(default)]
    add_to_root: bool,
}

impl Parameters for Json {
    fn prepare(&mut self) -> Result<(), String> {
        if self.add_to_root && self.target_field.is_some() {
            return Err("[target_field] Cannot set a target field while also setting `add_to_root` to true".to_owned());
        }
        field::check_pair(&mut self.field, &mut self.target_field)
    }
}

/// The first value of `text`, as Jackson reads it: what follows does not count, nothing is null.
fn spelled(text: &str) -> Result<Vec<u8>, Fault> {
    let bytes = text.as_bytes();
    let start = json::skip_ws(bytes, 0);
    if start == bytes.len() {
        return Ok(b"null".to_vec());
    }
    let end = json::skip_value(bytes, start).unwrap_or(bytes.len());
    let value = &bytes[start..end];
    valid::check(value).map_err(|e| Fault::illegal(format!("the text is {}", e.0)))?;
    if let Some(key) = json::repeated_key(value) {
        return Err(Fault::illegal(format!("Duplicate Object property \"{key}\"")));
    }
    Ok(value.to_vec())
}

impl Function for Json {
    fn apply(&self, text: &[u8], _meta: &mut Meta) -> Result<Effect, Fault> {
        let range = field::require(text, &self.field)?;
        let value = spelled(&java::text(&text[range]))?;
        if !self.add_to_root {
            let target = self.target_field.as_deref().unwrap_or(&self.field);
            return field::change(text, target, &value);
        }
        if value[0] != b'{' {
            return Err(Fault::illegal("cannot add non-map fields to root of document"));
        }
        Ok(Effect::Replaced(json::merge(text, &value)))
    }
}
