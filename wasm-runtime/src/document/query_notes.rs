//! Notes of query stages in `_meta` at the top of a request: they become `meta` of the context, and do not reach the
//! cluster,
//! which takes no such member.

use crate::document::Meta;
use crate::json;

const NAME: &str = "_meta";

/// Whether a request has such a member.
pub(crate) fn is_in(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"_meta").is_some() && json::get(text, json::skip_ws(text, 0), NAME).is_some()
}

/// The request without its notes, which are written over those in the context; `None` where there are none.
pub(crate) fn moved(text: &[u8], meta: &mut Meta) -> Option<Vec<u8>> {
    memchr::memmem::find(text, b"_meta")?;
    let start = json::skip_ws(text, 0);
    let notes = &text[json::get(text, start, NAME)?.value];
    if notes.first() != Some(&b'{') {
        return None;
    }
    let before = json::find(meta.ctx(), "meta").map(|range| meta.ctx()[range].to_vec());
    let all = match before.filter(|before| before.first() == Some(&b'{')) {
        Some(before) => json::merge(&before, notes),
        None => notes.to_vec(),
    };
    meta.set_ctx_member("meta", &all);
    json::remove_member(text, start, NAME)
}
