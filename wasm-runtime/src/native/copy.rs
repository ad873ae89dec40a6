//! `copy`: a value to another field.

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

/// Copies a field to another one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Copy {
    /// The field that is copied; a template.
    #[schemars(length(min = 1))]
    source_field: String,
    /// The field that gets the copy; a template.
    #[schemars(length(min = 1))]
    target_field: String,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    /// Whether the source field is removed.
    #[serde(default)]
    remove_source: bool,
    /// Whether a target field that exists is replaced.
    #[serde(default)]
    override_target: bool,
    #[serde(skip)]
    templates: Option<(Template, Template)>,
}

impl Parameters for Copy {
    fn prepare(&mut self) -> Result<(), String> {
        field::checked("source_field", &self.source_field)?;
        field::checked("target_field", &self.target_field)?;
        // With what says that they are no metadata: two spellings of one field are not the same name.
        let (from, to) = (Template::parse(&self.source_field)?, Template::parse(&self.target_field)?);
        self.templates = Some((from, to));
        Ok(())
    }
}

impl Function for Copy {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let Some((from, to)) = &self.templates else { return Ok(Effect::Unchanged) };
        let same = from.render(doc, meta) == to.render(doc, meta);
        let (from, to) = (field::named(from, doc, meta), field::named(to, doc, meta));
        let Some(range) = json::find(doc, &from) else {
            field::in_bounds(doc, &from)?;
            if self.ignore_missing {
                return Ok(Effect::Unchanged);
            }
            return Err(Fault::illegal(match from.is_empty() {
                true => "source field path cannot be null nor empty".to_owned(),
                false => format!("source field [{from}] doesn't exist"),
            }));
        };
        if to.is_empty() {
            return Err(Fault::illegal("target field path cannot be null nor empty"));
        }
        if same {
            return Err(Fault::illegal("source field path and target field path cannot be same"));
        }
        match json::find(doc, &to) {
            _ if self.override_target => {}
            None => field::in_bounds(doc, &to)?,
            Some(range) if &text[range.clone()] == b"null" => {}
            Some(_) => return Err(Fault::illegal(format!("target field [{to}] already exists"))),
        }
        let value = text[range].to_vec();
        let copied = field::set(doc, &to, &value)?;
        if !self.remove_source {
            return Ok(Effect::Replaced(copied));
        }
        let less = json::remove(&copied, &from);
        less.map(Effect::Replaced).ok_or_else(|| Fault::illegal(field::unremovable((&copied).into(), &from)))
    }

    fn names(&self) -> Vec<&Template> {
        self.templates.iter().flat_map(|(from, to)| [from, to]).collect()
    }
}
