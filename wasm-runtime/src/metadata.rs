//! Metadata as fields: `_index`, `_id`, `_routing` and the context, for the stages that ask for them.
//!
//! Such a stage sees its document with these members behind its own, and what it leaves in them counts. Every other stage
//! sees the plain document and can change no metadata.

use std::sync::Arc;

use crate::document::Meta;
use crate::error::Fault;
use crate::json;

/// The members that carry metadata, beside the context.
const NAMES: [&str; 3] = ["_index", "_id", "_routing"];
/// What `_ingest` shows beside what stages wrote there.
const MADE: [&str; 6] = [
    "timestamp",
    "pipeline",
    "on_failure_message",
    "on_failure_processor_type",
    "on_failure_processor_tag",
    "on_failure_pipeline",
];

/// How a stage sees metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wide {
    /// The context is `_ingest`, as OpenSearch's processors call it, not `_ctx`.
    ingest: bool,
    /// Metadata that the stage's answer does not name stays as it was, instead of being removed.
    inherit: bool,
}

impl Wide {
    /// For UDFs, which may answer an object of their own.
    pub const UDF: Self = Self { ingest: false, inherit: true };
    const CTX: Self = Self { ingest: false, inherit: false };
    const INGEST: Self = Self { ingest: true, inherit: false };

    fn name(self) -> &'static str {
        if self.ingest { "_ingest" } else { "_ctx" }
    }

    /// Whether the options of a built-in name metadata, and how they call the context.
    ///
    /// # Errors
    /// When they use both names for the context.
    pub fn wanted(parameters: &[u8]) -> Result<Option<Self>, String> {
        let text = String::from_utf8_lossy(parameters);
        let named = |name: &str| {
            text.match_indices(name).any(|(at, _)| {
                let before = text[..at].trim_end().ends_with(['"', '{', '&', ':', '<']);
                let after = text[at + name.len()..].trim_start().starts_with(['"', '}', '.', ':', '>']);
                before && after
            })
        };
        match (named("_ctx"), named("_ingest")) {
            (true, true) => Err("[_ctx] and [_ingest] are two names of the same: use one of them".to_owned()),
            (_, true) => Ok(Some(Self::INGEST)),
            (true, _) => Ok(Some(Self::CTX)),
            _ if NAMES.iter().any(|name| named(name)) => Ok(Some(Self::CTX)),
            _ => Ok(None),
        }
    }

    /// The document with its metadata as members.
    ///
    /// # Errors
    /// For a document that has a member of such a name itself, which the cluster would refuse.
    pub fn widened(self, text: &[u8], meta: &Meta) -> Result<Vec<u8>, Fault> {
        let start = json::skip_ws(text, 0);
        let end = start + text[start..].trim_ascii_end().len() - 1;
        let mut out = text[..end].to_vec();
        let mut first = json::skip_ws(text, start + 1) == end;
        let values = [meta.index.as_deref(), meta.id.as_deref(), meta.routing.as_deref()];
        for name in NAMES.into_iter().chain([self.name()]) {
            if json::get(text, start, name).is_some() {
                return Err(Fault::new(
                    400,
                    "mapper_parsing_exception",
                    format!("Field [{name}] is a metadata field and cannot be added inside a document"),
                ));
            }
        }
        let mut member = |name: &str, value: &[u8]| {
            out.extend_from_slice(if first { b"\"" } else { b",\"" });
            first = false;
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            out.extend_from_slice(value);
        };
        for (name, value) in NAMES.iter().zip(values) {
            if let Some(value) = value {
                member(name, &json::quote(value));
            }
        }
        if self.ingest {
            member("_ingest", &ingest(meta));
        } else {
            member("_ctx", meta.ctx());
        }
        out.push(b'}');
        Ok(out)
    }

    /// The document and its metadata out of what a stage left of [`Self::widened`].
    ///
    /// # Errors
    /// For metadata that is gone or of a type that it cannot have.
    pub fn narrowed(self, wide: &[u8], before: &Meta) -> Result<(Vec<u8>, Meta), Fault> {
        let mut text = wide.to_vec();
        let mut meta = before.clone();
        let mut index = before.index.as_deref().map(str::to_owned);
        for (name, place) in [("_index", &mut index), ("_id", &mut meta.id), ("_routing", &mut meta.routing)] {
            match take(&mut text, name) {
                Some(raw) => *place = as_text(name, &raw)?,
                None if self.inherit => {}
                None => *place = None,
            }
        }
        if index.as_deref() != before.index.as_deref() {
            meta.index = index.map(Arc::from);
        }
        if meta.index.is_none() && before.index.is_some() {
            return Err(Fault::illegal("cannot remove metadata field [_index]"));
        }
        match take(&mut text, self.name()) {
            Some(ctx) if ctx.first() == Some(&b'{') => meta.ctx = Some(if self.ingest { stored(&ctx) } else { ctx }),
            None if self.inherit => {}
            _ => meta.ctx = None,
        }
        if meta.ctx.as_deref() == Some(b"{}") {
            meta.ctx = None;
        }
        Ok((text, meta))
    }
}

/// The context in OpenSearch's form: a failure handler's `on_failure` spread out, and the time.
fn ingest(meta: &Meta) -> Vec<u8> {
    let mut shown = Meta { ctx: Some(meta.ctx().to_vec()), ..Meta::default() };
    shown.put_ctx("timestamp", &json::quote(&jiff::Timestamp::now().to_string()));
    if let Some(failure) = json::find(meta.ctx(), "on_failure").map(|r| meta.ctx()[r].to_vec()) {
        for (name, key) in [
            ("on_failure_message", "reason"),
            ("on_failure_processor_type", "processor"),
            ("on_failure_processor_tag", "stage"),
            ("on_failure_pipeline", "pipeline"),
        ] {
            if let Some(value) = json::find(&failure, key) {
                shown.put_ctx(name, &failure[value]);
            }
        }
    }
    shown.ctx.unwrap_or_default()
}

/// The context without what [`ingest`] made.
fn stored(shown: &[u8]) -> Vec<u8> {
    let mut meta = Meta { ctx: Some(shown.to_vec()), ..Meta::default() };
    MADE.iter().for_each(|name| meta.drop_ctx(name));
    meta.ctx.unwrap_or_default()
}

fn take(text: &mut Vec<u8>, name: &str) -> Option<Vec<u8>> {
    let start = json::skip_ws(text, 0);
    let value = text[json::get(text, start, name)?.value].to_vec();
    *text = json::remove_member(text, start, name)?;
    Some(value)
}

fn as_text(name: &str, raw: &[u8]) -> Result<Option<String>, Fault> {
    match raw {
        b"null" => Ok(None),
        raw => match json::string(raw) {
            Some(value) => Ok(Some(value.into_owned())),
            None if matches!(raw[0], b'{' | b'[') => {
                Err(Fault::illegal(format!("metadata field [{name}] must be a text")))
            }
            None => Ok(Some(String::from_utf8_lossy(raw).into_owned())),
        },
    }
}
