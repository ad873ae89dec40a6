//! Action lines that say what a line before them said, but for `_index`, `_id` and `routing`: most lines of a bulk do.

use std::ops::Range;

use crate::json::scan;

/// Maximum number of cached lines: actions of a few indexes take turns.
const REMEMBERED: usize = 4;

/// A member of an action line whose text differs from one line to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variable {
    Index,
    Id,
    Routing,
}

/// Where the texts in an action line are that differ from one line to the next, in the order of the line: inside their quotes,
/// without escapes.
pub(crate) type VariableSpans = Vec<(Variable, Range<usize>)>;

/// A line that says the same as the one of `action`, but for these: `None` where they are the same, too.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineMatch<'b> {
    /// Position of the action.
    pub(crate) action: usize,
    pub(crate) index: Option<&'b str>,
    pub(crate) id: Option<&'b str>,
    pub(crate) routing: Option<&'b str>,
}

impl LineMatch<'_> {
    /// One that says all that the line of `action` says.
    fn same(action: usize) -> Self {
        Self { action, index: None, id: None, routing: None }
    }
}

#[derive(Debug)]
struct CachedLine<'b> {
    line: &'b [u8],
    texts: VariableSpans,
    action: usize,
}

/// The lines of a body that have been read lately.
#[derive(Debug, Default)]
pub(crate) struct ActionLineCache<'b> {
    cached: Vec<CachedLine<'b>>,
}

impl<'b> ActionLineCache<'b> {
    /// The match of `line`; `None` if it has to be parsed.
    pub(crate) fn find(&mut self, line: &'b [u8]) -> Option<LineMatch<'b>> {
        if let Some(cached) = self.cached.first().filter(|cached| cached.line == line) {
            return Some(LineMatch::same(cached.action));
        }
        let (position, line_match) =
            self.cached.iter().enumerate().find_map(|(n, cached)| Some((n, cached.line_match(line)?)))?;
        self.cached.swap(0, position);
        Some(line_match)
    }

    /// The match of the line that `text` begins with, and the length of that line; `None` unless it and its line end
    /// are the
    /// same as those of one before.
    #[inline]
    pub(crate) fn repeated(&mut self, text: &[u8]) -> Option<(usize, LineMatch<'b>)> {
        let [first, rest @ ..] = &mut self.cached[..] else { return None };
        if !first.begins(text) {
            let hit = rest.iter_mut().find(|cached| cached.begins(text))?;
            std::mem::swap(first, hit);
        }
        Some((first.line.len(), LineMatch::same(first.action)))
    }

    /// Remembers a line that has been read: it says what `action` does, with these `texts`.
    pub(crate) fn remember(&mut self, line: &'b [u8], texts: VariableSpans, action: usize) {
        self.cached.truncate(REMEMBERED - 1);
        self.cached.insert(0, CachedLine { line, texts, action });
    }
}

impl<'b> CachedLine<'b> {
    /// Whether a text begins with this line, as a line.
    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        let behind = text.strip_prefix(self.line).and_then(<[u8]>::first);
        // One that ends with a carriage return would lose it.
        behind == Some(&b'\n') && self.line.last() != Some(&b'\r')
    }

    fn line_match(&self, line: &'b [u8]) -> Option<LineMatch<'b>> {
        let Self { line: cached, texts, action } = self;
        let mut line_match = LineMatch::same(*action);
        // What both have is compared, what is theirs is skipped, in the order of the line.
        let (mut at, mut from) = (0, 0);
        for (variable, span) in texts {
            let start = at + span.start - from;
            if line.get(at..start)? != &cached[from..span.start] {
                return None;
            }
            let end = scan::special(line, start).filter(|end| line[*end] == b'"')?;
            (at, from) = (end, span.end);
            let text = &line[start..end];
            match variable {
                Variable::Index if *text == cached[span.clone()] => {}
                Variable::Index => line_match.index = Some(std::str::from_utf8(text).ok()?),
                Variable::Id => line_match.id = Some(std::str::from_utf8(text).ok()?),
                Variable::Routing => line_match.routing = Some(std::str::from_utf8(text).ok()?),
            }
        }
        (line[at..] == cached[from..]).then_some(line_match)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::bulk::action::{Target, parse_action};

    /// Whatever is found says what reading the line says.
    #[test]
    fn what_is_like_another_says_what_reading_it_says() {
        let first = [
            r#"{"index":{"_index":"i"}}"#,
            r#"{"index":{"_index":"j","_id":"a"}}"#,
            r#"{"index":{"_index":"i","_id":"a"}}"#,
            r#"{"create":{"_id":"b","_index":"é","pipeline":"p"}}"#,
            r#"{"create":{"_index":null,"_id":"b"}}"#,
            r#"{"index":{"_id":"a","routing":"r","_index":"i"}}"#,
            r#"{"index":{"routing":"r","_id":"a"}}"#,
            r#"{"index":{"_routing":"é","_id":"a\"b"}}"#,
            r#"{"create":{"_id":7,"routing":null,"pipeline":"p"}}"#,
            r#"{"delete":{"_id":"x","routing":"y","version":3}}"#,
            r#"{"index":{"_routing":"x","routing":"y"}}"#,
            r#"{"index":{"_routing":"x","routing":null}}"#,
        ];
        let pieces = ["\"", "\\", ",", "}", "7", "a", "é", "\\\"", "\",\"routing\":\"", "\u{1}", " ", "null"];
        let (mut alike, mut read) = (0, 0);
        for cached in first.map(str::as_bytes) {
            let named = parse_action(cached, 1, None).unwrap();
            let mut compare = |line: &[u8]| {
                let mut lines = ActionLineCache::default();
                lines.remember(cached, named.texts.clone(), 0);
                let Some(line_match) = lines.find(line) else {
                    read += 1;
                    return;
                };
                alike += 1;
                let reread = parse_action(line, 1, None).unwrap();
                assert_eq!(line_match.id.or(named.id.as_deref()), reread.id.as_deref());
                assert_eq!(line_match.routing.or(named.routing.as_deref()), reread.routing.as_deref());
                let index = line_match.index.map(Arc::from).or(named.target.index.clone());
                let target = Target { index, ..named.target.clone() };
                assert_eq!((named.op, &target, named.versioned), (reread.op, &reread.target, reread.versioned));
            };
            compare(cached);
            for from in 0..=cached.len() {
                for to in from..=cached.len() {
                    for piece in pieces.iter().map(|piece| piece.as_bytes()).chain([&b"\xff"[..], b""]) {
                        compare(&[&cached[..from], piece, &cached[to..]].concat());
                    }
                }
            }
            for line in first {
                compare(line.as_bytes());
            }
        }
        assert!(alike > 100 && read > 1000, "{alike} {read}");
    }

    #[test]
    fn lines_that_take_turns_are_all_known() {
        let texts = [b"a", b"b", b"c", b"d", b"e"];
        let mut lines = ActionLineCache::default();
        for (action, line) in texts.into_iter().enumerate() {
            assert_eq!(lines.find(line), None);
            lines.remember(line, VariableSpans::default(), action);
        }
        for _ in 0..3 {
            for (action, line) in texts.into_iter().enumerate().skip(1) {
                assert_eq!(lines.find(line), Some(LineMatch::same(action)));
            }
        }
        assert_eq!(lines.find(texts[0]), None, "the oldest is forgotten");
    }
}
