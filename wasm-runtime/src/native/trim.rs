//! `trim`: a string, or every string of a list, without white space around it (Java's `trim`: up to U+0020).

use serde::Deserialize;

use super::{Function, Parameters, field};
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trim {
    field: String,
    target_field: Option<String>,
    #[serde(default)]
    ignore_missing: bool,
}

impl Parameters for Trim {
    fn prepare(&mut self) -> Result<(), String> {
        field::check_pair(&mut self.field, &mut self.target_field)
    }
}

impl Function for Trim {
    fn apply(&self, text: &[u8], _meta: &mut Meta) -> Result<Effect, Fault> {
        let place = field::Place {
            field: &self.field,
            target: self.target_field.as_deref(),
            ignore_missing: self.ignore_missing,
        };
        place.map_text(text, |value| Ok(json::quote(value.trim_matches(|c| c <= ' '))))
    }
}
