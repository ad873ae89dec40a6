//! Built-in functions, one file each, with the names, options and error texts of OpenSearch's own processors.
//!
//! This file is the catalogue: each entry has a name, the pipeline types that it belongs in, and a constructor from JSON options. A
//! built-in implements `Function` (`support/function`): it reads a document's text and metadata and returns an effect, and never
//! writes the text itself.
//!
//! Options are read by serde. Unknown options are errors unless OpenSearch ignores them; error texts are measured on OpenSearch
//! 3.8.0. A built-in whose names of fields come from a document's values may reach metadata: such a document is shown with its
//! metadata as members. Work whose length a document decides asks for the deadline, and a search that nothing can interrupt runs on a
//! thread of its own where the document is long.

mod append;
mod bytes;
mod collapse;
mod convert;
mod copy;
mod csv;
pub(crate) mod date;
mod dissect;
mod dot_expander;
mod drop;
mod fail;
mod filter_query;
mod fingerprint;
pub(crate) mod fit_mapping;
mod foreach;
mod grok;
mod gsub;
mod html_strip;
mod join;
mod json;
mod kv;
mod lowercase;
mod mask;
mod oversample;
mod redact;
mod remove;
mod rename;
mod rename_field;
mod rescore;
mod set;
mod sort;
mod split;
pub(crate) mod support;
mod synonym;
mod trim;
mod truncate_hits;
mod uppercase;
mod urldecode;
mod user_agent;

use std::borrow::Cow;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use schemars::Schema;

use self::support::field;
use self::support::function::{Function, Parameters};
use self::support::schema;
use self::support::text_map::Texts;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::document::metadata_fields::{self, MetadataView};
use crate::engine::deadline::guarded;
use crate::engine::limits::{MOST_OUTPUT, check_output_size};
use crate::engine::offload::offloaded;
use crate::error::Fault;
use crate::json::DocView;

type Build = fn(&[u8]) -> Result<Arc<dyn Function>, String>;

/// How long one document may take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Quick,
    /// Regular expressions and the like.
    Slow,
}

/// A built-in: its name, the pipelines it belongs in, how it is made from its parameters, and their schema.
struct Entry {
    name: &'static str,
    kinds: &'static [&'static str],
    build: Build,
    schema: fn() -> Schema,
    pace: Pace,
    per_hit: bool,
    everywhere: bool,
}

