//! `foreach`: a built-in over every element of a list, which it calls `_ingest._value`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::handled::Handled;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::tick;
use crate::engine::limits::{Copied, check_output_size};
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

const VALUE: &str = "_ingest._value";

/// Runs a built-in on each element of a list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Foreach {
    /// The field with the list, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The name of one built-in with its options; the element is `_ingest._value`.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    processor: BTreeMap<String, Box<RawValue>>,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    #[serde(skip)]
    inner: Option<Handled>,
    /// The processor sees nothing but the element, so that the document need not be carried along.
    #[serde(skip)]
    by_element: bool,
}

/// Built-ins that read and write no other fields than those that their options name.
const NAMED_FIELDS_ONLY: [&str; 13] = [
    "append",
    "bytes",
    "convert",
    "gsub",
    "html_strip",
    "join",
    "lowercase",
    "remove",
    "set",
    "sort",
    "split",
    "trim",
    "uppercase",
];

/// Whether all fields that the options name are the element or parts of it.
fn works_by_element(function: &str, options: &[u8]) -> bool {
    let text = String::from_utf8_lossy(options);
    let templates =
        text.match_indices("{{").all(|(at, _)| text[at..].trim_start_matches(['{', '&', ' ']).starts_with(VALUE));
    let fields = ["field", "target_field", "exclude_field"].into_iter().all(|key| {
        let Some(entry) = json::get(options, json::skip_ws(options, 0), key) else { return true };
        json::string(&options[entry.value]).is_some_and(|name| name.starts_with(VALUE))
    });
    NAMED_FIELDS_ONLY.contains(&function) && templates && fields
}

impl Parameters for Foreach {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        let mut processors = self.processor.iter();
        let (Some((name, options)), None) = (processors.next(), processors.next()) else {
            return Err("[processor] Must specify exactly one processor type".to_owned());
        };
        let inner = Handled::build(name, options.get().as_bytes())?;
        self.by_element = inner.is_plain() && works_by_element(name, options.get().as_bytes());
        self.inner = Some(inner);
        Ok(())
    }
}

impl Function for Foreach {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let Some(inner) = &self.inner else { return Ok(Effect::Unchanged) };
        let Some(found) = json::find(doc, &self.field).filter(|r| &text[r.clone()] != b"null") else {
            if self.ignore_missing {
                return Ok(Effect::Unchanged);
            }
            let null = json::find(doc, &self.field).is_some();
            return Err(Fault::illegal(if null {
                format!("field [{}] is null, cannot loop over its elements.", self.field)
            } else {
                field::absence(doc, &self.field)
            }));
        };
        let list = &text[found];
        if list[0] != b'[' {
            return Err(field::cannot_cast(&self.field, list, "java.util.List"));
        }
        let elements: Vec<&[u8]> = json::elements(list, 0).into_iter().map(|range| &list[range]).collect();
        if self.by_element {
            return self.apply_by_element(inner, doc, &elements, meta);
        }
        let had = json::get(doc, json::skip_ws(text, 0), "_ingest").is_some();
        let before = json::find(doc, VALUE).map(|range| text[range].to_vec());
        let mut out = text.to_vec();
        let mut values = Vec::with_capacity(elements.len());
        let mut output_size = 0;
        let mut copied = Copied::default();
        for element in elements {
            tick()?;
            copied.more(3 * out.len())?;
            out = field::set(&out, VALUE, element)?;
            match inner.apply((&out).into(), meta)?.whole(&out) {
                Effect::Replaced(new) => out = new,
                Effect::Dropped => return Ok(Effect::Dropped),
                _ => {}
            }
            values.push(value_of(&out));
            output_size += values[values.len() - 1].len();
            check_output_size(text.len(), output_size)?;
        }
        out = match before {
            Some(value) => field::set(&out, VALUE, &value)?,
            None if had => json::remove(&out, VALUE).unwrap_or(out),
            None => json::remove(&out, "_ingest").unwrap_or(out),
        };
        field::set(&out, &self.field, &field::array(&values)).map(Effect::Replaced)
    }

    fn longest(&self) -> usize {
        self.inner.as_ref().map_or(usize::MAX, Handled::longest)
    }
}

impl Foreach {
    fn apply_by_element(
        &self,
        inner: &Handled,
        doc: DocView<'_>,
        elements: &[&[u8]],
        meta: &mut Meta,
    ) -> Result<Effect, Fault> {
        let mut values = Vec::with_capacity(elements.len());
        let mut output_size = 0;
        for element in elements {
            tick()?;
            let small = [br#"{"_ingest":{"_value":"#.as_slice(), element, b"}}"].concat();
            match inner.apply((&small).into(), meta)?.whole(&small) {
                Effect::Replaced(new) => values.push(value_of(&new)),
                _ => values.push(element.to_vec()),
            }
            output_size += values[values.len() - 1].len();
            check_output_size(doc.text().len(), output_size)?;
        }
        field::change(doc, &self.field, &field::array(&values))
    }
}

fn value_of(text: &[u8]) -> Vec<u8> {
    json::find(text, VALUE).map_or_else(|| b"null".to_vec(), |range| text[range].to_vec())
}
