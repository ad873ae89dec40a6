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
        let rewrite = field::Rewrite {
            field: &self.field,
            target: self.target_field.as_deref(),
            ignore_missing: self.ignore_missing,
        };
        let null = || format!("field [{}] is null, cannot process it.", self.field);
        rewrite.apply(text, null, |raw| self.lower(raw), |raw| self.lower_element(raw))
    }
}
