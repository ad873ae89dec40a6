//! Where members are, remembered for documents that have the same keys in the same order.
//!
//! A lookup goes over all keys of a document, since of equal ones the last counts. Most documents of a batch have the same keys,
//! and stages ask for the same names: what was found in one is so in the next.

use std::sync::atomic::{AtomicU64, Ordering};

/// The keys of a document at the top, in their order: two that have the same shape have the same. Shapes are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape(u64);

impl Shape {
    /// That of a document of which nobody knows another like it.
    pub(crate) const UNKNOWN: Self = Self(0);

    /// One that no document has had so far.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Bytes of the longest name that is remembered; longer names are looked up each time.
const LONGEST: usize = 24;
/// Number of remembered names, in pairs of which either may hold a name.
const POSITIONS: usize = 64;
/// Number of remembered transitions from a shape to a grown shape.
const GROWN: usize = 8;

/// Something known of a shape and a name.
#[derive(Clone, Copy)]
struct Cached<T> {
    shape: Shape,
    len: u8,
    name: [u8; LONGEST],
    what: T,
}

impl<T: Copy> Cached<T> {
    const fn nothing(what: T) -> Self {
        Self { shape: Shape::UNKNOWN, len: 0, name: [0; LONGEST], what }
    }

    fn of(shape: Shape, name: &[u8], what: T) -> Self {
        let mut copy = [0; LONGEST];
        copy[..name.len()].copy_from_slice(name);
        Self { shape, len: name.len() as u8, name: copy, what }
    }

    #[inline(always)]
    fn is(&self, shape: Shape, name: &[u8]) -> bool {
        self.shape == shape && usize::from(self.len) == name.len() && same(&self.name, name)
    }
}

/// Whether a short name begins so.
#[inline(always)]
fn same(cached: &[u8; LONGEST], name: &[u8]) -> bool {
    #[inline(always)]
    fn ends<const N: usize>(cached: &[u8], name: &[u8]) -> Option<bool> {
        Some(
            cached.first_chunk::<N>()? == name.first_chunk::<N>()?
                && cached.last_chunk::<N>()? == name.last_chunk::<N>()?,
        )
    }
    let Some(cached) = cached.get(..name.len()) else { return false };
    match name.len() {
        0..4 => cached.iter().zip(name).all(|(a, b)| a == b),
        4..8 => ends::<4>(cached, name) == Some(true),
        8..=16 => ends::<8>(cached, name) == Some(true),
        _ => cached == name,
    }
}

/// The shapes that one thread remembers.
pub(crate) struct Shapes {
    /// Which member a name is, the last of its kind; `None` for one that is not there.
    positions: [Cached<Option<u32>>; POSITIONS],
    /// The shape of an object after a member of this name is added at its end.
    grown: [Cached<Shape>; GROWN],
}

impl Shapes {
    pub(crate) const fn new() -> Self {
        Self { positions: [Cached::nothing(None); POSITIONS], grown: [Cached::nothing(Shape::UNKNOWN); GROWN] }
    }

    /// Which member `name` is in documents of this shape, if that is remembered.
    #[inline(always)]
    pub(crate) fn position(&self, shape: Shape, name: &[u8]) -> Option<Option<u32>> {
        if shape == Shape::UNKNOWN {
            return None;
        }
        let at = slot(shape, name) % POSITIONS;
        let (cached, second) = (&self.positions[at], &self.positions[at ^ 1]);
        if cached.is(shape, name) {
            return Some(cached.what);
        }
        second.is(shape, name).then_some(second.what)
    }

    /// Remembers that.
    pub(crate) fn remember_position(&mut self, shape: Shape, name: &[u8], position: Option<u32>) {
        if shape == Shape::UNKNOWN || name.len() > LONGEST {
            return;
        }
        let at = slot(shape, name) % POSITIONS;
        // What is known of the same shape is of more use than what is known of others.
        let free = if self.positions[at].shape == shape { at ^ 1 } else { at };
        self.positions[free] = Cached::of(shape, name, position);
    }

    /// The shape of documents of this shape when a member of this name was added at the end.
    #[inline(always)]
    pub(crate) fn grown(&mut self, shape: Shape, name: &[u8]) -> Shape {
        if shape == Shape::UNKNOWN || name.len() > LONGEST {
            return Shape::UNKNOWN;
        }
        let cached = &mut self.grown[slot(shape, name) % GROWN];
        if !cached.is(shape, name) {
            *cached = Cached::of(shape, name, Shape::new());
        }
        cached.what
    }
}

/// Where to look for something of this shape and name.
#[inline(always)]
fn slot(shape: Shape, name: &[u8]) -> usize {
    let (first, last) = (name.first().copied().unwrap_or(0), name.last().copied().unwrap_or(0));
    (usize::from(first) * 7 + usize::from(last) * 3 + name.len()) ^ shape.0 as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_of_the_same_shape_and_name() {
        let mut shapes = Shapes::new();
        let (first, second) = (Shape::new(), Shape::new());
        let names: Vec<Vec<u8>> = (0..=LONGEST + 1).map(|len| b"abcdefghijklmnopqrstuvwxyz"[..len].to_vec()).collect();
        for (n, name) in names.iter().enumerate() {
            assert_eq!(shapes.position(first, name), None);
            shapes.remember_position(first, name, Some(n as u32));
            let remembered = (n <= LONGEST).then_some(Some(n as u32));
            assert_eq!((shapes.position(first, name), shapes.position(second, name)), (remembered, None));
            for at in 0..n {
                let mut like = name.clone();
                like[at] ^= 1;
                assert_eq!(shapes.position(first, &like), None, "{n} {at}");
            }
        }
        shapes.remember_position(first, b"absent", None);
        assert_eq!(shapes.position(first, b"absent"), Some(None));
        shapes.remember_position(Shape::UNKNOWN, b"absent", None);
        assert_eq!(shapes.position(Shape::UNKNOWN, b"absent"), None);
    }

    #[test]
    fn two_names_of_one_slot_are_both_remembered() {
        let mut shapes = Shapes::new();
        let shape = Shape::new();
        assert_eq!(slot(shape, b"axb"), slot(shape, b"ayb"));
        shapes.remember_position(shape, b"axb", Some(1));
        shapes.remember_position(shape, b"ayb", Some(2));
        assert_eq!((shapes.position(shape, b"axb"), shapes.position(shape, b"ayb")), (Some(Some(1)), Some(Some(2))));
    }

    #[test]
    fn a_shape_grows_by_a_name_in_one_way() {
        let mut shapes = Shapes::new();
        let shape = Shape::new();
        let (a, b) = (shapes.grown(shape, b"a"), shapes.grown(shape, b"b"));
        assert_ne!(a, b);
        assert_ne!(a, shape);
        assert_eq!((shapes.grown(shape, b"a"), shapes.grown(shape, b"b")), (a, b));
        assert_ne!(shapes.grown(a, b"a"), a);
        assert_eq!(shapes.grown(Shape::UNKNOWN, b"a"), Shape::UNKNOWN);
    }
}
