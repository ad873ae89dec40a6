//! Stages over one document at a time: each stage is a lane with its condition, its work and its counts.
//!
//! A document goes through all the lanes while it is in the processor's cache, and the memory of one is used for the next.
//! What each stage does, counts and blames is the same as if the stages went over the whole batch one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;

use crate::document::effect::{Effect, Terms};
use crate::document::metadata_fields::Wide;
use crate::document::response::flat;
use crate::document::{Desk, Doc, Kind, Meta, State, Text, text_of};
use crate::engine::deadline::{tick, within};
use crate::engine::watchdog::{self, now_ns};
use crate::error::Fault;
use crate::json::index;
use crate::json::index::template::Models;
use crate::native::Native;
use crate::pipeline::apply::Pass;
use crate::pipeline::condition::Condition;
use crate::pipeline::scopes;
use crate::stats::StageRun;
use crate::udf::invoke::{Runner, Work};
use crate::udf::module::Udf;
use crate::udf::result_contract::Contract;

/// Of so many documents the time of one is measured, lane by lane; the whole is shared out by that.
const MEASURED: usize = 32;
/// After so many documents quick work asks for the deadline.
const TICK_EVERY: usize = 64;

/// Before longer documents it is asked for, too, whatever their number.
const LONG: usize = 16 << 10;

/// A stage that can run together with its neighbours: no time limit, retries or handlers of its own.
#[pyclass(frozen, module = "pipelines._wasm")]
pub(crate) struct Step {
    pub(crate) label: String,
    pub(crate) job: Job,
    pub(crate) condition: Option<Py<Condition>>,
    /// Whether a failure ends a document's way; `None`: as the pipeline's place has it.
    pub(crate) aborts: Option<bool>,
}

/// What a step does.
pub(crate) enum Job {
    Native(Py<Native>),
    Udf { udf: Py<Udf>, processor: String, target_field: Option<String>, merge: bool, metadata: bool },
}

#[pymethods]
impl Step {
    /// A built-in.
    #[staticmethod]
    #[pyo3(signature = (label, native, *, condition=None, aborts=None))]
    fn native(label: String, native: Py<Native>, condition: Option<Py<Condition>>, aborts: Option<bool>) -> Self {
        Self { label, job: Job::Native(native), condition, aborts }
    }

    /// A UDF; options as those of `Batch.run_udf`. `None` for one that takes many documents in a call.
    #[staticmethod]
    #[pyo3(signature = (label, udf, *, condition=None, aborts=None, processor="", target_field=None, merge=false,
                        metadata=false))]
    #[allow(clippy::too_many_arguments)]
    fn udf(
        label: String,
        udf: Py<Udf>,
        condition: Option<Py<Condition>>,
        aborts: Option<bool>,
        processor: &str,
        target_field: Option<String>,
        merge: bool,
        metadata: bool,
    ) -> Option<Self> {
        if udf.get().batched() {
            return None;
        }
        let job = Job::Udf { udf, processor: processor.to_owned(), target_field, merge, metadata };
        Some(Self { label, job, condition, aborts })
    }
}

impl Step {
    /// The name of what it runs.
    pub(crate) fn processor(&self) -> &str {
        match &self.job {
            Job::Native(native) => native.get().function_name(),
            Job::Udf { processor, .. } => processor,
        }
    }
}

/// A step of one run, of which every thread makes its own lane.
pub(crate) struct Planned<'s> {
    pub(crate) terms: Terms<'s>,
    pub(crate) condition: Option<(&'s Condition, Terms<'s>)>,
    pub(crate) task: Task<'s>,
}

/// What a planned step does, with the bounds of the run.
pub(crate) enum Task<'s> {
    Native(&'s Native),
    Udf { runner: Runner, contract: Contract, wide: Option<Wide> },
}

impl Planned<'_> {
    pub(crate) fn lane(&self) -> Lane<'_> {
        let question = self.condition.map(|(condition, terms)| Question::new(condition, terms));
        let labour = match &self.task {
            Task::Native(native) => Labour::Native(native),
            Task::Udf { runner, contract, wide } => Labour::Udf { work: Work::new(runner), contract, wide: *wide },
        };
        Lane::new(self.terms, question, labour)
    }
}

/// What a lane does to a document.
pub(crate) enum Labour<'s> {
    Native(&'s Native),
    /// `wide`: the UDF sees metadata as members.
    Udf {
        work: Work<'s>,
        contract: &'s Contract,
        wide: Option<Wide>,
    },
}

