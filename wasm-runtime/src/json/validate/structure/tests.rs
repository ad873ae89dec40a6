use std::collections::BTreeMap;

use super::lanes::{Lanes, Portable};
use super::*;
use crate::json::index::ObjectIndex;

type Found = Option<(Outline, Vec<MemberSpan>)>;

fn by<L: Lanes>(text: &[u8]) -> Found {
    let mut members = Vec::new();
    let found = outline_by::<L, true>(text, 0, &mut members)?;
    assert_eq!(outline_by::<L, false>(text, 0, &mut Vec::new()), Some(Outline { escaped_keys: false, ..found }));
    Some((found, members))
}

/// What every kind of lanes says that this processor has.
fn found(text: &[u8]) -> Found {
    let portable = by::<Portable>(text);
    #[cfg(target_arch = "x86_64")]
    {
        assert_eq!(by::<lanes::Sse2>(text), portable, "SSE2: {}", String::from_utf8_lossy(text));
        if lanes::has_avx2() {
            let mut members = Vec::new();
            // SAFETY: the processor has what the function is compiled for.
            let found = unsafe { outline_by_avx2::<true>(text, 0, &mut members) };
            assert_eq!(found.map(|found| (found, members)), portable, "AVX2: {}", String::from_utf8_lossy(text));
        }
    }
    #[cfg(target_arch = "aarch64")]
    assert_eq!(by::<lanes::Neon>(text), portable, "NEON: {}", String::from_utf8_lossy(text));
    portable
}

/// Compares with `serde_json`, and the members with a walk over the text; tells whether it is valid.
fn compare(text: &[u8]) -> bool {
    let wanted = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    let Some((outline, members)) = found(text) else {
        assert!(!wanted, "refused: {}", String::from_utf8_lossy(text));
        return false;
    };
    // Neither looks at UTF-8.
    assert!(wanted, "accepted: {}", String::from_utf8_lossy(text));
    assert_eq!(outline.ascii, text.is_ascii());
    if std::str::from_utf8(text).is_ok() && text[0] == b'{' {
        let index = ObjectIndex::with(0, outline.end as u32, outline.escaped_keys, members);
        assert_eq!(ObjectIndex::of(text), Some(index), "{}", String::from_utf8_lossy(text));
    }
    wanted
}

/// Numbers from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

const SCALARS: [&str; 27] = [
    "0",
    "-0",
    "7",
    "-1",
    "10",
    "1.5",
    "-0.25",
    "0.0",
    "1e5",
    "-2E-7",
    "1.5e+300",
    "12345678901234567890",
    "0.1234567890123456789",
    "true",
    "false",
    "null",
    "\"\"",
    "\"a\"",
    r#""\\""#,
    r#""\"\\\"""#,
    r#""\u00e9\uD83D\ude42""#,
    "\"é🙂\"",
    r#""\/\b\f\n\r\t""#,
    "\"{[,:]}\"",
    r#""a\\\\\\\\\\""#,
    "\" \"",
    "\"true\"",
];
const WHITE: [&str; 6] = ["", "", "", " ", "\n\t", " \r  "];

