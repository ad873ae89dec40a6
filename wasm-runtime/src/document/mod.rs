//! One document on its way: its text, what is known of it beside the text, and what became of it.

pub(crate) mod effect;
pub(crate) mod metadata_fields;
pub(crate) mod query_notes;
pub(crate) mod response;
pub(crate) mod unambiguous;

use std::ops::Range;
use std::sync::Arc;

use memchr::memchr2;

use crate::error::{Facts, Fault};
use crate::json::index::{MemberSpan, ObjectIndex};
use crate::json::scan::has_control;
use crate::json::validate::Invalid;
use crate::json::{self, Edit};

/// What the documents of a batch are: it decides what a UDF's answer means.
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

/// The text of a document: a part of the body it came in, or new; of many new ones each is a part of the batch's `made`.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    Shared(Range<usize>),
    Owned(Vec<u8>),
    Made(Range<usize>),
}

impl Text {
    /// Where in the body it is, if it is a part of that.
    pub(crate) fn shared(&self) -> Option<&Range<usize>> {
        if let Self::Shared(range) = self { Some(range) } else { None }
    }
}

/// Room that a document gets when a stage changes it first, for what later stages add.
pub(crate) const ROOM: usize = 64;

/// Members of the context that are not the stages' own.
const KNOWN: [&str; 4] = ["index", "id", "routing", "pipeline"];

/// What a stage knows of a document beside its body.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Meta {
    pub(crate) index: Option<Arc<str>>,
    pub(crate) id: Option<String>,
    pub(crate) routing: Option<String>,
    pub(crate) score: f64,
    /// What stages tell each other: a JSON object, absent while it is empty.
    pub(crate) ctx: Option<Vec<u8>>,
}

impl Meta {
    /// Where the document is written: (index, id, routing).
    pub(crate) fn place(&self) -> [Option<&str>; 3] {
        [self.index.as_deref(), self.id.as_deref(), self.routing.as_deref()]
    }

    /// The context as JSON text.
    pub(crate) fn ctx(&self) -> &[u8] {
        self.ctx.as_deref().unwrap_or(b"{}")
    }

    /// The context with what Headrace itself knows of the document: [`KNOWN`].
    pub(crate) fn full_ctx(&self, pipeline: &str) -> Vec<u8> {
        let mut all = Self { ctx: self.ctx.clone(), ..Self::default() };
        let values = [self.index.as_deref(), self.id.as_deref(), self.routing.as_deref(), Some(pipeline)];
        for (name, value) in KNOWN.into_iter().zip(values) {
            if let Some(value) = value {
                all.put_ctx(name, &json::quote(value));
            }
        }
        all.ctx.unwrap_or_default()
    }

    /// Takes over a context that a stage was given by [`Self::full_ctx`] and may have changed.
    pub(crate) fn take_ctx(&mut self, ctx: Vec<u8>) {
        self.ctx = Some(ctx);
        KNOWN.into_iter().for_each(|name| self.drop_ctx(name));
        self.forget_empty_ctx();
    }

    /// A context without members is none.
    pub(crate) fn forget_empty_ctx(&mut self) {
        if self.ctx.as_deref() == Some(b"{}") {
            self.ctx = None;
        }
    }

    /// Writes one member of the context.
    pub(crate) fn put_ctx(&mut self, key: &str, value: &[u8]) {
        let text = self.ctx();
        let start = json::skip_ws(text, 0);
        self.ctx = Some(match json::get(text, start, key) {
            Some(old) => json::splice(text, old.value, value),
            None => json::insert_member(text, start, key, value),
        });
    }

    /// Removes one member of the context.
    pub(crate) fn drop_ctx(&mut self, key: &str) {
        if let Some(less) = self.ctx.as_deref().and_then(|text| json::remove_member(text, json::skip_ws(text, 0), key))
        {
            self.ctx = Some(less);
        }
    }
}

/// Where and why a document failed; `run` counts the batch's stage runs.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) pipeline: String,
    pub(crate) stage: String,
    /// What the stage ran: a built-in's or a UDF's name.
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
    pub(crate) lead: Range<u32>,
    /// On how many levels (conditions, retries, failure handlers) it sits this stage out; 0: it takes part.
    pub(crate) parked: u32,
    /// A UDF gave it a new score.
    pub(crate) scored: bool,
    /// Whether its text is known to be one JSON object.
    pub(crate) checked: bool,
    /// Where its members are, if a stage has asked.
    pub(crate) index: Option<ObjectIndex>,
}

impl Doc {
    pub(crate) fn new(text: Text, meta: Meta, slot: usize) -> Self {
        let (state, lead) = (State::Live, 0..0);
        Self { text, meta, state, slot, lead, parked: 0, scored: false, checked: false, index: None }
    }

    /// Takes a text that is in the batch's `made` out of it, so that a stage can work on it.
    pub(crate) fn own_text(&mut self, made: &[u8]) {
        if let Text::Made(range) = &self.text {
            self.text = Text::Owned(made[range.clone()].to_vec());
        }
    }

    /// Whether the next stage sees it.
    pub(crate) fn active(&self) -> bool {
        self.parked == 0 && matches!(self.state, State::Live)
    }
}

