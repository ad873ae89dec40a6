//! `drop`: the document is not indexed; its bulk item says `noop`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::function::{Function, Parameters};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json::DocView;

/// Drops the document: it is not indexed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drop {}

impl Parameters for Drop {}

impl Function for Drop {
    fn apply(&self, _doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        Ok(Effect::Dropped)
    }
}
