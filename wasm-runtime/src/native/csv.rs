//! `csv`: a line of values into fields, in OpenSearch's own dialect (docs/decisions/012-built-ins-of-the-cluster.md).

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::rewrite::FieldRewrite;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::glance;
use crate::engine::limits::check_output_size;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Reads a line of separated values into fields.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Csv {
    /// The field that is read, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The fields that get the values, in order.
    #[schemars(length(min = 1))]
    target_fields: Vec<String>,
    /// The character between values.
    #[serde(default = "comma")]
    #[schemars(length(min = 1, max = 1))]
    separator: String,
    /// The character around values that contain a separator.
    #[serde(default = "double_quote")]
    #[schemars(length(min = 1, max = 1))]
    quote: String,
    /// Whether white space around values without quotes is removed.
    #[serde(default)]
    trim: bool,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    /// The value in place of an empty one; default: the field stays absent.
    empty_value: Option<serde_json::Value>,
    #[serde(skip)]
    marks: (char, char),
}

fn comma() -> String {
    ",".to_owned()
}

fn double_quote() -> String {
    "\"".to_owned()
}

fn single(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|c| c.len_utf16() == 1 && chars.next().is_none())
}

impl Parameters for Csv {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        if self.target_fields.is_empty() {
            return Err("[target_fields] target fields list can't be empty".to_owned());
        }
        for name in &mut self.target_fields {
            // An empty name is an error of the document that has a value for it.
            if !name.is_empty() {
                *name = field::checked("target_fields", name)?;
            }
        }
        let quote = single(&self.quote).ok_or("[quote] quote has to be single character like \" or '")?;
        let separator =
            single(&self.separator).ok_or("[separator] separator has to be single character like , or ;")?;
        self.marks = (separator, quote);
        Ok(())
    }
}

/// Where the reader of a line is.
enum State {
    Start,
    Unquoted,
    Quoted,
    /// Behind a quote inside or at the end of a quoted value.
    QuotedEnd,
}

/// Reads a line as OpenSearch's `CsvParser` does, which gives no value behind the last separator.
struct Reader<'c> {
    csv: &'c Csv,
    chars: Vec<char>,
    values: Vec<String>,
    state: State,
    at: usize,
    /// Where the value begins, and what was read of it before a doubled quote.
    start: usize,
    before: String,
}

impl<'c> Reader<'c> {
    /// The values of a line, at most as many as there are target fields.
    fn values(csv: &'c Csv, line: &str) -> Result<Vec<String>, Fault> {
        let (chars, values) = (line.chars().collect(), Vec::new());
        let mut reader = Self { csv, chars, values, state: State::Start, at: 0, start: 0, before: String::new() };
        while reader.at < reader.chars.len() {
            glance();
            let done = match reader.state {
                State::Start => reader.start_field(),
                State::Unquoted => reader.unquoted()?,
                State::Quoted => reader.quoted(),
                State::QuotedEnd => reader.quoted_end()?,
            };
            if done {
                return Ok(reader.values);
            }
            reader.at += 1;
        }
        match reader.state {
            State::Unquoted => reader.set(reader.chars.len()),
            State::QuotedEnd => reader.set(reader.chars.len() - 1),
            State::Quoted => return Err(Fault::illegal("Unmatched quote")),
            State::Start => false,
        };
        Ok(reader.values)
    }

    /// Notes the value that ends at `end`; whether every target field has one.
    fn set(&mut self, end: usize) -> bool {
        let mut value = std::mem::take(&mut self.before);
        value.extend(&self.chars[self.start.min(end)..end]);
        self.values.push(value);
        self.values.len() == self.csv.target_fields.len()
    }

    fn start_field(&mut self) -> bool {
        let (separator, quote) = self.csv.marks;
        while let Some(c) = self.chars.get(self.at) {
            glance();
            if *c == quote {
                self.state = State::Quoted;
                self.start = self.at + 1;
                return false;
            } else if *c == separator {
                self.start += 1;
                if self.set(self.start) {
                    return true;
                }
            } else if !matches!(c, ' ' | '\t') {
                self.state = State::Unquoted;
                return false;
            } else if self.csv.trim {
                self.start += 1;
            }
            self.at += 1;
        }
        true
    }

    fn unquoted(&mut self) -> Result<bool, Fault> {
        let (separator, quote) = self.csv.marks;
        let mut blanks = 0;
        while let Some(c) = self.chars.get(self.at) {
            glance();
            if matches!(c, '\r' | '\n') || *c == quote {
                let at: usize = self.chars[..self.at].iter().map(|c| c.len_utf16()).sum();
                return Err(Fault::illegal(format!("Illegal character inside unquoted field at {at}")));
            } else if *c == separator {
                self.state = State::Start;
                let done = self.set(self.at - blanks);
                self.start = self.at + 1;
                return Ok(done);
            }
            blanks = if self.csv.trim && matches!(c, ' ' | '\t') { blanks + 1 } else { 0 };
            self.at += 1;
        }
        Ok(false)
    }

    fn quoted(&mut self) -> bool {
        let (_, quote) = self.csv.marks;
        while let Some(c) = self.chars.get(self.at) {
            glance();
            if *c == quote {
                self.state = State::QuotedEnd;
                break;
            }
            self.at += 1;
        }
        false
    }

    fn quoted_end(&mut self) -> Result<bool, Fault> {
        let (separator, quote) = self.csv.marks;
        if self.chars[self.at] == quote {
            let read = self.chars[self.start..self.at - 1].iter();
            self.before.extend(read);
            self.before.push(quote);
            self.start = self.at + 1;
            self.state = State::Quoted;
            return Ok(false);
        }
        let end = self.at - 1;
        let mut noted = false;
        while let Some(c) = self.chars.get(self.at) {
            glance();
            if !matches!(c, ' ' | '\t') && *c != separator {
                let at: usize = self.chars[..self.at].iter().map(|c| c.len_utf16()).sum();
                return Err(Fault::illegal(format!("character '{c}' after quoted field at {at}")));
            }
            let ends = *c == separator;
            if !noted && self.set(end) {
                return Ok(true);
            }
            noted = true;
            if ends {
                self.start = self.at + 1;
                self.state = State::Start;
                return Ok(false);
            }
            self.at += 1;
        }
        Ok(true)
    }
}

impl Function for Csv {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let rewrite = FieldRewrite::new(&self.field, None, self.ignore_missing);
        let Some(line) = rewrite.text(doc, "cannot process it.")? else { return Ok(Effect::Unchanged) };
        if line.is_empty() {
            return Ok(Effect::Unchanged);
        }
        let mut fields = Vec::new();
        let mut output_size = 0;
        for (name, value) in self.target_fields.iter().zip(Reader::values(self, &line)?) {
            let raw = match &self.empty_value {
                None if value.is_empty() => continue,
                Some(empty) if value.is_empty() => empty.to_string().into_bytes(),
                _ => json::quote(&value),
            };
            glance();
            output_size += raw.len();
            check_output_size(text.len(), output_size)?;
            fields.push((name, raw));
        }
        field::set_all(text, &fields).map(Effect::Replaced)
    }
}
