//! `convert`: a value, or every value of a list, to another type.

use serde::Deserialize;

use super::{Function, Parameters, field};
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::{java, json};

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Type {
    Integer,
    Long,
    Float,
    Double,
    String,
    Boolean,
    Ip,
    Auto,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convert {
    field: String,
    #[serde(rename = "type")]
    to: Type,
    target_field: Option<String>,
    #[serde(default)]
    ignore_missing: bool,
}

impl Parameters for Convert {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        if let Some(target) = &self.target_field {
            self.target_field = Some(field::checked("target_field", target)?);
        }
        Ok(())
    }
}

/// Integers as `Integer.decode` and `Long.decode` read them: sign, then decimal, `0x`, `#` or a leading 0 for octal.
fn decode(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) =
        if let Some(hex) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")).or(digits.strip_prefix('#')) {
            (16, hex)
        } else if digits.len() > 1 && digits.starts_with('0') {
            (8, &digits[1..])
        } else {
            (10, digits)
        };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// A decimal number as `Float.parseFloat` reads it (hexadecimal floats excepted), as JSON text.
fn float(text: &str, single: bool) -> Option<String> {
    let trimmed = text.trim();
    let bare = trimmed.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(trimmed);
    if !bare.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E')) {
        return None;
    }
    let value: f64 = bare.parse().ok()?;
    let finite = value.is_finite();
    if single {
        let value = value as f32;
        return (finite && value.is_finite()).then(|| format!("{value:?}"));
    }
    finite.then(|| format!("{value:?}"))
}

fn is_ip(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

impl Convert {
    fn one(&self, raw: &[u8]) -> Result<Vec<u8>, Fault> {
        let text = java::text(raw);
        let unable = |name: &str| Fault::illegal(format!("unable to convert [{text}] to {name}"));
        Ok(match self.to {
            Type::Integer => decode(&text)
                .and_then(|v| i32::try_from(v).ok())
                .map(|v| v.to_string().into_bytes())
                .ok_or_else(|| unable("integer"))?,
            Type::Long => decode(&text)
                .and_then(|v| i64::try_from(v).ok())
                .map(|v| v.to_string().into_bytes())
                .ok_or_else(|| unable("long"))?,
            Type::Float => float(&text, true).map(String::into_bytes).ok_or_else(|| unable("float"))?,
            Type::Double => float(&text, false).map(String::into_bytes).ok_or_else(|| unable("double"))?,
            Type::Boolean if text.eq_ignore_ascii_case("true") => b"true".to_vec(),
            Type::Boolean if text.eq_ignore_ascii_case("false") => b"false".to_vec(),
            Type::Boolean => {
                return Err(Fault::illegal(format!("[{text}] is not a boolean value, cannot convert to boolean")));
            }
            Type::String => json::quote(&text),
            Type::Ip if is_ip(&text) => json::quote(&text),
            Type::Ip => return Err(Fault::illegal(format!("[{text}] is not a valid ipv4/ipv6 address"))),
            Type::Auto => auto(raw, &text),
        })
    }
}

fn auto(raw: &[u8], text: &str) -> Vec<u8> {
    if raw.first() != Some(&b'"') {
        return raw.to_vec();
    }
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return text.to_ascii_lowercase().into_bytes();
    }
    if let Some(value) = decode(text).and_then(|v| i64::try_from(v).ok()) {
        return value.to_string().into_bytes();
    }
    float(text, true).map_or_else(|| raw.to_vec(), String::into_bytes)
}

impl Function for Convert {
    fn apply(&self, text: &[u8], _meta: &mut Meta) -> Result<Effect, Fault> {
        let rewrite = field::Place::new(&self.field, self.target_field.as_deref(), self.ignore_missing);
        let null = || format!("Field [{}] is null, cannot be converted to type [{}]", self.field, self.name());
        rewrite.apply(text, null, |raw| self.one(raw), |raw| self.one(raw))
    }
}

impl Convert {
    fn name(&self) -> &'static str {
        match self.to {
            Type::Integer => "integer",
            Type::Long => "long",
            Type::Float => "float",
            Type::Double => "double",
            Type::String => "string",
            Type::Boolean => "boolean",
            Type::Ip => "ip",
            Type::Auto => "auto",
        }
    }
}
