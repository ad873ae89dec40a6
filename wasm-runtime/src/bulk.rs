//! `_bulk`: framing of the body, what each action is about, the body to forward and the answer to send.
//!
//! Follows OpenSearch's `BulkRequestParser` (its texts, measured on 3.8.0). Lines that no stage touched are copied byte
//! for byte; a body in which nothing changed is not copied at all.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::batch::{Batch, Doc, Kind, State, Text};
use crate::error::{BulkError, Fault};
use crate::host::Meta;
use crate::json;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Index,
    Create,
    Update,
    Delete,
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

#[derive(Debug)]
enum Fate {
    /// Forwarded as it came.
    Untouched,
    /// Forwarded with a new document.
    Replaced(Vec<u8>),
    Dropped,
    Failed {
        fault: Fault,
        pipeline: String,
        stage: String,
    },
}

#[derive(Debug)]
struct Action {
    op: Op,
    /// The action line without its line end.
    line: Range<usize>,
    /// The source line without its line end; empty for `delete`.
    source: Range<usize>,
    id: Option<String>,
    key: usize,
    fate: Fate,
}

/// Where an action goes: its own or the URL's index, and the `pipeline` that it names itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    index: Option<String>,
    pipeline: Option<String>,
    /// Whether a document pipeline concerns it: not for `delete`.
    writes: bool,
}

/// A parsed `_bulk` body.
#[pyclass(module = "pipelines._wasm")]
pub struct Bulk {
    body: Arc<PyBackedBytes>,
    actions: Vec<Action>,
    targets: Vec<Target>,
    /// Per target: whether the `pipeline` in its action lines is ours and must not reach the cluster.
    strip: Vec<bool>,
}

const PARAMETERS: [&str; 16] = [
    "_index",
    "_id",
    "routing",
    "_routing",
    "version",
    "_version",
    "version_type",
    "_version_type",
    "op_type",
    "retry_on_conflict",
    "_retry_on_conflict",
    "pipeline",
    "if_seq_no",
    "if_primary_term",
    "_source",
    "require_alias",
];

fn line_at(body: &[u8], at: usize) -> (Range<usize>, usize) {
    let end = memchr(b'\n', &body[at..]).map_or(body.len(), |n| at + n);
    let text_end = if end > at && body[end - 1] == b'\r' { end - 1 } else { end };
    (at..text_end, (end + 1).min(body.len()))
}

#[pymethods]
impl Bulk {
    /// Parses `body`; `index` is the URL's.
    ///
    /// Raises BulkError, with OpenSearch's text, for what makes OpenSearch refuse the whole request.
    #[new]
    #[pyo3(signature = (body, *, index=None))]
    fn new(py: Python<'_>, body: PyBackedBytes, index: Option<&str>) -> PyResult<Self> {
        py.detach(|| Self::parse(body, index)).map_err(BulkError::new_err)
    }

    fn __len__(&self) -> usize {
        self.actions.len()
    }

    /// The distinct targets: (index or None, the `pipeline` named by the action or None, whether documents are written).
    fn targets(&self) -> Vec<(Option<String>, Option<String>, bool)> {
        self.targets.iter().map(|t| (t.index.clone(), t.pipeline.clone(), t.writes)).collect()
    }

    /// The documents of the actions at these targets (by position in `targets`), as a batch for a document pipeline.
    ///
    /// An update gives its `upsert`, or its `doc` with `doc_as_upsert`; without either it is not in the batch.
    fn batch(&mut self, py: Python<'_>, keys: Vec<usize>) -> Batch {
        let body = Arc::clone(&self.body);
        let docs = py.detach(|| self.documents(&keys));
        Batch { body, docs, kind: Kind::Document, trial: false }
    }

    /// Takes over what a pipeline made of the documents of `batch`.
    fn absorb(&mut self, batch: &mut Batch) {
        for doc in batch.docs.drain(..) {
            let Some(action) = self.actions.get_mut(doc.slot) else { continue };
            action.fate = match (doc.state, doc.text) {
                (State::Dropped | State::Finished, _) => Fate::Dropped,
                (State::Failed { fault, pipeline, stage }, _) => Fate::Failed { fault, pipeline, stage },
                (State::Live, Text::Shared(_)) => Fate::Untouched,
                (State::Live, Text::Owned(text)) => {
                    let part = writable_part(&self.body, action).unwrap_or_else(|| action.source.clone());
                    let before = &self.body[action.source.start..part.start];
                    let after = &self.body[part.end..action.source.end];
                    Fate::Replaced([before, &one_line(text), after].concat())
                }
            };
        }
    }

