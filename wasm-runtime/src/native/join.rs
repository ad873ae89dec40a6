//! `join`: a list into a string.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::rewrite::FieldRewrite;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::limits::check_output_size;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::json::java;

/// Joins the elements of a list into a text.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Join {
    /// The field with the list, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The text between elements.
    separator: String,
    /// The field that gets the result; default: `field`.
    #[schemars(length(min = 1))]
    target_field: Option<String>,
}

impl Parameters for Join {
    fn prepare(&mut self) -> Result<(), String> {
        field::check_pair(&mut self.field, &mut self.target_field)
    }
}

impl Function for Join {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let rewrite = FieldRewrite::new(&self.field, self.target_field.as_deref(), false);
        let Some(list) = rewrite.list(doc, "cannot join.")? else { return Ok(Effect::Unchanged) };
        if list.contains(&b"null".as_slice()) {
            return Err(Fault::illegal(format!("field [{}] holds a null, cannot join.", self.field)));
        }
        check_output_size(text.len(), text.len() + list.len() * self.separator.len())?;
        let joined = list.into_iter().map(java::text).collect::<Vec<_>>().join(&self.separator);
        rewrite.set(doc, &json::quote(&joined))
    }
}
