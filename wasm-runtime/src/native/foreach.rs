//! `foreach`: a built-in over every element of a list, which it calls `_ingest._value`.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::{Function, Native, Parameters, field};
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::json;

const VALUE: &str = "_ingest._value";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreach {
    field: String,
    processor: BTreeMap<String, Box<RawValue>>,
    #[serde(default)]
    ignore_missing: bool,
    #[serde(skip)]
    inner: Option<Native>,
}

impl Parameters for Foreach {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        let mut processors = self.processor.iter();
        let (Some((name, options)), None) = (processors.next(), processors.next()) else {
            return Err("[processor] Must specify exactly one processor type".to_owned());
        };
        self.inner = Some(Native::build(name, "document", options.get().as_bytes())?);
        Ok(())
    }
}

impl Function for Foreach {
    fn apply(&self, text: &[u8], meta: &mut Meta) -> Result<Effect, Fault> {
        let Some(inner) = &self.inner else { return Ok(Effect::Unchanged) };
        let Some(found) = json::find(text, &self.field).filter(|r| &text[r.clone()] != b"null") else {
            if self.ignore_missing {
                return Ok(Effect::Unchanged);
            }
            let null = json::find(text, &self.field).is_some();
            return Err(Fault::illegal(if null {
                format!("field [{}] is null, cannot loop over its elements.", self.field)
            } else {
                field::absence(text, &self.field)
            }));
        };
        let list = &text[found];
        if list[0] != b'[' {
            return Err(field::cannot_cast(&self.field, list, "java.util.List"));
        }
        let had = json::get(text, json::skip_ws(text, 0), "_ingest").is_some();
        let before = json::find(text, VALUE).map(|range| text[range].to_vec());
        let mut out = text.to_vec();
        let mut values = Vec::new();
        for range in json::elements(list, 0) {
            out = field::put(&out, VALUE, &list[range])?;
            match inner.apply(&out, meta)? {
                Effect::Replaced(new) => out = new,
                Effect::Dropped => return Ok(Effect::Dropped),
                _ => {}
            }
            let value = json::find(&out, VALUE).map_or_else(|| b"null".to_vec(), |range| out[range].to_vec());
            values.push(value);
        }
        out = match before {
            Some(value) => field::put(&out, VALUE, &value)?,
            None if had => json::remove(&out, VALUE).unwrap_or(out),
            None => json::remove(&out, "_ingest").unwrap_or(out),
        };
        field::put(&out, &self.field, &field::array(&values)).map(Effect::Replaced)
    }
}
