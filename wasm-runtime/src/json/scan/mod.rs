//! Loops over blocks of bytes: ends of texts and numbers, sixteen bytes at a time.
//!
//! `structural` finds quotes, brackets, colons and commas outside of strings, 64 bytes at a time; `array` splits an array by them, and
//! `scalar` finds the ends of texts, numbers and words. On x86-64 the loops use SSE2, which every such processor has; elsewhere they read one byte at a time.

pub(crate) mod array;
pub(crate) mod scalar;
pub(crate) mod structural;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_min_epu8, _mm_movemask_epi8,
    _mm_or_si128, _mm_set1_epi8, _mm_sub_epi8,
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
pub(crate) fn special(b: &[u8], at: usize) -> Option<usize> {
    special_near::<false>(b, at).map(|(end, _)| end)
}

/// [`special`], and whether all before it is ASCII.
#[inline(always)]
pub(crate) fn special_and_ascii(b: &[u8], at: usize) -> Option<(usize, bool)> {
    special_near::<true>(b, at)
}

/// [`special`], and with `ASCII` whether all before it is; what is not within sixteen bytes is looked for by a call.
#[inline(always)]
fn special_near<const ASCII: bool>(b: &[u8], at: usize) -> Option<(usize, bool)> {
    #[cfg(target_arch = "x86_64")]
    if let Some(block) = block(b, at) {
        let (found, high) = (specials(block), if ASCII { highs(block) } else { 0 });
        if found != 0 {
            return Some((at + found.trailing_zeros() as usize, high & before(found) == 0));
        }
        return special_far::<ASCII>(b, at + 16).map(|(end, ascii)| (end, ascii && high == 0));
    }
    special_far::<ASCII>(b, at)
}

/// The same of what is farther away.
fn special_far<const ASCII: bool>(b: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut high = 0;
    #[cfg(target_arch = "x86_64")]
    while let Some(block) = block(b, at) {
        let found = specials(block);
        let highs = if ASCII { highs(block) } else { 0 };
        if found != 0 {
            high |= highs & before(found);
            return Some((at + found.trailing_zeros() as usize, high == 0));
        }
        high |= highs;
        at += 16;
    }
    let rest = b.get(at..)?;
    #[cfg(target_arch = "x86_64")]
    if let Some(last) = b.last_chunk() {
        // The last sixteen bytes, without those that have been looked at.
        let [found, highs] =
            [specials(last), if ASCII { highs(last) } else { 0 }].map(|bits| bits >> (16 - rest.len()));
        high |= highs & before(found);
        return (found != 0).then(|| (at + found.trailing_zeros() as usize, high == 0));
    }
    let end = rest.iter().position(|c| matches!(c, b'"' | b'\\' | 0..=0x1f))?;
    Some((at + end, high == 0 && (!ASCII || rest[..end].is_ascii())))
}

/// The bits below the lowest one that is set.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn before(found: u32) -> u32 {
    !found & found.wrapping_sub(1)
}

/// Index behind the number without a sign and an exponent whose first digit is at `at`, if it surely is one: most are, and shorter
/// than sixteen bytes.
#[inline(always)]
pub(crate) fn short_number(b: &[u8], at: usize) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if let Some(block) = block(b, at) {
        let others = others(block);
        let whole = others.trailing_zeros() as usize;
        let mut end = whole;
        if b.get(at + whole) == Some(&b'.') {
            end = (others & (others - 1)).trailing_zeros() as usize;
        }
        let plain = whole != 0
            && end != whole + 1
            && end < 16
            && !matches!(b.get(at + end), Some(b'e' | b'E'))
            && (whole == 1 || b[at] != b'0');
        return plain.then_some(at + end);
    }
    None
}

/// How many bytes two texts have in common before they differ.
#[inline]
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let both = a.len().min(b.len());
    let mut at = 0;
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: both have 64 bytes at `at`.
        while at + 64 <= both && unsafe { alike(a, b, at) } {
            at += 64;
        }
        while at + 16 <= both {
            // SAFETY: both have 16 bytes at `at`.
            let found = unsafe { differing(a, b, at, at) };
            if found != 0 {
                return at + found.trailing_zeros() as usize;
            }
            at += 16;
        }
        if both >= 16 {
            // What is left, with bytes before it that are known to be the same.
            let last = both - 16;
            // SAFETY: as above.
            return last + (unsafe { differing(a, b, last, last) } | 0x1_0000).trailing_zeros() as usize;
        }
    }
    at + a[at..both].iter().zip(&b[at..both]).take_while(|(a, b)| a == b).count()
}

