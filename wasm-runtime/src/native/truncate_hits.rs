//! `truncate_hits`: keeps the first hits of a response; `hits.total` stays as the cluster counted it.

use serde::Deserialize;

use super::{Function, Parameters};
use crate::batch::Effect;
use crate::error::Fault;
use crate::host::Meta;
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruncateHits {
    target_size: i64,
}

impl Parameters for TruncateHits {
    fn prepare(&mut self) -> Result<(), String> {
        if self.target_size < 0 {
            return Err(format!("[target_size] Value must be greater than or equal to 0, is {}", self.target_size));
        }
        Ok(())
    }
}

impl Function for TruncateHits {
    fn apply(&self, text: &[u8], _meta: &Meta) -> Result<Effect, Fault> {
        let Some(hits) = json::find(text, "hits.hits") else { return Ok(Effect::Unchanged) };
        let list = json::elements(text, hits.start);
        let size = usize::try_from(self.target_size).unwrap_or(usize::MAX);
        if list.len() <= size {
            return Ok(Effect::Unchanged);
        }
        let from = if size == 0 { hits.start + 1 } else { list[size - 1].end };
        Ok(Effect::Replaced(json::splice(text, from..hits.end - 1, b"")))
    }
}
