//! The form of the field that values move to, by the mapping.

use super::dynamic::{Found, Matched, Template};
use super::leaf::{Kind, Leaf};
use super::mapping::{Dynamic, Mapping, Node};
use super::options::Options;

/// The form of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `{"PATH": "VALUE"}`.
    Object,
    /// `["PATH: VALUE"]`.
    Lines,
}

/// The form that the mapping allows, and how many fields it adds; `None` where nothing may move.
pub(super) fn form(mapping: &Mapping, options: &Options) -> Option<(Form, usize)> {
    let root = &mapping.root;
    let dynamic = root.dynamic.unwrap_or(Dynamic::True);
    let unmapped = |name: &str, free: Form| match dynamic {
        Dynamic::False => Some((free, 0)),
        Dynamic::Strict => None,
        _ => match Template::find(&mapping.templates, name, Matched::String) {
            Some(Found::Leaf(leaf)) if leaf.takes_texts() => Some((Form::Lines, leaf.count())),
            Some(_) => None,
            None if dynamic == Dynamic::True => Some((Form::Lines, 2)),
            None if dynamic == Dynamic::FalseTemplates => Some((free, 0)),
            None => None,
        },
    };
    let texts = |leaf: &Leaf| matches!(leaf.kind, Kind::Text | Kind::Term { .. }) && leaf.takes_texts();
    let (form, first) = match root.children.get(options.target.as_bytes()) {
        Some(Node::Leaf(leaf)) if matches!(leaf.kind, Kind::FlatObject) => (Form::Object, 0),
        Some(Node::Leaf(leaf)) if texts(leaf) => (Form::Lines, 0),
        Some(Node::Object(object)) if object.disabled => (Form::Object, 0),
        Some(_) => return None,
        None => unmapped(&options.target, Form::Object)?,
    };
    let (_, second) = match root.children.get(options.target_fields.as_bytes()) {
        Some(Node::Leaf(leaf)) if texts(leaf) => (Form::Lines, 0),
        Some(Node::Object(object)) if object.disabled => (Form::Lines, 0),
        Some(_) => return None,
        None => unmapped(&options.target_fields, Form::Lines)?,
    };
    Some((form, first + second))
}
