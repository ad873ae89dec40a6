//! The fields that values move to: their forms, which no mapping refuses.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::dynamic::Matched;
use super::form::Form;
use super::leaf::LONGEST_TERM;
use super::mapping::Mapping;
use super::options::Options;
use super::visit::{Unfit, Visit};
use crate::json::{self, Edit};

/// Bytes of a path in the target: a term has the path and a part of the value.
const LONGEST_PATH: usize = 8_000;

/// Parts of a value that are each short enough for a term beside their path.
fn parts(value: &str, path: &str) -> Vec<String> {
    let most = LONGEST_TERM - LONGEST_PATH.min(path.len()) - 128;
    if value.len() <= most {
        return vec![value.to_owned()];
    }
    let (mut parts, mut from) = (Vec::new(), 0);
    while from < value.len() {
        let mut end = (from + most).min(value.len());
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        parts.push(value[from..end].to_owned());
        from = end;
    }
    parts
}

fn shortened(path: &str) -> &str {
    let mut end = path.len().min(LONGEST_PATH);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    &path[..end]
}

fn list(texts: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        json::write_quoted(text, &mut out);
    }
    out
}

/// The members of the target's object, without its braces.
fn members(moved: &[(&str, Vec<String>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, (path, values)) in moved.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        json::write_quoted(path, &mut out);
        out.push(b':');
        match &values[..] {
            [value] => json::write_quoted(value, &mut out),
            values => {
                out.push(b'[');
                out.extend(list(values));
                out.push(b']');
            }
        }
    }
    out
}

/// The paths of values that did not fit, as the list of them has them.
fn names(mapping: &Mapping, options: &Options, unfit: &[Unfit]) -> Vec<String> {
    let mapped = mapping.root.children.contains_key(options.target_fields.as_bytes());
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    for each in unfit {
        let path = shortened(&each.path);
        if !seen.insert(path) {
            continue;
        }
        let quoted = json::quote(path);
        // The first of them may decide what the field becomes: no date, and no number.
        let plain = mapped || Matched::of(&quoted, &mapping.detection) == Matched::String;
        names.push(if plain { path.to_owned() } else { String::from_utf8_lossy(&quoted).into_owned() });
    }
    names
}

/// What moves, by path.
fn by_path(unfit: &[Unfit]) -> Vec<(&str, Vec<String>)> {
    let mut moved: Vec<(&str, Vec<String>)> = Vec::new();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    for each in unfit {
        let Some(value) = &each.moved else { continue };
        let path = shortened(&each.path);
        let at = *positions.entry(path).or_insert_with(|| {
            moved.push((path, Vec::new()));
            moved.len() - 1
        });
        moved[at].1.extend(parts(value, path));
    }
    moved
}

/// The content of the target.
fn content(moved: &[(&str, Vec<String>)], form: Form) -> Vec<u8> {
    if form == Form::Object {
        return members(moved);
    }
    let lines = moved.iter().flat_map(|(path, values)| values.iter().map(move |value| format!("{path}: {value}")));
    list(&lines.collect::<Vec<_>>())
}

/// The change of a field that the document has: it gets more `content`, between these brackets.
fn added(text: &[u8], range: Range<usize>, content: Vec<u8>, [open, close]: [u8; 2]) -> Edit {
    if text[range.start] == open {
        let empty = json::skip_ws(text, range.start + 1) == range.end - 1;
        let with = if empty { content } else { [b",", &content[..]].concat() };
        return Edit::of(range.end - 1..range.end - 1, with);
    }
    // It is of another form: it becomes a text of the list, or makes way.
    let before = super::leaf::text(&text[range.clone()]).filter(|_| open == b'[');
    let mut with = vec![open];
    if let Some(before) = before {
        json::write_quoted(&before, &mut with);
        with.push(b',');
    }
    with.extend(content);
    with.push(close);
    Edit::of(range, with)
}

/// Writes what moved, and the paths, into the root object that ends at `end` of the text.
pub(super) fn write(visit: &mut Visit<'_>, mapping: &Mapping, options: &Options, form: Form, text: &[u8], end: usize) {
    let moved = content(&by_path(&visit.unfit), form);
    let listed = list(&names(mapping, options, &visit.unfit));
    let brackets = if form == Form::Object { *b"{}" } else { *b"[]" };
    let (mut behind, mut edits) = (Vec::new(), Vec::new());
    let fields = [(&options.target, moved, brackets), (&options.target_fields, listed, *b"[]")];
    for ((name, content, brackets), there) in fields.into_iter().zip(visit.targets.clone()) {
        match there {
            _ if content.is_empty() => {}
            Some(range) => edits.push(added(text, range, content, brackets)),
            None => {
                if visit.kept || !behind.is_empty() {
                    behind.push(b',');
                }
                json::write_quoted(name, &mut behind);
                behind.extend([b':', brackets[0]]);
                behind.extend(content);
                behind.push(brackets[1]);
            }
        }
    }
    edits.push(Edit::of(end..end, behind));
    for edit in edits {
        // What is written here replaces what was done inside.
        let (from, to) = (edit.range.start, edit.range.end);
        visit.edits.retain(|inner| from == to || inner.range.start < from || inner.range.end > to);
        visit.edits.push(edit);
    }
    visit.edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
}
