//! `lowercase`: a string, or every string of a list, in small letters.

use super::texts::TextMap;
use crate::error::Fault;
use crate::json;

pub struct Lowercase;

impl TextMap for Lowercase {
    fn map(text: &str) -> Result<Vec<u8>, Fault> {
        if !text.is_ascii() {
            return Ok(json::quote(&text.to_lowercase()));
        }
        let mut out = Vec::with_capacity(text.len() + 2);
        json::write_quoted(text, &mut out);
        // No escape that may be in it has a capital letter, nor one that means another in small letters.
        out.make_ascii_lowercase();
        Ok(out)
    }
}
