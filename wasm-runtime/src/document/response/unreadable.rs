//! Hits that nobody can read: taken out of a response, so that one stored document is not everybody's failed search.
//!
//! The cluster copies a document's source into the response byte for byte, as it was sent: with comments, a byte order mark,
//! overlong UTF-8, in UTF-16 or UTF-32, nested deeper than we go. The frame around it is the cluster's own. So the frame is
//! found by reading sources as leniently as the cluster reads them, and then each hit is checked alone.

use std::ops::Range;

use crate::json::validate;
use crate::json::{skip_string, skip_ws};

/// A response without the hits that nobody can read.
pub(crate) struct Sifted {
    pub(crate) text: Vec<u8>,
    /// The hits of the main list that were taken out, with their places in it.
    pub(crate) taken: Vec<(usize, Vec<u8>)>,
    /// How many were taken out of the lists of aggregations.
    pub(crate) elsewhere: usize,
}

/// One list of hits.
struct List {
    main: bool,
    array: Range<usize>,
    hits: Vec<Range<usize>>,
}

/// Whether `text`, one JSON value of ours, is what everybody reads in the same way.
pub(crate) fn is_clean(text: &[u8]) -> bool {
    validate::check(text).is_ok() && !has_lone_surrogate(text)
}

/// Whether an escape in a JSON text is half of a surrogate pair.
pub(crate) fn has_lone_surrogate(text: &[u8]) -> bool {
    let unit = |at: usize| -> Option<u16> {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut at = 0;
    while let Some(next) = text.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += next;
        at += match unit(at) {
            None => 2,
            Some(0xd800..=0xdbff) if unit(at + 6).is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) => 12,
            Some(0xd800..=0xdfff) => return true,
            Some(_) => 6,
        };
    }
    false
}

/// `text` without the hits that cannot be read; `None` if its frame cannot be read either, or nothing is wrong with its hits.
pub(crate) fn sift(text: &[u8]) -> Option<Sifted> {
    let mut lists = Vec::new();
    find_lists(text, &mut lists)?;
    lists.sort_by_key(|list| list.array.start);
    let mut sifted = Sifted { text: Vec::with_capacity(text.len()), taken: Vec::new(), elsewhere: 0 };
    let mut from = 0;
    for list in &lists {
        let (good, bad): (Vec<_>, Vec<_>) =
            list.hits.iter().enumerate().partition(|(_, hit)| is_clean(&text[(*hit).clone()]));
        if bad.is_empty() {
            continue;
        }
        if list.main {
            sifted.taken = bad.into_iter().map(|(at, hit)| (at, text[hit.clone()].to_vec())).collect();
        } else {
            sifted.elsewhere += bad.len();
        }
        sifted.text.extend_from_slice(&text[from..=list.array.start]);
        let kept: Vec<&[u8]> = good.into_iter().map(|(_, hit)| &text[hit.clone()]).collect();
        sifted.text.extend_from_slice(&kept.join(&b','));
        from = list.array.end - 1;
    }
    sifted.text.extend_from_slice(&text[from..]);
    (from > 0).then_some(sifted)
}

/// `text`, a response, with hits that were taken out of it in their places, as far as there are as many.
pub(crate) fn restore(text: &[u8], taken: &[(usize, Vec<u8>)]) -> Option<Vec<u8>> {
    let array = members(text, skip_ws(text, 0))?.into_iter().find_map(|(key, value)| hits_in(text, key, value))?;
    let mut hits: Vec<&[u8]> = items(text, array.start)?.into_iter().map(|hit| &text[hit]).collect();
    for (at, hit) in taken {
        hits.insert((*at).min(hits.len()), hit);
    }
    Some([&text[..=array.start], &hits.join(&b','), &text[array.end - 1..]].concat())
}

fn find_lists(text: &[u8], lists: &mut Vec<List>) -> Option<()> {
    for (key, value) in members(text, skip_ws(text, 0))? {
        if let Some(array) = hits_in(text, key.clone(), value.clone()) {
            lists.push(List { main: true, hits: items(text, array.start)?, array });
        } else if matches!(&text[key], b"aggregations" | b"aggs") {
            in_aggregations(text, value, 0, lists)?;
        }
    }
    Some(())
}

