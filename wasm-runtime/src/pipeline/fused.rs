//! Stages over one document at a time: each stage is a lane with its condition, its work and its counts.
//!
//! A document goes through all the lanes while it is in the processor's cache, and the memory of one is used for the next.
//! What each stage does, counts and blames is the same as if the stages went over the whole batch one by one.

use std::sync::Arc;

use crate::document::effect::Terms;
use crate::document::{Desk, Doc, Kind, State, text_of};
use crate::engine::clock::{self, now_ns};
use crate::engine::deadline::within;
use crate::json::index::template::TemplateSet;
use crate::pipeline::lane::{Counts, Lane};
use crate::stats::StageRun;

/// A batch of so many documents keeps what was made of them in one piece of memory.
const MANY: usize = 16;

/// What all documents of a run have in common.
pub(crate) struct Run<'r> {
    pub(crate) body: &'r [u8],
    pub(crate) kind: Kind,
    /// By which terms a document fails that is no JSON object.
    pub(crate) check: Terms<'r>,
    pub(crate) deadline: &'r Arc<clock::Deadline>,
    /// When it has to end, by `now_ns`.
    pub(crate) end: u64,
}

/// Documents that one thread has taken through all lanes.
pub(super) struct Taken {
    /// Positions, and the documents that take the places of those.
    pub(super) expanded: Vec<(usize, Vec<Doc>)>,
    pub(super) counts: Vec<Counts>,
}

/// The documents of one thread through all lanes; `first` is the position of the first of them in the batch.
pub(super) fn through_all(
    run: &Run<'_>,
    mut lanes: Vec<Lane<'_>>,
    made: &mut Vec<u8>,
    docs: &mut [Doc],
    first: usize,
) -> Taken {
    let start = now_ns();
    let gathers = docs.len() >= MANY;
    let mut desk = if gathers { Desk::gathering(run.body, std::mem::take(made), docs) } else { Desk::new(run.body) };
    let mut templates = TemplateSet::new(run.body, docs.len());
    let mut expanded: Vec<(usize, Vec<Doc>)> = Vec::new();
    let conditional = lanes.iter().all(|lane| lane.question.is_some());
    within(run.deadline, run.end, || {
        for (at, doc) in docs.iter_mut().enumerate().filter(|(_, doc)| doc.active()) {
            doc.own_text(&desk.made);
            if !doc.checked {
                let text = text_of(run.body, &doc.text);
                if conditional && lanes.iter().all(|lane| lane.rules_out(text)) {
                    lanes.iter_mut().for_each(Lane::pass_by);
                    continue;
                }
                match templates.validate_and_index(doc.text.shared(), text, std::mem::take(&mut desk.members)) {
                    Ok(index) => (doc.checked, doc.index) = (true, index),
                    Err(why) => {
                        doc.state = run.check.failed(run.kind.parse_error(&why));
                        continue;
                    }
                }
            }
            if let Some(parts) = through(&mut lanes, &mut desk, doc, first + at) {
                expanded.push((first + at, parts));
            }
            desk.finish(doc);
        }
    });
    if gathers {
        *made = desk.made;
    }
    let estimates: Vec<u64> = lanes.iter().map(|lane| lane.clock.estimate(lane.reached)).collect();
    let (taken, all) = (now_ns() - start, estimates.iter().sum::<u64>().max(1));
    let share = |part: u64| (u128::from(taken) * u128::from(part) / u128::from(all)) as u64;
    let counts = lanes.into_iter().zip(estimates).map(|(lane, part)| lane.finish(share(part))).collect();
    Taken { expanded, counts }
}

/// Every active document through one lane.
pub(crate) fn alone(mut lane: Lane<'_>, body: &[u8], docs: &mut Vec<Doc>) -> StageRun {
    let start = now_ns();
    let mut desk = Desk::new(body);
    let mut expanded: Vec<(usize, Vec<Doc>)> = Vec::new();
    for (at, doc) in docs.iter_mut().enumerate().filter(|(_, doc)| doc.active()) {
        if let Some(parts) = lane.one(&mut desk, doc, at) {
            expanded.push((at, parts));
        }
    }
    put_in_place(docs, expanded);
    let (_, _, run) = lane.finish(now_ns() - start);
    run.unwrap_or_default()
}

/// One document through the lanes that are left; gives the documents that take its place.
fn through(lanes: &mut [Lane<'_>], desk: &mut Desk<'_>, doc: &mut Doc, at: usize) -> Option<Vec<Doc>> {
    for n in 0..lanes.len() {
        if !matches!(doc.state, State::Live) {
            return None;
        }
        desk.last = n + 1 == lanes.len();
        if let Some(parts) = lanes[n].timed(desk, doc, at) {
            let mut all = Vec::with_capacity(parts.len());
            for mut part in parts {
                match through(&mut lanes[n + 1..], desk, &mut part, at) {
                    Some(more) => all.extend(more),
                    None => all.push(part),
                }
            }
            return Some(all);
        }
    }
    None
}

/// Puts new documents in the places of those that they were made of.
pub(crate) fn put_in_place(docs: &mut Vec<Doc>, expanded: Vec<(usize, Vec<Doc>)>) {
    if expanded.is_empty() {
        return;
    }
    let mut expanded = expanded.into_iter().peekable();
    for (at, doc) in std::mem::take(docs).into_iter().enumerate() {
        match expanded.next_if(|(place, _)| *place == at) {
            Some((_, parts)) => docs.extend(parts),
            None => docs.push(doc),
        }
    }
}
