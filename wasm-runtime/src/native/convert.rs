//! `convert`: a value, or every value of a list, to another type.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::java_numbers;
use super::support::rewrite::FieldRewrite;
use super::support::schema::{Caseless, Spelled};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::json::java;

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(try_from = "String")]
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

impl Caseless for Type {
    const NAMES: &'static [&'static str] = &["integer", "long", "float", "double", "string", "boolean", "ip", "auto"];
}

impl TryFrom<String> for Type {
    type Error = String;

    /// In capital letters or small ones.
    fn try_from(name: String) -> Result<Self, String> {
        Ok(match name.to_lowercase().as_str() {
            "integer" => Self::Integer,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "string" => Self::String,
            "boolean" => Self::Boolean,
            "ip" => Self::Ip,
            "auto" => Self::Auto,
            _ => return Err(format!("[type] type [{name}] not supported, cannot convert field.")),
        })
    }
}

/// Converts the value of a field, or of each element of a list, to a type.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Convert {
    /// The field that is read, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The type of the result.
    #[schemars(with = "Spelled<Type>")]
    #[serde(rename = "type")]
    to: Type,
    /// The field that gets the result; default: `field`.
    #[schemars(length(min = 1))]
    target_field: Option<String>,
    /// Whether a document without the field stays as it is, in place of failing.
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

/// A float as the node writes it: what JSON has no number for is a text.
fn written(value: f64, text: impl FnOnce() -> String) -> Vec<u8> {
    if value.is_finite() {
        return text().into_bytes();
    }
    if value.is_nan() {
        return b"\"NaN\"".to_vec();
    }
    if value > 0.0 { b"\"Infinity\"".to_vec() } else { b"\"-Infinity\"".to_vec() }
}

fn single(text: &str) -> Result<Vec<u8>, String> {
    java_numbers::float(text).map(|value| written(f64::from(value), || format!("{value:?}")))
}

fn double(text: &str) -> Result<Vec<u8>, String> {
    java_numbers::double(text).map(|value| written(value, || format!("{value:?}")))
}

/// An address; one of version 6 that is all hexadecimal may have a zone, whatever its name is.
fn is_ip(text: &str) -> bool {
    match text.split_once('%') {
        None => text.parse::<std::net::IpAddr>().is_ok(),
        Some((address, zone)) => {
            !zone.is_empty() && !address.contains('.') && address.parse::<std::net::Ipv6Addr>().is_ok()
        }
    }
}

impl Convert {
    fn converted(&self, raw: &[u8]) -> Result<Vec<u8>, Fault> {
        let text = java::text(raw);
        let unable =
            |name: &str, why: String| Fault::illegal(format!("unable to convert [{text}] to {name}")).caused_by(why);
        Ok(match self.to {
            Type::Integer => java_numbers::int(&text).map_err(|why| unable("integer", why))?.to_string().into_bytes(),
            Type::Long => java_numbers::long(&text).map_err(|why| unable("long", why))?.to_string().into_bytes(),
            Type::Float => single(&text).map_err(|why| unable("float", why))?,
            Type::Double => double(&text).map_err(|why| unable("double", why))?,
            Type::Boolean if text.eq_ignore_ascii_case("true") => b"true".to_vec(),
            Type::Boolean if text.eq_ignore_ascii_case("false") => b"false".to_vec(),
            Type::Boolean => {
                return Err(Fault::illegal(format!("[{text}] is not a boolean value, cannot convert to boolean")));
            }
            Type::String if raw == b"null" => {
                return Err(Fault::illegal("a null in a list cannot be converted to a text"));
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
    if let Ok(value) = java_numbers::long(text) {
        return value.to_string().into_bytes();
    }
    single(text).unwrap_or_else(|_| raw.to_vec())
}

impl Function for Convert {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let rewrite = FieldRewrite::new(&self.field, self.target_field.as_deref(), self.ignore_missing);
        let null = || format!("Field [{}] is null, cannot be converted to type [{}]", self.field, self.name());
        rewrite.apply(doc, null, |raw| self.converted(raw), |raw| self.converted(raw))
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
