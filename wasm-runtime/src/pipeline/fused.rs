//! Stages over one document at a time: each stage is a stage with its condition, its work and its counts.
//!
//! A document goes through all the stages while it is in the processor's cache, and the memory of one is used for the next.
//! Effects, counts and errors of each stage are the same as if the stages ran over the whole batch one by one.

use std::sync::Arc;

use crate::document::effect::ErrorContext;
use crate::document::{Doc, Kind, OutputBuffer, State, text_of};
use crate::engine::clock::{self, now_ns};
use crate::engine::deadline::within;
use crate::json::validate;
use crate::native::fit_mapping::Fitting;
use crate::pipeline::batch::check::without_comments;
use crate::pipeline::condition::needle::Haystack;
use crate::pipeline::condition::simple::like_object;
use crate::pipeline::stage::{Counts, StageState};
use crate::stats::StageRun;

/// Parameters that all documents of a run share.
pub(crate) struct Run<'r> {
    pub(crate) body: &'r [u8],
    pub(crate) kind: Kind,
    /// By which terms a document fails that is no JSON object.
    pub(crate) check: ErrorContext<'r>,
    pub(crate) deadline: &'r Arc<clock::Deadline>,
    /// When it has to end, by `now_ns`.
    pub(crate) end: u64,
    /// The mappings that documents are fitted to.
    pub(crate) fitting: Option<&'r Arc<Fitting>>,
}

/// Documents that one thread has taken through all stages.
pub(super) struct PartitionResult {
    /// Positions, and the documents that take the places of those.
    pub(super) expanded: Vec<(usize, Vec<Doc>)>,
    pub(super) counts: Vec<Counts>,
}

/// The documents of one thread through all stages; `first` is the position of the first of them in the batch.
pub(super) fn run_partition(
    run: &Run<'_>,
    mut stages: Vec<StageState<'_>>,
    output: &mut Vec<u8>,
    docs: &mut [Doc],
    first: usize,
) -> PartitionResult {
    let start = now_ns();
    let mut buffer = OutputBuffer::over(run.body, std::mem::take(output), docs);
    let mut expanded: Vec<(usize, Vec<Doc>)> = Vec::new();
    let conditional = stages.iter().all(|stage| stage.condition.is_some());
    let mut work = || {
        for (at, doc) in docs.iter_mut().enumerate().filter(|(_, doc)| doc.active()) {
            doc.own_text(&buffer.output);
            if !doc.checked {
                let text = text_of(run.body, &doc.text);
                if conditional && ruled_out(&stages, text) {
                    stages.iter_mut().for_each(StageState::record_skipped);
                    continue;
                }
                let members = std::mem::take(&mut buffer.members);
                let found = validate::validate_and_index(text, members);
                match found.or_else(|why| without_comments(doc, run.body).ok_or(why)) {
                    Ok(index) => (doc.checked, doc.index) = (true, index),
                    Err(why) => {
                        doc.state = run.check.failed(run.kind.parse_error(&why));
                        continue;
                    }
                }
            }
            if let Some(parts) = run_document(&mut stages, &mut buffer, doc, first + at) {
                expanded.push((first + at, parts));
            }
            buffer.finish(doc);
        }
    };
    Fitting::hold(run.fitting, || within(run.deadline, run.end, &mut work));
    *output = buffer.output;
    PartitionResult { expanded, counts: counts_of(stages, now_ns() - start) }
}

/// Whether the bytes of a document show that it meets no condition of the stages, each of which has one.
fn ruled_out(stages: &[StageState<'_>], text: &[u8]) -> bool {
    let haystack = Haystack::new(text);
    like_object(text) && stages.iter().all(|stage| stage.rules_out(&haystack))
}

/// The counts of stages that took `elapsed` nanoseconds together, each with its estimated share of them.
fn counts_of(stages: Vec<StageState<'_>>, elapsed: u64) -> Vec<Counts> {
    let estimates: Vec<u64> = stages.iter().map(|stage| stage.clock.estimate(stage.reached)).collect();
    let all = estimates.iter().sum::<u64>().max(1);
    let share = |part: u64| (u128::from(elapsed) * u128::from(part) / u128::from(all)) as u64;
    stages.into_iter().zip(estimates).map(|(stage, part)| stage.finish(share(part))).collect()
}

/// Every active document through one stage.
pub(crate) fn run_single(mut stage: StageState<'_>, body: &[u8], docs: &mut Vec<Doc>) -> StageRun {
    let start = now_ns();
    let mut buffer = OutputBuffer::new(body);
    let mut expanded: Vec<(usize, Vec<Doc>)> = Vec::new();
    for (at, doc) in docs.iter_mut().enumerate().filter(|(_, doc)| doc.active()) {
        if let Some(parts) = stage.run(&mut buffer, doc, at) {
            expanded.push((at, parts));
        }
    }
    replace_expanded(docs, expanded);
    let (_, _, run) = stage.finish(now_ns() - start);
    run.unwrap_or_default()
}

/// One document through the stages that are left; gives the documents that take its place.
fn run_document(
    stages: &mut [StageState<'_>],
    buffer: &mut OutputBuffer<'_>,
    doc: &mut Doc,
    at: usize,
) -> Option<Vec<Doc>> {
    for n in 0..stages.len() {
        if !matches!(doc.state, State::Live) {
            return None;
        }
        buffer.last = n + 1 == stages.len();
        if let Some(parts) = stages[n].timed(buffer, doc, at) {
            let mut all = Vec::with_capacity(parts.len());
            for mut part in parts {
                match run_document(&mut stages[n + 1..], buffer, &mut part, at) {
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
pub(crate) fn replace_expanded(docs: &mut Vec<Doc>, expanded: Vec<(usize, Vec<Doc>)>) {
    if expanded.is_empty() {
        return;
    }
    let mut expanded = expanded.into_iter().peekable();
    for (at, doc) in std::mem::take(docs).into_iter().enumerate() {
        match expanded.next_if(|(position, _)| *position == at) {
            Some((_, parts)) => docs.extend(parts),
            None => docs.push(doc),
        }
    }
}
