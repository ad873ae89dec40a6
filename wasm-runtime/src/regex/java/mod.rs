//! Reads `java.util.regex` syntax: what its parser takes, refuses and means, in the order in which it looks at the text.

mod class;
mod escape;
mod properties;
pub(crate) use properties::word;
mod quantifier;
mod study;

use std::collections::HashMap;

use super::fold;
use super::set::{Set, all, chars, count_ranges, line_terminators, not};
use super::tree::{Assert, DEEPEST, Greed, Lookaround, Node, Parsed};

type Result<T> = std::result::Result<T, String>;

/// Flags, as `(?idmsuxU)` sets them.
#[derive(Clone, Copy, Default)]
struct Flags {
    fold: bool,
    unix: bool,
    multi: bool,
    dot_all: bool,
    unicode_case: bool,
    comments: bool,
    unicode: bool,
}

struct Parser<'p> {
    pattern: &'p str,
    /// The characters, with two NUL behind them.
    text: Vec<char>,
    len: usize,
    at: usize,
    flags: Flags,
    groups: usize,
    names: HashMap<String, usize>,
    depth: usize,
    /// Number of ranges in the sets of characters.
    ranges: usize,
}

/// # Errors
/// Java's words for what is wrong with the expression.
pub(crate) fn parse(pattern: &str) -> Result<Parsed> {
    let mut text = unquoted(pattern);
    let len = text.len();
    text.extend(['\0', '\0']);
    let names = HashMap::new();
    let mut parser =
        Parser { pattern, text, len, at: 0, flags: Flags::default(), groups: 1, names, depth: 0, ranges: 0 };
    let node = parser.alternatives()?;
    if parser.at != parser.len {
        return Err(match parser.peek() {
            ')' => parser.wrong("Unmatched closing ')'"),
            _ if parser.at > parser.len && parser.text[parser.len - 1] == '\\' => {
                parser.wrong("Unescaped trailing backslash")
            }
            _ => parser.wrong("Unexpected internal error"),
        });
    }
    let names = parser.names.into_iter().map(|(name, group)| (name, vec![group])).collect();
    Ok(Parsed { node, groups: parser.groups, names })
}

/// The characters of a pattern, those between `\Q` and `\E` escaped.
fn unquoted(pattern: &str) -> Vec<char> {
    let mut out = Vec::with_capacity(pattern.len() + 2);
    let mut chars = pattern.chars().peekable();
    let (mut quoted, mut first) = (false, false);
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted && chars.next_if_eq(&'E').is_some() => quoted = false,
            '\\' if !quoted && chars.next_if_eq(&'Q').is_some() => {
                (quoted, first) = (true, true);
                continue;
            }
            '\\' if !quoted => {
                out.push(c);
                out.extend(chars.next());
            }
            // A digit at once after `\Q` must not become part of an escape before it.
            c if quoted && first && c.is_ascii_digit() => out.extend(['\\', 'x', '3', c]),
            c if quoted && c.is_ascii() && !c.is_ascii_alphanumeric() => out.extend(['\\', c]),
            c => out.push(c),
        }
        first = false;
    }
    out
}

