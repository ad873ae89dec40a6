//! `grok`: fields out of a string by named patterns (crate `grok`, whose bank of patterns is Logstash's).

use std::collections::{BTreeMap, HashMap};

use grok::parser::{GrokComponent, grok_split};
use serde::Deserialize;

use super::regex::{self, Regex};
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
    regex: Regex,
    /// (field, its groups, type).
    fields: Vec<(String, Vec<usize>, Kind)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Whole,
    Number,
    Flag,
}

/// Characters that the expressions of one stage may have, with all the patterns that they name.
const MOST_EXPANDED: usize = regex::LONGEST_PATTERN;
/// How deep patterns may name each other.
const DEEPEST: usize = 50;
/// What the groups are called that patterns' names became.
const GROUP: &str = "_n_";

impl Parameters for Grok {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        if self.patterns.is_empty() {
            return Err("[patterns] List of patterns must not be empty".to_owned());
        }
        let mut bank: HashMap<&str, &str> = grok::patterns().iter().copied().collect();
        bank.extend(self.pattern_definitions.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        let mut room = MOST_EXPANDED;
        let mut compiled = Vec::with_capacity(self.patterns.len());
        for text in &self.patterns {
            compiled.push(Expression::compile(&bank, text, &mut room)?);
        }
        self.compiled = compiled;
        Ok(())
    }
}

impl Expression {
    /// `room`: characters that expressions may still have.
    fn compile(bank: &HashMap<&str, &str>, text: &str, room: &mut usize) -> Result<Self, String> {
        let wrong = |why: String| format!("[patterns] Invalid regex pattern found in: [{text}]. {why}");
        let mut expander =
            Expander { bank, room: *room, out: String::new(), captures: Vec::new(), seen: HashMap::new() };
        expander.expand(text, 0).map_err(wrong)?;
        *room = expander.room;
        if expander.out.is_empty() {
            return Err(wrong("The pattern is empty".to_owned()));
        }
        let regex = regex::compile(&expander.out).map_err(wrong)?;
        let mut captures: Vec<(String, usize, Kind)> = Vec::new();
        for (group, name) in regex.names().into_iter().enumerate() {
            let Some(name) = name else { continue };
            let known = name.strip_prefix(GROUP).and_then(|n| expander.captures.get(n.parse::<usize>().ok()?));
            let (name, kind) =
                known.map_or((name.clone(), Kind::Text), |(name, extract)| (name.clone(), kind(extract)));
            captures.push((name, group, kind));
        }
        captures.sort_by(|(a, ..), (b, ..)| base(a).cmp(&base(b)));
        let mut fields: Vec<(String, Vec<usize>, Kind)> = Vec::new();
        for (capture, group, kind) in captures {
            let (name, _) = base(&capture);
            match fields.last_mut().filter(|(known, ..)| known == name) {
                Some((_, all, _)) => all.push(group),
                None => fields.push((name.to_owned(), vec![group], kind)),
            }
        }
        Ok(Self { regex, fields })
    }
}

fn kind(extract: &str) -> Kind {
    match extract {
        "int" | "long" => Kind::Whole,
        "float" | "double" => Kind::Number,
        "boolean" => Kind::Flag,
        _ => Kind::Text,
    }
}

/// Makes one regular expression of a pattern, with all that it names.
struct Expander<'b> {
    bank: &'b HashMap<&'b str, &'b str>,
    room: usize,
    out: String,
    /// The names of its groups [`GROUP`]0, 1, …, and what they are converted to.
    captures: Vec<(String, String)>,
    /// How often a name is there.
    seen: HashMap<String, usize>,
}

impl Expander<'_> {
    fn push(&mut self, text: &str) -> Result<(), String> {
        self.room = self.room.checked_sub(text.len()).ok_or_else(|| {
            format!(
                "With the patterns that it names it has more than {MOST_EXPANDED} characters, the limit for a stage"
            )
        })?;
        self.out.push_str(text);
        Ok(())
    }

    fn expand(&mut self, text: &str, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("Patterns name each other more than {DEEPEST} levels deep, or in a circle"));
        }
        let mut own: HashMap<&str, &str> = HashMap::new();
        for part in grok_split(text) {
            match part {
                GrokComponent::RegularExpression { string, .. } => self.push(string)?,
                GrokComponent::PatternError(error) => return Err(format!("{error:?}")),
                GrokComponent::GrokPattern { name, alias, extract, definition, .. } => {
                    if !definition.is_empty() {
                        own.insert(name, definition);
                    }
                    let inner = own
                        .get(name)
                        .or_else(|| self.bank.get(name))
                        .copied()
                        .ok_or_else(|| format!("Unable to find pattern [{name}] in Grok's pattern dictionary"))?;
                    self.open(alias, extract)?;
                    self.expand(inner, depth + 1)?;
                    self.push(")")?;
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, alias: &str, extract: &str) -> Result<(), String> {
        if alias.is_empty() {
            return self.push("(?:");
        }
        let count = self.seen.entry(alias.to_owned()).or_insert(0);
        let name = if *count == 0 { alias.to_owned() } else { format!("{alias}[{count}]") };
        *count += 1;
        if *count > 1 && self.seen.contains_key(&name) {
            return Err(format!("Alias {name} already exists"));
        }
        let group = self.captures.len();
        self.captures.push((name, extract.to_owned()));
        self.push(&format!("(?<{GROUP}{group}>"))
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
            let Ok(Some(found)) = expression.regex.groups(&source) else { continue };
            let mut fields = Vec::with_capacity(expression.fields.len());
            for (name, groups, kind) in &expression.fields {
                let texts = groups.iter().filter_map(|group| Some(&source[found.get(*group)?.clone()?]));
                let values: Vec<Vec<u8>> = texts.map(|text| value(text, *kind)).collect::<Result<_, _>>()?;
                match values.as_slice() {
                    [] => {}
                    [first, ..] if values.len() == 1 || !self.capture_all_matches => {
                        fields.push((name, first.clone()));
                    }
                    all => fields.push((name, field::array(all))),
                }
            }
            let out = field::put_all(text, &fields)?;
            if self.trace_match {
                meta.put_ctx("_grok_match_index", format!("\"{at}\"").as_bytes());
            }
            return Ok(Effect::Replaced(out));
        }
        Err(Fault::illegal(format!("Provided Grok expressions do not match field value: [{source}]")))
    }

    fn longest(&self) -> usize {
        self.compiled.iter().map(|expression| expression.regex.longest).min().unwrap_or(usize::MAX)
    }
}
