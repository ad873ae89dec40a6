//! Objects on the way through a document.

use crate::native::fit_mapping::mapping::{Dynamic, Object};
use crate::native::fit_mapping::reason::Reason;

/// An object of the document, as the mapping has it.
#[derive(Clone, Copy)]
pub(super) struct Scope<'m> {
    /// `None`: documents introduced it.
    pub(super) object: Option<&'m Object>,
    /// What is done with fields that it does not have.
    pub(super) dynamic: Dynamic,
    /// Levels of objects down to it.
    pub(super) depth: usize,
}

impl<'m> Scope<'m> {
    pub(super) fn child(self, object: &'m Object) -> Self {
        Self { object: Some(object), dynamic: object.dynamic.unwrap_or(self.dynamic), depth: self.depth + 1 }
    }

    pub(super) fn introduced(self) -> Self {
        Self { object: None, depth: self.depth + 1, ..self }
    }

    /// Whether the object itself is strict.
    pub(super) fn is_strict(self) -> bool {
        let own = self.object.and_then(|object| object.dynamic);
        matches!(own, Some(Dynamic::Strict | Dynamic::StrictTemplates))
    }
}

/// The next object of a dotted name.
pub(super) enum Step<'m> {
    Into(Scope<'m>),
    /// All below is accepted.
    Stays,
    Refused(Reason),
}
