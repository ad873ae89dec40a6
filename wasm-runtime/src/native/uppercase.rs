//! `uppercase`: a string, or every string of a list, in capitals.

use serde::Deserialize;

use super::{Function, Parameters, field};
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uppercase {
    field: String,
    target_field: Option<String>,
    #[serde(default)]
    ignore_missing: bool,
}

impl Parameters for Uppercase {
    fn prepare(&mut self) -> Result<(), String> {
        field::check_pair(&mut self.field, &mut self.target_field)
    }
}

impl Function for Uppercase {
    fn apply(&self, text: &[u8], _meta: &mut Meta) -> Result<Effect, Fault> {
        let place = field::Place {
            field: &self.field,
            target: self.target_field.as_deref(),
            ignore_missing: self.ignore_missing,
        };
        place.map_text(text, |value| Ok(json::quote(&value.to_uppercase())))
    }
}
