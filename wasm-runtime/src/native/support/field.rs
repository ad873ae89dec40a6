//! Reading and writing a field the way OpenSearch's processors do it, with their error texts.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;

use super::template::Template;
use super::{java_numbers, same};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::check_deadline;
use crate::engine::limits::{Copied, check_output_size};
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::json::bracket_path::dotted;
use crate::json::java;

/// Parts of a document's metadata that a built-in must not write; `_index`, `_id`, `_routing` and the context it may.
const METADATA: [&str; 4] = ["_version", "_version_type", "_if_seq_no", "_if_primary_term"];

/// A field's name without OpenSearch's optional `_source.` prefix.
///
/// # Errors
/// For an empty name, one of dots only, and metadata.
pub(crate) fn checked(option: &str, name: &str) -> Result<String, String> {
    let name = name.strip_prefix(SOURCE).unwrap_or(name);
    if name.is_empty() {
        return Err(format!("[{option}] required property is missing"));
    }
    if name.bytes().all(|c| c == b'.') {
        return Err(format!("[{option}] path [{name}] is not valid"));
    }
    if name.split('.').count() > json::DEEPEST_PATH {
        return Err(format!("[{option}] the path has more than {} parts", json::DEEPEST_PATH));
    }
    let head = name.split('.').next().unwrap_or(name);
    if METADATA.contains(&head) {
        return Err(format!("[{option}] must not name the metadata field [{head}]"));
    }
    Ok(dotted(name).into_owned())
}

/// A field's name out of its template, without OpenSearch's optional `_source.` prefix.
pub(crate) fn named<'n>(template: &'n Template, doc: DocView<'_>, meta: &Meta) -> Cow<'n, str> {
    match template.render(doc, meta) {
        Cow::Borrowed(name) => Cow::Borrowed(name.strip_prefix(SOURCE).unwrap_or(name)),
        Cow::Owned(name) => Cow::Owned(name.strip_prefix(SOURCE).map(str::to_owned).unwrap_or(name)),
    }
}

/// A name out of a document's values, without OpenSearch's optional `_source.` prefix.
pub(crate) fn unprefixed(name: String) -> String {
    name.strip_prefix(SOURCE).map(str::to_owned).unwrap_or(name)
}

/// A name without that prefix.
pub(crate) fn bare(name: &str) -> &str {
    name.strip_prefix(SOURCE).unwrap_or(name)
}

/// Prefix of a field's name that says that it is no metadata.
const SOURCE: &str = "_source.";

/// [`checked`] for the two names that most processors have.
///
/// # Errors
/// As [`checked`].
pub(crate) fn check_pair(field: &mut String, target: &mut Option<String>) -> Result<(), String> {
    *field = checked("field", field)?;
    if let Some(target) = target {
        *target = checked("target_field", target)?;
    }
    Ok(())
}

/// Where `path` leads in `text`.
///
/// # Errors
/// OpenSearch's "not present" text.
pub(crate) fn require(doc: DocView<'_>, path: &str) -> Result<Range<usize>, Fault> {
    if let Some(range) = json::find(doc, path) {
        return Ok(range);
    }
    Err(misplaced(absence(doc, path)))
}

/// Why nothing at `path` can be removed, as `IngestDocument.removeField` says it.
pub(crate) fn unremovable(doc: DocView<'_>, path: &str) -> String {
    let absence = absence(doc, path);
    let last = json::segments(path).last().unwrap_or_default();
    match absence.strip_prefix(&format!("cannot resolve [{last}]")) {
        Some(rest) => format!("cannot remove [{last}]{rest}"),
        None => absence,
    }
}

/// A path that leads nowhere; what is no position in a list fails for Java's reason.
pub(super) fn misplaced(reason: String) -> Fault {
    let part =
        reason.strip_prefix('[').and_then(|rest| rest.split_once("] is not an integer, cannot be used as an index"));
    match part.map(|(part, _)| format!("For input string: \"{part}\"")) {
        Some(cause) => Fault::illegal(reason).caused_by(cause),
        None => Fault::illegal(reason),
    }
}

/// An error if `path` leads to a place behind the end of a list; another place where nothing is, is none.
///
/// # Errors
/// OpenSearch's "out of bounds" text.
pub(crate) fn in_bounds(doc: DocView<'_>, path: &str) -> Result<(), Fault> {
    let absence = absence(doc, path);
    if absence.starts_with('[') && absence.contains("] is out of bounds for array with length [") {
        return Err(Fault::illegal(absence));
    }
    Ok(())
}