/// A value, with white space anywhere.
fn value(numbers: &mut Numbers, deep: usize, out: &mut String) {
    let white = |numbers: &mut Numbers, out: &mut String| *out += numbers.of(&WHITE);
    match numbers.below(if deep == 0 { 3 } else { 6 }) {
        0 => *out += &format!("\"{}\"", numbers.of(&["x", "é", r"\\", r#"\""#]).repeat(numbers.below(70))),
        1 | 2 => *out += numbers.of(&SCALARS),
        kind => {
            let object = kind < 5;
            out.push(if object { '{' } else { '[' });
            for n in 0..numbers.below(6) {
                if n > 0 {
                    out.push(',');
                }
                white(numbers, out);
                if object {
                    let key =
                        numbers.of(&["a", "b", "", r#"\""#, r"a\\", r"\u0061", "é", "a rather long key, with {[:]}"]);
                    *out += &format!("\"{key}\"{}:{}", numbers.of(&WHITE), numbers.of(&WHITE));
                }
                value(numbers, deep - 1, out);
                white(numbers, out);
            }
            white(numbers, out);
            out.push(if object { '}' } else { ']' });
        }
    }
}

/// Documents, each with one to three bytes that are changed, taken out or put in; more with `HEADRACE_LONG_TESTS`.
#[test]
fn it_says_what_serde_says_of_documents() {
    let rounds = if std::env::var_os("HEADRACE_LONG_TESTS").is_some() { 2_000_000 } else { 20_000 };
    let odd = br#"{}[]:,"\ 0129-+.eEtrufalsn/x"#;
    let mut numbers = Numbers(33);
    let mut seen = BTreeMap::new();
    for _ in 0..rounds {
        let mut text = String::from("{\"k\":");
        value(&mut numbers, 4, &mut text);
        text += &format!("}}{}", numbers.of(&WHITE));
        assert!(compare(text.as_bytes()), "{text}");
        let mut bytes = text.into_bytes();
        for _ in 0..=numbers.below(3) {
            let at = 1 + numbers.below(bytes.len() - 1);
            let byte = if numbers.below(9) == 0 { numbers.below(256) as u8 } else { numbers.of(odd) };
            match numbers.below(3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        *seen.entry(compare(&bytes)).or_insert(0) += 1;
    }
    assert!(seen[&true] > rounds / 50 && seen[&false] > rounds / 5, "{seen:?}");
}

/// Every piece at every place of a block, and across the edge of two.
#[test]
fn the_edges_of_blocks_are_no_edges_of_tokens() {
    let pieces = [
        "1",
        "-1",
        "-",
        "10.5",
        "01",
        "1.",
        ".5",
        "1.e",
        "-.5",
        "1e5",
        "1e",
        "1e+",
        "00",
        "-01",
        "1.5.5",
        "--1",
        "1-1",
        "12e3.5",
        "true",
        "tru",
        "truee",
        "true1",
        "nul",
        "null",
        "falsé",
        "fals",
        "false",
        "\"\\u00e9\"",
        "\"\\u00g9\"",
        "\"\\u00\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"\\\"",
        "\"\\\\\"",
        "\"\\\\\\\"\"",
        "\"\t\"",
        "\"\u{0}\"",
        "[1,2]",
        "[1,,2]",
        "[,]",
        "[1,]",
        "{\"a\":1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1:2}",
        "[1 2]",
        "[1:2]",
        "{}",
        "{,}",
        "[}",
        "\"a\"\"b\"",
        "1\"a\"",
        "\"a\"1",
        "{\"a\":1,\"b\"}",
        "{\"a\",\"b\":1}",
        "{\"a\":{},\"b\":[]}",
        "{[]:1}",
        "{\"a\":1,{}}",
        "\u{1}",
        "\\",
        "",
        ":",
        ",",
        "é",
        "\"é\"",
        "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
        "0.12345678901234567890123456789012345678901234567890123456789012345678901234567890",
    ];
    let mut valid = 0;
    for piece in pieces {
        for shift in (0..70).chain(120..130) {
            for (before, fill, after) in
                [("{\"k\":", " ", "}"), ("{\"", "x", "\":#}"), ("[", "1,", "]"), ("[", " ", " ,-1]")]
            {
                let text = match after.split_once('#') {
                    Some((colon, end)) => format!("{before}{}{colon}{piece}{end}", fill.repeat(shift)),
                    None => format!("{before}{}{piece}{after}", fill.repeat(shift)),
                };
                valid += usize::from(compare(text.as_bytes()));
            }
        }
    }
    assert!(valid > 1000, "{valid}");
}

/// Runs of backslashes of all lengths, at all places of a block.
#[test]
fn backslashes_are_counted_across_blocks() {
    for shift in 0..66 {
        for count in (0..10).chain(60..70).chain(126..132) {
            for end in ["", "\"", "u00e9", "u00", "n", "x"] {
                let text = format!("{{\"{}\":\"{}{end}\"}}", "k".repeat(shift), "\\".repeat(count));
                compare(text.as_bytes());
                let key = format!("{{\"{}{}{end}\":1,\"b\":2}}", "k".repeat(shift), "\\".repeat(count));
                compare(key.as_bytes());
            }
        }
    }
}

/// Every text of up to six of these pieces behind a bracket.
#[test]
fn every_sequence_of_tokens_is_judged_as_serde_does() {
    let pieces = ["{", "}", "[", "]", ",", ":", "\"a\"", "1", "null", " "];
    let mut valid = 0;
    for first in ["{", "[", "{\"a\":[", "[{\"b\":"] {
        let mut texts = vec![first.to_owned()];
        for _ in 0..5 {
            texts = texts.iter().flat_map(|text| pieces.iter().map(move |piece| format!("{text}{piece}"))).collect();
            // All of the shorter ones, some of the longest.
            let step = if texts.len() <= 10_000 { 1 } else { 7 };
            valid += texts.iter().step_by(step).filter(|text| compare(text.as_bytes())).count();
        }
    }
    assert!(valid > 100, "{valid}");
}

#[test]
fn it_goes_no_deeper_than_allowed() {
    for (open, close) in [("[", "]"), ("{\"a\":[", "]}"), ("[ ", "\n]")] {
        for count in [63, 64, 65, 127, 128, 129] {
            let text = open.repeat(count) + "1" + &close.repeat(count);
            let depth = count * open.matches(['{', '[']).count();
            assert_eq!(found(text.as_bytes()).is_some(), depth <= MAX_DEPTH, "{depth}");
        }
    }
}
