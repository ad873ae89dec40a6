//! A response without OpenSearch's nesting, for result UDFs that ask for it: `{"total", "max_score", "hits": [{"_id",
//! "_index", "score", "_source", …}], …}`, and what the UDF did to it on its way back.
//!
//! Order and removals of hits, and changes of their `_source` and `score`, are carried back; all else stays as it was.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json::{self, DocView, Entries};

/// Members of a hit that come first, by their names in the response and in the flat form.
const FIRST: [(&str, &str); 4] = [("_id", "_id"), ("_index", "_index"), ("_score", "score"), ("_source", "_source")];
/// Members of the flat form that are made, so that those of the response with such a name are left out.
const ADDED: [&str; 3] = ["total", "max_score", "hits"];

/// The flat form of a response.
pub(crate) fn of<'d>(doc: impl Into<DocView<'d>>) -> Vec<u8> {
    let doc = doc.into();
    let text = doc.text();
    let start = json::skip_ws(text, 0);
    let list = json::get(doc, start, "hits").map(|entry| entry.value.start);
    let member = |name| list.and_then(|at| json::get(text, at, name)).map(|entry| &text[entry.value]);
    let total = member("total").map(|total| json::get(total, 0, "value").map_or(total, |entry| &total[entry.value]));
    let mut out = Object::default();
    out.push(b"total", total.unwrap_or(b"null"));
    out.push(b"max_score", member("max_score").unwrap_or(b"null"));
    let hits: Vec<Vec<u8>> = hits_of(doc).into_iter().map(|hit| flat_hit(&text[hit])).collect();
    out.push(b"hits", &[b"[".as_slice(), &hits.join(&b','), b"]"].concat());
    for entry in Entries::new(text, start).into_iter().flatten() {
        if !ADDED.iter().any(|name| json::key_is(&text[entry.key.clone()], name)) {
            out.push(&text[entry.key], &text[entry.value]);
        }
    }
    out.done()
}

fn hits_of<'d>(doc: impl Into<DocView<'d>>) -> Vec<Range<usize>> {
    let doc = doc.into();
    let text = doc.text();
    json::find(doc, "hits.hits").map(|list| json::elements(text, list.start)).unwrap_or_default()
}

fn flat_hit(hit: &[u8]) -> Vec<u8> {
    let mut out = Object::default();
    for (name, flat) in FIRST {
        if let Some(entry) = json::get(hit, 0, name) {
            out.push(flat.as_bytes(), &hit[entry.value]);
        }
    }
    for entry in Entries::new(hit, 0).into_iter().flatten() {
        let key = &hit[entry.key];
        if !FIRST.iter().any(|(name, flat)| json::key_is(key, name) || json::key_is(key, flat)) {
            out.push(key, &hit[entry.value]);
        }
    }
    out.done()
}

/// Translates an effect on the flat form `shown` of a response into one on the response.
///
/// # Errors
/// For an answer without a list of hits of this response.
pub(crate) fn carried(text: &[u8], shown: &[u8], effect: Effect) -> Result<Effect, Fault> {
    match effect.whole(shown) {
        Effect::Replaced(after) => carry(text, &after).map(Effect::Replaced),
        effect => Ok(effect),
    }
}

