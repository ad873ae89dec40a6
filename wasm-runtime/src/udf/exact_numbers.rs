//! Numbers that a UDF left alone, as they were written.
//!
//! JavaScript's numbers are doubles: a document's 9007199254740993 comes out of its JSON as 9007199254740992, and 1.0 as 1.
//! Where a number of the answer is the double of what stood at the same place, the digits of the document are put back.

use std::ops::Range;

use crate::json;

/// Digits that a double holds for sure.
const SAFE_DIGITS: usize = 15;

/// The document for a UDF whose numbers are doubles: one beyond them is the largest there is. `None`: it has no such number.
///
/// `all`: whole numbers are doubles, too.
pub(crate) fn tamed(document: &[u8], all: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut from = 0;
    numbers(document, |range| {
        let number = &document[range.clone()];
        let exponent = || number.iter().any(|c| matches!(c, b'e' | b'E'));
        let large = if number.len() > LONGEST_FINITE { all || !is_whole(number) } else { exponent() };
        if large && parsed(number).is_some_and(f64::is_infinite) {
            out.extend_from_slice(&document[from..range.start]);
            out.extend_from_slice(if number[0] == b'-' {
                b"-1.7976931348623157e308"
            } else {
                b"1.7976931348623157e308"
            });
            from = range.end;
        }
        true
    });
    if from == 0 {
        return None;
    }
    out.extend_from_slice(&document[from..]);
    Some(out)
}

fn is_whole(number: &[u8]) -> bool {
    !number.iter().any(|c| matches!(c, b'.' | b'e' | b'E'))
}

/// Digits of the longest number without an exponent that is surely a finite double.
const LONGEST_FINITE: usize = 308;

/// The double that a UDF gets for these digits.
fn double(digits: &[u8]) -> Option<f64> {
    parsed(digits).map(|value| value.clamp(f64::MIN, f64::MAX))
}

fn parsed(digits: &[u8]) -> Option<f64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The answer with the document's own digits; unchanged where nothing is to be put back.
///
/// `all`: also where only the spelling differs. Else of those numbers that are no doubles: see [`tamed`].
pub(crate) fn restore_numbers(document: &[u8], answer: Vec<u8>, all: bool) -> Vec<u8> {
    if !(if all { at_risk(document) } else { tamed(document, false).is_some() }) {
        return answer;
    }
    let (from, to) = (json::skip_ws(document, 0), json::skip_ws(&answer, 0));
    let mut found = Vec::new();
    if answer.get(to) == Some(&b'[') && document.get(from) == Some(&b'{') {
        // One document that became several.
        json::elements(&answer, to).iter().for_each(|each| compare(document, from, &answer, each.start, &mut found));
    } else {
        compare(document, from, &answer, to, &mut found);
    }
    if !all {
        found.retain(|(_, digits)| parsed(&document[digits.clone()]).is_some_and(f64::is_infinite));
    }
    if found.is_empty() {
        return answer;
    }
    let mut out = Vec::with_capacity(answer.len() + 16 * found.len());
    let mut at = 0;
    for (position, digits) in found {
        out.extend_from_slice(&answer[at..position.start]);
        out.extend_from_slice(&document[digits]);
        at = position.end;
    }
    out.extend_from_slice(&answer[at..]);
    out
}

/// Whether a number of `text` may come back with other digits: it has a fraction, an exponent, or many digits.
fn at_risk(text: &[u8]) -> bool {
    let mut found = false;
    numbers(text, |range| {
        let number = &text[range];
        found = number.len() > SAFE_DIGITS || number == b"-0" || number.iter().any(|c| matches!(c, b'.' | b'e' | b'E'));
        !found
    });
    found
}