const fn quick<T: Parameters>(name: &'static str, kinds: &'static [&'static str]) -> Entry {
    let (build, schema) = (make::<T>, schema::of::<T>);
    Entry { name, kinds, build, schema, pace: Pace::Quick, per_hit: false, everywhere: false }
}

const fn slow<T: Parameters>(name: &'static str, kinds: &'static [&'static str]) -> Entry {
    Entry { pace: Pace::Slow, ..quick::<T>(name, kinds) }
}

const fn per_hit<T: Parameters>(name: &'static str) -> Entry {
    Entry { per_hit: true, ..quick::<T>(name, RESULT) }
}

const DOCUMENT: &[&str] = &["document"];
const BODY: &[&str] = &["document", "query", "result"];
const QUERY: &[&str] = &["query"];
const RESULT: &[&str] = &["result"];

const FUNCTIONS: &[Entry] = &[
    quick::<set::Set>("set", BODY),
    quick::<remove::Remove>("remove", BODY),
    quick::<rename::Rename>("rename", BODY),
    quick::<copy::Copy>("copy", BODY),
    quick::<convert::Convert>("convert", BODY),
    quick::<Texts<lowercase::Lowercase>>("lowercase", BODY),
    quick::<Texts<uppercase::Uppercase>>("uppercase", BODY),
    quick::<Texts<trim::Trim>>("trim", BODY),
    slow::<split::Split>("split", DOCUMENT),
    slow::<join::Join>("join", DOCUMENT),
    slow::<gsub::Gsub>("gsub", BODY),
    slow::<append::Append>("append", BODY),
    slow::<date::Date>("date", DOCUMENT),
    slow::<json::Json>("json", DOCUMENT),
    slow::<kv::Kv>("kv", DOCUMENT),
    slow::<dissect::Dissect>("dissect", DOCUMENT),
    slow::<grok::Grok>("grok", DOCUMENT),
    slow::<csv::Csv>("csv", DOCUMENT),
    slow::<Texts<html_strip::HtmlStrip>>("html_strip", DOCUMENT),
    quick::<Texts<bytes::Bytes>>("bytes", DOCUMENT),
    quick::<Texts<urldecode::Urldecode>>("urldecode", DOCUMENT),
    slow::<fingerprint::Fingerprint>("fingerprint", DOCUMENT),
    slow::<dot_expander::DotExpander>("dot_expander", DOCUMENT),
    slow::<sort::Sort>("sort", DOCUMENT),
    quick::<drop::Drop>("drop", DOCUMENT),
    quick::<fail::Fail>("fail", BODY),
    slow::<foreach::Foreach>("foreach", DOCUMENT),
    slow::<user_agent::UserAgent>("user_agent", DOCUMENT),
    slow::<redact::Redact>("redact", DOCUMENT),
    quick::<fit_mapping::FitMapping>("fit_mapping", DOCUMENT),
    quick::<filter_query::FilterQuery>("filter_query", QUERY),
    quick::<oversample::Oversample>("oversample", QUERY),
    slow::<synonym::Synonym>("synonym", QUERY),
    per_hit::<rename_field::RenameField>("rename_field"),
    quick::<truncate_hits::TruncateHits>("truncate_hits", RESULT),
    per_hit::<sort::SortHits>("sort"),
    quick::<collapse::Collapse>("collapse", RESULT),
    per_hit::<split::SplitHits>("split"),
    Entry { everywhere: true, ..per_hit::<mask::Mask>("mask") },
    per_hit::<rescore::Rescore>("rescore"),
    Entry { everywhere: true, pace: Pace::Slow, ..per_hit::<redact::RedactHits>("redact") },
];

/// Bytes of the longest document that a built-in without regular expressions works on without a look at the clock.
const SMALL: usize = 4096;

fn make<T: Parameters>(parameters: &[u8]) -> Result<Arc<dyn Function>, String> {
    let mut function: T = serde_json::from_slice(parameters).map_err(|e| {
        let text = e.to_string();
        text.split(" at line ").next().unwrap_or(&text).to_owned()
    })?;
    function.prepare()?;
    Ok(Arc::new(function))
}

/// A built-in with its parameters, ready to run.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct Native {
    function: Arc<dyn Function>,
    longest: usize,
    /// Bytes of the longest document that needs no watch over the work on it.
    unwatched: usize,
    entry: &'static Entry,
    view: Option<MetadataView>,
    /// Whether names of fields are made of a document's values, so that they may be those of metadata.
    named_by_values: bool,
    /// Whether names of members are.
    free: bool,
}

#[pymethods]
impl Native {
    /// `kind` is the type of the pipeline, `parameters` a JSON object. Raises ValueError that says which option is wrong.
    #[new]
    fn new(name: &str, kind: &str, parameters: &[u8]) -> PyResult<Self> {
        Self::build(name, kind, parameters).map_err(PyValueError::new_err)
    }

    /// The function's name.
    #[getter]
    fn name(&self) -> &'static str {
        self.entry.name
    }

    /// Whether a document may take long, so that the function is kept off the event loop.
    #[getter]
    fn slow(&self) -> bool {
        self.entry.pace == Pace::Slow
    }

    /// Whether it works on the hits of a response, one by one.
    #[getter]
    fn per_hit(&self) -> bool {
        self.entry.per_hit
    }

    /// Whether that means the hits of `top_hits` and inner hits, too.
    #[getter]
    fn everywhere(&self) -> bool {
        self.entry.everywhere
    }

    /// Every built-in with the pipeline types it belongs in.
    #[staticmethod]
    fn functions() -> Vec<(&'static str, Vec<&'static str>)> {
        let mut all: Vec<(&'static str, Vec<&'static str>)> = Vec::new();
        for entry in FUNCTIONS {
            match all.iter_mut().find(|(name, _)| *name == entry.name) {
                Some((_, kinds)) => kinds.extend(entry.kinds),
                None => all.push((entry.name, entry.kinds.to_vec())),
            }
        }
        all
    }
}

