//! Names of fields as the mapping has them, against the keys of a document: a name covers all that is below it.

use std::borrow::Cow;

use crate::json;

/// How fields begin that hold what did not fit a mapping (`fit_mapping`): values of any field of the document.
pub(crate) const UNFIT: &str = "_unfit";
/// The end of the names of the lists beside them, which hold paths alone.
const UNFIT_PATHS: &str = "_fields";

/// Whether a raw key is that of a field, or below one, that holds values of any other field.
pub(crate) fn holds_any(raw: &[u8]) -> bool {
    if !matches!(raw.first(), Some(b'_' | b'.' | b'\\')) {
        return false;
    }
    let key = json::unescape(raw).map(without_empty_parts);
    key.is_none_or(|key| key.starts_with(UNFIT) && !key.ends_with(UNFIT_PATHS))
}

/// Relation of a key to names.
pub(crate) enum Relation<'n> {
    /// It is one of them, or lies below one.
    Covered,
    /// It is above these, which are what is left of them below it.
    Above(Vec<&'n str>),
    Elsewhere,
}

/// Relation of a raw key to `names`; a key that cannot be read is covered.
pub(crate) fn relation<'n>(raw: &[u8], names: &[&'n str]) -> Relation<'n> {
    if !may_match(raw, names) {
        return Relation::Elsewhere;
    }
    let Some(key) = json::unescape(raw).map(without_empty_parts) else { return Relation::Covered };
    let mut inner = Vec::new();
    for name in names {
        if below(&key, name).is_some() {
            return Relation::Covered;
        } else if let Some(rest) = below(name, &key) {
            inner.push(rest);
        }
    }
    if inner.is_empty() { Relation::Elsewhere } else { Relation::Above(inner) }
}

/// Whether a raw key has to be compared with the names: most differ in their first byte.
fn may_match(key: &[u8], names: &[&str]) -> bool {
    match key.first() {
        None | Some(b'.' | b'\\') => !names.is_empty(),
        first => names.iter().any(|name| name.is_empty() || name.as_bytes().first() == first),
    }
}

/// The rest of `path` below `above`, if it is that or lies below it; all lies below the empty path.
pub(crate) fn below<'p>(path: &'p str, above: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(above)?;
    if rest.is_empty() || above.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

/// A key as a path: of empty parts OpenSearch drops those at the end; others it refuses, or stores where it indexes nothing.
fn without_empty_parts(key: Cow<'_, str>) -> Cow<'_, str> {
    if key.split('.').all(|part| !part.is_empty()) {
        return key;
    }
    Cow::Owned(key.split('.').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("."))
}
