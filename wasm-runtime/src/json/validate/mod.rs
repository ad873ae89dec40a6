//! Whether a text is one JSON value, fast: one pass, no recursion, strings sixteen bytes at a time.
//!
//! Every text that it accepts `serde_json` accepts, too (tested). A text that it refuses goes to `serde_json` for the
//! error message.

mod scalar;

pub(crate) use self::scalar::{number, scalar};
use self::scalar::{past_space, string, word};
use crate::json::index::{MemberSpan, ObjectIndex};
use crate::json::lex::{skip_string, skip_ws};
use crate::json::scan;

/// Deepest nesting of arrays and objects that a pipeline accepts (docs/reference/udf-abi.md, "Limits").
pub(crate) const MAX_DEPTH: usize = 128;

/// Why a text is not a document we work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid(pub String);

/// Checks that `text` is one JSON value in UTF-8, nested no deeper than [`MAX_DEPTH`].
///
/// # Errors
/// [`Invalid`] with a reason and the place, fit for an item error.
pub(crate) fn check(text: &[u8]) -> Result<(), Invalid> {
    check_utf8(text)?;
    if validate_fast(text) {
        return Ok(());
    }
    if let Some(at) = too_deep(text) {
        return Err(Invalid(format!("nested deeper than {MAX_DEPTH} levels at byte {at}")));
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(text)
        .map(|_| ())
        .map_err(|e| Invalid(format!("not valid JSON: {e}")))
}

fn check_utf8(text: &[u8]) -> Result<(), Invalid> {
    if text.is_ascii() {
        return Ok(());
    }
    let wrong = |e: simdutf8::compat::Utf8Error| Invalid(format!("invalid UTF-8 at byte {}", e.valid_up_to()));
    simdutf8::compat::from_utf8(text).map(|_| ()).map_err(wrong)
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
    check_utf8(text)?;
    members.clear();
    let mut escapes = false;
    let start = skip_ws(text, 0);
    if text.get(start) == Some(&b'{')
        && let (Ok(from), Ok(_)) = (u32::try_from(start), u32::try_from(text.len()))
        && let Some(end) = parse::<true>(text, &mut members, &mut escapes)
        && skip_ws(text, end) == text.len()
    {
        return Ok(Some(ObjectIndex::with(from, end as u32 - 1, escapes, members)));
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

/// Whether `text` (UTF-8) is surely one JSON value, nested no deeper than [`MAX_DEPTH`].
pub(crate) fn validate_fast(text: &[u8]) -> bool {
    parse::<false>(text, &mut Vec::new(), &mut false).is_some_and(|end| skip_ws(text, end) == text.len())
}

/// Index behind the value at the beginning of `b`; with `INDEXED` the members of an object there go into `members`, and
/// `escapes` becomes true if the key of one has an escape.
fn parse<const INDEXED: bool>(b: &[u8], members: &mut Vec<MemberSpan>, escapes: &mut bool) -> Option<usize> {
    const { assert!(MAX_DEPTH == 128, "a level is a bit of a u128") };
    // One bit for each open level, the innermost lowest: 1 for an object.
    let (mut levels, mut depth) = (0u128, 0usize);
    let mut at = past_space(b, 0);
    loop {
        // A value begins at `at`.
        at = match *b.get(at)? {
            b'"' => string(b, at + 1, &mut false)?,
            open @ (b'{' | b'[') => {
                if depth == MAX_DEPTH {
                    return None;
                }
                let object = open == b'{';
                let inner = past_space(b, at + 1);
                let close = if object { b'}' } else { b']' };
                if *b.get(inner)? == close {
                    inner + 1
                } else {
                    depth += 1;
                    levels = levels << 1 | u128::from(object);
                    at = if object { key::<INDEXED>(b, inner, depth, members, escapes)? } else { inner };
                    continue;
                }
            }
            b'-' | b'0'..=b'9' => number(b, at)?,
            b't' => word(b, at, b"true")?,
            b'f' => word(b, at, b"false")?,
            b'n' => word(b, at, b"null")?,
            _ => return None,
        };
        // A value ended before `at`: close what ends with it, or go on to the next.
        loop {
            if depth == 0 {
                return Some(at);
            }
            let object = levels & 1 == 1;
            if INDEXED
                && depth == 1
                && object
                && let Some(member) = members.last_mut()
            {
                member.value_end = at as u32;
            }
            at = past_space(b, at);
            match *b.get(at)? {
                b',' => {
                    at = past_space(b, at + 1);
                    if object {
                        at = key::<INDEXED>(b, at, depth, members, escapes)?;
                    }
                    break;
                }
                b'}' if object => {}
                b']' if !object => {}
                _ => return None,
            }
            at += 1;
            depth -= 1;
            levels >>= 1;
        }
    }
}

/// Where the value of the member whose key is at `at` begins; a member of the outermost object goes into `members`.
#[inline(always)]
fn key<const INDEXED: bool>(
    b: &[u8],
    at: usize,
    depth: usize,
    members: &mut Vec<MemberSpan>,
    escapes: &mut bool,
) -> Option<usize> {
    if *b.get(at)? != b'"' {
        return None;
    }
    let mut own = false;
    let end = string(b, at + 1, &mut own)?;
    let colon = past_space(b, end);
    let value = (*b.get(colon)? == b':').then(|| past_space(b, colon + 1))?;
    if INDEXED && depth == 1 {
        *escapes |= own;
        members.push(MemberSpan { key: at as u32 + 1, key_end: end as u32 - 1, value: value as u32, value_end: 0 });
    }
    Some(value)
}

#[cfg(test)]
mod tests;