/// Why `path` leads nowhere, as `IngestDocument.resolve` says it.
pub(crate) fn absence(doc: DocView<'_>, path: &str) -> String {
    let mut view = doc.trimmed();
    for part in json::segments(path) {
        let here = view.text();
        let found = match here.first() {
            Some(b'{') => json::get(view, 0, &part).map(|entry| entry.value),
            Some(b'[') => java_numbers::int(&part)
                .ok()
                .and_then(|index| json::elements(here, 0).into_iter().nth(usize::try_from(index).ok()?)),
            _ => None,
        };
        if let Some(range) = found {
            view = here[range].into();
            continue;
        }
        return match here.first() {
            Some(b'[') => match java_numbers::int(&part) {
                Ok(index) => format!(
                    "[{index}] is out of bounds for array with length [{}] as part of path [{path}]",
                    json::elements(here, 0).len()
                ),
                Err(_) => format!("[{part}] is not an integer, cannot be used as an index as part of path [{path}]"),
            },
            Some(b'n') => format!("cannot resolve [{part}] from null as part of path [{path}]"),
            Some(b'{') | None => format!("field [{part}] not present as part of path [{path}]"),
            Some(_) => {
                let found = java::type_name(here);
                format!("cannot resolve [{part}] from object of type [{found}] as part of path [{path}]")
            }
        };
    }
    format!("field [{path}] not present as part of path [{path}]")
}

/// `text` with `value` at `path`.
///
/// # Errors
/// OpenSearch's texts for a path that leads through something else.
pub(crate) fn set<'d>(doc: impl Into<DocView<'d>>, path: &str, value: &[u8]) -> Result<Vec<u8>, Fault> {
    json::set(doc, path, value).map_err(misplaced)
}

/// `text` with all these values at their paths, one after the other.
///
/// # Errors
/// As [`set`], and where that is too much work or too long a document.
pub(crate) fn set_all(text: &[u8], fields: &[(impl AsRef<str>, Vec<u8>)]) -> Result<Vec<u8>, Fault> {
    if fields.len() > FEW {
        check_deadline();
        let bytes = fields.iter().map(|(path, value)| path.as_ref().len() + value.len()).sum::<usize>();
        check_output_size(text.len(), text.len() + bytes)?;
        let start = json::skip_ws(text, 0);
        let plain = |path: &str| json::is_plain(path) && !path.is_empty();
        if text.get(start) == Some(&b'{') && fields.iter().all(|(path, _)| plain(path.as_ref())) {
            let members: Vec<_> =
                fields.iter().map(|(path, value)| (Cow::Borrowed(path.as_ref()), value.as_slice())).collect();
            return Ok(json::set_members(text, start, &members));
        }
    }
    let mut out = text.to_vec();
    let mut copied = Copied::default();
    for (path, value) in fields {
        copied.more(out.len())?;
        out = set(&out, path.as_ref(), value)?;
    }
    Ok(out)
}

/// Maximum number of fields that are written one by one: a table costs more below it.
const FEW: usize = 8;

/// [`set`] as what a stage does to `text`.
///
/// # Errors
/// As [`set`].
pub(crate) fn change(doc: DocView<'_>, path: &str, value: &[u8]) -> Result<Effect, Fault> {
    json::change(doc, path, value).map(Effect::Edited).map_err(misplaced)
}

/// One name or a list of names.
#[derive(Deserialize, JsonSchema, Default, Clone)]
#[serde(untagged)]
pub(crate) enum Names {
    #[default]
    #[schemars(skip)]
    None,
    Single(String),
    Many(Vec<String>),
}

impl Names {
    pub(crate) fn list(&self) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::Single(name) => vec![name],
            Self::Many(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

/// OpenSearch's words for a value of the wrong type.
pub(crate) fn cannot_cast(field: &str, raw: &[u8], to: &str) -> Fault {
    Fault::illegal(format!("field [{field}] of type [{}] cannot be cast to [{to}]", java::type_name(raw)))
}

/// A JSON array of raw values.
pub(crate) fn array(values: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let parts: Vec<&[u8]> = values.iter().map(AsRef::as_ref).collect();
    [b"[".as_slice(), &parts.join(&b','), b"]"].concat()
}

/// The value at `path` as a list with `values` behind it.
///
/// Without `allow_duplicates` a value that is there already is not added, and where none is added all stays as it was: that is `None`.
///
/// # Errors
/// For a path that leads through something else.
pub(crate) fn append<'d>(
    doc: impl Into<DocView<'d>>,
    path: &str,
    values: &[Vec<u8>],
    allow_duplicates: bool,
) -> Result<Option<Vec<u8>>, Fault> {
    let doc = doc.into();
    let text = doc.text();
    let found = json::find(doc, path);
    let (there, mut list): (bool, Vec<&[u8]>) = match found.map(|range| &text[range]) {
        None => (false, Vec::new()),
        Some(raw) if raw[0] == b'[' => (true, json::elements(raw, 0).into_iter().map(|r| &raw[r]).collect()),
        Some(raw) => (true, vec![raw]),
    };
    let before = list.len();
    if allow_duplicates {
        list.extend(values.iter().map(Vec::as_slice));
    } else {
        let mut present: HashSet<Vec<u8>> = list.iter().map(|raw| same::key(raw)).collect();
        list.extend(values.iter().filter(|value| present.insert(same::key(value))).map(Vec::as_slice));
    }
    if there && list.len() == before && !allow_duplicates {
        return Ok(None);
    }
    set(doc, path, &array(&list)).map(Some)
}
