//! Many members of one object at once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::{Entries, get, insert_member, skip_ws, splice, unescape, write_quoted};

/// The members of `patch` written over those of `text` (both objects); the rest of `text` stays as it is.
pub(crate) fn merge(text: &[u8], patch: &[u8]) -> Vec<u8> {
    let entries = Entries::new(patch, skip_ws(patch, 0)).into_iter().flatten();
    let members: Vec<_> =
        entries.filter_map(|entry| Some((unescape(&patch[entry.key])?, &patch[entry.value]))).collect();
    put_members(text, skip_ws(text, 0), &members)
}

/// Merges of so few members are done one by one.
const FEW: usize = 8;

/// `text` with these members of the object that starts at `start`, in one pass: one that is there gets its new value, others come
/// behind the last. Of several of one name the last counts.
pub(crate) fn put_members(text: &[u8], start: usize, members: &[(Cow<'_, str>, impl AsRef<[u8]>)]) -> Vec<u8> {
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
        if let Some((_, place)) = unescape(&text[entry.key]).and_then(|key| wanted.get_mut(&*key)) {
            *place = Some(entry.value);
        }
    }
    let end = skip_ws(text, entries.at);
    let mut edits: Vec<_> =
        wanted.values().filter_map(|(n, place)| Some((place.clone()?, members[*n].1.as_ref()))).collect();
    edits.sort_unstable_by_key(|(place, _)| place.start);
    let mut out =
        Vec::with_capacity(text.len() + members.iter().map(|(k, v)| k.len() + v.as_ref().len() + 4).sum::<usize>());
    let mut from = 0;
    for (place, value) in edits {
        out.extend_from_slice(&text[from..place.start]);
        out.extend_from_slice(value);
        from = place.end;
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
