//! `oversample`: asks for more hits than the client did, for result stages that drop or re-rank some.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::function::{Function, Parameters};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Asks the cluster for more hits than the client requested.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Oversample {
    /// The factor of the size, at least 1.
    #[schemars(range(min = 1.0))]
    sample_factor: f64,
    /// The prefix under which `truncate_hits` finds the requested size.
    context_prefix: Option<String>,
}

impl Parameters for Oversample {
    fn prepare(&mut self) -> Result<(), String> {
        if self.sample_factor < 1.0 || !self.sample_factor.is_finite() {
            return Err("[sample_factor] Value must be >= 1.0".to_owned());
        }
        Ok(())
    }
}

/// The name under which the context keeps the size that the client asked for.
pub(crate) fn original_size(prefix: Option<&str>) -> String {
    prefix.map_or_else(|| "original_size".to_owned(), |prefix| format!("{prefix}.original_size"))
}

/// Number of hits of a search without a size.
const DEFAULT_SIZE: i64 = 10;

impl Function for Oversample {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let start = json::skip_ws(text, 0);
        let asked = json::get(doc, start, "size");
        let size = asked
            .as_ref()
            .and_then(|e| std::str::from_utf8(&text[e.value.clone()]).ok()?.parse().ok())
            .unwrap_or(DEFAULT_SIZE);
        meta.set_ctx_member(&original_size(self.context_prefix.as_deref()), size.to_string().as_bytes());
        let larger = ((size as f64) * self.sample_factor).ceil() as i64;
        let larger = larger.to_string();
        Ok(Effect::Replaced(match asked {
            Some(entry) => json::splice(text, entry.value, larger.as_bytes()),
            None => json::insert_member(text, start, "size", larger.as_bytes()),
        }))
    }
}
