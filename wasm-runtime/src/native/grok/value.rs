//! Values of captures, with numbers as Java reads them.

use std::borrow::Cow;

use crate::engine::limits::Copied;
use crate::error::Fault;
use crate::json;
use crate::json::java;
use crate::native::support::{field, java_numbers};

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
    Ok(match kind {
        Kind::Text => json::quote(text),
        Kind::Int => {
            let number = java_numbers::parse_long(text).map_err(Fault::illegal)?;
            let wrong = |_| Fault::illegal(format!("For input string: \"{text}\""));
            i32::try_from(number).map_err(wrong)?.to_string().into_bytes()
        }
        Kind::Long => java_numbers::parse_long(text).map_err(Fault::illegal)?.to_string().into_bytes(),
        Kind::Float => {
            let number = java_numbers::float(text).map_err(Fault::illegal)?;
            written(f64::from(number), || java::double(number.to_string().parse().unwrap_or_default()))
        }
        Kind::Double => {
            let number = java_numbers::double(text).map_err(Fault::illegal)?;
            written(number, || java::double(number))
        }
        Kind::Flag => text.eq_ignore_ascii_case("true").to_string().into_bytes(),
    })
}

/// Writes a number; one that JSON does not have as a text, as the cluster does.
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

/// The document with these fields. Only dots part a name; at its end they do not count.
///
/// # Errors
/// For a name that is no path, and a path that leads through something else.
pub(crate) fn set(text: &[u8], fields: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, Fault> {
    if !fields.iter().any(|(name, _)| name.is_empty() || name.ends_with('.')) {
        return field::set_all(text, fields);
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
