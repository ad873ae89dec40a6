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
            assert_eq!(is_valid(text.as_bytes()), serde_takes(text.as_bytes()), "{text}");
        }
        texts = longer;
    }
    let document = r#"{"s":"x\\\"y\u00e9 a long text of more than sixteen","n":[0,-1,1.5,2E-7,01],"o":{"t":true,"f":false,"z":null},"e":[{},[]]}"#;
    for at in 0..document.len() {
        for byte in 0u8..128 {
            let mut text = document.replace("01", "10").into_bytes();
            text[at] = byte;
            assert_eq!(is_valid(&text), serde_takes(&text), "{}", String::from_utf8_lossy(&text));
        }
        assert_eq!(is_valid(&document.as_bytes()[..at]), serde_takes(&document.as_bytes()[..at]));
    }
}

#[test]
fn the_members_it_notes_are_those_of_the_object_index() {
    let pieces = ["{", "}", "[", "]", ",", ":", "\"a\"", "\"b\" ", "1", "null", " "];
    let mut texts: Vec<String> = vec!["{".to_owned(), " {".to_owned()];
    let mut objects = 0;
    for _ in 0..5 {
        texts = texts.iter().flat_map(|text| pieces.iter().map(move |piece| format!("{text}{piece}"))).collect();
        for text in texts.iter().map(String::as_bytes) {
            let index = validate_and_index(text, Vec::new());
            assert_eq!(index.is_ok(), check_object(text).is_ok());
            if let Ok(index) = index {
                assert_eq!(index, ObjectIndex::of(text), "{}", String::from_utf8_lossy(text));
                objects += 1;
            }
        }
    }
    assert!(objects > 20);
    let text = br#" {"a" : {"x":[1,{"y":2}]} , "b":"c\"d", "a": 1.5 } "#;
    assert_eq!(
        validate_and_index(text, vec![MemberSpan { key: 9, key_end: 9, value: 9, value_end: 9 }]),
        Ok(ObjectIndex::of(text))
    );
}

#[test]
fn what_is_still_valid_is_valid() {
    let old = " {\"a\" : \"x\\\"y\", \"b\":{\"c\":[1,\"d\"]},\"n\":-1.5e3,\"é\":\"ü\",\"w\":null } \n".as_bytes();
    let index = ObjectIndex::of(old).unwrap();
    let still = |new: &[u8]| validate_edit(&index, old, new);
    let with = |range: std::ops::Range<usize>, piece: &[u8]| [&old[..range.start], piece, &old[range.end..]].concat();
    let mut found = 0;
    let mut compare = |new: &[u8]| {
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
                compare(&with(from..to, piece));
            }
        }
    }
    // Two places at once.
    for first in 0..old.len() {
        for second in first + 1..old.len() {
            for (a, b) in [(b"1", b"2"), (b"\"", b"\""), (b"}", b"{"), (b",", b" ")] {
                let mut new = with(first..first + 1, a);
                new[second] = b[0];
                compare(&new);
            }
        }
    }
    assert!(found > 100);
    let range = |text: &str| {
        let at = old.windows(text.len()).position(|part| part == text.as_bytes()).unwrap();
        at..at + text.len()
    };
    for (value, new) in
        [("-1.5e3", "-1.5e30"), ("-1.5e3", "\"x\""), ("\"ü\"", "\"\""), ("null ", "true,\"m\": 1, \"o\":\"p\"")]
    {
        assert!(still(&with(range(value), new.as_bytes())), "{new}");
    }
    let both = with(range("-1.5e3"), b"7");
    assert!(still(&both) && still(old));
    assert!(!still(&with(range("\"a\""), b"\"q\"")), "another key is for the whole check");
    assert!(!validate_edit(&ObjectIndex::of(b"{}").unwrap(), b"{}", b"{\"a\":1}"));
}

#[test]
fn it_goes_no_deeper_than_allowed() {
    for (open, close) in [("[", "]"), ("{\"a\":[", "]}")] {
        for count in [63, 64, 65, 127, 128, 129] {
            let text = open.repeat(count) + "1" + &close.repeat(count);
            let depth = count * open.matches(['{', '[']).count();
            assert_eq!(is_valid(text.as_bytes()), depth <= MAX_DEPTH, "{depth}");
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
