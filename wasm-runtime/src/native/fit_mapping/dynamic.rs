//! Fields that a mapping does not have: which ones the cluster would add for a value.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::{Map, Value};

use super::field::{Defaults, leaf};
use super::leaf::numbers::Number;
use super::leaf::{Kind, Leaf, text};
use crate::native::date::Dates;
use crate::native::support::java_numbers;

/// The formats that texts are tried by, each with the format that the field gets.
const DATE_FORMATS: [&str; 2] = ["strict_date_optional_time", "yyyy/MM/dd HH:mm:ss||yyyy/MM/dd||epoch_millis"];
const DATES: &str = "strict_date_optional_time||epoch_millis";

/// A field that documents have introduced since the mapping was read.
#[derive(Debug, Clone)]
pub(super) enum Learned {
    Object,
    Leaf(Arc<Leaf>, &'static str),
}

/// Fields that documents have introduced, by path.
pub(super) type LearnedFields = Mutex<HashMap<String, Learned>>;

/// How texts become dates and numbers.
#[derive(Debug)]
pub(super) struct Detection {
    dates: bool,
    numbers: bool,
    formats: Vec<(Dates, String)>,
}

impl Detection {
    pub(super) fn read(mappings: &Map<String, Value>) -> Self {
        let on = |name: &str, default: bool| {
            mappings
                .get(name)
                .map_or(default, |value| value.as_bool().unwrap_or_else(|| value.as_str() == Some("true")))
        };
        let own = mappings.get("dynamic_date_formats").and_then(Value::as_array);
        let names: Vec<&str> = match own {
            Some(own) => own.iter().filter_map(Value::as_str).collect(),
            None => DATE_FORMATS.to_vec(),
        };
        let target = |name: &str| if name == DATE_FORMATS[0] { DATES.to_owned() } else { name.to_owned() };
        Self {
            dates: on("date_detection", true),
            numbers: on("numeric_detection", false),
            formats: names.into_iter().filter_map(|name| Some((Dates::new(name)?, target(name)))).collect(),
        }
    }

    /// Whether a text may become anything else than a text.
    pub(super) fn reads_texts(&self) -> bool {
        self.dates || self.numbers
    }
}

/// The type of JSON that a template is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matched {
    Object,
    String,
    Long,
    Double,
    Boolean,
    Date(usize),
}

impl Matched {
    /// What a value becomes without templates.
    pub(super) fn of(raw: &[u8], detection: &Detection) -> Self {
        match raw.first() {
            Some(b'{') => Self::Object,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'"') => {
                let Some(text) = text(raw).filter(|_| detection.reads_texts()) else { return Self::String };
                if java_numbers::parse_long(&text).is_ok() {
                    return if detection.numbers { Self::Long } else { Self::String };
                }
                if java_numbers::double(&text).is_ok() {
                    return if detection.numbers { Self::Double } else { Self::String };
                }
                let dated =
                    detection.dates && text.bytes().next().is_some_and(|c| !c.is_ascii_alphabetic() && c != b' ');
                let found = dated.then(|| detection.formats.iter().position(|(dates, _)| dates.reads(&text)));
                found.flatten().map_or(Self::String, Self::Date)
            }
            _ if raw.iter().any(|c| matches!(c, b'.' | b'e' | b'E')) => Self::Double,
            _ => Self::Long,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::String => "string",
            Self::Long => "long",
            Self::Double => "double",
            Self::Boolean => "boolean",
            Self::Date(_) => "date",
        }
    }
}

static TEXT: LazyLock<Arc<Leaf>> = LazyLock::new(|| {
    let keyword = Leaf::plain(Kind::Term { ignore_above: Some(256) });
    Arc::new(Leaf { fields: vec![keyword], ..Leaf::plain(Kind::Text) })
});

