//! What detectors ask of the text around a place.

use std::ops::Range;

/// What a detector says of a place: its end, and how sure it is.
pub(super) type Candidate = Option<(Range<usize>, f64)>;

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
