//! Action lines that say what a line before them said, but for `_id` and `routing`: most lines of a bulk do.

use std::ops::Range;

use crate::json::scan;

/// Lines that are remembered: the actions of several indexes take turns.
const REMEMBERED: usize = 4;

/// Where the texts in an action line are that differ from one line to the next: inside their quotes, without escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) id: Option<Range<usize>>,
    pub(crate) routing: Option<Range<usize>>,
}

/// A line that says the same as the one of `action`, but for these: `None` where they are the same, too.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Like<'b> {
    /// Position of the action.
    pub(crate) action: usize,
    pub(crate) id: Option<&'b str>,
    pub(crate) routing: Option<&'b str>,
}

#[derive(Debug)]
struct Known<'b> {
    line: &'b [u8],
    texts: Texts,
    action: usize,
}

/// The lines of a body that have been read lately.
#[derive(Debug, Default)]
pub(crate) struct Lines<'b> {
    known: Vec<Known<'b>>,
}

impl<'b> Lines<'b> {
    /// What is known of `line`; `None` if it has to be read.
    pub(crate) fn find(&mut self, line: &'b [u8]) -> Option<Like<'b>> {
        if let Some(known) = self.known.first().filter(|known| known.line == line) {
            return Some(Like { action: known.action, id: None, routing: None });
        }
        let (place, like) = self.known.iter().enumerate().find_map(|(n, known)| Some((n, known.like(line)?)))?;
        self.known.swap(0, place);
        Some(like)
    }

    /// What is known of the line that `text` begins with, and the length of that line; `None` unless it and its line end are the
    /// same as those of one before.
    #[inline]
    pub(crate) fn again(&mut self, text: &[u8]) -> Option<(usize, Like<'b>)> {
        let [first, others @ ..] = &mut self.known[..] else { return None };
        if !first.begins(text) {
            let taken = others.iter_mut().find(|known| known.begins(text))?;
            std::mem::swap(first, taken);
        }
        Some((first.line.len(), Like { action: first.action, id: None, routing: None }))
    }

    /// Remembers a line that has been read: it says what `action` does, with these `texts`.
    pub(crate) fn remember(&mut self, line: &'b [u8], texts: Texts, action: usize) {
        self.known.truncate(REMEMBERED - 1);
        self.known.insert(0, Known { line, texts, action });
    }
}

impl<'b> Known<'b> {
    /// Whether a text begins with this line, as a line.
    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        let behind = text.strip_prefix(self.line).and_then(<[u8]>::first);
        // One that ends with a carriage return would lose it.
        behind == Some(&b'\n') && self.line.last() != Some(&b'\r')
    }

    fn like(&self, line: &'b [u8]) -> Option<Like<'b>> {
        let Self { line: known, texts: Texts { id, routing }, action } = self;
        let mut like = Like { action: *action, id: None, routing: None };
        // What both have is compared, what is theirs is skipped, in the order of the line.
        let (mut at, mut from) = (0, 0);
        let mut skip = |text: &Option<Range<usize>>| -> Option<Option<&'b str>> {
            let Some(text) = text else { return Some(None) };
            let begin = at + text.start - from;
            if line.get(at..begin)? != &known[from..text.start] {
                return None;
            }
            let end = scan::special(line, begin).filter(|end| line[*end] == b'"')?;
            (at, from) = (end, text.end);
            std::str::from_utf8(&line[begin..end]).ok().map(Some)
        };
        let routed_first = matches!((id, routing), (Some(id), Some(routing)) if routing.start < id.start);
        if routed_first {
            like.routing = skip(routing)?;
        }
        like.id = skip(id)?;
        if !routed_first {
            like.routing = skip(routing)?;
        }
        (line[at..] == known[from..]).then_some(like)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::action::parse_action;

    /// Whatever is found says what reading the line says.
    #[test]
    fn what_is_like_another_says_what_reading_it_says() {
        let first = [
            r#"{"index":{"_index":"i"}}"#,
            r#"{"index":{"_index":"i","_id":"a"}}"#,
            r#"{"index":{"_id":"a","routing":"r","_index":"i"}}"#,
            r#"{"index":{"routing":"r","_id":"a"}}"#,
            r#"{"index":{"_routing":"é","_id":"a\"b"}}"#,
            r#"{"create":{"_id":7,"routing":null,"pipeline":"p"}}"#,
            r#"{"delete":{"_id":"x","routing":"y","version":3}}"#,
        ];
        let pieces = ["\"", "\\", ",", "}", "7", "a", "é", "\\\"", "\",\"routing\":\"", "\u{1}", " ", "null"];
        let (mut alike, mut read) = (0, 0);
        for known in first.map(str::as_bytes) {
            let named = parse_action(known, 1, None).unwrap();
            let mut look = |line: &[u8]| {
                let mut lines = Lines::default();
                lines.remember(known, named.texts.clone(), 0);
                let Some(like) = lines.find(line) else {
                    read += 1;
                    return;
                };
                alike += 1;
                let other = parse_action(line, 1, None).unwrap();
                assert_eq!(like.id.or(named.id.as_deref()), other.id.as_deref());
                assert_eq!(like.routing.or(named.routing.as_deref()), other.routing.as_deref());
                assert_eq!((named.op, &named.target, named.versioned), (other.op, &other.target, other.versioned));
            };
            look(known);
            for from in 0..=known.len() {
                for to in from..=known.len() {
                    for piece in pieces.iter().map(|piece| piece.as_bytes()).chain([&b"\xff"[..], b""]) {
                        look(&[&known[..from], piece, &known[to..]].concat());
                    }
                }
            }
            for other in first {
                look(other.as_bytes());
            }
        }
        assert!(alike > 100 && read > 1000, "{alike} {read}");
    }

    #[test]
    fn lines_that_take_turns_are_all_known() {
        let texts = [b"a", b"b", b"c", b"d", b"e"];
        let mut lines = Lines::default();
        for (action, line) in texts.into_iter().enumerate() {
            assert_eq!(lines.find(line), None);
            lines.remember(line, Texts::default(), action);
        }
        for _ in 0..3 {
            for (action, line) in texts.into_iter().enumerate().skip(1) {
                assert_eq!(lines.find(line), Some(Like { action, id: None, routing: None }));
            }
        }
        assert_eq!(lines.find(texts[0]), None, "the oldest is forgotten");
    }
}
