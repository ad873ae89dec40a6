//! One pass over a text: where a word, a number or a sign begins that a detector knows, the detector is asked.
//!
//! Bytes beyond ASCII belong to no word: a number beside a text without spaces is found.

use std::ops::Range;

use super::confidence::in_context;
use super::detectors::{Detector, Detectors};
use super::{network, numbers, tokens};

/// Something that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) range: Range<usize>,
    pub(super) detector: Detector,
    pub(super) confidence: f64,
}

/// What a detector says of a place: its end, and how sure it is.
pub(super) type Found = Option<(Range<usize>, f64)>;

/// Whether a byte belongs to a word.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The byte before `at`, a space at the beginning.
pub(super) fn before(bytes: &[u8], at: usize) -> u8 {
    if at == 0 { b' ' } else { bytes[at - 1] }
}

/// The byte at `at`, a space behind the end.
pub(super) fn at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(b' ')
}

/// Calls `note` with every finding of `wanted` in `text`, in order and apart; `key`: the name of its field.
pub(super) fn scan(text: &str, key: &str, wanted: Detectors, mut note: impl FnMut(Finding)) {
    let bytes = text.as_bytes();
    let (mut place, mut done) = (0, 0);
    while let Some(next) = next_place(bytes, place) {
        let found = first_of(text, next, done, wanted);
        let Some((detector, range, base)) = found else {
            place = if is_word(bytes[next]) { end_of_word(bytes, next) } else { next + 1 };
            continue;
        };
        let confidence = in_context(base, detector, text, range.start, key);
        (place, done) = (range.end, range.end);
        note(Finding { range, detector, confidence });
    }
}

/// The next byte from `place` on at which something may begin: the first of a word, or a sign.
fn next_place(bytes: &[u8], place: usize) -> Option<usize> {
    bytes[place..]
        .iter()
        .position(|byte| is_word(*byte) || matches!(byte, b'@' | b'+' | b':' | b'-'))
        .map(|at| place + at)
}

fn end_of_word(bytes: &[u8], place: usize) -> usize {
    bytes[place..].iter().position(|byte| !is_word(*byte)).map_or(bytes.len(), |at| place + at)
}

/// The first detector that finds something at `place`; nothing before `done` is looked at.
fn first_of(text: &str, place: usize, done: usize, wanted: Detectors) -> Option<(Detector, Range<usize>, f64)> {
    let bytes = text.as_bytes();
    let ask = |detector: Detector, look: &dyn Fn() -> Found| {
        if wanted.has(detector) { look().map(|(range, base)| (detector, range, base)) } else { None }
    };
    match bytes[place] {
        b'@' => ask(Detector::Email, &|| network::email(bytes, place, done)),
        b'+' => ask(Detector::Phone, &|| numbers::phone(bytes, place)),
        b':' => ask(Detector::Ip, &|| network::ipv6(text, place)),
        b'-' => ask(Detector::SecretKey, &|| tokens::private_key(text, place)),
        b'0'..=b'9' => ask(Detector::Mac, &|| network::mac(bytes, place))
            .or_else(|| ask(Detector::Ip, &|| network::ip(text, place)))
            .or_else(|| ask(Detector::CreditCard, &|| numbers::card(bytes, place))),
        _ => ask(Detector::Jwt, &|| tokens::jwt(bytes, place))
            .or_else(|| ask(Detector::SecretKey, &|| tokens::secret_key(bytes, place)))
            .or_else(|| ask(Detector::Iban, &|| numbers::iban(bytes, place)))
            .or_else(|| ask(Detector::Mac, &|| network::mac(bytes, place)))
            .or_else(|| ask(Detector::Ip, &|| network::ipv6(text, place))),
    }
}
