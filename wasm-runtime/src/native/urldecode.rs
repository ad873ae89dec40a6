//! `urldecode`: a string, or every string of a list, URL-decoded.

use serde::Deserialize;

use super::{Function, Parameters, field};
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Urldecode {
    field: String,
    target_field: Option<String>,
    #[serde(default)]
    ignore_missing: bool,
}

impl Parameters for Urldecode {
    fn prepare(&mut self) -> Result<(), String> {
        field::check_pair(&mut self.field, &mut self.target_field)
    }
}

impl Function for Urldecode {
    fn apply(&self, text: &[u8], _meta: &mut Meta) -> Result<Effect, Fault> {
        let place = field::Place {
            field: &self.field,
            target: self.target_field.as_deref(),
            ignore_missing: self.ignore_missing,
        };
        place.map_text(text, |value| decoded(value).map(|text| json::quote(&text)))
    }
}

/// The text, after the checks of Java's `URLDecoder`.
fn decoded(value: &str) -> Result<String, Fault> {
    let bytes = value.as_bytes();
    for (at, _) in value.match_indices('%') {
        let Some(digits) = bytes.get(at + 1..at + 3) else {
            return Err(Fault::illegal("URLDecoder: Incomplete trailing escape (%) pattern"));
        };
        if let Some(bad) = digits.iter().find(|c| !c.is_ascii_hexdigit()) {
            return Err(Fault::illegal(format!(
                "URLDecoder: Illegal hex characters in escape (%) pattern - not a hexadecimal digit: \"{}\" = {bad}",
                char::from(*bad)
            )));
        }
    }
    // Without `=` and `&` as separators: both are escaped first, the decoder then gives them back.
    let whole = value.replace('&', "%26").replace('=', "%3D");
    Ok(form_urlencoded::parse(whole.as_bytes()).map(|(key, _)| key.into_owned()).collect())
}
