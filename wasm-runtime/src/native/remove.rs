//! `remove`: takes fields out of a document, or all but some.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::schema::present;
use super::support::template::Template;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::document::metadata_fields;
use crate::engine::deadline::glance;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Removes fields.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [present("field"), present("exclude_field")]))]
pub(crate) struct Remove {
    /// The field, or the list of fields, that is removed; templates.
    field: Option<field::Names>,
    /// The field, or the list of fields, that stays, while all others are removed; templates.
    exclude_field: Option<field::Names>,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    #[serde(skip)]
    names: Vec<Template>,
    #[serde(skip)]
    keep: Vec<Template>,
}

impl Parameters for Remove {
    fn prepare(&mut self) -> Result<(), String> {
        match (&self.field, &self.exclude_field) {
            (Some(names), None) => {
                for name in names.list() {
                    // An empty name is an error of every document.
                    let name = if name.is_empty() { String::new() } else { field::checked("field", name)? };
                    self.names.push(Template::parse(&name)?);
                }
            }
            (None, Some(names)) => {
                for name in names.list() {
                    // An empty name keeps nothing, and a list of them removes nothing.
                    if !name.is_empty() {
                        self.keep.push(Template::parse(&field::checked("exclude_field", name)?)?);
                    }
                }
            }
            (Some(_), Some(_)) => return Err("[field] either field or exclude_field must be set".to_owned()),
            (None, None) => return Err("[field] required property is missing".to_owned()),
        }
        Ok(())
    }
}

impl Remove {
    fn remove_named(&self, doc: DocView<'_>, meta: &Meta) -> Result<Effect, Fault> {
        let mut out: Option<Vec<u8>> = None;
        for template in &self.names {
            let here = out.as_ref().map_or(doc, DocView::from);
            let name = field::named(template, here, meta);
            match json::remove(here, &name) {
                Some(less) => out = Some(less),
                None if self.ignore_missing => {}
                None if name.is_empty() => return Err(Fault::illegal("field path cannot be null nor empty")),
                None => return Err(Fault::illegal(format!("field [{name}] doesn't exist"))),
            }
        }
        Ok(out.map_or(Effect::Unchanged, Effect::Replaced))
    }

    /// Top-level fields that are not named and are no parent of a named one go.
    fn remove_others(&self, doc: DocView<'_>, meta: &Meta) -> Effect {
        let text = doc.text();
        let start = json::skip_ws(text, 0);
        let names: Vec<_> = self.keep.iter().map(|name| field::named(name, doc, meta)).collect();
        let kept: HashSet<&str> = names.iter().filter(|name| !name.is_empty()).flat_map(|n| prefixes(n)).collect();
        if kept.is_empty() {
            return Effect::Unchanged;
        }
        let mut members = Vec::new();
        let mut gone = false;
        for entry in json::Entries::new(text, start).into_iter().flatten() {
            glance();
            match json::unescape(&text[entry.key.clone()]) {
                Some(key) if !kept.contains(&*key) && !metadata_fields::is_own(&key) => gone = true,
                _ => members.push(&text[entry.key.start - 1..entry.value.end]),
            }
        }
        match json::skip_value(text, start) {
            Some(end) if gone => Effect::Replaced(json::splice(text, start + 1..end - 1, &members.join(&b','))),
            _ => Effect::Unchanged,
        }
    }
}

/// A path and all its beginnings.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(dot, _)| &name[..dot]).chain([name])
}

impl Function for Remove {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        if self.field.is_some() { self.remove_named(doc, meta) } else { Ok(self.remove_others(doc, meta)) }
    }

    fn names(&self) -> Vec<&Template> {
        self.names.iter().collect()
    }
}
