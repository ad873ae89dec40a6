//! `trim`: a string, or every string of a list, without white space around it (Java's `trim`: up to U+0020).

use super::support::text_map::TextMap;
use crate::error::Fault;
use crate::json;

pub(crate) struct Trim;

impl TextMap for Trim {
    fn map(text: &str) -> Result<Vec<u8>, Fault> {
        Ok(json::quote(text.trim_matches(|c| c <= ' ')))
    }
}
