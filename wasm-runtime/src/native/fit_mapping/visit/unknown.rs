//! Fields that the mapping does not have: those that documents have introduced, and those that the cluster would add.

use std::ops::Range;
use std::sync::Arc;

use super::scope::{Scope, Step};
use super::{Fate, Visit};
use crate::error::Fault;
use crate::json::{self, Edit};
use crate::native::fit_mapping::dynamic::{self, Found, Learned, Matched, Template};
use crate::native::fit_mapping::form;
use crate::native::fit_mapping::leaf::{Kind, Leaf, Verdict};
use crate::native::fit_mapping::mapping::{Dynamic, Node};
use crate::native::fit_mapping::options::Action;
use crate::native::fit_mapping::reason::Reason;

impl<'d> Visit<'d> {
    /// A null, which only some fields and strict objects refuse.
    pub(super) fn null(&mut self, parts: &[&str], value: Range<usize>, scope: Scope<'d>) -> Result<Fate, Fault> {
        let strict = scope.is_strict();
        let mut object = scope.object;
        let mut found = None;
        for part in parts {
            self.enter(part);
            found = object.and_then(|object| object.children.get(part.as_bytes()));
            object = if let Some(Node::Object(object)) = found { Some(object) } else { None };
        }
        match found {
            Some(Node::Leaf(leaf)) => self.leaf(leaf, value),
            Some(Node::Object(_)) => Ok(Fate::Stays),
            None if strict => self.refused(value, Reason::Unknown, None),
            None => Ok(Fate::Stays),
        }
    }

