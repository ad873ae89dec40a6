//! The structure of a JSON text, 64 bytes at a time, with a bit for each byte: one pass checks the text and finds the members of the
//! object at its top, whatever the shape of the text (after Langdale and Lemire, "Parsing gigabytes of JSON per second", 2019).
//!
//! `lanes` compares the bytes of a block. `strings` finds what is in strings, and checks their escapes. `grammar` checks for each token
//! which token may come next, by shifts over the block; it walks brackets alone one by one, and between two of them asks for colons and
//! commas in turn. `scalars` checks the numbers of a block together, and the rest one by one.

mod grammar;
mod lanes;
mod scalars;
mod strings;

use self::grammar::Structure;
pub(crate) use self::grammar::{MAX_DEPTH, Outline};
use self::lanes::Lanes;
use crate::json::index::MemberSpan;

/// The outline of `text`, of which all from `start` on is one array or object, and white space; with `INDEXED` the members of an object
/// there go into `members`. `None` for any other text, or one that is nested deeper than
/// [`MAX_DEPTH`].
#[inline]
pub(crate) fn outline<const INDEXED: bool>(
    text: &[u8],
    start: usize,
    members: &mut Vec<MemberSpan>,
) -> Option<Outline> {
    #[cfg(target_arch = "x86_64")]
    {
        if lanes::has_avx2() {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { outline_by_avx2::<INDEXED>(text, start, members) };
        }
        outline_by::<lanes::Sse2, INDEXED>(text, start, members)
    }
    #[cfg(target_arch = "aarch64")]
    return outline_by::<lanes::Neon, INDEXED>(text, start, members);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return outline_by::<lanes::Portable, INDEXED>(text, start, members);
}

/// # Safety
/// Only where [`lanes::has_avx2`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,lzcnt")]
unsafe fn outline_by_avx2<const INDEXED: bool>(
    text: &[u8],
    start: usize,
    members: &mut Vec<MemberSpan>,
) -> Option<Outline> {
    outline_by::<lanes::Avx2, INDEXED>(text, start, members)
}

#[inline(always)]
fn outline_by<L: Lanes, const INDEXED: bool>(
    text: &[u8],
    start: usize,
    members: &mut Vec<MemberSpan>,
) -> Option<Outline> {
    let mut structure = Structure::new(text, members);
    let mut at = start;
    while let Some(block) = text.get(at..)?.first_chunk::<64>() {
        structure.block::<L, INDEXED>(at, block)?;
        at += 64;
    }
    if at < text.len() {
        let mut block = [b' '; 64];
        block[..text.len() - at].copy_from_slice(&text[at..]);
        structure.block::<L, INDEXED>(at, &block)?;
    }
    structure.finish()
}

#[cfg(test)]
mod tests;
