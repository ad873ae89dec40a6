//! `split`: a string into a list, at a regular expression.
//!
//! In result pipelines it works on the field of every hit, as OpenSearch's search processor of this name does.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::hit;
use super::support::rewrite::FieldRewrite;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::glance;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::regex::{self, Regex};

/// Splits a text into a list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Split {
    /// The field that is read, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The regular expression between parts, as in Java.
    separator: String,
    /// The field that gets the result; default: `field`.
    #[schemars(length(min = 1))]
    target_field: Option<String>,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    /// Whether empty parts at the end stay.
    #[serde(default)]
    preserve_trailing: bool,
    #[serde(skip)]
    compiled: Option<Regex>,
}

impl Parameters for Split {
    fn prepare(&mut self) -> Result<(), String> {
        field::check_pair(&mut self.field, &mut self.target_field)?;
        self.compiled = Some(regex::java(&self.separator).map_err(|e| format!("[separator] {e}"))?);
        Ok(())
    }
}

impl Split {
    fn parts(&self, value: &str) -> Result<Vec<u8>, Fault> {
        let Some(pattern) = &self.compiled else { return Ok(json::quote(value)) };
        let parts = regex::split(pattern, value, 0, self.preserve_trailing)?;
        Ok(field::array(&parts.into_iter().map(quoted).collect::<Vec<_>>()))
    }
}

fn quoted(part: &str) -> Vec<u8> {
    glance();
    json::quote(part)
}

impl Function for Split {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let rewrite = FieldRewrite::new(&self.field, self.target_field.as_deref(), self.ignore_missing);
        match rewrite.text(doc, "cannot split.")? {
            Some(value) => rewrite.set(doc, &self.parts(&value)?),
            None => Ok(Effect::Unchanged),
        }
    }

    fn longest(&self) -> usize {
        self.compiled.as_ref().map_or(usize::MAX, |pattern| pattern.longest)
    }
}

/// Splits a field of every hit into a list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SplitHits {
    /// The field that is read, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The regular expression between parts, as in Java.
    separator: String,
    /// The field that gets the result; default: `field`.
    #[schemars(length(min = 1))]
    target_field: Option<String>,
    /// Whether empty parts at the end stay.
    #[serde(default)]
    preserve_trailing: bool,
    #[serde(skip)]
    inner: Option<Split>,
}

impl Parameters for SplitHits {
    fn prepare(&mut self) -> Result<(), String> {
        let mut inner = Split {
            field: self.field.clone(),
            separator: self.separator.clone(),
            target_field: self.target_field.clone(),
            ignore_missing: false,
            preserve_trailing: self.preserve_trailing,
            compiled: None,
        };
        inner.prepare()?;
        self.inner = Some(inner);
        Ok(())
    }
}

impl Function for SplitHits {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let Some(inner) = &self.inner else { return Ok(Effect::Unchanged) };
        let target = self.target_field.as_deref().unwrap_or(&self.field);
        hit::rewrite(doc, &self.field, target, "split", |raw| {
            let value = json::string(raw)
                .ok_or_else(|| Fault::illegal(format!("field [{}] is not a string, cannot split", self.field)))?;
            inner.parts(&value)
        })
    }

    fn longest(&self) -> usize {
        self.inner.as_ref().map_or(usize::MAX, |inner| inner.longest())
    }
}
