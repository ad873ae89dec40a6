//! `dot_expander`: a field with dots in its name becomes objects in each other.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Turns a field with dots in its name into nested objects.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DotExpander {
    /// The field with a dot in its name.
    #[schemars(regex(pattern = r"^[^.]+(\.[^.]+)+$"))]
    field: String,
    /// The object that contains the field.
    path: Option<String>,
}

impl Parameters for DotExpander {
    fn prepare(&mut self) -> Result<(), String> {
        if !self.field.contains('.') {
            return Err("[field] field does not contain a dot".to_owned());
        }
        if self.field.starts_with('.') || self.field.ends_with('.') {
            return Err("[field] Field can't start or end with a dot".to_owned());
        }
        if self.field.contains("..") {
            return Err("[field] No space between dots".to_owned());
        }
        Ok(())
    }
}

impl DotExpander {
    /// The members of `object` with the dotted one expanded.
    fn expanded(&self, doc: DocView<'_>) -> Result<Vec<u8>, Fault> {
        let object = doc.text();
        let Some(entry) = json::get(doc, json::skip_ws(object, 0), &self.field) else {
            return Ok(object.to_vec());
        };
        let value = object[entry.value].to_vec();
        let less = json::remove_member(doc, json::skip_ws(object, 0), &self.field).unwrap_or_default();
        if json::find(doc, &self.field).is_some() {
            return Ok(field::append(&less, &self.field, &elements(&value), true)?.unwrap_or(less));
        }
        let parts: Vec<&str> = self.field.split('.').collect();
        for n in 1..parts.len() {
            let prefix = parts[..n].join(".");
            if json::find(&less, &prefix).is_some_and(|range| less[range.start] != b'{') {
                return Err(Fault::illegal(format!(
                    "cannot expend [{}], because [{prefix}] is not an object field, but a value field",
                    self.field
                )));
            }
        }
        field::set(&less, &self.field, &value)
    }
}

fn elements(raw: &[u8]) -> Vec<Vec<u8>> {
    match raw[0] {
        b'[' => json::elements(raw, 0).into_iter().map(|r| raw[r].to_vec()).collect(),
        _ => vec![raw.to_vec()],
    }
}

impl Function for DotExpander {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        match &self.path {
            None => self.expanded(doc).map(Effect::Replaced),
            Some(path) => {
                let range = field::require(doc, path)?;
                if text[range.start] != b'{' {
                    return Err(field::cannot_cast(path, &text[range], "java.util.Map"));
                }
                let inner = self.expanded(text[range.clone()].into())?;
                Ok(Effect::Replaced(json::splice(text, range, &inner)))
            }
        }
    }
}
