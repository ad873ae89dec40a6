//! Metadata as fields: `_index`, `_id`, `_routing` and the context, for the stages that ask for them.
//!
//! Such a stage sees its document with these members behind its own, and what it leaves in them counts. Every other stage
//! sees the plain document and can change no metadata.

use std::sync::Arc;

use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::java;

/// The members that carry metadata, beside the context.
const NAMES: [&str; 3] = ["_index", "_id", "_routing"];
/// Members that `_ingest` shows beside those that stages wrote.
const ADDED: [&str; 6] = [
    "timestamp",
    "pipeline",
    "on_failure_message",
    "on_failure_processor_type",
    "on_failure_processor_tag",
    "on_failure_pipeline",
];

/// How a stage sees metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MetadataView {
    /// The context is `_ingest`, as OpenSearch's processors call it, not `_ctx`.
    ingest: bool,
    /// Metadata that the stage's answer does not name stays as it was, instead of being removed.
    inherit: bool,
}

impl MetadataView {
    /// For UDFs, which may answer an object of their own.
    pub(crate) const UDF: Self = Self { ingest: false, inherit: true };
    const CTX: Self = Self { ingest: false, inherit: false };
    pub(crate) const INGEST: Self = Self { ingest: true, inherit: false };

    fn name(self) -> &'static str {
        if self.ingest { "_ingest" } else { "_ctx" }
    }

    /// Whether the options of a built-in name metadata, and how they call the context.
    ///
    /// # Errors
    /// When they use both names for the context.
    pub(crate) fn requested(parameters: &[u8]) -> Result<Option<Self>, String> {
        let mut seen = Seen::default();
        seen.options(parameters.trim_ascii());
        match (seen.ctx, seen.ingest) {
            (true, true) => Err("[_ctx] and [_ingest] are two names of the same: use one of them".to_owned()),
            (_, true) => Ok(Some(Self::INGEST)),
            (true, _) => Ok(Some(Self::CTX)),
            _ if seen.names_metadata => Ok(Some(Self::CTX)),
            _ => Ok(None),
        }
    }

    /// The document with its metadata as members.
    ///
    /// # Errors
    /// For a document that has a member of such a name itself, which the cluster would refuse.
    pub(crate) fn expose(self, text: &[u8], meta: &Meta) -> Result<Vec<u8>, Fault> {
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

    /// The document and its metadata out of what a stage left of [`Self::expose`].
    ///
    /// # Errors
    /// For metadata that is gone or of a type that it cannot have.
    pub(crate) fn extract(self, metadata: &[u8], before: &Meta) -> Result<(Vec<u8>, Meta), Fault> {
        let mut text = metadata.to_vec();
        let mut meta = before.clone();
        let mut index = before.index.as_deref().map(str::to_owned);
        for (name, slot) in [("_index", &mut index), ("_id", &mut meta.id), ("_routing", &mut meta.routing)] {
            match cut(&mut text, name) {
                Some(raw) => *slot = as_text(name, &raw)?,
                None if self.inherit => {}
                None => *slot = None,
            }
        }
        if index.as_deref() != before.index.as_deref() {
            meta.index = index.map(Arc::from);
        }
        if meta.index.is_none() && before.index.is_some() {
            return Err(Fault::illegal("cannot remove metadata field [_index]"));
        }
        match cut(&mut text, self.name()) {
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

/// Options that are names of fields, of all built-ins.
const NAMING: [&str; 8] =
    ["field", "fields", "target_field", "target_fields", "source_field", "exclude_field", "exclude_fields", "path"];
/// Options that are patterns with names of fields in them, and what stands before and behind a name there.
const PATTERNS: [&str; 2] = ["pattern", "patterns"];
const BEFORE: [char; 7] = ['{', '+', '*', '&', ':', '<', '?'];
const BEHIND: [char; 6] = ['}', ':', '>', '/', '-', '.'];

/// The metadata that the options of a built-in name.
#[derive(Default)]
struct Seen {
    ctx: bool,
    ingest: bool,
    names_metadata: bool,
}

impl Seen {
    fn options(&mut self, options: &[u8]) {
        for entry in json::Entries::new(options, 0).into_iter().flatten() {
            let key = json::unescape(&options[entry.key]).unwrap_or_default();
            let value = &options[entry.value];
            if key == "processor" {
                self.processor(value);
            } else if key == "on_failure" && value.first() == Some(&b'[') {
                json::elements(value, 0).into_iter().for_each(|at| self.processor(&value[at]));
            } else {
                self.texts(&key, value);
            }
        }
    }

    /// That of a foreach or one of its handlers, whose options are those of a built-in.
    fn processor(&mut self, raw: &[u8]) {
        let inner = json::Entries::new(raw, 0).into_iter().flatten();
        inner.for_each(|entry| self.options(&raw[entry.value]));
    }

    /// The texts in the value of an option.
    fn texts(&mut self, option: &str, raw: &[u8]) {
        match raw.first() {
            Some(b'"') => self.text(option, &json::string(raw).unwrap_or_default()),
            Some(b'[') => json::elements(raw, 0).into_iter().for_each(|at| self.texts(option, &raw[at])),
            Some(b'{') => {
                for entry in json::Entries::new(raw, 0).into_iter().flatten() {
                    self.tags(&json::unescape(&raw[entry.key]).unwrap_or_default());
                    self.texts(option, &raw[entry.value]);
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, option: &str, text: &str) {
        if NAMING.contains(&option) {
            self.name(text, true);
        }
        if PATTERNS.contains(&option) {
            for name in NAMES.into_iter().chain(["_ctx", "_ingest"]) {
                for (at, _) in text.match_indices(name) {
                    if text[..at].ends_with(BEFORE) && text[at + name.len()..].starts_with(BEHIND) {
                        self.name(name, true);
                    }
                }
            }
        }
        self.tags(text);
    }

    /// The names in the tags of a template: what a document's place is shows without being a member.
    fn tags(&mut self, text: &str) {
        for tag in text.split("{{").skip(1) {
            let name = tag.split("}}").next().unwrap_or_default();
            self.name(name.trim_matches(['{', '&', ' ']), false);
        }
    }

    fn name(&mut self, name: &str, written: bool) {
        match head(name) {
            "_ctx" => self.ctx = true,
            "_ingest" => self.ingest = true,
            head => self.names_metadata |= written && NAMES.contains(&head),
        }
    }
}

/// The first part of a field's name.
fn head(name: &str) -> &str {
    let name = name.strip_prefix("_source.").unwrap_or(name);
    name.split('.').next().unwrap_or(name)
}

/// Whether a member of this name is metadata while a stage sees it.
pub(crate) fn is_own(name: &str) -> bool {
    NAMES.contains(&name)
        || matches!(name, "_ctx" | "_ingest" | "_version" | "_version_type" | "_if_seq_no" | "_if_primary_term")
}

/// Whether a field's name leads to metadata that a stage may be shown.
pub(crate) fn is_shown(name: &str) -> bool {
    NAMES.contains(&head(name)) || name.starts_with("_ingest.")
}

/// Turns members with names of metadata, which a stage without metadata made, into metadata.
///
/// # Errors
/// For metadata that a document cannot have, and what a pipeline cannot write.
pub(crate) fn absorbed(effect: Effect, meta: &mut Meta) -> Result<Effect, Fault> {
    let Effect::Replaced(mut text) = effect else { return Ok(effect) };
    if memchr::memmem::find(&text, b"\"_").is_none() {
        return Ok(Effect::Replaced(text));
    }
    let start = json::skip_ws(&text, 0);
    if let Some(name) = UNWRITABLE.into_iter().find(|name| json::get(&text, start, name).is_some()) {
        return Err(Fault::illegal(format!("a pipeline cannot write the metadata field [{name}]")));
    }
    if let Some(raw) = cut(&mut text, "_index") {
        let index = as_text("_index", &raw)?;
        meta.index = Some(Arc::from(index.ok_or_else(|| Fault::illegal("cannot remove metadata field [_index]"))?));
    }
    for (name, slot) in [("_id", &mut meta.id), ("_routing", &mut meta.routing)] {
        if let Some(raw) = cut(&mut text, name) {
            *slot = as_text(name, &raw)?;
        }
    }
    Ok(Effect::Replaced(text))
}

/// Metadata that is the writer's own business.
const UNWRITABLE: [&str; 4] = ["_version", "_version_type", "_if_seq_no", "_if_primary_term"];

/// The time that stages see.
fn now() -> jiff::Timestamp {
    let fixed = crate::engine::fixed::time_ms().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    fixed.unwrap_or_else(jiff::Timestamp::now)
}

/// The context in OpenSearch's form: a failure handler's `on_failure` spread out, and the time.
fn ingest(meta: &Meta) -> Vec<u8> {
    let mut shown = Meta { ctx: Some(meta.ctx().to_vec()), ..Meta::default() };
    shown.set_ctx_member("timestamp", &json::quote(&now().to_string()));
    if let Some(failure) = json::find(meta.ctx(), "on_failure").map(|r| meta.ctx()[r].to_vec()) {
        let of = |key| json::find(&failure, key).map(|value| &failure[value]);
        // A stage that is called as its built-in has no tag.
        for (name, value) in [
            ("on_failure_message", of("cause").or(of("reason"))),
            ("on_failure_processor_type", of("processor")),
            ("on_failure_processor_tag", of("tag").or(Some(b"null"))),
        ] {
            if let Some(value) = value {
                shown.set_ctx_member(name, value);
            }
        }
    }
    shown.ctx.unwrap_or_default()
}

/// The context without what [`ingest`] made.
fn stored(shown: &[u8]) -> Vec<u8> {
    let mut meta = Meta { ctx: Some(shown.to_vec()), ..Meta::default() };
    ADDED.iter().for_each(|name| meta.remove_ctx_member(name));
    meta.ctx.unwrap_or_default()
}

fn cut(text: &mut Vec<u8>, name: &str) -> Option<Vec<u8>> {
    let start = json::skip_ws(text, 0);
    let value = text[json::get(&*text, start, name)?.value].to_vec();
    *text = json::remove_member(&*text, start, name)?;
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
            None => Ok(Some(java::text(raw))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(options: &str) -> Option<MetadataView> {
        MetadataView::requested(options.as_bytes()).unwrap()
    }

    #[test]
    fn names_ask_for_metadata_and_values_do_not() {
        for options in [
            r#"{"field":"x","value":"_id"}"#,
            r#"{"field":"x","value":{"_id":["_index"]}}"#,
            r#"{"field":"x","value":"{{_id}} and {{ _routing }}"}"#,
            r#"{"field":"x","separator":"_ctx"}"#,
            r#"{"field":"x","message":"_ingest"}"#,
            r#"{"field":"_idea"}"#,
        ] {
            assert_eq!(requested(options), None, "{options}");
        }
        for options in [
            r#"{"field":"_id","value":1}"#,
            r#"{"field":["x","_source._routing"]}"#,
            r#"{"field":"x","target_field":"_index"}"#,
            r#"{"field":"x","pattern":"%{_id} %{+y}"}"#,
            r#"{"field":"l","processor":{"set":{"field":"_id","value":1}}}"#,
            r#"{"field":"_ctx.n","value":1}"#,
        ] {
            assert_eq!(requested(options), Some(MetadataView::CTX), "{options}");
        }
        for options in [
            r#"{"field":"x","value":["{{{ _ingest.timestamp }}}"]}"#,
            r#"{"field":"l","processor":{"set":{"field":"_ingest._value","value":1}}}"#,
        ] {
            assert_eq!(requested(options), Some(MetadataView::INGEST), "{options}");
        }
        assert!(MetadataView::requested(br#"{"field":"_ctx.a","value":"{{_ingest.b}}"}"#).is_err());
    }

    #[test]
    fn members_with_names_of_metadata_become_it() {
        let mut meta = Meta { index: Some(Arc::from("i")), id: Some("1".to_owned()), ..Meta::default() };
        let text = br#"{"_id":"x","a":1,"_index":"j","_routing":5}"#.to_vec();
        let done = absorbed(Effect::Replaced(text), &mut meta).unwrap();
        assert_eq!(done, Effect::Replaced(br#"{"a":1}"#.to_vec()));
        assert_eq!(meta.destination(), [Some("j"), Some("x"), Some("5")]);
        let refused = absorbed(Effect::Replaced(br#"{"_version":7}"#.to_vec()), &mut meta).unwrap_err();
        assert!(refused.reason.contains("[_version]"));
    }
}
