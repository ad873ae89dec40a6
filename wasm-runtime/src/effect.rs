//! What a stage does to a document, and how that is written into it.

use crate::document::{Desk, Doc, Failure, Meta, State, Text};
use crate::error::Fault;
use crate::json::Edit;
use crate::levels;
use crate::metadata::Wide;
use crate::stats::StageRun;

/// Documents that one stage may make of the documents of a batch.
const MOST_EXPANDED: usize = 100_000;

/// What a stage does to one document.
#[derive(Debug, PartialEq)]
pub enum Effect {
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
    /// The same on `text` with a change done: its whole new text.
    pub fn whole(self, text: &[u8]) -> Self {
        match self {
            Self::Edited(edit) => Self::Replaced(edit.applied(text)),
            other => other,
        }
    }
}

/// Room that a document gets when a stage changes it first, for what later stages add.
const ROOM: usize = 64;

/// A pipeline's name out of its label, `name@version`.
pub fn name_of(label: &str) -> &str {
    label.split('@').next().unwrap_or(label)
}

/// How a stage runs: where its errors are filed, and whether they end the document's way.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    pub abort: bool,
    pub pipeline: &'a str,
    pub stage: &'a str,
    pub processor: &'a str,
    pub run: u32,
}

impl<'a> Terms<'a> {
    /// Those of the check before the first stage. No failure handler is for what it fails: a run of its own, before all others.
    pub fn of_check(pipeline: &'a str) -> Self {
        Self { abort: true, pipeline, stage: "", processor: "", run: 0 }
    }

    /// The pipeline's name, without its version.
    pub fn pipeline_name(&self) -> &str {
        name_of(self.pipeline)
    }

    pub fn failed(&self, fault: Fault) -> State {
        State::Failed(Box::new(Failure {
            fault,
            pipeline: self.pipeline.to_owned(),
            stage: self.stage.to_owned(),
            processor: self.processor.to_owned(),
            run: self.run,
        }))
    }
}

/// What a stage made of a document: its new text, or the documents that take its place.
enum Made {
    Effect(Effect),
    Moved(Vec<u8>, Meta),
    Several(Vec<Doc>),
}

/// Takes metadata back out of what a stage made, and gives several documents their own ids.
///
/// `room`: how many documents the batch may still grow by.
///
/// # Errors
/// For metadata that it cannot have, and too many documents.
fn unfold(doc: &Doc, effect: Effect, wide: Option<Wide>, room: &mut usize) -> Result<Made, Fault> {
    match (effect, wide) {
        (Effect::Replaced(text), Some(wide)) => {
            let (text, meta) = wide.narrowed(&text, &doc.meta)?;
            Ok(Made::Moved(text, meta))
        }
        (Effect::Expanded(parts), _) => {
            *room = room.checked_sub(parts.len()).ok_or_else(|| {
                Fault::new(
                    429,
                    "udf_result_exception",
                    "the stage makes too many documents of this bulk; send smaller ones",
                )
            })?;
            let mut docs = Vec::with_capacity(parts.len());
            for (n, part) in parts.into_iter().enumerate() {
                let derived = || doc.meta.id.as_ref().map(|id| if n == 0 { id.clone() } else { format!("{id}-{n}") });
                let (text, mut meta) = match wide {
                    None => (part, doc.meta.clone()),
                    Some(_) => Wide::UDF.narrowed(&part, &doc.meta)?,
                };
                if meta.id == doc.meta.id {
                    meta.id = derived();
                }
                docs.push(Doc { parked: doc.parked, checked: true, ..Doc::new(Text::Owned(text), meta, doc.slot) });
            }
            Ok(Made::Several(docs))
        }
        (effect, _) => Ok(Made::Effect(effect)),
    }
}

/// Writes what a stage made into the document and the counts; gives back the documents that take its place.
fn settle(
    desk: &mut Desk<'_>,
    doc: &mut Doc,
    at: usize,
    made: Result<Made, Fault>,
    terms: &Terms<'_>,
    run: &mut StageRun,
) -> Option<Vec<Doc>> {
    run.documents += 1;
    if desk.last {
        desk.take_outline(doc);
    }
    match made {
        Ok(Made::Several(parts)) => {
            run.changed += 1;
            run.expanded += 1;
            return Some(parts);
        }
        Ok(Made::Moved(text, meta)) => {
            run.changed += 1;
            doc.outline = None;
            doc.text = Text::Owned(text);
            doc.meta = meta;
        }
        Ok(Made::Effect(Effect::Unchanged | Effect::Expanded(_))) => {}
        Ok(Made::Effect(Effect::Replaced(text))) => {
            run.changed += 1;
            let outline = doc.outline.take();
            doc.outline = outline.and_then(|known| known.follow(desk.text(doc), &text));
            doc.text = Text::Owned(text);
        }
        Ok(Made::Effect(Effect::Edited(edit))) => {
            run.changed += 1;
            let outline = doc.outline.take();
            if let Text::Owned(text) = &mut doc.text {
                edit.apply_to(text);
            } else {
                let spare = std::mem::take(&mut desk.spare);
                doc.text = Text::Owned(edit.applied_in(desk.text(doc), spare, ROOM));
            }
            doc.outline = outline.and_then(|known| known.edited(&edit, desk.text(doc)));
        }
        Ok(Made::Effect(Effect::Scored(text, score))) => {
            run.changed += 1;
            doc.outline = None;
            doc.text = Text::Owned(text);
            doc.meta.score = score;
            doc.scored = true;
        }
        Ok(Made::Effect(Effect::Dropped)) => {
            run.dropped += 1;
            doc.state = State::Dropped;
        }
        Ok(Made::Effect(Effect::Finished(value))) => {
            run.changed += 1;
            doc.outline = None;
            doc.text = Text::Owned(value);
            doc.state = State::Finished;
        }
        Err(fault) => {
            levels::count(run, at, &fault, desk.text(doc));
            if terms.abort {
                doc.state = terms.failed(fault);
            }
        }
    }
    None
}

/// One stage over the documents of a batch: what it did so far.
pub struct Pass<'t> {
    terms: Terms<'t>,
    pub wide: Option<Wide>,
    room: usize,
    pub run: StageRun,
}

impl<'t> Pass<'t> {
    /// `wide`: whether the stage sees metadata, and takes it back out of what it made.
    pub fn new(terms: Terms<'t>, wide: Option<Wide>) -> Self {
        Self { terms, wide, room: MOST_EXPANDED, run: StageRun::default() }
    }

    /// Writes what the stage did to the document at `at` into it and into the counts; gives the documents that take its
    /// place, if it becomes several.
    pub fn settle(
        &mut self,
        desk: &mut Desk<'_>,
        doc: &mut Doc,
        at: usize,
        effect: Result<Effect, Fault>,
    ) -> Option<Vec<Doc>> {
        let made = effect.and_then(|effect| unfold(doc, effect, self.wide, &mut self.room));
        settle(desk, doc, at, made, &self.terms, &mut self.run)
    }
}
