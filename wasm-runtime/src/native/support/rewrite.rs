//! A field that is read, converted and written to its target, as most processors do it.

use std::borrow::Cow;

use super::field::{absence, array, cannot_cast, change, misplaced, require};
use crate::document::effect::Effect;
use crate::engine::deadline::glance;
use crate::engine::limits::check_output_size;
use crate::error::Fault;
use crate::json::{self, DocView, Edit, java};

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