/// The field that the cluster adds: `None` for an object. With it a name that tells one type from another.
pub(super) fn added(matched: Matched, detection: &Detection) -> (Option<Arc<Leaf>>, &'static str) {
    let leaf = match matched {
        Matched::Object => return (None, "object"),
        Matched::String => return (Some(Arc::clone(&TEXT)), "text"),
        Matched::Long => Leaf::plain(Kind::Number(Number::Long)),
        Matched::Double => Leaf::plain(Kind::Number(Number::Float)),
        Matched::Boolean => Leaf::plain(Kind::Boolean),
        Matched::Date(at) => {
            let format = detection.formats.get(at).map_or(DATES, |(_, format)| format);
            Leaf::plain(Kind::Date { formats: Dates::new(format), nanos: false })
        }
    };
    (Some(Arc::new(leaf)), matched.name())
}

/// A rule for fields that are added.
#[derive(Debug)]
pub(super) struct Template {
    kind: Option<String>,
    names: [Option<String>; 2],
    paths: [Option<String>; 2],
    regex: bool,
    mapping: Map<String, Value>,
    defaults_malformed: bool,
    defaults_coerce: bool,
}

/// What a template says of a field.
pub(super) enum Found {
    Object,
    Leaf(Arc<Leaf>),
    /// Nobody here can tell.
    Unclear,
}

impl Template {
    pub(super) fn read(list: Option<&Value>, defaults: Defaults) -> Vec<Self> {
        let entries = list.and_then(Value::as_array).into_iter().flatten();
        entries
            .filter_map(|entry| entry.as_object()?.values().next()?.as_object())
            .map(|rule| {
                let text = |name: &str| match rule.get(name) {
                    Some(Value::String(text)) => Some(text.clone()),
                    _ => None,
                };
                Self {
                    kind: text("match_mapping_type").filter(|kind| kind != "*"),
                    names: [text("match"), text("unmatch")],
                    paths: [text("path_match"), text("path_unmatch")],
                    regex: text("match_pattern").as_deref() == Some("regex"),
                    mapping: rule.get("mapping").and_then(Value::as_object).cloned().unwrap_or_default(),
                    defaults_malformed: defaults.ignore_malformed,
                    defaults_coerce: defaults.coerce,
                }
            })
            .collect()
    }

    /// What the first template that concerns a field says of it.
    pub(super) fn find(list: &[Self], path: &str, matched: Matched) -> Option<Found> {
        let name = path.rsplit('.').next().unwrap_or(path);
        list.iter().find_map(|template| template.applied(path, name, matched))
    }

    fn applied(&self, path: &str, name: &str, matched: Matched) -> Option<Found> {
        if self.kind.as_deref().is_some_and(|kind| kind != matched.name()) {
            return None;
        }
        if self.regex && (self.names[0].is_some() || self.names[1].is_some()) {
            return Some(Found::Unclear);
        }
        let fits = |patterns: &[Option<String>; 2], text: &str| {
            patterns[0].as_ref().is_none_or(|pattern| simple_match(pattern, text))
                && !patterns[1].as_ref().is_some_and(|pattern| simple_match(pattern, text))
        };
        if !fits(&self.names, name) || !fits(&self.paths, path) {
            return None;
        }
        let default = match matched {
            Matched::Object => "object",
            Matched::String => "text",
            Matched::Double => "float",
            matched => matched.name(),
        };
        let kind = match self.mapping.get("type").and_then(Value::as_str) {
            None | Some("{dynamic_type}" | "{dynamicType}") => default,
            Some(kind) => kind,
        };
        if matches!(kind, "object" | "nested") {
            let plain = kind == "object" && !self.mapping.keys().any(|key| key != "type");
            return Some(if plain { Found::Object } else { Found::Unclear });
        }
        let defaults = Defaults { ignore_malformed: self.defaults_malformed, coerce: self.defaults_coerce };
        Some(Found::Leaf(Arc::new(leaf(&self.mapping, kind, defaults))))
    }
}

/// OpenSearch's `Regex.simpleMatch`: `*` stands for any text.
fn simple_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
