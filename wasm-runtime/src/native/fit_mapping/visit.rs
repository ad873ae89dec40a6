//! The way through a document beside its mapping: what stays, what is written anew, and what moves.

mod removal;
mod scope;
mod unknown;

use std::borrow::Cow;
use std::ops::Range;

use self::removal::Removal;
use self::scope::{Scope, Step};
use super::dynamic::LearnedFields;
use super::leaf::{Leaf, Verdict};
use super::mapping::{Dynamic, Mapping, Node, Object};
use super::names::{self, Names};
use super::options::{Action, Options};
use super::reason::Reason;
use super::store::Fitting;
use crate::engine::deadline::glance;
use crate::error::Fault;
use crate::json::{self, DocView, Edit};

/// A value that did not fit.
pub(super) struct Unfit {
    pub(super) path: String,
    pub(super) reason: Reason,
    /// The value as a text, where it moves.
    pub(super) moved: Option<String>,
}

/// What becomes of a member or an element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
}

/// Looks at an element of a list.
type Each<'e, V> = dyn FnMut(&mut V, Range<usize>) -> Result<Fate, Fault> + 'e;

/// One document on its way.
pub(super) struct Visit<'d> {
    options: &'d Options,
    mapping: &'d Mapping,
    fitting: &'d Fitting,
    learned: &'d LearnedFields,
    text: &'d [u8],
    pub(super) edits: Vec<Edit>,
    pub(super) unfit: Vec<Unfit>,
    /// Members of the root that stay.
    pub(super) kept: bool,
    /// The values of the targets, where the document has them.
    pub(super) targets: [Option<Range<usize>>; 2],
    /// The names that lead to the value at hand.
    names: Vec<Cow<'d, [u8]>>,
    nested: usize,
    /// Fields that this document introduces, with their types: all its values have to agree.
    introduced: Vec<(String, &'static str)>,
    lists: usize,
}

impl<'d> Visit<'d> {
    pub(super) fn new(
        options: &'d Options,
        mapping: &'d Mapping,
        fitting: &'d Fitting,
        learned: &'d LearnedFields,
        text: &'d [u8],
    ) -> Self {
        Self {
            options,
            mapping,
            fitting,
            learned,
            text,
            edits: Vec::new(),
            unfit: Vec::new(),
            kept: false,
            targets: [None, None],
            names: Vec::with_capacity(8),
            nested: 0,
            introduced: Vec::new(),
            lists: 0,
        }
    }

    /// Looks at the whole document, whose object begins at `start`.
    ///
    /// # Errors
    /// For a value that does not fit, where an option says `fail`.
    pub(super) fn run(&mut self, doc: DocView<'d>, start: usize) -> Result<(), Fault> {
        let root = &self.mapping.root;
        if root.disabled {
            return Ok(());
        }
        let dynamic = root.dynamic.unwrap_or(Dynamic::True);
        let scope = Scope { object: Some(root), dynamic, depth: 1 };
        self.kept = match doc.index() {
            Some(index) => {
                let mut removal = Removal::new();
                for member in index.members() {
                    let [key, key_end, value, value_end] =
                        [member.key, member.key_end, member.value, member.value_end].map(|at| at as usize);
                    self.visited(key..key_end, value..value_end, scope, &mut removal)?;
                }
                self.finished(removal)?
            }
            None => self.members(start, scope)?,
        };
        Ok(())
    }

    /// Looks at the members of the object at `start`; whether one stays.
    fn members(&mut self, start: usize, scope: Scope<'d>) -> Result<bool, Fault> {
        let mut removal = Removal::new();
        for entry in json::Entries::new(self.text, start).into_iter().flatten() {
            self.visited(entry.key, entry.value, scope, &mut removal)?;
        }
        self.finished(removal)
    }

    fn visited(
        &mut self,
        key: Range<usize>,
        value: Range<usize>,
        scope: Scope<'d>,
        removal: &mut Removal,
    ) -> Result<(), Fault> {
        glance();
        let part = key.start - 1..value.end;
        let (text, mark) = (self.text, self.edits.len());
        match self.member(&text[key], value, scope)? {
            Fate::Stays => removal.keep(&part, &mut self.edits, mark),
            Fate::Goes => {
                self.edits.truncate(mark);
                removal.remove(&part, &mut self.edits);
            }
        }
        Ok(())
    }

    fn finished(&mut self, removal: Removal) -> Result<bool, Fault> {
        let stays = removal.stays;
        removal.finish(&mut self.edits);
        Ok(stays)
    }

