//! `kv`: key-value pairs out of a string.

use serde::Deserialize;

use super::regex::{self, Regex};
use super::{Function, Parameters, field};
use crate::deadline::tick;
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kv {
    field: String,
    field_split: String,
    value_split: String,
    target_field: Option<String>,
    include_keys: Option<Vec<String>>,
    #[serde(default)]
    exclude_keys: Vec<String>,
    #[serde(default)]
    ignore_missing: bool,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    trim_key: String,
    #[serde(default)]
    trim_value: String,
    #[serde(default)]
    strip_brackets: bool,
    #[serde(skip)]
    splits: Option<(Regex, Regex)>,
}

impl Parameters for Kv {
    fn prepare(&mut self) -> Result<(), String> {
        field::check_pair(&mut self.field, &mut self.target_field)?;
        let fields = regex::compile(&self.field_split).map_err(|e| format!("[field_split] {e}"))?;
        let values = regex::compile(&self.value_split).map_err(|e| format!("[value_split] {e}"))?;
        self.splits = Some((fields, values));
        Ok(())
    }
}

impl Kv {
    fn wanted(&self, key: &str) -> bool {
        let excluded = self.exclude_keys.iter().any(|k| k == key);
        !excluded && self.include_keys.as_ref().is_none_or(|keys| keys.iter().any(|k| k == key))
    }

    fn cleaned(&self, value: &str) -> String {
        let value = value.trim_matches(|c| self.trim_value.contains(c));
        if !self.strip_brackets {
            return value.to_owned();
        }
        let value = value.strip_prefix(['(', '[', '<', '"', '\'']).unwrap_or(value);
        value.strip_suffix([')', ']', '>', '"', '\'']).unwrap_or(value).to_owned()
    }
}

impl Function for Kv {
    fn apply(&self, text: &[u8], _meta: &mut Meta) -> Result<Effect, Fault> {
        let Some((fields, values)) = &self.splits else { return Ok(Effect::Unchanged) };
        if json::find(text, &self.field).is_none() && !self.ignore_missing {
            return Err(Fault::illegal(format!("field [{}] doesn't exist", self.field)));
        }
        let place = field::Place::new(&self.field, None, self.ignore_missing);
        let Some(source) = place.text(text, "cannot extract key-value pairs. ")? else { return Ok(Effect::Unchanged) };
        let mut out = text.to_vec();
        for pair in regex::split(fields, &source, 0, false)? {
            tick()?;
            let parts = regex::split(values, pair, 2, true)?;
            let [key, value] = parts.as_slice() else {
                return Err(Fault::illegal(format!(
                    "field [{}] does not contain value_split [{}]",
                    self.field, self.value_split
                )));
            };
            let key = key.trim_matches(|c| self.trim_key.contains(c));
            if !self.wanted(key) {
                continue;
            }
            let name = format!("{}{key}", self.prefix);
            let path = match &self.target_field {
                Some(target) if name.is_empty() => target.clone(),
                Some(target) => format!("{target}.{name}"),
                None => name,
            };
            let value = json::quote(&self.cleaned(value));
            out = match json::find(&out, &path) {
                Some(_) => field::append(&out, &path, &[value], true)?,
                None => field::put(&out, &path, &value)?,
            };
        }
        Ok(Effect::Replaced(out))
    }
}
