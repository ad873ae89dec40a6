//! One pass over a text: where a word, a number or a sign begins that a detector knows, the detector is asked.
//!
//! Bytes beyond ASCII belong to no word: a number beside a text without spaces is found.

use std::ops::Range;

use crate::engine::deadline::glance;

use super::confidence::in_context;
use super::detectors::{Detector, Detectors};
use super::text::{Candidate, is_word};
use super::{network, numbers, tokens};

/// Something that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) range: Range<usize>,
    pub(super) detector: Detector,
    pub(super) confidence: f64,
}

/// Calls `note` with every finding of `wanted` in `text`, in order and apart; `key`: the name of its field.
pub(super) fn scan(text: &str, key: &str, wanted: Detectors, mut note: impl FnMut(Finding)) {
    let bytes = text.as_bytes();
    let (mut start, mut done) = (0, 0);
    while let Some(next) = next_start(bytes, start) {
        glance();
        let found = first_of(text, next, done, wanted);
        let Some((detector, range, base)) = found else {
            start = if is_word(bytes[next]) { end_of_word(bytes, next) } else { next + 1 };
            continue;
        };
        let confidence = in_context(base, detector, text, range.start, key);
        (start, done) = (range.end, range.end);
        note(Finding { range, detector, confidence });
    }
}

/// The next byte from `start` on at which something may begin: the first of a word, or a sign.
fn next_start(bytes: &[u8], start: usize) -> Option<usize> {
    bytes[start..]
        .iter()
        .position(|byte| is_word(*byte) || matches!(byte, b'@' | b'+' | b':' | b'-'))
        .map(|at| start + at)
}

fn end_of_word(bytes: &[u8], start: usize) -> usize {
    bytes[start..].iter().position(|byte| !is_word(*byte)).map_or(bytes.len(), |at| start + at)
}

/// The first detector that finds something at `start`; nothing before `done` is looked at.
fn first_of(text: &str, start: usize, done: usize, wanted: Detectors) -> Option<(Detector, Range<usize>, f64)> {
    let bytes = text.as_bytes();
    let ask = |detector: Detector, check: &dyn Fn() -> Candidate| {
        if wanted.has(detector) { check().map(|(range, base)| (detector, range, base)) } else { None }
    };
    match bytes[start] {
        b'@' => ask(Detector::Email, &|| network::email(bytes, start, done)),
        b'+' => ask(Detector::Phone, &|| numbers::phone(bytes, start)),
        b':' => ask(Detector::Ip, &|| network::ipv6(text, start)),
        b'-' => ask(Detector::SecretKey, &|| tokens::private_key(text, start)),
        b'0'..=b'9' => ask(Detector::Mac, &|| network::mac(bytes, start))
            .or_else(|| ask(Detector::Ip, &|| network::ip(text, start)))
            .or_else(|| ask(Detector::CreditCard, &|| numbers::card(bytes, start))),
        _ => ask(Detector::Jwt, &|| tokens::jwt(bytes, start))
            .or_else(|| ask(Detector::SecretKey, &|| tokens::secret_key(bytes, start)))
            .or_else(|| ask(Detector::Iban, &|| numbers::iban(bytes, start)))
            .or_else(|| ask(Detector::Mac, &|| network::mac(bytes, start)))
            .or_else(|| ask(Detector::Ip, &|| network::ipv6(text, start))),
    }
}
