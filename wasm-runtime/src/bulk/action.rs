//! The action lines of a `_bulk`: what they say, and how they are written anew.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::bulk::line_cache::{Variable, VariableSpans};
use crate::document::Meta;
use crate::json;
use crate::json::DocView;
use crate::json::index::{MemberSpan, ObjectIndex};
use crate::json::validate::{self, Invalid};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Index,
    Create,
    Update,
    Delete,
}

impl Op {
    fn named(name: &str) -> Option<Self> {
        [Self::Index, Self::Create, Self::Update, Self::Delete].into_iter().find(|op| op.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Where an action goes: its own or the URL's index, and the `pipeline` that it names itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) index: Option<Arc<str>>,
    pub(crate) pipeline: Option<String>,
    /// Whether a document pipeline concerns it: not for `delete`.
    pub(crate) writes: bool,
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

/// The action line with the metadata that differs from what it says.
pub(crate) fn readdressed<'a>(line: Cow<'a, [u8]>, before: &Meta, now: &Meta) -> Cow<'a, [u8]> {
    let changes = [
        (["_index", "_index"], before.index.as_deref(), now.index.as_deref()),
        (["_id", "_id"], before.id.as_deref(), now.id.as_deref()),
        (["routing", "_routing"], before.routing.as_deref(), now.routing.as_deref()),
    ];
    let mut line = line;
    for (names, _, value) in changes.into_iter().filter(|(_, before, now)| before != now) {
        for name in names {
            let Some(start) = meta_start(&line) else { return line };
            if let Some(less) = json::remove_member(&line, start, name) {
                line = Cow::Owned(less);
            }
        }
        if let (Some(value), Some(start)) = (value, meta_start(&line)) {
            line = Cow::Owned(json::insert_member(&line, start, names[0], &json::quote(value)));
        }
    }
    line
}

/// Where the metadata object of an action line starts.
fn meta_start(line: &[u8]) -> Option<usize> {
    json::Entries::new(line, json::skip_ws(line, 0))?.next().map(|entry| entry.value.start)
}

/// The action line without its `pipeline`.
pub(crate) fn without_pipeline(line: &[u8]) -> Vec<u8> {
    meta_start(line).and_then(|at| json::remove_member(line, at, "pipeline")).unwrap_or_else(|| line.to_vec())
}

/// A bulk's body with no `_type` in its action lines.
pub(crate) fn without_types(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut source = false;
    for line in body.split_inclusive(|c| *c == b'\n') {
        let blank = line.trim_ascii().is_empty();
        if source || blank {
            source = false;
            out.extend_from_slice(line);
            continue;
        }
        let start = json::skip_ws(line, 0);
        let action = json::Entries::new(line, start).and_then(|mut entries| entries.next());
        source = action.as_ref().is_some_and(|entry| &line[entry.key.clone()] != b"delete");
        match meta_start(line).and_then(|at| json::remove_member(line, at, "_type")) {
            Some(less) => out.extend_from_slice(&less),
            None => out.extend_from_slice(line),
        }
    }
    out
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

/// The content of an action line.
pub(crate) struct Named {
    pub(crate) op: Op,
    pub(crate) target: Target,
    pub(crate) id: Option<String>,
    pub(crate) routing: Option<String>,
    /// Where these two and the index are.
    pub(crate) texts: VariableSpans,
    pub(crate) versioned: bool,
}

/// The text at `range` of a line, if it is one and has no escapes: inside its quotes.
fn plain(line: &[u8], range: Range<usize>) -> Option<Range<usize>> {
    let inside = range.start + 1..range.end - 1;
    (line[range.start] == b'"' && !line[inside.clone()].contains(&b'\\')).then_some(inside)
}

/// The parameter as one whose text differs from line to line.
fn variable(key: &str) -> Option<Variable> {
    match key {
        "_index" => Some(Variable::Index),
        "_id" => Some(Variable::Id),
        "routing" | "_routing" => Some(Variable::Routing),
        _ => None,
    }
}

/// Reads an action line; `index` is the URL's.
///
/// # Errors
/// OpenSearch's text for a line that it refuses.
pub(crate) fn parse_action(line: &[u8], number: usize, index: Option<&Arc<str>>) -> Result<Named, String> {
    let malformed = |what: &str| format!("Malformed action/metadata line [{number}], {what}");
    validate::check(line).map_err(|e| malformed(&e.0))?;
    let start = json::skip_ws(line, 0);
    let mut entries = json::Entries::new(line, start).ok_or_else(|| {
        malformed(&format!("expected START_OBJECT but found [{}]", token_name(line.get(start).copied())))
    })?;
    let entry = entries.next().ok_or_else(|| malformed("expected FIELD_NAME but found [END_OBJECT]"))?;
    if line.get(json::skip_ws(line, entry.value.end)) != Some(&b'}') {
        return Err(malformed("it has more than one action"));
    }
    let name = json::unescape(&line[entry.key.clone()]).unwrap_or_default();
    let mut op = Op::named(&name)
        .ok_or_else(|| malformed(&format!("expected one of [create, delete, index, update] but found [{name}]")))?;
    let meta = json::Entries::new(line, entry.value.start).ok_or_else(|| {
        malformed(&format!(
            "expected START_OBJECT or END_OBJECT but found [{}]",
            token_name(line.get(entry.value.start).copied())
        ))
    })?;
    let mut target = Target { index: index.cloned(), pipeline: None, writes: op != Op::Delete };
    let (mut id, mut routing, mut texts, mut versioned) = (None, None, VariableSpans::default(), false);
    let mut seen = 0_u32;
    for field in meta {
        let key = json::unescape(&line[field.key.clone()]).unwrap_or_default();
        let Some(parameter) = PARAMETERS.iter().position(|name| *name == key) else {
            return Err(format!("Action/metadata line [{number}] contains an unknown parameter [{key}]"));
        };
        if seen & 1 << parameter != 0 {
            return Err(malformed(&format!("Duplicate Object property \"{key}\"")));
        }
        seen |= 1 << parameter;
        let raw = &line[field.value.clone()];
        check_parameter(&key, raw).map_err(|what| malformed(&what))?;
        let text = || match raw {
            b"null" => None,
            _ => Some(json::string(raw).map_or_else(|| String::from_utf8_lossy(raw).into_owned(), |s| s.into_owned())),
        };
        match key.as_ref() {
            "_index" => target.index = text().map(Arc::from).or(target.index),
            "_id" => id = text(),
            "pipeline" => target.pipeline = text(),
            "routing" | "_routing" => routing = text(),
            "version" | "_version" | "if_seq_no" | "if_primary_term" => versioned = true,
            "op_type" if op == Op::Index && text().as_deref() == Some("create") => op = Op::Create,
            _ => {}
        }
        if let Some(variable) = variable(&key) {
            // Of two names of the same thing the last one counts.
            texts.retain(|(earlier, _)| *earlier != variable);
            texts.extend(plain(line, field.value).map(|span| (variable, span)));
        }
    }
    Ok(Named { op, target, id, routing, texts, versioned })
}

/// Whether a parameter of an action line has a value that can be read.
fn check_parameter(key: &str, raw: &[u8]) -> Result<(), String> {
    if raw[0] == b'"' && raw.contains(&b'\\') && json::string(raw).is_none() {
        return Err(format!("half of a surrogate pair in the value of [{key}]"));
    }
    if key != "_source" && matches!(raw[0], b'[' | b'{') {
        let found = token_name(raw.first().copied());
        return Err(format!("expected a simple value for field [{key}] but found [{found}]"));
    }
    Ok(())
}

/// The part of an action's `source` line that document pipelines see; `None` for updates that only patch.
#[inline]
pub(crate) fn writable_part(body: &[u8], op: Op, source: &Range<usize>) -> Option<Range<usize>> {
    match op {
        Op::Index | Op::Create => Some(source.clone()),
        Op::Delete => None,
        Op::Update => {
            let part = upserted(body[source.clone()].into())?;
            Some(part.start + source.start..part.end + source.start)
        }
    }
}

/// The document that the source of an update writes where there is none yet.
fn upserted(doc: DocView<'_>) -> Option<Range<usize>> {
    let source = doc.text();
    let start = json::skip_ws(source, 0);
    if let Some(upsert) = json::get(doc, start, "upsert") {
        return Some(upsert.value);
    }
    let as_upsert = json::get(doc, start, "doc_as_upsert")?;
    if !matches!(&source[as_upsert.value], b"true" | b"\"true\"") {
        return None;
    }
    json::get(doc, start, "doc").map(|entry| entry.value)
}

/// [`writable_part`] for an update whose `source` line has not been checked; with the memory of `members`.
///
/// # Errors
/// Why the source is not a JSON object.
#[inline(never)]
pub(crate) fn part_of_update(
    body: &[u8],
    source: &Range<usize>,
    members: &mut Vec<MemberSpan>,
) -> Result<Option<Range<usize>>, Invalid> {
    let text = &body[source.clone()];
    let index = validate::validate_and_index(text, std::mem::take(members))?;
    let doc = index.as_ref().map_or_else(|| text.into(), |index| DocView::indexed(text, index));
    let part = upserted(doc).map(|part| part.start + source.start..part.end + source.start);
    *members = index.map(ObjectIndex::into_spans).unwrap_or_default();
    Ok(part)
}
