//! `set`: writes a value.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::schema::ANY;
use super::support::template::{Template, Value};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Sets a field to a value.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Set {
    /// The field, as a dotted path; a template.
    #[schemars(length(min = 1))]
    field: String,
    /// The value; its strings are templates.
    #[schemars(required, extend("type" = ANY))]
    value: Option<Box<RawValue>>,
    /// Whether a field that exists is replaced.
    #[serde(default = "super::support::function::yes", rename = "override")]
    replace: bool,
    /// Whether a template without a value leaves the field as it is.
    #[serde(default)]
    ignore_empty_value: bool,
    #[serde(skip)]
    name: Option<Template>,
    #[serde(skip)]
    prepared: Option<Value>,
}

impl Parameters for Set {
    fn prepare(&mut self) -> Result<(), String> {
        self.name = Some(Template::parse(&field::checked("field", &self.field)?)?);
        let Some(value) = &self.value else { return Err("[value] required property is missing".to_owned()) };
        self.prepared = Some(Value::parse(value.get().as_bytes())?);
        Ok(())
    }
}

impl Function for Set {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let name = self.name.as_ref().map(|name| field::named(name, doc, meta)).unwrap_or_default();
        if !self.replace && json::find(doc, &name).is_some_and(|range| &text[range] != b"null") {
            return Ok(Effect::Unchanged);
        }
        let Some(value) = self.prepared.as_ref().map(|value| value.render(doc, meta)) else {
            return Ok(Effect::Unchanged);
        };
        let templated = || matches!(self.prepared, Some(Value::Text(_)));
        if self.ignore_empty_value && value.as_ref() == b"\"\"" && templated() {
            return Ok(Effect::Unchanged);
        }
        field::change(doc, &name, &value)
    }

    fn names(&self) -> Vec<&Template> {
        self.name.iter().collect()
    }
}
