//! Numbers and words: the numbers of a block are checked together, words and numbers with exponents one by one.

use super::lanes::Lanes;
use crate::json::scan::scalar::number;

/// What the scalar at the end of a block says about the next block.
#[derive(Default)]
pub(super) struct Scalars {
    /// Whether the last byte of the block was part of a scalar; where the last one began.
    going_on: u64,
    start: usize,
    /// Whether the scalar that goes on has been read to its end.
    read: u64,
    /// Whether the first byte is behind digits of a whole part, or a zero that is all of one.
    whole: u64,
    zero: u64,
    /// Whether the first byte must be the first digit, or one behind a decimal point.
    first: u64,
    decimal: u64,
}

impl Scalars {
    /// The places where scalars begin, and those directly behind them. `runs` are the bytes that are outside of strings, no white space,
    /// and no separator.
    #[inline(always)]
    pub(super) fn ends(&mut self, runs: u64) -> (u64, u64) {
        let behind = runs << 1 | self.going_on;
        (runs & !behind, behind & !runs)
    }

    /// Whether the scalars in `runs`, which begin at `starts`, are numbers and words. `text` has the block at `at`.
    #[inline(always)]
    pub(super) fn are_valid<L: Lanes>(&mut self, block: L, text: &[u8], at: usize, runs: u64, starts: u64) -> bool {
        if runs | self.going_on == 0 {
            return true;
        }
        let digits = block.within(b'0', b'9') & runs;
        let minus = block.equal(b'-') & starts;
        let words = starts & !(digits | minus);
        let goes_on = runs & self.going_on;
        let numbers = runs & runs.wrapping_add(words).wrapping_add(goes_on & self.read);
        let plain = self.are_plain(block, numbers, starts, digits, minus);
        let unread = self.going_on & !self.read != 0;
        let valid = each(text, at, words, is_word)
            && (plain || (!unread || is_number(text, self.start)) && each(text, at, starts & numbers, is_number));
        let last = 63 - (starts | 1).leading_zeros();
        let goes_on_whole = goes_on & u64::from(starts == 0);
        self.going_on = runs >> 63;
        self.read = if plain { words >> last & 1 | goes_on_whole & self.read } else { 1 };
        if starts != 0 {
            self.start = at + last as usize;
        }
        valid
    }

    /// Whether all runs in `numbers` are numbers without an exponent, as far as they go.
    #[inline(always)]
    fn are_plain<L: Lanes>(&mut self, block: L, numbers: u64, starts: u64, digits: u64, minus: u64) -> bool {
        let (starts, digits, minus) = (starts & numbers, digits & numbers, minus & numbers);
        let points = block.equal(b'.') & numbers;
        let first = starts & !minus | minus << 1 | self.first;
        // Behind the digits of each whole part; the sum is longer than the block where one goes on.
        let (sum, whole) = digits.overflowing_add(first & digits | self.whole & digits);
        let behind = (sum | self.whole) & !digits;
        let zeros = block.equal(b'0') & first;
        let wrong = first & !digits
            | points & !behind
            | (points << 1 | self.decimal) & !digits
            | (zeros << 1 | self.zero) & digits;
        self.whole = u64::from(whole);
        self.zero = zeros >> 63;
        self.first = minus >> 63;
        self.decimal = points >> 63;
        wrong == 0 && digits | minus | points == numbers
    }
}

/// Whether each scalar at one of these places is of a kind.
#[inline(always)]
fn each(text: &[u8], at: usize, mut starts: u64, kind: fn(&[u8], usize) -> bool) -> bool {
    let mut valid = true;
    while starts != 0 {
        valid &= kind(text, at + starts.trailing_zeros() as usize);
        starts &= starts - 1;
    }
    valid
}

/// Whether a word is at `at`, and then what ends it.
#[inline(always)]
fn is_word(text: &[u8], at: usize) -> bool {
    let Some(first) = text.get(at..).and_then(<[u8]>::first_chunk::<4>) else { return false };
    let long = first == b"fals";
    let whole = first == b"true" || first == b"null" || long && text.get(at + 4) == Some(&b'e');
    whole && is_ended(text, at + 4 + usize::from(long))
}

/// Whether a number is at `at`, and then what ends it.
fn is_number(text: &[u8], at: usize) -> bool {
    matches!(text.get(at), Some(b'-' | b'0'..=b'9')) && number(text, at).is_some_and(|end| is_ended(text, end))
}

/// Whether a separator, white space or the end is at `at`.
#[inline(always)]
fn is_ended(text: &[u8], at: usize) -> bool {
    matches!(text.get(at), None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'))
}
