//! Action lines that say what a line before them said, but for `_id` and `routing`: most lines of a bulk do.

use std::ops::Range;

use crate::json::scan;

/// Maximum number of cached lines: actions of a few indexes take turns.
const REMEMBERED: usize = 4;

/// Where the texts in an action line are that differ from one line to the next: inside their quotes, without escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct VariableSpans {
    pub(crate) id: Option<Range<usize>>,
    pub(crate) routing: Option<Range<usize>>,
}

/// A line that says the same as the one of `action`, but for these: `None` where they are the same, too.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineMatch<'b> {
    /// Position of the action.
    pub(crate) action: usize,
    pub(crate) id: Option<&'b str>,
    pub(crate) routing: Option<&'b str>,
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
            return Some(LineMatch { action: cached.action, id: None, routing: None });
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
        Some((first.line.len(), LineMatch { action: first.action, id: None, routing: None }))
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
        let Self { line: cached, texts: VariableSpans { id, routing }, action } = self;
        let mut line_match = LineMatch { action: *action, id: None, routing: None };
        // What both have is compared, what is theirs is skipped, in the order of the line.
        let (mut at, mut from) = (0, 0);
        let mut skip = |text: &Option<Range<usize>>| -> Option<Option<&'b str>> {
            let Some(text) = text else { return Some(None) };
            let start = at + text.start - from;
            if line.get(at..start)? != &cached[from..text.start] {
                return None;
            }
            let end = scan::special(line, start).filter(|end| line[*end] == b'"')?;
            (at, from) = (end, text.end);
            std::str::from_utf8(&line[start..end]).ok().map(Some)
        };
        let routed_first = matches!((id, routing), (Some(id), Some(routing)) if routing.start < id.start);
        if routed_first {
            line_match.routing = skip(routing)?;
        }
        line_match.id = skip(id)?;
        if !routed_first {
            line_match.routing = skip(routing)?;
        }
        (line[at..] == cached[from..]).then_some(line_match)
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
                assert_eq!((named.op, &named.target, named.versioned), (reread.op, &reread.target, reread.versioned));
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
                assert_eq!(lines.find(line), Some(LineMatch { action, id: None, routing: None }));
            }
        }
        assert_eq!(lines.find(texts[0]), None, "the oldest is forgotten");
    }
}
