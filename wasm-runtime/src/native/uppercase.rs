//! `uppercase`: a string, or every string of a list, in capitals.

use super::support::text_map::TextMap;
use crate::error::Fault;
use crate::json;
use crate::json::scratch_copy;

pub(crate) struct Uppercase;

impl TextMap for Uppercase {
    fn map(text: &str) -> Result<Vec<u8>, Fault> {
        Ok(json::quote(&text.to_uppercase()))
    }

    fn map_plain(raw: &[u8]) -> Option<Vec<u8>> {
        let mut upper = scratch_copy(raw);
        upper.make_ascii_uppercase();
        Some(upper)
    }
}
