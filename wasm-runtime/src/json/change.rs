//! Values set and removed by path, members added, objects merged: each as a change of the text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::edit::{Edit, scratch_text, splice};
use super::index::view::DocView;
use super::java;
use super::lex::{Entries, key_is, quote, skip_value, skip_ws, unescape, write_quoted};
use super::lookup::{elements, get, is_nowhere, is_plain, locate, segments, step};

/// Maximum number of parts of a path that is written: each may be a level of its own.
pub(crate) const DEEPEST_PATH: usize = 100;

/// Why a path could not be written; the text is OpenSearch's own.
pub(crate) type PathError = String;

/// [`change`], done.
///
/// # Errors
/// As [`change`].
pub(crate) fn set<'d>(doc: impl Into<DocView<'d>>, path: &str, value: &[u8]) -> Result<Vec<u8>, PathError> {
    let doc = doc.into();
    change(doc, path, value).map(|edit| edit.applied(doc.text()))
}

/// The change that sets the value at the dotted `path` to the raw JSON `value`; missing parents are made.
///
/// # Errors
/// With OpenSearch's words when a parent of the path is neither an object nor an array.
#[inline]
pub(crate) fn change<'d>(doc: impl Into<DocView<'d>>, path: &str, value: &[u8]) -> Result<Edit, PathError> {
    change_in(doc.into(), path, value)
}

fn change_in(doc: DocView<'_>, path: &str, value: &[u8]) -> Result<Edit, PathError> {
    let text = doc.text();
    if path.is_empty() {
        return Err("path cannot be null nor empty".to_owned());
    }
    if is_nowhere(path) {
        return Err(format!("path [{path}] is not valid"));
    }
    let here = skip_ws(text, 0);
    if is_plain(path) && text.get(here) == Some(&b'{') {
        return Ok(match locate(doc, here, path) {
            (Some(entry), _) => Edit::new(entry.value, value),
            (None, end) => insertion(text, here, end, path, value),
        });
    }
    change_at(doc, path, &segments(path).take(DEEPEST_PATH + 1).collect::<Vec<_>>(), value)
}

/// [`change`] for a path by its parts.
///
/// # Errors
/// As [`change`].
pub(crate) fn change_at<'d>(
    doc: impl Into<DocView<'d>>,
    path: &str,
    parts: &[Cow<'_, str>],
    value: &[u8],
) -> Result<Edit, PathError> {
    let doc = doc.into();
    let text = doc.text();
    if parts.len() > DEEPEST_PATH {
        return Err(format!("the path has more than {DEEPEST_PATH} parts"));
    }
    let mut here = skip_ws(text, 0);
    for (i, part) in parts.iter().enumerate() {
        match text.get(here) {
            Some(b'{') => match locate(doc, here, part) {
                (Some(entry), _) if i + 1 == parts.len() => return Ok(Edit::new(entry.value, value)),
                (Some(entry), _) if text[entry.value.start] == b'n' => {
                    return Err(null_parent(&parts[i + 1], i + 2 == parts.len(), path));
                }
                (Some(entry), _) => here = entry.value.start,
                (None, end) => return Ok(insertion(text, here, end, part, &nest(&parts[i + 1..], value))),
            },
            Some(b'[') => {
                let range = element_at(text, here, part, path)?;
                if i + 1 == parts.len() {
                    return Ok(Edit::new(range, value));
                }
                here = range.start;
            }
            _ => {
                let end = skip_value(text, here).unwrap_or(text.len());
                return Err(no_parent(&text[here..end], part, i + 1 == parts.len(), path));
            }
        }
    }
    Ok(Edit::new(0..0, b""))
}

/// The element of the array at `start` that `part` of a path names.
fn element_at(text: &[u8], start: usize, part: &str, path: &str) -> Result<Range<usize>, PathError> {
    let list = elements(text, start);
    let index: i32 = part
        .parse()
        .map_err(|_| format!("[{part}] is not an integer, cannot be used as an index as part of path [{path}]"))?;
    usize::try_from(index).ok().and_then(|index| list.get(index).cloned()).ok_or_else(|| {
        format!("[{index}] is out of bounds for array with length [{}] as part of path [{path}]", list.len())
    })
}

/// The error for `part` of a path below a null; `last`: it is the last part.
fn null_parent(part: &str, last: bool, path: &str) -> PathError {
    if last {
        format!("cannot set [{part}] with null parent as part of path [{path}]")
    } else {
        format!("cannot resolve [{part}] from null as part of path [{path}]")
    }
}

/// The error for `part` of a path below a value that has no parts; `last`: it is the last part.
fn no_parent(parent: &[u8], part: &str, last: bool, path: &str) -> PathError {
    let found = java::type_name(parent);
    if last {
        format!("cannot set [{part}] with parent object of type [{found}] as part of path [{path}]")
    } else {
        format!("cannot resolve [{part}] from object of type [{found}] as part of path [{path}]")
    }
}

