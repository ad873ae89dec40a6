//! `lowercase`: a string, or every string of a list, in small letters.

use super::support::text_map::TextMap;
use crate::error::Fault;
use crate::json;
use crate::json::scratch_copy;

pub(crate) struct Lowercase;

impl TextMap for Lowercase {
    fn map(text: &str) -> Result<Vec<u8>, Fault> {
        Ok(json::quote(&text.to_lowercase()))
    }

    fn map_plain(raw: &[u8]) -> Option<Vec<u8>> {
        let mut lower = scratch_copy(raw);
        lower.make_ascii_lowercase();
        Some(lower)
    }
}
