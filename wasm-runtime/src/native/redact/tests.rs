//! Each detector on what it finds and on what only looks like it.

use super::*;
use crate::native::Native;

fn redacted(parameters: &str, text: &str) -> String {
    let mut redact: Redact = serde_json::from_str(parameters).unwrap();
    redact.prepare().unwrap();
    let doc = format!("{{\"m\":{}}}", serde_json::to_string(text).unwrap());
    let hidden = match redact.apply(doc.as_bytes().into(), &mut Meta::default()).unwrap() {
        Effect::Unchanged => doc,
        Effect::Replaced(text) => String::from_utf8(text).unwrap(),
        effect => panic!("{effect:?}"),
    };
    let value: serde_json::Value = serde_json::from_str(&hidden).unwrap();
    value["m"].as_str().unwrap().to_owned()
}

#[test]
fn finds_what_is_personal() {
    let cases = [
        ("write to ann.o'neil+x@mail.example.co.uk.", "write to <email>."),
        ("<ann@example.org>,bob@example.org", "<<email>>,<email>"),
        ("card 4111 1111 1111 1111 exp 12/27", "card <credit_card> exp 12/27"),
        ("paid by 378282246310005", "paid by <credit_card>"),
        ("5555-5555-5555-4444", "<credit_card>"),
        ("4111111111111111 123", "<credit_card> 123"),
        ("4111111111111111 12/29", "<credit_card> 12/29"),
        ("4111111111111111,5500005555555559", "<credit_card>,<credit_card>"),
        ("4111111111111111 5500005555555559", "<credit_card> <credit_card>"),
        ("pay 4111 1111 1111 1111 100 EUR", "pay <credit_card> 100 EUR"),
        ("+1-202-555-0143 22", "<phone> 22"),
        ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN <iban>."),
        ("GB82WEST12345698765432", "<iban>"),
        ("call +1 (415) 555-2671 now", "call <phone> now"),
        ("+44 (0)20 7946 0958", "<phone>"),
        ("+49 30 901820", "<phone>"),
        ("from 203.0.113.7:8080", "from <ip>:8080"),
        ("[2001:db8::8a2e:370:7334]:443", "[<ip>]:443"),
        ("http://10.1.2.3/x", "http://<ip>/x"),
        ("at 3c:22:fb:01:02:03", "at <mac>"),
        ("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "Authorization: Bearer <jwt>"),
        ("key=AKIAIOSFODNN7EXAMPLE;", "key=<secret_key>;"),
        ("日本4111111111111111語", "日本<credit_card>語"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n", "<secret_key>\n"),
    ];
    for (text, expected) in cases {
        assert_eq!(redacted("{}", text), expected, "{text}");
    }
}

#[test]
fn leaves_what_only_looks_so() {
    let cases = [
        "order 4111111111111111",
        "4111111111111112",
        "1700000000000",
        "550e8400-e29b-41d4-a716-446655440000",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "2023-11-09T12:34:56.789+01:00",
        "12:34:56",
        "Mozilla/5.0 Chrome/120.0.0.0 Safari/537.36",
        "version 1.2.3.4",
        "127.0.0.1 and ::1 and 0.0.0.0",
        "std::vector<int>::iterator",
        "logo@2x.png and @scope/name and user@host",
        "+20231109123456",
        "SHA256:AA:BB:CC:DD:EE:FF:00:11",
        "1.3.6.1.4.1.311",
        "eyJub3QiOiJhIGhlYWRlciJ9.e30.x",
        "git@github.com:a/b.git",
        "0.4111111111111111",
        "GB00WEST12345698765432",
    ];
    for text in cases {
        assert_eq!(redacted("{}", text), text);
    }
}

#[test]
fn acts_as_it_is_told() {
    let card = "card 4111111111111111";
    assert_eq!(redacted(r#"{"mask": "XX", "keep_last": 4}"#, card), "card XX1111");
    assert_eq!(redacted(r#"{"action": "remove"}"#, card), "card ");
    let hash = redacted(r#"{"action": "hash", "secret": "s"}"#, card);
    assert_eq!((hash.len(), &hash), (21, &redacted(r#"{"action": "hash", "secret": "s"}"#, card)));
    assert_ne!(hash, redacted(r#"{"action": "hash", "secret": "t"}"#, card));
    let token = redacted(r#"{"action": "token", "secret": "s"}"#, "Ann.Lee@example.com");
    assert_ne!(token, "Ann.Lee@example.com");
    let form = |text: &str| {
        text.chars()
            .map(|c| {
                if c.is_ascii_uppercase() {
                    'A'
                } else if c.is_ascii_lowercase() {
                    'a'
                } else {
                    c
                }
            })
            .collect::<String>()
    };
    assert_eq!(form(&token), "Aaa.Aaa@aaaaaaa.aaa");
    assert_eq!(redacted(r#"{"allow": ["4111111111111111"]}"#, card), card);
    assert_eq!(redacted(r#"{"deny": ["project x"]}"#, "on project x today"), "on <denied> today");
    assert_eq!(redacted(r#"{"detectors": ["email"]}"#, card), card);
    assert_eq!(redacted(r#"{"min_confidence": 1}"#, "4111111111111111"), "4111111111111111");
}

#[test]
fn searches_the_fields_that_it_is_told() {
    let doc = br#"{"a":{"b":"x@example.com","c":["y@example.com",{"d":"z@example.com"}]},"e.f":"w@example.com","v@example.com":1,"card":4111111111111111,"n":4111111111111111}"#;
    let run = |parameters: &str| {
        let mut redact: Redact = serde_json::from_str(parameters).unwrap();
        redact.prepare().unwrap();
        match redact.apply(doc.as_slice().into(), &mut Meta::default()).unwrap() {
            Effect::Replaced(text) => String::from_utf8(text).unwrap(),
            _ => String::from_utf8(doc.to_vec()).unwrap(),
        }
    };
    let all = run("{}");
    assert_eq!(all.matches("<email>").count(), 4);
    assert!(all.contains(r#""card":"<credit_card>","n":4111111111111111"#));
    assert_eq!(run(r#"{"fields": ["a.c"]}"#).matches("<email>").count(), 2);
    assert_eq!(run(r#"{"fields": ["e.f"]}"#).matches("<email>").count(), 1);
    assert_eq!(run(r#"{"except": ["a.c"]}"#).matches("<email>").count(), 2);
    assert!(run(r#"{"keys": true}"#).contains(r#""<email>":1"#));
    assert!(run(r#"{"numbers": false}"#).contains(r#""card":4111111111111111"#));
    let by_field = r#"{"credit_card":{"card":1},"email":{"a.b":1,"a.c":1,"a.c.d":1,"e.f":1}}}"#;
    let report = run(r#"{"report": "found", "report_fields": true}"#);
    assert!(report.ends_with(by_field), "{report}");
    assert!(run(r#"{"report": "found.here"}"#).ends_with(r#""found":{"here":{"email":4,"credit_card":1}}}"#));
}

#[test]
fn half_a_surrogate_pair_hides_nothing_from_it() {
    let run = |doc: &str, parameters: &str| {
        let mut redact: Redact = serde_json::from_str(parameters).unwrap();
        redact.prepare().unwrap();
        match redact.apply(doc.as_bytes().into(), &mut Meta::default()).unwrap() {
            Effect::Replaced(text) => String::from_utf8(text).unwrap(),
            _ => doc.to_owned(),
        }
    };
    let expected = "{\"m\":\"<email> \u{fffd}\u{1f600} \\\" \\\\u\"}";
    assert_eq!(run(r#"{"m":"a@example.com \ud800\ud83d\ude00 \" \\u"}"#, "{}"), expected);
    assert!(run(r#"{"m\ud800":"a@example.com"}"#, r#"{"except": ["x"]}"#).contains("<email>"));
    assert!(run(r#"{"m\ud800":"a@example.com"}"#, r#"{"fields": ["mx"]}"#).contains("<email>"));
    assert_eq!(run(r#"{"m":"b \ud800"}"#, "{}"), r#"{"m":"b \ud800"}"#);
}

#[test]
fn refuses_options_that_cannot_work() {
    for (parameters, part) in [
        (r#"{"action": "token"}"#, "[secret]"),
        (r#"{"fields": ["a.*"]}"#, "[fields]"),
        (r#"{"detectors": []}"#, "[detectors]"),
        (r#"{"min_confidence": 2}"#, "[min_confidence]"),
        (r#"{"allow": [""]}"#, "[allow]"),
        (r#"{"nothing": 1}"#, "nothing"),
        (r#"{"detectors": ["denied"]}"#, "denied"),
    ] {
        let error = Native::build("redact", "document", parameters.as_bytes()).err().unwrap();
        assert!(error.contains(part), "{error}");
    }
}