/// The list `hits` in the value of a member `hits`.
fn hits_in(text: &[u8], key: Range<usize>, value: Range<usize>) -> Option<Range<usize>> {
    if &text[key] != b"hits" {
        return None;
    }
    let inner = members(text, value.start)?.into_iter().find(|(key, _)| &text[key.clone()] == b"hits")?.1;
    (text[inner.start] == b'[').then_some(inner)
}

fn in_aggregations(text: &[u8], value: Range<usize>, depth: usize, lists: &mut Vec<List>) -> Option<()> {
    if depth > validate::MAX_DEPTH {
        return None;
    }
    match text[value.start] {
        b'{' => {
            for (key, inner) in members(text, value.start)? {
                match hits_in(text, key, inner.clone()) {
                    Some(array) => lists.push(List { main: false, hits: items(text, array.start)?, array }),
                    None => in_aggregations(text, inner, depth + 1, lists)?,
                }
            }
        }
        b'[' => {
            for inner in items(text, value.start)? {
                in_aggregations(text, inner, depth + 1, lists)?;
            }
        }
        _ => {}
    }
    Some(())
}

/// (key, value) of each member of the object at `at`, whose own marks are the cluster's.
fn members(b: &[u8], at: usize) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let mut all = Vec::new();
    each(b, at, b'{', b'}', |at| {
        (b.get(at) == Some(&b'"')).then_some(())?;
        let key = at + 1..skip_string(b, at)? - 1;
        let colon = skip_ws(b, key.end + 1);
        (b.get(colon) == Some(&b':')).then_some(())?;
        let value = value_at(b, colon + 1)?;
        all.push((key, value.clone()));
        Some(value.end)
    })?;
    Some(all)
}

/// Each element of the array at `at`.
fn items(b: &[u8], at: usize) -> Option<Vec<Range<usize>>> {
    let mut all = Vec::new();
    each(b, at, b'[', b']', |at| {
        let value = value_at(b, at)?;
        all.push(value.clone());
        Some(value.end)
    })?;
    Some(all)
}

