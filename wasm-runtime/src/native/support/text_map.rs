//! Common part of the built-ins that map a string, or every string of a list.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Deserialize;

use super::field;
use super::function::{Function, Parameters};
use super::rewrite::FieldRewrite;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json::DocView;

/// The mapping of one text.
pub(crate) trait TextMap: Send + Sync + 'static {
    /// The new value as JSON.
    ///
    /// # Errors
    /// For a text that it cannot work with.
    fn map(text: &str) -> Result<Vec<u8>, Fault>;

    /// The same for a text of ASCII without escapes, as JSON; `None`: as [`Self::map`] does it.
    fn map_plain(_raw: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// Converts a text, or each text of a list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, bound = "")]
pub(crate) struct Texts<M> {
    /// The field that is read, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The field that gets the result; default: `field`.
    #[schemars(length(min = 1))]
    target_field: Option<String>,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    #[serde(skip)]
    map: PhantomData<M>,
}

impl<M: TextMap> Parameters for Texts<M> {
    fn prepare(&mut self) -> Result<(), String> {
        field::check_pair(&mut self.field, &mut self.target_field)
    }
}

impl<M: TextMap> Function for Texts<M> {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let rewrite = FieldRewrite::new(&self.field, self.target_field.as_deref(), self.ignore_missing);
        rewrite.map_text(doc, M::map_plain, M::map)
    }
}
