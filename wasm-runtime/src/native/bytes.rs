//! `bytes`: a size with a unit (`1kb`) as a number of bytes; lists element by element.

use super::support::java_numbers::{double, parse_long};
use super::support::text_map::TextMap;
use crate::error::Fault;

pub(crate) struct Bytes;

impl TextMap for Bytes {
    fn map(text: &str) -> Result<Vec<u8>, Fault> {
        size(text)
    }
}

/// The units of OpenSearch's `ByteSizeValue`: how they are written, how they are shown, bytes.
const UNITS: [(&str, &str, i64); 10] = [
    ("k", "kb", 1 << 10),
    ("kb", "kb", 1 << 10),
    ("m", "mb", 1 << 20),
    ("mb", "mb", 1 << 20),
    ("g", "gb", 1 << 30),
    ("gb", "gb", 1 << 30),
    ("t", "tb", 1 << 40),
    ("tb", "tb", 1 << 40),
    ("p", "pb", 1 << 50),
    ("pb", "pb", 1 << 50),
];

fn unreadable(reason: String, cause: Option<String>) -> Fault {
    let fault = Fault::new(400, "parse_exception", reason);
    match cause {
        Some(cause) => fault.caused_by(cause),
        None => fault,
    }
}

/// The bytes of so many units; an error is what `ByteSizeValue` says.
fn checked(number: i64, shown: &str, unit: i64) -> Result<i64, String> {
    if number < -1 || number == -1 && unit > 1 {
        return Err(format!("Values less than -1 bytes are not supported: {number}{shown}"));
    }
    number
        .checked_mul(unit)
        .ok_or_else(|| format!("Values greater than {} bytes are not supported: {number}{shown}", i64::MAX))
}

fn size(value: &str) -> Result<Vec<u8>, Fault> {
    let lower = value.to_lowercase();
    let text = lower.trim_matches(|c| c <= ' ');
    let whole = format!("failed to parse setting [Ingest Field] with value [{value}] as a size in bytes");
    for (suffix, shown, unit) in UNITS {
        let Some(number) = text.strip_suffix(suffix) else { continue };
        let number = number.trim_matches(|c| c <= ' ');
        let read = parse_long(number).map_err(|cause| match double(number) {
            Ok(_) if number != "nan" => unreadable(
                format!(
                    "Failed to parse bytes value [{value}]. Fractional bytes values have been deprecated since Legacy 6.2. \
                     Use non-fractional bytes values instead: found for setting [Ingest Field]"
                ),
                Some(cause),
            ),
            _ => unreadable(format!("failed to parse [{value}]"), Some(cause)),
        })?;
        let size = checked(read, shown, unit).map_err(|cause| unreadable(whole.clone(), Some(cause)))?;
        return Ok(size.to_string().into_bytes());
    }
    if let Some(number) = text.strip_suffix('b') {
        let number = number.trim_matches(|c| c <= ' ');
        let read = parse_long(number).map_err(|why| Fault::new(400, "number_format_exception", why))?;
        return checked(read, "b", 1).map(|size| size.to_string().into_bytes()).map_err(Fault::illegal);
    }
    if text == "-1" || text == "0" {
        return Ok(text.as_bytes().to_vec());
    }
    Err(unreadable(format!("{whole}: unit is missing or unrecognized"), None))
}
