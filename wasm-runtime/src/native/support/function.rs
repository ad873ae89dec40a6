//! Interface of a built-in: a function of a document, made from parameters.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::template::Template;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json::DocView;

/// The function of a built-in over one document.
pub(crate) trait Function: Send + Sync {
    /// # Errors
    /// The fault of this document.
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault>;

    /// Names of fields that may be made of a document's values.
    fn names(&self) -> Vec<&Template> {
        Vec::new()
    }

    /// Whether it writes members whose names are in the document's values.
    fn free(&self) -> bool {
        false
    }

    /// Bytes of the longest document that is surely done with soon, though nothing can interrupt it; longer ones are worked on
    /// aside.
    fn longest(&self) -> usize {
        usize::MAX
    }
}

/// A default of serde.
pub(crate) fn yes() -> bool {
    true
}

/// A built-in made from JSON parameters; `prepare` is for what serde cannot say.
pub(crate) trait Parameters: Function + DeserializeOwned + JsonSchema + 'static {
    /// # Errors
    /// Which option is wrong, and why.
    fn prepare(&mut self) -> Result<(), String> {
        Ok(())
    }
}
