//! One document between stages: its text, its metadata, its state, and where its members are.
//!
//! A text is a range of the body that it came in until a stage changes it; then it is a `Vec` of its own, or a range of the batch's
//! output (`output`), where new texts of many documents stand one behind the other. `meta` is the index, id, routing, score and the
//! context that stages share.
//!
//! A stage answers with an `effect`: nothing, an edit, a new text, several documents, or that the document is dropped.
//! `metadata_fields` shows metadata as members to the stages that ask for them. `response` works on search responses and their hits,
//! `query_notes` moves `_meta` of a request into the context, and `unambiguous` reads a text as the cluster does, so that the text
//! that is judged is the text that is stored.

pub(crate) mod effect;
mod meta;
pub(crate) mod metadata_fields;
mod output;
pub(crate) mod query_notes;
pub(crate) mod response;
pub(crate) mod unambiguous;

use std::ops::Range;

pub(crate) use self::meta::Meta;
pub(crate) use self::output::{OutputBuffer, join_lines};
use crate::error::{Facts, Fault};
use crate::json::index::ObjectIndex;
use crate::json::validate::Invalid;

/// Kind of the documents of a batch; it decides how a UDF's answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Document,
    Query,
    Result,
    /// One hit of a response.
    Hit,
}

impl Kind {
    /// The error of a document of this kind that is no JSON object.
    pub(crate) fn parse_error(self, why: &Invalid) -> Fault {
        let kind = if self == Self::Document { "mapper_parsing_exception" } else { "parse_exception" };
        Fault::new(400, kind, format!("failed to parse: {}", why.0))
    }
}

/// The text of a document: a part of the body it came in, or new; of many new ones each is a part of the batch's `output`.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    Shared(Range<usize>),
    Owned(Vec<u8>),
    Output(Range<usize>),
}

/// Where and why a document failed; `run` counts the batch's stage runs.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) pipeline: String,
    pub(crate) stage: String,
    /// Name of the built-in or UDF that the stage ran.
    pub(crate) processor: String,
    pub(crate) run: u32,
}

impl Failure {
    /// (status, type, reason, pipeline, stage), as Python sees it.
    pub(crate) fn shown(&self) -> (u16, String, String, String, String) {
        let Facts { status, kind, reason, .. } = &*self.fault;
        (*status, kind.to_string(), reason.clone(), self.pipeline.clone(), self.stage.clone())
    }
}

#[derive(Debug, Clone)]
pub(crate) enum State {
    Live,
    Dropped,
    /// A trial run ended with a value that is no document.
    Finished,
    Failed(Box<Failure>),
}

#[derive(Debug, Clone)]
pub(crate) struct Doc {
    pub(crate) text: Text,
    pub(crate) meta: Meta,
    pub(crate) state: State,
    /// The bulk action, or the place in a response, that it belongs to.
    pub(crate) slot: usize,
    /// Its action line with the line end, in the body that it came in, if the document is all of the next line; empty if not.
    pub(crate) action_line: Range<u32>,
    /// On how many levels (conditions, retries, failure handlers) it sits this stage out; 0: it takes part.
    pub(crate) excluded_depth: u32,
    /// A UDF gave it a new score.
    pub(crate) scored: bool,
    /// Whether its text is known to be one JSON object.
    pub(crate) checked: bool,
    /// Where its members are, if a stage has asked.
    pub(crate) index: Option<ObjectIndex>,
}

impl Doc {
    pub(crate) fn new(text: Text, meta: Meta, slot: usize) -> Self {
        let (state, action_line) = (State::Live, 0..0);
        Self { text, meta, state, slot, action_line, excluded_depth: 0, scored: false, checked: false, index: None }
    }

    /// Takes a text that is in the batch's `output` out of it, so that a stage can work on it.
    pub(crate) fn own_text(&mut self, output: &[u8]) {
        if let Text::Output(range) = &self.text {
            self.text = Text::Owned(output[range.clone()].to_vec());
        }
    }

    /// Whether the next stage sees it.
    pub(crate) fn active(&self) -> bool {
        self.excluded_depth == 0 && matches!(self.state, State::Live)
    }
}

/// The text behind `text` in `body`, for a stage at work: none of its documents is [`Text::Output`].
pub(crate) fn text_of<'a>(body: &'a [u8], text: &'a Text) -> &'a [u8] {
    match text {
        Text::Shared(range) => &body[range.clone()],
        Text::Owned(bytes) => bytes,
        Text::Output(_) => unreachable!("what was made is the document's own while a stage works"),
    }
}
