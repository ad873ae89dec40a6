//! A field of a mapping by its type and options.

use serde_json::{Map, Value};

use super::leaf::numbers::Number;
use super::leaf::{Kind, Leaf};
use crate::native::date::Dates;

/// Defaults of leaves that the settings of an index have.
#[derive(Clone, Copy)]
pub(super) struct Defaults {
    pub(super) ignore_malformed: bool,
    pub(super) coerce: bool,
}

pub(super) fn flag(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => Some(text == "true"),
        _ => None,
    }
}

pub(super) fn number(value: Option<&Value>) -> Option<usize> {
    match value? {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|number| usize::try_from(number).ok()),
    }
}

/// The field of a type with its options.
pub(super) fn leaf(source: &Map<String, Value>, kind: &str, defaults: Defaults) -> Leaf {
    let fields = source.get("fields").and_then(Value::as_object).into_iter().flatten();
    let fields = fields.filter_map(|(_, field)| {
        let source = field.as_object()?;
        Some(leaf(source, source.get("type").and_then(Value::as_str)?, defaults))
    });
    let copy_to = match source.get("copy_to") {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    Leaf {
        kind: kind_of(source, kind),
        ignore_malformed: flag(source.get("ignore_malformed")).unwrap_or(defaults.ignore_malformed),
        coerce: flag(source.get("coerce")).unwrap_or(defaults.coerce),
        fields: fields.collect(),
        copy_to,
    }
}

fn kind_of(source: &Map<String, Value>, kind: &str) -> Kind {
    let on = |name: &str, default: bool| flag(source.get(name)).unwrap_or(default);
    if let Some(number) = Number::named(kind) {
        return Kind::Number(number);
    }
    let ignore_above = number(source.get("ignore_above"));
    match kind {
        "date" | "date_nanos" => {
            let format = source.get("format").and_then(Value::as_str);
            Kind::Date {
                formats: Dates::new(format.unwrap_or("strict_date_optional_time||epoch_millis")),
                nanos: kind == "date_nanos",
            }
        }
        "boolean" => Kind::Boolean,
        "ip" => Kind::Ip,
        "keyword" if !on("index", true) && !on("doc_values", true) => Kind::Text,
        "keyword" | "wildcard" => Kind::Term { ignore_above },
        // The other analyzers cut long tokens, or nobody can tell.
        "text" if source.get("analyzer").and_then(Value::as_str) == Some("keyword") => {
            Kind::Term { ignore_above: None }
        }
        "text" | "match_only_text" | "search_as_you_type" | "token_count" => Kind::Text,
        "constant_keyword" => Kind::Constant(source.get("value").and_then(Value::as_str).map(str::to_owned)),
        "geo_point" => Kind::GeoPoint,
        "flat_object" => Kind::FlatObject,
        "rank_features" | "integer_range" | "long_range" | "float_range" | "double_range" | "date_range"
        | "percolator" => Kind::Object,
        "binary" => Kind::Binary { stored: on("store", false) || on("doc_values", false) },
        "rank_feature" if on("positive_score_impact", true) => Kind::Rank,
        "alias" => Kind::Alias,
        _ => Kind::Any,
    }
}
