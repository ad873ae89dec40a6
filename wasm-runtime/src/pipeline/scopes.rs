//! Which documents the next stage sees: conditions, retries and failure handlers narrow the batch level by level.
//!
//! A level parks the documents that sit it out; every document that is parked already counts one level more, so that
//! leaving the level (`leave`) restores exactly what was before.

use crate::document::effect::name_of;
use crate::document::{Doc, State};
use crate::error::Fault;
use crate::json;
use crate::stats::{SAMPLES, StageRun};

/// The classes of faults that a retry policy can name.
pub(crate) fn class(kind: &str) -> &'static str {
    match kind {
        "udf_timeout_exception" => "timeout",
        "udf_trap_exception" => "trap",
        "udf_memory_limit_exception" => "out_of_memory",
        "udf_breaker_exception" => "breaker",
        _ => "error",
    }
}

/// Enters a level of the documents for which `takes_part` is true.
pub(crate) fn enter(docs: &mut [Doc], mut takes_part: impl FnMut(usize, &mut Doc) -> bool) -> usize {
    let mut there = 0;
    for (at, doc) in docs.iter_mut().enumerate() {
        if doc.excluded_depth > 0 {
            doc.excluded_depth += 1;
        } else if takes_part(at, doc) {
            there += 1;
        } else {
            doc.excluded_depth = 1;
        }
    }
    there
}

/// Leaves the level entered last.
pub(crate) fn leave(docs: &mut [Doc]) {
    for doc in docs {
        doc.excluded_depth = doc.excluded_depth.saturating_sub(1);
    }
}

/// Enters a level of the documents that failed since stage run `since`, alive again with the text they had.
///
/// `classes`: only failures of these classes. `handler`: their context says why, under `on_failure`.
pub(crate) fn enter_failed(docs: &mut [Doc], since: u32, classes: Option<&[String]>, handler: bool) -> usize {
    enter(docs, |_, doc| {
        let State::Failed(failure) = &doc.state else { return false };
        let kind = &failure.fault.kind;
        if failure.run < since || classes.is_some_and(|all| !all.iter().any(|c| c == class(kind))) {
            return false;
        }
        if handler {
            let stage = failure.stage.rsplit('/').next().unwrap_or(&failure.stage);
            let mut why = b"{}".to_vec();
            for (name, value) in [
                ("stage", stage),
                ("type", kind),
                ("reason", &failure.fault.reason),
                ("pipeline", name_of(&failure.pipeline)),
                ("processor", &failure.processor),
            ] {
                why = json::insert_member(&why, 0, name, &json::quote(value));
            }
            if let Some(cause) = &failure.fault.cause {
                why = json::insert_member(&why, 0, "cause", &json::quote(cause));
            }
            if is_tag(stage, &failure.processor) {
                why = json::insert_member(&why, 0, "tag", &json::quote(stage));
            }
            doc.meta.set_ctx_member("on_failure", &why);
        }
        doc.state = State::Live;
        true
    })
}

/// Whether a stage's name says more than which built-in it is: one that is imported without a tag is called as its built-in is,
/// with a number where that is taken.
fn is_tag(stage: &str, processor: &str) -> bool {
    let behind = stage.strip_prefix(processor);
    let number = |rest: &str| rest.strip_prefix('-').is_some_and(|n| n.bytes().all(|c| c.is_ascii_digit()));
    !behind.is_some_and(|rest| rest.is_empty() || number(rest))
}

/// Forgets why handled documents failed.
pub(crate) fn forget_failure(docs: &mut [Doc]) {
    for doc in docs.iter_mut().filter(|d| d.excluded_depth == 0 && d.meta.ctx.is_some()) {
        doc.meta.remove_ctx_member("on_failure");
        doc.meta.clear_empty_ctx();
    }
}

/// Counts a fault in `run`, with the first few as samples.
pub(crate) fn count(run: &mut StageRun, at: usize, fault: &Fault, text: &[u8]) {
    run.failures += 1;
    if run.errors.len() < SAMPLES {
        run.errors.push((at, fault.kind.to_string(), fault.reason.clone(), shape(text)));
    }
}

/// Maximum number of members that the shape of a document shows, to bound an error's text.
const SHAPE_MEMBERS: usize = 32;

/// A document without its values: `{"level":"string","n":"number"}`.
fn shape(text: &[u8]) -> String {
    let mut out = b"{}".to_vec();
    let entries = json::Entries::new(text, json::skip_ws(text, 0)).into_iter().flatten();
    for entry in entries.take(SHAPE_MEMBERS) {
        let kind: &[u8] = match text[entry.value.start] {
            b'"' => b"\"string\"",
            b'{' => b"\"object\"",
            b'[' => b"\"array\"",
            b't' | b'f' => b"\"boolean\"",
            b'n' => b"null",
            _ => b"\"number\"",
        };
        let key = json::unescape(&text[entry.key]).unwrap_or_default();
        out = json::insert_member(&out, 0, &key, kind);
    }
    String::from_utf8(out).unwrap_or_default()
}
