//! RFC 3339 as OpenSearch's `RFC3339CompatibleDateTimeFormatter` reads it: a date, or a date and a time with an offset.

use super::super::calendar::checked;
use super::super::moment::Moment;
use super::super::zone::{Zone, checked_offset};

fn number(bytes: &[u8], from: usize, count: usize) -> Option<i64> {
    let digits = bytes.get(from..from + count)?;
    digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |sum, b| sum * 10 + i64::from(b - b'0')))
}

fn expect(bytes: &[u8], at: usize, any: &[u8]) -> Option<()> {
    any.contains(bytes.get(at)?).then_some(())
}

/// The moment, in its own offset.
pub(crate) fn read(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    let year = number(bytes, 0, 4)?;
    let day_of = |month, day| Moment::local(checked(year, month, day)?, 0, Zone::Offset(0));
    if bytes.len() == 4 {
        return day_of(1, 1);
    }
    expect(bytes, 4, b"-")?;
    let month = number(bytes, 5, 2)?;
    if bytes.len() == 7 {
        return day_of(month, 1);
    }
    expect(bytes, 7, b"-")?;
    let day = number(bytes, 8, 2)?;
    if bytes.len() == 10 {
        return day_of(month, day);
    }
    expect(bytes, 10, b"Tt ")?;
    let hour = number(bytes, 11, 2)?;
    expect(bytes, 13, b":")?;
    let minute = number(bytes, 14, 2)?;
    let (mut second, mut nanos, mut at) = (0, 0, 16);
    if bytes.get(16) == Some(&b':') {
        second = number(bytes, 17, 2)?;
        at = 19;
        if matches!(bytes.get(19), Some(b'.' | b',')) {
            (nanos, at) = fraction(bytes, 20)?;
        }
    }
    let offset = zone(&bytes[at..])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let time = (hour * 3600 + minute * 60 + second) * 1_000_000_000 + nanos;
    Moment::local(checked(year, month, day)?, time, Zone::Offset(offset))
}

/// Nanoseconds, and the position behind the digits.
fn fraction(bytes: &[u8], from: usize) -> Option<(i64, usize)> {
    let count = bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 || from + count == bytes.len() {
        return None;
    }
    let digits = &bytes[from..from + count];
    if count > 9 {
        // As Java's 32 bits overflow.
        let wrapped = digits.iter().fold(0i32, |sum, b| sum.wrapping_mul(10).wrapping_add(i32::from(b - b'0')));
        return (0..1_000_000_000).contains(&wrapped).then_some((i64::from(wrapped), from + count));
    }
    let value = (0..9).fold(0, |sum, at| sum * 10 + digits.get(at).map_or(0, |b| i64::from(b - b'0')));
    Some((value, from + count))
}

fn zone(bytes: &[u8]) -> Option<i32> {
    if matches!(bytes, [b'Z' | b'z']) {
        return Some(0);
    }
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(bytes, 1, 2)?, number(bytes, 4, 2)?);
    expect(bytes, 3, b":")?;
    if bytes.len() != 6 || minutes > 59 || (sign < 0 && hours == 0 && minutes == 0) {
        return None;
    }
    checked_offset(sign * (hours * 3600 + minutes * 60))
}
