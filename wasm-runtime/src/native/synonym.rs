//! `synonym`: searches for a word also under its other names.
//!
//! A `match` query (or `match_phrase`, `multi_match`) on a text that holds a known word becomes a `bool` of itself and the
//! same query with the word replaced, any of which may match. Rules are Solr's: `tv, television` (each finds the other) and
//! `tv => television` (one way).

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field::Names;
use super::support::function::{Function, Parameters};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::glance;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Maximum number of texts that one query is searched under: each is a clause that the cluster runs.
const MOST: usize = 16;

/// Searches for synonyms of the words of a query, too.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Synonym {
    /// The rules, such as `tv, television` and `tv => television`.
    #[schemars(extend("minItems" = 1, "minLength" = 1))]
    synonyms: Names,
    /// Only queries on these fields.
    #[serde(default)]
    #[schemars(with = "Option<Names>")]
    fields: Names,
    /// How much the other names count, relative to the word itself.
    #[serde(default = "unit")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    boost: f64,
    /// (word or words, what they may be replaced by), in small letters.
    #[serde(skip)]
    rules: Vec<(Vec<String>, Vec<Vec<String>>)>,
}

fn unit() -> f64 {
    1.0
}

fn words(text: &str) -> Vec<String> {
    text.to_lowercase().split_whitespace().map(str::to_owned).collect()
}

impl Parameters for Synonym {
    fn prepare(&mut self) -> Result<(), String> {
        if !(self.boost > 0.0 && self.boost.is_finite()) {
            return Err("[boost] must be more than zero".to_owned());
        }
        let mut rules: Vec<(Vec<String>, Vec<Vec<String>>)> = Vec::new();
        let mut add =
            |from: Vec<String>, to: Vec<Vec<String>>| match rules.iter_mut().find(|(listed, _)| *listed == from) {
                Some((_, all)) => all.extend(to),
                None => rules.push((from, to)),
            };
        for rule in self.synonyms.list() {
            let list = |text: &str| text.split(',').map(words).filter(|w| !w.is_empty()).collect::<Vec<_>>();
            if let Some((from, to)) = rule.split_once("=>") {
                let to = list(to);
                if to.is_empty() {
                    return Err(format!("[synonyms] rule [{rule}] has nothing behind its arrow"));
                }
                list(from).into_iter().for_each(|word| add(word, to.clone()));
                continue;
            }
            let all = list(rule);
            if all.len() < 2 {
                return Err(format!("[synonyms] rule [{rule}] needs at least two names, separated by commas"));
            }
            for word in &all {
                add(word.clone(), all.iter().filter(|synonym| *synonym != word).cloned().collect());
            }
        }
        if rules.is_empty() {
            return Err("[synonyms] required property is missing".to_owned());
        }
        self.rules = rules;
        Ok(())
    }
}

impl Synonym {
    /// The texts that `text` may be replaced by, without itself.
    fn synonyms(&self, text: &str) -> Vec<String> {
        let tokens: Vec<&str> = text.split_whitespace().collect();
        let lower = words(text);
        let mut out: Vec<String> = Vec::new();
        for (from, to) in &self.rules {
            for at in 0..lower.len() {
                glance();
                if !lower[at..].starts_with(from) {
                    continue;
                }
                for synonym in to {
                    let mut parts: Vec<&str> = tokens[..at].to_vec();
                    parts.extend(synonym.iter().map(String::as_str));
                    parts.extend(&tokens[at + from.len()..]);
                    let text = parts.join(" ");
                    if out.len() < MOST - 1 && !out.contains(&text) {
                        out.push(text);
                    }
                }
            }
        }
        out
    }

    fn concerns(&self, fields: &[String]) -> bool {
        let wanted = self.fields.list();
        wanted.is_empty() || fields.iter().any(|f| wanted.contains(&f.split('^').next().unwrap_or(f)))
    }

    /// A query with everything in it expanded; `None` if nothing is.
    fn query(&self, raw: &[u8]) -> Option<Vec<u8>> {
        glance();
        match raw[0] {
            b'[' => {
                let mut changed = false;
                let parts: Vec<Vec<u8>> = json::elements(raw, 0)
                    .into_iter()
                    .map(|r| {
                        let part = &raw[r];
                        self.query(part).inspect(|_| changed = true).unwrap_or_else(|| part.to_vec())
                    })
                    .collect();
                changed.then(|| super::support::field::array(&parts))
            }
            b'{' => {
                let mut entries = json::Entries::new(raw, 0)?;
                let first = entries.next()?;
                let name = json::unescape(&raw[first.key.clone()])?.into_owned();
                if entries.next().is_none()
                    && let Some(query) = self.leaf(&name, &raw[first.value.clone()])
                {
                    return Some(query);
                }
                let mut out: Option<Vec<u8>> = None;
                for entry in json::Entries::new(raw, 0)?.collect::<Vec<_>>().into_iter().rev() {
                    if let Some(new) = self.query(&raw[entry.value.clone()]) {
                        out = Some(json::splice(out.as_deref().unwrap_or(raw), entry.value, &new));
                    }
                }
                out
            }
            _ => None,
        }
    }

    /// A `match` query and its kin as a `bool` of all texts.
    fn leaf(&self, name: &str, body: &[u8]) -> Option<Vec<u8>> {
        let (fields, text, range) = match name {
            "match" | "match_phrase" | "match_phrase_prefix" | "match_bool_prefix" => {
                let entry = json::Entries::new(body, 0)?.next()?;
                let field = json::unescape(&body[entry.key])?.into_owned();
                let value = if body[entry.value.start] == b'{' {
                    json::get(body, entry.value.start, "query")?.value
                } else {
                    entry.value
                };
                (vec![field], json::string(&body[value.clone()])?.into_owned(), value)
            }
            "multi_match" => {
                let value = json::get(body, 0, "query")?.value;
                let fields = json::get(body, 0, "fields").map_or_else(Vec::new, |e| {
                    let list = json::elements(body, e.value.start).into_iter();
                    list.filter_map(|r| json::string(&body[r]).map(std::borrow::Cow::into_owned)).collect()
                });
                (fields, json::string(&body[value.clone()])?.into_owned(), value)
            }
            _ => return None,
        };
        let synonyms = if self.concerns(&fields) { self.synonyms(&text) } else { Vec::new() };
        if synonyms.is_empty() {
            return None;
        }
        let wrapped = |text: &[u8]| [b"{".as_slice(), &json::quote(name), b":", text, b"}"].concat();
        let mut clauses = vec![wrapped(body)];
        for synonym in synonyms {
            let clause = wrapped(&json::splice(body, range.clone(), &json::quote(&synonym)));
            clauses.push(if self.boost == 1.0 {
                clause
            } else {
                [br#"{"bool":{"must":["#.as_slice(), &clause, format!("],\"boost\":{}}}}}", self.boost).as_bytes()]
                    .concat()
            });
        }
        let should = super::support::field::array(&clauses);
        Some([br#"{"bool":{"should":"#.as_slice(), &should, br#","minimum_should_match":1}}"#].concat())
    }
}

impl Function for Synonym {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let Some(entry) = json::get(doc, json::skip_ws(text, 0), "query") else { return Ok(Effect::Unchanged) };
        Ok(match self.query(&text[entry.value.clone()]) {
            Some(query) => Effect::Replaced(json::splice(text, entry.value, &query)),
            None => Effect::Unchanged,
        })
    }
}
