//! Labels of time in TAI64N.

/// Milliseconds of a TAI64N label (`@`, 16 digits of seconds, 8 of nanoseconds), 10 leap seconds taken off as OpenSearch does.
pub(crate) fn tai64n(text: &str) -> Option<i64> {
    let label = text.strip_prefix('@').unwrap_or(text);
    let seconds = i64::from_str_radix(label.get(1..16)?, 16).ok()?;
    let nanos = i64::from_str_radix(label.get(16..24)?, 16).ok()?;
    Some(seconds.wrapping_mul(1000).wrapping_sub(10_000).wrapping_add(nanos / 1_000_000))
}
