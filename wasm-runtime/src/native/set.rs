//! `set`: writes a value.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::template::Template;
use super::{Function, Parameters, field};
use crate::batch::Effect;
use crate::error::Fault;
use crate::host::Meta;
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    field: String,
    value: Option<Box<RawValue>>,
    #[serde(default = "yes", rename = "override")]
    replace: bool,
    #[serde(default)]
    ignore_empty_value: bool,
    #[serde(skip)]
    name: Option<Template>,
    #[serde(skip)]
    text: Option<Template>,
}

fn yes() -> bool {
    true
}

impl Parameters for Set {
    fn prepare(&mut self) -> Result<(), String> {
        self.name = Some(Template::parse(&field::checked("field", &self.field)?)?);
        let Some(value) = &self.value else { return Err("[value] required property is missing".to_owned()) };
        if let Some(text) = json::string(value.get().as_bytes()) {
            self.text = Some(Template::parse(&text)?);
        }
        Ok(())
    }
}

impl Set {
    fn value(&self, text: &[u8], meta: &Meta) -> Vec<u8> {
        if let Some(template) = self.text.as_ref().filter(|t| t.constant().is_none()) {
            return json::quote(&template.render(text, meta));
        }
        self.value.as_ref().map_or_else(|| b"null".to_vec(), |v| v.get().as_bytes().to_vec())
    }
}

impl Function for Set {
    fn apply(&self, text: &[u8], meta: &Meta) -> Result<Effect, Fault> {
        let rendered = self.name.as_ref().map(|t| t.constant().map_or_else(|| t.render(text, meta), str::to_owned));
        let name = rendered.unwrap_or_default();
        if !self.replace && json::find(text, &name).is_some_and(|range| &text[range] != b"null") {
            return Ok(Effect::Unchanged);
        }
        let value = self.value(text, meta);
        if self.ignore_empty_value && (value == b"null" || value == b"\"\"") {
            return Ok(Effect::Unchanged);
        }
        field::put(text, &name, &value).map(Effect::Replaced)
    }
}
