//! `bytes`: a size with a unit (`1kb`) as a number of bytes; lists element by element.

use super::texts::TextMap;
use crate::error::Fault;

pub struct Bytes;

impl TextMap for Bytes {
    fn map(text: &str) -> Result<Vec<u8>, Fault> {
        size(text)
    }
}

/// The units of OpenSearch's `ByteSizeValue`, longest first.
const UNITS: [(&str, i64); 11] = [
    ("kb", 1 << 10),
    ("mb", 1 << 20),
    ("gb", 1 << 30),
    ("tb", 1 << 40),
    ("pb", 1 << 50),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("p", 1 << 50),
    ("b", 1),
];

fn size(value: &str) -> Result<Vec<u8>, Fault> {
    let text = value.to_lowercase().trim().to_owned();
    if text == "-1" || text == "0" {
        return Ok(text.into_bytes());
    }
    let Some((number, unit)) = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))) else {
        return Err(Fault::new(
            400,
            "parse_exception",
            format!(
                "failed to parse setting [Ingest Field] with value [{value}] as a size in bytes: unit is missing or unrecognized"
            ),
        ));
    };
    let number = number.trim();
    match number.parse::<i64>() {
        Ok(number) => Ok(number.saturating_mul(unit).to_string().into_bytes()),
        Err(_) if number.parse::<f64>().is_ok() => Err(Fault::new(
            400,
            "parse_exception",
            format!(
                "Failed to parse bytes value [{value}]. Fractional bytes values have been deprecated since Legacy 6.2. \
             Use non-fractional bytes values instead: found for setting [Ingest Field]"
            ),
        )),
        Err(_) => Err(Fault::new(400, "number_format_exception", format!("For input string: \"{number}\""))),
    }
}
