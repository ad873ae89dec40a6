//! The hits of a response as documents of their own, and back.
//!
//! The hits that `hits.hits` lists are at depth 0, as are those of `top_hits` aggregations; `inner_hits` of a hit are one
//! deeper. A stage that must see all of them runs over the deepest first.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::document::{Doc, Meta, State, Text, text_of};
use crate::json;

/// A list of hits in a response.
struct List {
    depth: usize,
    /// The array, with its brackets.
    array: Range<usize>,
    /// Whether it is the response's own list, which has a `max_score` beside it.
    main: bool,
}

/// The lists of a response, in the order of its text; `everywhere`: those of aggregations and inner hits, too.
fn lists(text: &[u8], everywhere: bool) -> Vec<List> {
    let mut found = Vec::new();
    if let Some(array) = array_of(text, json::skip_ws(text, 0)) {
        note(text, array, 0, true, everywhere, &mut found);
    }
    if everywhere {
        for name in ["aggregations", "aggs"] {
            if let Some(entry) = json::get(text, json::skip_ws(text, 0), name) {
                aggregations(text, entry.value.start, &mut found);
            }
        }
    }
    found.sort_by_key(|list| list.array.start);
    found
}

/// The array `hits.hits` of the object at `start`.
fn array_of(text: &[u8], start: usize) -> Option<Range<usize>> {
    let hits = json::get(text, start, "hits")?.value;
    let inner = json::get(text, hits.start, "hits")?.value;
    (text[inner.start] == b'[').then_some(inner)
}

fn note(text: &[u8], array: Range<usize>, depth: usize, main: bool, everywhere: bool, found: &mut Vec<List>) {
    if everywhere {
        for hit in json::elements(text, array.start) {
            let Some(inner) = json::get(text, hit.start, "inner_hits") else { continue };
            for entry in json::Entries::new(text, inner.value.start).into_iter().flatten() {
                if let Some(array) = array_of(text, entry.value.start) {
                    note(text, array, depth + 1, false, true, found);
                }
            }
        }
    }
    found.push(List { depth, array, main });
}

fn aggregations(text: &[u8], start: usize, found: &mut Vec<List>) {
    match text.get(start) {
        Some(b'{') => {
            if let Some(array) = array_of(text, start) {
                note(text, array, 0, false, true, found);
                return;
            }
            for entry in json::Entries::new(text, start).into_iter().flatten() {
                aggregations(text, entry.value.start, found);
            }
        }
        Some(b'[') => json::elements(text, start).iter().for_each(|r| aggregations(text, r.start, found)),
        _ => {}
    }
}

/// The depth of the deepest hits.
pub(crate) fn deepest(text: &[u8], everywhere: bool) -> usize {
    lists(text, everywhere).iter().map(|list| list.depth).max().unwrap_or(0)
}

/// The hits at `depth` as documents that share `ctx`; `indexes`: only those of these indexes.
pub(crate) fn explode(
    text: &[u8],
    base: Option<usize>,
    depth: usize,
    everywhere: bool,
    indexes: Option<&[String]>,
    ctx: Option<&Vec<u8>>,
) -> Vec<Doc> {
    let mut docs = Vec::new();
    let mut slot = 0;
    for list in lists(text, everywhere).iter().filter(|list| list.depth == depth) {
        for hit in json::elements(text, list.array.start) {
            slot += 1;
            let member = |name: &str| json::get(text, hit.start, name).map(|e| &text[e.value]);
            let string = |name: &str| member(name).and_then(json::string).map(std::borrow::Cow::into_owned);
            let index = string("_index");
            if indexes.is_some_and(|wanted| !index.as_ref().is_some_and(|i| wanted.contains(i))) {
                continue;
            }
            let score = score_of(&text[hit.clone()]).unwrap_or(0.0);
            let meta = Meta {
                index: index.map(Arc::from),
                id: string("_id"),
                routing: string("_routing"),
                score,
                ctx: ctx.cloned(),
            };
            let text = match base {
                Some(base) => Text::Shared(hit.start + base..hit.end + base),
                None => Text::Owned(text[hit].to_vec()),
            };
            docs.push(Doc::new(text, meta, slot - 1));
        }
    }
    docs
}

/// One hit on its way back.
struct Part<'a> {
    text: &'a [u8],
    score: Option<f64>,
}

/// The response with what became of its hits at `depth`; `None` if nothing did.
pub(crate) fn implode(text: &[u8], body: &[u8], hits: &[Doc], depth: usize, everywhere: bool) -> Option<Vec<u8>> {
    let by_slot: HashMap<usize, &Doc> = hits.iter().map(|doc| (doc.slot, doc)).collect();
    let mut out: Option<Vec<u8>> = None;
    let mut slot = 0;
    let mut edits = Vec::new();
    for list in lists(text, everywhere).into_iter().filter(|list| list.depth == depth) {
        let elements = json::elements(text, list.array.start);
        let first = slot;
        slot += elements.len();
        let here = |i: usize| by_slot.get(&(first + i)).copied();
        if !(0..elements.len()).any(|i| {
            here(i).is_some_and(|doc| matches!(doc.state, State::Dropped) || matches!(doc.text, Text::Owned(_)))
        }) {
            continue;
        }
        let mut parts: Vec<Part<'_>> = Vec::with_capacity(elements.len());
        for (i, range) in elements.iter().enumerate() {
            match here(i) {
                Some(doc) if matches!(doc.state, State::Dropped) => {}
                Some(doc) => parts.push(Part { text: text_of(body, &doc.text), score: Some(doc.meta.score) }),
                None => parts.push(Part { text: &text[range.clone()], score: score_of(&text[range.clone()]) }),
            }
        }
        let scored = (0..elements.len()).any(|i| here(i).is_some_and(|doc| doc.scored));
        if scored {
            parts.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal));
        }
        let joined = parts.iter().map(|p| p.text).collect::<Vec<_>>().join(&b',');
        edits.push((list.array.clone(), [b"[".as_slice(), &joined, b"]"].concat()));
        if scored
            && list.main
            && let Some(old) = json::find(text, "hits.max_score")
        {
            edits.push((old, best_score(&parts)));
        }
    }
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    for (range, value) in edits {
        out = Some(json::splice(out.as_deref().unwrap_or(text), range, &value));
    }
    out
}

/// The score of the first hit, as JSON.
fn best_score(parts: &[Part<'_>]) -> Vec<u8> {
    let first = parts.first().map_or(&b"null"[..], |part| part.text);
    json::get(first, json::skip_ws(first, 0), "_score").map_or_else(|| b"null".to_vec(), |e| first[e.value].to_vec())
}

fn score_of(hit: &[u8]) -> Option<f64> {
    let raw = json::get(hit, json::skip_ws(hit, 0), "_score")?;
    std::str::from_utf8(&hit[raw.value]).ok()?.parse().ok()
}
