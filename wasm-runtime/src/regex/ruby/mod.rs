//! Reads Ruby's syntax as Joni (a port of Onigmo) has it.

mod class;
mod escape;
mod finish;
mod group;
mod properties;
mod quantifier;

use super::fold;
use super::set::{Set, all, chars, count_ranges, not, range};
use super::tree::{Assert, DEEPEST, Node, Parsed};

use self::finish::{Result, Target};
pub(crate) use self::properties::word;

/// Options, as `(?imxadu)` sets them.
#[derive(Clone, Copy, Default)]
struct Options {
    fold: bool,
    extended: bool,
    dot_all: bool,
    /// `\w \d \s` of Unicode.
    unicode: bool,
    /// Brackets and word boundaries of ASCII, too.
    ascii: bool,
}

struct Parser {
    text: Vec<char>,
    at: usize,
    options: Options,
    depth: usize,
    /// Whether what is read is in a look-behind.
    behind: bool,
    /// Number of ranges in the sets of characters.
    ranges: usize,
    /// Names of the groups, which are numbered from 1 on.
    groups: Vec<Option<String>>,
    /// The groups that references refer to; a reference holds an index of this list.
    targets: Vec<Target>,
}

/// # Errors
/// Joni's words for what is wrong with the expression.
pub(crate) fn parse(pattern: &str) -> Result<Parsed> {
    let text = pattern.chars().collect();
    let (options, groups, targets) = (Options::default(), Vec::new(), Vec::new());
    let mut parser = Parser { text, at: 0, options, depth: 0, behind: false, ranges: 0, groups, targets };
    let node = parser.alternatives()?;
    if parser.at < parser.text.len() {
        return Err("unmatched close parenthesis".to_owned());
    }
    finish::finish(node, parser.groups, &parser.targets)
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    fn eat(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        self.at += usize::from(there);
        there
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(n, c)| self.text.get(self.at + n) == Some(&c))
    }

    /// Goes deeper; comes back by `depth -= 1`.
    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("too deep nest level over the limit of {DEEPEST}"));
        }
        Ok(())
    }

    fn alternatives(&mut self) -> Result<Node> {
        self.deeper()?;
        let mut nodes = vec![self.sequence()?];
        while self.eat('|') {
            nodes.push(self.sequence()?);
        }
        self.depth -= 1;
        Ok(Node::either(nodes))
    }

    fn sequence(&mut self) -> Result<Node> {
        let mut nodes = Vec::new();
        // Letters that stand for themselves under `(?i)`, as some pairs are folded together.
        let mut letters = Vec::new();
        loop {
            self.pass_blanks()?;
            let Some(c) = self.peek().filter(|c| !matches!(c, '|' | ')')) else { break };
            letters.push((nodes.len(), self.letter()));
            let node = match c {
                '(' => {
                    letters.pop();
                    self.at += 1;
                    match self.group()? {
                        group::Opened::Node(node) => node,
                        group::Opened::Rest(node) => {
                            nodes.push(node);
                            break;
                        }
                    }
                }
                _ => self.atom(c)?,
            };
            if let Node::Set(set) = &node {
                count_ranges(&mut self.ranges, &set.class)?;
            }
            let node = self.repeated(node, &mut letters)?;
            nodes.push(node);
        }
        if !self.behind {
            fold_pairs(&mut nodes, &letters);
        }
        Ok(Node::concat(nodes))
    }

    /// The letter here, if case is folded and it may be part of a pair.
    fn letter(&self) -> Option<char> {
        self.peek().filter(|c| self.options.fold && matches!(c, 's' | 'S' | '\u{17F}' | 'ß' | 'ẞ'))
    }

    /// Goes past comments, and past white space under `(?x)`.
    fn pass_blanks(&mut self) -> Result<()> {
        loop {
            match self.peek() {
                Some('(') if self.starts_with("(?#") => {
                    let end = self.text[self.at..].iter().position(|c| *c == ')');
                    self.at += end.ok_or("end pattern in group")? + 1;
                }
                Some('\t'..='\r' | ' ') if self.options.extended => self.at += 1,
                Some('#') if self.options.extended => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn atom(&mut self, c: char) -> Result<Node> {
        if matches!(c, '*' | '+' | '?') || c == '{' && self.counted().is_some() {
            return Err("target of repeat operator is not specified".to_owned());
        }
        self.at += 1;
        Ok(match c {
            '\\' => return self.escaped(),
            '[' => Node::set(Set::of(self.class()?)),
            '.' if self.options.dot_all => Node::set(Set::of(all())),
            '.' => Node::set(Set::of(not(chars("\n")))),
            '^' => Node::Assert(Assert::RubyLineStart),
            '$' => Node::Assert(Assert::UnixLineEnd),
            c => self.single(c),
        })
    }

    fn single(&self, c: char) -> Node {
        let class = range(c, c);
        Node::set(Set::of(if self.options.fold { fold::simple(class) } else { class }))
    }
}

/// `ß` and two letters `s` are the same under `(?i)`.
fn fold_pairs(nodes: &mut Vec<Node>, letters: &[(usize, Option<char>)]) {
    let s = || Node::set(Set::of(fold::simple(range('s', 's'))));
    let sharp = || Node::set(Set::of(fold::simple(range('ß', 'ß'))));
    let pair = || Node::Either(vec![Node::Concat(vec![s(), s()]), sharp()]);
    let mut at = letters.len();
    while at > 0 {
        at -= 1;
        let Some(c) = letters[at].1 else { continue };
        let position = letters[at].0;
        let before = at.checked_sub(1).map(|at| letters[at]);
        if matches!(c, 'ß' | 'ẞ') {
            nodes[position] = pair();
        } else if let Some((previous, Some('s' | 'S' | '\u{17F}'))) = before
            && previous + 1 == position
        {
            nodes.splice(previous..=position, [pair()]);
            at -= 1;
        }
    }
}