/// A JSON list of `{"name", "kinds", "schema"}`: the JSON Schema of the parameters of every built-in, by the types of pipelines.
#[pyfunction]
pub(crate) fn native_schemas() -> PyResult<Vec<u8>> {
    let described =
        |entry: &Entry| serde_json::json!({"name": entry.name, "kinds": entry.kinds, "schema": (entry.schema)()});
    let all: Vec<_> = FUNCTIONS.iter().map(described).collect();
    serde_json::to_vec(&all).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The options of a processor without those that are null: they are not there.
fn without_nulls(parameters: &[u8]) -> Cow<'_, [u8]> {
    let mut some = Cow::Borrowed(parameters);
    for entry in crate::json::Entries::new(parameters, crate::json::skip_ws(parameters, 0)).into_iter().flatten() {
        if &parameters[entry.value] == b"null" {
            let name = crate::json::unescape(&parameters[entry.key]).unwrap_or_default();
            let start = crate::json::skip_ws(&some, 0);
            if let Some(less) = crate::json::remove_member(&some, start, &name) {
                some = Cow::Owned(less);
            }
        }
    }
    some
}

impl Native {
    /// # Errors
    /// Which option is wrong, and why.
    pub(crate) fn build(name: &str, kind: &str, parameters: &[u8]) -> Result<Self, String> {
        let mut entries = FUNCTIONS.iter().filter(|e| e.name == name);
        let entry = entries
            .find(|e| e.kinds.contains(&kind))
            .ok_or_else(|| format!("no built-in [{name}] in pipelines of type [{kind}]"))?;
        let some = if kind == "document" { without_nulls(parameters) } else { Cow::Borrowed(parameters) };
        let parameters = &*some;
        let view = if kind == "document" { MetadataView::requested(parameters)? } else { None };
        let function = (entry.build)(parameters)?;
        let narrow = kind == "document" && view.is_none();
        let named_by_values = narrow && function.names().iter().any(|name| name.constant().is_none());
        let free = narrow && function.free();
        let longest = function.longest();
        let unwatched = if longest == usize::MAX { SMALL } else { 0 };
        Ok(Self { longest, unwatched, function, entry, view, named_by_values, free })
    }

    pub(crate) fn function_name(&self) -> &'static str {
        self.entry.name
    }

    /// Whether the function sees metadata.
    pub(crate) fn view(&self) -> Option<MetadataView> {
        self.view
    }

    /// After how many documents the deadline is asked again.
    pub(crate) fn check_every(&self) -> usize {
        if self.entry.pace == Pace::Slow { 8 } else { 64 }
    }

    /// See [`Function::longest`].
    fn longest(&self) -> usize {
        self.longest
    }

    /// # Errors
    /// As [`Function::apply`], for a document that becomes too long, and when the time is over meanwhile.
    #[inline]
    pub(crate) fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        if self.named_by_values && self.names_metadata(doc, meta) {
            return self.apply_exposed(text, meta);
        }
        let done = if text.len() <= self.unwatched {
            self.function.apply(doc, meta)
        } else if text.len() <= self.longest {
            guarded(|| self.function.apply(doc, meta))
        } else {
            self.apply_offloaded(text, meta)
        };
        let done = if self.free { done.and_then(|effect| metadata_fields::absorbed(effect, meta)) } else { done };
        if let Ok(effect) = &done {
            let len = effect.output_len(text.len());
            if len > MOST_OUTPUT {
                check_output_size(text.len(), len)?;
            }
        }
        done
    }

    /// Whether a field's name that is made of this document's values is one of its metadata.
    #[cold]
    fn names_metadata(&self, doc: DocView<'_>, meta: &Meta) -> bool {
        let of_values = self.function.names().into_iter().filter(|name| name.constant().is_none());
        of_values.into_iter().any(|name| metadata_fields::is_shown(&field::named(name, doc, meta)))
    }

    /// [`Self::apply`] on the document with its metadata as members.
    #[cold]
    fn apply_exposed(&self, text: &[u8], meta: &mut Meta) -> Result<Effect, Fault> {
        let view = MetadataView::INGEST;
        let shown = view.expose(text, meta)?;
        let effect = guarded(|| self.function.apply((&shown).into(), meta))?;
        let Effect::Replaced(text) = effect.whole(&shown) else { return Ok(Effect::Unchanged) };
        let (text, changed) = view.extract(&text, meta)?;
        *meta = changed;
        Ok(Effect::Replaced(text))
    }

    #[cold]
    fn apply_offloaded(&self, text: &[u8], meta: &mut Meta) -> Result<Effect, Fault> {
        let (function, text, mut own) = (Arc::clone(&self.function), text.to_vec(), meta.clone());
        let (effect, changed) =
            offloaded(move || function.apply((&text).into(), &mut own).map(|effect| (effect, own)))?;
        *meta = changed;
        Ok(effect)
    }
}
