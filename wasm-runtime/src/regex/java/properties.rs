//! The names that `\p{…}` knows in Java.

use regex_syntax::hir::ClassUnicode;

use crate::regex::set::{all, and, ascii_digit, ascii_hex, chars, none, not, numbers, or, properties, property, range};

/// Unicode's blocks: `FIRST..LAST;NAME|NAME`, the names as Java takes them.
const BLOCKS: &str = include_str!("../../../data/blocks.txt");

/// Unicode's characters that are mirrored in text from right to left: `FIRST..LAST`.
const MIRRORED: &str = include_str!("../../../data/mirrored.txt");

/// `\p{name}`; `fold` for `(?i)`, `unicode` for `(?U)`.
///
/// # Errors
/// Java's words for an unknown one.
pub(crate) fn family(text: &str, fold: bool, unicode: bool) -> Result<ClassUnicode, String> {
    if let Some((name, value)) = text.split_once('=') {
        let name = name.to_lowercase();
        let found = match name.as_str() {
            "sc" | "script" => script(value),
            "blk" | "block" => block(value),
            "gc" | "general_category" => named(value, fold),
            _ => None,
        };
        return found.ok_or_else(|| format!("Unknown Unicode property {{name=<{name}>, value=<{value}>}}"));
    }
    let found = if let Some(name) = text.strip_prefix("In") {
        block(name)
    } else if let Some(name) = text.strip_prefix("Is") {
        binary(name, fold).or_else(|| posix(name, fold)).or_else(|| named(name, fold)).or_else(|| script(name))
    } else {
        Some(text).filter(|_| unicode).and_then(|name| posix(name, fold)).or_else(|| named(text, fold))
    };
    found.ok_or_else(|| format!("Unknown character property name {{{text}}}"))
}

fn script(name: &str) -> Option<ClassUnicode> {
    if !name.bytes().all(|c| c.is_ascii_alphabetic() || c == b'_') {
        return None;
    }
    match name.to_uppercase().as_str() {
        "UNKNOWN" | "ZZZZ" => Some(properties(&["Cn", "Co"])),
        _ => property(&format!("script={name}")),
    }
}

fn block(name: &str) -> Option<ClassUnicode> {
    let name = name.to_uppercase();
    BLOCKS.lines().find_map(|line| {
        let (ends, names) = line.split_once(';')?;
        names.split('|').find(|listed| *listed == name)?;
        ends_of(ends).map(|ends| numbers(&[ends]))
    })
}

fn ends_of(text: &str) -> Option<(u32, u32)> {
    let (from, to) = text.split_once("..")?;
    Some((u32::from_str_radix(from, 16).ok()?, u32::from_str_radix(to, 16).ok()?))
}

/// `Lowercase`, `Uppercase` or `Titlecase`; of all three under `(?i)`.
fn cased(name: &str, fold: bool) -> Option<ClassUnicode> {
    if fold { Some(properties(&["Lowercase", "Uppercase", "Lt"])) } else { property(name) }
}

fn binary(name: &str, fold: bool) -> Option<ClassUnicode> {
    match name.to_uppercase().as_str() {
        "ALPHABETIC" => property("Alphabetic"),
        "ASSIGNED" => Some(not(properties(&["Cn"]))),
        "CONTROL" => property("Cc"),
        "EMOJI" => property("Emoji"),
        "EMOJI_PRESENTATION" => property("Emoji_Presentation"),
        "EMOJI_MODIFIER" => property("Emoji_Modifier"),
        "EMOJI_MODIFIER_BASE" => property("Emoji_Modifier_Base"),
        "EMOJI_COMPONENT" => property("Emoji_Component"),
        "EXTENDED_PICTOGRAPHIC" => property("Extended_Pictographic"),
        "HEXDIGIT" | "HEX_DIGIT" => posix("XDIGIT", fold),
        "IDEOGRAPHIC" => property("Ideographic"),
        "JOINCONTROL" | "JOIN_CONTROL" => property("Join_Control"),
        "LETTER" => property("L"),
        "LOWERCASE" => cased("Lowercase", fold),
        "NONCHARACTERCODEPOINT" | "NONCHARACTER_CODE_POINT" => property("Noncharacter_Code_Point"),
        "TITLECASE" => cased("Lt", fold),
        "PUNCTUATION" => property("P"),
        "UPPERCASE" => cased("Uppercase", fold),
        "WHITESPACE" | "WHITE_SPACE" => property("White_Space"),
        "WORD" => Some(word()),
        _ => None,
    }
}

/// `\w` under `(?U)`.
pub(crate) fn word() -> ClassUnicode {
    properties(&["Alphabetic", "M", "Nd", "Pc", "Join_Control"])
}

