//! The UDF result contract: what an answer means for the document.

use crate::document::Kind;
use crate::document::effect::{Effect, scored};
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::json::validate;
use crate::udf::host::DocumentEdits;
use crate::udf::numbers::Room;
use crate::udf::sandbox::Answer;

/// Maximum number of documents that a UDF may make of one, to bound memory.
const MOST_PARTS: usize = 10_000;

/// The UDF result contract (docs/reference/udf-abi.md, "JSON ABI"): what an answer means for the document.
pub(crate) struct Contract {
    pub(crate) kind: Kind,
    pub(crate) trial: bool,
    pub(crate) merge: bool,
    pub(crate) target_field: Option<String>,
    /// The UDF sees a response in its flat form ([`crate::document::response::flat`]).
    pub(crate) flat: bool,
}

impl Contract {
    /// `changed`: what host functions did to the document.
    ///
    /// # Errors
    /// The fault of a UDF that broke the contract.
    pub(crate) fn apply(
        &self,
        doc: DocView<'_>,
        output: Answer,
        changed: Option<DocumentEdits>,
    ) -> Result<Effect, Fault> {
        match output {
            Answer::Keep(true) | Answer::Json(None) => Ok(kept(changed)),
            Answer::Keep(false) => self.filtered(),
            Answer::Number(number) => self.number(doc, changed, number.text(&mut Room::default())),
            Answer::Json(Some(answer)) => self.answer(doc, answer, changed),
        }
    }

    fn answer(&self, doc: DocView<'_>, answer: Vec<u8>, changed: Option<DocumentEdits>) -> Result<Effect, Fault> {
        if !doc.index().is_some_and(|index| validate::validate_edit(index, doc.text(), &answer)) {
            validate::check(&answer).map_err(|e| Fault::result(format!("the UDF's answer is {}", e.0)))?;
        }
        let answer = trim(answer);
        let text = now(doc.text(), &changed);
        match answer[0] {
            b'n' | b't' => Ok(kept(changed)),
            b'f' => self.filtered(),
            b'{' if self.merge => Ok(Effect::Replaced(json::merge(text, &answer))),
            b'{' => Ok(Effect::Replaced(answer)),
            b'"' => self.string(text, answer),
            b'[' => self.list(&answer),
            _ => self.number(doc, changed, &answer),
        }
    }

    fn filtered(&self) -> Result<Effect, Fault> {
        match self.kind {
            _ if self.trial => Ok(Effect::Dropped),
            Kind::Document | Kind::Hit => Ok(Effect::Dropped),
            Kind::Query => Err(Fault::new(400, "filtered", "a stage of the query pipeline refused this request")),
            Kind::Result => Err(Fault::new(400, "filtered", "a stage of the result pipeline refused this response")),
        }
    }

    /// One document becomes many; an empty list drops it.
    fn list(&self, answer: &[u8]) -> Result<Effect, Fault> {
        if self.kind != Kind::Document {
            return Err(Fault::result("the UDF answered a list, which only document pipelines can take"));
        }
        let parts = json::elements(answer, 0);
        if let Some(at) = parts.iter().position(|r| answer[r.start] != b'{') {
            return Err(Fault::result(format!("the UDF answered a list whose element {at} is not an object")));
        }
        if parts.len() > MOST_PARTS {
            return Err(Fault::result(format!(
                "the UDF answered {} documents, the limit is {MOST_PARTS}",
                parts.len()
            )));
        }
        Ok(match parts.as_slice() {
            [] => Effect::Dropped,
            [part] => Effect::Replaced(answer[part.clone()].to_vec()),
            many => Effect::Expanded(many.iter().map(|r| answer[r.clone()].to_vec()).collect()),
        })
    }

    fn string(&self, text: &[u8], answer: Vec<u8>) -> Result<Effect, Fault> {
        if let Some(inner) = json::string(&answer).filter(|s| validate::check_object(s.as_bytes()).is_ok()) {
            return Ok(Effect::Replaced(json::merge(text, inner.as_bytes())));
        }
        if self.trial {
            return Ok(Effect::Finished(answer));
        }
        Err(Fault::result("the UDF answered a string that is not a JSON object"))
    }

    fn number(&self, doc: DocView<'_>, changed: Option<DocumentEdits>, number: &[u8]) -> Result<Effect, Fault> {
        let now = now(doc.text(), &changed);
        match &self.target_field {
            Some(field) if changed.is_none() => {
                json::change(doc, field, number).map(Effect::Edited).map_err(Fault::illegal)
            }
            Some(field) => json::set(now, field, number).map(Effect::Replaced).map_err(Fault::illegal),
            None if self.kind == Kind::Hit => scored(now, number),
            None if self.trial => Ok(Effect::Finished(number.to_vec())),
            None => Err(Fault::result("the UDF answered a number, but the stage has no [target_field] for it")),
        }
    }
}

/// The document as it came to the UDF, or as host functions changed it.
fn now<'t>(text: &'t [u8], changed: &'t Option<DocumentEdits>) -> &'t [u8] {
    changed.as_ref().map_or(text, |changed| changed.of(text))
}

/// The same as what the stage does to the document.
fn kept(changed: Option<DocumentEdits>) -> Effect {
    match changed {
        None => Effect::Unchanged,
        Some(DocumentEdits::Once(edit, _)) => Effect::Edited(edit),
        Some(DocumentEdits::Text(text)) => Effect::Replaced(text),
    }
}

fn trim(text: Vec<u8>) -> Vec<u8> {
    let trimmed = text.trim_ascii();
    if trimmed.len() == text.len() { text } else { trimmed.to_vec() }
}