impl Parser<'_> {
    fn wrong(&self, why: &str) -> String {
        let at = self.at.saturating_sub(1);
        let arrow = if at < self.pattern.chars().count() { format!("\n{}^", " ".repeat(at)) } else { String::new() };
        format!("{why} near index {at}\n{}{arrow}", self.pattern)
    }

    fn get(&self, at: usize) -> char {
        self.text.get(at).copied().unwrap_or('\0')
    }

    /// Where the next character is that is neither white space nor a comment, under `(?x)`.
    fn past_blanks(&self, mut at: usize) -> usize {
        if !self.flags.comments {
            return at;
        }
        loop {
            let c = self.get(at);
            if matches!(c, '\t'..='\r' | ' ') {
                at += 1;
            } else if c == '#' {
                while at < self.len && !self.ends_line(self.get(at)) {
                    at += 1;
                }
            } else {
                return at;
            }
        }
    }

    fn ends_line(&self, c: char) -> bool {
        if self.flags.unix { c == '\n' } else { matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') }
    }

    fn peek(&mut self) -> char {
        self.at = self.past_blanks(self.at);
        self.get(self.at)
    }

    /// The next character, which is taken.
    fn read(&mut self) -> char {
        let at = self.past_blanks(self.at);
        self.at = at + 1;
        self.get(at)
    }

    /// Goes on by one and looks.
    fn next(&mut self) -> char {
        self.at += 1;
        self.peek()
    }

    /// The character after the next, and goes behind it.
    fn skip(&mut self) -> char {
        let c = self.get(self.at + 1);
        self.at += 2;
        c
    }

    fn alternatives(&mut self) -> Result<Node> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong(&format!("Groups are nested more than {DEEPEST} deep")));
        }
        let mut all = vec![self.sequence()?];
        while self.peek() == '|' {
            self.next();
            all.push(self.sequence()?);
        }
        self.depth -= 1;
        Ok(Node::either(all))
    }

    fn sequence(&mut self) -> Result<Node> {
        let mut nodes = Vec::new();
        loop {
            let node = match self.peek() {
                '(' => {
                    nodes.extend(self.group()?);
                    continue;
                }
                '[' => Node::Set(self.class(true)?.into()),
                '\\' => self.escaped()?,
                '^' => {
                    self.next();
                    Node::Assert(match (self.flags.multi, self.flags.unix) {
                        (false, _) => Assert::Start,
                        (true, false) => Assert::LineStart,
                        (true, true) => Assert::UnixLineStart,
                    })
                }
                '$' => {
                    self.next();
                    Node::Assert(self.dollar(self.flags.multi))
                }
                '.' => {
                    self.next();
                    Node::set(Set::of(self.dot()))
                }
                '|' | ')' => break,
                c @ ('?' | '*' | '+') => {
                    self.next();
                    return Err(self.wrong(&format!("Dangling meta character '{c}'")));
                }
                '\0' if self.at >= self.len => break,
                c => {
                    // What stands for itself is never white space or a comment, as `peek` went past them.
                    if c == '{' {
                        // A quantifier of nothing.
                        Node::Empty
                    } else {
                        self.next();
                        self.single(c)
                    }
                }
            };
            if let Node::Set(set) = &node {
                count_ranges(&mut self.ranges, &set.class)?;
            }
            nodes.push(self.closure(node)?);
        }
        Ok(Node::concat(nodes))
    }

    fn dot(&self) -> regex_syntax::hir::ClassUnicode {
        match self.flags {
            Flags { dot_all: true, .. } => all(),
            Flags { unix: true, .. } => not(chars("\n")),
            _ => not(line_terminators()),
        }
    }

    fn dollar(&self, multi: bool) -> Assert {
        match (multi, self.flags.unix) {
            (false, false) => Assert::LastLine,
            (false, true) => Assert::LastUnixLine,
            (true, false) => Assert::LineEnd,
            (true, true) => Assert::UnixLineEnd,
        }
    }

    /// A character that stands for itself.
    fn single(&self, c: char) -> Node {
        Node::set(Set::of(self.single_class(c)))
    }

    fn single_class(&self, c: char) -> regex_syntax::hir::ClassUnicode {
        match self.flags {
            Flags { fold: true, unicode_case: true, .. } => fold::java_single(c),
            Flags { fold: true, .. } => fold::ascii_range(c, c),
            _ => super::set::range(c, c),
        }
    }

    /// A group with its quantifier; none for one that only sets flags.
    fn group(&mut self) -> Result<Option<Node>> {
        let before = self.flags;
        let mut bare = false;
        let node = if self.next() == '?' {
            match self.skip() {
                ':' => self.alternatives()?,
                c @ ('=' | '!') => {
                    bare = true;
                    Node::Lookaround(Lookaround {
                        inner: Box::new(self.alternatives()?),
                        negative: c == '!',
                        behind: None,
                    })
                }
                '>' => {
                    bare = true;
                    Node::Atomic(Box::new(self.alternatives()?))
                }
                '<' => match self.read() {
                    c @ ('=' | '!') => {
                        bare = true;
                        self.lookbehind(c == '!')?
                    }
                    c => self.named_group(c)?,
                },
                '$' | '@' => return Err(self.wrong("Unknown group type")),
                _ => {
                    self.at -= 1;
                    self.set_flags()?;
                    match self.read() {
                        ')' => return Ok(None),
                        ':' => self.alternatives()?,
                        _ => return Err(self.wrong("Unknown inline modifier")),
                    }
                }
            }
        } else {
            self.captured()?
        };
        if self.read() != ')' {
            return Err(self.wrong("Unclosed group"));
        }
        self.flags = before;
        if bare { self.closure(node).map(Some) } else { self.group_closure(node).map(Some) }
    }

    fn captured(&mut self) -> Result<Node> {
        let group = self.groups;
        self.groups += 1;
        Ok(Node::Group(group, Box::new(self.alternatives()?)))
    }

    fn named_group(&mut self, first: char) -> Result<Node> {
        let name = self.group_name(first)?;
        if self.names.contains_key(&name) {
            return Err(self.wrong(&format!("Named capturing group <{name}> is already defined")));
        }
        self.names.insert(name, self.groups);
        self.captured()
    }

    fn group_name(&mut self, first: char) -> Result<String> {
        if !first.is_ascii_alphabetic() {
            return Err(self.wrong("capturing group name does not start with a Latin letter"));
        }
        let mut name = String::from(first);
        loop {
            match self.read() {
                c if c.is_ascii_alphanumeric() => name.push(c),
                '>' => return Ok(name),
                _ => return Err(self.wrong("named capturing group is missing trailing '>'")),
            }
        }
    }

    fn lookbehind(&mut self, negative: bool) -> Result<Node> {
        let inner = self.alternatives()?;
        let info = study::study(&inner);
        if !info.valid {
            return Err(self.wrong("Look-behind group does not have an obvious maximum length"));
        }
        // A length beyond Java's `int` has become negative; Java goes back to the beginning of the text then.
        let behind = Some((info.min.max(0) as usize, usize::try_from(info.max).unwrap_or(usize::MAX)));
        Ok(Node::Lookaround(Lookaround { inner: Box::new(inner), negative, behind }))
    }

    fn set_flags(&mut self) -> Result<()> {
        let mut on = true;
        let mut c = self.peek();
        loop {
            match c {
                'i' => self.flags.fold = on,
                'm' => self.flags.multi = on,
                's' => self.flags.dot_all = on,
                'd' => self.flags.unix = on,
                'u' => self.flags.unicode_case = on,
                'c' => return Err(self.wrong("Canonical equivalence (?c) is not supported")),
                'x' => self.flags.comments = on,
                'U' => (self.flags.unicode, self.flags.unicode_case) = (on, on),
                '-' if on => on = false,
                _ => return Ok(()),
            }
            c = self.next();
        }
    }

    fn closure(&mut self, node: Node) -> Result<Node> {
        let Some((min, max, greed)) = self.quantifier()? else { return Ok(node) };
        let single = if matches!(node, Node::Set(_)) { node } else { Node::Atomic(Box::new(node)) };
        Ok(repeated(single, min, max, greed, false))
    }

    fn group_closure(&mut self, node: Node) -> Result<Node> {
        let Some((min, max, greed)) = self.quantifier()? else { return Ok(node) };
        if (min, max) == (0, 1) {
            return Ok(match greed {
                Greed::Possessive => Node::Atomic(Box::new(Node::repeat(node, 0, 1, Greed::Greedy, false))),
                greed => Node::repeat(node, 0, 1, greed, true),
            });
        }
        if greed == Greed::Possessive {
            return Ok(repeated(Node::Atomic(Box::new(node)), min, max, greed, true));
        }
        if !study::study(&node).deterministic {
            return Ok(Node::repeat(node, min, max, greed, true));
        }
        // Java keeps what groups inside have matched when it gives back an iteration.
        let single = match node {
            Node::Group(group, inner) => Node::Group(group, Box::new(Node::Atomic(inner))),
            node => Node::Atomic(Box::new(node)),
        };
        Ok(Node::repeat(single, min, max, greed, false))
    }
}

fn repeated(node: Node, min: u32, max: u32, greed: Greed, takes_empty: bool) -> Node {
    if greed == Greed::Possessive {
        return Node::Atomic(Box::new(Node::repeat(node, min, max, greed, takes_empty)));
    }
    Node::repeat(node, min, max, greed, takes_empty)
}
