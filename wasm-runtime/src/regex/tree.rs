//! The tree of a regular expression, for both languages.

use std::sync::Arc;

use super::set::Set;

/// Groups and classes within each other.
pub(super) const DEEPEST: usize = 200;
/// A part of an expression.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Empty,
    /// One character out of a set.
    Set(Arc<Set>),
    Concat(Vec<Node>),
    /// The first of these that lets the rest match.
    Either(Vec<Node>),
    Group(usize, Box<Node>),
    Repeat(Box<Repeat>),
    Lookaround(Lookaround),
    /// Keeps the first way in which its content matches.
    Atomic(Box<Node>),
    Assert(Assert),
    /// The text of one of these groups, of the last one in the list that has matched.
    Back(Vec<usize>, Fold),
    /// The content of a group again.
    Call(usize),
    /// `\K`: the match begins here.
    Keep,
    /// Whether one of the groups has matched.
    If(Vec<usize>, Box<Node>, Box<Node>),
    /// The longest text that does not contain a match of this.
    Absent(Box<Node>),
    /// `\X`.
    Cluster,
    /// `\R`: `\r\n`, or one of the characters that end lines.
    Newline,
}

#[derive(Clone, Debug)]
pub(crate) struct Repeat {
    pub(crate) node: Node,
    pub(crate) min: u32,
    /// `u32::MAX` for any number.
    pub(crate) max: u32,
    pub(crate) greed: Greed,
    /// Whether an iteration over nothing counts as one, which is the last.
    pub(crate) takes_empty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greed {
    Greedy,
    Lazy,
    Possessive,
}

#[derive(Clone, Debug)]
pub(crate) struct Lookaround {
    pub(crate) inner: Box<Node>,
    pub(crate) negative: bool,
    /// For a look behind: the fewest and the most characters that it may see.
    pub(crate) behind: Option<(usize, usize)>,
}

/// Assertions between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assert {
    /// The beginning of the text.
    Start,
    /// The end of the text.
    End,
    /// Java's `$` without `(?m)`: the end, or before the line terminator that ends the text.
    LastLine,
    /// The same with `\n` as the only terminator.
    LastUnixLine,
    /// Java's `^` and `$` with `(?m)`.
    LineStart,
    LineEnd,
    /// The same with `\n` as the only terminator; `^` not after a terminator that ends the text.
    UnixLineStart,
    UnixLineEnd,
    /// Ruby's `^`, which there is in an empty text, too.
    RubyLineStart,
    /// `\b` and `\B` by Java's words of ASCII, Java's words of Unicode, and Ruby's.
    Word(Words),
    NotWord(Words),
    /// Where the match before ended.
    Continued,
    /// Between two clusters.
    ClusterEdge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    Ascii,
    Unicode,
    Ruby,
    RubyAscii,
}

/// Which characters a back reference takes for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    None,
    Ascii,
    /// As Java compares them: by the lower case of the upper case.
    Java,
    /// By simple case folding.
    Simple,
}

/// An expression that has been read.
pub(crate) struct Parsed {
    pub(crate) node: Node,
    /// Groups, with the whole match.
    pub(crate) groups: usize,
    /// The groups of every name, in the order of the expression.
    pub(crate) names: Vec<(String, Vec<usize>)>,
}

impl Node {
    pub(crate) fn set(set: Set) -> Self {
        Self::Set(Arc::new(set))
    }

    /// These after each other.
    pub(crate) fn concat(mut nodes: Vec<Self>) -> Self {
        match nodes.len() {
            0 => Self::Empty,
            1 => nodes.remove(0),
            _ => Self::Concat(nodes),
        }
    }

    /// One of these.
    pub(crate) fn either(mut nodes: Vec<Self>) -> Self {
        if nodes.len() == 1 { nodes.remove(0) } else { Self::Either(nodes) }
    }

    pub(crate) fn repeat(node: Self, min: u32, max: u32, greed: Greed, takes_empty: bool) -> Self {
        Self::Repeat(Box::new(Repeat { node, min, max, greed, takes_empty }))
    }

    /// The parts that it is made of.
    pub(crate) fn children(&self) -> Vec<&Self> {
        match self {
            Self::Concat(nodes) | Self::Either(nodes) => nodes.iter().collect(),
            Self::Group(_, node) | Self::Atomic(node) | Self::Absent(node) => vec![node],
            Self::Repeat(repeat) => vec![&repeat.node],
            Self::Lookaround(lookaround) => vec![&lookaround.inner],
            Self::If(_, yes, no) => vec![yes, no],
            _ => Vec::new(),
        }
    }

    pub(crate) fn has(&self, wanted: &dyn Fn(&Self) -> bool) -> bool {
        wanted(self) || self.children().into_iter().any(|child| child.has(wanted))
    }

    /// Whether it may match nothing.
    pub(crate) fn may_be_empty(&self) -> bool {
        match self {
            Self::Set(_) | Self::Cluster | Self::Newline => false,
            Self::Concat(nodes) => nodes.iter().all(Self::may_be_empty),
            Self::Either(nodes) => nodes.iter().any(Self::may_be_empty),
            Self::Group(_, node) | Self::Atomic(node) => node.may_be_empty(),
            Self::Repeat(repeat) => repeat.min == 0 || repeat.node.may_be_empty(),
            _ => true,
        }
    }
}
