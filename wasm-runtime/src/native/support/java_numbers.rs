//! Numbers out of texts as `Integer.parseInt`, `Integer.decode` and `Double.parseDouble` of Java read them.

/// Characters that are the digit 0 of a script, each with its nine followers: Unicode's `Nd` of the basic plane, which is what
/// Java looks at one by one.
const ZEROES: [u32; 37] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
];

/// `Character.digit`.
fn digit(c: char, radix: u32) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(radix);
    }
    let code = c as u32;
    let decimal = ZEROES.iter().find_map(|zero| code.checked_sub(*zero).filter(|value| *value < 10));
    let letter = |first: u32| code.checked_sub(first).filter(|value| *value < 26).map(|value| value + 10);
    decimal.or_else(|| letter(0xff21)).or_else(|| letter(0xff41)).filter(|value| *value < radix)
}

/// `Long.parseLong(text, radix)`, in words of Java where it refuses.
///
/// # Errors
/// The message of Java's exception.
fn parse_in(text: &str, radix: u32) -> Result<i64, String> {
    let refused = || match radix {
        10 => format!("For input string: \"{text}\""),
        _ => format!("For input string: \"{text}\" under radix {radix}"),
    };
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let mut value: i64 = 0;
    let step = |value: i64, digit: u32| {
        let value = value.checked_mul(i64::from(radix))?;
        // Negative values reach one further.
        value.checked_sub(i64::from(digit))
    };
    if digits.is_empty() {
        return Err(refused());
    }
    for c in digits.chars() {
        value = digit(c, radix).and_then(|digit| step(value, digit)).ok_or_else(refused)?;
    }
    if negative { Ok(value) } else { value.checked_neg().ok_or_else(refused) }
}

/// `Long.parseLong`.
///
/// # Errors
/// The message of Java's exception.
pub(crate) fn parse_long(text: &str) -> Result<i64, String> {
    parse_in(text, 10)
}

/// An integer as `convert` reads it: hexadecimal behind `0x` or `-0x`, else decimal.
///
/// # Errors
/// The message of Java's exception.
pub(crate) fn long(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.strip_prefix("-0x") {
        Some(rest) => (true, rest),
        None => match text.strip_prefix("0x") {
            Some(rest) => (false, rest),
            None => return parse_long(text),
        },
    };
    if digits.starts_with(['-', '+']) {
        return Err("Sign character in wrong position".to_owned());
    }
    if negative { parse_in(&format!("-{digits}"), 16) } else { parse_in(digits, 16) }
}

/// [`long`] for 32 bits.
///
/// # Errors
/// The message of Java's exception.
pub(crate) fn int(text: &str) -> Result<i32, String> {
    let hexadecimal = text.starts_with("0x") || text.starts_with("-0x");
    let refused = || match hexadecimal {
        true => format!("For input string: \"{}\" under radix 16", text.replacen("0x", "", 1)),
        false => format!("For input string: \"{text}\""),
    };
    i32::try_from(long(text)?).map_err(|_| refused())
}

/// What `Double.parseDouble` and `Float.parseFloat` make of a text.
///
/// # Errors
/// The message of Java's exception.
pub(crate) fn double(text: &str) -> Result<f64, String> {
    floating(text, |digits| digits.parse::<f64>().ok(), |value| value)
}

/// [`double`] with the precision of a float.
///
/// # Errors
/// As [`double`].
pub(crate) fn float(text: &str) -> Result<f32, String> {
    floating(text, |digits| digits.parse::<f32>().ok(), |value| value as f32)
}

fn floating<F: From<f32> + std::ops::Neg<Output = F>>(
    text: &str,
    decimal: impl Fn(&str) -> Option<F>,
    narrow: impl Fn(f64) -> F,
) -> Result<F, String> {
    // `String.trim` takes all that is not above a blank.
    let trimmed = text.trim_matches(|c| c <= ' ');
    if trimmed.is_empty() {
        return Err("empty String".to_owned());
    }
    let refused = || format!("For input string: \"{trimmed}\"");
    let (negative, bare) = match trimmed.as_bytes()[0] {
        b'-' => (true, &trimmed[1..]),
        b'+' => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let value = match bare {
        "NaN" => F::from(f32::NAN),
        "Infinity" => F::from(f32::INFINITY),
        _ => {
            let digits = bare.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(bare);
            let plain = |c: u8| c.is_ascii_digit() || matches!(c, b'.' | b'e' | b'E' | b'+' | b'-');
            let hexadecimal = bare.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("0x"));
            let read = match hexadecimal {
                true => hexadecimal_float(&bare[2..]).map(narrow),
                false if digits.starts_with(['+', '-']) || !digits.bytes().all(plain) => None,
                false => decimal(digits),
            };
            read.ok_or_else(|| if several_points(digits) { "multiple points".to_owned() } else { refused() })?
        }
    };
    Ok(if negative { -value } else { value })
}

/// Whether digits with more than one point begin the text.
fn several_points(text: &str) -> bool {
    text.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').filter(|c| *c == b'.').count() > 1
}

/// A hexadecimal float behind its `0x`: digits with or without a point, then `p` and an exponent.
fn hexadecimal_float(text: &str) -> Option<f64> {
    let text = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let mut exponent: i32 = exponent.parse::<i32>().ok()?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0_f64;
    let mut kept = 0;
    for (at, c) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = c.to_digit(16)?;
        if kept < 13 {
            value = value * 16.0 + f64::from(digit);
            kept += usize::from(kept > 0 || digit > 0);
        } else {
            exponent = exponent.checked_add(4)?;
        }
        if at >= whole.len() {
            exponent = exponent.checked_sub(4)?;
        }
    }
    // In two steps: either power may be beyond a double where their product is not.
    let half = exponent / 2;
    Some(value * 2.0_f64.powi(half) * 2.0_f64.powi(exponent - half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_decimal_but_for_one_prefix() {
        for (text, value) in [
            ("0123", 123),
            ("08", 8),
            ("+5", 5),
            ("-0", 0),
            ("0x7b", 123),
            ("-0x1", -1),
            ("１２", 12),
            ("٣", 3),
            ("-2147483648", i32::MIN),
            ("-0x80000000", i32::MIN),
        ] {
            assert_eq!(int(text), Ok(value), "{text}");
        }
        for text in ["", "-", "0X7b", "#1F", "0x", "0x-1", "--1", " 5", "1_000", "2147483648", "0xffffffff", "1L"] {
            assert!(int(text).is_err(), "{text}");
        }
        assert_eq!(int("x"), Err("For input string: \"x\"".to_owned()));
        assert_eq!(long("9223372036854775808").unwrap_err(), "For input string: \"9223372036854775808\"");
    }

    #[test]
    fn floats_may_be_hexadecimal_and_have_a_suffix() {
        for (text, value) in [
            ("1f", 1.0),
            (" 1.5d ", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("0x1.8p1", 3.0),
            ("-0x1p-1", -0.5),
            ("1e-400", 0.0),
            ("Infinity", f64::INFINITY),
        ] {
            assert_eq!(double(text), Ok(value), "{text}");
        }
        assert!(double("NaN").unwrap().is_nan());
        for text in ["", " ", "-", "0x1", "1_0", "１", "1e", "inf", "nan", "--1", "1.2.3", "e5", "."] {
            assert!(double(text).is_err(), "{text}");
        }
    }
}
