//! Effects of stages on documents.

use crate::document::{Failure, State};
use crate::error::Fault;
use crate::json::{self, DocView, Edit};

/// The effect of a stage on one document.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    Unchanged,
    Replaced(Vec<u8>),
    /// One change of the text.
    Edited(Edit),
    /// A hit with its new score.
    Scored(Vec<u8>, f64),
    /// Several documents in place of this one; at least two.
    Expanded(Vec<Vec<u8>>),
    Dropped,
    /// Trial runs only: the output is this value, and the pipeline ends.
    Finished(Vec<u8>),
}

impl Effect {
    /// Bytes of the document that it makes of one of `len`.
    #[inline]
    pub(crate) fn output_len(&self, len: usize) -> usize {
        match self {
            Self::Replaced(text) | Self::Scored(text, _) => text.len(),
            Self::Edited(edit) => len - edit.range.len() + edit.with.len(),
            _ => 0,
        }
    }

    /// The same on `text` with a change done: its whole new text.
    pub(crate) fn whole(self, text: &[u8]) -> Self {
        match self {
            Self::Edited(edit) => Self::Replaced(edit.applied(text)),
            effect => effect,
        }
    }
}

/// A pipeline's name out of its label, `name@version`.
pub(crate) fn name_of(label: &str) -> &str {
    label.split('@').next().unwrap_or(label)
}

/// How a stage runs: where its errors are filed, and whether they end the document's way.
#[derive(Clone, Copy)]
pub(crate) struct ErrorContext<'a> {
    pub(crate) abort: bool,
    pub(crate) pipeline: &'a str,
    pub(crate) stage: &'a str,
    pub(crate) processor: &'a str,
    pub(crate) run: u32,
}

impl<'a> ErrorContext<'a> {
    /// Those of the check before the first stage. No failure handler is for what it fails: a run of its own, before all others.
    pub(crate) fn of_check(pipeline: &'a str) -> Self {
        Self { abort: true, pipeline, stage: "", processor: "", run: 0 }
    }

    /// The pipeline's name, without its version.
    pub(crate) fn pipeline_name(&self) -> &'a str {
        name_of(self.pipeline)
    }

    pub(crate) fn failed(&self, fault: Fault) -> State {
        State::Failed(Box::new(Failure {
            fault,
            pipeline: self.pipeline.to_owned(),
            stage: self.stage.to_owned(),
            processor: self.processor.to_owned(),
            run: self.run,
        }))
    }
}

/// A hit with its new score.
///
/// # Errors
/// For a number that no score can be.
pub(crate) fn scored<'d>(hit: impl Into<DocView<'d>>, number: &[u8]) -> Result<Effect, Fault> {
    let value: f64 = std::str::from_utf8(number).ok().and_then(|t| t.parse().ok()).unwrap_or(f64::NAN);
    if !value.is_finite() {
        return Err(Fault::result(format!("[{}] cannot be the score of a hit", String::from_utf8_lossy(number))));
    }
    json::set(hit, "_score", number).map(|text| Effect::Scored(text, value)).map_err(Fault::illegal)
}
