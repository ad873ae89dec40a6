//! Where texts, numbers and words end, if they are valid.

use crate::json::lex::skip_ws;
use crate::json::scan::{self, special};

/// Index behind the text (in UTF-8), number or word at `at`.
#[inline(always)]
pub(crate) fn scalar(b: &[u8], at: usize) -> Option<usize> {
    let first = *b.get(at)?;
    if first == b'"' {
        let (stop, ascii) = scan::special_and_ascii(b, at + 1)?;
        if b[stop] == b'"' && ascii {
            return Some(stop + 1);
        }
        return long_text(b, at, stop);
    }
    if first.is_ascii_digit()
        && let Some(end) = scan::short_number(b, at)
    {
        return Some(end);
    }
    number_or_word(b, at)
}

/// Index behind the text at `at` whose first character that is not plain is at `stop`.
fn long_text(b: &[u8], at: usize, stop: usize) -> Option<usize> {
    let end = escaped(b, stop)?;
    std::str::from_utf8(&b[at..end]).is_ok().then_some(end)
}

fn number_or_word(b: &[u8], at: usize) -> Option<usize> {
    match b[at] {
        b'-' | b'0'..=b'9' => number(b, at),
        b't' => word(b, at, b"true"),
        b'f' => word(b, at, b"false"),
        b'n' => word(b, at, b"null"),
        _ => None,
    }
}

fn word(b: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    b.get(at..)?.starts_with(word).then_some(at + word.len())
}

fn digits(b: &[u8], mut at: usize) -> Option<usize> {
    let from = at;
    while b.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    (at > from).then_some(at)
}

#[inline(always)]
pub(crate) fn number(b: &[u8], at: usize) -> Option<usize> {
    let from = at + usize::from(b[at] == b'-');
    match scan::short_number(b, from) {
        Some(end) => Some(end),
        None => long_number(b, from),
    }
}

/// Index behind the number whose first digit is at `at`.
fn long_number(b: &[u8], mut at: usize) -> Option<usize> {
    at = if *b.get(at)? == b'0' { at + 1 } else { digits(b, at)? };
    if b.get(at) == Some(&b'.') {
        at = digits(b, at + 1)?;
    }
    if let Some(b'e' | b'E') = b.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = b.get(at) {
            at += 1;
        }
        at = digits(b, at)?;
    }
    Some(at)
}

/// Index behind the text whose first character that is not plain is at `at`.
fn escaped(b: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match b[at] {
            b'"' => return Some(at + 1),
            b'\\' => match *b.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' if b.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                _ => return None,
            },
            _ => return None,
        }
        at = special(b, at)?;
    }
}

/// [`skip_ws`] for what is mostly none, or one space.
#[inline(always)]
pub(crate) fn past_space(b: &[u8], at: usize) -> usize {
    match b.get(at) {
        Some(c) if *c > b' ' => at,
        Some(b' ') if b.get(at + 1).is_some_and(|c| *c > b' ') => at + 1,
        _ => skip_ws(b, at),
    }
}
