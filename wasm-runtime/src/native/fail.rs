//! `fail`: refuses the document with a message of the pipeline's author.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::function::{Function, Parameters};
use super::support::template::Template;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json::DocView;

/// Fails the document with a message.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fail {
    /// The message of the error; a template.
    message: String,
    #[serde(skip)]
    template: Option<Template>,
}

impl Parameters for Fail {
    fn prepare(&mut self) -> Result<(), String> {
        self.template = Some(Template::parse(&self.message)?);
        Ok(())
    }
}

impl Function for Fail {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let message = self.template.as_ref().map(|t| t.render(doc, meta)).unwrap_or_default();
        Err(Fault::new(400, "fail_processor_exception", message))
    }
}
