//! `grok`: fields out of a string by named patterns (crate `grok`, whose bank of patterns is Logstash's).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use grok::{Grok as Bank, Pattern};
use serde::Deserialize;

use super::{Function, Parameters, field};
use crate::deadline::tick;
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grok {
    field: String,
    patterns: Vec<String>,
    #[serde(default)]
    pattern_definitions: BTreeMap<String, String>,
    #[serde(default)]
    ignore_missing: bool,
    #[serde(default)]
    trace_match: bool,
    #[serde(default)]
    capture_all_matches: bool,
    #[serde(skip)]
    compiled: Vec<Expression>,
}

/// A compiled pattern and the fields that it fills, in the order of its text.
struct Expression {
    pattern: Pattern,
    /// (field, names of its captures, type).
    fields: Vec<(String, Vec<String>, Kind)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Whole,
    Number,
    Flag,
}

/// The bank of patterns, read once.
static BANK: LazyLock<Vec<(String, String)>> =
    LazyLock::new(|| grok::patterns().iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect());

impl Parameters for Grok {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        if self.patterns.is_empty() {
            return Err("[patterns] List of patterns must not be empty".to_owned());
        }
        let mut bank: Bank = BANK.iter().cloned().collect();
        for (name, text) in &self.pattern_definitions {
            bank.add_pattern(name.as_str(), text.as_str());
        }
        self.compiled = self.patterns.iter().map(|text| Expression::compile(&bank, text)).collect::<Result<_, _>>()?;
        Ok(())
    }
}

impl Expression {
    fn compile(bank: &Bank, text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("[patterns] Invalid regex pattern found in: [{text}]. {why}");
        let pattern = bank.compile(text, true).map_err(|error| match error {
            grok::Error::DefinitionNotFound(name) => {
                wrong(format!("Unable to find pattern [{name}] in Grok's pattern dictionary"))
            }
            other => wrong(other.to_string()),
        })?;
        let mut fields: Vec<(String, Vec<String>, Kind)> = Vec::new();
        let mut captures: Vec<&str> = pattern.capture_names().collect();
        captures.sort_by_key(|name| (base(name).0, base(name).1));
        for capture in captures {
            let (name, _) = base(capture);
            let kind = match pattern.get_extract(capture) {
                None | Some("" | "string") => Kind::Text,
                Some("int" | "long") => Kind::Whole,
                Some("float" | "double") => Kind::Number,
                Some("boolean") => Kind::Flag,
                Some(_) => Kind::Text,
            };
            match fields.iter_mut().find(|(known, _, _)| known == name) {
                Some((_, all, _)) => all.push(capture.to_owned()),
                None => fields.push((name.to_owned(), vec![capture.to_owned()], kind)),
            }
        }
        Ok(Self { pattern, fields })
    }
}

/// `w[1]` is the second capture of `w`.
fn base(capture: &str) -> (&str, usize) {
    match capture.strip_suffix(']').and_then(|c| c.rsplit_once('[')) {
        Some((name, number)) => (name, number.parse().unwrap_or(0)),
        None => (capture, 0),
    }
}

fn value(text: &str, kind: Kind) -> Result<Vec<u8>, Fault> {
    let wrong = || Fault::illegal(format!("For input string: \"{text}\""));
    Ok(match kind {
        Kind::Text => json::quote(text),
        Kind::Whole => text.parse::<i64>().map_err(|_| wrong())?.to_string().into_bytes(),
        Kind::Number => {
            let number: f64 = text.parse().map_err(|_| wrong())?;
            if !number.is_finite() {
                return Err(wrong());
            }
            format!("{number:?}").into_bytes()
        }
        Kind::Flag => text.eq_ignore_ascii_case("true").to_string().into_bytes(),
    })
}

impl Function for Grok {
    fn apply(&self, text: &[u8], meta: &mut Meta) -> Result<Effect, Fault> {
        let place = field::Place::new(&self.field, None, self.ignore_missing);
        let Some(source) = place.text(text, "cannot process it.")? else { return Ok(Effect::Unchanged) };
        for (at, expression) in self.compiled.iter().enumerate() {
            tick()?;
            let Some(found) = expression.pattern.match_against(&source) else { continue };
            let mut out = text.to_vec();
            for (name, captures, kind) in &expression.fields {
                let texts: Vec<&str> = captures.iter().filter_map(|c| found.get(c)).collect();
                let values: Vec<Vec<u8>> = texts.iter().map(|t| value(t, *kind)).collect::<Result<_, _>>()?;
                match values.as_slice() {
                    [] => {}
                    [first, ..] if values.len() == 1 || !self.capture_all_matches => {
                        out = field::put(&out, name, first)?;
                    }
                    all => out = field::put(&out, name, &field::array(all))?,
                }
            }
            if self.trace_match {
                meta.put_ctx("_grok_match_index", format!("\"{at}\"").as_bytes());
            }
            return Ok(Effect::Replaced(out));
        }
        Err(Fault::illegal(format!("Provided Grok expressions do not match field value: [{source}]")))
    }
}
