//! `rename`: moves a value to another field.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::template::Template;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Renames a field.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rename {
    /// The field that is renamed; a template.
    #[schemars(length(min = 1))]
    field: String,
    /// The new name; a template.
    #[schemars(length(min = 1))]
    target_field: String,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    /// Whether a target field that exists is replaced.
    #[serde(default)]
    override_target: bool,
    #[serde(skip)]
    templates: Option<(Template, Template)>,
}

impl Parameters for Rename {
    fn prepare(&mut self) -> Result<(), String> {
        let from = Template::parse(&field::checked("field", &self.field)?)?;
        let to = Template::parse(&field::checked("target_field", &self.target_field)?)?;
        self.templates = Some((from, to));
        Ok(())
    }
}

impl Function for Rename {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let Some((from, to)) = &self.templates else { return Ok(Effect::Unchanged) };
        let (from, to) = (field::named(from, doc, meta), field::named(to, doc, meta));
        let Some(range) = json::find(doc, &from) else {
            field::in_bounds(doc, &from)?;
            if self.ignore_missing {
                return Ok(Effect::Unchanged);
            }
            return Err(Fault::illegal(match from.is_empty() {
                true => "field path cannot be null nor empty".to_owned(),
                false => format!("field [{from}] doesn't exist"),
            }));
        };
        if to.is_empty() {
            return Err(Fault::illegal("path cannot be null nor empty"));
        }
        match json::find(doc, &to) {
            None => field::in_bounds(doc, &to)?,
            Some(_) if self.override_target => {}
            Some(_) => return Err(Fault::illegal(format!("field [{to}] already exists"))),
        }
        let value = text[range].to_vec();
        let less = json::remove(doc, &from).unwrap_or_else(|| text.to_vec());
        // Where it cannot be moved it is put back, and what is wrong with that comes first.
        let moved = field::set(&less, &to, &value);
        moved.map(Effect::Replaced).map_err(|fault| field::set(&less, &from, &value).err().unwrap_or(fault))
    }

    fn names(&self) -> Vec<&Template> {
        self.templates.iter().flat_map(|(from, to)| [from, to]).collect()
    }
}
