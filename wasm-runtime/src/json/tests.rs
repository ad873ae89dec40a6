use std::borrow::Cow;

use super::*;

fn text(v: Vec<u8>) -> String {
    String::from_utf8(v).expect("utf-8")
}

#[test]
fn finds_nested_values_and_array_elements() {
    let doc = br#" {"a":{"b":[10,{"c":"x"}]},"a.b":1,"t":["u"]} "#;
    assert_eq!(&doc[find(doc, "a.b.1.c").unwrap()], b"\"x\"");
    assert_eq!(&doc[find(doc, "t.0").unwrap()], b"\"u\"");
    assert_eq!(find(doc, "t[0]"), None);
    assert_eq!(find(doc, "a.x"), None);
}

#[test]
fn the_last_duplicate_key_counts_and_escaped_keys_match() {
    let doc = br#"{"a":1,"\u0061":2}"#;
    assert_eq!(&doc[find(doc, "a").unwrap()], b"2");
    assert_eq!(text(remove(doc, "a").unwrap()), "{}");
}

#[test]
fn set_keeps_every_other_byte() {
    let doc = br#"{ "n": 0.10, "big":12345678901234567890 , "s":"\u00e9" }"#;
    assert_eq!(text(set(doc, "n", b"true").unwrap()), r#"{ "n": true, "big":12345678901234567890 , "s":"\u00e9" }"#);
    assert_eq!(text(set(b"{}", "a.b", b"1").unwrap()), r#"{"a":{"b":1}}"#);
    assert_eq!(text(set(br#"{"a":{}}"#, "a.b", b"1").unwrap()), r#"{"a":{"b":1}}"#);
}

#[test]
fn set_under_a_scalar_says_what_opensearch_says() {
    assert_eq!(
        set(br#"{"a":"x"}"#, "a.b", b"1").unwrap_err(),
        "cannot set [b] with parent object of type [java.lang.String] as part of path [a.b]"
    );
}

#[test]
fn remove_takes_exactly_one_comma() {
    for (doc, path, left) in [
        (r#"{"a":1,"b":2}"#, "a", r#"{"b":2}"#),
        (r#"{"a":1 , "b":2}"#, "b", r#"{"a":1 }"#),
        (r#"{"a":1}"#, "a", "{}"),
        (r#"{"l":[1,2,3]}"#, "l.1", r#"{"l":[1,3]}"#),
        (r#"{"a":1, "b" : 2,"\u0061":3,"a":4}"#, "a", r#"{"b" : 2}"#),
    ] {
        assert_eq!(text(remove(doc.as_bytes(), path).unwrap()), left, "{doc} - {path}");
    }
}

#[test]
fn many_members_are_put_as_one_by_one() {
    let keys = ["a", "b", "c", "d", "é", "x\"y"];
    for doc in ["{}", "{ }", r#" {"b" : 1 , "z":{"a":1}} "#, r#"{"a":1,"\u0061":2,"\u00e9":[]}"#] {
        for count in [0, 3, 8, 9, 40] {
            let members: Vec<(Cow<'_, str>, Vec<u8>)> =
                (0..count).map(|n| (Cow::Borrowed(keys[n * 7 % 6]), n.to_string().into_bytes())).collect();
            let slow = members.iter().fold(doc.as_bytes().to_vec(), |out, (key, value)| {
                let start = skip_ws(&out, 0);
                match get(&out, start, key) {
                    Some(old) => splice(&out, old.value, value),
                    None => insert_member(&out, start, key, value),
                }
            });
            let members: Vec<_> = members.iter().map(|(key, value)| (key.clone(), value.as_slice())).collect();
            let fast = set_members(doc.as_bytes(), skip_ws(doc.as_bytes(), 0), &members);
            assert_eq!(text(fast), text(slow), "{doc} {count}");
        }
    }
}

#[test]
fn merge_replaces_and_adds() {
    assert_eq!(text(merge(br#"{"a":1,"b":0.10}"#, br#"{"a":[2],"c":3}"#)), r#"{"a":[2],"b":0.10,"c":3}"#);
}
