//! `append`: values to a list; where a single value is, it becomes the first of one.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::schema::ANY;
use super::support::template::{Template, Value};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::limits::check_output_size;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Adds values to the list in a field.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Append {
    /// The field, as a dotted path; a template.
    #[schemars(length(min = 1))]
    field: String,
    /// The value, or a list of values, that is added; its strings are templates.
    #[schemars(required, extend("type" = ANY))]
    value: Option<Box<RawValue>>,
    /// Whether a value that is there already is added again.
    #[serde(default = "super::support::function::yes")]
    allow_duplicates: bool,
    #[serde(skip)]
    prepared: Option<(Template, Vec<Value>)>,
}

impl Parameters for Append {
    fn prepare(&mut self) -> Result<(), String> {
        let field = Template::parse(&field::checked("field", &self.field)?)?;
        let Some(value) = &self.value else { return Err("[value] required property is missing".to_owned()) };
        let raw = value.get().as_bytes();
        let raws: Vec<&[u8]> =
            if raw[0] == b'[' { json::elements(raw, 0).into_iter().map(|r| &raw[r]).collect() } else { vec![raw] };
        let values: Result<Vec<_>, _> = raws.into_iter().map(Value::parse).collect();
        self.prepared = Some((field, values?));
        Ok(())
    }
}

impl Function for Append {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let Some((field, values)) = &self.prepared else { return Ok(Effect::Unchanged) };
        let mut output_size = 0;
        let mut rendered = Vec::with_capacity(values.len());
        for value in values {
            let value = value.render(doc, meta).into_owned();
            output_size += value.len();
            check_output_size(text.len(), output_size)?;
            rendered.push(value);
        }
        let values = rendered;
        let appended = field::append(doc, &field::named(field, doc, meta), &values, self.allow_duplicates)?;
        Ok(appended.map_or(Effect::Unchanged, Effect::Replaced))
    }

    fn names(&self) -> Vec<&Template> {
        self.prepared.iter().map(|(field, _)| field).collect()
    }
}
