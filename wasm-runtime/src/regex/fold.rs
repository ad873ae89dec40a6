//! Letters that differ in case only, as Java compares them and by Unicode's simple case folding.

use std::collections::HashMap;
use std::sync::OnceLock;

use regex_syntax::hir::ClassUnicode;

use super::set::{chars, none, or, range};

/// Letters end here.
const LAST_CASED: u32 = 0x1_FFFF;

/// Unicode's simple upper case: of letters whose full one has several characters it is one of these, or themselves.
pub(crate) fn upper(c: char) -> char {
    let mut full = c.to_uppercase();
    match (full.next(), full.next()) {
        (Some(only), None) => only,
        _ => match c as u32 {
            n @ (0x1F80..=0x1F87 | 0x1F90..=0x1F97 | 0x1FA0..=0x1FA7) => char::from_u32(n + 8).unwrap_or(c),
            n @ (0x1FB3 | 0x1FC3 | 0x1FF3) => char::from_u32(n + 9).unwrap_or(c),
            _ => c,
        },
    }
}

/// Unicode's simple lower case.
pub(crate) fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// By what Java compares letters.
pub(crate) fn java(c: char) -> char {
    lower(upper(c))
}

/// The letters that [`java`] takes for the same, by what it makes of them.
fn alike() -> &'static HashMap<char, Vec<char>> {
    static ALIKE: OnceLock<HashMap<char, Vec<char>>> = OnceLock::new();
    ALIKE.get_or_init(|| {
        let mut alike: HashMap<char, Vec<char>> = HashMap::new();
        for c in (0..=LAST_CASED).filter_map(char::from_u32).filter(|&c| java(c) != c) {
            alike.entry(java(c)).or_default().push(c);
        }
        alike
    })
}

/// Characters that Java's `(?iu)` takes for `c`.
pub(crate) fn java_single(c: char) -> ClassUnicode {
    let folded = java(c);
    if upper(c) == folded {
        return range(c, c);
    }
    let others: String = alike().get(&folded).into_iter().flatten().collect();
    or(range(folded, folded), &chars(&others))
}

/// Characters that Java's `(?iu)` takes for a range.
pub(crate) fn java_range(from: char, to: char) -> ClassUnicode {
    static CASED: OnceLock<Vec<char>> = OnceLock::new();
    let all = (0..=LAST_CASED).filter_map(char::from_u32);
    let cased = CASED.get_or_init(|| all.filter(|&c| upper(c) != c || lower(c) != c).collect());
    let within = |c: char| (from..=to).contains(&c);
    let plain: String = cased.iter().filter(|&&c| within(upper(c)) || within(java(c))).collect();
    or(range(from, to), &chars(&plain))
}

/// Characters that Java's `(?i)` takes for a range: letters of ASCII in both cases.
pub(crate) fn ascii_range(from: char, to: char) -> ClassUnicode {
    let within =
        |c: &char| (from..=to).contains(&c.to_ascii_uppercase()) || (from..=to).contains(&c.to_ascii_lowercase());
    let both: String = ('\0'..='\x7F').filter(within).collect();
    or(range(from, to), &chars(&both))
}

/// With all that simple case folding takes for the same.
pub(crate) fn simple(mut class: ClassUnicode) -> ClassUnicode {
    if class.try_case_fold_simple().is_err() {
        return or(none(), &class);
    }
    class
}

/// Whether simple case folding takes two characters for the same.
pub(crate) fn same_simply(a: char, b: char) -> bool {
    a == b || simple(range(a, a)).ranges().iter().any(|r| (r.start()..=r.end()).contains(&b))
}