/// Calls `take` where each piece of the container at `at` begins; it gives where that ends.
fn each(b: &[u8], at: usize, open: u8, close: u8, mut element: impl FnMut(usize) -> Option<usize>) -> Option<()> {
    (b.get(at) == Some(&open)).then_some(())?;
    let mut at = skip_ws(b, at + 1);
    if b.get(at) == Some(&close) {
        return Some(());
    }
    loop {
        at = skip_ws(b, element(at)?);
        match *b.get(at)? {
            b',' => at = skip_ws(b, at + 1),
            c => return (c == close).then_some(()),
        }
    }
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The value that begins at or behind `at`, a byte order mark before it included, as the cluster reads stored sources.
fn value_at(b: &[u8], at: usize) -> Option<Range<usize>> {
    let start = skip_ws(b, at);
    let first = if b[start..].starts_with(BOM) { skip_ws(b, start + BOM.len()) } else { start };
    Some(start..value_end(b, first, width_at(b, first))?)
}

/// Bytes of a character of the value at `at`: objects in UTF-16 and UTF-32 show themselves.
fn width_at(b: &[u8], at: usize) -> usize {
    match b.get(at..at + 4) {
        Some([b'{', 0, 0, 0]) => 4,
        Some([b'{', 0, ..]) => 2,
        _ => 1,
    }
}

/// Index behind the value at `at`, of characters of `width` bytes.
fn value_end(b: &[u8], mut at: usize, width: usize) -> Option<usize> {
    // Of wider characters those count that are ASCII.
    let char_at = |at: usize| {
        let unit = b.get(at..at + width)?;
        Some(if unit[1..].iter().all(|byte| *byte == 0) { unit[0] } else { 0xff })
    };
    let mut depth = 0usize;
    loop {
        match char_at(at)? {
            b'"' => {
                at += width;
                loop {
                    match char_at(at)? {
                        b'"' => break,
                        b'\\' => at += 2 * width,
                        _ => at += width,
                    }
                }
            }
            b'/' => {
                let block = char_at(at + width)? == b'*';
                at += 2 * width;
                while !(if block {
                    char_at(at)? == b'*' && char_at(at + width)? == b'/'
                } else {
                    matches!(char_at(at)?, b'\n' | b'\r')
                }) {
                    at += width;
                }
                at += if block { width } else { 0 };
                at += width;
                continue;
            }
            b'{' if width == 1 && width_at(b, at) > 1 => {
                at = value_end(b, at, width_at(b, at))?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += width;
        // A word or a number ends where what is around it goes on.
        if depth == 0
            && (matches!(b[at - width], b'"' | b'}' | b']')
                || matches!(char_at(at)?, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
        {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str, width: usize) -> Vec<u8> {
        text.bytes().flat_map(|byte| std::iter::once(byte).chain(std::iter::repeat_n(0, width - 1))).collect()
    }

    fn poison() -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = [
            &b"{/* \" { */\"a\":1}"[..],
            b"{\"a\":1 // x \" {\n}",
            b"\xef\xbb\xbf{\"a\":1}",
            b"{\"a\":\"\xc0\xaf\"}",
            br#"{"a":"\ud800"}"#,
            br#"{"a":"x\\\udc00"}"#,
        ]
        .map(<[u8]>::to_vec)
        .to_vec();
        all.push(format!("{{\"a\":{}{}}}", "[".repeat(900), "]".repeat(900)).into_bytes());
        for width in [2, 4] {
            all.push(wide(r#"{"a":"x\"y"}"#, width));
            all.push(wide(r#"{"a":"x\"y","b":[1,{}]/* ] */}"#, width));
        }
        let mut mixed = wide(r#"{"a":"x"#, 2);
        mixed.extend([0x5c, 0x22]);
        mixed.extend(wide("\"}", 2));
        all.push(mixed);
        all
    }

    fn response(sources: &[&[u8]]) -> Vec<u8> {
        let hit = |source: &&[u8]| {
            [br#"{"_index":"i","_id":"1","_score":1.0,"_source":"#.as_slice(), source, b",\"sort\":[1, null]}"].concat()
        };
        let hits = sources.iter().map(hit).collect::<Vec<_>>().join(&b',');
        let top =
            [br#"{"t":{"top":{"hits":{"total":1,"hits":["#.as_slice(), &hits, b"]}},\"buckets\":[{\"key\":\"x\"}]}}"]
                .concat();
        [br#"{"took":1,"hits":{"total":{"value":2},"hits":["#.as_slice(), &hits, b"]}, \"aggregations\":", &top, b"}"]
            .concat()
    }

    #[test]
    fn what_cannot_be_read_is_taken_out_and_put_back() {
        let good: &[u8] = br#"{"a":"\ud83d\ude00 \\ud800","b":[{}]}"#;
        for bad in poison() {
            let text = response(&[&bad, good, &bad]);
            let sifted = sift(&text).expect("its frame is found");
            assert_eq!(sifted.text, response(&[good]), "{}", String::from_utf8_lossy(&bad));
            assert_eq!((sifted.taken.iter().map(|(at, _)| *at).collect::<Vec<_>>(), sifted.elsewhere), (vec![0, 2], 2));
            assert!(is_clean(&sifted.text));
            let back = restore(&sifted.text, &sifted.taken).unwrap();
            assert_eq!(items(&back, hits_of(&back).start).unwrap().len(), 3);
            assert!(back.windows(bad.len()).any(|part| part == bad));
            let last = [br#"{"hits":{"hits":[{"_source":"#.as_slice(), &bad, b"},{\"_source\":{}}]}}"].concat();
            assert_eq!(sift(&last).unwrap().text, br#"{"hits":{"hits":[{"_source":{}}]}}"#);
        }
        assert!(sift(&response(&[good, good])).is_none());
        assert!(sift(&response(&[])).is_none());
    }

    fn hits_of(text: &[u8]) -> Range<usize> {
        members(text, 0).unwrap().into_iter().find_map(|(key, value)| hits_in(text, key, value)).unwrap()
    }

    #[test]
    fn what_is_no_response_is_left_alone() {
        for text in [
            "",
            "{",
            "[1]",
            "{\"hits\":{\"hits\":[",
            "{\"hits\":{\"hits\":[{]}}",
            "{\"hits\":{\"hits\":[1,/*",
            "{\"hits\":1}",
            "{\"hits\":{\"hits\":[\"a]}}",
        ] {
            assert!(sift(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn halves_of_pairs_are_seen() {
        for (text, lone) in [
            (r"\ud800", true),
            (r"\ud83d\ude00", false),
            (r"\\ud800", false),
            (r"\\\uDFFF", true),
            (r"\ud800\ud83d\ude00", true),
            (r"\u00e9\n", false),
            (r"\u", false),
        ] {
            assert_eq!(has_lone_surrogate(text.as_bytes()), lone, "{text}");
        }
    }
}
