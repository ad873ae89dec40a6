//! Numbers that are longer than a machine's, and floating point numbers, as decimal text.

use super::sink::{Done, MAX_DIGITS, Refused, Sink, refuse};

/// Bytes of the longest integer with [`MAX_DIGITS`] digits.
const MAX_BYTES: usize = 416;
/// Maximum number of digits behind the point of a decimal that is written without an exponent.
const MAX_PLAIN: u64 = 400;

/// The digits of an unsigned integer, most significant byte first.
pub(crate) fn digits(bytes: &[u8]) -> Result<String, Refused> {
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    if bytes.len() > MAX_BYTES {
        return refuse(format!("a number has more than {MAX_DIGITS} digits"));
    }
    // Groups of nine digits, the lowest first.
    let mut groups: Vec<u32> = Vec::new();
    for byte in bytes {
        let mut carry = u64::from(*byte);
        for group in &mut groups {
            let value = u64::from(*group) * 256 + carry;
            *group = (value % 1_000_000_000) as u32;
            carry = value / 1_000_000_000;
        }
        if carry > 0 {
            groups.push(carry as u32);
        }
    }
    let mut text = groups.last().map_or_else(|| "0".to_owned(), u32::to_string);
    for group in groups.iter().rev().skip(1) {
        text.push_str(&format!("{group:09}"));
    }
    if text.len() > MAX_DIGITS {
        return refuse(format!("a number has more than {MAX_DIGITS} digits"));
    }
    Ok(text)
}

/// The digits, with a sign, of an integer in two's complement, most significant byte first.
pub(crate) fn signed(bytes: &[u8]) -> Result<String, Refused> {
    if bytes.first().is_none_or(|byte| *byte < 0x80) {
        return digits(bytes);
    }
    let mut magnitude: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
    match magnitude.iter().rposition(|byte| *byte != 0xff) {
        Some(at) => {
            magnitude[at] += 1;
            magnitude[at + 1..].fill(0);
        }
        None => {
            magnitude.fill(0);
            magnitude.insert(0, 1);
        }
    }
    Ok(format!("-{}", digits(&magnitude)?))
}

/// The number `integer`, which is decimal text, times ten to the power of `exponent`.
pub(crate) fn scaled(integer: &str, exponent: i64) -> String {
    if exponent == 0 {
        return integer.to_owned();
    }
    if exponent > 0 || exponent.unsigned_abs() > MAX_PLAIN {
        return format!("{integer}e{exponent}");
    }
    let behind = exponent.unsigned_abs() as usize;
    let (sign, number) = integer.strip_prefix('-').map_or(("", integer), |number| ("-", number));
    let number = format!("{number:0>width$}", width = behind + 1);
    let (before, rest) = number.split_at(number.len() - behind);
    format!("{sign}{before}.{rest}")
}

/// A floating point number, whose shortest text is `text`; what JSON cannot write is a text, as the cluster shows it.
fn float(text: serde_json::Result<String>, value: f64, strict: bool, sink: &mut impl Sink) -> Done {
    if value.is_finite() {
        return match text {
            Ok(text) => sink.number(&text),
            Err(error) => refuse(error.to_string()),
        };
    }
    if strict {
        return refuse("[NaN] and [Infinity] are numbers that JSON has not");
    }
    sink.string(if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    })
}

pub(crate) fn double(value: f64, strict: bool, sink: &mut impl Sink) -> Done {
    float(serde_json::to_string(&value), value, strict, sink)
}

/// One of 32 bits keeps its own shortest text; whole numbers keep their value, as encoders shorten doubles to these.
pub(crate) fn single(value: f32, strict: bool, sink: &mut impl Sink) -> Done {
    if value.fract() == 0.0 {
        return double(f64::from(value), strict, sink);
    }
    float(serde_json::to_string(&value), f64::from(value), strict, sink)
}
