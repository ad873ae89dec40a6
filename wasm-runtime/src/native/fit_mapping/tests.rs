//! Documents beside a mapping, without a cluster: what it says of them is measured in `tests/node/write/test_fit_mapping.py`.

use super::mapping::Mapping;
use super::{FitMapping, Fitting, fit};
use crate::document::effect::Effect;
use crate::native::support::function::Parameters as _;

const MAPPED: &str = r#"{"properties":{"n":{"type":"long"},"k":{"type":"keyword"},"t":{"type":"text"},
    "d":{"type":"date"},"i":{"type":"ip"},"b":{"type":"boolean"},"o":{"properties":{"x":{"type":"long"}}},
    "_unfit":{"type":"flat_object"},"_unfit_fields":{"type":"keyword"}}}"#;

fn fitted(mapping: &str, options: &str, documents: &[&str]) -> Vec<String> {
    let mapping: serde_json::Value = serde_json::from_str(mapping).unwrap();
    let mapping = Mapping::compile(&mapping, &serde_json::json!({"index.mapping.total_fields.limit": "30"})).unwrap();
    let mut stage: FitMapping = serde_json::from_str(options).unwrap();
    stage.prepare().unwrap();
    let (options, fitting) = (stage.options.unwrap(), Fitting::default());
    documents
        .iter()
        .map(|text| match fit(text.as_bytes().into(), &mapping, &options, &fitting, "i") {
            Ok(Effect::Replaced(new)) => String::from_utf8(new).unwrap(),
            Ok(_) => (*text).to_owned(),
            Err(fault) => fault.reason.clone(),
        })
        .collect()
}

