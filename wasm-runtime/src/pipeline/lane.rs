//! One stage at work on one document after the other: its condition, what it does, its counts and its clock.

use crate::document::effect::{Effect, Terms};
use crate::document::metadata_fields::Wide;
use crate::document::response::flat;
use crate::document::{Desk, Doc, Meta};
use crate::engine::clock::now_ns;
use crate::engine::deadline::tick;
use crate::error::Fault;
use crate::json::index;
use crate::native::Native;
use crate::pipeline::apply::Pass;
use crate::pipeline::condition::Condition;
use crate::pipeline::question::Question;
use crate::stats::StageRun;
use crate::udf::invoke::{Runner, Work};
use crate::udf::result_contract::Contract;

/// Of so many documents the time of one is measured, lane by lane; the whole is shared out by that.
const MEASURED: usize = 32;
/// Before longer documents the deadline is asked for, too, whatever their number.
const LONG: usize = 16 << 10;

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

/// One stage at work.
pub(crate) struct Lane<'s> {
    pub(super) question: Option<Question<'s>>,
    labour: Labour<'s>,
    pass: Pass<'s>,
    /// Documents that came this far.
    pub(super) reached: usize,
    pub(super) clock: Clock,
}

/// Nanoseconds of a lane: its first document, which may have made a sandbox, and one of [`MEASURED`] after it.
#[derive(Default)]
pub(super) struct Clock {
    first: u64,
    others: u64,
    measured: u64,
}

impl Clock {
    /// What so many documents took in all, by those that were measured.
    pub(super) fn estimate(&self, documents: usize) -> u64 {
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
    pub(super) fn timed(&mut self, desk: &mut Desk<'_>, doc: &mut Doc, at: usize) -> Option<Vec<Doc>> {
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
    pub(super) fn one(&mut self, desk: &mut Desk<'_>, doc: &mut Doc, at: usize) -> Option<Vec<Doc>> {
        self.reached += 1;
        if self.question.as_mut().is_some_and(|question| !question.put(desk, doc, at)) {
            return None;
        }
        let Self { labour, pass, .. } = self;
        let text = desk.text_of(&doc.text);
        let effect = match pass.wide {
            None => index::within(text, &mut doc.index, || labour.apply(text, &mut doc.meta, at, &mut pass.run)),
            Some(wide) => wide.widened(text, &doc.meta).and_then(|text| {
                labour.apply(&text, &mut doc.meta, at, &mut pass.run).map(|effect| effect.whole(&text))
            }),
        };
        pass.settle(desk, doc, at, effect)
    }

    /// Whether the document surely does not meet the stage's condition, by its bytes alone.
    pub(super) fn rules_out(&self, text: &[u8]) -> bool {
        self.question.as_ref().is_some_and(|question| question.condition.surely_not(text))
    }

    pub(super) fn pass_by(&mut self) {
        self.reached += 1;
        if let Some(question) = &mut self.question {
            question.run.documents += 1;
            question.run.skipped += 1;
        }
    }

    /// (documents that came this far, the condition's counts, the stage's own if a document met it). `share`: of the
    /// time, in nanoseconds.
    pub(super) fn finish(self, share: u64) -> Counts {
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
