//! Whether a text is one JSON value: `structure` looks at it 64 bytes at a time, and UTF-8 is checked where a byte is not ASCII.
//!
//! Every text that it accepts `serde_json` accepts, too (tested). A text that it refuses goes to `serde_json` for the
//! error message.

mod structure;

pub(crate) use self::structure::MAX_DEPTH;
use self::structure::{Outline, outline};
use crate::json::index::{MemberSpan, ObjectIndex};
use crate::json::lex::{skip_string, skip_ws};
use crate::json::scan;
use crate::json::scan::scalar::{past_space, scalar};

/// Why a text is not a document we work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid(pub String);

/// Checks that `text` is one JSON value in UTF-8, nested no deeper than [`MAX_DEPTH`].
///
/// # Errors
/// [`Invalid`] with a reason and the place, fit for an item error.
pub(crate) fn check(text: &[u8]) -> Result<(), Invalid> {
    if is_valid(text) {
        return Ok(());
    }
    simdutf8::compat::from_utf8(text).map_err(|e| Invalid(format!("invalid UTF-8 at byte {}", e.valid_up_to())))?;
    if let Some(at) = too_deep(text) {
        return Err(Invalid(format!("nested deeper than {MAX_DEPTH} levels at byte {at}")));
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(text)
        .map(|_| ())
        .map_err(|e| Invalid(format!("not valid JSON: {e}")))
}

/// Whether `text` is surely one JSON value in UTF-8, nested no deeper than [`MAX_DEPTH`].
pub(crate) fn is_valid(text: &[u8]) -> bool {
    let start = skip_ws(text, 0);
    match text.get(start) {
        Some(b'{' | b'[') => outline_in_utf8::<false>(text, start, &mut Vec::new()).is_some(),
        Some(_) => scalar(text, start).is_some_and(|end| skip_ws(text, end) == text.len()),
        None => false,
    }
}

/// The outline of a text that is in UTF-8.
#[inline]
fn outline_in_utf8<const INDEXED: bool>(text: &[u8], start: usize, members: &mut Vec<MemberSpan>) -> Option<Outline> {
    outline::<INDEXED>(text, start, members).filter(|outline| outline.ascii || simdutf8::basic::from_utf8(text).is_ok())
}

/// [`check`], and the value must be an object.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_object(text: &[u8]) -> Result<(), Invalid> {
    check(text)?;
    if text[skip_ws(text, 0)] == b'{' { Ok(()) } else { Err(Invalid("not a JSON object".to_owned())) }
}

/// [`check_object`], and where the object's members are (in the memory of `members`); `None` for a text that is too long.
///
/// # Errors
/// As [`check`].
pub(crate) fn validate_and_index(text: &[u8], mut members: Vec<MemberSpan>) -> Result<Option<ObjectIndex>, Invalid> {
    members.clear();
    let start = skip_ws(text, 0);
    if text.get(start) == Some(&b'{')
        && let (Ok(from), Ok(_)) = (u32::try_from(start), u32::try_from(text.len()))
        && let Some(outline) = outline_in_utf8::<true>(text, start, &mut members)
    {
        return Ok(Some(ObjectIndex::with(from, outline.end as u32, outline.escaped_keys, members)));
    }
    check_object(text)?;
    Ok(ObjectIndex::of(text))
}

/// Whether `new` is surely one JSON value, since it is `old`, a valid text with this index, with other texts, numbers or words
/// in place of some of its members' values, or such members more at its end.
///
/// It looks at the places where the two differ: a UDF that answers the document as it came, but for a few values, is spared
/// most of the check.
pub(crate) fn validate_edit(index: &ObjectIndex, old: &[u8], new: &[u8]) -> bool {
    edited(index, old, new).is_some()
}

fn edited(index: &ObjectIndex, old: &[u8], new: &[u8]) -> Option<()> {
    let mut members = index.members().iter();
    let last = index.members().last()?.value_end as usize;
    // So far the two mean the same.
    let (mut in_old, mut in_new) = (0, 0);
    loop {
        let differ = in_old + scan::common_prefix(&old[in_old..], new.get(in_new..)?);
        let Some(member) = members.find(|member| differ <= member.value_end as usize) else { break };
        let value = member.value as usize;
        if differ < value {
            return None;
        }
        in_new = scalar(new, in_new + value - in_old)?;
        in_old = member.value_end as usize;
    }
    let mut at = in_new + last - in_old;
    loop {
        at = past_space(new, at);
        if *new.get(at)? == b'}' {
            return (new[at..] == old[index.end()..]).then_some(());
        }
        if new[at] != b',' {
            return None;
        }
        let key = past_space(new, at + 1);
        if *new.get(key)? != b'"' {
            return None;
        }
        let colon = past_space(new, scalar(new, key)?);
        if *new.get(colon)? != b':' {
            return None;
        }
        at = scalar(new, past_space(new, colon + 1))?;
    }
}

/// Where the nesting first exceeds [`MAX_DEPTH`]; few documents have enough brackets to need the walk.
fn too_deep(text: &[u8]) -> Option<usize> {
    memchr::memchr2_iter(b'{', b'[', text).nth(MAX_DEPTH)?;
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&c) = text.get(at) {
        match c {
            b'"' => {
                at = skip_string(text, at)?;
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(at);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests;