    /// Fails every action at target `key`.
    fn fail(&mut self, key: usize, status: u16, kind: String, reason: &str) {
        for action in self.actions.iter_mut().filter(|a| a.key == key) {
            let fault = Fault { status, kind: kind.clone().into(), reason: reason.to_owned() };
            action.fate = Fate::Failed { fault, pipeline: String::new(), stage: String::new() };
        }
    }

    /// Takes `pipeline` out of the action lines at target `key`: it is ours, the cluster does not know it.
    fn strip_pipeline(&mut self, key: usize) {
        if let Some(strip) = self.strip.get_mut(key) {
            *strip = true;
        }
    }

    /// (forwarded, dropped, failed) actions.
    fn counts(&self) -> (usize, usize, usize) {
        let (mut dropped, mut failed) = (0, 0);
        for action in &self.actions {
            match action.fate {
                Fate::Dropped => dropped += 1,
                Fate::Failed { .. } => failed += 1,
                Fate::Untouched | Fate::Replaced(_) => {}
            }
        }
        (self.actions.len() - dropped - failed, dropped, failed)
    }

    /// The body to forward: `None` if it is the one that came in, empty if nothing is left to forward.
    fn render<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let changed = self.strip.iter().any(|s| *s) || self.actions.iter().any(|a| !matches!(a.fate, Fate::Untouched));
        changed.then(|| {
            let out = py.detach(|| self.rendered());
            PyBytes::new(py, &out)
        })
    }

    /// The answer for the client: the cluster's items and ours, in the order of the request.
    ///
    /// `answer` is the cluster's response to the rendered body, `None` if nothing was forwarded; `took` in ms.
    /// Raises BulkError if the cluster answered another number of items than were forwarded.
    #[pyo3(signature = (answer, took))]
    fn merge<'py>(&self, py: Python<'py>, answer: Option<&[u8]>, took: u64) -> PyResult<Bound<'py, PyBytes>> {
        let out = py.detach(|| self.merged(answer, took)).map_err(BulkError::new_err)?;
        Ok(PyBytes::new(py, &out))
    }
}

/// A document on one line: a UDF may have answered pretty-printed JSON, whose line ends are white space.
fn one_line(mut text: Vec<u8>) -> Vec<u8> {
    if memchr(b'\n', &text).is_some() || memchr(b'\r', &text).is_some() {
        for byte in text.iter_mut().filter(|b| matches!(**b, b'\n' | b'\r')) {
            *byte = b' ';
        }
    }
    text
}

/// The part of an action's source that document pipelines see; `None` for updates that only patch.
fn writable_part(body: &[u8], action: &Action) -> Option<Range<usize>> {
    let source = &body[action.source.clone()];
    match action.op {
        Op::Index | Op::Create => Some(action.source.clone()),
        Op::Delete => None,
        Op::Update => {
            let start = json::skip_ws(source, 0);
            let shift = |r: Range<usize>| r.start + action.source.start..r.end + action.source.start;
            if let Some(upsert) = json::get(source, start, "upsert") {
                return Some(shift(upsert.value));
            }
            let as_upsert = json::get(source, start, "doc_as_upsert")?;
            if !matches!(&source[as_upsert.value], b"true" | b"\"true\"") {
                return None;
            }
            json::get(source, start, "doc").map(|e| shift(e.value))
        }
    }
}

impl Bulk {
    fn parse(body: PyBackedBytes, index: Option<&str>) -> Result<Self, String> {
        let mut bulk = Self { body: Arc::new(body), actions: Vec::new(), targets: Vec::new(), strip: Vec::new() };
        let body = Arc::clone(&bulk.body);
        let text: &[u8] = &body;
        if !text.is_empty() && text.last() != Some(&b'\n') {
            return Err("The bulk request must be terminated by a newline [\\n]".to_owned());
        }
        let mut keys: HashMap<Target, usize> = HashMap::new();
        let (mut at, mut number) = (0, 0);
        while at < text.len() {
            let (line, next) = line_at(text, at);
            number += 1;
            at = next;
            if text[line.clone()].trim_ascii().is_empty() {
                continue;
            }
            let (op, target, id) = parse_action(&text[line.clone()], number, index)?;
            let mut source = next..next;
            if op != Op::Delete {
                if next >= text.len() {
                    // OpenSearch ends here without this action; there is no document to lose.
                    break;
                }
                number += 1;
                (source, at) = line_at(text, next);
            }
            let key = keys.get(&target).copied().unwrap_or_else(|| {
                let key = bulk.targets.len();
                keys.insert(target.clone(), key);
                bulk.targets.push(target);
                bulk.strip.push(false);
                key
            });
            bulk.actions.push(Action { op, line, source, id, key, fate: Fate::Untouched });
        }
        Ok(bulk)
    }