/// The text behind `text` in `body`, for a stage at work: none of its documents is [`Text::Made`].
pub(crate) fn text_of<'a>(body: &'a [u8], text: &'a Text) -> &'a [u8] {
    match text {
        Text::Shared(range) => &body[range.clone()],
        Text::Owned(bytes) => bytes,
        Text::Made(_) => unreachable!("what was made is the document's own while a stage works"),
    }
}

/// What the stages of a batch work with, beside the documents.
pub(crate) struct Desk<'b> {
    /// What the documents came in.
    body: &'b [u8],
    /// Where [`Text::Made`] is. Of a document in work it is the end, where it is changed in place.
    pub(crate) made: Vec<u8>,
    /// Whether new texts go there: of many documents they do, each one line, behind its [`Doc::lead`] and before a line end.
    gathers: bool,
    /// Bytes that they will take, about; asked for by the first of them.
    room: usize,
    /// Memory for the next index.
    pub(crate) members: Vec<MemberSpan>,
    /// Whether the last stage is at work, after which nobody asks for indexes.
    pub(crate) last: bool,
}

impl<'b> Desk<'b> {
    pub(crate) fn new(body: &'b [u8]) -> Self {
        Self { body, made: Vec::new(), gathers: false, room: 0, members: Vec::new(), last: false }
    }

    /// One that gathers what is made of `docs`, behind what has been `made`.
    pub(crate) fn gathering(body: &'b [u8], made: Vec<u8>, docs: &[Doc]) -> Self {
        let mut desk = Self { made, gathers: true, ..Self::new(body) };
        let size: usize = docs.iter().map(|doc| desk.text_len(doc) + doc.lead.len() + 1).sum();
        desk.room = size + size / 8;
        desk
    }

    /// Makes room for the new text of a document behind its lead; gives where it begins.
    #[inline]
    fn begin(&mut self, lead: &Range<u32>) -> usize {
        if self.made.capacity() == 0 {
            self.made.reserve(self.room);
        }
        self.made.extend_from_slice(&self.body[lead.start as usize..lead.end as usize]);
        self.made.len()
    }

    /// The length of a document's text, wherever it is.
    pub(crate) fn text_len(&self, doc: &Doc) -> usize {
        match &doc.text {
            Text::Shared(range) | Text::Made(range) => range.len(),
            Text::Owned(text) => text.len(),
        }
    }

    /// Takes an index that is no longer needed out of the document, for its memory.
    pub(crate) fn take_outline(&mut self, doc: &mut Doc) {
        if let Some(index) = doc.index.take() {
            self.members = index.into_spans();
        }
    }

    pub(crate) fn text<'a>(&'a self, doc: &'a Doc) -> &'a [u8] {
        self.text_of(&doc.text)
    }

    #[inline]
    pub(crate) fn text_of<'a>(&'a self, text: &'a Text) -> &'a [u8] {
        match text {
            Text::Made(range) => &self.made[range.clone()],
            text => text_of(self.body, text),
        }
    }

    /// Changes the text of the document in work.
    #[inline]
    pub(crate) fn edit(&mut self, doc: &mut Doc, edit: &Edit) {
        let from = match &mut doc.text {
            Text::Owned(text) => return edit.apply_to(text, 0),
            Text::Made(range) => {
                edit.apply_to(&mut self.made, range.start);
                range.start
            }
            Text::Shared(range) if self.gathers => {
                let from = self.begin(&doc.lead);
                edit.append_to(&mut self.made, &self.body[range.clone()]);
                from
            }
            Text::Shared(range) => {
                doc.text = Text::Owned(edit.applied_in(&self.body[range.clone()], ROOM));
                return;
            }
        };
        doc.text = Text::Made(from..self.made.len());
        if has_control(&edit.with) {
            on_one_line(&mut self.made[from..]);
        }
    }

    /// Gives the document in work another text.
    pub(crate) fn replace(&mut self, doc: &mut Doc, text: Vec<u8>) {
        let from = match &mut doc.text {
            Text::Made(range) => {
                self.made.truncate(range.start);
                range.start
            }
            Text::Shared(_) if self.gathers => self.begin(&doc.lead),
            _ => {
                doc.text = Text::Owned(text);
                return;
            }
        };
        // Looked through before it is copied: what has just been written is slower to read.
        let one_line = memchr2(b'\n', b'\r', &text).is_none();
        self.made.extend_from_slice(&text);
        doc.text = Text::Made(from..self.made.len());
        if !one_line {
            on_one_line(&mut self.made[from..]);
        }
    }

    /// Ends the work on a document: what was made of it is one line, or its own where it was dropped.
    #[inline]
    pub(crate) fn finish(&mut self, doc: &mut Doc) {
        self.take_outline(doc);
        if let Text::Made(range) = &doc.text {
            if matches!(doc.state, State::Dropped) {
                let begin = range.start - doc.lead.len();
                doc.own_text(&self.made);
                self.made.truncate(begin);
                return;
            }
            if !doc.lead.is_empty() {
                self.made.push(b'\n');
            }
        }
    }
}

/// A UDF may have answered pretty-printed JSON, whose line ends are white space.
pub(crate) fn on_one_line(text: &mut [u8]) {
    if memchr2(b'\n', b'\r', text).is_some() {
        text.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    }
}