impl Labour<'_> {
    fn wide(&self) -> Option<Wide> {
        match self {
            Self::Native(native) => native.wide(),
            Self::Udf { wide, .. } => *wide,
        }
    }

    fn apply(&mut self, text: &[u8], meta: &mut Meta, at: usize, run: &mut StageRun) -> Result<Effect, Fault> {
        match self {
            Self::Native(native) => {
                if text.len() > LONG || run.documents.is_multiple_of(native.check_every()) {
                    tick()?;
                }
                native.apply(text, meta)
            }
            Self::Udf { work, contract, .. } if contract.flat => {
                let shown = flat::of(text);
                let effect = work.call(contract, &shown, meta, at, run)?;
                flat::carried(text, &shown, effect)
            }
            Self::Udf { work, contract, .. } => work.call(contract, text, meta, at, run),
        }
    }
}

/// A condition that is put to one document after another.
pub(crate) struct Question<'s> {
    condition: &'s Condition,
    terms: Terms<'s>,
    /// That of the terms, without its version.
    pipeline: &'s str,
    pub(crate) run: StageRun,
}

impl<'s> Question<'s> {
    pub(crate) fn new(condition: &'s Condition, terms: Terms<'s>) -> Self {
        Self { condition, terms, pipeline: terms.pipeline_name(), run: StageRun::default() }
    }

    /// Whether the document meets it; one for which it cannot be evaluated does not, and fails if the terms say so.
    pub(crate) fn put(&mut self, desk: &Desk<'_>, doc: &mut Doc, at: usize) -> bool {
        let Self { condition, terms, pipeline, run } = self;
        let due = condition.is_slow() || run.documents.is_multiple_of(TICK_EVERY);
        run.documents += 1;
        let text = desk.text_of(&doc.text);
        let asked = index::within(text, &mut doc.outline, || {
            if due {
                tick()?;
            }
            condition.holds(text, &doc.meta, pipeline)
        });
        match asked {
            Ok(true) => return true,
            Ok(false) => run.skipped += 1,
            Err(fault) => {
                scopes::count(run, at, &fault, text);
                if terms.abort {
                    doc.state = terms.failed(fault);
                }
            }
        }
        false
    }
}

/// One stage at work.
pub(crate) struct Lane<'s> {
    question: Option<Question<'s>>,
    labour: Labour<'s>,
    pass: Pass<'s>,
    /// Documents that came this far.
    reached: usize,
    clock: Clock,
}

/// Nanoseconds of a lane: its first document, which may have made a sandbox, and one of [`MEASURED`] after it.
#[derive(Default)]
struct Clock {
    first: u64,
    others: u64,
    measured: u64,
}

impl Clock {
    /// What so many documents took in all, by those that were measured.
    fn estimate(&self, documents: usize) -> u64 {
        let others = (documents as u64).saturating_sub(1);
        self.first + (u128::from(self.others) * u128::from(others) / u128::from(self.measured.max(1))) as u64
    }
}

impl<'s> Lane<'s> {
    pub(crate) fn new(terms: Terms<'s>, question: Option<Question<'s>>, labour: Labour<'s>) -> Self {
        let pass = Pass::new(terms, labour.wide());
        Self { question, labour, pass, reached: 0, clock: Clock::default() }
    }

    /// [`Self::one`], for some documents with a look at the clock.
    fn timed(&mut self, desk: &mut Desk<'_>, doc: &mut Doc, at: usize) -> Option<Vec<Doc>> {
        if !self.reached.is_multiple_of(MEASURED) {
            return self.one(desk, doc, at);
        }
        let begun = now_ns();
        let several = self.one(desk, doc, at);
        let taken = now_ns() - begun;
        if self.reached == 1 {
            self.clock.first = taken;
        } else {
            self.clock.others += taken;
            self.clock.measured += 1;
        }
        several
    }

    /// One document through the stage; gives the documents that take its place, if it becomes several.
    fn one(&mut self, desk: &mut Desk<'_>, doc: &mut Doc, at: usize) -> Option<Vec<Doc>> {
        self.reached += 1;
        if self.question.as_mut().is_some_and(|question| !question.put(desk, doc, at)) {
            return None;
        }
        let Self { labour, pass, .. } = self;
        let text = desk.text_of(&doc.text);
        let effect = match pass.wide {
            None => index::within(text, &mut doc.outline, || labour.apply(text, &mut doc.meta, at, &mut pass.run)),
            Some(wide) => wide.widened(text, &doc.meta).and_then(|text| {
                labour.apply(&text, &mut doc.meta, at, &mut pass.run).map(|effect| effect.whole(&text))
            }),
        };
        pass.settle(desk, doc, at, effect)
    }

    /// Whether the document surely does not meet the stage's condition, by its bytes alone.
    fn rules_out(&self, text: &[u8]) -> bool {
        self.question.as_ref().is_some_and(|question| question.condition.surely_not(text))
    }

    fn pass_by(&mut self) {
        self.reached += 1;
        if let Some(question) = &mut self.question {
            question.run.documents += 1;
            question.run.skipped += 1;
        }
    }

