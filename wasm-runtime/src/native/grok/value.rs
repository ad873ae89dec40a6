//! What a capture becomes, as Java reads numbers and keeps the fields of a match.

use std::borrow::Cow;

use crate::engine::limits::Copied;
use crate::error::Fault;
use crate::json;
use crate::json::java;
use crate::native::support::field;

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Int,
    Long,
    Float,
    Double,
    Flag,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "int" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "boolean" => Self::Flag,
            _ => Self::Text,
        }
    }
}

/// # Errors
/// For a text that is no such number.
pub(crate) fn value(text: &str, kind: Kind) -> Result<Vec<u8>, Fault> {
    let wrong = || Fault::illegal(format!("For input string: \"{text}\""));
    Ok(match kind {
        Kind::Text => json::quote(text),
        Kind::Int => i32::try_from(whole(text).ok_or_else(wrong)?).map_err(|_| wrong())?.to_string().into_bytes(),
        Kind::Long => whole(text).ok_or_else(wrong)?.to_string().into_bytes(),
        Kind::Float => {
            let number = decimal::<f32>(text).ok_or_else(|| unreadable(text))?;
            written(f64::from(number), || java::double(number.to_string().parse().unwrap_or_default()))
        }
        Kind::Double => {
            let number = decimal::<f64>(text).ok_or_else(|| unreadable(text))?;
            written(number, || java::double(number))
        }
        Kind::Flag => text.eq_ignore_ascii_case("true").to_string().into_bytes(),
    })
}

fn unreadable(text: &str) -> Fault {
    let blank = text.trim_matches(|c| c <= ' ').is_empty();
    Fault::illegal(if blank { "empty String".to_owned() } else { format!("For input string: \"{text}\"") })
}

/// What is no number in JSON is written as a text, as the cluster writes it.
fn written(number: f64, text: impl Fn() -> String) -> Vec<u8> {
    if number.is_finite() {
        return text().into_bytes();
    }
    json::quote(if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    })
}

/// `Long.parseLong`.
fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() {
        return None;
    }
    let mut number = 0i64;
    for c in digits.chars() {
        let digit = i64::from(c.to_digit(10).or_else(|| other_digit(c))?);
        let sign = if text.starts_with('-') { -1 } else { 1 };
        number = number.checked_mul(10)?.checked_add(sign * digit)?;
    }
    Some(number)
}

/// Decimal digits of other scripts, which stand in tens.
fn other_digit(c: char) -> Option<u32> {
    let is_digit = |n: u32| char::from_u32(n).is_some_and(|c| c.is_numeric() && crate::regex::is_decimal(c));
    let mut zero = c as u32;
    if !is_digit(zero) {
        return None;
    }
    let mut run = 0;
    while zero > 0 && is_digit(zero - 1) {
        zero -= 1;
        run += 1;
    }
    Some(run % 10)
}

/// `Float.parseFloat` and `Double.parseDouble`.
fn decimal<F: std::str::FromStr + Hexadecimal>(text: &str) -> Option<F> {
    let text = text.trim_matches(|c| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { "-" } else { "" };
    match unsigned {
        "NaN" => return "NaN".parse().ok(),
        "Infinity" => return format!("{sign}inf").parse().ok(),
        _ => {}
    }
    let number = unsigned.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(unsigned);
    if let Some(hexadecimal) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        let number = hexadecimal.strip_suffix(['f', 'F', 'd', 'D']).filter(|n| n.contains(['p', 'P']));
        return F::hexadecimal(number.unwrap_or(hexadecimal), !sign.is_empty());
    }
    let plain = number.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !plain || number.starts_with(['+', '-']) {
        return None;
    }
    format!("{sign}{number}").parse().ok()
}

/// Numbers as `1.8p3` writes them.
trait Hexadecimal: Sized {
    fn hexadecimal(text: &str, negative: bool) -> Option<Self>;
}

impl Hexadecimal for f64 {
    fn hexadecimal(text: &str, negative: bool) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['p', 'P'])?;
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let exponent: i32 = exponent.parse().ok().map(|e: i32| e.clamp(-5_000, 5_000))?;
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.len() + part.len() == 0 {
            return None;
        }
        let mut value = 0f64;
        for c in whole.chars().chain(part.chars()) {
            value = value * 16.0 + f64::from(c.to_digit(16)?);
        }
        let value = value * 2f64.powi(exponent - 4 * i32::try_from(part.len()).ok()?);
        Some(if negative { -value } else { value })
    }
}

impl Hexadecimal for f32 {
    fn hexadecimal(text: &str, negative: bool) -> Option<Self> {
        f64::hexadecimal(text, negative).map(|value| value as Self)
    }
}

/// The document with these fields. Only dots part a name; at its end they do not count.
///
/// # Errors
/// For a name that is no path, and a path that leads through something else.
pub(crate) fn put(text: &[u8], fields: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, Fault> {
    if !fields.iter().any(|(name, _)| name.is_empty() || name.ends_with('.')) {
        return field::put_all(text, fields);
    }
    let mut out = text.to_vec();
    let mut copied = Copied::default();
    for (name, value) in fields {
        copied.more(out.len())?;
        let parts: Vec<Cow<'_, str>> = name.trim_end_matches('.').split('.').map(Cow::Borrowed).collect();
        if name.is_empty() {
            return Err(Fault::illegal("path cannot be null nor empty".to_owned()));
        }
        if parts == [""] {
            return Err(Fault::illegal(format!("path [{name}] is not valid")));
        }
        out = json::change_at(&out, name, &parts, value).map_err(Fault::illegal)?.applied(&out);
    }
    Ok(out)
}
