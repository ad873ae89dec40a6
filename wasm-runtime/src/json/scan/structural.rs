//! Where the structure of a JSON text is: 64 bytes at a time, with quotes, escapes and brackets as bits of a word (after
//! Langdale and Lemire, "Parsing gigabytes of JSON per second", 2019).

/// The places of brackets outside strings, and with `SEPARATORS` those of colons and commas, found 64 bytes at a time.
pub(crate) struct StructuralScanner<'t, const SEPARATORS: bool> {
    text: &'t [u8],
    /// The block in work, and a bit for each place in it that is left.
    base: usize,
    bits: u64,
    /// The next block.
    at: usize,
    /// All ones while a string goes on from the block before.
    in_string: u64,
    /// The first byte of the next block is escaped.
    escaped: bool,
}

impl<'t, const SEPARATORS: bool> StructuralScanner<'t, SEPARATORS> {
    pub(crate) fn new(text: &'t [u8], at: usize) -> Self {
        Self { text, base: at, bits: 0, at, in_string: 0, escaped: false }
    }

    /// Looks at the next block; `None` at the end of the text.
    #[inline]
    fn step(&mut self) -> Option<()> {
        let left = self.text.get(self.at..).filter(|left| !left.is_empty())?;
        let masks = match left.first_chunk::<64>() {
            Some(block) => masks::<SEPARATORS>(block),
            None => {
                let mut block = [b' '; 64];
                block[..left.len()].copy_from_slice(left);
                masks::<SEPARATORS>(&block)
            }
        };
        let quotes = masks.quotes & !self.escapes(masks.backslashes);
        let mut inside = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << shift;
        }
        inside ^= self.in_string;
        self.in_string = 0u64.wrapping_sub(inside >> 63);
        self.base = self.at;
        self.at += 64;
        self.bits = masks.others & !inside;
        Some(())
    }

    /// The bytes behind a backslash that is none behind another.
    fn escapes(&mut self, mut backslashes: u64) -> u64 {
        let mut escaped = u64::from(self.escaped);
        backslashes &= !escaped;
        self.escaped = false;
        while backslashes != 0 {
            let at = backslashes.trailing_zeros();
            if at == 63 {
                self.escaped = true;
                break;
            }
            let next = 1u64 << (at + 1);
            escaped |= next;
            backslashes &= !(next | (1 << at));
        }
        escaped
    }
}

impl<const SEPARATORS: bool> Iterator for StructuralScanner<'_, SEPARATORS> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            self.step()?;
        }
        let at = self.base + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(at)
    }
}

#[derive(Default)]
struct Masks {
    quotes: u64,
    backslashes: u64,
    others: u64,
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn masks<const SEPARATORS: bool>(block: &[u8; 64]) -> Masks {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8};
    let mut out = Masks::default();
    for part in 0..4 {
        // SAFETY: SSE2 is part of x86_64, and 16 bytes are there.
        let (quotes, backslashes, others) = unsafe {
            let is = |v: __m128i, c: u8| _mm_cmpeq_epi8(v, _mm_set1_epi8(c as i8));
            let v = _mm_loadu_si128(block.as_ptr().add(part * 16).cast());
            // `[` and `]` differ from `{` and `}` in this bit alone.
            let lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
            let brackets = _mm_or_si128(is(lower, b'{'), is(lower, b'}'));
            let others =
                if SEPARATORS { _mm_or_si128(brackets, _mm_or_si128(is(v, b':'), is(v, b','))) } else { brackets };
            (_mm_movemask_epi8(is(v, b'"')), _mm_movemask_epi8(is(v, b'\\')), _mm_movemask_epi8(others))
        };
        out.quotes |= (quotes as u64 & 0xffff) << (part * 16);
        out.backslashes |= (backslashes as u64 & 0xffff) << (part * 16);
        out.others |= (others as u64 & 0xffff) << (part * 16);
    }
    out
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn masks<const SEPARATORS: bool>(block: &[u8; 64]) -> Masks {
    let mut out = Masks::default();
    for (i, c) in block.iter().enumerate() {
        out.quotes |= u64::from(*c == b'"') << i;
        out.backslashes |= u64::from(*c == b'\\') << i;
        let separates = SEPARATORS && matches!(c, b':' | b',');
        out.others |= u64::from(separates || matches!(c, b'{' | b'}' | b'[' | b']')) << i;
    }
    out
}
