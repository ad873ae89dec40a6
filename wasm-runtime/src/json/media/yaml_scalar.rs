//! The types of plain scalars of YAML in the cluster (measured on 3.8.0): the types of YAML 1.1 without underscores
//! and sexagesimals,
//! and the octal numbers of 1.2.

use saphyr_parser::Tag;

use super::decimal;
use super::sink::{MAX_DIGITS, Refused, refuse};

/// The meaning of a scalar.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The text that is written.
    Text,
    /// Another text.
    Rewritten(String),
    Number(String),
    Boolean(bool),
    Null,
}

/// The meaning of a plain scalar without a tag.
pub(crate) fn resolved(text: &str) -> Result<Meaning, Refused> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Meaning::Boolean(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Meaning::Boolean(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Meaning::Rewritten("Infinity".to_owned()),
        "-.inf" | "-.Inf" | "-.INF" => Meaning::Rewritten("-Infinity".to_owned()),
        ".nan" | ".NaN" | ".NAN" => Meaning::Rewritten("NaN".to_owned()),
        _ if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => Meaning::Text,
        _ => match integer(text)? {
            Some(digits) => Meaning::Number(digits),
            None => float(text)?.map_or(Meaning::Text, Meaning::Number),
        },
    })
}

/// The meaning of a scalar with a tag.
pub(crate) fn tagged(text: &str, tag: &Tag, plain: bool) -> Result<Meaning, Refused> {
    let core = tag.is_yaml_core_schema() || tag.handle == "!!";
    let whole = format!("{}{}", tag.handle, tag.suffix);
    let name = if core { tag.suffix.as_str() } else { whole.strip_prefix("tag:yaml.org,2002:").unwrap_or("") };
    let bare = text.replace('_', "");
    Ok(match name {
        "int" if !text.is_empty() => {
            let (sign, digits) = bare.strip_prefix('-').map_or(("", bare.as_str()), |digits| ("-", digits));
            let number = if sign == "-" && digits.starts_with(['+', '-']) { None } else { integer(digits)? };
            number.map_or(Meaning::Text, |number| Meaning::Number(signed(sign, &number)))
        }
        "float" => match float(&bare)? {
            Some(number) => Meaning::Number(number),
            None if plain => match resolved(text)? {
                Meaning::Rewritten(text) => Meaning::Rewritten(text),
                _ => return refuse("a scalar with the tag [!!float] that is no number"),
            },
            None => return refuse("a scalar with the tag [!!float] that is no number"),
        },
        "bool" => match resolved(text)? {
            Meaning::Boolean(value) => Meaning::Boolean(value),
            _ => Meaning::Text,
        },
        "null" if !text.is_empty() => Meaning::Null,
        "binary" => Meaning::Rewritten(text.split_whitespace().collect()),
        _ => Meaning::Text,
    })
}

fn signed(sign: &str, number: &str) -> String {
    if number == "0" { "0".to_owned() } else { format!("{sign}{number}") }
}

/// An integer in decimal digits: decimal, octal (`012`, `0o12`) or hexadecimal.
fn integer(text: &str) -> Result<Option<String>, Refused> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    if digits.len() > MAX_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit() || b"xo".contains(&byte)) {
        return refuse(format!("a number has more than {MAX_DIGITS} digits"));
    }
    let unsigned = digits.len() == text.len();
    if let Some(digits) = digits.strip_prefix("0x").filter(|_| unsigned) {
        return based(digits, 4, "");
    }
    if let Some(digits) = digits.strip_prefix("0o").filter(|digits| unsigned && octal(digits)) {
        return based(digits, 3, "");
    }
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    if digits.len() == 1 || !digits.starts_with('0') {
        return Ok(Some(signed(sign, digits)));
    }
    if !octal(digits) {
        return refuse(format!("[{text}] is no octal number, as which YAML reads it; quote it"));
    }
    based(digits, 3, sign)
}

fn octal(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| (b'0'..b'8').contains(&byte))
}

/// The decimal digits of a number of digits of `bits` bits each; `None` if there are others, or none.
fn based(digits: &str, bits: u32, sign: &str) -> Result<Option<String>, Refused> {
    let Some(values) = digits.chars().map(|c| c.to_digit(1 << bits)).collect::<Option<Vec<u32>>>() else {
        return Ok(None);
    };
    if values.is_empty() {
        return Ok(None);
    }
    // From the lowest digit up, byte by byte.
    let mut bytes = Vec::new();
    let (mut held, mut count) = (0_u32, 0);
    for value in values.iter().rev() {
        held |= value << count;
        count += bits;
        if count >= 8 {
            bytes.push(held as u8);
            held >>= 8;
            count -= 8;
        }
    }
    bytes.push(held as u8);
    bytes.reverse();
    decimal::digits(&bytes).map(|digits| Some(signed(sign, &digits)))
}

/// A floating point number as JSON writes it.
fn float(text: &str) -> Result<Option<String>, Refused> {
    let (sign, number) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    let (mantissa, exponent) = number.split_once(['e', 'E']).map_or((number, None), |(m, e)| (m, Some(e)));
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (before.is_empty() && behind.is_empty()) || !all_digits(before) || !all_digits(behind) {
        return Ok(None);
    }
    let power = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    if power.is_some_and(|digits| digits.is_empty() || !all_digits(digits)) {
        return Ok(None);
    }
    if text.len() > MAX_DIGITS {
        return refuse(format!("a number has more than {MAX_DIGITS} digits"));
    }
    let before = before.trim_start_matches('0');
    let whole = if before.is_empty() { "0" } else { before };
    let behind = if behind.is_empty() { "0" } else { behind };
    let exponent = exponent.map_or_else(String::new, |text| format!("e{text}"));
    Ok(Some(format!("{sign}{whole}.{behind}{exponent}")))
}

/// Whether a plain scalar means the same to all readers of YAML, of 1.1, of 1.2 and of JSON.
pub(crate) fn plain_to_all(text: &str) -> bool {
    if matches!(text, "" | "~" | "null" | "true" | "false") {
        return true;
    }
    if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        // Of letters numbers and dates have only these, in any version.
        let others = |c: char| !(c.is_ascii_hexdigit() || "xXoOiInNtTzZ_+-.:, \t".contains(c));
        return json_number(text) || text.contains(others);
    }
    let lower = text.to_ascii_lowercase();
    !matches!(lower.as_str(), "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "<<" | "=")
}

/// Whether a key is one letter that is a boolean by YAML 1.1 alone, which no reader in use takes for one.
pub(crate) fn coordinate(text: &str) -> bool {
    matches!(text, "y" | "Y" | "n" | "N")
}

/// Whether a text is a number of JSON whose exponent, if it has one, is one to readers of YAML 1.1, too.
fn json_number(text: &str) -> bool {
    let number = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = number.split_once(['e', 'E']).map_or((number, None), |(m, e)| (m, Some(e)));
    let (before, behind) = mantissa.split_once('.').map_or((mantissa, None), |(b, d)| (b, Some(d)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(before)
        && (before == "0" || !before.starts_with('0'))
        && behind.is_none_or(digits)
        && exponent.is_none_or(|text| behind.is_some() && text.strip_prefix(['+', '-']).is_some_and(digits))
}
