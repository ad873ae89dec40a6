//! How Java prints values and names their types: OpenSearch's error texts and templates are made of both.

use std::borrow::Cow;

use crate::engine::deadline::glance;
use crate::json::lex::{Entries, string, unescape};
use crate::json::lookup::elements;

/// The kind of the value that starts with byte `c`, in Java's class names (as OpenSearch's errors say).
pub(crate) fn type_name(raw: &[u8]) -> &'static str {
    match raw.first() {
        Some(b'"') => "java.lang.String",
        Some(b'{') => "java.util.HashMap",
        Some(b'[') => "java.util.ArrayList",
        Some(b't' | b'f') => "java.lang.Boolean",
        Some(b'n') => "null",
        _ if raw.iter().any(|c| matches!(c, b'.' | b'e' | b'E')) => "java.lang.Double",
        _ if raw.len() > 10 => "java.lang.Long",
        _ => "java.lang.Integer",
    }
}

/// The text of a value as Java's `toString` gives it: strings bare, `{k=v, l=w}`, `[a, b]`.
pub(crate) fn text(raw: &[u8]) -> String {
    glance();
    match raw.first() {
        Some(b'"') => string(raw).map_or_else(|| String::from_utf8_lossy(raw).into_owned(), Cow::into_owned),
        Some(b'{') => {
            let mut members: Vec<(Cow<'_, str>, String)> = Entries::new(raw, 0)
                .into_iter()
                .flatten()
                .map(|e| (unescape(&raw[e.key]).unwrap_or_default(), text(&raw[e.value])))
                .collect();
            in_order_of_hashes(&mut members, TABLE);
            let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{{{}}}", members.join(", "))
        }
        Some(b'[') => {
            let parts: Vec<String> = elements(raw, 0).into_iter().map(|r| text(&raw[r])).collect();
            format!("[{}]", parts.join(", "))
        }
        Some(b'-' | b'0'..=b'9') if type_name(raw) == "java.lang.Double" => {
            std::str::from_utf8(raw).ok().and_then(|t| t.parse().ok()).map_or_else(String::new, double)
        }
        _ => String::from_utf8_lossy(raw).into_owned(),
    }
}

/// A number as `Double.toString` writes it: plain from 10^-3 to 10^7, else `1.0E10`.
pub(crate) fn double(value: f64) -> String {
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{exponent}")
}

/// Buckets of Java's `HashMap` without a given size, which decide the order of its keys.
pub(crate) const TABLE: usize = 16;

/// Orders members as a `HashMap` of Java does that begins with so many places: it decides how an object is printed, and where one
/// field is within another.
pub(crate) fn in_order_of_hashes<T>(members: &mut [(impl AsRef<str>, T)], table: usize) {
    let mut size = table.next_power_of_two();
    while members.len() * 4 > size * 3 {
        size *= 2;
    }
    members.sort_by_cached_key(|(name, _)| {
        let add = |hash: u32, c| hash.wrapping_mul(31).wrapping_add(u32::from(c));
        let hash = name.as_ref().encode_utf16().fold(0, add);
        (hash ^ hash >> 16) as usize & (size - 1)
    });
}