    /// (documents that came this far, the condition's counts, the stage's own if a document met it). `share`: of the
    /// time, in nanoseconds.
    fn finish(self, share: u64) -> Counts {
        let mut run = self.pass.run;
        if let Labour::Udf { work, .. } = self.labour {
            work.finish(&mut run);
        }
        run.duration_ns = share;
        let worked = run.documents > 0;
        (self.reached, self.question.filter(|_| self.reached > 0).map(|question| question.run), worked.then_some(run))
    }
}

/// What one stage came to: see [`Lane::finish`].
pub(crate) type Counts = (usize, Option<StageRun>, Option<StageRun>);

/// A batch of so many documents keeps what was made of them in one piece of memory.
const MANY: usize = 16;
/// A batch of so many documents is worth a second thread.
pub(crate) const SHARED: usize = 2000;

/// Batches at a time, in the process, that a second thread is started for: one for each core, about.
const MOST_HELPED: usize = 4;

static HELPED: AtomicUsize = AtomicUsize::new(0);

/// A batch that may have a second thread.
struct Helped;

impl Helped {
    fn begin() -> Option<Self> {
        let more = |now: usize| (now < MOST_HELPED).then_some(now + 1);
        HELPED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Helped {
    fn drop(&mut self) {
        HELPED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What all documents of a run have in common.
pub(crate) struct Run<'r> {
    pub(crate) body: &'r [u8],
    pub(crate) kind: Kind,
    /// By which terms a document fails that is no JSON object.
    pub(crate) check: Terms<'r>,
    pub(crate) deadline: &'r Arc<watchdog::Deadline>,
    /// When it has to end, by `now_ns`.
    pub(crate) end: u64,
}

/// Documents that one thread has taken through all lanes.
struct Taken {
    /// Positions, and the documents that take the places of those.
    expanded: Vec<(usize, Vec<Doc>)>,
    counts: Vec<Counts>,
}

/// Every active document through all lanes, one document after the other. What has not been checked is checked before, unless
/// its bytes show that it meets no condition: then it stays what it was.
///
/// `made`: where [`Text::Made`] is, and new texts go. With `threads` the batch is halved where it is large: each half has its own
/// `lanes`.
pub(crate) fn together<'s>(
    run: &Run<'_>,
    lanes: &(impl Fn() -> Vec<Lane<'s>> + Sync),
    made: &mut Vec<u8>,
    docs: &mut Vec<Doc>,
    threads: usize,
) -> Vec<Counts> {
    let helped = if threads > 1 && docs.len() >= SHARED { Helped::begin() } else { None };
    let Taken { expanded, counts } = if helped.is_some() {
        docs.iter_mut().for_each(|doc| doc.own_text(made));
        let middle = docs.len() / 2;
        let (front, back) = docs.split_at_mut(middle);
        let mut others = Vec::new();
        let (mut mine, theirs) = std::thread::scope(|scope| {
            let helper = std::thread::Builder::new().name("headrace-half".to_owned());
            let helper = helper.spawn_scoped(scope, || through_all(run, lanes(), &mut others, back, middle));
            let mine = through_all(run, lanes(), made, front, 0);
            (mine, helper.map(|h| h.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
        });
        // Where the system gives no more threads this one does it all.
        let theirs = theirs.unwrap_or_else(|_| through_all(run, lanes(), &mut others, back, middle));
        let shift = made.len();
        made.append(&mut others);
        for doc in back {
            if let Text::Made(range) = &mut doc.text {
                *range = range.start + shift..range.end + shift;
            }
        }
        mine.expanded.extend(theirs.expanded);
        for (count, more) in mine.counts.iter_mut().zip(theirs.counts) {
            add(count, more);
        }
        mine
    } else {
        through_all(run, lanes(), made, docs, 0)
    };
    put_in_place(docs, expanded);
    counts
}

/// The documents of one thread through all lanes; `first` is the position of the first of them in the batch.
fn through_all(run: &Run<'_>, mut lanes: Vec<Lane<'_>>, made: &mut Vec<u8>, docs: &mut [Doc], first: usize) -> Taken {
    let start = now_ns();
    let gathers = docs.len() >= MANY;
    let mut desk = if gathers { Desk::gathering(run.body, std::mem::take(made), docs) } else { Desk::new(run.body) };
    let mut models = Models::new(run.body, docs.len());
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
                match models.outlined(doc.text.shared(), text, std::mem::take(&mut desk.members)) {
                    Ok(outline) => (doc.checked, doc.outline) = (true, outline),
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

/// Adds what another thread counted for the same stage.
fn add(to: &mut Counts, more: Counts) {
    let merge = |to: &mut Option<StageRun>, more: Option<StageRun>| match (to.as_mut(), more) {
        (Some(to), Some(more)) => to.add(more),
        (None, more) => *to = more,
        (Some(_), None) => {}
    };
    to.0 += more.0;
    merge(&mut to.1, more.1);
    merge(&mut to.2, more.2);
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
