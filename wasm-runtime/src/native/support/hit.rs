//! The fields of a hit: `_source`, and the lists under `fields`, as OpenSearch's search processors see them.

use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json::{self, DocView};

/// The hit with `map` of `field` in `target`, in its `_source` and in the lists of its `fields`; `verb` is for errors.
///
/// # Errors
/// For a null, and what `map` refuses. A hit without the field is left as it is.
pub(crate) fn rewrite(
    doc: DocView<'_>,
    field: &str,
    target: &str,
    verb: &str,
    map: impl Fn(&[u8]) -> Result<Vec<u8>, Fault>,
) -> Result<Effect, Fault> {
    let hit = doc.text();
    let null = || Fault::illegal(format!("field [{field}] is null, cannot {verb}."));
    let mut out: Option<Vec<u8>> = None;
    let start = json::skip_ws(hit, 0);
    let listed = json::get(doc, start, "fields").and_then(|e| json::get(hit, e.value.start, field));
    if let Some(entry) = listed {
        let values = json::elements(hit, entry.value.start);
        let Some(first) = values.first().filter(|r| &hit[(*r).clone()] != b"null") else { return Err(null()) };
        // A field's values are a list; one that holds a list is that list.
        let raw = if verb == "sort" { &hit[entry.value.clone()] } else { &hit[first.clone()] };
        let value = map(raw)?;
        let value = if value[0] == b'[' { value } else { [b"[".as_slice(), &value, b"]"].concat() };
        let fields = json::get(doc, start, "fields").map(|e| e.value);
        if let Some(fields) = fields {
            let object = json::get(hit, fields.start, target).map_or_else(
                || json::insert_member(&hit[fields.clone()], 0, target, &value),
                |old| {
                    let inner = old.value.start - fields.start..old.value.end - fields.start;
                    json::splice(&hit[fields.clone()], inner, &value)
                },
            );
            out = Some(json::splice(hit, fields, &object));
        }
    }
    let current = out.as_ref().map_or(doc, DocView::from);
    let source = format!("_source.{field}");
    if let Some(range) = json::find(current, &source) {
        let raw = &current.text()[range];
        if raw == b"null" {
            return Err(null());
        }
        let value = map(raw)?;
        out = Some(json::set(current, &format!("_source.{target}"), &value).map_err(Fault::illegal)?);
    }
    Ok(out.map_or(Effect::Unchanged, Effect::Replaced))
}