/// `{"a":{"b":value}}` for the parts `a`, `b`; just `value` without parts.
fn nest(parts: &[Cow<'_, str>], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.push(b'{');
        out.extend(quote(part));
        out.push(b':');
    }
    out.extend_from_slice(value);
    out.extend(std::iter::repeat_n(b'}', parts.len()));
    out
}

/// `text` with a new last member in the object that starts at `start`.
pub(crate) fn insert_member(text: &[u8], start: usize, key: &str, value: &[u8]) -> Vec<u8> {
    let end = skip_value(text, start).unwrap_or(text.len());
    insertion(text, start, end - 1, key, value).applied(text)
}

/// The same as a change, for an object whose closing brace is at `end`.
fn insertion(text: &[u8], start: usize, end: usize, key: &str, value: &[u8]) -> Edit {
    let mut with = scratch_text(key.len() + value.len() + 4);
    if skip_ws(text, start + 1) != end {
        with.push(b',');
    }
    let from = with.len() + 1;
    write_quoted(key, &mut with);
    let added = from..with.len() - 1;
    with.push(b':');
    with.extend_from_slice(value);
    let trimmed = value.trim_ascii().len() == value.len();
    Edit { range: end..end, with, added: trimmed.then_some(added) }
}

/// `text` without the value at the dotted `path`; `None` if nothing is there.
pub(crate) fn remove<'d>(doc: impl Into<DocView<'d>>, path: &str) -> Option<Vec<u8>> {
    let doc = doc.into();
    let text = doc.text();
    if is_nowhere(path) {
        return None;
    }
    let parts: Vec<_> = segments(path).collect();
    let (last, parents) = parts.split_last()?;
    let mut here = skip_ws(text, 0);
    for part in parents {
        here = step(doc, here, part)?.start;
    }
    match text.get(here)? {
        b'{' => remove_member(doc, here, last),
        b'[' => {
            let list = elements(text, here);
            let range = list.get(last.parse::<usize>().ok()?)?.clone();
            Some(splice(text, with_comma(text, range), b""))
        }
        _ => None,
    }
}

/// `text` without any member `key` of the object that starts at `start` (duplicates go too); `None` if there is none.
pub(crate) fn remove_member<'d>(doc: impl Into<DocView<'d>>, start: usize, key: &str) -> Option<Vec<u8>> {
    let doc = doc.into();
    let text = doc.text();
    let entry = get(doc, start, key)?;
    let member = entry.key.start - 1..entry.value.end;
    // The last of them was found: are there others?
    let mut entries = Entries::new(text, start)?;
    let first = entries.by_ref().find(|entry| key_is(&text[entry.key.clone()], key))?;
    if first == entry {
        return Some(splice(text, with_comma(text, member), b""));
    }
    let kept: Vec<&[u8]> = Entries::new(text, start)?
        .filter(|entry| !key_is(&text[entry.key.clone()], key))
        .map(|entry| &text[entry.key.start - 1..entry.value.end])
        .collect();
    let end = skip_value(text, start)?;
    Some(splice(text, start + 1..end - 1, &kept.join(&b',')))
}

/// `range` widened over the one comma that has to go with it.
fn with_comma(text: &[u8], range: Range<usize>) -> Range<usize> {
    let after = skip_ws(text, range.end);
    if text.get(after) == Some(&b',') {
        return range.start..skip_ws(text, after + 1);
    }
    let mut before = range.start;
    while before > 0 && matches!(text[before - 1], b' ' | b'\t' | b'\n' | b'\r') {
        before -= 1;
    }
    if before > 0 && text[before - 1] == b',' { before - 1..range.end } else { range }
}

/// The members of `patch` written over those of `text` (both objects); the rest of `text` stays as it is.
pub(crate) fn merge(text: &[u8], patch: &[u8]) -> Vec<u8> {
    let entries = Entries::new(patch, skip_ws(patch, 0)).into_iter().flatten();
    let members: Vec<_> =
        entries.filter_map(|entry| Some((unescape(&patch[entry.key])?, &patch[entry.value]))).collect();
    set_members(text, skip_ws(text, 0), &members)
}

/// Maximum number of members that are merged one by one: a table costs more below it.
const FEW: usize = 8;

/// `text` with these members of the object that starts at `start`, in one pass: one that is there gets its new value, others come
/// behind the last. Of several of one name the last counts.
pub(crate) fn set_members(text: &[u8], start: usize, members: &[(Cow<'_, str>, impl AsRef<[u8]>)]) -> Vec<u8> {
    if members.len() <= FEW {
        return members.iter().fold(text.to_vec(), |out, (key, value)| match get(&out, start, key) {
            Some(old) => splice(&out, old.value, value.as_ref()),
            None => insert_member(&out, start, key, value.as_ref()),
        });
    }
    let mut wanted: HashMap<&str, (usize, Option<Range<usize>>)> = HashMap::with_capacity(members.len());
    for (n, (key, _)) in members.iter().enumerate() {
        wanted.entry(key).or_insert((n, None)).0 = n;
    }
    let Some(mut entries) = Entries::new(text, start) else { return text.to_vec() };
    let mut empty = true;
    for entry in entries.by_ref() {
        empty = false;
        if let Some((_, range)) = unescape(&text[entry.key]).and_then(|key| wanted.get_mut(&*key)) {
            *range = Some(entry.value);
        }
    }
    let end = skip_ws(text, entries.at);
    let mut edits: Vec<_> =
        wanted.values().filter_map(|(n, range)| Some((range.clone()?, members[*n].1.as_ref()))).collect();
    edits.sort_unstable_by_key(|(range, _)| range.start);
    let mut out =
        Vec::with_capacity(text.len() + members.iter().map(|(k, v)| k.len() + v.as_ref().len() + 4).sum::<usize>());
    let mut from = 0;
    for (range, value) in edits {
        out.extend_from_slice(&text[from..range.start]);
        out.extend_from_slice(value);
        from = range.end;
    }
    out.extend_from_slice(&text[from..end]);
    for (key, _) in members {
        // Each new one once, where the first of its name is.
        if let Some((n, None)) = wanted.remove(&**key) {
            if !std::mem::take(&mut empty) {
                out.push(b',');
            }
            write_quoted(key, &mut out);
            out.push(b':');
            out.extend_from_slice(members[n].1.as_ref());
        }
    }
    out.extend_from_slice(&text[end..]);
    out
}
