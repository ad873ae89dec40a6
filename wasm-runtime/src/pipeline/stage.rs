//! One stage at work on one document after the other: its condition, what it does, its counts and its clock.

use crate::document::effect::{Effect, ErrorContext};
use crate::document::metadata_fields::MetadataView;
use crate::document::response::flat;
use crate::document::{Doc, Meta, OutputBuffer};
use crate::engine::clock::now_ns;
use crate::engine::deadline::tick;
use crate::error::Fault;
use crate::json::{DocView, with_view};
use crate::native::Native;
use crate::pipeline::apply::StageWriter;
use crate::pipeline::condition::Condition;
use crate::pipeline::condition::needle::Haystack;
use crate::pipeline::condition::state::ConditionState;
use crate::stats::StageRun;
use crate::udf::invoke::{CallLimits, Invoker};
use crate::udf::result_contract::Contract;

/// Sample the duration of one document in 32 and extrapolate: two looks at the clock cost as much as a simple stage.
const MEASURED: usize = 32;
/// Bytes of a document before which the deadline is asked, whatever the number of documents.
const LONG: usize = 16 << 10;

/// A step of one run, of which every thread makes its own stage.
pub(crate) struct PlannedStage<'s> {
    pub(crate) context: ErrorContext<'s>,
    pub(crate) condition: Option<(&'s Condition, ErrorContext<'s>)>,
    pub(crate) op: PlannedOp<'s>,
}

/// The operation of a planned stage, with the bounds of the run.
pub(crate) enum PlannedOp<'s> {
    Native(&'s Native),
    Udf { limits: CallLimits, contract: Contract, view: Option<MetadataView> },
}

impl PlannedStage<'_> {
    pub(crate) fn state(&self) -> StageState<'_> {
        let condition = self.condition.map(|(condition, context)| ConditionState::new(condition, context));
        let op = match &self.op {
            PlannedOp::Native(native) => StageOp::Native(native),
            PlannedOp::Udf { limits, contract, view } => {
                StageOp::Udf { invoker: Invoker::new(limits), contract, view: *view }
            }
        };
        StageState::new(self.context, condition, op)
    }
}

/// Effects of stages on documents.
pub(crate) enum StageOp<'s> {
    Native(&'s Native),
    /// `view`: the UDF sees metadata as members.
    Udf {
        invoker: Invoker<'s>,
        contract: &'s Contract,
        view: Option<MetadataView>,
    },
}

impl StageOp<'_> {
    fn view(&self) -> Option<MetadataView> {
        match self {
            Self::Native(native) => native.view(),
            Self::Udf { view, .. } => *view,
        }
    }

    fn apply(&mut self, doc: DocView<'_>, meta: &mut Meta, at: usize, run: &mut StageRun) -> Result<Effect, Fault> {
        match self {
            Self::Native(native) => {
                if doc.text().len() > LONG || run.documents.is_multiple_of(native.check_every()) {
                    tick()?;
                }
                native.apply(doc, meta)
            }
            Self::Udf { invoker, contract, .. } if contract.flat => {
                let shown = flat::of(doc);
                let effect = invoker.call(contract, (&shown).into(), meta, at, run)?;
                flat::carried(doc.text(), &shown, effect)
            }
            Self::Udf { invoker, contract, .. } => invoker.call(contract, doc, meta, at, run),
        }
    }
}

/// One stage at work.
pub(crate) struct StageState<'s> {
    pub(super) condition: Option<ConditionState<'s>>,
    op: StageOp<'s>,
    writer: StageWriter<'s>,
    /// Documents that came this far.
    pub(super) reached: usize,
    pub(super) clock: Clock,
}

/// Nanoseconds of a stage: its first document, which may have made a sandbox, and one of [`MEASURED`] after it.
#[derive(Default)]
pub(super) struct Clock {
    first: u64,
    later: u64,
    measured: u64,
}

impl Clock {
    /// Estimated nanoseconds of `documents` documents, from those that were measured.
    pub(super) fn estimate(&self, documents: usize) -> u64 {
        let later = (documents as u64).saturating_sub(1);
        self.first + (u128::from(self.later) * u128::from(later) / u128::from(self.measured.max(1))) as u64
    }
}

impl<'s> StageState<'s> {
    pub(crate) fn new(context: ErrorContext<'s>, condition: Option<ConditionState<'s>>, op: StageOp<'s>) -> Self {
        let writer = StageWriter::new(context, op.view());
        Self { condition, op, writer, reached: 0, clock: Clock::default() }
    }

    /// [`Self::run`], for some documents with a look at the clock.
    pub(super) fn timed(&mut self, buffer: &mut OutputBuffer<'_>, doc: &mut Doc, at: usize) -> Option<Vec<Doc>> {
        if !self.reached.is_multiple_of(MEASURED) {
            return self.run(buffer, doc, at);
        }
        let start = now_ns();
        let expanded = self.run(buffer, doc, at);
        let elapsed = now_ns() - start;
        if self.reached == 1 {
            self.clock.first = elapsed;
        } else {
            self.clock.later += elapsed;
            self.clock.measured += 1;
        }
        expanded
    }

    /// One document through the stage; gives the documents that take its place, if it becomes several.
    pub(super) fn run(&mut self, buffer: &mut OutputBuffer<'_>, doc: &mut Doc, at: usize) -> Option<Vec<Doc>> {
        self.reached += 1;
        if self.condition.as_mut().is_some_and(|condition| !condition.evaluate(buffer, doc, at)) {
            return None;
        }
        let Self { op, writer, .. } = self;
        let text = buffer.text_of(&doc.text);
        let effect = match writer.view {
            None => with_view(text, &mut doc.index, |view| op.apply(view, &mut doc.meta, at, &mut writer.run)),
            Some(view) => view.expose(text, &doc.meta).and_then(|text| {
                op.apply((&text).into(), &mut doc.meta, at, &mut writer.run).map(|effect| effect.whole(&text))
            }),
        };
        writer.apply(buffer, doc, at, effect)
    }

    /// Whether a document that is like an object surely does not meet the stage's condition, by its bytes alone.
    pub(super) fn rules_out<'t>(&'t self, text: &Haystack<'t>) -> bool {
        self.condition.as_ref().is_some_and(|condition| condition.condition.lacks_needle(text))
    }

    pub(super) fn record_skipped(&mut self) {
        self.reached += 1;
        if let Some(condition) = &mut self.condition {
            condition.run.documents += 1;
            condition.run.skipped += 1;
        }
    }

    /// (documents that came this far, the condition's counts, the stage's own if a document met it). `share`: of the
    /// time, in nanoseconds.
    pub(super) fn finish(self, share: u64) -> Counts {
        let mut run = self.writer.run;
        if let StageOp::Udf { invoker, .. } = self.op {
            invoker.finish(&mut run);
        }
        run.duration_ns = share;
        let worked = run.documents > 0;
        (
            self.reached,
            self.condition.filter(|_| self.reached > 0).map(|condition| condition.run),
            worked.then_some(run),
        )
    }
}

/// Counts of one stage: see [`StageState::finish`].
pub(crate) type Counts = (usize, Option<StageRun>, Option<StageRun>);
