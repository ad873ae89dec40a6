use super::*;
use crate::json::scan::array::elements;
use crate::json::{self, with_view};

fn entries(text: &[u8]) -> Vec<(String, String)> {
    let index = ObjectIndex::of(text).expect("an object");
    assert_eq!(text[index.end as usize], b'}');
    index
        .members
        .iter()
        .map(|m| {
            let part = |a: u32, b: u32| String::from_utf8(text[a as usize..b as usize].to_vec()).unwrap();
            (part(m.key, m.key_end), part(m.value, m.value_end))
        })
        .collect()
}

fn walked(text: &[u8]) -> Vec<(String, String)> {
    json::Entries::new(text, skip_ws(text, 0))
        .expect("an object")
        .map(|e| {
            let part = |r: std::ops::Range<usize>| String::from_utf8(text[r].to_vec()).unwrap();
            (part(e.key), part(e.value))
        })
        .collect()
}

/// Documents with strings, escapes and brackets around the edges of blocks.
fn texts() -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = [
        "{}",
        " { } ",
        r#"{"a":1}"#,
        " {\n \"a\" : [1, {\"b\": \"]},:\"}] ,\t\"c\" : \"x\\\"y\\\\\" , \"d\":null }\n",
        r#"{"":"","a\"b":{"c":{}}}"#,
    ]
    .map(|s| s.as_bytes().to_vec())
    .to_vec();
    for pad in 0..140 {
        let filler = "x".repeat(pad);
        out.push(format!(r#"{{"k":"{filler}\\","l":[{{"m":"\"{filler},"}}],"n":{pad}}}"#).into_bytes());
        out.push(format!(r#"{{"{filler}\\\\\"":{{"a":["{{",":"]}},"z":"\\{filler}\\\\"}}"#).into_bytes());
    }
    out
}

#[test]
fn it_says_what_a_walk_says() {
    for text in texts() {
        assert_eq!(entries(&text), walked(&text), "{}", String::from_utf8_lossy(&text));
    }
}

/// The cluster's answer is read without a check: what is no JSON may say anything, but must not end the process.
#[test]
fn what_is_no_json_is_no_panic() {
    let text = br#"{ "a" : [ 1 , { "b" : "x,\"]" } ] , "c" : null }"#;
    for at in 0..text.len() {
        for byte in b"{}[]:,\"\\ x" {
            let mut odd = text.to_vec();
            odd[at] = *byte;
            for odd in [&odd[..], &odd[..at], &odd[at..]] {
                if let Some(index) = ObjectIndex::of(odd) {
                    for name in ["a", "b", "c"] {
                        assert!(index.get(odd, name).is_none_or(|found| odd.get(found.value).is_some()));
                    }
                }
                elements(odd, 0).into_iter().for_each(|range| assert!(odd.get(range).is_some()));
            }
        }
    }
    elements(b"[ , ]", 0).into_iter().for_each(|range| assert!(range.start <= range.end));
}

#[test]
fn it_follows_a_change_or_gives_up() {
    for text in texts() {
        let members = walked(&text);
        let index = ObjectIndex::of(&text).unwrap();
        let mut names: Vec<String> = members.iter().map(|(key, _)| key.clone()).filter(|k| !k.contains('\\')).collect();
        names.extend(["new".to_owned(), "q\"u\\o".to_owned()]);
        for name in names.iter().filter(|n| !n.is_empty()) {
            for value in ["1", "123", "\"x\"", "{\"a\":[1]}", "null", "\"\""] {
                let edit = json::change(&text, name, value.as_bytes()).unwrap();
                let new = edit.applied(&text);
                let mut changed = text.clone();
                edit.apply_to(&mut changed, 0);
                assert_eq!(changed, new);
                let (mut edited, mut followed) = (index.clone(), index.clone());
                assert!(edited.edited(&edit, &new));
                assert_eq!(Some(edited), ObjectIndex::of(&new));
                if followed.follow(&text, &new) {
                    assert_eq!(Some(followed), ObjectIndex::of(&new), "{}", String::from_utf8_lossy(&new));
                }
            }
        }
    }
}

#[test]
fn what_only_looks_like_a_change_of_one_value_is_not_followed() {
    let (old, new) = (br#"{"a":1,"z":2}"#, br#"{"a":1,"b":1,"z":2}"#);
    assert!(!ObjectIndex::of(old).unwrap().follow(old, new));
    let (old, new) = (br#"{"a":"x"}"#, br#"{"a":"x","b":"x"}"#);
    let mut index = ObjectIndex::of(old).unwrap();
    assert!(!index.follow(old, new) || Some(index) == ObjectIndex::of(new));
}

#[test]
fn a_view_has_the_index_of_its_own_text() {
    let text = br#" {"a":1,"b":{"a":2}} "#;
    let mut index = None;
    with_view(text, &mut index, |doc| {
        assert!(doc.index().is_none(), "made when it is asked for");
        assert_eq!(json::find(doc, "a"), Some(6..7));
        assert!(doc.index().is_some());
        assert_eq!(json::get(doc, 12, "a").map(|entry| entry.value), Some(17..18), "an object in it is walked");
        assert!(doc.trimmed().index().is_none(), "another text");
    });
    assert!(index.is_some());
    with_view(text, &mut index, |doc| assert_eq!(doc.index(), ObjectIndex::of(text).as_ref()));
    let mut none = None;
    with_view(b"[1]", &mut none, |doc| assert!(json::get(doc, 0, "a").is_none()));
    assert!(none.is_none());
}
