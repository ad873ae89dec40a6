//! `csv`: a line of values into fields, in OpenSearch's own dialect (docs/decisions/012).

use serde::Deserialize;

use super::{Function, Parameters, field};
use crate::deadline::glance;
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::limits::check_made;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Csv {
    field: String,
    target_fields: Vec<String>,
    #[serde(default = "comma")]
    separator: String,
    #[serde(default = "double_quote")]
    quote: String,
    #[serde(default)]
    trim: bool,
    #[serde(default)]
    ignore_missing: bool,
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
    chars.next().filter(|_| chars.next().is_none())
}

impl Parameters for Csv {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        if self.target_fields.is_empty() {
            return Err("[target_fields] target fields list can't be empty".to_owned());
        }
        for name in &mut self.target_fields {
            *name = field::checked("target_fields", name)?;
        }
        let quote = single(&self.quote).ok_or("[quote] quote has to be single character like \" or '")?;
        let separator =
            single(&self.separator).ok_or("[separator] separator has to be single character like , or ;")?;
        self.marks = (separator, quote);
        Ok(())
    }
}

impl Csv {
    /// The values of a line, at most as many as there are target fields.
    fn values(&self, line: &str) -> Result<Vec<String>, Fault> {
        let (separator, quote) = self.marks;
        let chars: Vec<char> = line.chars().collect();
        let mut values = Vec::new();
        let mut at = 0;
        while values.len() < self.target_fields.len() && at <= chars.len() {
            glance();
            let start = at;
            while at < chars.len() && matches!(chars[at], ' ' | '\t') && chars[at] != separator {
                at += 1;
            }
            let value = if chars.get(at) == Some(&quote) {
                self.quoted(&chars, &mut at)?
            } else {
                while at < chars.len() && chars[at] != separator {
                    if chars[at] == quote || matches!(chars[at], '\r' | '\n') {
                        return Err(Fault::illegal(format!("Illegal character inside unquoted field at {at}")));
                    }
                    at += 1;
                }
                let text: String = chars[start..at].iter().collect();
                // OpenSearch keeps the white space at the end of the line.
                match self.trim {
                    true if at < chars.len() => text.trim_matches([' ', '\t']).to_owned(),
                    true => text.trim_start_matches([' ', '\t']).to_owned(),
                    false => text,
                }
            };
            values.push(value);
            at += 1;
        }
        Ok(values)
    }

    /// A quoted value; `at` is its opening quote, then the separator behind it.
    fn quoted(&self, chars: &[char], at: &mut usize) -> Result<String, Fault> {
        let (separator, quote) = self.marks;
        let mut value = String::new();
        *at += 1;
        loop {
            match chars.get(*at) {
                None => return Err(Fault::illegal("Unmatched quote")),
                Some(c) if *c == quote && chars.get(*at + 1) == Some(&quote) => {
                    value.push(quote);
                    *at += 2;
                }
                Some(c) if *c == quote => break,
                Some(c) => {
                    value.push(*c);
                    *at += 1;
                }
            }
        }
        *at += 1;
        while let Some(c) = chars.get(*at).filter(|c| **c != separator) {
            if !matches!(c, ' ' | '\t') {
                return Err(Fault::illegal(format!("character '{c}' after quoted field at {at}")));
            }
            *at += 1;
        }
        Ok(value)
    }
}

impl Function for Csv {
    fn apply(&self, text: &[u8], _meta: &mut Meta) -> Result<Effect, Fault> {
        let place = field::Place::new(&self.field, None, self.ignore_missing);
        let Some(line) = place.text(text, "cannot process it.")? else { return Ok(Effect::Unchanged) };
        if line.is_empty() {
            return Ok(Effect::Unchanged);
        }
        let mut fields = Vec::new();
        let mut made = 0;
        for (name, value) in self.target_fields.iter().zip(self.values(&line)?) {
            let raw = match &self.empty_value {
                None if value.is_empty() => continue,
                Some(empty) if value.is_empty() => empty.to_string().into_bytes(),
                _ => json::quote(&value),
            };
            glance();
            made += raw.len();
            check_made(text.len(), made)?;
            fields.push((name, raw));
        }
        field::put_all(text, &fields).map(Effect::Replaced)
    }
}