    fn documents(&mut self, keys: &[usize]) -> Vec<Doc> {
        let mut docs = Vec::new();
        for (slot, action) in self.actions.iter_mut().enumerate().filter(|(_, a)| keys.contains(&a.key)) {
            if action.op == Op::Update
                && let Err(why) = json::check_object(&self.body[action.source.clone()])
            {
                let fault = Fault::new(400, "mapper_parsing_exception", format!("failed to parse: {}", why.0));
                action.fate = Fate::Failed { fault, pipeline: String::new(), stage: String::new() };
                continue;
            }
            let Some(part) = writable_part(&self.body, action) else { continue };
            docs.push(Doc {
                text: Text::Shared(part),
                meta: Meta { index: self.targets[action.key].index.clone(), id: action.id.clone(), score: 0.0 },
                state: State::Live,
                slot,
            });
        }
        docs
    }

    fn rendered(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + self.body.len() / 8);
        for action in &self.actions {
            let source: &[u8] = match &action.fate {
                Fate::Dropped | Fate::Failed { .. } => continue,
                Fate::Untouched => &self.body[action.source.clone()],
                Fate::Replaced(source) => source,
            };
            let line = &self.body[action.line.clone()];
            if self.strip[action.key] {
                out.extend(without_pipeline(line));
            } else {
                out.extend_from_slice(line);
            }
            out.push(b'\n');
            if action.op != Op::Delete {
                out.extend_from_slice(source);
                out.push(b'\n');
            }
        }
        out
    }

    fn merged(&self, answer: Option<&[u8]>, took: u64) -> Result<Vec<u8>, String> {
        let text = answer.unwrap_or(b"{\"items\":[]}");
        let start = json::skip_ws(text, 0);
        let items = json::get(text, start, "items").ok_or("the cluster's bulk response has no items")?.value;
        let theirs = json::elements(text, items.start);
        let (forwarded, _, failed) = self.counts();
        if theirs.len() != forwarded {
            return Err(format!("the cluster answered {} items for {forwarded} actions", theirs.len()));
        }
        let errors = failed > 0 || json::get(text, start, "errors").is_some_and(|e| &text[e.value] == b"true");
        let mut out = Vec::with_capacity(text.len() + self.actions.len() * 64);
        out.extend(format!("{{\"took\":{took}").bytes());
        if let Some(ingest) = json::get(text, start, "ingest_took") {
            out.extend_from_slice(b",\"ingest_took\":");
            out.extend_from_slice(&text[ingest.value]);
        }
        out.extend(format!(",\"errors\":{errors},\"items\":[").bytes());
        let mut theirs = theirs.into_iter();
        for (i, action) in self.actions.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            match &action.fate {
                Fate::Untouched | Fate::Replaced(_) => {
                    if let Some(range) = theirs.next() {
                        out.extend_from_slice(&text[range]);
                    }
                }
                Fate::Dropped => self.write_noop(action, &mut out),
                Fate::Failed { fault, pipeline, stage } => self.write_failure(action, fault, pipeline, stage, &mut out),
            }
        }
        out.extend_from_slice(b"]}");
        Ok(out)
    }

    fn write_head(&self, action: &Action, out: &mut Vec<u8>) {
        let index = self.targets[action.key].index.as_deref().unwrap_or("");
        out.extend(format!("{{\"{}\":{{\"_index\":", action.op.name()).bytes());
        out.extend(json::quote(index));
    }

    /// A dropped document, as OpenSearch's own ingest answers it.
    fn write_noop(&self, action: &Action, out: &mut Vec<u8>) {
        self.write_head(action, out);
        out.extend_from_slice(b",\"_id\":");
        out.extend(json::quote(action.id.as_deref().unwrap_or("auto-generated")));
        // Measured on 3.8.0: -4 (MATCH_DELETED) for creates, -3 (MATCH_ANY) for the rest.
        let version = if action.op == Op::Create { -4 } else { -3 };
        out.extend(
            format!(
                r#","_version":{version},"result":"noop","_shards":{{"total":0,"successful":0,"failed":0}},"status":200}}}}"#
            )
            .bytes(),
        );
    }

    fn write_failure(&self, action: &Action, fault: &Fault, pipeline: &str, stage: &str, out: &mut Vec<u8>) {
        self.write_head(action, out);
        out.extend_from_slice(b",\"_id\":");
        match &action.id {
            Some(id) => out.extend(json::quote(id)),
            None => out.extend_from_slice(b"null"),
        }
        out.extend(format!(",\"status\":{},\"error\":{{\"type\":", fault.status).bytes());
        out.extend(json::quote(&fault.kind));
        out.extend_from_slice(b",\"reason\":");
        out.extend(json::quote(&fault.reason));
        for (name, value) in [("pipeline", pipeline), ("stage", stage)] {
            if !value.is_empty() {
                out.extend(format!(",\"{name}\":").bytes());
                out.extend(json::quote(value));
            }
        }
        out.extend_from_slice(b"}}}");
    }
}

