//! Words that a condition needs, searched for in the bytes of documents that nobody has parsed.
//!
//! A reader of JSON gets a word out of bytes that are the word itself, or that spell a character of it in another way. In a text
//! without backslash and slash, which `needle` has alone, a `\u` escape is the one other way in JSON; a reader that is lax about UTF-8
//! may take an overlong form, too. So a text excludes a word of ASCII that it does not contain if it has no escape of an ASCII
//! character (`\u0020` to `\u007f`) and no overlong form.

use std::cell::{Cell, OnceCell};

use memchr::memmem::{self, Finder};

/// A word that a document must have for a condition to be met.
#[derive(Debug)]
pub(crate) struct Needle {
    finder: Finder<'static>,
    ascii: bool,
}

impl Needle {
    /// The needle of `text`; `None` for a text that can be written with other escapes than `\u`.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let plain = !text.is_empty() && !text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\' | '/'));
        plain.then(|| Self { finder: Finder::new(text.as_bytes()).into_owned(), ascii: text.is_ascii() })
    }

    /// Whether no document in the text has the word, however a cluster reads it.
    pub(crate) fn is_absent<'t>(&'t self, from: &Haystack<'t>) -> bool {
        let spelled = || if self.ascii { from.spells_ascii() } else { from.spells_any() };
        from.lacks(&self.finder) && !spelled()
    }
}

/// A text that needles are searched for in; facts about it are found out once.
pub(crate) struct Haystack<'t> {
    text: &'t [u8],
    spells_ascii: OnceCell<bool>,
    spells_any: OnceCell<bool>,
    /// The word that was searched for last, and was not there: stages of a pipeline often have the same condition.
    absent: Cell<Option<&'t [u8]>>,
}

impl<'t> Haystack<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Self {
        Self { text, spells_ascii: OnceCell::new(), spells_any: OnceCell::new(), absent: Cell::new(None) }
    }

    fn lacks(&self, finder: &'t Finder<'static>) -> bool {
        let absent = self.absent.get() == Some(finder.needle()) || finder.find(self.text).is_none();
        if absent {
            self.absent.set(Some(finder.needle()));
        }
        absent
    }

    /// Whether a character of ASCII may be there by another spelling than itself.
    fn spells_ascii(&self) -> bool {
        *self.spells_ascii.get_or_init(|| {
            let escaped = |at: usize| matches!(self.text.get(at + 4), Some(b'2'..=b'7'));
            memmem::find_iter(self.text, br"\u00").any(escaped) || has_overlong_ascii(self.text)
        })
    }

    /// Whether any character may be there by another spelling than itself.
    fn spells_any(&self) -> bool {
        *self
            .spells_any
            .get_or_init(|| memmem::find(self.text, br"\u").is_some() || simdutf8::basic::from_utf8(self.text).is_err())
    }
}

/// Whether an ASCII character may be there in two bytes or more.
fn has_overlong_ascii(text: &[u8]) -> bool {
    // Valid UTF-8 has none; of other texts the lead bytes are looked at.
    simdutf8::basic::from_utf8(text).is_err()
        && text.windows(2).any(|pair| match pair {
            [0xc0 | 0xc1, _] => true,
            [0xe0, second] => *second < 0xa0,
            [0xf0, second] => *second < 0x90,
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absent(word: &str, text: &[u8]) -> bool {
        Needle::of(word).is_some_and(|needle| needle.is_absent(&Haystack::new(text)))
    }

    /// Each character of the word as itself, as an escape in either case of digits, and in overlong forms.
    fn spellings(c: char) -> Vec<Vec<u8>> {
        let code = c as u32;
        let escape = |text: String| text.into_bytes();
        let mut all = vec![
            c.to_string().into_bytes(),
            escape(format!("\\u{code:04x}")),
            escape(format!("\\u{code:04X}")),
            vec![0xe0 | (code >> 12) as u8, 0x80 | (code >> 6 & 0x3f) as u8, 0x80 | (code & 0x3f) as u8],
            vec![0xf0, 0x80 | (code >> 12) as u8, 0x80 | (code >> 6 & 0x3f) as u8, 0x80 | (code & 0x3f) as u8],
        ];
        if code < 0x800 {
            all.push(vec![0xc0 | (code >> 6) as u8, 0x80 | (code & 0x3f) as u8]);
        }
        all
    }

    #[test]
    fn no_spelling_of_a_word_is_missed() {
        let fill: [&[u8]; 6] = [b"", b"\\u00e9", "é\\u6771".as_bytes(), b"\\\\", b"\\n\\\"", &[0xff]];
        for word in ["NONE", "ab", "é1", "a.b", "x"] {
            let parts: Vec<Vec<Vec<u8>>> = word.chars().map(spellings).collect();
            let mut texts: Vec<Vec<u8>> = vec![Vec::new()];
            for part in &parts {
                texts = texts.iter().flat_map(|text| part.iter().map(move |way| [&text[..], way].concat())).collect();
            }
            for text in texts {
                for fill in fill {
                    let whole = [br#"{"k":""#, fill, &text, fill, b"\"}"].concat();
                    assert!(!absent(word, &whole), "{word} in {}", String::from_utf8_lossy(&whole));
                }
            }
        }
    }

    #[test]
    fn escapes_of_other_characters_do_not_hide_a_word() {
        for text in [r#"{"k":"caf\u00e9 \u6771\u4eac \u001f \u0000 \ud83d\ude42"}"#, r#"{"k":"é\n\t\"\\"}"#, "{}"] {
            assert!(absent("NONE", text.as_bytes()), "{text}");
            assert_eq!(absent("né", text.as_bytes()), !text.contains("\\u"), "{text}");
        }
        assert!(absent("NONE", b"{\"k\":\"\xff\xe9\"}"), "no overlong form");
        assert!(!absent("é", b"{\"k\":\"\xff\"}"));
        assert!(!absent("a/b", b"{}") && !absent("", b"{}") && !absent("a\"", b"{}") && !absent("a\nb", b"{}"));
    }

    #[test]
    fn a_word_that_is_absent_says_nothing_about_others() {
        let (text, words) = (b"{\"level\":\"INFO\"}", ["NONE", "NONE", "INFO", "NONE"]);
        let needles = words.map(|word| Needle::of(word).unwrap());
        let haystack = Haystack::new(text);
        assert_eq!(needles.each_ref().map(|needle| needle.is_absent(&haystack)), [true, true, false, true]);
    }
}
