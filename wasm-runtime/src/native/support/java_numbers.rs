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

/// `Double.parseDouble`.
///
/// # Errors
/// The message of Java's exception.
pub(crate) fn double(text: &str) -> Result<f64, String> {
    floating(text, |digits| digits.parse::<f64>().ok(), |binary| binary.rounded(53, -1074))
}

/// `Float.parseFloat`.
///
/// # Errors
/// As [`double`].
pub(crate) fn float(text: &str) -> Result<f32, String> {
    floating(text, |digits| digits.parse::<f32>().ok(), |binary| binary.rounded(24, -149) as f32)
}

fn floating<F: From<f32> + std::ops::Neg<Output = F>>(
    text: &str,
    decimal: impl Fn(&str) -> Option<F>,
    rounded: impl Fn(Binary) -> F,
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
            let read = match bare.strip_prefix("0x").or_else(|| bare.strip_prefix("0X")) {
                Some(hexadecimal) => Binary::read(hexadecimal).map(rounded),
                None if digits.starts_with(['+', '-']) || !digits.bytes().all(plain) => None,
                None => decimal(digits),
            };
            read.ok_or_else(|| if repeated_point(digits) { "multiple points".to_owned() } else { refused() })?
        }
    };
    Ok(if negative { -value } else { value })
}

/// Whether digits with more than one point begin the text.
fn repeated_point(text: &str) -> bool {
    text.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').filter(|c| *c == b'.').count() > 1
}

/// Largest exponent of two, in either direction, that makes a difference: beyond it a number is infinite or zero.
const MOST_EXPONENT: i64 = 1 << 20;

/// A number without a sign: `significand` times two to the power of `exponent`.
struct Binary {
    /// Its lowest bit is set, too, where lower bits were cut off that were not all zero.
    significand: u64,
    exponent: i64,
}

impl Binary {
    /// A hexadecimal number behind its `0x`: digits with or without a point, `p`, an exponent, and maybe a suffix.
    fn read(text: &str) -> Option<Self> {
        let text = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
        let (digits, power) = text.split_once(['p', 'P'])?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (mut significand, mut exponent) = (0_u64, exponent_of(power)?);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        for (at, c) in whole.chars().chain(fraction.chars()).enumerate() {
            let digit = u64::from(c.to_digit(16)?);
            exponent -= if at < whole.len() { 0 } else { 4 };
            if significand >> 60 == 0 {
                significand = significand << 4 | digit;
            } else {
                significand |= u64::from(digit != 0);
                exponent += 4;
            }
        }
        Some(Self { significand, exponent })
    }

    /// The nearest number with so many bits, the last of them no lower than two to the power of `lowest`; of two the even one.
    fn rounded(self, bits: i64, lowest: i64) -> f64 {
        let used = i64::from(u64::BITS - self.significand.leading_zeros());
        let last = (self.exponent + used - bits).max(lowest);
        let cut = last - self.exponent;
        let (kept, power) = match u32::try_from(cut) {
            Err(_) | Ok(0) => (self.significand, self.exponent),
            Ok(cut) if cut > u64::BITS => (0, last),
            Ok(cut) => {
                let kept = self.significand.checked_shr(cut).unwrap_or(0);
                let (rest, half) = (self.significand & u64::MAX >> (u64::BITS - cut), 1 << (cut - 1));
                (kept + u64::from(rest > half || rest == half && kept & 1 == 1), last)
            }
        };
        // In two steps: the power may be beyond a double where the number is not.
        let power = power.clamp(-4096, 4096) as i32;
        kept as f64 * 2.0_f64.powi(power / 2) * 2.0_f64.powi(power - power / 2)
    }
}

/// An exponent, held within [`MOST_EXPONENT`].
fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse::<i64>().unwrap_or(i64::MAX).min(MOST_EXPONENT);
    Some(if text.starts_with('-') { -value } else { value })
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
    /// Measured on Java 21.
    #[test]
    fn hexadecimal_numbers_are_rounded_once() {
        for (text, value) in [
            ("0x1p-1074", f64::from_bits(1)),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", f64::from_bits(1)),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080000000000000001p0", 1.0 + f64::EPSILON),
            ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
            ("0x0.0000000000000000000000001p100", 1.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1p1024", f64::INFINITY),
            ("0x1p99999999999999999999", f64::INFINITY),
            ("0x1p-99999999999999999999", 0.0),
            ("0X1.P+4d", 16.0),
            ("0x.8p1f", 1.0),
            ("0x0p0", 0.0),
        ] {
            assert_eq!(double(text), Ok(value), "{text}");
        }
        for (text, value) in [
            ("0x1.000001p0", 1.0),
            ("0x1.0000010000000000001p0", 1.0 + f32::EPSILON),
            ("0x1p-149", f32::from_bits(1)),
            ("0x1.8p-150", f32::from_bits(1)),
            ("0x1p128", f32::INFINITY),
        ] {
            assert_eq!(float(text), Ok(value), "{text}");
        }
        for text in ["0x1p", "0xp1", "0x.p1", "0x1", "0x1p1.5", "0x1p+-1", "0x-1p1", "0xgp1", "0x1p１"] {
            assert_eq!(double(text), Err(format!("For input string: \"{text}\"")), "{text}");
        }
    }
}