/// The action line without its `pipeline`.
fn without_pipeline(line: &[u8]) -> Vec<u8> {
    let start = json::skip_ws(line, 0);
    let meta = json::Entries::new(line, start).and_then(|mut e| e.next());
    meta.and_then(|entry| json::remove_member(line, entry.value.start, "pipeline")).unwrap_or_else(|| line.to_vec())
}

fn token_name(c: Option<u8>) -> &'static str {
    match c {
        Some(b'[') => "START_ARRAY",
        Some(b'"') => "VALUE_STRING",
        Some(b't' | b'f') => "VALUE_BOOLEAN",
        Some(b'n') => "VALUE_NULL",
        Some(b'{') => "START_OBJECT",
        Some(_) => "VALUE_NUMBER",
        None => "END_OBJECT",
    }
}

/// Reads an action line: what to do, where, with which id.
fn parse_action(line: &[u8], number: usize, index: Option<&str>) -> Result<(Op, Target, Option<String>), String> {
    let malformed = |what: &str| format!("Malformed action/metadata line [{number}], {what}");
    json::check(line).map_err(|e| malformed(&e.0))?;
    let start = json::skip_ws(line, 0);
    let mut entries = json::Entries::new(line, start).ok_or_else(|| {
        malformed(&format!("expected START_OBJECT but found [{}]", token_name(line.get(start).copied())))
    })?;
    let entry = entries.next().ok_or_else(|| malformed("expected FIELD_NAME but found [END_OBJECT]"))?;
    let name = json::unescape(&line[entry.key.clone()]).unwrap_or_default();
    let mut op = match name.as_ref() {
        "index" => Op::Index,
        "create" => Op::Create,
        "update" => Op::Update,
        "delete" => Op::Delete,
        other => {
            return Err(malformed(&format!("expected one of [create, delete, index, update] but found [{other}]")));
        }
    };
    let meta = json::Entries::new(line, entry.value.start).ok_or_else(|| {
        malformed(&format!(
            "expected START_OBJECT or END_OBJECT but found [{}]",
            token_name(line.get(entry.value.start).copied())
        ))
    })?;
    let mut target = Target { index: index.map(str::to_owned), pipeline: None, writes: op != Op::Delete };
    let mut id = None;
    for field in meta {
        let key = json::unescape(&line[field.key.clone()]).unwrap_or_default();
        if !PARAMETERS.contains(&key.as_ref()) {
            return Err(format!("Action/metadata line [{number}] contains an unknown parameter [{key}]"));
        }
        let raw = &line[field.value.clone()];
        if key != "_source" && matches!(raw[0], b'[' | b'{') {
            return Err(malformed(&format!(
                "expected a simple value for field [{key}] but found [{}]",
                token_name(raw.first().copied())
            )));
        }
        let text = || match raw {
            b"null" => None,
            _ => Some(json::string(raw).map_or_else(|| String::from_utf8_lossy(raw).into_owned(), |s| s.into_owned())),
        };
        match key.as_ref() {
            "_index" => target.index = text().or(target.index),
            "_id" => id = text(),
            "pipeline" => target.pipeline = text(),
            "op_type" if op == Op::Index && text().as_deref() == Some("create") => op = Op::Create,
            _ => {}
        }
    }
    Ok((op, target, id))
}

/// `text` (JSON) reduced by OpenSearch's `filter_path` patterns.
#[pyfunction]
pub fn filter_path<'py>(py: Python<'py>, text: &[u8], patterns: Vec<String>) -> Bound<'py, PyBytes> {
    let out = py.detach(|| crate::filter_path::filter_path(text, &patterns));
    PyBytes::new(py, &out)
}