/// POSIX classes as Unicode understands them.
fn posix(name: &str, fold: bool) -> Option<ClassUnicode> {
    let blank = || or(property("Zs").unwrap_or_else(none), &chars("\t"));
    let graph = || not(properties(&["White_Space", "Cc", "Cs", "Cn"]));
    match name.to_uppercase().as_str() {
        "ALPHA" => property("Alphabetic"),
        "LOWER" => cased("Lowercase", fold),
        "UPPER" => cased("Uppercase", fold),
        "SPACE" => property("White_Space"),
        "PUNCT" => property("P"),
        "XDIGIT" => {
            Some(or(properties(&["Nd"]), &numbers(&[(0x41, 0x46), (0x61, 0x66), (0xFF21, 0xFF26), (0xFF41, 0xFF46)])))
        }
        "ALNUM" => Some(properties(&["Alphabetic", "Nd"])),
        "CNTRL" => property("Cc"),
        "DIGIT" => property("Nd"),
        "BLANK" => Some(blank()),
        "GRAPH" => Some(graph()),
        "PRINT" => Some(and(or(graph(), &blank()), &not(properties(&["Cc"])))),
        _ => None,
    }
}

/// General categories, and Java's own names.
fn named(name: &str, fold: bool) -> Option<ClassUnicode> {
    match name {
        "Lu" | "Ll" | "Lt" if fold => Some(properties(&["Lu", "Ll", "Lt"])),
        "LC" => Some(properties(&["Lu", "Ll", "Lt"])),
        "LD" => Some(properties(&["L", "Nd"])),
        "Cs" => Some(none()),
        "L" | "M" | "N" | "Z" | "C" | "P" | "S" | "Cn" | "Lu" | "Ll" | "Lt" | "Lm" | "Lo" | "Mn" | "Me" | "Mc"
        | "Nd" | "Nl" | "No" | "Zs" | "Zl" | "Zp" | "Cc" | "Cf" | "Co" | "Pd" | "Ps" | "Pe" | "Pc" | "Po" | "Pi"
        | "Pf" | "Sm" | "Sc" | "Sk" | "So" => property(name),
        "L1" => Some(range('\0', '\u{FF}')),
        "all" => Some(all()),
        _ => ascii(name, fold).or_else(|| of_java(name.strip_prefix("java")?, fold)),
    }
}

/// POSIX classes of ASCII.
fn ascii(name: &str, fold: bool) -> Option<ClassUnicode> {
    let letters = numbers(&[(0x41, 0x5A), (0x61, 0x7A)]);
    Some(match name {
        "ASCII" => range('\0', '\x7F'),
        "Alnum" => or(letters, &ascii_digit()),
        "Alpha" => letters,
        "Blank" => chars(" \t"),
        "Cntrl" => numbers(&[(0, 0x1F), (0x7F, 0x7F)]),
        "Digit" => ascii_digit(),
        "Graph" => range('!', '~'),
        "Lower" | "Upper" if fold => letters,
        "Lower" => range('a', 'z'),
        "Upper" => range('A', 'Z'),
        "Print" => range(' ', '~'),
        "Punct" => and(range('!', '~'), &not(or(letters, &ascii_digit()))),
        "Space" => numbers(&[(0x09, 0x0D), (0x20, 0x20)]),
        "XDigit" => ascii_hex(),
        _ => return None,
    })
}

/// The methods of `Character`.
fn of_java(name: &str, fold: bool) -> Option<ClassUnicode> {
    let ignorable = || or(properties(&["Cf"]), &numbers(&[(0, 8), (0x0E, 0x1B), (0x7F, 0x9F)]));
    match name {
        "LowerCase" => cased("Lowercase", fold),
        "UpperCase" => cased("Uppercase", fold),
        "TitleCase" => cased("Lt", fold),
        "Alphabetic" => property("Alphabetic"),
        "Ideographic" => property("Ideographic"),
        "Digit" => property("Nd"),
        "Defined" => Some(not(properties(&["Cn"]))),
        "Letter" => property("L"),
        "LetterOrDigit" => Some(properties(&["L", "Nd"])),
        "JavaIdentifierStart" => Some(properties(&["L", "Nl", "Sc", "Pc"])),
        "JavaIdentifierPart" => Some(or(properties(&["L", "Nl", "Sc", "Pc", "Nd", "Mc", "Mn"]), &ignorable())),
        "UnicodeIdentifierStart" => property("ID_Start"),
        "UnicodeIdentifierPart" => Some(or(properties(&["ID_Continue"]), &ignorable())),
        "IdentifierIgnorable" => Some(ignorable()),
        "SpaceChar" => property("Z"),
        "Whitespace" => Some(or(
            and(properties(&["Z"]), &not(chars("\u{A0}\u{2007}\u{202F}"))),
            &numbers(&[(0x09, 0x0D), (0x1C, 0x1F)]),
        )),
        "ISOControl" => property("Cc"),
        "Mirrored" => Some(numbers(&MIRRORED.lines().filter_map(ends_of).collect::<Vec<_>>())),
        _ => None,
    }
}
