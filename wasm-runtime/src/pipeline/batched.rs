//! One stage whose UDF takes many documents in a call: interpreters, and compiled ones with `process_batch`.

use crate::document::effect::{Effect, ErrorContext};
use crate::document::response::flat;
use crate::document::{Doc, Kind, Meta, OutputBuffer, text_of};
use crate::engine::clock::now_ns;
use crate::error::Fault;
use crate::json::{DocView, validate};
use crate::pipeline::apply::StageWriter;
use crate::pipeline::batch::check::without_comments;
use crate::pipeline::condition::simple::like_object;
use crate::pipeline::fused::replace_expanded;
use crate::stats::StageRun;
use crate::udf::invoke::{Invoker, UdfResult};
use crate::udf::result_contract::Contract;
use crate::udf::sandbox::Answer;

/// Maximum number of documents in one call of a UDF: it bounds the guest's memory.
const CHUNK_DOCUMENTS: usize = 200;
/// Maximum of their bytes, for the same reason.
const CHUNK_BYTES: usize = 1 << 20;

/// Every active document through the UDF, some hundred at a time; of many documents `output` gets the new texts.
pub(crate) fn in_chunks(
    mut invoker: Invoker<'_>,
    contract: &Contract,
    mut writer: StageWriter<'_>,
    body: &[u8],
    docs: &mut Vec<Doc>,
    output: &mut Vec<u8>,
    check: &LateCheck<'_>,
) -> StageRun {
    let start = now_ns();
    let mut buffer = OutputBuffer::over(body, std::mem::take(output), docs);
    let mut expanded: Vec<(usize, Vec<Doc>)> = Vec::new();
    let mut next = 0;
    loop {
        let mut chunk = next_chunk(&buffer, docs, &mut next);
        if chunk.is_empty() {
            break;
        }
        let plain = writer.view.is_none() && !contract.flat;
        chunk.retain(|at| {
            let doc = &mut docs[*at];
            doc.checked || plain && like_object(text_of(body, &doc.text)) || check.verify(doc, body).is_some()
        });
        let Some(first) = chunk.first().copied() else { continue };
        let shown = shown_texts(&writer, contract, &buffer, docs, &chunk);
        let given: Vec<(&[u8], &Meta)> = match &shown {
            None => chunk.iter().map(|i| (buffer.text(&docs[*i]), &docs[*i].meta)).collect(),
            Some(shown) => {
                let shown = chunk.iter().zip(shown);
                shown.filter_map(|(i, text)| Some((text.as_deref().ok()?, &docs[*i].meta))).collect()
            }
        };
        let mut results = invoker.call_many(&given, first, &mut writer.run).into_iter();
        let mut shown = shown.map(Vec::into_iter);
        for at in chunk {
            let doc = &mut docs[at];
            let mut result = || results.next().unwrap_or_else(|| Err(Fault::result("the UDF gave no result")));
            let effect = match shown.as_mut().and_then(Iterator::next) {
                Some(text) => text.and_then(|shown| {
                    let effect = effect_of(contract, result()?, shown.as_slice().into(), &mut doc.meta)?;
                    match contract.flat {
                        true => flat::carried(text_of(body, &doc.text), &shown, effect),
                        false => Ok(effect),
                    }
                }),
                None => match result() {
                    // Goes no further: that is 17 of the 30 ns that a small document would cost.
                    Ok(given) if given.is_nothing() => {
                        writer.run.documents += 1;
                        continue;
                    }
                    given => {
                        let again = |doc: &Doc| {
                            let given = [(text_of(body, &doc.text), &doc.meta)];
                            invoker.call_many(&given, at, &mut writer.run).pop()
                        };
                        let Some(effect) = check.effect_of(contract, given, doc, body, again) else { continue };
                        effect
                    }
                },
            };
            if let Some(parts) = writer.apply(&mut buffer, doc, at, effect) {
                expanded.push((at, parts));
            }
            buffer.finish(doc);
        }
    }
    *output = buffer.output;
    replace_expanded(docs, expanded);
    invoker.finish(&mut writer.run);
    writer.run.duration_ns = now_ns() - start;
    writer.run
}

