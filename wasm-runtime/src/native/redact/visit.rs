//! The way through a document: its texts, the fields that they are in, and what is changed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use memchr::memmem;

use super::Redact;
use super::detectors::{ALL, Detector};
use super::scan::{Finding, scan};
use crate::engine::deadline::glance;
use crate::engine::limits::check_output_size;
use crate::error::Fault;
use crate::json::{self, Edit};
use crate::native::support::names::{Relation, relation};

/// Matches of one denied text in one value: what is behind them stays. A value of so many has no other text to speak of.
const MOST_DENIED: usize = 1 << 20;
/// Number of detectors: those of options, and `Denied`.
const KINDS: usize = ALL.len() + 1;

/// What is searched of a value: the rest of the names that lead to it (`None`: all of it), and of those that lead away.
struct Scope<'n> {
    names: Option<Vec<&'n str>>,
    except: Vec<&'n str>,
}

/// A raw text without its quotes, halves of surrogate pairs being U+FFFD: the cluster stores such a text, so it is searched.
fn readable(raw: &[u8]) -> Cow<'_, str> {
    json::unescape(raw).unwrap_or_else(|| Cow::Owned(without_halves(raw)))
}

fn without_halves(raw: &[u8]) -> String {
    let unit = |at: usize| {
        let digits = raw.get(at..at + 6).filter(|escape| escape.starts_with(b"\\u"))?;
        u16::from_str_radix(std::str::from_utf8(&digits[2..]).ok()?, 16).ok()
    };
    let (mut text, mut at) = (Vec::with_capacity(raw.len()), 0);
    while at < raw.len() {
        let (len, half) = match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, false),
            (Some(0xd800..=0xdfff), _) => (6, true),
            (Some(_), _) => (6, false),
            (None, _) => (if raw[at] == b'\\' { 2 } else { 1 }, false),
        };
        let end = (at + len).min(raw.len());
        text.extend_from_slice(if half { b"\\ufffd" } else { &raw[at..end] });
        at = end;
    }
    json::unescape(&text).map_or_else(|| String::from_utf8_lossy(&text).into_owned(), Cow::into_owned)
}

