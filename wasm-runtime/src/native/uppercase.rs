//! `uppercase`: a string, or every string of a list, in capitals.

use super::texts::TextMap;
use crate::error::Fault;
use crate::json;

pub struct Uppercase;

impl TextMap for Uppercase {
    fn map(text: &str) -> Result<Vec<u8>, Fault> {
        Ok(json::quote(&text.to_uppercase()))
    }
}
