//! `redact`: finds personal data and secrets in texts, and hides them there.
//!
//! A linear scan finds candidates, and a check decides: the checksum of a card, of an account or of a token, the plan of a country's
//! phone numbers, an address that parses. What checks can not tell apart, words nearby do: a number behind `order` is less likely a
//! card than one behind `card`. Each finding has a confidence from 0 to 1, and those below `min_confidence` stay.

mod confidence;
mod detectors;
mod network;
mod numbers;
mod replacement;
mod scan;
mod text;
mod tokens;
mod visit;

use schemars::JsonSchema;
use serde::Deserialize;

use self::detectors::{ALL, Detector, Detectors};
use self::replacement::{Action, Replacement};
use self::visit::Visit;
use super::support::edits::edited;
use super::support::field;
use super::support::function::{Function, Parameters, yes};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json::{self, DocView};

/// Texts that `allow` and `deny` may have each: every one is compared with each finding, or searched in each text.
const MOST_TEXTS: usize = 256;
/// Where a hit shows fields.
const CONTAINERS: [&str; 3] = ["_source", "fields", "highlight"];

/// Hides personal data and secrets in texts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redact {
    /// The fields that are searched, with all that is below them; default: the whole document.
    #[serde(default)]
    fields: Vec<String>,
    /// Fields that are not searched.
    #[serde(default)]
    except: Vec<String>,
    /// What is searched for; default: everything.
    #[serde(default = "all")]
    #[schemars(extend("minItems" = 1))]
    detectors: Vec<Detector>,
    /// What is done with a finding.
    #[serde(default)]
    action: Action,
    /// The text in its place, with action `mask`; `{type}` is the name of the detector.
    #[serde(default = "named")]
    #[schemars(length(max = 1024))]
    mask: String,
    /// Number of characters that stay readable at the end, with action `mask`; at most half of them.
    #[serde(default)]
    keep_last: usize,
    /// The key of hashes and tokens.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    secret: String,
    /// The least confidence of what is hidden, from 0 to 1.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    min_confidence: f64,
    /// Texts that stay, whatever they are.
    #[serde(default)]
    allow: Vec<String>,
    /// Texts that are hidden, whatever they are.
    #[serde(default)]
    deny: Vec<String>,
    /// Whether names of members are searched, too.
    #[serde(default)]
    keys: bool,
    /// Whether numbers are searched: cards that their field, or a word nearby, calls so.
    #[serde(default = "yes")]
    numbers: bool,
    /// The field that gets the number of findings by detector, where there are any; of a hit it stands beside `_source`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    report: Option<String>,
    /// Whether the report counts by detector and field, in place of by detector.
    #[serde(default)]
    report_fields: bool,
    #[serde(skip)]
    wanted: Detectors,
    #[serde(skip)]
    replacement: Replacement,
}

fn all() -> Vec<Detector> {
    ALL.to_vec()
}

fn half() -> f64 {
    0.5
}

fn named() -> String {
    "<{type}>".to_owned()
}

impl Parameters for Redact {
    fn prepare(&mut self) -> Result<(), String> {
        for (option, names) in [("fields", &self.fields), ("except", &self.except)] {
            if names.iter().any(|name| name.is_empty() || name.split('.').any(str::is_empty) || name.contains('*')) {
                return Err(format!("[{option}] must name fields in full, without wildcards and empty parts"));
            }
        }
        for (option, texts) in [("allow", &self.allow), ("deny", &self.deny)] {
            if texts.len() > MOST_TEXTS || texts.iter().any(String::is_empty) {
                return Err(format!("[{option}] may have {MOST_TEXTS} texts, none of them empty"));
            }
        }
        if self.detectors.is_empty() {
            return Err("[detectors] needs at least one detector".to_owned());
        }
        if !(0.0..=1.0).contains(&self.min_confidence) {
            return Err("[min_confidence] must be from 0 to 1".to_owned());
        }
        if let Some(report) = &self.report {
            self.report = Some(field::checked("report", report)?);
        }
        self.allow.iter_mut().for_each(|text| *text = text.to_lowercase());
        self.wanted = Detectors::of(&self.detectors);
        self.replacement = Replacement::new(self.action, &self.mask, self.keep_last, &self.secret)?;
        Ok(())
    }
}

impl Redact {
    /// The document with what is found from `places` on hidden, and reported.
    fn redacted(&self, doc: DocView<'_>, places: &[usize]) -> Result<Effect, Fault> {
        let text = doc.text();
        let mut visit = Visit::new(self, text);
        for start in places {
            visit.start(*start)?;
        }
        let (edits, counts) = visit.end();
        if edits.is_empty() {
            return Ok(Effect::Unchanged);
        }
        let hidden = edited(text, &edits);
        match &self.report {
            None => Ok(Effect::Replaced(hidden)),
            Some(report) => json::set(&hidden, report, &counts).map(Effect::Replaced).map_err(Fault::illegal),
        }
    }
}

impl Function for Redact {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        self.redacted(doc, &[json::skip_ws(doc.text(), 0)])
    }
}

/// The same on a hit, wherever it shows fields.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct RedactHits(Redact);

impl Parameters for RedactHits {
    fn prepare(&mut self) -> Result<(), String> {
        self.0.prepare()
    }
}

impl Function for RedactHits {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let start = json::skip_ws(doc.text(), 0);
        let found = CONTAINERS.iter().filter_map(|name| json::get(doc, start, name));
        let mut places: Vec<usize> = found.map(|entry| entry.value.start).collect();
        places.sort_unstable();
        self.0.redacted(doc, &places)
    }
}

#[cfg(test)]
mod tests;
