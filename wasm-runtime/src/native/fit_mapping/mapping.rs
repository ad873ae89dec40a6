//! The mapping of an index as a trie, with the settings that bound it.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::{Map, Value};

use super::dynamic::{Detection, LearnedFields, Template};
use super::field::{Defaults, flag, leaf, number};
use super::leaf::{Kind, Leaf};

/// Fields of one index that are compiled; beyond them the mapping counts as unknown.
pub(super) const MOST_FIELDS: usize = 20_000;
/// Bytes that a node of the trie takes beside its name, about.
const NODE_BYTES: usize = 256;

/// What a mapping does with a field that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dynamic {
    True,
    False,
    Strict,
    StrictTemplates,
    FalseTemplates,
}

impl Dynamic {
    fn read(value: &Value) -> Option<Self> {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(match &*text {
            "true" => Self::True,
            "false" => Self::False,
            "strict" => Self::Strict,
            "strict_allow_templates" => Self::StrictTemplates,
            "false_allow_templates" => Self::FalseTemplates,
            _ => return None,
        })
    }
}

/// A field of a mapping.
#[derive(Debug)]
pub(super) enum Node {
    Object(Object),
    Leaf(Leaf),
}

/// A field that has fields.
#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) dynamic: Option<Dynamic>,
    pub(super) children: FxHashMap<Box<[u8]>, Node>,
    pub(super) disabled: bool,
    pub(super) nested: bool,
}

/// Limits of an index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) fields: usize,
    pub(super) depth: usize,
    pub(super) nested_objects: usize,
    pub(super) name_length: usize,
}

/// The mapping of one index.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(super) root: Object,
    pub(super) limits: Limits,
    pub(super) detection: Detection,
    pub(super) templates: Vec<Template>,
    /// Fields and objects, as the cluster's limit counts them.
    pub(super) count: usize,
    pub(crate) nbytes: usize,
    /// Fields that documents have introduced since it was read.
    pub(super) learned: Arc<LearnedFields>,
}

impl Mapping {
    /// `mappings`: the member of this name in the answer of `GET /INDEX/_mapping`; `settings`: its flat settings.
    ///
    /// # Errors
    /// Why it cannot be compiled.
    pub(crate) fn compile(mappings: &Value, settings: &Value) -> Result<Self, String> {
        let empty = Map::new();
        let mappings = mappings.as_object().unwrap_or(&empty);
        let setting = |name: &str| settings.get(format!("index.mapping.{name}"));
        let defaults = Defaults {
            ignore_malformed: flag(setting("ignore_malformed")).unwrap_or(false),
            coerce: flag(setting("coerce")).unwrap_or(true),
        };
        let limits = Limits {
            fields: number(setting("total_fields.limit")).unwrap_or(1000),
            depth: number(setting("depth.limit")).unwrap_or(20),
            nested_objects: number(setting("nested_objects.limit")).unwrap_or(10_000),
            name_length: number(setting("field_name_length.limit")).unwrap_or(usize::MAX),
        };
        let mut size = Size::default();
        let root = size.object(mappings, defaults)?;
        let root = Object { disabled: flag(mappings.get("enabled")) == Some(false), ..root };
        Ok(Self {
            root,
            limits,
            detection: Detection::read(mappings),
            templates: Template::read(mappings.get("dynamic_templates"), defaults),
            count: size.fields,
            nbytes: size.bytes,
            learned: Arc::default(),
        })
    }

    /// Dotted paths of fields whose values are not judged here, or not in full.
    pub(super) fn opaque(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.root.opaque("", &mut found);
        found
    }

    /// The field of a path that the mapping has.
    pub(super) fn find(&self, path: &str) -> Option<&Node> {
        let mut parts = path.split('.');
        let mut node = self.root.children.get(parts.next()?.as_bytes())?;
        for part in parts {
            let Node::Object(object) = node else { return None };
            node = object.children.get(part.as_bytes())?;
        }
        Some(node)
    }
}

/// The most paths of opaque fields: each is compared with each name of a document.
const MOST_OPAQUE: usize = 1000;

impl Object {
    fn opaque(&self, above: &str, found: &mut Vec<String>) {
        for (name, node) in &self.children {
            let path = format!("{above}{}", String::from_utf8_lossy(name));
            match node {
                Node::Object(object) => object.opaque(&format!("{path}."), found),
                Node::Leaf(leaf) if leaf.is_opaque() && found.len() < MOST_OPAQUE => found.push(path),
                Node::Leaf(_) => {}
            }
        }
    }
}

/// Counts what is compiled.
#[derive(Default)]
struct Size {
    fields: usize,
    bytes: usize,
}

impl Size {
    fn object(&mut self, source: &Map<String, Value>, defaults: Defaults) -> Result<Object, String> {
        let mut children = FxHashMap::default();
        for (name, field) in source.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let node = self.node(field, defaults)?;
            self.bytes += NODE_BYTES + name.len();
            if self.fields > MOST_FIELDS {
                return Err(format!("the mapping has more than {MOST_FIELDS} fields"));
            }
            children.insert(name.as_bytes().into(), node);
        }
        let dynamic = source.get("dynamic").and_then(Dynamic::read);
        Ok(Object { dynamic, children, disabled: false, nested: false })
    }

    fn node(&mut self, field: &Value, defaults: Defaults) -> Result<Node, String> {
        let empty = Map::new();
        let source = field.as_object().unwrap_or(&empty);
        let kind = source.get("type").and_then(Value::as_str);
        match kind {
            _ if source.contains_key("disable_objects") => {
                self.fields += 1;
                return Ok(Node::Leaf(Leaf::plain(Kind::Open)));
            }
            None | Some("object" | "nested") => {
                self.fields += 1;
                let object = self.object(source, defaults)?;
                let disabled = flag(source.get("enabled")) == Some(false);
                return Ok(Node::Object(Object { disabled, nested: kind == Some("nested"), ..object }));
            }
            _ => {}
        }
        let leaf = leaf(source, kind.unwrap_or_default(), defaults);
        self.fields += leaf.count();
        self.bytes += NODE_BYTES * leaf.fields.len();
        Ok(Node::Leaf(leaf))
    }
}
