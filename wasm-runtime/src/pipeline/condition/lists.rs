//! Lists of a document as CEL sees them.

use cel::common::traits::{Adder, Container, Indexer, Iterable, Iterator as CelIterator, Sizer, Zeroer};
use cel::common::types::{self, CelList, Type};
use cel::common::value::{Builtin, BuiltinRef, Val};

use super::values::{LONG, value};
use crate::engine::deadline::{check_deadline, glance, unwind};
use crate::error::Fault;
use crate::json;

/// Elements of the longest list whose loop asks the deadline only sometimes.
const SHORT: usize = 32;
/// Elements of the longest list of a document that conditions look at.
const MOST_ELEMENTS: usize = 1_000_000;

/// A list of a document, at each of whose elements the clock is looked at.
#[derive(Debug, Clone)]
pub(super) struct List<'v>(CelList<'v>);

impl<'v> List<'v> {
    pub(super) fn of(raw: &'v [u8], tested: &'v [String]) -> Self {
        if raw.len() > LONG {
            check_deadline()
        } else {
            glance()
        }
        let elements = json::elements(raw, 0);
        if elements.len() > MOST_ELEMENTS {
            unwind(Fault::too_much(&format!("the condition looks at a list of more than {MOST_ELEMENTS} elements")));
        }
        let items: Vec<_> = elements.into_iter().map(|r| value(&raw[r], tested)).collect();
        Self(CelList::from(items))
    }
}

impl Val for List<'_> {
    fn get_type(&self) -> &Type {
        &types::LIST_TYPE
    }

    fn cel_type() -> &'static Type {
        &types::LIST_TYPE
    }

    fn as_adder<'b, 'w>(&'b self) -> Option<&'b (dyn Adder + 'w)>
    where
        Self: 'w,
    {
        check_deadline();
        self.0.as_adder()
    }

    fn as_container(&self) -> Option<&dyn Container> {
        if self.0.len() > LONG {
            check_deadline()
        } else {
            glance()
        }
        self.0.as_container()
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        self.0.as_indexer()
    }

    fn into_indexer<'w>(self: Box<Self>) -> Option<Box<dyn Indexer + 'w>>
    where
        Self: 'w,
    {
        Box::new(self.0).into_indexer()
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        self.0.as_sizer()
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        self.0.as_zeroer()
    }

    fn equals(&self, rhs: &dyn Val) -> bool {
        check_deadline();
        self.0.equals(rhs)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        check_deadline();
        Box::new(self.clone())
    }

    fn as_builtin<'b, 'w>(&'b self) -> BuiltinRef<'b, 'w>
    where
        Self: 'w,
    {
        BuiltinRef::List(&self.0)
    }

    fn into_builtin<'w>(self: Box<Self>) -> Option<Builtin<'w>>
    where
        Self: 'w,
    {
        Some(Builtin::List(self.0))
    }
}

impl Iterable for List<'_> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn CelIterator<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        let items = self.0.inner();
        Box::new(Looking { often: items.len() > SHORT, items: items.iter() })
    }
}

/// The next element of a list, or key of an object, unless the time is over.
struct Looking<'b, 'v> {
    items: std::slice::Iter<'b, Box<dyn Val + 'v>>,
    often: bool,
}

impl<'b, 'v: 'w, 'w> CelIterator<'b, 'w> for Looking<'b, 'v> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        if self.often {
            check_deadline()
        } else {
            glance()
        }
        self.items.next().map(|item| item.as_ref() as &(dyn Val + 'w))
    }
}
