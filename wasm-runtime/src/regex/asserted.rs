//! A text's characters, and what holds between two of them.

use std::sync::OnceLock;

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::set::{Set, properties};
use super::tree::{Assert, Words};
use super::{java, ruby};

pub(crate) struct Text<'t> {
    pub(crate) text: &'t str,
    pub(crate) bytes: &'t [u8],
}

impl<'t> Text<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, bytes: text.as_bytes() }
    }

    /// The end of the character at `at`, if it is one of a set.
    #[inline]
    pub(crate) fn step(&self, at: usize, set: &Set) -> Option<usize> {
        let c = *self.bytes.get(at)?;
        if c < 0x80 {
            return set.has_ascii(c).then_some(at + 1);
        }
        let c = self.char(at)?;
        set.has(c).then(|| at + c.len_utf8())
    }

    pub(crate) fn char(&self, at: usize) -> Option<char> {
        match self.bytes.get(at)? {
            c @ ..0x80 => Some(*c as char),
            _ => self.text[at..].chars().next(),
        }
    }

    fn char_before(&self, at: usize) -> Option<char> {
        (at > 0).then(|| self.char(self.before(at)))?
    }

    /// Where the character before begins.
    pub(crate) fn before(&self, at: usize) -> usize {
        let mut before = at.saturating_sub(1);
        while before > 0 && self.bytes[before] & 0xC0 == 0x80 {
            before -= 1;
        }
        before
    }

    /// Where the next character begins; behind the text at its end.
    pub(crate) fn after(&self, at: usize) -> usize {
        let mut after = at + 1;
        while self.bytes.get(after).is_some_and(|c| c & 0xC0 == 0x80) {
            after += 1;
        }
        after
    }
}

fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether it holds at `at`; `continued` is where the match before ended.
pub(crate) fn holds(assert: Assert, text: &Text<'_>, at: usize, continued: usize) -> bool {
    let end = text.bytes.len();
    let (before, here) = (at.checked_sub(1).map(|at| text.bytes[at]), text.bytes.get(at).copied());
    match assert {
        Assert::Start => at == 0,
        Assert::End => at == end,
        Assert::Continued => at == continued,
        Assert::LastUnixLine => at == end || here == Some(b'\n') && at + 1 == end,
        Assert::UnixLineEnd => at == end || here == Some(b'\n'),
        Assert::UnixLineStart => at == 0 && end > 0 || at != end && before == Some(b'\n'),
        Assert::RubyLineStart => at == 0 || at != end && before == Some(b'\n'),
        Assert::LineStart => {
            let after = text.char_before(at).is_none_or(ends_line);
            at != end && after && !(before == Some(b'\r') && here == Some(b'\n'))
        }
        Assert::LineEnd => {
            at == end || text.char(at).is_some_and(ends_line) && !(before == Some(b'\r') && here == Some(b'\n'))
        }
        Assert::LastLine => {
            let rest = &text.text[at..];
            let final_end = rest.chars().next().is_none_or(|c| ends_line(c) && c.len_utf8() == rest.len());
            final_end && !(before == Some(b'\r') && here == Some(b'\n')) || rest == "\r\n"
        }
        Assert::Word(words) => at_edge(words, text, at),
        Assert::NotWord(words) => !at_edge(words, text, at),
        Assert::ClusterEdge => {
            let mut cursor = GraphemeCursor::new(at, end, true);
            cursor.is_boundary(text.text, 0).unwrap_or(true)
        }
    }
}

/// Whether a word begins or ends here.
fn at_edge(words: Words, text: &Text<'_>, at: usize) -> bool {
    in_word(words, text, text.before(at), at > 0) != in_word(words, text, at, true)
}

/// Whether the character at `at` belongs to a word; `there` if there is one.
fn in_word(words: Words, text: &Text<'_>, at: usize, there: bool) -> bool {
    let Some(c) = text.char(at).filter(|_| there) else { return false };
    if c.is_ascii() {
        return c == '_' || c.is_ascii_alphanumeric();
    }
    match words {
        Words::RubyAscii => false,
        Words::Ruby => sets().ruby.has(c),
        // In Java a mark belongs to the letter or digit before it.
        Words::Ascii => sets().marks.has(c) && has_base(text, at),
        Words::Unicode => sets().java.has(c) || sets().marks.has(c) && has_base(text, at),
    }
}

fn has_base(text: &Text<'_>, at: usize) -> bool {
    let before = text.text[..text.after(at).min(text.bytes.len())].chars().rev();
    before.take_while(|c| sets().marks.has(*c) || sets().letters.has(*c)).any(|c| sets().letters.has(c))
}

struct Sets {
    marks: Set,
    letters: Set,
    java: Set,
    ruby: Set,
}

fn sets() -> &'static Sets {
    static SETS: OnceLock<Sets> = OnceLock::new();
    SETS.get_or_init(|| Sets {
        marks: Set::of(properties(&["Mn"])),
        letters: Set::of(properties(&["L", "Nd"])),
        java: Set::of(java::word()),
        ruby: Set::of(ruby::word()),
    })
}

/// The end of the cluster at `at`.
pub(crate) fn cluster(text: &Text<'_>, at: usize) -> Option<usize> {
    text.text[at..].graphemes(true).next().map(|cluster| at + cluster.len())
}