/// A bit for each of sixteen bytes, from `in_a` and `in_b` on, that are not the same.
///
/// # Safety
/// Both texts must have so many there.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn differing(a: &[u8], b: &[u8], in_a: usize, in_b: usize) -> u32 {
    // SAFETY: SSE2 is part of x86_64, and for the bytes as the caller says.
    unsafe {
        let left = _mm_loadu_si128(a.as_ptr().add(in_a).cast());
        let right = _mm_loadu_si128(b.as_ptr().add(in_b).cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(left, right)) as u32 ^ 0xffff
    }
}

/// Whether 64 bytes of both texts are the same.
///
/// # Safety
/// Both must have so many at `at`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn alike(a: &[u8], b: &[u8], at: usize) -> bool {
    // SAFETY: SSE2 is part of x86_64, and for the bytes as the caller says.
    unsafe {
        let same = |block: usize| {
            let [left, right] = [a, b].map(|text| _mm_loadu_si128(text.as_ptr().add(at + block).cast()));
            _mm_cmpeq_epi8(left, right)
        };
        _mm_movemask_epi8(_mm_and_si128(_mm_and_si128(same(0), same(16)), _mm_and_si128(same(32), same(48)))) == 0xffff
    }
}

/// Whether one of the bytes is a control character; for what is mostly short.
#[inline(always)]
pub(crate) fn has_control(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A byte below 0x20 borrows from its highest bit, which was not set; the lowest such byte is told for sure.
    let within = |eight: &[u8; 8]| {
        let eight = u64::from_le_bytes(*eight);
        eight.wrapping_sub(ONES * 0x20) & !eight & (ONES * 0x80) != 0
    };
    match text.last_chunk::<8>() {
        Some(last) => text.as_chunks::<8>().0.iter().any(within) || within(last),
        None => text.iter().any(|byte| *byte < 0x20),
    }
}

/// A bit for each quote, backslash and control character.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn specials(block: &Block) -> u32 {
    let v = loaded(block);
    // SAFETY: SSE2 is part of x86_64.
    unsafe {
        let control = _mm_set1_epi8(0x1f);
        let low = _mm_cmpeq_epi8(_mm_max_epu8(v, control), control);
        let quote = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'"' as i8));
        let escape = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'\\' as i8));
        _mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, escape))) as u32
    }
}

/// A bit for each byte that is not ASCII.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn highs(block: &Block) -> u32 {
    // SAFETY: SSE2 is part of x86_64.
    unsafe { _mm_movemask_epi8(loaded(block)) as u32 }
}

/// A bit for each byte that is no digit, and one behind them.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn others(block: &Block) -> u32 {
    // SAFETY: SSE2 is part of x86_64.
    unsafe {
        let value = _mm_sub_epi8(loaded(block), _mm_set1_epi8(b'0' as i8));
        !_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(value, _mm_set1_epi8(9)), value)) as u32
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

    #[test]
    fn texts_are_alike_up_to_the_first_byte_that_differs() {
        let text: Vec<u8> = (0..100).collect();
        for len in 0..text.len() {
            assert_eq!(common_prefix(&text, &text[..len]), len);
            for at in 0..len {
                let mut second = text[..len].to_vec();
                second[at] ^= 1;
                assert_eq!((common_prefix(&text, &second), common_prefix(&second, &text[..len])), (at, at));
            }
        }
    }

    #[test]
    fn a_control_character_is_found_wherever_it_is() {
        for fill in [b' ', b'x', 0x7f, 0x80, 0x9f, 0xff] {
            for len in 0..40 {
                let mut text = vec![fill; len];
                assert!(!has_control(&text), "{fill} {len}");
                for at in 0..len {
                    for control in [0, b'\n', b'\r', 0x1f] {
                        text[at] = control;
                        assert!(has_control(&text), "{fill} {len} {at}");
                    }
                    text[at] = fill;
                }
            }
        }
    }
}
