//! `remove`: takes fields out of a document, or all but some.

use std::collections::HashSet;

use serde::Deserialize;

use super::template::Template;
use super::{Function, Parameters, field};
use crate::deadline::glance;
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remove {
    field: Option<field::Names>,
    exclude_field: Option<field::Names>,
    #[serde(default)]
    ignore_missing: bool,
    #[serde(skip)]
    names: Vec<Template>,
    #[serde(skip)]
    keep: Vec<String>,
}

impl Parameters for Remove {
    fn prepare(&mut self) -> Result<(), String> {
        match (&self.field, &self.exclude_field) {
            (Some(names), None) => {
                for name in names.list() {
                    self.names.push(Template::parse(&field::checked("field", name)?)?);
                }
            }
            (None, Some(names)) => {
                for name in names.list() {
                    self.keep.push(field::checked("exclude_field", name)?);
                }
            }
            (Some(_), Some(_)) => return Err("[field] ether field or exclude_field must be set".to_owned()),
            (None, None) => return Err("[field] required property is missing".to_owned()),
        }
        Ok(())
    }
}

impl Remove {
    fn remove_named(&self, text: &[u8], meta: &Meta) -> Result<Effect, Fault> {
        let mut out: Option<Vec<u8>> = None;
        for template in &self.names {
            let here = out.as_deref().unwrap_or(text);
            let name = template.render(here, meta);
            match json::remove(here, &name) {
                Some(less) => out = Some(less),
                None if self.ignore_missing => {}
                None => return Err(Fault::illegal(format!("field [{name}] doesn't exist"))),
            }
        }
        Ok(out.map_or(Effect::Unchanged, Effect::Replaced))
    }

    /// Top-level fields that are not named and are no parent of a named one go.
    fn remove_others(&self, text: &[u8]) -> Effect {
        let start = json::skip_ws(text, 0);
        let kept: HashSet<&str> = self.keep.iter().flat_map(|name| prefixes(name)).collect();
        let mut members = Vec::new();
        let mut gone = false;
        for entry in json::Entries::new(text, start).into_iter().flatten() {
            glance();
            match json::unescape(&text[entry.key.clone()]) {
                Some(key) if !kept.contains(&*key) => gone = true,
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
    fn apply(&self, text: &[u8], meta: &mut Meta) -> Result<Effect, Fault> {
        if self.keep.is_empty() { self.remove_named(text, meta) } else { Ok(self.remove_others(text)) }
    }
}
