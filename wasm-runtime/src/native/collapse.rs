//! `collapse`: of the hits with the same value in a field only the first stays.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::function::{Function, Parameters};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Keeps only the first hit of those with the same value in a field.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Collapse {
    /// The field whose values are compared, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
}

impl Parameters for Collapse {
    fn prepare(&mut self) -> Result<(), String> {
        if self.field.is_empty() { Err("[field] required property is missing".to_owned()) } else { Ok(()) }
    }
}

impl Collapse {
    /// The key by which a hit is collapsed: its raw value; hits without one share a key.
    fn key(&self, hit: &[u8]) -> Result<Vec<u8>, Fault> {
        let listed = json::get(hit, 0, "fields").and_then(|e| json::get(hit, e.value.start, &self.field));
        if let Some(entry) = listed {
            let values = json::elements(hit, entry.value.start);
            return match values.as_slice() {
                [range] => Ok(hit[range.clone()].to_vec()),
                [] => Ok(b"__missing__".to_vec()),
                _ => Err(Fault::illegal(format!(
                    "Failed to collapse {}: doc has multiple values for field {}",
                    json::find(hit, "_id").and_then(|r| json::string(&hit[r])).unwrap_or_default(),
                    self.field
                ))),
            };
        }
        let found = json::get(hit, 0, "_source")
            .and_then(|e| json::find(&hit[e.value.clone()], &self.field).map(|r| hit[e.value][r].to_vec()));
        Ok(found.unwrap_or_else(|| b"__missing__".to_vec()))
    }
}

impl Function for Collapse {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let Some(hits) = json::find(doc, "hits.hits") else { return Ok(Effect::Unchanged) };
        let list = json::elements(text, hits.start);
        let mut seen = HashSet::new();
        let mut kept = Vec::new();
        for range in &list {
            let hit = &text[range.clone()];
            if seen.insert(self.key(hit)?) {
                kept.push(hit);
            }
        }
        if kept.len() == list.len() {
            return Ok(Effect::Unchanged);
        }
        Ok(Effect::Replaced(json::splice(text, hits, &super::support::field::array(&kept))))
    }
}
