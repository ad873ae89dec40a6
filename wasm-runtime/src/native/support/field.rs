//! Reading and writing a field the way OpenSearch's processors do it, with their error texts.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use serde::Deserialize;

use super::template::Template;
use super::{java_numbers, same};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::{check_deadline, glance};
use crate::engine::limits::{Copied, check_output_size};
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::json::Edit;
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
fn misplaced(reason: String) -> Fault {
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

/// So few fields are put one by one.
const FEW: usize = 8;

/// [`set`] as what a stage does to `text`.
///
/// # Errors
/// As [`set`].
pub(crate) fn change(doc: DocView<'_>, path: &str, value: &[u8]) -> Result<Effect, Fault> {
    json::change(doc, path, value).map(Effect::Edited).map_err(misplaced)
}

/// One name or a list of names.
#[derive(Deserialize, Default, Clone)]
#[serde(untagged)]
pub(crate) enum Names {
    #[default]
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

/// `field`, `target_field` and `ignore_missing`, as most processors have them.
pub(crate) struct FieldRewrite<'a> {
    pub(crate) field: &'a str,
    pub(crate) target: Option<&'a str>,
    pub(crate) ignore_missing: bool,
}

impl<'a> FieldRewrite<'a> {
    pub(crate) fn new(field: &'a str, target: Option<&'a str>, ignore_missing: bool) -> Self {
        Self { field, target, ignore_missing }
    }

    /// Applies `whole` to the field's value, or `element` to every element of a list; `null` is the words for a null.
    ///
    /// # Errors
    /// For an absent or null field that may not be missing, and what the closures refuse.
    pub(crate) fn apply(
        &self,
        doc: DocView<'_>,
        null: impl Fn() -> String,
        whole: impl Fn(&[u8]) -> Result<Vec<u8>, Fault>,
        element: impl Fn(&[u8]) -> Result<Vec<u8>, Fault>,
    ) -> Result<Effect, Fault> {
        let text = doc.text();
        let found = json::find(doc, self.field);
        if self.ignore_missing && found.as_ref().is_none_or(|r| &text[r.clone()] == b"null") {
            return Ok(Effect::Unchanged);
        }
        let range = found.map_or_else(|| require(doc, self.field), Ok)?;
        let value = match &text[range.clone()] {
            b"null" => return Err(Fault::illegal(null())),
            raw if raw[0] == b'[' => {
                let mut output_size = 0;
                let mut parts = Vec::new();
                for at in json::elements(text, range.start) {
                    glance();
                    let part = element(&text[at])?;
                    output_size += part.len();
                    check_output_size(text.len(), output_size)?;
                    parts.push(part);
                }
                array(&parts)
            }
            raw => whole(raw)?,
        };
        match self.target {
            None if text[range.clone()] == value => Ok(Effect::Unchanged),
            None => Ok(Effect::Edited(Edit::of(range, value))),
            Some(target) => change(doc, target, &value),
        }
    }

    /// Rewrites a text, or every text of a list; `map` gives JSON. `plain` may spare it a text of ASCII without escapes, which
    /// it gets with its quotes.
    ///
    /// # Errors
    /// For other values, and what `map` refuses.
    pub(crate) fn map_text(
        &self,
        doc: DocView<'_>,
        plain: impl Fn(&[u8]) -> Option<Vec<u8>>,
        map: impl Fn(&str) -> Result<Vec<u8>, Fault>,
    ) -> Result<Effect, Fault> {
        let null = || format!("field [{}] is null, cannot process it.", self.field);
        let whole = |raw: &[u8]| {
            if is_plain_text(raw)
                && let Some(value) = plain(raw)
            {
                return Ok(value);
            }
            let value = json::string(raw).ok_or_else(|| cannot_cast(self.field, raw, "java.lang.String"))?;
            map(&value)
        };
        let element = |raw: &[u8]| {
            let value = json::string(raw).ok_or_else(|| {
                Fault::illegal(format!(
                    "value [{}] of type [{}] in list field [{}] cannot be cast to [java.lang.String]",
                    java::text(raw),
                    java::type_name(raw),
                    self.field
                ))
            })?;
            map(&value)
        };
        self.apply(doc, null, whole, element)
    }

    /// The field's raw value; `None` if it is absent or null and may be missing. `null` is the words for a null.
    ///
    /// # Errors
    /// For an absent or null field that may not be missing.
    pub(crate) fn value<'t>(&self, doc: DocView<'t>, null: &str) -> Result<Option<&'t [u8]>, Fault> {
        let text = doc.text();
        let found = json::find(doc, self.field).map(|range| &text[range]);
        match found {
            None | Some(b"null") if self.ignore_missing => Ok(None),
            None => Err(misplaced(absence(doc, self.field))),
            Some(b"null") => Err(Fault::illegal(format!("field [{}] is null, {null}", self.field))),
            Some(raw) => Ok(Some(raw)),
        }
    }

    /// [`Self::value`] as a text.
    ///
    /// # Errors
    /// As [`Self::value`], and for what is no text.
    pub(crate) fn text<'t>(&self, doc: DocView<'t>, null: &str) -> Result<Option<Cow<'t, str>>, Fault> {
        let Some(raw) = self.value(doc, null)? else { return Ok(None) };
        json::string(raw).map(Some).ok_or_else(|| cannot_cast(self.field, raw, "java.lang.String"))
    }

    /// [`Self::value`] as the elements of a list.
    ///
    /// # Errors
    /// As [`Self::value`], and for what is no list.
    pub(crate) fn list<'t>(&self, doc: DocView<'t>, null: &str) -> Result<Option<Vec<&'t [u8]>>, Fault> {
        let Some(raw) = self.value(doc, null)? else { return Ok(None) };
        if raw[0] != b'[' {
            return Err(cannot_cast(self.field, raw, "java.util.List"));
        }
        Ok(Some(json::elements(raw, 0).into_iter().map(|r| &raw[r]).collect()))
    }

    /// The document with `value` in the target, else in the field itself.
    ///
    /// # Errors
    /// For a target that leads through something else.
    pub(crate) fn set(&self, doc: DocView<'_>, value: &[u8]) -> Result<Effect, Fault> {
        change(doc, self.target.unwrap_or(self.field), value)
    }
}

/// Whether a raw value is a text of ASCII without escapes.
fn is_plain_text(raw: &[u8]) -> bool {
    raw.first() == Some(&b'"') && !raw.iter().fold(false, |odd, c| odd | !c.is_ascii() | (*c == b'\\'))
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
