use super::*;

fn written(text: &str) -> String {
    String::from_utf8(canonical(text.as_bytes(), 500).unwrap()).unwrap()
}

fn refused(text: impl AsRef<[u8]>) -> (usize, String) {
    let Refusal { reason, at } = canonical(text.as_ref(), 500).unwrap_err();
    (at, reason)
}

#[test]
fn what_is_read_is_written_in_the_plainest_form() {
    for (text, plain) in [
        (" {} ", "{}"),
        ("[ ]", "[]"),
        (
            "\u{feff} /* x */ {\"a\" : [ 1 , -0.50e+3,true,false,null ] } // end",
            r#"{"a":[1,-0.50e+3,true,false,null]}"#,
        ),
        ("{\"a\"/*x*/:/*/1*/1/**/,//y\r\"b\":{\n}}", r#"{"a":1,"b":{}}"#),
        (r#""tru\u0065 \/ \u00e9 \u2028 \ud83d\ude00""#, "\"true / é \u{2028} 😀\""),
        (
            r#""\u0022 \u005c \u000a\u0001\u001f\b\f\n\r\t\"\\ \u007f""#,
            "\"\\\" \\\\ \\n\\u0001\\u001f\\b\\f\\n\\r\\t\\\"\\\\ \u{7f}\"",
        ),
        ("12345678901234567890123456789", "12345678901234567890123456789"),
        ("-0", "-0"),
        ("\"\"", "\"\""),
        (r#"[{"a":1},{"a":1,"b":{"a":2,"c":{"a":3}}}]"#, r#"[{"a":1},{"a":1,"b":{"a":2,"c":{"a":3}}}]"#),
    ] {
        assert_eq!(written(text), plain);
        assert_eq!(written(plain), plain);
    }
}

#[test]
fn keys_that_mean_the_same_are_refused_at_any_level() {
    for (text, at) in [
        (r#"{"a":1,"a":2}"#, 7),
        (r#"{"a":1,"\u0061":2}"#, 7),
        (r#"[{"x":{"a":1,"b":{"a":1},"a":2}}]"#, 25),
        (r#"{"é":1,"\u00e9":2}"#, 8),
        (r#"{"\n":1,"\u000a":2}"#, 8),
    ] {
        let (found, reason) = refused(text);
        assert_eq!(found, at, "{text}");
        assert!(reason.starts_with("Duplicate Object property \""), "{reason}");
    }
    let many = |last: &str| {
        let members: Vec<String> = (0..100).map(|i| format!("\"k{i}\":{i}")).collect();
        format!("{{{},\"{last}\":1}}", members.join(","))
    };
    assert_eq!(written(&many("k100")), many("k100"));
    assert_eq!(
        refused(many("k\\u0037")),
        (many("k7").rfind("\"k7").unwrap(), "Duplicate Object property \"k7\"".to_owned())
    );
}

#[test]
fn everything_else_is_refused_with_its_place() {
    for (text, at) in [
        ("", 0),
        (" ", 1),
        ("{", 0),
        ("[1", 0),
        ("{\"a\"", 0),
        ("{\"a\":", 0),
        ("\"a", 0),
        ("[1,]", 3),
        ("{\"a\":1,}", 7),
        ("[1,,2]", 3),
        ("{a:1}", 1),
        ("{'a':1}", 1),
        ("'a'", 0),
        ("NaN", 0),
        ("Infinity", 0),
        ("-Infinity", 0),
        ("+1", 0),
        ("01", 0),
        ("-01", 0),
        (".5", 0),
        ("5.", 0),
        ("1e", 0),
        ("-", 0),
        ("[1x]", 2),
        ("True", 0),
        ("trux", 0),
        ("[truex]", 5),
        ("{} x", 3),
        ("{}{}", 2),
        ("1 2", 2),
        ("/", 0),
        ("/* ", 0),
        ("/*/", 0),
        ("/* \u{1} */1", 3),
        ("// \u{1}\n1", 3),
        ("#x\n1", 0),
        ("\"\t\"", 1),
        ("\"\\x41\"", 1),
        ("\"\\'\"", 1),
        ("\"\\u00g0\"", 1),
        ("\"\\u00\"", 1),
        ("\"\\", 1),
        ("\"\\ud800\"", 1),
        ("\"\\udc00\"", 1),
        ("\"\\ud800\\ud800\"", 1),
        ("{\"\\ud800\":1}", 2),
        ("\u{c}1", 0),
        ("\u{a0}1", 0),
        ("\u{feff}\u{feff}1", 3),
        (" \u{feff}1", 1),
        ("[1}", 2),
        ("{\"a\":1]", 6),
        ("{\"a\" 1}", 5),
        ("{1:1}", 1),
        ("[1 2]", 3),
        ("]", 0),
    ] {
        assert_eq!(refused(text).0, at, "{text}: {}", refused(text).1);
    }
    for (text, at) in [
        (&b"\"\xc0\xaf\""[..], 1),
        (b"\"\xed\xa0\x80\"", 1),
        (b"\"\xf4\x90\x80\x80\"", 1),
        (b"/*\xff*/1", 2),
        (b"{\"\xc1\xa1\":1}", 2),
        (b"{\0}\0", 0),
        (b"\0{\0}", 0),
        (b"\xff\xfe{\0", 0),
        (b"\xfe\xff\0{", 0),
    ] {
        assert_eq!(refused(text).0, at);
    }
}

#[test]
fn limits_are_those_of_the_cluster() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(written(&nested(500)), nested(500));
    assert_eq!(refused(nested(501)), (500, "nested deeper than 500 levels".to_owned()));
    for (good, bad) in [
        ("1".repeat(1000), "1".repeat(1001)),
        (format!("-1.{}", "1".repeat(999)), format!("-1.{}", "1".repeat(1000))),
        (format!("1e{}", "1".repeat(999)), format!("1e{}", "1".repeat(1000))),
        (format!("{{\"{}\":1}}", "k".repeat(50_000)), format!("{{\"{}\":1}}", "k".repeat(50_001))),
    ] {
        assert_eq!(written(&good), good);
        refused(bad);
    }
}

/// Every text of up to six of these pieces: what is taken, serde takes, too, and means the same.
#[test]
fn what_it_takes_is_json() {
    let pieces = ["{", "}", "[", "]", ",", ":", "\"a\"", "\"\\u0061\"", "-0.5e+3", "null", " "];
    let mut texts: Vec<String> = vec![String::new()];
    let mut taken = 0;
    for _ in 0..5 {
        texts = texts.iter().flat_map(|text| pieces.iter().map(move |piece| format!("{text}{piece}"))).collect();
        for text in &texts {
            let serde = serde_json::from_str::<serde_json::Value>(text);
            match canonical(text.as_bytes(), 500) {
                Ok(plain) => {
                    assert_eq!(plain, serde_json::to_vec(&serde.unwrap()).unwrap(), "{text}");
                    taken += 1;
                }
                Err(why) => assert!(serde.is_err() || why.reason.starts_with("Duplicate"), "{text}"),
            }
        }
    }
    assert!(taken > 100);
}
