//! Memory for the short texts that a stage writes into a document: taken by the next as the last one left it.

use std::cell::Cell;

/// More than this is not kept.
const MOST: usize = 64 << 10;

thread_local! {
    static LEFT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An empty text with room for `size` bytes.
#[inline]
pub(crate) fn text(size: usize) -> Vec<u8> {
    let mut text = LEFT.take();
    text.clear();
    text.reserve(size);
    text
}

/// A copy.
#[inline]
pub(crate) fn copy(of: &[u8]) -> Vec<u8> {
    let mut text = text(of.len());
    text.extend_from_slice(of);
    text
}

/// Leaves the memory of a text that has been written for the next one.
#[inline]
pub(crate) fn leave(text: Vec<u8>) {
    if text.capacity() <= MOST {
        LEFT.set(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_used_again_and_empty() {
        let first = copy(b"something");
        let at = first.as_ptr();
        leave(first);
        let second = copy(b"other");
        assert_eq!((second.as_ptr(), &second[..]), (at, &b"other"[..]));
        let third = copy(b"third");
        assert_ne!(third.as_ptr(), at);
        leave(second);
        leave(vec![0; MOST + 1]);
        assert!(text(10).is_empty());
    }
}
