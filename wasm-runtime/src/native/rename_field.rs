//! `rename_field`: a field of every hit under another name, in `_source` and in `fields`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::function::{Function, Parameters};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Renames a field of every hit, in `_source` and `fields`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenameField {
    /// The field that is renamed.
    #[schemars(length(min = 1))]
    field: String,
    /// The new name.
    #[schemars(length(min = 1))]
    target_field: String,
    /// Whether a hit without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
}

impl Parameters for RenameField {
    fn prepare(&mut self) -> Result<(), String> {
        match (self.field.is_empty(), self.target_field.is_empty()) {
            (true, _) => Err("[field] required property is missing".to_owned()),
            (_, true) => Err("[target_field] required property is missing".to_owned()),
            _ => Ok(()),
        }
    }
}

/// The object in `container` of the hit with its member renamed.
fn renamed(doc: DocView<'_>, container: &str, from: &str, to: &str) -> Option<Vec<u8>> {
    let hit = doc.text();
    let object = json::get(doc, json::skip_ws(hit, 0), container)?.value;
    let inner = &hit[object.clone()];
    let value = inner[json::get(inner, 0, from)?.value].to_vec();
    let mut less = json::remove_member(inner, 0, from)?;
    if let Some(without) = json::remove_member(&less, 0, to) {
        less = without;
    }
    Some(json::splice(hit, object, &json::insert_member(&less, 0, to, &value)))
}

impl Function for RenameField {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let mut out: Option<Vec<u8>> = None;
        for container in ["fields", "_source"] {
            let here = out.as_ref().map_or(doc, DocView::from);
            if let Some(new) = renamed(here, container, &self.field, &self.target_field) {
                out = Some(new);
            }
        }
        match out {
            Some(text) => Ok(Effect::Replaced(text)),
            None if self.ignore_missing => Ok(Effect::Unchanged),
            None => Err(Fault::illegal(format!(
                "Document with id {} is missing field {}",
                meta.id.as_deref().unwrap_or(""),
                self.field
            ))),
        }
    }
}
