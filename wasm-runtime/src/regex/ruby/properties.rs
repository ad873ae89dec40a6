//! The names that brackets and `\p{…}` know in Onigmo.

use regex_syntax::hir::ClassUnicode;

use crate::regex::set::{all, and, ascii_hex, chars, none, not, or, properties, property, range};

/// Letters, marks, digits, connectors and joiners.
pub(crate) fn word() -> ClassUnicode {
    properties(&["Alphabetic", "M", "Nd", "Pc", "Join_Control"])
}

/// `[:name:]`.
pub(crate) fn posix(name: &str) -> Option<ClassUnicode> {
    let graph = || not(properties(&["White_Space", "Cc", "Cn", "Cs"]));
    Some(match name {
        "alnum" => properties(&["Alphabetic", "Nd"]),
        "alpha" => properties(&["Alphabetic"]),
        "ascii" => range('\0', '\x7F'),
        "blank" => or(properties(&["Zs"]), &chars("\t")),
        "cntrl" => properties(&["Cc"]),
        "digit" => properties(&["Nd"]),
        "graph" => graph(),
        "lower" => properties(&["Lowercase"]),
        "print" => and(or(graph(), &properties(&["Zs"])), &not(properties(&["Cc"]))),
        "punct" => or(properties(&["P"]), &chars("$+<=>^`|~")),
        "space" => properties(&["White_Space"]),
        "upper" => properties(&["Uppercase"]),
        "xdigit" => ascii_hex(),
        "word" => word(),
        _ => return None,
    })
}

/// `\p{name}`; case, blanks, dashes and underscores do not count.
pub(crate) fn property_of(name: &str) -> Option<ClassUnicode> {
    if name.is_empty() || !name.is_ascii() || name.contains(['=', ':', '!']) {
        return None;
    }
    let plain: String =
        name.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).map(|c| c.to_ascii_lowercase()).collect();
    match plain.as_str() {
        "any" => Some(all()),
        "assigned" => Some(not(properties(&["Cn"]))),
        "cs" | "surrogate" => Some(none()),
        "xposixpunct" => posix("punct"),
        _ => posix(&plain).or_else(|| property(&plain)),
    }
}
