//! Where texts and numbers end, sixteen bytes at a time: most are no longer.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
    _mm_set1_epi8, _mm_sub_epi8,
};

#[cfg(target_arch = "x86_64")]
type Block = [u8; 16];

/// The sixteen bytes at `at`, if there are so many.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn block(b: &[u8], at: usize) -> Option<&Block> {
    b.get(at..).and_then(<[u8]>::first_chunk)
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn loaded(block: &Block) -> __m128i {
    // SAFETY: SSE2 is part of x86_64, and 16 bytes are there.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

/// The first quote, backslash or control character at or after `at`: mostly within sixteen bytes.
#[inline(always)]
pub fn special(b: &[u8], at: usize) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if let Some(block) = block(b, at) {
        let found = specials(block);
        return if found != 0 { Some(at + found.trailing_zeros() as usize) } else { special_far(b, at + 16) };
    }
    special_far(b, at)
}

fn special_far(b: &[u8], mut at: usize) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    while let Some(block) = block(b, at) {
        let found = specials(block);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += 16;
    }
    b.get(at..)?.iter().position(|c| matches!(c, b'"' | b'\\' | 0..=0x1f)).map(|n| at + n)
}

/// [`special`], and whether all before it is ASCII.
#[inline(always)]
pub fn special_and_ascii(b: &[u8], at: usize) -> Option<(usize, bool)> {
    #[cfg(target_arch = "x86_64")]
    if let Some(block) = block(b, at) {
        let (found, high) = (specials(block), highs(block));
        if found == 0 {
            let end = special_far(b, at + 16)?;
            return Some((end, high == 0 && is_ascii(&b[at + 16..end])));
        }
        let before = (found - 1) & !found;
        return Some((at + found.trailing_zeros() as usize, high & before == 0));
    }
    let end = special_far(b, at)?;
    Some((end, is_ascii(&b[at..end])))
}

/// `is_ascii` for what is mostly less than a hundred bytes.
fn is_ascii(text: &[u8]) -> bool {
    text.iter().fold(0, |all, c| all | c) < 0x80
}

/// Index behind the number without a sign and an exponent whose first digit is at `at`, if it surely is one: most are, and shorter
/// than sixteen bytes.
#[inline(always)]
pub fn short_number(b: &[u8], at: usize) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if let Some(block) = block(b, at) {
        let others = others(block);
        let whole = others.trailing_zeros() as usize;
        let mut end = whole;
        if block.get(end) == Some(&b'.') {
            end = (others & (others - 1)).trailing_zeros() as usize;
        }
        let plain = match block.get(end)? {
            b'e' | b'E' => false,
            _ if whole == 0 || end == whole + 1 => false,
            _ => block[0] != b'0' || whole == 1,
        };
        return plain.then_some(at + end);
    }
    None
}

/// A bit for each quote, backslash and control character.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn specials(block: &Block) -> i32 {
    let v = loaded(block);
    // SAFETY: SSE2 is part of x86_64.
    unsafe {
        let control = _mm_set1_epi8(0x1f);
        let low = _mm_cmpeq_epi8(_mm_max_epu8(v, control), control);
        let quote = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'"' as i8));
        let escape = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'\\' as i8));
        _mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, escape)))
    }
}

/// A bit for each byte that is not ASCII.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn highs(block: &Block) -> i32 {
    // SAFETY: SSE2 is part of x86_64.
    unsafe { _mm_movemask_epi8(loaded(block)) }
}

/// A bit for each byte that is no digit, and one behind them.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn others(block: &Block) -> i32 {
    // SAFETY: SSE2 is part of x86_64.
    unsafe {
        let value = _mm_sub_epi8(loaded(block), _mm_set1_epi8(b'0' as i8));
        !_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(value, _mm_set1_epi8(9)), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of up to 40 bytes, each with one byte that is another, at each place, read from each place.
    #[test]
    fn it_says_what_a_look_at_each_byte_says() {
        let mut numbers = 0;
        for fill in [b'x', b'7'] {
            for len in 0..40 {
                for at in 0..len {
                    for odd in [b'"', b'\\', 0x1f, 0, b' ', b'/', b':', b'0', b'9', b'.', b'e', 0x7f, 0x80, 0xff] {
                        let mut text = vec![fill; len];
                        text[at] = odd;
                        for from in 0..=len {
                            let rest = &text[from..];
                            let stop =
                                rest.iter().position(|c| *c < 0x20 || matches!(c, b'"' | b'\\')).map(|n| from + n);
                            assert_eq!(special(&text, from), stop);
                            let both = stop.map(|stop| (stop, text[from..stop].is_ascii()));
                            assert_eq!(special_and_ascii(&text, from), both);
                            if let Some(end) = short_number(&text, from) {
                                numbers += 1;
                                assert!(serde_json::from_slice::<f64>(&text[from..end]).is_ok());
                                assert!(!matches!(text.get(end), Some(b'0'..=b'9' | b'.' | b'e' | b'E')));
                            }
                        }
                    }
                }
            }
        }
        assert!(numbers > 0 || !cfg!(target_arch = "x86_64"));
        assert_eq!((special(b"", 1), special_and_ascii(b"", 1), short_number(b"", 1)), (None, None, None));
    }
}
