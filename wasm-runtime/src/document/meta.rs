//! Metadata of a document, and its context: what stages tell each other.

use std::sync::Arc;

use crate::json;

/// Members of the context that are not the stages' own.
const RESERVED: [&str; 4] = ["index", "id", "routing", "pipeline"];

/// Metadata of a document, beside its body.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Meta {
    pub(crate) index: Option<Arc<str>>,
    pub(crate) id: Option<String>,
    pub(crate) routing: Option<String>,
    pub(crate) score: f64,
    /// The context that stages share: a JSON object, absent while it is empty.
    pub(crate) ctx: Option<Vec<u8>>,
}

impl Meta {
    /// Where the document is written: (index, id, routing).
    pub(crate) fn destination(&self) -> [Option<&str>; 3] {
        [self.index.as_deref(), self.id.as_deref(), self.routing.as_deref()]
    }

    /// The context as JSON text.
    pub(crate) fn ctx(&self) -> &[u8] {
        self.ctx.as_deref().unwrap_or(b"{}")
    }

    /// The context with what Headrace itself knows of the document: [`RESERVED`].
    pub(crate) fn full_ctx(&self, pipeline: &str) -> Vec<u8> {
        let mut all = Self { ctx: self.ctx.clone(), ..Self::default() };
        let values = [self.index.as_deref(), self.id.as_deref(), self.routing.as_deref(), Some(pipeline)];
        for (name, value) in RESERVED.into_iter().zip(values) {
            if let Some(value) = value {
                all.set_ctx_member(name, &json::quote(value));
            }
        }
        all.ctx.unwrap_or_default()
    }

    /// Takes over a context that a stage was given by [`Self::full_ctx`] and may have changed.
    pub(crate) fn replace_ctx(&mut self, ctx: Vec<u8>) {
        self.ctx = Some(ctx);
        RESERVED.into_iter().for_each(|name| self.remove_ctx_member(name));
        self.clear_empty_ctx();
    }

    /// A context without members is none.
    pub(crate) fn clear_empty_ctx(&mut self) {
        if self.ctx.as_deref() == Some(b"{}") {
            self.ctx = None;
        }
    }

    /// Writes one member of the context.
    pub(crate) fn set_ctx_member(&mut self, key: &str, value: &[u8]) {
        let text = self.ctx();
        let start = json::skip_ws(text, 0);
        self.ctx = Some(match json::get(text, start, key) {
            Some(old) => json::splice(text, old.value, value),
            None => json::insert_member(text, start, key, value),
        });
    }

    /// Removes one member of the context.
    pub(crate) fn remove_ctx_member(&mut self, key: &str) {
        if let Some(less) = self.ctx.as_deref().and_then(|text| json::remove_member(text, json::skip_ws(text, 0), key))
        {
            self.ctx = Some(less);
        }
    }
}