    fn member(&mut self, raw: &'d [u8], value: Range<usize>, scope: Scope<'d>) -> Result<Fate, Fault> {
        let above = self.names.len();
        let fate = if names::is_plain(raw) {
            self.names.push(Cow::Borrowed(raw));
            if !self.fitting.refused.is_empty() && self.fitting.refused.contains(&self.path()) {
                self.refused(value, Reason::Unparsable, None)
            } else if above == 0 {
                self.plain_root_member(raw, value, scope)
            } else {
                self.field(raw, value, scope)
            }
        } else {
            self.odd_member(raw, value, scope)
        };
        self.names.truncate(above);
        fate
    }

    fn plain_root_member(&mut self, raw: &'d [u8], value: Range<usize>, scope: Scope<'d>) -> Result<Fate, Fault> {
        if raw[0] == b'_' && names::is_metadata(raw) && !names::is_count(raw, &self.text[value.clone()]) {
            return self.refused(value, Reason::Name, None);
        }
        self.root_field(raw, value, scope)
    }

    /// The field `name` of the root; the place of a target's value is noted, unless that goes itself.
    fn root_field(&mut self, name: &[u8], value: Range<usize>, scope: Scope<'d>) -> Result<Fate, Fault> {
        let targets = [&self.options.target, &self.options.target_fields];
        let target = targets.iter().position(|target| target.as_bytes() == name);
        let fate = self.field(name, value.clone(), scope)?;
        if let Some(target) = target {
            self.targets[target] = (fate == Fate::Stays).then_some(value);
        }
        Ok(fate)
    }

    /// The dotted name of the value at hand.
    fn path(&self) -> String {
        let mut path = String::new();
        for (n, name) in self.names.iter().enumerate() {
            if n > 0 {
                path.push('.');
            }
            path.push_str(&String::from_utf8_lossy(name));
        }
        path
    }

    /// Bytes of it.
    fn path_length(&self) -> usize {
        self.names.iter().map(|name| name.len() + 1).sum()
    }

    fn enter(&mut self, name: &str) {
        self.names.push(Cow::Owned(name.as_bytes().to_vec()));
    }

    /// A member whose name has points or escapes, or none at all.
    #[cold]
    fn odd_member(&mut self, raw: &[u8], value: Range<usize>, scope: Scope<'d>) -> Result<Fate, Fault> {
        let Some(name) = json::unescape(raw) else { return Ok(Fate::Stays) };
        let (root, mut scope) = (self.names.is_empty(), scope);
        let parts = match names::parts(&name) {
            Names::Refused => {
                self.enter(&name);
                return self.refused(value, Reason::Name, None);
            }
            Names::Parts(parts) => parts,
        };
        let (last, leading) = parts.split_last().map_or(("", &[][..]), |(last, leading)| (*last, leading));
        let metadata = root && names::is_metadata(parts[0].as_bytes());
        if metadata && !(leading.is_empty() && names::is_count(last.as_bytes(), &self.text[value.clone()])) {
            self.enter(&name);
            return self.refused(value, Reason::Name, None);
        }
        if self.text[value.start] == b'n' {
            return self.null(&parts, value, scope);
        }
        for (n, part) in leading.iter().enumerate() {
            self.enter(part);
            scope = match self.step(part, scope) {
                Step::Into(scope) => scope,
                Step::Stays => return Ok(Fate::Stays),
                Step::Refused(reason) => {
                    parts[n + 1..].iter().for_each(|part| self.enter(part));
                    return self.refused(value, reason, None);
                }
            };
        }
        self.enter(last);
        if self.fitting.refused.contains(&self.path()) {
            return self.refused(value, Reason::Unparsable, None);
        }
        if root && leading.is_empty() {
            return self.root_field(last.as_bytes(), value, scope);
        }
        self.field(last.as_bytes(), value, scope)
    }

    /// The field `name` of the scope, at the path.
    fn field(&mut self, name: &[u8], value: Range<usize>, scope: Scope<'d>) -> Result<Fate, Fault> {
        match scope.object.and_then(|object| object.children.get(name)) {
            Some(Node::Leaf(leaf)) => self.leaf(leaf, value),
            Some(Node::Object(object)) if object.disabled => Ok(Fate::Stays),
            Some(Node::Object(object)) => self.object(object, value, scope),
            None if self.text[value.start] == b'n' => {
                if scope.is_strict() {
                    self.refused(value, Reason::Unknown, None)
                } else {
                    Ok(Fate::Stays)
                }
            }
            None => self.unknown(value, scope),
        }
    }

    /// The value of a field that is an object.
    fn object(&mut self, object: &'d Object, value: Range<usize>, scope: Scope<'d>) -> Result<Fate, Fault> {
        match self.text[value.start] {
            b'n' => Ok(Fate::Stays),
            b'{' if scope.depth + 1 > self.mapping.limits.depth => self.refused(value, Reason::TooDeep, None),
            b'{' => {
                if object.nested {
                    if self.nested >= self.mapping.limits.nested_objects {
                        return self.refused(value, Reason::TooManyNested, None);
                    }
                    self.nested += 1;
                }
                self.members(value.start, scope.child(object)).map(|_| Fate::Stays)
            }
            b'[' => self.elements(value, &mut |visit, element| visit.object(object, element, scope)),
            _ => self.refused(value, Reason::ScalarForObject, None),
        }
    }

