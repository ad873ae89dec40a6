//! `lowercase`: a string, or every string of a list.

use serde::Deserialize;

use super::{Function, Parameters, field};
use crate::batch::Effect;
use crate::error::Fault;
use crate::host::Meta;
use crate::{java, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lowercase {
    field: String,
    target_field: Option<String>,
    #[serde(default)]
    ignore_missing: bool,
}

impl Parameters for Lowercase {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        if let Some(target) = &self.target_field {
            self.target_field = Some(field::checked("target_field", target)?);
        }
        Ok(())
    }
}

impl Lowercase {
    fn lower_element(&self, raw: &[u8]) -> Result<Vec<u8>, Fault> {
        json::string(raw).map(|s| json::quote(&s.to_lowercase())).ok_or_else(|| {
            Fault::illegal(format!(
                "value [{}] of type [{}] in list field [{}] cannot be cast to [java.lang.String]",
                java::text(raw),
                java::type_name(raw),
                self.field
            ))
        })
    }

    fn lower(&self, raw: &[u8]) -> Result<Vec<u8>, Fault> {
        json::string(raw).map(|s| json::quote(&s.to_lowercase())).ok_or_else(|| {
            Fault::illegal(format!(
                "field [{}] of type [{}] cannot be cast to [java.lang.String]",
                self.field,
                java::type_name(raw)
            ))
        })
    }
}

impl Function for Lowercase {
    fn apply(&self, text: &[u8], _meta: &Meta) -> Result<Effect, Fault> {
        let found = json::find(text, &self.field);
        if self.ignore_missing && found.as_ref().is_none_or(|r| &text[r.clone()] == b"null") {
            return Ok(Effect::Unchanged);
        }
        let range = found.map_or_else(|| field::require(text, &self.field), Ok)?;
        let raw = &text[range.clone()];
        if raw == b"null" {
            return Err(Fault::illegal(format!("field [{}] is null, cannot process it.", self.field)));
        }
        let value = if raw[0] == b'[' {
            let parts: Result<Vec<_>, _> =
                json::elements(text, range.start).into_iter().map(|r| self.lower_element(&text[r])).collect();
            let mut list = vec![b'['];
            list.extend(parts?.join(&b','));
            list.push(b']');
            list
        } else {
            self.lower(raw)?
        };
        match &self.target_field {
            None => Ok(Effect::Replaced(json::splice(text, range, &value))),
            Some(target) => field::put(text, target, &value).map(Effect::Replaced),
        }
    }
}