    /// One part of a dotted name that is not the last.
    pub(super) fn step(&mut self, part: &str, scope: Scope<'d>) -> Step<'d> {
        match scope.object.and_then(|object| object.children.get(part.as_bytes())) {
            Some(Node::Object(object)) if object.disabled => Step::Stays,
            // Names do not lead into nested objects.
            Some(Node::Object(object)) if object.nested => Step::Refused(Reason::Name),
            Some(Node::Object(_)) if scope.depth + 1 > self.mapping.limits.depth => Step::Refused(Reason::TooDeep),
            Some(Node::Object(object)) => Step::Into(scope.child(object)),
            Some(Node::Leaf(leaf)) if matches!(leaf.kind, Kind::Open) => Step::Stays,
            Some(Node::Leaf(_)) => Step::Refused(Reason::ObjectForScalar),
            None => self.unknown_object(scope),
        }
    }

    /// An object that the mapping does not have, at the path.
    pub(super) fn unknown_object(&mut self, scope: Scope<'d>) -> Step<'d> {
        match self.learned_field() {
            Some(Learned::Object) => return self.deeper(scope),
            Some(Learned::Leaf(..)) => return Step::Refused(Reason::ObjectForScalar),
            None => {}
        }
        let refuses = match scope.dynamic {
            Dynamic::False if self.options.unknown_fields == Action::Keep => return Step::Stays,
            Dynamic::Strict => true,
            _ => self.options.unknown_fields != Action::Keep,
        };
        if refuses {
            return Step::Refused(Reason::Unknown);
        }
        match Template::find(&self.mapping.templates, &self.path(), Matched::Object) {
            Some(Found::Unclear) => return Step::Stays,
            Some(Found::Leaf(_)) => return Step::Refused(Reason::ObjectForScalar),
            Some(Found::Object) => {}
            None if scope.dynamic == Dynamic::StrictTemplates => return Step::Refused(Reason::Unknown),
            None if scope.dynamic == Dynamic::FalseTemplates => return Step::Stays,
            None => {}
        }
        let deeper = self.deeper(scope);
        if matches!(deeper, Step::Into(_)) && !self.learn(Learned::Object, 1) {
            return Step::Refused(Reason::TooManyFields);
        }
        deeper
    }

    fn deeper(&self, scope: Scope<'d>) -> Step<'d> {
        if scope.depth + 1 > self.mapping.limits.depth {
            Step::Refused(Reason::TooDeep)
        } else {
            Step::Into(scope.introduced())
        }
    }

    /// A field that the mapping does not have, at the path.
    pub(super) fn unknown(&mut self, value: Range<usize>, scope: Scope<'d>) -> Result<Fate, Fault> {
        let first = self.text[value.start];
        match (self.learned_field(), first) {
            (Some(Learned::Object), b'{') => return self.introduced_object(value, scope),
            (Some(Learned::Object | Learned::Leaf(..)), b'[') => return self.unknown_list(value, scope),
            (Some(_), b'n') => return Ok(Fate::Stays),
            (Some(Learned::Object), _) => return self.refused(value, Reason::ScalarForObject, None),
            (Some(Learned::Leaf(leaf, kind)), _) => return self.learned_leaf(&leaf, kind, value),
            (None, _) => {}
        }
        match scope.dynamic {
            Dynamic::Strict => return self.refused(value, Reason::Unknown, None),
            _ if self.options.unknown_fields != Action::Keep => return self.refused(value, Reason::Unknown, None),
            Dynamic::False => return Ok(Fate::Stays),
            _ => {}
        }
        if self.names.last().is_some_and(|name| name.len() > self.mapping.limits.name_length) {
            return self.refused(value, Reason::Name, None);
        }
        match first {
            b'n' => Ok(Fate::Stays),
            b'{' => match self.unknown_object(scope) {
                Step::Into(scope) => self.members(value.start, scope).map(|_| Fate::Stays),
                Step::Stays => Ok(Fate::Stays),
                Step::Refused(Reason::ObjectForScalar) => self.templated_object(value),
                Step::Refused(reason) => self.refused(value, reason, None),
            },
            b'[' if scope.dynamic == Dynamic::StrictTemplates
                && Template::find(&self.mapping.templates, &self.path(), Matched::Object).is_none() =>
            {
                self.refused(value, Reason::Unknown, None)
            }
            b'[' => self.unknown_list(value, scope),
            _ => self.unknown_scalar(value, scope),
        }
    }

    fn introduced_object(&mut self, value: Range<usize>, scope: Scope<'d>) -> Result<Fate, Fault> {
        match self.deeper(scope) {
            Step::Into(scope) => self.members(value.start, scope).map(|_| Fate::Stays),
            _ => self.refused(value, Reason::TooDeep, None),
        }
    }

    /// An object for which a template has a field that holds values.
    fn templated_object(&mut self, value: Range<usize>) -> Result<Fate, Fault> {
        match Template::find(&self.mapping.templates, &self.path(), Matched::Object) {
            Some(Found::Leaf(leaf)) => match leaf.check(&self.text[value.clone()], self.path_length(), false) {
                Verdict::Refused(reason) => self.refused(value, reason, None),
                _ => Ok(Fate::Stays),
            },
            _ => self.refused(value, Reason::ObjectForScalar, None),
        }
    }

    fn unknown_list(&mut self, value: Range<usize>, scope: Scope<'d>) -> Result<Fate, Fault> {
        if self.options.coerce && self.learned_field().is_none() {
            let elements = json::elements(self.text, value.start);
            let is = |matched: Matched| {
                let text = self.text;
                elements.iter().any(|at| {
                    matches!(text[at.start], b'-' | b'0'..=b'9')
                        && Matched::of(&text[at.clone()], &self.mapping.detection) == matched
                })
            };
            // All numbers of a new list have one type: integers become fractions.
            if is(Matched::Long) && is(Matched::Double) {
                let first = elements.iter().find(|at| {
                    matches!(self.text[at.start], b'-' | b'0'..=b'9')
                        && Matched::of(&self.text[(*at).clone()], &self.mapping.detection) == Matched::Double
                });
                if let Some(first) = first.cloned() {
                    let mark = self.unfit.len();
                    self.unknown_scalar(first, scope)?;
                    self.unfit.truncate(mark);
                }
            }
        }
        self.elements(value, &mut |visit, element| visit.unknown(element, scope))
    }

    /// A scalar of a field that the cluster would add.
    fn unknown_scalar(&mut self, value: Range<usize>, scope: Scope<'d>) -> Result<Fate, Fault> {
        let text = self.text;
        let raw = &text[value.clone()];
        let matched = Matched::of(raw, &self.mapping.detection);
        let (leaf, kind) = match Template::find(&self.mapping.templates, &self.path(), matched) {
            Some(Found::Leaf(leaf)) => (leaf, "template"),
            Some(Found::Object) => return self.refused(value, Reason::ScalarForObject, None),
            Some(Found::Unclear) => return Ok(Fate::Stays),
            None => match scope.dynamic {
                Dynamic::StrictTemplates => return self.refused(value, Reason::Unknown, None),
                Dynamic::FalseTemplates => return Ok(Fate::Stays),
                _ => match dynamic::added(matched, &self.mapping.detection) {
                    (Some(leaf), kind) => (leaf, kind),
                    (None, _) => return Ok(Fate::Stays),
                },
            },
        };
        if let Verdict::Refused(reason) = leaf.check(raw, self.path_length(), false) {
            return self.refused(value, reason, None);
        }
        let count = leaf.count();
        if !self.learn(Learned::Leaf(leaf, kind), count) {
            return self.refused(value, Reason::TooManyFields, None);
        }
        let path = self.path();
        self.introduced.push((path, kind));
        Ok(Fate::Stays)
    }

    /// A value of a field that a document has introduced: this one, or another.
    fn learned_leaf(&mut self, leaf: &Arc<Leaf>, kind: &'static str, value: Range<usize>) -> Result<Fate, Fault> {
        let raw = &self.text[value.clone()];
        let path = self.path();
        if self.introduced.iter().any(|(own, kind)| *own == path && *kind != "template") {
            let matched = Matched::of(raw, &self.mapping.detection);
            let (_, found) = dynamic::added(matched, &self.mapping.detection);
            if found == "object" {
                return self.refused(value, Reason::ObjectForScalar, None);
            }
            if found != kind {
                let new = match (kind, matched) {
                    ("double", Matched::Long) if raw.first() != Some(&b'"') => [raw, b".0"].concat(),
                    ("text", Matched::Long | Matched::Double | Matched::Boolean) if raw.first() != Some(&b'"') => {
                        [b"\"", raw, b"\""].concat()
                    }
                    _ => return self.refused(value, Reason::Conflict, None),
                };
                if !self.options.coerce {
                    return self.refused(value, Reason::Conflict, None);
                }
                self.edits.push(Edit::of(value, new));
                return Ok(Fate::Stays);
            }
        }
        self.scalar(leaf, value)
    }

    pub(super) fn learned_field(&self) -> Option<Learned> {
        self.learned.lock().ok().and_then(|learned| learned.get(&self.path()).cloned())
    }

    /// Notes a new field; false where there is no room for it.
    fn learn(&self, field: Learned, count: usize) -> bool {
        let Ok(mut learned) = self.learned.lock() else { return false };
        let all: usize = learned
            .values()
            .map(|field| match field {
                Learned::Object => 1,
                Learned::Leaf(leaf, _) => leaf.count(),
            })
            .sum();
        let reserved = form::form(self.mapping, self.options).map_or(0, |(_, fields)| fields);
        if self.mapping.count + all + count + reserved > self.mapping.limits.fields
            || !self.fitting.adds(self.options.max_new_fields)
        {
            return false;
        }
        learned.insert(self.path(), field);
        true
    }
}
