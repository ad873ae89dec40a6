//! A condition that is put to the documents of a batch.

use crate::document::effect::ErrorContext;
use crate::document::{Doc, OutputBuffer};
use crate::engine::deadline::tick;
use crate::json::with_view;
use crate::pipeline::condition::Condition;
use crate::pipeline::scopes;
use crate::stats::StageRun;

/// Documents between two looks at the deadline of a condition that is evaluated in a microsecond or less.
const TICK_EVERY: usize = 64;

/// A condition that is put to one document after another.
pub(crate) struct ConditionState<'s> {
    pub(in crate::pipeline) condition: &'s Condition,
    context: ErrorContext<'s>,
    /// That of the terms, without its version.
    pipeline: &'s str,
    pub(crate) run: StageRun,
}

impl<'s> ConditionState<'s> {
    pub(crate) fn new(condition: &'s Condition, context: ErrorContext<'s>) -> Self {
        Self { condition, context, pipeline: context.pipeline_name(), run: StageRun::default() }
    }

    /// Whether the document meets it; one for which it cannot be evaluated does not, and fails if the terms say so.
    pub(crate) fn evaluate(&mut self, buffer: &OutputBuffer<'_>, doc: &mut Doc, at: usize) -> bool {
        let Self { condition, context, pipeline, run } = self;
        let due = condition.is_slow() || run.documents.is_multiple_of(TICK_EVERY);
        run.documents += 1;
        let text = buffer.text_of(&doc.text);
        let met = with_view(text, &mut doc.index, |view| {
            if due {
                tick()?;
            }
            condition.holds(view, &doc.meta, pipeline)
        });
        match met {
            Ok(true) => return true,
            Ok(false) => run.skipped += 1,
            Err(fault) => {
                scopes::count(run, at, &fault, text);
                if context.abort {
                    doc.state = context.failed(fault);
                }
            }
        }
        false
    }
}
