//! `urldecode`: a string, or every string of a list, URL-decoded.

use super::texts::TextMap;
use crate::error::Fault;
use crate::json;

pub struct Urldecode;

impl TextMap for Urldecode {
    fn map(text: &str) -> Result<Vec<u8>, Fault> {
        decoded(text).map(|text| json::quote(&text))
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
