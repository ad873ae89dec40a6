//! JSON values of a document as CEL sees them: found when they are asked for, with a look at the clock where that takes long.

use std::sync::OnceLock;

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator as CelIterator, Sizer, Zeroer};
use cel::common::types::{self, CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt, Type};
use cel::common::value::{CowVal, Val};

use super::lists::List;
use crate::engine::deadline::{check_deadline, glance};
use crate::json::{self, DocView};

/// Bytes of an object, or elements of a list, from which on each access asks the deadline.
pub(super) const LONG: usize = 4096;

/// A document as a CEL value.
pub(crate) fn of_view<'v>(doc: DocView<'v>, tested: &'v [String]) -> Box<dyn Val + 'v> {
    match doc.text().first() {
        Some(b'{') => Box::new(Object { doc, tested, keys: OnceLock::new() }),
        _ => value(doc.text(), tested),
    }
}

/// A JSON value as a CEL value.
pub(crate) fn value<'v>(raw: &'v [u8], tested: &'v [String]) -> Box<dyn Val + 'v> {
    match raw.first() {
        Some(b'{') => Box::new(Object { doc: raw.into(), tested, keys: OnceLock::new() }),
        Some(b'[') => Box::new(List::of(raw, tested)),
        Some(b'"') => Box::new(json::string(raw).map_or_else(
            || CelString::from(String::from_utf8_lossy(raw).into_owned()),
            |text| match text {
                std::borrow::Cow::Borrowed(text) => CelString::from(text),
                std::borrow::Cow::Owned(text) => CelString::from(text),
            },
        )),
        Some(b't') => Box::new(CelBool::from(true)),
        Some(b'f') => Box::new(CelBool::from(false)),
        Some(b'-' | b'0'..=b'9') => number(std::str::from_utf8(raw).unwrap_or("0")),
        _ => Box::new(Missing { tested }),
    }
}

fn number<'v>(text: &str) -> Box<dyn Val + 'v> {
    if let Ok(value) = text.parse::<i64>() {
        Box::new(CelInt::from(value))
    } else if let Ok(value) = text.parse::<u64>() {
        Box::new(CelUInt::from(value))
    } else {
        Box::new(CelDouble::from(text.parse::<f64>().unwrap_or(f64::NAN)))
    }
}

/// A JSON object whose members are found when they are asked for.
#[derive(Debug, Clone)]
struct Object<'v> {
    doc: DocView<'v>,
    tested: &'v [String],
    /// Filled when an expression walks over the members.
    keys: OnceLock<Vec<CelString<'v>>>,
}

impl<'v> Object<'v> {
    fn member(&self, key: &dyn Val) -> Option<&'v [u8]> {
        let key = key.downcast_ref::<CelString>()?;
        if self.doc.text().len() > LONG {
            check_deadline()
        } else {
            glance()
        }
        json::get(self.doc, 0, key.inner()).map(|entry| &self.doc.text()[entry.value])
    }

    fn missing<'b, 'w>(&self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        'v: 'w,
    {
        match key.downcast_ref::<CelString>() {
            Some(name) if self.tested.iter().any(|t| t == name.inner()) => {
                Err(ExecutionError::no_such_key(name.inner()))
            }
            Some(_) => Ok(CowVal::Owned(Box::new(Missing { tested: self.tested }))),
            None => {
                Err(ExecutionError::UnexpectedType { got: key.get_type().name().to_owned(), want: "string".to_owned() })
            }
        }
    }

    fn read_keys(&self) -> Vec<CelString<'v>> {
        let entries = json::Entries::new(self.doc.text(), 0).into_iter().flatten();
        entries
            .map(|e| CelString::from(json::unescape(&self.doc.text()[e.key]).unwrap_or_default().into_owned()))
            .collect()
    }
}

impl Val for Object<'_> {
    fn get_type(&self) -> &Type {
        &types::MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &types::MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, rhs: &dyn Val) -> bool {
        let Some(there) = rhs.as_indexer() else { return false };
        let same_size = rhs.as_sizer().is_some_and(|s| s.size().inner() == self.size().inner());
        same_size
            && json::Entries::new(self.doc.text(), 0).into_iter().flatten().all(|e| {
                let key = CelString::from(json::unescape(&self.doc.text()[e.key]).unwrap_or_default().into_owned());
                let mine = value(&self.doc.text()[e.value], self.tested);
                there.get(&key).is_ok_and(|theirs| mine.equals(theirs.as_ref()))
            })
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(self.clone())
    }
}

impl Container for Object<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.member(key).is_some())
    }
}

impl Sizer for Object<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(json::Entries::new(self.doc.text(), 0).into_iter().flatten().count() as i64)
    }
}

impl Indexer for Object<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        match self.member(key) {
            Some(raw) => Ok(CowVal::Owned(value(raw, self.tested))),
            None => self.missing(key),
        }
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

impl Iterable for Object<'_> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn CelIterator<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Keys(self.keys.get_or_init(|| self.read_keys()).iter()))
    }
}

struct Keys<'b, 'k>(std::slice::Iter<'b, CelString<'k>>);

impl<'b, 'k: 'v, 'v> CelIterator<'b, 'v> for Keys<'b, 'k> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        check_deadline();
        self.0.next().map(|key| key as &(dyn Val + 'v))
    }
}

/// A field that is null or not there, and so are its own fields; `has()` of one of them says no.
#[derive(Debug, Clone, Copy)]
struct Missing<'v> {
    tested: &'v [String],
}

/// The value as the rest of CEL sees it.
static NULL: CelNull = CelNull;

impl Val for Missing<'_> {
    fn get_type(&self) -> &Type {
        &types::NULL_TYPE
    }

    fn cel_type() -> &'static Type {
        &types::NULL_TYPE
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        Some(&NULL)
    }

    fn equals(&self, rhs: &dyn Val) -> bool {
        NULL.equals(rhs)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(*self)
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(&NULL)
    }
}

impl Missing<'_> {
    /// A field of it: null as well, or an error where `has()` asks for one of that name.
    fn field(&self, key: &dyn Val) -> Result<Self, ExecutionError> {
        match key.downcast_ref::<CelString>() {
            Some(name) if self.tested.iter().any(|tested| tested == name.inner()) => {
                Err(ExecutionError::no_such_key(name.inner()))
            }
            _ => Ok(*self),
        }
    }
}

impl Indexer for Missing<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.field(key).map(|field| CowVal::Owned(Box::new(field) as Box<dyn Val + 'w>))
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.field(key).map(|field| Box::new(field) as Box<dyn Val + 'w>)
    }
}