fn carry(text: &[u8], after: &[u8]) -> Result<Vec<u8>, Fault> {
    let list = json::get(after, json::skip_ws(after, 0), "hits").filter(|entry| after[entry.value.start] == b'[');
    let list = list.ok_or_else(|| Fault::result("with [view: flat], the UDF must answer a list of [hits]"))?;
    let mut by_key: HashMap<[Cow<'_, str>; 2], VecDeque<Range<usize>>> = HashMap::new();
    for hit in hits_of(text) {
        by_key.entry(key_of(&text[hit.clone()])).or_default().push_back(hit);
    }
    let (mut hits, mut scored) = (Vec::new(), false);
    for (at, range) in json::elements(after, list.value.start).into_iter().enumerate() {
        let given = &after[range];
        let came = by_key.get_mut(&key_of(given)).and_then(VecDeque::pop_front);
        let came = came.ok_or_else(|| {
            Fault::result(format!(
                "[hits] {at} is none of the response's: a UDF may leave hits out and order them, not add any"
            ))
        })?;
        let (hit, new_score) = changed(&text[came], given);
        scored |= new_score;
        hits.push(hit);
    }
    Ok(written(text, &hits, scored))
}

/// The key of a hit: index and id.
fn key_of(hit: &[u8]) -> [Cow<'_, str>; 2] {
    ["_index", "_id"].map(|name| {
        json::get(hit, 0, name).and_then(|entry| json::string(&hit[entry.value])).unwrap_or(Cow::Borrowed(""))
    })
}

/// A hit with the `_source` and `score` of its flat form, and whether the score is another one.
fn changed(hit: &[u8], given: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Cow::Borrowed(hit);
    let mut scored = false;
    for (name, flat) in [("_source", "_source"), ("_score", "score")] {
        let new = json::get(given, 0, flat).map(|entry| &given[entry.value]);
        let old = json::get(&out, 0, name);
        let same = old.as_ref().map(|entry| &out[entry.value.clone()]) == new;
        if same {
            continue;
        }
        scored |= name == "_score";
        out = Cow::Owned(match (old, new) {
            (Some(old), Some(new)) => json::splice(&out, old.value, new),
            (None, Some(new)) => json::insert_member(&out, 0, name, new),
            (_, None) => json::remove_member(&out, 0, name).unwrap_or_else(|| out.to_vec()),
        });
    }
    (out.into_owned(), scored)
}

/// The response with these hits; `scored`: with the best of their scores as the best of all.
fn written(text: &[u8], hits: &[Vec<u8>], scored: bool) -> Vec<u8> {
    let joined = [b"[".as_slice(), &hits.join(&b','), b"]"].concat();
    let out = json::find(text, "hits.hits").map_or_else(|| text.to_vec(), |list| json::splice(text, list, &joined));
    if !scored {
        return out;
    }
    let raw = |hit: &Vec<u8>| json::get(hit, 0, "_score").map(|entry| hit[entry.value].to_vec());
    let value = |raw: &Vec<u8>| std::str::from_utf8(raw).ok()?.parse::<f64>().ok();
    let best = hits.iter().filter_map(raw).filter(|raw| value(raw).is_some());
    let best = best.max_by(|a, b| value(a).partial_cmp(&value(b)).unwrap_or(std::cmp::Ordering::Equal));
    match json::find(&out, "hits.max_score") {
        Some(old) => json::splice(&out, old, &best.unwrap_or_else(|| b"null".to_vec())),
        None => out,
    }
}

/// An object that is being written; keys are raw texts.
#[derive(Default)]
struct Object(Vec<u8>);

impl Object {
    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.push(b'"');
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(b"\":");
        self.0.extend_from_slice(value);
    }

    fn done(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &str = r#"{"took":3,"hits":{"total":{"value":2,"relation":"eq"},"max_score":1.5,"hits":[{"_index":"i","_id":"1","_score":1.5,"_source":{"a":1},"sort":[1]},{"_index":"i","_id":"2","_score":0.5,"_source":{"a":2}}]},"aggregations":{}}"#;

    fn carried_back(after: &str) -> String {
        String::from_utf8(carry(RESPONSE.as_bytes(), after.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_response_is_shown_flat() {
        let shown = String::from_utf8(of(RESPONSE.as_bytes())).unwrap();
        assert_eq!(
            shown,
            r#"{"total":2,"max_score":1.5,"hits":[{"_id":"1","_index":"i","score":1.5,"_source":{"a":1},"sort":[1]},{"_id":"2","_index":"i","score":0.5,"_source":{"a":2}}],"took":3,"aggregations":{}}"#
        );
        assert_eq!(carried_back(&shown), RESPONSE);
        assert_eq!(of(b"{}"), br#"{"total":null,"max_score":null,"hits":[]}"#);
        assert_eq!(of(br#"{"hits":{"total":7,"hits":[]}}"#), br#"{"total":7,"max_score":null,"hits":[]}"#);
    }

    #[test]
    fn order_removals_sources_and_scores_are_carried_back() {
        let hit = r#"{"_index":"i","_id":"1","_score":1.5,"_source":{"a":1},"sort":[1]}"#;
        let two = r#"{"_index":"i","_id":"2","_score":0.5,"_source":{"a":2}}"#;
        let with = |hits: &str, best: &str| {
            RESPONSE
                .replace(&format!("{hit},{two}"), hits)
                .replace("\"max_score\":1.5", &format!("\"max_score\":{best}"))
        };
        let flat = |id: &str, score: &str, source: &str| {
            format!(r#"{{"_id":"{id}","_index":"i","score":{score},"_source":{source}}}"#)
        };
        let turned =
            format!(r#"{{"hits":[{},{}],"took":9}}"#, flat("2", "0.5", r#"{"a":2}"#), flat("1", "1.5", r#"{"a":1}"#));
        assert_eq!(carried_back(&turned), with(&format!("{two},{hit}"), "1.5"));
        assert_eq!(carried_back(r#"{"hits":[]}"#), with("", "1.5"));
        let scored = format!(r#"{{"hits":[{}]}}"#, flat("2", "7", r#"{"b":0}"#));
        let hit = two.replace("0.5", "7").replace(r#"{"a":2}"#, r#"{"b":0}"#);
        assert_eq!(carried_back(&scored), with(&hit, "7"));
        let bare = two.replace(r#","_source":{"a":2}"#, "");
        assert_eq!(carried_back(r#"{"hits":[{"_id":"2","_index":"i","score":0.5}]}"#), with(&bare, "1.5"));
    }

    #[test]
    fn hits_of_its_own_are_refused() {
        for after in [r#"{"hits":[{"_id":"3","_index":"i"}]}"#, r#"{"hits":[1]}"#, r#"{"hits":{}}"#, "{}"] {
            assert!(carry(RESPONSE.as_bytes(), after.as_bytes()).is_err(), "{after}");
        }
        let twice = r#"{"hits":[{"_id":"1","_index":"i"},{"_id":"1","_index":"i"}]}"#;
        assert!(carry(RESPONSE.as_bytes(), twice.as_bytes()).is_err());
    }
}
