//! `truncate_hits`: keeps the first hits of a response; `hits.total` stays as the cluster counted it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::oversample::original_size;
use super::support::function::{Function, Parameters};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Keeps the first hits.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TruncateHits {
    /// Number of hits that stay; default: as many as the client requested before `oversample`.
    #[schemars(range(min = 0))]
    target_size: Option<i64>,
    /// The prefix under which `oversample` kept the requested size.
    context_prefix: Option<String>,
}

impl Parameters for TruncateHits {
    fn prepare(&mut self) -> Result<(), String> {
        match self.target_size {
            Some(size) if size < 0 => Err(format!("[target_size] Value must be greater than or equal to 0, is {size}")),
            _ => Ok(()),
        }
    }
}

impl TruncateHits {
    /// How many hits stay: as told, else as many as the client asked for before an `oversample`.
    fn size(&self, meta: &Meta) -> Result<usize, Fault> {
        let size = self.target_size.or_else(|| {
            let key = original_size(self.context_prefix.as_deref());
            let ctx = meta.ctx();
            let entry = json::get(ctx, json::skip_ws(ctx, 0), &key)?;
            std::str::from_utf8(&ctx[entry.value]).ok()?.parse().ok()
        });
        let size = size.ok_or_else(|| {
            Fault::new(
                400,
                "illegal_state_exception",
                "Must specify target_size unless an earlier processor set original_size",
            )
        })?;
        Ok(usize::try_from(size).unwrap_or(0))
    }
}

impl Function for TruncateHits {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let size = self.size(meta)?;
        let Some(hits) = json::find(doc, "hits.hits") else { return Ok(Effect::Unchanged) };
        let list = json::elements(text, hits.start);
        if list.len() <= size {
            return Ok(Effect::Unchanged);
        }
        let from = if size == 0 { hits.start + 1 } else { list[size - 1].end };
        Ok(Effect::Replaced(json::splice(text, from..hits.end - 1, b"")))
    }
}
