//! `sort`: the elements of a list.
//!
//! In result pipelines it works on the list in every hit, as OpenSearch's search processor of this name does.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::hit;
use super::support::rewrite::FieldRewrite;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::glance;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::json::java;

/// Sorts the elements of a list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sort {
    /// The field with the list, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The direction: `asc` or `desc`.
    #[schemars(extend("enum" = ["asc", "desc", null]))]
    order: Option<String>,
    /// The field that gets the result; default: `field`.
    #[schemars(length(min = 1))]
    target_field: Option<String>,
}

impl Parameters for Sort {
    fn prepare(&mut self) -> Result<(), String> {
        match self.order.as_deref() {
            None | Some("asc" | "desc") => {}
            Some(order) => {
                return Err(format!("[order] Sort direction [{order}] not recognized. Valid values are: [asc, desc]"));
            }
        }
        field::check_pair(&mut self.field, &mut self.target_field)
    }
}

/// The type that all elements of a list must have to be sorted.
#[derive(PartialEq, PartialOrd)]
enum Item {
    Flag(bool),
    Whole(i128),
    Number(f64),
    Text(Vec<u16>),
}

fn item(raw: &[u8]) -> Option<Item> {
    glance();
    Some(match raw[0] {
        b't' | b'f' => Item::Flag(raw == b"true"),
        b'"' => Item::Text(json::string(raw)?.encode_utf16().collect()),
        b'-' | b'0'..=b'9' => {
            let text = std::str::from_utf8(raw).ok()?;
            match text.parse::<i128>() {
                Ok(whole) => Item::Whole(whole),
                Err(_) => Item::Number(text.parse().ok()?),
            }
        }
        _ => return None,
    })
}

impl Sort {
    fn sorted(&self, list: &[&[u8]]) -> Result<Vec<u8>, Fault> {
        if list.len() < 2 {
            return Ok(field::array(list));
        }
        let kind = java::type_name(list[0]);
        if let Some(odd) = list.iter().find(|raw| java::type_name(raw) != kind || item(raw).is_none()) {
            return Err(Fault::new(
                400,
                "class_cast_exception",
                format!("field [{}] holds values that have no order: {kind} and {}", self.field, java::type_name(odd)),
            ));
        }
        let mut items: Vec<(Option<Item>, &[u8])> = list.iter().map(|raw| (item(raw), *raw)).collect();
        let descending = self.order.as_deref() == Some("desc");
        items.sort_by(|(a, _), (b, _)| {
            glance();
            let order = match (a, b) {
                // Java knows a negative zero.
                (Some(Item::Number(a)), Some(Item::Number(b))) => a.total_cmp(b),
                _ => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            };
            if descending { order.reverse() } else { order }
        });
        Ok(field::array(&items.into_iter().map(|(_, raw)| raw).collect::<Vec<_>>()))
    }
}

impl Function for Sort {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let rewrite = FieldRewrite::new(&self.field, self.target_field.as_deref(), false);
        match rewrite.list(doc, "cannot sort.")? {
            Some(list) => rewrite.set(doc, &self.sorted(&list)?),
            None => Ok(Effect::Unchanged),
        }
    }
}

/// Sorts the elements of a list in every hit.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct SortHits(Sort);

impl Parameters for SortHits {
    fn prepare(&mut self) -> Result<(), String> {
        self.0.prepare()
    }
}

impl Function for SortHits {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let target = self.0.target_field.as_deref().unwrap_or(&self.0.field);
        hit::rewrite(doc, &self.0.field, target, "sort", |raw| {
            if raw[0] != b'[' {
                return Err(field::cannot_cast(&self.0.field, raw, "java.util.List"));
            }
            let list: Vec<&[u8]> = json::elements(raw, 0).into_iter().map(|r| &raw[r]).collect();
            if list.contains(&b"null".as_slice()) {
                return Err(Fault::illegal(format!("field [{}] contains a null value.]", self.0.field)));
            }
            self.0.sorted(&list)
        })
    }
}
