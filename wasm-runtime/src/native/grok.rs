//! `grok`: fields out of a string by named patterns, in Ruby's syntax as Joni has it.
//!
//! All patterns of a stage are one expression, as alternatives of each other, as OpenSearch has it: where a match begins decides
//! before the order of the patterns does.

mod bank;
mod expand;
mod value;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::rewrite::FieldRewrite;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::tick;
use crate::error::Fault;
use crate::json::DocView;
use crate::json::java;
use crate::regex::{self, Found, Regex};
use expand::Expander;
use value::{Kind, value};

/// Extracts fields from a text by named patterns.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grok {
    /// The field that is read, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The patterns, such as `%{IP:client} %{NUMBER:bytes:int}`; the match that begins first counts.
    #[schemars(length(min = 1))]
    patterns: Vec<String>,
    /// Patterns by name, beside those of the bank.
    #[serde(default)]
    pattern_definitions: BTreeMap<String, String>,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    /// Whether `_ingest._grok_match_index` gets the number of the pattern that matched.
    #[serde(default)]
    trace_match: bool,
    /// Whether a name that matches several times gets all values.
    #[serde(default)]
    capture_all_matches: bool,
    #[serde(skip)]
    compiled: Option<Compiled>,
}

/// The expression, and what its groups are for.
struct Compiled {
    regex: Regex,
    captures: Vec<Capture>,
    /// The groups that tell which pattern has matched, for `trace_match`.
    traces: Vec<usize>,
}

/// A name in the expression, with its groups.
struct Capture {
    field: String,
    kind: Kind,
    groups: Vec<usize>,
}

/// Prefix of the groups that tell which pattern has matched.
const TRACE: &str = "_ingest._grok_match_index.";

impl Parameters for Grok {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        if self.patterns.is_empty() {
            return Err("[patterns] List of patterns must not be empty".to_owned());
        }
        let wrong =
            |why: String| format!("[patterns] Invalid regex pattern found in: [{}]. {why}", self.patterns.join(", "));
        let bank = bank::with(&self.pattern_definitions);
        bank::check(&bank, self.pattern_definitions.keys()).map_err(wrong)?;
        let expression = Expander::expanded(&bank, &self.combined()).map_err(wrong)?;
        self.compiled = Some(Compiled::of(regex::ruby(&expression).map_err(wrong)?).map_err(wrong)?);
        Ok(())
    }
}

impl Grok {
    fn combined(&self) -> String {
        let [only] = self.patterns.as_slice() else {
            let named = |(n, text): (usize, &String)| match self.trace_match {
                true => format!("(?<{TRACE}{n}>{text})"),
                false => format!("(?:{text})"),
            };
            return self.patterns.iter().enumerate().map(named).collect::<Vec<_>>().join("|");
        };
        only.clone()
    }
}

impl Compiled {
    fn of(regex: Regex) -> Result<Self, String> {
        let (mut captures, mut traces) = (Vec::new(), Vec::new());
        for (name, groups) in regex.names() {
            if name.starts_with(TRACE) {
                traces.push(groups[0]);
                continue;
            }
            let mut parts: Vec<&str> = name.split(':').collect();
            while parts.last().is_some_and(|part| part.is_empty()) && parts.len() > 1 {
                parts.pop();
            }
            if parts == [""] {
                return Err(format!("The name [{name}] names no field"));
            }
            let field = parts.get(1).or(parts.first()).copied().unwrap_or_default();
            let kind = if parts.len() == 3 { Kind::of(parts[2]) } else { Kind::Text };
            let field = field.strip_prefix("_source.").unwrap_or(field);
            captures.push(Capture { field: field.to_owned(), kind, groups: groups.clone() });
        }
        Ok(Self { regex, captures, traces })
    }

    /// The fields of a match. Of the groups of one name the first that has matched counts, or all; names for one field, as with
    /// different types, give a list.
    fn fields(&self, text: &str, found: &Found, all: bool) -> Result<Vec<(&str, Vec<u8>)>, Fault> {
        let mut fields: Vec<(&str, Vec<Vec<u8>>)> = Vec::with_capacity(self.captures.len());
        for capture in &self.captures {
            tick()?;
            let texts = capture.groups.iter().filter_map(|group| Some(&text[found.get(*group)?]));
            for text in texts.take(if all { usize::MAX } else { 1 }) {
                let value = value(text, capture.kind)?;
                match fields.iter_mut().find(|(name, _)| *name == capture.field) {
                    Some((_, values)) => values.push(value),
                    None => fields.push((&capture.field, vec![value])),
                }
            }
        }
        java::in_order_of_hashes(&mut fields, java::TABLE);
        let joined = |values: Vec<Vec<u8>>| match values.as_slice() {
            [only] => only.clone(),
            all => field::array(all),
        };
        Ok(fields.into_iter().map(|(name, values)| (name, joined(values))).collect())
    }
}

impl Function for Grok {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let Some(compiled) = &self.compiled else { return Ok(Effect::Unchanged) };
        let rewrite = FieldRewrite::new(&self.field, None, self.ignore_missing);
        let Some(source) = rewrite.text(doc, "cannot process it.")? else { return Ok(Effect::Unchanged) };
        let Some(found) = compiled.regex.groups(&source)? else {
            return Err(Fault::illegal(format!("Provided Grok expressions do not match field value: [{source}]")));
        };
        let fields = compiled.fields(&source, &found, self.capture_all_matches)?;
        let out = value::set(text, &fields)?;
        if self.trace_match {
            let at = compiled.traces.iter().position(|group| found.get(*group).is_some()).unwrap_or(0);
            meta.set_ctx_member("_grok_match_index", format!("\"{at}\"").as_bytes());
        }
        Ok(Effect::Replaced(out))
    }

    fn free(&self) -> bool {
        self.compiled.iter().flat_map(|compiled| &compiled.captures).any(|capture| capture.field.starts_with('_'))
    }

    fn longest(&self) -> usize {
        self.compiled.as_ref().map_or(usize::MAX, |compiled| compiled.regex.longest)
    }
}