#[test]
fn what_does_not_fit_moves() {
    let cases = [
        (r#"{"n":1,"d":"2020-01-01","k":5}"#, r#"{"n":1,"d":"2020-01-01","k":5}"#),
        (r#"{"n":"x","k":"y"}"#, r#"{"k":"y","_unfit":{"n":"x"},"_unfit_fields":["n"]}"#),
        (r#" { "n" : "x" } "#, r#" {  "_unfit":{"n":"x"},"_unfit_fields":["n"]} "#),
        (r#"{"o":5}"#, r#"{"_unfit":{"o":"5"},"_unfit_fields":["o"]}"#),
        (r#"{"n":{"a":1}}"#, r#"{"_unfit":{"n":"{\"a\":1}"},"_unfit_fields":["n"]}"#),
        (r#"{"t":{"a":1}}"#, r#"{"t":"{\"a\":1}","_unfit_fields":["t"]}"#),
        (r#"{"n":[1,"x",[2,{}]],"t":"y"}"#, r#"{"n":[1,[2]],"t":"y","_unfit":{"n":["x","{}"]},"_unfit_fields":["n"]}"#),
        (r#"{"o":{"x":"q","y":1}}"#, r#"{"o":{"y":1},"_unfit":{"o.x":"q"},"_unfit_fields":["o.x"]}"#),
        (r#"{"o.x":"q"}"#, r#"{"_unfit":{"o.x":"q"},"_unfit_fields":["o.x"]}"#),
        (r#"{"n.x":1,"a..b":2}"#, r#"{"_unfit":{"n.x":"1","a..b":"2"},"_unfit_fields":["n.x","a..b"]}"#),
        (r#"{"b":"TRUE","n":" 7 "}"#, r#"{"b":true,"n":7}"#),
        (
            r#"{"n":"x","_unfit":{"a":"1"},"_unfit_fields":["a"]}"#,
            r#"{"_unfit":{"a":"1","n":"x"},"_unfit_fields":["a","n"]}"#,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(fitted(MAPPED, "{}", &[text]), [expected], "{text}");
    }
}

#[test]
fn a_document_may_have_the_target_in_any_form() {
    let cases = [
        (r#"{"_unfit":5}"#, r#"{"_unfit":{"_unfit":"5"},"_unfit_fields":["_unfit"]}"#),
        (r#"{"k":"y","_unfit":[5,"z"]}"#, r#"{"k":"y","_unfit":{"_unfit":["5","z"]},"_unfit_fields":["_unfit"]}"#),
        (r#"{"\u005funfit":{"a":"1"},"n":"x"}"#, r#"{"\u005funfit":{"a":"1","n":"x"},"_unfit_fields":["n"]}"#),
        (
            r#"{"n":"x","_unfit":{"a":"1"},"_unfit_fields":{}}"#,
            r#"{"_unfit":{"a":"1","n":"x"},"_unfit_fields":["{}","n","_unfit_fields"]}"#,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(fitted(MAPPED, "{}", &[text]), [expected], "{text}");
    }
    let own = r#"{"properties":{"n":{"type":"long"},"_unfit_odd":{"type":"flat_object"},"_unfit_odd_fields":{"type":"keyword"}}}"#;
    let text = r#"{"_unfit_odd":{"a":"1"},"n":"x","_unfit_odd_fields":["a"]}"#;
    let expected = r#"{"_unfit_odd":{"a":"1","n":"x"},"_unfit_odd_fields":["a","n"]}"#;
    assert_eq!(fitted(own, r#"{"target":"_unfit_odd"}"#, &[text]), [expected]);
}

#[test]
fn documents_agree_on_new_fields() {
    let all = fitted(MAPPED, "{}", &[r#"{"new":1}"#, r#"{"new":{"a":1}}"#, r#"{"new":"2"}"#, r#"{"more":[1,2.5]}"#]);
    assert_eq!(all[0], r#"{"new":1}"#);
    assert_eq!(all[1], r#"{"_unfit":{"new":"{\"a\":1}"},"_unfit_fields":["new"]}"#);
    assert_eq!(all[2], r#"{"new":"2"}"#);
    assert_eq!(all[3], r#"{"more":[1.0,2.5]}"#);
    let few = fitted(MAPPED, r#"{"max_new_fields":1}"#, &[r#"{"a":1,"c":2}"#]);
    assert_eq!(few, [r#"{"a":1,"_unfit":{"c":"2"},"_unfit_fields":["c"]}"#]);
}

#[test]
fn without_a_target_values_become_lines_and_strict_mappings_stay() {
    let open = r#"{"properties":{"n":{"type":"long"}}}"#;
    assert_eq!(fitted(open, "{}", &[r#"{"n":"x"}"#]), [r#"{"_unfit":["n: x"],"_unfit_fields":["n"]}"#]);
    let strict = r#"{"dynamic":"strict","properties":{"n":{"type":"long"}}}"#;
    assert_eq!(fitted(strict, "{}", &[r#"{"n":"x"}"#]), [r#"{"n":"x"}"#]);
}

#[test]
fn options_say_what_is_done() {
    let options = r#"{"unparsable":"drop_field","object_for_scalar":"move","unknown_fields":"drop","coerce":false}"#;
    let cases = [
        (r#"{"n":"x","k":"y"}"#, r#"{"k":"y","_unfit_fields":["n"]}"#),
        (r#"{"t":{}}"#, r#"{"_unfit":{"t":"{}"},"_unfit_fields":["t"]}"#),
        (r#"{"new":1,"k":"y"}"#, r#"{"k":"y","_unfit_fields":["new"]}"#),
    ];
    for (text, expected) in cases {
        assert_eq!(fitted(MAPPED, options, &[text]), [expected], "{text}");
    }
    let failed = fitted(MAPPED, r#"{"unparsable":"fail"}"#, &[r#"{"n":"x"}"#]);
    assert_eq!(failed, ["the value of field [n] does not fit the mapping: unparsable"]);
}

#[test]
fn long_values_are_kept_in_parts() {
    let text = format!(r#"{{"k":"{}"}}"#, "é".repeat(40_000));
    let all = fitted(MAPPED, "{}", &[&text]);
    let found: serde_json::Value = serde_json::from_str(&all[0]).unwrap();
    let parts: Vec<&str> = found["_unfit"]["k"].as_array().unwrap().iter().filter_map(|part| part.as_str()).collect();
    assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= 32_766));
    assert_eq!(parts.concat(), "é".repeat(40_000));
}

#[test]
fn fields_of_types_that_only_the_cluster_judges_are_listed() {
    let mapping = serde_json::json!({"properties": {"c": {"type": "completion"}, "n": {"type": "long"},
        "o": {"properties": {"r": {"type": "date_range"}, "k": {"type": "keyword", "fields": {"c": {"type": "completion"}}}}}}});
    let mut found = Mapping::compile(&mapping, &serde_json::Value::Null).unwrap().opaque();
    found.sort();
    assert_eq!(found, ["c", "o.k", "o.r"]);
}
