//! Moments of plain numbers: seconds and milliseconds since 1970 as Java reads numbers, and TAI64N labels.

/// As `Double.parseDouble`: blanks around, `f` or `d` behind, hexadecimal ones with an exponent.
pub(crate) fn double(text: &str) -> Option<f64> {
    let trimmed = text.trim_matches(|c: char| c <= ' ');
    let (negative, bare) = match trimmed.as_bytes().first()? {
        b'-' => (true, &trimmed[1..]),
        b'+' => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let value = match bare {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        _ => {
            let number = bare.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(bare);
            match number.strip_prefix("0x").or_else(|| number.strip_prefix("0X")) {
                Some(digits) => hexadecimal(digits)?,
                None => decimal(number)?,
            }
        }
    };
    Some(if negative { -value } else { value })
}

/// Digits with a point, and maybe an exponent: nothing else that Rust takes.
fn decimal(number: &str) -> Option<f64> {
    let plain = number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let starts = number.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if plain && starts { number.parse().ok() } else { None }
}

/// `1.8p3`: the exponent, of two, has to be there.
fn hexadecimal(digits: &str) -> Option<f64> {
    let (number, exponent) = digits.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + part.len() == 0 {
        return None;
    }
    let mut value = 0.0;
    for digit in whole.chars().chain(part.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let places = i32::try_from(part.len()).ok()?;
    Some(value * 2f64.powi(exponent.saturating_sub(places.saturating_mul(4))))
}

/// As `Long.parseLong`: digits, and a sign.
pub(crate) fn long(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Milliseconds of a TAI64N label (`@`, 16 digits of seconds, 8 of nanoseconds), 10 leap seconds taken off as OpenSearch does.
pub(crate) fn tai64n(text: &str) -> Option<i64> {
    let label = text.strip_prefix('@').unwrap_or(text);
    let seconds = i64::from_str_radix(label.get(1..16)?, 16).ok()?;
    let nanos = i64::from_str_radix(label.get(16..24)?, 16).ok()?;
    Some(seconds.wrapping_mul(1000).wrapping_sub(10_000).wrapping_add(nanos / 1_000_000))
}
