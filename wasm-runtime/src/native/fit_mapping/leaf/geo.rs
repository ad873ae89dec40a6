//! Which values a `geo_point` accepts. Forms that are rare (WKT, GeoJSON) count as accepted.

use crate::json;
use crate::native::support::java_numbers;

/// Characters of a geohash.
const GEOHASH: &str = "0123456789bcdefghjkmnpqrstuvwxyz";

/// Whether a value, or every one of a list, is a point.
pub(crate) fn accepts(raw: &[u8]) -> bool {
    match raw.first() {
        Some(b'"') => super::text(raw).is_none_or(|text| is_text(&text)),
        Some(b'{') => is_object(raw),
        Some(b'[') => {
            let parts: Vec<&[u8]> = json::elements(raw, 0).into_iter().map(|at| &raw[at]).collect();
            match parts.first().and_then(|part| part.first()) {
                Some(b'-' | b'0'..=b'9') => is_pair(&parts),
                _ => parts.iter().all(|part| part.first() != Some(&b'n') && accepts(part)),
            }
        }
        Some(b'n') => true,
        _ => false,
    }
}

/// Whether a list leaves the cluster's parser in the middle of it, where malformed points are ignored.
pub(crate) fn confuses(raw: &[u8]) -> bool {
    let parts = json::elements(raw, 0);
    let first = |at: &std::ops::Range<usize>| raw[at.start];
    parts.first().is_some_and(|at| matches!(first(at), b'-' | b'0'..=b'9'))
        && parts.iter().any(|at| matches!(first(at), b'{' | b'['))
}

fn in_range(lat: f64, lon: f64) -> bool {
    lat.abs() <= 90.0 && lon.abs() <= 180.0
}

fn is_text(text: &str) -> bool {
    if text.to_ascii_lowercase().contains("point") {
        return true;
    }
    if text.contains(',') {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let number = |at: usize| parts.get(at).and_then(|part| java_numbers::double(part).ok());
        return parts.len() <= 3
            && (parts.len() == 2 || number(2).is_some())
            && matches!((number(0), number(1)), (Some(lat), Some(lon)) if in_range(lat, lon));
    }
    !text.is_empty() && text.chars().all(|c| GEOHASH.contains(c))
}

fn is_pair(parts: &[&[u8]]) -> bool {
    let numbers: Option<Vec<f64>> =
        parts.iter().map(|part| std::str::from_utf8(part).ok().and_then(|text| text.parse().ok())).collect();
    numbers.is_some_and(|all| (2..=3).contains(&all.len()) && in_range(all[1], all[0]))
}

fn is_object(raw: &[u8]) -> bool {
    let (mut lat, mut lon) = (None, None);
    for entry in json::Entries::new(raw, 0).into_iter().flatten() {
        let value = &raw[entry.value];
        let number = || super::text(value).and_then(|text| java_numbers::double(&text).ok());
        match &raw[entry.key] {
            b"lat" => lat = number(),
            b"lon" => lon = number(),
            b"geohash" | b"type" | b"coordinates" => return true,
            _ => return false,
        }
    }
    matches!((lat, lon), (Some(lat), Some(lon)) if in_range(lat, lon))
}
