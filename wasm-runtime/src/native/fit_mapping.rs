//! `fit_mapping`: documents fit the mapping of their index, so that the cluster refuses none of them.
//!
//! The mapping is a trie (`mapping`), and a document is read beside it once (`visit`). What a field would refuse (`leaf`) moves as text to a field that refuses nothing (`target`), and the paths are listed. Fields that the mapping does not have are
//! followed, too (`dynamic`): the cluster makes fields of them by the first document, and the later ones have to agree.
//!
//! A batch has the mappings of its indexes (`store`); without it the option `mapping` counts, for tests.

mod dynamic;
mod field;
mod form;
mod leaf;
mod mapping;
mod names;
mod options;
mod reason;
mod store;
mod target;
mod visit;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use self::options::{Misfit, Misplaced, OnUnknown, Options, Unknown};
pub(crate) use self::store::{Fitting, Mapping, Mappings};
use self::visit::Visit;
use super::support::edits::edited;
use super::support::function::{Function, Parameters, yes};
use super::support::names::UNFIT;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json::{self, DocView};

/// The index that documents without one are counted for.
const NO_INDEX: &str = "_none";

/// Fits a document to the mapping of its index, so that the cluster does not refuse it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FitMapping {
    /// A scalar where the mapping has an object.
    #[serde(default)]
    scalar_for_object: Misfit,
    /// An object where the mapping has a scalar.
    #[serde(default)]
    object_for_scalar: Misplaced,
    /// A value that its field cannot read.
    #[serde(default)]
    unparsable: Misfit,
    /// Fields that the mapping does not have.
    #[serde(default)]
    unknown_fields: Unknown,
    /// The most fields that one request may add to the mapping; the rest moves.
    #[serde(default = "fifty")]
    max_new_fields: usize,
    /// The field that values move to; the list of their paths has this name with `_fields` behind it.
    #[serde(default = "unfit")]
    #[schemars(length(min = 1, max = 128))]
    target: String,
    /// Whether a value is written anew where its meaning is plain, such as `"TRUE"` for a boolean.
    #[serde(default = "yes")]
    coerce: bool,
    /// What is done where the mapping cannot be read.
    #[serde(default)]
    on_unknown: OnUnknown,
    /// Whether the proxy adds the target to mappings that do not have it, as a `flat_object`.
    #[serde(default = "yes")]
    #[allow(dead_code)]
    prepare: bool,
    /// The mapping where there is no index, as in tests: the content of `mappings`.
    #[serde(default)]
    mapping: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(skip)]
    options: Option<Options>,
    #[serde(skip)]
    fixture: Option<Arc<mapping::Mapping>>,
}

fn fifty() -> usize {
    50
}

fn unfit() -> String {
    UNFIT.to_owned()
}

impl Parameters for FitMapping {
    fn prepare(&mut self) -> Result<(), String> {
        if !names::is_plain(self.target.as_bytes())
            || names::is_metadata(self.target.as_bytes())
            || self.target.trim().is_empty()
        {
            return Err("[target] must be the name of a field of the document itself, without points".to_owned());
        }
        if !self.target.starts_with(UNFIT) {
            return Err(format!("[target] must begin with [{UNFIT}]: masks hide such fields as a whole"));
        }
        if let Some(mapping) = self.mapping.take() {
            let compiled = mapping::Mapping::compile(&serde_json::Value::Object(mapping), &serde_json::Value::Null);
            self.fixture = Some(Arc::new(compiled.map_err(|why| format!("[mapping] {why}"))?));
        }
        self.options = Some(Options {
            scalar_for_object: self.scalar_for_object.into(),
            object_for_scalar: self.object_for_scalar.into(),
            unparsable: self.unparsable.into(),
            unknown_fields: self.unknown_fields.into(),
            max_new_fields: self.max_new_fields,
            target_fields: format!("{}_fields", self.target),
            target: self.target.clone(),
            coerce: self.coerce,
        });
        Ok(())
    }
}

impl Function for FitMapping {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let Some(options) = &self.options else { return Ok(Effect::Unchanged) };
        let fitting = Fitting::current();
        let index = meta.index.as_deref().unwrap_or(NO_INDEX);
        match fitting.mapping(index).or_else(|| self.fixture.clone()) {
            Some(mapping) => fit(doc, &mapping, options, &fitting, index),
            None if self.on_unknown == OnUnknown::Pass => Ok(Effect::Unchanged),
            None => Err(Fault::new(
                429,
                "mapping_unknown_exception",
                format!(
                    "the mapping of [{index}] cannot be read now, by which the document would be fitted; send it again"
                ),
            )),
        }
    }
}

/// The document as the mapping accepts it.
fn fit(
    doc: DocView<'_>,
    mapping: &mapping::Mapping,
    options: &Options,
    fitting: &Fitting,
    index: &str,
) -> Result<Effect, Fault> {
    let text = doc.text();
    let start = json::skip_ws(text, 0);
    let learned = fitting.learned(mapping);
    let mut visit = Visit::new(options, mapping, fitting, &learned, text);
    visit.run(doc, start)?;
    if visit.unfit.is_empty() {
        return Ok(if visit.edits.is_empty() {
            Effect::Unchanged
        } else {
            Effect::Replaced(edited(text, &visit.edits))
        });
    }
    let Some((form, _)) = form::form(mapping, options) else { return Ok(Effect::Unchanged) };
    let Some(end) = text.iter().rposition(|c| *c == b'}') else { return Ok(Effect::Unchanged) };
    for each in &visit.unfit {
        fitting.count(index, &each.path, each.reason);
    }
    target::write(&mut visit, mapping, options, form, text, end);
    Ok(Effect::Replaced(edited(text, &visit.edits)))
}

#[cfg(test)]
mod tests;
