//! Whether a text is one JSON value, fast: one pass, no recursion, strings sixteen bytes at a time.
//!
//! What it accepts `serde_json` accepts (tested); what it refuses is put to `serde_json`, whose words the error is.

use crate::json::index::{Member, Outline};
use crate::json::scan::{self, special};
use crate::json::{skip_string, skip_ws};

/// Deepest nesting of arrays and objects that a pipeline accepts (docs/udf-abi.md, "Limits").
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
    if surely(text) {
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
    let wrong = |e: std::str::Utf8Error| Invalid(format!("invalid UTF-8 at byte {}", e.valid_up_to()));
    std::str::from_utf8(text).map(|_| ()).map_err(wrong)
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
pub(crate) fn outlined(text: &[u8], mut members: Vec<Member>) -> Result<Option<Outline>, Invalid> {
    check_utf8(text)?;
    members.clear();
    let mut escapes = false;
    let start = skip_ws(text, 0);
    if text.get(start) == Some(&b'{')
        && let (Ok(from), Ok(_)) = (u32::try_from(start), u32::try_from(text.len()))
        && let Some(end) = walk::<true>(text, &mut members, &mut escapes)
        && skip_ws(text, end) == text.len()
    {
        return Ok(Some(Outline::with(from, end as u32 - 1, escapes, members)));
    }
    check_object(text)?;
    Ok(Outline::of(text))
}

/// Whether `new` is surely one JSON value, since it is `old`, a valid text with this outline, with other texts, numbers or words
/// in place of some of its members' values, or such members more at its end.
///
/// It looks at the places where the two differ: a UDF that answers the document as it came, but for a few values, is spared
/// most of the check.
pub(crate) fn still_valid(known: &Outline, old: &[u8], new: &[u8]) -> bool {
    still(known, old, new).is_some()
}

fn still(known: &Outline, old: &[u8], new: &[u8]) -> Option<()> {
    let mut members = known.members().iter();
    let last = known.members().last()?.value_end as usize;
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
            return (new[at..] == old[known.end()..]).then_some(());
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

/// Index behind the text (in UTF-8), number or word at `at`.
#[inline(always)]
pub(crate) fn scalar(b: &[u8], at: usize) -> Option<usize> {
    let first = *b.get(at)?;
    if first == b'"' {
        let (stop, ascii) = scan::special_and_ascii(b, at + 1)?;
        if b[stop] == b'"' && ascii {
            return Some(stop + 1);
        }
        return long_text(b, at, stop);
    }
    if first.is_ascii_digit()
        && let Some(end) = scan::short_number(b, at)
    {
        return Some(end);
    }
    other_scalar(b, at)
}

/// Index behind the text at `at` whose first character that is not plain is at `stop`.
fn long_text(b: &[u8], at: usize, stop: usize) -> Option<usize> {
    let end = escaped(b, stop)?;
    check_utf8(&b[at..end]).is_ok().then_some(end)
}

fn other_scalar(b: &[u8], at: usize) -> Option<usize> {
    match b[at] {
        b'-' | b'0'..=b'9' => number(b, at),
        b't' => word(b, at, b"true"),
        b'f' => word(b, at, b"false"),
        b'n' => word(b, at, b"null"),
        _ => None,
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
pub(crate) fn surely(text: &[u8]) -> bool {
    walk::<false>(text, &mut Vec::new(), &mut false).is_some_and(|end| skip_ws(text, end) == text.len())
}

/// Index behind the value at the beginning of `b`; with `OUTLINED` the members of an object there go into `members`, and
/// `escapes` becomes true if the key of one has an escape.
fn walk<const OUTLINED: bool>(b: &[u8], members: &mut Vec<Member>, escapes: &mut bool) -> Option<usize> {
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
                    at = if object { key::<OUTLINED>(b, inner, depth, members, escapes)? } else { inner };
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
            if OUTLINED
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
                        at = key::<OUTLINED>(b, at, depth, members, escapes)?;
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
fn key<const OUTLINED: bool>(
    b: &[u8],
    at: usize,
    depth: usize,
    members: &mut Vec<Member>,
    escapes: &mut bool,
) -> Option<usize> {
    if *b.get(at)? != b'"' {
        return None;
    }
    let mut own = false;
    let end = string(b, at + 1, &mut own)?;
    let colon = past_space(b, end);
    let value = (*b.get(colon)? == b':').then(|| past_space(b, colon + 1))?;
    if OUTLINED && depth == 1 {
        *escapes |= own;
        members.push(Member { key: at as u32 + 1, key_end: end as u32 - 1, value: value as u32, value_end: 0 });
    }
    Some(value)
}

fn word(b: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    b.get(at..)?.starts_with(word).then_some(at + word.len())
}

fn digits(b: &[u8], mut at: usize) -> Option<usize> {
    let from = at;
    while b.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    (at > from).then_some(at)
}

#[inline(always)]
pub(crate) fn number(b: &[u8], at: usize) -> Option<usize> {
    let from = at + usize::from(b[at] == b'-');
    match scan::short_number(b, from) {
        Some(end) => Some(end),
        None => long_number(b, from),
    }
}

/// Index behind the number whose first digit is at `at`.
fn long_number(b: &[u8], mut at: usize) -> Option<usize> {
    at = if *b.get(at)? == b'0' { at + 1 } else { digits(b, at)? };
    if b.get(at) == Some(&b'.') {
        at = digits(b, at + 1)?;
    }
    if let Some(b'e' | b'E') = b.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = b.get(at) {
            at += 1;
        }
        at = digits(b, at)?;
    }
    Some(at)
}

/// Index behind the string whose first character is at `at`; `escapes` becomes true if it has one.
#[inline(always)]
fn string(b: &[u8], at: usize, escapes: &mut bool) -> Option<usize> {
    let at = special(b, at)?;
    if b[at] == b'"' {
        return Some(at + 1);
    }
    *escapes = true;
    escaped(b, at)
}

/// The same from the first character that is not plain.
fn escaped(b: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match b[at] {
            b'"' => return Some(at + 1),
            b'\\' => match *b.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' if b.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                _ => return None,
            },
            _ => return None,
        }
        at = special(b, at)?;
    }
}

/// [`skip_ws`] for what is mostly none, or one space.
#[inline(always)]
fn past_space(b: &[u8], at: usize) -> usize {
    match b.get(at) {
        Some(c) if *c > b' ' => at,
        Some(b' ') if b.get(at + 1).is_some_and(|c| *c > b' ') => at + 1,
        _ => skip_ws(b, at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serde_takes(text: &[u8]) -> bool {
        serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
    }

    /// Every text of up to five of these pieces, and documents changed in every byte: both say the same.
    #[test]
    fn it_says_what_serde_says() {
        let pieces = ["{", "}", "[", "]", ",", ":", "\"a\"", "1", "-0.5e+3", "null", " "];
        let mut texts: Vec<String> = vec![String::new()];
        for _ in 0..5 {
            let longer: Vec<String> =
                texts.iter().flat_map(|text| pieces.iter().map(move |piece| format!("{text}{piece}"))).collect();
            for text in &longer {
                assert_eq!(surely(text.as_bytes()), serde_takes(text.as_bytes()), "{text}");
            }
            texts = longer;
        }
        let document = r#"{"s":"x\\\"y\u00e9 a long text of more than sixteen","n":[0,-1,1.5,2E-7,01],"o":{"t":true,"f":false,"z":null},"e":[{},[]]}"#;
        for at in 0..document.len() {
            for byte in 0u8..128 {
                let mut text = document.replace("01", "10").into_bytes();
                text[at] = byte;
                assert_eq!(surely(&text), serde_takes(&text), "{}", String::from_utf8_lossy(&text));
            }
            assert_eq!(surely(&document.as_bytes()[..at]), serde_takes(&document.as_bytes()[..at]));
        }
    }

    #[test]
    fn the_members_it_notes_are_those_of_the_outline() {
        let pieces = ["{", "}", "[", "]", ",", ":", "\"a\"", "\"b\" ", "1", "null", " "];
        let mut texts: Vec<String> = vec!["{".to_owned(), " {".to_owned()];
        let mut objects = 0;
        for _ in 0..5 {
            texts = texts.iter().flat_map(|text| pieces.iter().map(move |piece| format!("{text}{piece}"))).collect();
            for text in texts.iter().map(String::as_bytes) {
                let known = outlined(text, Vec::new());
                assert_eq!(known.is_ok(), check_object(text).is_ok());
                if let Ok(known) = known {
                    assert_eq!(known, Outline::of(text), "{}", String::from_utf8_lossy(text));
                    objects += 1;
                }
            }
        }
        assert!(objects > 20);
        let text = br#" {"a" : {"x":[1,{"y":2}]} , "b":"c\"d", "a": 1.5 } "#;
        assert_eq!(outlined(text, vec![Member { key: 9, key_end: 9, value: 9, value_end: 9 }]), Ok(Outline::of(text)));
    }

    #[test]
    fn what_is_still_valid_is_valid() {
        let old = " {\"a\" : \"x\\\"y\", \"b\":{\"c\":[1,\"d\"]},\"n\":-1.5e3,\"é\":\"ü\",\"w\":null } \n".as_bytes();
        let known = Outline::of(old).unwrap();
        let still = |new: &[u8]| still_valid(&known, old, new);
        let with =
            |range: std::ops::Range<usize>, piece: &[u8]| [&old[..range.start], piece, &old[range.end..]].concat();
        let mut found = 0;
        let mut look = |new: &[u8]| {
            if still(new) {
                found += 1;
                assert!(serde_takes(new) && check_object(new).is_ok(), "{}", String::from_utf8_lossy(new));
            }
        };
        let pieces: [&[u8]; 21] = [
            b"",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\"",
            b"\\",
            b"1",
            b"-",
            b".",
            b"true",
            b" ",
            b"\n",
            b"\xff",
            b"\"z\"",
            b",\"z\":1",
            b",\"z\":",
            b"{}",
            "ö".as_bytes(),
        ];
        for from in 0..=old.len() {
            for to in from..=old.len() {
                for piece in pieces {
                    look(&with(from..to, piece));
                }
            }
        }
        // Two places at once.
        for first in 0..old.len() {
            for second in first + 1..old.len() {
                for (a, b) in [(b"1", b"2"), (b"\"", b"\""), (b"}", b"{"), (b",", b" ")] {
                    let mut new = with(first..first + 1, a);
                    new[second] = b[0];
                    look(&new);
                }
            }
        }
        assert!(found > 100);
        let place = |text: &str| {
            let at = old.windows(text.len()).position(|part| part == text.as_bytes()).unwrap();
            at..at + text.len()
        };
        for (value, new) in
            [("-1.5e3", "-1.5e30"), ("-1.5e3", "\"x\""), ("\"ü\"", "\"\""), ("null ", "true,\"m\": 1, \"o\":\"p\"")]
        {
            assert!(still(&with(place(value), new.as_bytes())), "{new}");
        }
        let both = with(place("-1.5e3"), b"7");
        assert!(still(&both) && still(old));
        assert!(!still(&with(place("\"a\""), b"\"q\"")), "another key is for the whole check");
        assert!(!still_valid(&Outline::of(b"{}").unwrap(), b"{}", b"{\"a\":1}"));
    }

    #[test]
    fn it_goes_no_deeper_than_allowed() {
        for (open, close) in [("[", "]"), ("{\"a\":[", "]}")] {
            for count in [63, 64, 65, 127, 128, 129] {
                let text = open.repeat(count) + "1" + &close.repeat(count);
                let depth = count * open.matches(['{', '[']).count();
                assert_eq!(surely(text.as_bytes()), depth <= MAX_DEPTH, "{depth}");
            }
        }
    }

    #[test]
    fn check_refuses_what_a_cluster_would() {
        for bad in ["", "{", "{\"a\":tru}", "{\"a\":01}", "{} x", "[1}"] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(check(b"{\"a\":\"\xff\"}").is_err());
        assert!(check(("[".repeat(129) + &"]".repeat(129)).as_bytes()).is_err());
        assert!(check(("[".repeat(128) + &"]".repeat(128)).as_bytes()).is_ok());
        assert!(check(br#"{"a":"\ud800","n":1e400}"#).is_ok());
    }
}
