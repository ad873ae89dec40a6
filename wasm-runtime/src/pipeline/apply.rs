//! How an effect is written into its document, and counted.

use crate::document::effect::{Effect, ErrorContext};
use crate::document::metadata_fields::MetadataView;
use crate::document::{Doc, OutputBuffer, State, Text};
use crate::error::Fault;
use crate::json::recycle;
use crate::pipeline::scopes;
use crate::stats::StageRun;

/// Maximum number of documents that one stage may make of a batch, to bound memory.
const MOST_EXPANDED: usize = 100_000;

/// The documents that `parts` are in place of `doc`, each with an id of its own.
///
/// `view`: whether they show metadata; `room`: how many documents the batch may still grow by.
///
/// # Errors
/// For metadata that a document cannot have, and too many documents.
fn expand(doc: &Doc, parts: Vec<Vec<u8>>, view: bool, room: &mut usize) -> Result<Vec<Doc>, Fault> {
    *room = room.checked_sub(parts.len()).ok_or_else(|| {
        Fault::new(429, "udf_result_exception", "the stage makes too many documents of this bulk; send smaller ones")
    })?;
    let mut docs = Vec::with_capacity(parts.len());
    for (n, part) in parts.into_iter().enumerate() {
        let derived = || doc.meta.id.as_ref().map(|id| if n == 0 { id.clone() } else { format!("{id}-{n}") });
        let (text, mut meta) =
            if view { MetadataView::UDF.extract(&part, &doc.meta)? } else { (part, doc.meta.clone()) };
        if meta.id == doc.meta.id {
            meta.id = derived();
        }
        docs.push(Doc {
            excluded_depth: doc.excluded_depth,
            checked: true,
            ..Doc::new(Text::Owned(text), meta, doc.slot)
        });
    }
    Ok(docs)
}

/// One stage over the documents of a batch: what it did so far.
pub(crate) struct StageWriter<'t> {
    context: ErrorContext<'t>,
    pub(crate) view: Option<MetadataView>,
    room: usize,
    pub(crate) run: StageRun,
}

impl<'t> StageWriter<'t> {
    /// `view`: whether the stage sees metadata, and takes it back out of what it made.
    pub(crate) fn new(context: ErrorContext<'t>, view: Option<MetadataView>) -> Self {
        Self { context, view, room: MOST_EXPANDED, run: StageRun::default() }
    }

    /// Writes what the stage did to the document at `at` into it and into the counts; gives the documents that take its
    /// place, if it becomes several.
    pub(crate) fn apply(
        &mut self,
        buffer: &mut OutputBuffer<'_>,
        doc: &mut Doc,
        at: usize,
        effect: Result<Effect, Fault>,
    ) -> Option<Vec<Doc>> {
        self.run.documents += 1;
        if buffer.last {
            buffer.reclaim_index(doc);
        }
        let fault = match effect {
            Ok(Effect::Expanded(parts)) => match expand(doc, parts, self.view.is_some(), &mut self.room) {
                Ok(docs) => {
                    self.run.changed += 1;
                    self.run.expanded += 1;
                    return Some(docs);
                }
                Err(fault) => fault,
            },
            Ok(effect) => match self.write(buffer, doc, effect) {
                Ok(()) => return None,
                Err(fault) => fault,
            },
            Err(fault) => fault,
        };
        scopes::count(&mut self.run, at, &fault, buffer.text(doc));
        if self.context.abort {
            doc.state = self.context.failed(fault);
        }
        None
    }

    /// Writes an effect that leaves one document.
    ///
    /// # Errors
    /// For metadata that it cannot have.
    #[inline(always)]
    fn write(&mut self, buffer: &mut OutputBuffer<'_>, doc: &mut Doc, effect: Effect) -> Result<(), Fault> {
        match effect {
            Effect::Unchanged | Effect::Expanded(_) => return Ok(()),
            Effect::Dropped => {
                self.run.dropped += 1;
                doc.state = State::Dropped;
                return Ok(());
            }
            Effect::Edited(edit) => {
                buffer.edit(doc, &edit);
                let text = buffer.text_of(&doc.text);
                if doc.index.as_mut().is_some_and(|index| !index.edited(&edit, text)) {
                    doc.index = None;
                }
                recycle(edit.with);
            }
            Effect::Replaced(text) => match self.view {
                None => {
                    let old = buffer.text_of(&doc.text);
                    if doc.index.as_mut().is_some_and(|index| !index.follow(old, &text)) {
                        doc.index = None;
                    }
                    buffer.replace(doc, text);
                }
                Some(view) => {
                    let (text, meta) = view.extract(&text, &doc.meta)?;
                    doc.index = None;
                    buffer.replace(doc, text);
                    doc.meta = meta;
                }
            },
            Effect::Scored(text, score) => {
                doc.index = None;
                buffer.replace(doc, text);
                doc.meta.score = score;
                doc.scored = true;
            }
            Effect::Finished(value) => {
                doc.index = None;
                buffer.replace(doc, value);
                doc.state = State::Finished;
            }
        }
        self.run.changed += 1;
        Ok(())
    }
}
