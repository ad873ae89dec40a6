//! `urldecode`: a string, or every string of a list, URL-decoded.

use super::support::text_map::TextMap;
use crate::error::Fault;
use crate::json;

pub(crate) struct Urldecode;

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
    let mut decoded = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(&c) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match (c, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 2;
            }
            (b'+', _) => decoded.push(b' '),
            _ => decoded.push(c),
        }
        at += 1;
    }
    Ok(lenient(&decoded))
}

/// UTF-8 with Java's replacements: as the standard library has them, but one for a surrogate that is written out.
fn lenient(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|pair| pair[0] == 0xed && pair[1] >= 0xa0 && pair[1] <= 0xbf) {
        out.push_str(&String::from_utf8_lossy(&rest[..at]));
        out.push(char::REPLACEMENT_CHARACTER);
        let third = rest.get(at + 2).is_some_and(|byte| byte & 0xc0 == 0x80);
        rest = &rest[at + 2 + usize::from(third)..];
    }
    out.push_str(&String::from_utf8_lossy(rest));
    out
}
