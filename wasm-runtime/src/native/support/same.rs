//! Which JSON values are the same: as Java's `equals` has it of what they are read to.

use crate::engine::deadline::glance;
use crate::json;

/// A text that two values have in common if they are equal: strings however they are escaped, objects whatever the order of
/// their members is; a whole number equals no fraction.
pub(crate) fn key(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    write(raw, &mut out);
    out
}

fn write(raw: &[u8], out: &mut Vec<u8>) {
    glance();
    match raw.first() {
        Some(b'"') => match json::string(raw) {
            Some(text) => json::write_quoted(&text, out),
            None => out.extend_from_slice(raw),
        },
        Some(b'[') => {
            out.push(b'[');
            for element in json::elements(raw, 0) {
                write(&raw[element], out);
                out.push(b',');
            }
            out.push(b']');
        }
        Some(b'{') => {
            let mut members: Vec<(String, Vec<u8>)> = Vec::new();
            for entry in json::Entries::new(raw, 0).into_iter().flatten() {
                let name = json::unescape(&raw[entry.key]).unwrap_or_default().into_owned();
                members.push((name, key(&raw[entry.value])));
            }
            members.sort();
            out.push(b'{');
            for (name, value) in members {
                json::write_quoted(&name, out);
                out.push(b':');
                out.extend(value);
                out.push(b',');
            }
            out.push(b'}');
        }
        Some(b'-' | b'0'..=b'9') => out.extend(number(raw)),
        _ => out.extend_from_slice(raw),
    }
}

fn number(raw: &[u8]) -> Vec<u8> {
    let whole = !raw.iter().any(|c| matches!(c, b'.' | b'e' | b'E'));
    match std::str::from_utf8(raw).ok().and_then(|text| text.parse::<f64>().ok()) {
        _ if raw == b"-0" => b"0".to_vec(),
        Some(value) if !whole => format!("{value:?}").into_bytes(),
        _ => raw.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn values_are_the_same_however_they_are_written() {
        for (left, right) in [
            (r#""a""#, r#""\u0061""#),
            (r#"{"a":1,"b":[2]}"#, r#"{ "b" : [ 2 ] , "a" : 1 }"#),
            ("1.0", "1.00"),
            ("1e2", "100.0"),
            ("-0", "0"),
        ] {
            assert_eq!(key(left.as_bytes()), key(right.as_bytes()), "{left} {right}");
        }
        for (left, right) in [("1", "1.0"), ("1", "\"1\""), ("0.0", "-0.0"), ("[1,2]", "[2,1]"), ("null", "\"null\"")] {
            assert_ne!(key(left.as_bytes()), key(right.as_bytes()), "{left} {right}");
        }
    }
}
