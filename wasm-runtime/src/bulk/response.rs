//! The answer to a `_bulk`: the cluster's items and ours, one for each action, in the order of the request.

use std::ops::Range;

use crate::bulk::action::Op;
use crate::bulk::outcome::ActionOutcome;
use crate::bulk::parser::Action;
use crate::bulk::state::Bulk;
use crate::document::Failure;
use crate::json;
use crate::json::scan::array;
use crate::json::{DocView, LazyIndex};

/// The cluster's answer behind its `took`, where that is all of it that the client is not to see as it is: each action was
/// forwarded, as one. `None` also for an answer that does not begin as OpenSearch's do.
pub(crate) fn all_but_took<'a>(bulk: &Bulk, answer: &'a [u8]) -> Option<&'a [u8]> {
    let behind = answer.strip_prefix(b"{\"took\":")?;
    let digits = behind.iter().take_while(|c| c.is_ascii_digit()).count();
    let rest = behind[digits..].strip_prefix(b",").map(|_| &behind[digits..])?;
    bulk.actions.each_forwarded().then_some(rest)
}

/// The answer for the client; see `Bulk.merge`.
///
/// # Errors
/// If the cluster answered another number of items than were forwarded.
pub(crate) fn merged(bulk: &Bulk, answer: Option<&[u8]>, took: u64) -> Result<Vec<u8>, String> {
    let text = answer.unwrap_or(b"{\"items\":[]}");
    let Read { items: theirs, errors, ingest } =
        items_last(text).or_else(|| anywhere(text)).ok_or("the cluster's bulk response has no items")?;
    let forwarded: usize = bulk.actions.with_outcomes().map(|(_, _, outcome)| outcome.forwarded()).sum();
    if theirs.len() != forwarded {
        return Err(format!("the cluster answered {} items for {forwarded} actions", theirs.len()));
    }
    let failed = bulk.actions.with_outcomes().any(|(_, _, outcome)| matches!(outcome, ActionOutcome::Failed(_)));
    let errors = failed || errors;
    let mut out = Vec::with_capacity(text.len() + bulk.actions.list.len() * 64);
    out.extend(format!("{{\"took\":{took}").bytes());
    if let Some(ingest) = ingest {
        out.extend_from_slice(b",\"ingest_took\":");
        out.extend_from_slice(&ingest);
    }
    out.extend(format!(",\"errors\":{errors},\"items\":[").bytes());
    let mut theirs = theirs.into_iter().map(|range| &text[range]);
    for (i, action, outcome) in bulk.actions.with_outcomes() {
        if i > 0 {
            out.push(b',');
        }
        let index = bulk.targets[action.key].index.as_deref().unwrap_or("");
        let id = bulk.actions.names(i).id.as_deref();
        match outcome {
            ActionOutcome::Untouched
            | ActionOutcome::Changed { .. }
            | ActionOutcome::Updated { .. }
            | ActionOutcome::Written(_) => {
                if outcome.forwarded() == 1 {
                    out.extend_from_slice(theirs.next().unwrap_or_default());
                } else {
                    let mine: Vec<&[u8]> = theirs.by_ref().take(outcome.forwarded()).collect();
                    out.extend_from_slice(&joined(&mine));
                }
            }
            ActionOutcome::Dropped => write_noop(action, index, id, &mut out),
            ActionOutcome::Failed(failure) => write_failure(action, index, id, failure, &mut out),
        }
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// The relevant members of an answer: the positions of its items, whether one failed, and its `ingest_took`.
struct Read {
    items: Vec<Range<usize>>,
    errors: bool,
    ingest: Option<Vec<u8>>,
}

impl Read {
    /// `about`: an object with the members beside the items.
    fn new(items: Vec<Range<usize>>, about: DocView<'_>) -> Self {
        let text = about.text();
        let [errors, ingest] = ["errors", "ingest_took"].map(|name| json::find(about, name).map(|range| &text[range]));
        Self { items, errors: errors == Some(b"true"), ingest: ingest.map(<[u8]>::to_vec) }
    }
}

/// An answer as OpenSearch sends it: plain members, then the items, which are gone over only once.
fn items_last(text: &[u8]) -> Option<Read> {
    const KEY: &[u8] = b"\"items\":";
    let key = memchr::memmem::find(text, KEY)?;
    let head = text[..key].trim_ascii();
    // Where nothing is escaped the key is in no text; with one brace behind the items it is of the outermost object.
    if head.first() != Some(&b'{') || head.contains(&b'\\') || text.get(key + KEY.len()) != Some(&b'[') {
        return None;
    }
    let (items, end) = array::elements_to_end(text, key + KEY.len());
    let about = [head.strip_suffix(b",").unwrap_or(head), b"}"].concat();
    (text[end? + 1..].trim_ascii() == b"}").then(|| Read::new(items, (&about).into()))
}

/// Any other answer.
fn anywhere(text: &[u8]) -> Option<Read> {
    let lazy = LazyIndex::default();
    let doc = DocView::lazy(text, &lazy);
    let items = json::get(doc, json::skip_ws(text, 0), "items")?.value;
    Some(Read::new(json::elements(text, items.start), doc))
}

/// One item for an action: of several documents the first that failed, else the first, with their number.
fn joined(items: &[&[u8]]) -> Vec<u8> {
    let inner = |item: &[u8]| json::Entries::new(item, json::skip_ws(item, 0))?.next().map(|e| e.value.start);
    let failed = |item: &&&[u8]| inner(item).is_some_and(|at| json::get(**item, at, "error").is_some());
    let Some(shown) = items.iter().find(failed).or(items.first()) else { return Vec::new() };
    match inner(shown) {
        Some(at) if items.len() > 1 => json::insert_member(shown, at, "expanded", items.len().to_string().as_bytes()),
        _ => shown.to_vec(),
    }
}

fn write_head(action: &Action, index: &str, out: &mut Vec<u8>) {
    for part in ["{\"", action.op.name(), "\":{\"_index\":"] {
        out.extend_from_slice(part.as_bytes());
    }
    json::write_quoted(index, out);
}

/// A dropped document, as OpenSearch's own ingest answers it.
fn write_noop(action: &Action, index: &str, id: Option<&str>, out: &mut Vec<u8>) {
    write_head(action, index, out);
    out.extend_from_slice(b",\"_id\":");
    json::write_quoted(id.unwrap_or("auto-generated"), out);
    // Measured on 3.8.0: -4 (MATCH_DELETED) for creates, -3 (MATCH_ANY) for the rest.
    out.extend_from_slice(if action.op == Op::Create { b",\"_version\":-4" } else { b",\"_version\":-3" });
    out.extend_from_slice(br#","result":"noop","_shards":{"total":0,"successful":0,"failed":0},"status":200}}"#);
}

fn write_failure(action: &Action, index: &str, id: Option<&str>, failure: &Failure, out: &mut Vec<u8>) {
    write_head(action, index, out);
    out.extend_from_slice(b",\"_id\":");
    match id {
        Some(id) => json::write_quoted(id, out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend(format!(",\"status\":{},\"error\":{{\"type\":", failure.fault.status).bytes());
    out.extend(json::quote(&failure.fault.kind));
    out.extend_from_slice(b",\"reason\":");
    out.extend(json::quote(&failure.fault.reason));
    for (name, value) in [("pipeline", &failure.pipeline), ("stage", &failure.stage)] {
        if !value.is_empty() {
            out.extend(format!(",\"{name}\":").bytes());
            out.extend(json::quote(value));
        }
    }
    out.extend_from_slice(b"}}}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both readers must agree on every answer.
    #[test]
    fn an_answer_says_the_same_either_way() {
        let shown = |read: Option<Read>| read.map(|read| (read.items, read.errors, read.ingest));
        let mut quick = 0;
        for text in [
            r#"{"took":3,"errors":false,"items":[{"index":{"a":[1]}},{}]}"#,
            r#"{"took":3,"ingest_took":7,"errors":true,"items":[]}"#,
            r#" { "took" : 3, "errors" : true , "items":[ {} , {} ] } "#,
            r#"{"items":[{}]}"#,
            r#"{"items":[{}],"errors":true}"#,
            r#"{"errors":true,"items":[{"items":[1,2]}]}"#,
            r#"{"more":{"items":[1]},"items":[2,3]}"#,
            r#"{"more":["\"items\":[1]"],"items":[2,3]}"#,
            r#"{"more":"\"items\":[1]","items":[2,3]}"#,
            r#"{"a":"items","b":" ,\"items\":[","items":[4]}"#,
            r#"{"a\"items":[1]}"#,
            r#"{"items":[1],"items":[2,3]}"#,
            r#"{"items":5,"items":[2,3]}"#,
            r#"{"items" : [1] , "errors":true}"#,
            r#"{"more":{"x":[1]},"errors":true,"items":[2]}"#,
            r#""items":[1]}"#,
            r#"{"errors":true}"#,
            r#"{"a":{"items":[1]}}"#,
            r#"[{"items":[1]}]"#,
            r#"{"items":7}"#,
            r#"{"items":[1,2"#,
            r#"{"took":3,"items":[1]"#,
        ] {
            if let Some(read) = items_last(text.as_bytes()) {
                quick += 1;
                assert_eq!(shown(Some(read)), shown(anywhere(text.as_bytes())), "{text}");
            }
        }
        assert_eq!(quick, 6);
    }
}