/// The check of documents that interpreters read strictly themselves: most need no other one. Where an answer is an error it
/// may be for a document that cannot be read, which is no error of the UDF.
pub(crate) struct LateCheck<'c> {
    pub(crate) context: ErrorContext<'c>,
    pub(crate) kind: Kind,
}

impl LateCheck<'_> {
    /// Checks a document; whether it has lost comments. `None` for one that cannot be read, which fails.
    #[cold]
    fn verify(&self, doc: &mut Doc, body: &[u8]) -> Option<bool> {
        let found = validate::check_object(text_of(body, &doc.text));
        doc.checked = true;
        let Err(why) = found else { return Some(false) };
        if without_comments(doc, body).is_some() {
            return Some(true);
        }
        doc.state = self.context.failed(self.kind.parse_error(&why));
        None
    }

    /// The effect of an answer on its document; `None` where that cannot be read. `again`: calls for a document once more.
    fn effect_of(
        &self,
        contract: &Contract,
        given: Result<UdfResult, Fault>,
        doc: &mut Doc,
        body: &[u8],
        mut again: impl FnMut(&Doc) -> Option<Result<UdfResult, Fault>>,
    ) -> Option<Result<Effect, Fault>> {
        let mut given = given;
        if !doc.checked && needs_text(contract, &given) && self.verify(doc, body)? {
            given = again(doc)?;
        }
        let effect = plain_effect(contract, given, doc, body);
        match effect {
            Err(_) if !doc.checked => match self.verify(doc, body)? {
                true => Some(plain_effect(contract, again(doc)?, doc, body)),
                false => Some(effect),
            },
            effect => {
                doc.checked |= matches!(effect, Ok(Effect::Replaced(_)));
                Some(effect)
            }
        }
    }
}

/// Whether what an answer means depends on the text of its document: it has members for it.
fn needs_text(contract: &Contract, given: &Result<UdfResult, Fault>) -> bool {
    let Ok(UdfResult { output: Answer::Json(Some(text)), .. }) = given else { return false };
    contract.merge || contract.target_field.is_some() || text.trim_ascii_start().first() == Some(&b'"')
}

/// The effect of an answer on a document that the UDF sees as it is.
fn plain_effect(
    contract: &Contract,
    given: Result<UdfResult, Fault>,
    doc: &mut Doc,
    body: &[u8],
) -> Result<Effect, Fault> {
    let text = text_of(body, &doc.text);
    let view = doc.index.as_ref().map_or(text.into(), |index| DocView::indexed(text, index));
    effect_of(contract, given?, view, &mut doc.meta)
}

/// The active documents from `next` on, up to some hundred or a megabyte, at least one if there is one; `next` goes behind them.
fn next_chunk(buffer: &OutputBuffer<'_>, docs: &[Doc], next: &mut usize) -> Vec<usize> {
    let mut chunk = Vec::with_capacity(CHUNK_DOCUMENTS.min(docs.len() - *next));
    let mut size = 0;
    while let Some(doc) = docs.get(*next).filter(|_| chunk.len() < CHUNK_DOCUMENTS) {
        if doc.active() {
            size += buffer.text_len(doc);
            if size > CHUNK_BYTES && !chunk.is_empty() {
                break;
            }
            chunk.push(*next);
        }
        *next += 1;
    }
    chunk
}

/// The documents of a chunk with metadata as members, or flat, where the UDF sees them so.
fn shown_texts(
    writer: &StageWriter<'_>,
    contract: &Contract,
    buffer: &OutputBuffer<'_>,
    docs: &[Doc],
    chunk: &[usize],
) -> Option<Vec<Result<Vec<u8>, Fault>>> {
    match writer.view {
        Some(view) => Some(chunk.iter().map(|i| view.expose(buffer.text(&docs[*i]), &docs[*i].meta)).collect()),
        None if contract.flat => Some(chunk.iter().map(|i| Ok(flat::of(buffer.text(&docs[*i])))).collect()),
        None => None,
    }
}

/// The effect of an answer on its document; the context is written at once.
///
/// # Errors
/// As [`Contract::apply`].
fn effect_of(contract: &Contract, given: UdfResult, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
    let effect = contract.apply(doc, given.output, None)?;
    if let Some(ctx) = given.ctx {
        meta.replace_ctx(ctx);
    }
    Ok(effect)
}