/// A report by detector and field: `{"email":{"user.name":1}}`.
fn report_of(counts: &BTreeMap<(&'static str, String), usize>) -> Vec<u8> {
    let mut report = serde_json::Map::new();
    for ((detector, path), count) in counts {
        let fields = report.entry(*detector).or_insert_with(|| serde_json::json!({}));
        fields[path] = serde_json::json!(count);
    }
    serde_json::to_vec(&report).unwrap_or_default()
}

/// One document on its way.
pub(super) struct Visit<'d> {
    redact: &'d Redact,
    text: &'d [u8],
    edits: Vec<Edit>,
    counts: [usize; KINDS],
    /// The path of the value at hand, and the findings by detector and path, where they are counted so.
    path: String,
    by_field: BTreeMap<(&'static str, String), usize>,
    /// Bytes of the texts that were written.
    written: usize,
}

impl<'d> Visit<'d> {
    pub(super) fn new(redact: &'d Redact, text: &'d [u8]) -> Self {
        let (edits, path) = (Vec::new(), String::new());
        Self { redact, text, edits, counts: [0; KINDS], path, by_field: BTreeMap::new(), written: 0 }
    }

    /// Searches the object that begins at `start`.
    ///
    /// # Errors
    /// For a document that would become many times as long.
    pub(super) fn start(&mut self, start: usize) -> Result<(), Fault> {
        let names = (!self.redact.fields.is_empty()).then(|| self.redact.fields.iter().map(String::as_str).collect());
        let scope = Scope { names, except: self.redact.except.iter().map(String::as_str).collect() };
        self.members(start, &scope)
    }

    /// The edits in the order of the text, and the number of findings by detector as a JSON object.
    pub(super) fn end(self) -> (Vec<Edit>, Vec<u8>) {
        if self.redact.report_fields {
            return (self.edits, report_of(&self.by_field));
        }
        let kinds = ALL.iter().chain(&[Detector::Denied]);
        let found = kinds.zip(self.counts).filter(|(_, count)| *count > 0);
        let members: Vec<String> = found.map(|(kind, count)| format!("\"{}\":{count}", kind.name())).collect();
        (self.edits, format!("{{{}}}", members.join(",")).into_bytes())
    }

    fn members(&mut self, start: usize, scope: &Scope<'_>) -> Result<(), Fault> {
        for entry in json::Entries::new(self.text, start).into_iter().flatten() {
            glance();
            let raw = &self.text[entry.key.clone()];
            let except = match relation(raw, &scope.except) {
                // A key that cannot be read is no exception.
                Relation::Covered if json::unescape(raw).is_none() => Vec::new(),
                Relation::Covered => continue,
                Relation::Above(rest) => rest,
                Relation::Elsewhere => Vec::new(),
            };
            let names = match &scope.names {
                None => None,
                Some(names) => match relation(raw, names) {
                    Relation::Covered => None,
                    Relation::Above(rest) => Some(rest),
                    Relation::Elsewhere => continue,
                },
            };
            let key = readable(raw);
            if self.redact.keys && names.is_none() {
                self.searched(entry.key.start - 1..entry.key.end + 1, "")?;
            }
            let above = self.path.len();
            if self.redact.report_fields {
                self.path.push_str(if above == 0 { "" } else { "." });
                self.path.push_str(&key);
            }
            self.value(entry.value, &Scope { names, except }, &key)?;
            self.path.truncate(above);
        }
        Ok(())
    }

    fn value(&mut self, range: Range<usize>, scope: &Scope<'_>, key: &str) -> Result<(), Fault> {
        match self.text[range.start] {
            b'{' => self.members(range.start, scope)?,
            b'[' => {
                for item in json::elements(self.text, range.start) {
                    self.value(item, scope, key)?;
                }
            }
            b'"' if scope.names.is_none() => self.searched(range, key)?,
            b'1'..=b'9' if scope.names.is_none() && self.redact.numbers => self.number(range, key),
            _ => {}
        }
        Ok(())
    }

    /// Hides what is found in the text at `range`, which has its quotes.
    fn searched(&mut self, range: Range<usize>, key: &str) -> Result<(), Fault> {
        glance();
        let text = readable(&self.text[range.start + 1..range.end - 1]);
        if let Some(hidden) = self.hidden(&text, key)? {
            self.written += hidden.len();
            self.edits.push(Edit::of(range, json::quote(&hidden)));
        }
        Ok(())
    }

    /// Hides a number that is a card by its field: without such a word numbers are of anything.
    fn number(&mut self, range: Range<usize>, key: &str) {
        let Ok(text) = std::str::from_utf8(&self.text[range.clone()]) else { return };
        let mut sure = false;
        scan(text, key, self.redact.wanted, |found| {
            let whole = found.range.len() == text.len() && found.detector == Detector::CreditCard;
            sure |= whole && found.confidence > 0.8 && self.redact.min_confidence <= found.confidence;
        });
        if sure && !self.redact.allow.iter().any(|allowed| allowed == text) {
            let mut hidden = String::new();
            self.redact.replacement.write(text, Detector::CreditCard, &mut hidden);
            self.count(Detector::CreditCard);
            self.edits.push(Edit::of(range, json::quote(&hidden)));
        }
    }

    /// `text` with what is found hidden; `None` where nothing is.
    fn hidden(&mut self, text: &str, key: &str) -> Result<Option<String>, Fault> {
        let mut findings = self.denied(text);
        scan(text, key, self.redact.wanted, |found| {
            if found.confidence >= self.redact.min_confidence && !self.is_allowed(&text[found.range.clone()]) {
                findings.push(found);
            }
        });
        if findings.is_empty() {
            return Ok(None);
        }
        findings.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
        let (mut out, mut from) = (String::with_capacity(text.len()), 0);
        for Finding { range, detector, .. } in findings {
            if range.start < from {
                // It overlaps the one before: what sticks out of it is hidden with it.
                from = from.max(range.end);
                continue;
            }
            out.push_str(&text[from..range.start]);
            self.redact.replacement.write(&text[range.clone()], detector, &mut out);
            self.count(detector);
            check_output_size(self.text.len(), self.written + out.len())?;
            from = range.end;
        }
        out.push_str(&text[from..]);
        Ok(Some(out))
    }

    fn count(&mut self, detector: Detector) {
        self.counts[detector as usize] += 1;
        if self.redact.report_fields {
            *self.by_field.entry((detector.name(), self.path.clone())).or_default() += 1;
        }
    }

    /// The texts of `deny` in `text`.
    fn denied(&self, text: &str) -> Vec<Finding> {
        let found = self.redact.deny.iter().flat_map(|denied| {
            let matches = memmem::find_iter(text.as_bytes(), denied.as_bytes()).take(MOST_DENIED).inspect(|_| glance());
            matches.map(|at| Finding { range: at..at + denied.len(), detector: Detector::Denied, confidence: 1.0 })
        });
        found.collect()
    }

    fn is_allowed(&self, found: &str) -> bool {
        !self.redact.allow.is_empty() && self.redact.allow.iter().any(|allowed| *allowed == found.to_lowercase())
    }
}
