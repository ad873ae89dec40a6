//! Sets of characters, and those that both languages have names for.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// Ranges of characters that the sets of an expression may have together, eight bytes each.
const MOST_RANGES: usize = 500_000;
/// Adds a set's ranges to those that an expression has.
pub(super) fn count_ranges(count: &mut usize, class: &regex_syntax::hir::ClassUnicode) -> Result<(), String> {
    *count += class.ranges().len();
    if *count > MOST_RANGES {
        return Err(format!("its sets of characters are too large, the limit is {MOST_RANGES} ranges"));
    }
    Ok(())
}

/// A set of characters, made for being asked.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    /// The ASCII characters of the set, a bit each.
    ascii: u128,
    pub(crate) class: ClassUnicode,
}

impl Set {
    pub(crate) fn of(class: ClassUnicode) -> Self {
        let mut ascii = 0;
        for range in class.ranges() {
            for c in u32::from(range.start())..=u32::from(range.end()).min(127) {
                ascii |= 1u128 << c;
            }
        }
        Self { ascii, class }
    }

    #[inline]
    pub(crate) fn has_ascii(&self, c: u8) -> bool {
        self.ascii >> (c & 127) & 1 == 1
    }

    pub(crate) fn has(&self, c: char) -> bool {
        if c.is_ascii() {
            return self.has_ascii(c as u8);
        }
        let ranges = self.class.ranges();
        let at = ranges.partition_point(|range| range.end() < c);
        ranges.get(at).is_some_and(|range| range.start() <= c)
    }

    /// Its only character.
    pub(crate) fn single(&self) -> Option<char> {
        match self.class.ranges() {
            [only] if only.start() == only.end() => Some(only.start()),
            _ => None,
        }
    }
}

pub(crate) fn range(from: char, to: char) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(from, to)])
}

/// Characters by their numbers; halves of surrogate pairs, which no text has, are left out.
pub(crate) fn numbers(ranges: &[(u32, u32)]) -> ClassUnicode {
    let parts = ranges.iter().flat_map(|&(from, to)| {
        let below = (from < 0xD800).then_some((from, to.min(0xD7FF)));
        let above = (to > 0xDFFF).then_some((from.max(0xE000), to));
        [below, above].into_iter().flatten()
    });
    ClassUnicode::new(
        parts.filter_map(|(from, to)| Some(ClassUnicodeRange::new(char::from_u32(from)?, char::from_u32(to)?))),
    )
}

pub(crate) fn chars(text: &str) -> ClassUnicode {
    ClassUnicode::new(text.chars().map(|c| ClassUnicodeRange::new(c, c)))
}

pub(crate) fn all() -> ClassUnicode {
    range('\0', char::MAX)
}

pub(crate) fn none() -> ClassUnicode {
    ClassUnicode::empty()
}

pub(crate) fn not(mut class: ClassUnicode) -> ClassUnicode {
    class.negate();
    class
}

pub(crate) fn or(mut left: ClassUnicode, right: &ClassUnicode) -> ClassUnicode {
    left.union(right);
    left
}

pub(crate) fn and(mut left: ClassUnicode, right: &ClassUnicode) -> ClassUnicode {
    left.intersect(right);
    left
}

/// A property by the name that Unicode's own syntax has for it, as `Lu` or `script=Greek`.
pub(crate) fn property(name: &str) -> Option<ClassUnicode> {
    let hir = regex_syntax::Parser::new().parse(&format!("\\p{{{name}}}")).ok()?;
    match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        HirKind::Literal(literal) => Some(chars(std::str::from_utf8(&literal.0).ok()?)),
        _ => None,
    }
}

/// The union of properties that are there.
pub(crate) fn properties(names: &[&str]) -> ClassUnicode {
    names.iter().filter_map(|name| property(name)).fold(none(), |all, set| or(all, &set))
}

/// `[0-9]`, `[A-Za-z0-9_]`, `[ \t\n\x0B\f\r]`.
pub(crate) fn ascii_digit() -> ClassUnicode {
    range('0', '9')
}

pub(crate) fn ascii_word() -> ClassUnicode {
    numbers(&[(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)])
}

pub(crate) fn ascii_space() -> ClassUnicode {
    numbers(&[(0x09, 0x0D), (0x20, 0x20)])
}

pub(crate) fn ascii_hex() -> ClassUnicode {
    numbers(&[(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)])
}

/// Line terminators of Java.
pub(crate) fn line_terminators() -> ClassUnicode {
    chars("\n\r\u{85}\u{2028}\u{2029}")
}
