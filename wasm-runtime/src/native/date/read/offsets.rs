//! Offsets from Greenwich.

use super::super::pattern::{Field, Offset, Part};
use super::{Reader, Step, Stop};

/// Two digits up to 59 at `at`, behind a colon if there has to be one.
fn two(bytes: &[u8], at: usize, colon: bool) -> Option<(i64, usize)> {
    let at = at + usize::from(colon);
    if colon && bytes.get(at - 1) != Some(&b':') {
        return None;
    }
    let digit = |at: usize| bytes.get(at).filter(|b| b.is_ascii_digit()).map(|b| i64::from(b - b'0'));
    let value = digit(at)? * 10 + digit(at + 1)?;
    (value <= 59).then_some((value, at + 2))
}

/// Seconds of an offset with its sign at `at`, and the position behind it.
pub(crate) fn seconds(offset: Offset, text: &str, at: usize) -> Result<(i64, usize), Stop> {
    let bytes = text.as_bytes();
    let sign = match bytes.get(at) {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(Stop::Differs),
    };
    let (hours, mut at) = two(bytes, at + 1, false).ok_or(Stop::Differs)?;
    let mut parts = [0, 0];
    for (part, value) in [offset.minutes, offset.seconds].into_iter().zip(&mut parts) {
        match (part, two(bytes, at, offset.colon)) {
            (Part::Never, _) => break,
            (Part::Optional | Part::Always, Some((found, end))) => (*value, at) = (found, end),
            (Part::Optional, None) => break,
            (Part::Always, None) => return Err(Stop::Differs),
        }
    }
    if hours > 23 {
        return Err(Stop::Thrown);
    }
    Ok((sign * (hours * 3600 + parts[0] * 60 + parts[1]), at))
}

impl Reader<'_> {
    pub(super) fn offset(&mut self, offset: Offset, text: &str, at: usize) -> Step {
        if self.starts(&text[at..], offset.zero) {
            return self.set(Field::OffsetSeconds, 0, at + offset.zero.len());
        }
        let (seconds, end) = seconds(offset, text, at)?;
        self.set(Field::OffsetSeconds, seconds, end)
    }

    /// `GMT`, `GMT+8`, `GMT+08:00`.
    pub(super) fn localized_offset(&mut self, full: bool, text: &str, at: usize) -> Step {
        let greenwich = self.parsed.locale.greenwich();
        if !self.starts(&text[at..], greenwich) {
            return Err(Stop::Differs);
        }
        let start = at + greenwich.len();
        let bytes = text.as_bytes();
        let sign = match bytes.get(start) {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return self.set(Field::OffsetSeconds, 0, start),
        };
        let (parts, end) = if full { long(bytes, start + 1)? } else { short(bytes, start + 1)? };
        let [hours, minutes, seconds] = parts;
        self.set(Field::OffsetSeconds, sign * (hours * 3600 + minutes * 60 + seconds), end)
    }
}

fn digit(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at).filter(|b| b.is_ascii_digit()).map(|b| i64::from(b - b'0'))
}

/// `08:00`, maybe with seconds. Java looks for each character without asking whether it is there.
fn long(bytes: &[u8], at: usize) -> Result<([i64; 3], usize), Stop> {
    if at + 2 > bytes.len() {
        return Err(Stop::Beyond);
    }
    let (Some(tens), Some(ones)) = (digit(bytes, at), digit(bytes, at + 1)) else { return Err(Stop::Differs) };
    match bytes.get(at + 2) {
        Some(b':') => {}
        Some(_) => return Err(Stop::Differs),
        None => return Err(Stop::Beyond),
    }
    if at + 5 > bytes.len() {
        return Err(Stop::Beyond);
    }
    let (Some(ten), Some(unit)) = (digit(bytes, at + 3), digit(bytes, at + 4)) else { return Err(Stop::Differs) };
    let mut parts = [tens * 10 + ones, ten * 10 + unit, 0];
    let end = more(bytes, at + 5, &mut parts[2]).unwrap_or(at + 5);
    Ok((parts, end))
}

/// `8`, `10`, `8:30`.
fn short(bytes: &[u8], mut at: usize) -> Result<([i64; 3], usize), Stop> {
    if at >= bytes.len() {
        return Err(Stop::Beyond);
    }
    let mut parts = [digit(bytes, at).ok_or(Stop::Differs)?, 0, 0];
    at += 1;
    if let Some(second) = digit(bytes, at) {
        parts[0] = parts[0] * 10 + second;
        at += 1;
    }
    if let Some(end) = more(bytes, at, &mut parts[1]) {
        at = more(bytes, end, &mut parts[2]).unwrap_or(end);
    }
    Ok((parts, at))
}

/// A colon and two digits.
fn more(bytes: &[u8], at: usize, into: &mut i64) -> Option<usize> {
    if bytes.get(at) != Some(&b':') {
        return None;
    }
    *into = digit(bytes, at + 1)? * 10 + digit(bytes, at + 2)?;
    Some(at + 3)
}
