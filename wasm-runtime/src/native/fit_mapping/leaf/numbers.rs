//! Which numbers and texts the number types of a mapping accept, as Jackson and OpenSearch's `NumberFieldMapper` read them.

use crate::native::support::java_numbers;

/// A number type of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    Byte,
    Short,
    Integer,
    Long,
    UnsignedLong,
    HalfFloat,
    Float,
    Double,
}

/// The largest magnitude that rounds to a finite number of 16 bits.
const HALF_FLOAT_END: f32 = 65520.0;
/// The largest `long` as Java compares a `double` with it.
const LONG_END: f64 = 9_223_372_036_854_775_807.0;

impl Number {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "byte" => Self::Byte,
            "short" => Self::Short,
            "integer" => Self::Integer,
            "long" => Self::Long,
            "unsigned_long" => Self::UnsignedLong,
            "half_float" => Self::HalfFloat,
            "float" => Self::Float,
            "double" | "scaled_float" => Self::Double,
            _ => return None,
        })
    }

    /// Bytes of a number without sign and exponent that is in the range of the type, whatever its digits are.
    fn safe_length(self) -> usize {
        match self {
            Self::Byte => 2,
            Self::Short | Self::HalfFloat => 4,
            Self::Integer => 9,
            Self::Long | Self::UnsignedLong => 18,
            Self::Float | Self::Double => 30,
        }
    }

    /// The least and the greatest value of a type of 32 bits or fewer.
    fn range(self) -> Option<(f64, f64)> {
        match self {
            Self::Byte => Some((f64::from(i8::MIN), f64::from(i8::MAX))),
            Self::Short => Some((f64::from(i16::MIN), f64::from(i16::MAX))),
            Self::Integer => Some((f64::from(i32::MIN), f64::from(i32::MAX))),
            _ => None,
        }
    }

    /// Whether a JSON number is accepted; without `coerce` it has no fraction.
    pub(crate) fn accepts(self, raw: &[u8], coerce: bool) -> bool {
        let free = coerce || matches!(self, Self::HalfFloat | Self::Float | Self::Double);
        if raw.len() <= self.safe_length() && raw.iter().all(|c| c.is_ascii_digit() || (*c == b'.' && free)) {
            return true;
        }
        let Ok(text) = std::str::from_utf8(raw) else { return true };
        let whole = !raw.iter().any(|c| matches!(c, b'.' | b'e' | b'E'));
        match self {
            Self::HalfFloat | Self::Float | Self::Double => {
                text.parse::<f64>().is_ok_and(|value| self.holds_fraction(value))
            }
            _ if whole => self.holds_integer(text),
            Self::Byte | Self::Short | Self::Integer => text.parse::<f64>().is_ok_and(|value| {
                let (least, most) = self.range().unwrap_or_default();
                let in_int = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value);
                in_int && (least..=most).contains(&value.trunc()) && (coerce || value.fract() == 0.0)
            }),
            Self::Long | Self::UnsignedLong => {
                text.parse::<f64>().is_ok_and(|value| self.holds_long(value) && (coerce || value.fract() == 0.0))
            }
        }
    }

    /// Whether the text of a JSON string is accepted, with `coerce`.
    pub(crate) fn accepts_text(self, text: &str) -> bool {
        if text.is_empty() {
            return true;
        }
        match self {
            Self::HalfFloat | Self::Float => {
                java_numbers::float(text).is_ok_and(|value| self.holds_fraction(f64::from(value)))
            }
            Self::Double => java_numbers::double(text).is_ok_and(f64::is_finite),
            Self::Byte | Self::Short | Self::Integer => java_numbers::double(text).is_ok_and(|value| {
                let (least, most) = self.range().unwrap_or_default();
                let in_int = !(value < f64::from(i32::MIN) || value > f64::from(i32::MAX));
                // Java's cast makes 0 of NaN.
                in_int && (value.is_nan() || (least..=most).contains(&value.trunc()))
            }),
            // Digits of other scripts are read by Java, too.
            Self::Long | Self::UnsignedLong if !text.is_ascii() => text.chars().all(|c| c.is_ascii() || c.is_numeric()),
            Self::Long | Self::UnsignedLong => {
                is_decimal(text.as_bytes())
                    && if text.bytes().any(|c| matches!(c, b'e' | b'E')) {
                        text.parse::<f64>().is_ok_and(|value| self.holds_long(value))
                    } else {
                        self.holds_integer(whole_part(text))
                    }
            }
        }
    }

    fn holds_integer(self, digits: &str) -> bool {
        let Ok(value) = digits.parse::<i128>() else { return false };
        match self {
            Self::Byte => i8::try_from(value).is_ok(),
            Self::Short => i16::try_from(value).is_ok(),
            Self::Integer => i32::try_from(value).is_ok(),
            Self::UnsignedLong => u64::try_from(value).is_ok(),
            _ => i64::try_from(value).is_ok(),
        }
    }

    fn holds_long(self, value: f64) -> bool {
        match self {
            Self::UnsignedLong => value > -1.0 && value < 2.0 * LONG_END,
            _ => (-LONG_END..=LONG_END).contains(&value),
        }
    }

    fn holds_fraction(self, value: f64) -> bool {
        match self {
            Self::HalfFloat => (value as f32).abs() < HALF_FLOAT_END,
            Self::Float => (value as f32).is_finite(),
            _ => value.is_finite(),
        }
    }
}

/// Whether Java's `BigDecimal` reads a text of ASCII.
fn is_decimal(text: &[u8]) -> bool {
    let digits = |from: usize| text[from..].iter().take_while(|c| c.is_ascii_digit()).count();
    let mut at = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let whole = digits(at);
    at += whole;
    let mut fraction = 0;
    if text.get(at) == Some(&b'.') {
        fraction = digits(at + 1);
        at += 1 + fraction;
    }
    if whole + fraction == 0 {
        return false;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        // Java's exponents have 32 bits.
        if exponent == 0 || exponent > 9 {
            return false;
        }
        at += exponent;
    }
    at == text.len()
}

/// A decimal without its fraction.
fn whole_part(text: &str) -> &str {
    match text.split('.').next() {
        Some("" | "+" | "-") | None => "0",
        Some(whole) => whole,
    }
}
