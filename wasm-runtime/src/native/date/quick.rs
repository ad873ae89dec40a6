//! The forms that most dates have, read and written without a pattern. What is not exactly so goes the long way.

use super::calendar::{Day, checked};
use super::moment::Moment;
use super::zone::{Zone, checked_offset};

/// The output format when none is given.
pub(crate) const OUTPUT: &str = "yyyy-MM-dd'T'HH:mm:ss.SSSXXX";

fn number(bytes: &[u8]) -> Option<i64> {
    bytes.iter().all(u8::is_ascii_digit).then(|| bytes.iter().fold(0, |sum, b| sum * 10 + i64::from(b - b'0')))
}

/// `2020-01-02T03:04:05`, maybe with a fraction of up to nine digits, and `Z`, `+01:00` or nothing.
pub(crate) fn iso(text: &str, zone: &Zone) -> Option<Moment> {
    let bytes = text.as_bytes();
    let head = bytes.get(..19)?;
    if [head[4], head[7], head[10], head[13], head[16]] != *b"--T::" {
        return None;
    }
    let date = checked(number(&head[..4])?, number(&head[5..7])?, number(&head[8..10])?)?;
    let (hour, minute, second) = (number(&head[11..13])?, number(&head[14..16])?, number(&head[17..])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = &bytes[19..];
    let mut nanos = 0;
    if let [b'.' | b',', digits @ ..] = rest {
        let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&count) {
            return None;
        }
        nanos = number(&digits[..count])? * 10i64.pow(9 - u32::try_from(count).ok()?);
        rest = &digits[count..];
    }
    let own = match rest {
        [] => None,
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), a, b, b':', c, d] => {
            let (hours, minutes) = (number(&[*a, *b])?, number(&[*c, *d])?);
            let sign = if *sign == b'+' { 1 } else { -1 };
            Some(if minutes > 59 { return None } else { checked_offset(sign * (hours * 3600 + minutes * 60))? })
        }
        _ => return None,
    };
    let time = (hour * 3600 + minute * 60 + second) * 1_000_000_000 + nanos;
    match own {
        None => Moment::local(date, time, zone.clone()),
        Some(offset) => {
            let instant = date * 86_400 + time / 1_000_000_000 - i64::from(offset);
            Some(Moment::at(instant, nanos, zone.clone()))
        }
    }
}

/// Whether a text is `2020-01-02`, maybe with `T03:04:05`, a fraction of up to nine digits and `Z`; days after the 28th are left to others.
pub(crate) fn is_usual(text: &[u8]) -> bool {
    let pair = |at: usize, most: u8| {
        let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
        tens < 10 && ones < 10 && tens * 10 + ones <= most
    };
    if text.len() < 10
        || !(pair(0, 99) && pair(2, 99) && text[4] == b'-' && pair(5, 12) && text[7] == b'-' && pair(8, 28))
        || text[5..7] == *b"00"
        || text[8..10] == *b"00"
    {
        return false;
    }
    if text.len() == 10 {
        return true;
    }
    if text.len() < 19
        || !(text[10] == b'T' && pair(11, 23) && text[13] == b':' && pair(14, 59) && text[16] == b':' && pair(17, 59))
    {
        return false;
    }
    let mut rest = &text[19..];
    if let [b'.', digits @ ..] = rest {
        let count = digits.iter().take_while(|c| c.is_ascii_digit()).count();
        if !(1..=9).contains(&count) {
            return false;
        }
        rest = &digits[count..];
    }
    matches!(rest, [] | b"Z")
}

/// Writes as [`OUTPUT`] says, unless the year has another length; whether it did.
pub(crate) fn write(moment: &Moment, out: &mut String) -> bool {
    let (date, time) = moment.date_and_time();
    let day = Day::of(date);
    let offset = moment.offset;
    if !(1..=9999).contains(&day.year) {
        return false;
    }
    let seconds = time / 1_000_000_000;
    let shape = b"0000-00-00T00:00:00.000";
    let mut text = *shape;
    let mut write = |at: usize, width: usize, mut value: i64| {
        for digit in text[at..at + width].iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    write(0, 4, day.year);
    write(5, 2, day.month);
    write(8, 2, day.day);
    write(11, 2, seconds / 3600);
    write(14, 2, seconds / 60 % 60);
    write(17, 2, seconds % 60);
    write(20, 3, moment.nanos / 1_000_000);
    out.extend(text.iter().map(|b| char::from(*b)));
    if offset.abs() < 60 {
        out.push('Z');
        return true;
    }
    let minutes = offset.unsigned_abs() / 60;
    out.push(if offset < 0 { '-' } else { '+' });
    let digits = [minutes / 600, minutes / 60 % 10, minutes % 60 / 10, minutes % 10];
    let digit = |value: u32| char::from(b'0' + value as u8);
    out.extend([digit(digits[0]), digit(digits[1]), ':', digit(digits[2]), digit(digits[3])]);
    true
}