    /// The elements of a list, which goes if none of them stays.
    fn elements(&mut self, value: Range<usize>, each: &mut Each<'_, Self>) -> Result<Fate, Fault> {
        self.lists += 1;
        if self.lists > self.mapping.limits.depth {
            self.lists -= 1;
            return self.refused(value, Reason::TooDeep, None);
        }
        let elements = json::elements(self.text, value.start);
        let mut removal = Removal::new();
        let empty = elements.is_empty();
        for element in elements {
            glance();
            let mark = self.edits.len();
            match each(self, element.clone())? {
                Fate::Stays => removal.keep(&element, &mut self.edits, mark),
                Fate::Goes => {
                    self.edits.truncate(mark);
                    removal.remove(&element, &mut self.edits);
                }
            }
        }
        self.lists -= 1;
        let fate = if removal.stays || empty { Fate::Stays } else { Fate::Goes };
        removal.finish(&mut self.edits);
        Ok(fate)
    }

    /// The value of a field that holds values.
    fn leaf(&mut self, leaf: &'d Leaf, value: Range<usize>) -> Result<Fate, Fault> {
        if self.text[value.start] == b'[' && !leaf.reads_lists() {
            return self.elements(value, &mut |visit, element| visit.leaf(leaf, element));
        }
        self.scalar(leaf, value)
    }

    fn scalar(&mut self, leaf: &Leaf, value: Range<usize>) -> Result<Fate, Fault> {
        let text = self.text;
        match leaf.check(&text[value.clone()], self.path_length(), self.options.coerce) {
            Verdict::Fits if leaf.copy_to.is_empty() => Ok(Fate::Stays),
            Verdict::Fits => match self.copied(leaf, &text[value.clone()]) {
                Some(reason) => self.refused(value, reason, None),
                None => Ok(Fate::Stays),
            },
            Verdict::Converted(new) => {
                self.edits.push(Edit::of(value, new));
                Ok(Fate::Stays)
            }
            Verdict::Refused(reason) => self.refused(value, reason, Some(leaf)),
        }
    }

    /// Why a field that the value is copied to refuses it.
    fn copied(&self, leaf: &Leaf, raw: &[u8]) -> Option<Reason> {
        leaf.copy_to.iter().find_map(|target| match self.mapping.find(target) {
            Some(Node::Leaf(leaf)) => match leaf.check(raw, target.len(), false) {
                Verdict::Refused(reason) => Some(reason),
                _ => None,
            },
            Some(Node::Object(_)) => Some(Reason::ScalarForObject),
            None => None,
        })
    }

    /// What is done with a value that does not fit. `leaf`: the field that refuses it.
    #[cold]
    fn refused(&mut self, value: Range<usize>, reason: Reason, leaf: Option<&Leaf>) -> Result<Fate, Fault> {
        let action = match reason {
            Reason::ObjectForScalar => self.options.object_for_scalar,
            Reason::ScalarForObject => self.options.scalar_for_object,
            Reason::Unknown | Reason::TooManyFields if self.options.unknown_fields != Action::Keep => {
                self.options.unknown_fields
            }
            Reason::Unknown | Reason::TooManyFields => Action::Move,
            _ => self.options.unparsable,
        };
        let raw = &self.text[value.clone()];
        let path = self.path();
        match action {
            Action::Fail => {
                let reason = reason.name();
                let why = format!("the value of field [{path}] does not fit the mapping: {reason}");
                return Err(Fault::new(400, "mapper_parsing_exception", why));
            }
            Action::Json if leaf.is_some_and(Leaf::takes_texts) => {
                let shown = json::quote(&String::from_utf8_lossy(raw));
                let fits = |leaf: &Leaf| {
                    matches!(leaf.check(&shown, path.len(), false), Verdict::Fits)
                        && self.copied(leaf, &shown).is_none()
                };
                if leaf.is_some_and(fits) {
                    self.edits.push(Edit::of(value, shown));
                    self.unfit.push(Unfit { path, reason, moved: None });
                    return Ok(Fate::Stays);
                }
            }
            Action::Drop => {
                self.unfit.push(Unfit { path, reason, moved: None });
                return Ok(Fate::Goes);
            }
            _ => {}
        }
        let text: Cow<'_, str> = super::leaf::text(raw).unwrap_or_else(|| String::from_utf8_lossy(raw));
        self.unfit.push(Unfit { path, reason, moved: Some(text.into_owned()) });
        Ok(Fate::Goes)
    }
}