/// Calls `see` for every number of the text, as long as it says to go on.
fn numbers(text: &[u8], mut see: impl FnMut(Range<usize>) -> bool) {
    let mut at = 0;
    while let Some(&c) = text.get(at) {
        match c {
            b'"' => match json::skip_value(text, at) {
                Some(end) => at = end,
                None => return,
            },
            b'-' | b'0'..=b'9' => {
                let end = number_end(text, at);
                if !see(at..end) {
                    return;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
}

fn number_end(text: &[u8], start: usize) -> usize {
    let digits = text[start..].iter().take_while(|c| matches!(c, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
    start + digits.count()
}

/// Notes the places in `after` (from `to`) of numbers that are the doubles of those of `before` (from `from`).
fn compare(before: &[u8], from: usize, after: &[u8], to: usize, found: &mut Vec<(Range<usize>, Range<usize>)>) {
    match (before.get(from), after.get(to)) {
        (Some(b'{'), Some(b'{')) => {
            let old: Vec<_> = json::Entries::new(before, from).into_iter().flatten().collect();
            for (n, entry) in json::Entries::new(after, to).into_iter().flatten().enumerate() {
                let same = |right: &&json::Entry| spell_alike(&before[right.key.clone()], &after[entry.key.clone()]);
                // Members mostly stay in their order.
                if let Some(right) = old.get(n).filter(same).or_else(|| old.iter().find(same)) {
                    compare(before, right.value.start, after, entry.value.start, found);
                }
            }
        }
        (Some(b'['), Some(b'[')) => {
            let pairs = json::elements(before, from).into_iter().zip(json::elements(after, to));
            pairs.for_each(|(old, new)| compare(before, old.start, after, new.start, found));
        }
        (Some(b'-' | b'0'..=b'9'), Some(b'-' | b'0'..=b'9')) => {
            let (old, new) = (from..number_end(before, from), to..number_end(after, to));
            let (was, is) = (&before[old.clone()], &after[new.clone()]);
            if was != is && double(was).is_some_and(|was| Some(was) == double(is)) {
                found.push((new, old));
            }
        }
        _ => {}
    }
}

fn spell_alike(left: &[u8], right: &[u8]) -> bool {
    let escaped = |raw: &[u8]| raw.contains(&b'\\');
    left == right || ((escaped(left) || escaped(right)) && json::unescape(left) == json::unescape(right))
}

#[cfg(test)]
mod tests {
    use super::{restore_numbers, tamed};

    fn check(document: &str, answer: &str, expected: &str) {
        let out = restore_numbers(document.as_bytes(), answer.as_bytes().to_vec(), true);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn digits_of_numbers_left_alone_come_back() {
        check(
            r#"{"id":9007199254740993,"price":1.0,"list":[1e3,{"x":-0}],"s":"1.0"}"#,
            r#"{"id":9007199254740992,"price":1,"list":[1000,{"x":0}],"s":"1.0","new":9007199254740992}"#,
            r#"{"id":9007199254740993,"price":1.0,"list":[1e3,{"x":-0}],"s":"1.0","new":9007199254740992}"#,
        );
    }

    #[test]
    fn numbers_beyond_a_double_are_the_largest_and_come_back() {
        let document = br#"{"n":1e400,"l":[-1E999,1.50],"s":"1e400","x":null}"#;
        let shown = tamed(document, false).unwrap();
        assert_eq!(
            String::from_utf8(shown.clone()).unwrap(),
            r#"{"n":1.7976931348623157e308,"l":[-1.7976931348623157e308,1.50],"s":"1e400","x":null}"#
        );
        let answer = String::from_utf8(shown).unwrap().replace("e308", "e+308").replace("1.50", "1.5");
        check(std::str::from_utf8(document).unwrap(), &answer, std::str::from_utf8(document).unwrap());
        let python = restore_numbers(document, answer.clone().into_bytes(), false);
        assert_eq!(String::from_utf8(python).unwrap(), r#"{"n":1e400,"l":[-1E999,1.5],"s":"1e400","x":null}"#);
        check(r#"{"n":1e400}"#, r#"{"n":null}"#, r#"{"n":null}"#);
        assert_eq!(tamed(br#"{"n":1e308,"m":-0.1e-400,"e":"e"}"#, true), None);
        let whole = format!("{{\"n\":{}}}", "9".repeat(400));
        assert_eq!(tamed(whole.as_bytes(), false), None);
        assert!(tamed(whole.as_bytes(), true).is_some());
    }

    #[test]
    fn changed_and_moved_numbers_stay_as_answered() {
        check(r#"{"a":1.0,"b":2.50}"#, r#"{"b":1,"a":2.5}"#, r#"{"b":1,"a":2.5}"#);
        check(r#"{"a":1.0,"b":2.50}"#, r#"{"b":2.5,"c":1}"#, r#"{"b":2.50,"c":1}"#);
        check(r#"{"a":[1.0,2.0]}"#, r#"{"a":[2]}"#, r#"{"a":[2]}"#);
    }

    #[test]
    fn keys_may_be_spelled_in_two_ways_and_one_document_become_several() {
        check(r#"{"\u00e4":1.0}"#, r#"{"ä":1}"#, r#"{"ä":1.0}"#);
        check(r#"{"a":1.0}"#, r#"[{"a":1},{"a":2}]"#, r#"[{"a":1.0},{"a":2}]"#);
    }

    #[test]
    fn what_is_no_json_is_left_alone() {
        check(r#"{"a":1.0}"#, r#"{"a":"#, r#"{"a":"#);
        check(r#"{"a":1.0"#, "", "");
    }
}
