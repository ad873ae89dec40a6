//! A document's text together with the index of its members.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::{Located, ObjectIndex};

/// An index that is made when it is first asked for; `None` in it: the text has none.
pub(crate) type LazyIndex = OnceLock<Option<ObjectIndex>>;

/// A document's text, and where its members are if that is known or can be found out once for all that ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DocView<'d> {
    text: &'d [u8],
    index: Index<'d>,
}

#[derive(Debug, Clone, Copy)]
enum Index<'d> {
    Absent,
    Ready(&'d ObjectIndex),
    Lazy(&'d LazyIndex),
}

impl<'d> DocView<'d> {
    /// `index` is that of `text`.
    #[inline(always)]
    pub(crate) fn indexed(text: &'d [u8], index: &'d ObjectIndex) -> Self {
        Self { text, index: Index::Ready(index) }
    }

    /// The index of `text` is made in `index` when it is first asked for.
    #[inline(always)]
    pub(crate) fn lazy(text: &'d [u8], index: &'d LazyIndex) -> Self {
        Self { text, index: Index::Lazy(index) }
    }

    #[inline(always)]
    pub(crate) fn text(self) -> &'d [u8] {
        self.text
    }

    /// The document without white space around it.
    #[inline]
    pub(crate) fn trimmed(self) -> Self {
        let text = self.text.trim_ascii();
        if text.len() == self.text.len() { self } else { text.into() }
    }

    /// The index, if there is one already.
    #[inline(always)]
    pub(crate) fn index(self) -> Option<&'d ObjectIndex> {
        match self.index {
            Index::Absent => None,
            Index::Ready(index) => Some(index),
            Index::Lazy(index) => index.get()?.as_ref(),
        }
    }

    /// Looks a member of the object that starts at `start` up in the index; `None` if that is another object, or has no index.
    #[inline]
    pub(crate) fn locate(self, start: usize, name: &str) -> Option<Located> {
        let index = match self.index {
            Index::Absent => None,
            Index::Ready(index) => Some(index),
            Index::Lazy(index) => index.get_or_init(|| ObjectIndex::of(self.text)).as_ref(),
        };
        index?.locate(self.text, start, name)
    }
}

impl<'d> From<&'d [u8]> for DocView<'d> {
    #[inline(always)]
    fn from(text: &'d [u8]) -> Self {
        Self { text, index: Index::Absent }
    }
}

impl<'d> From<&'d Vec<u8>> for DocView<'d> {
    #[inline(always)]
    fn from(text: &'d Vec<u8>) -> Self {
        text.as_slice().into()
    }
}

impl<'d, const N: usize> From<&'d [u8; N]> for DocView<'d> {
    #[inline(always)]
    fn from(text: &'d [u8; N]) -> Self {
        text.as_slice().into()
    }
}

impl<'d> From<&'d Cow<'_, [u8]>> for DocView<'d> {
    #[inline(always)]
    fn from(text: &'d Cow<'_, [u8]>) -> Self {
        (&**text).into()
    }
}

/// Runs `work` on a document whose index is in `index`, or is made there when it is first asked for.
#[inline(always)]
pub(crate) fn with_view<R>(text: &[u8], index: &mut Option<ObjectIndex>, work: impl FnOnce(DocView<'_>) -> R) -> R {
    if let Some(index) = index {
        return work(DocView::indexed(text, index));
    }
    let lazy = LazyIndex::new();
    let result = work(DocView::lazy(text, &lazy));
    *index = lazy.into_inner().flatten();
    result
}
