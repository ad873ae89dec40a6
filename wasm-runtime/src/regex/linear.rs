//! The same expression for a search without backtracking, where that finds the same.

use regex_automata::meta;
use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Capture, Class, Hir, Look, Repetition};

use super::tree::{Assert, Greed, Node, Repeat, Words};

/// Maximum number of bytes of the compiled form, to bound memory.
const MOST_COMPILED: usize = 2 << 20;

/// Properties that a text must have.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Needs {
    ascii: bool,
    /// No line terminators.
    single_line: bool,
    /// No `\n` at the end, and not empty.
    open_end: bool,
}

impl Needs {
    fn met(self, text: &str) -> bool {
        if self.open_end && matches!(text.as_bytes().last(), None | Some(b'\n')) {
            return false;
        }
        if self.single_line && memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
            return false;
        }
        let ascii = text.is_ascii();
        (ascii || !self.ascii) && (ascii || !self.single_line || !text.contains(['\u{85}', '\u{2028}', '\u{2029}']))
    }
}

pub(crate) struct Linear {
    regex: meta::Regex,
    needs: Needs,
    /// States that a search may be in at once.
    pub(crate) states: usize,
}

impl Linear {
    /// None for an expression that needs backtracking or is too large.
    pub(crate) fn of(node: &Node) -> Option<Self> {
        let mut needs = Needs::default();
        let hir = hir(node, &mut needs)?;
        let config = meta::Config::new().nfa_size_limit(Some(MOST_COMPILED)).hybrid_cache_capacity(MOST_COMPILED);
        let regex = meta::Builder::new().configure(config).build_from_hir(&hir).ok()?;
        let states = {
            use regex_automata::nfa::thompson::{Compiler, Config};
            let config = Config::new().nfa_size_limit(Some(MOST_COMPILED));
            Compiler::new().configure(config).build_from_hir(&hir).map_or(usize::MAX, |nfa| nfa.states().len())
        };
        Some(Self { regex, needs, states })
    }

    pub(crate) fn fits(&self, text: &str) -> bool {
        self.needs.met(text)
    }

    pub(crate) fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        self.regex
            .search(&Input::new(text).range(from..).anchored(Anchored::No))
            .map(|found| (found.start(), found.end()))
    }

    pub(crate) fn captures(&self, text: &str, from: usize) -> Option<Captures> {
        let mut captures = self.regex.create_captures();
        self.regex.search_captures(&Input::new(text).range(from..), &mut captures);
        captures.is_match().then_some(captures)
    }
}

fn hir(node: &Node, needs: &mut Needs) -> Option<Hir> {
    Some(match node {
        Node::Empty => Hir::empty(),
        Node::Set(set) => Hir::class(Class::Unicode(set.class.clone())),
        Node::Concat(nodes) => Hir::concat(all(nodes, needs)?),
        Node::Either(nodes) => Hir::alternation(all(nodes, needs)?),
        Node::Group(group, inner) => {
            let sub = Box::new(hir(strip(inner), needs)?);
            Hir::capture(Capture { index: u32::try_from(*group).ok()?, name: None, sub })
        }
        Node::Repeat(repeat) => repetition(repeat, needs)?,
        Node::Assert(assert) => assertion(*assert, needs)?,
        _ => return None,
    })
}

/// Without what keeps an iteration of an expression that can match in one way only, as it has nothing to keep.
fn strip(node: &Node) -> &Node {
    match node {
        Node::Atomic(inner) if single_way(inner) => inner,
        node => node,
    }
}

fn single_way(node: &Node) -> bool {
    !node.has(&|node| !matches!(node, Node::Set(_) | Node::Concat(_) | Node::Empty | Node::Assert(_)))
}

fn all(nodes: &[Node], needs: &mut Needs) -> Option<Vec<Hir>> {
    nodes.iter().map(|node| hir(node, needs)).collect()
}

fn repetition(repeat: &Repeat, needs: &mut Needs) -> Option<Hir> {
    let Repeat { node, min, max, greed, .. } = repeat;
    // Engines differ in what they make of iterations over nothing.
    if node.may_be_empty() || *greed == Greed::Possessive {
        return None;
    }
    let sub = Box::new(hir(strip(node), needs)?);
    let max = (*max != u32::MAX).then_some(*max);
    Some(Hir::repetition(Repetition { min: *min, max, greedy: *greed == Greed::Greedy, sub }))
}

fn assertion(assert: Assert, needs: &mut Needs) -> Option<Hir> {
    Some(Hir::look(match assert {
        Assert::Start => Look::Start,
        Assert::End => Look::End,
        Assert::LastLine | Assert::LastUnixLine | Assert::LineEnd => {
            needs.single_line = true;
            Look::End
        }
        Assert::UnixLineEnd => Look::EndLF,
        Assert::UnixLineStart | Assert::RubyLineStart => {
            needs.open_end = true;
            Look::StartLF
        }
        Assert::LineStart => {
            (needs.single_line, needs.open_end) = (true, true);
            Look::Start
        }
        Assert::Word(words) => {
            needs.ascii |= words != Words::RubyAscii;
            Look::WordAscii
        }
        Assert::NotWord(words) => {
            needs.ascii |= words != Words::RubyAscii;
            Look::WordAsciiNegate
        }
        Assert::Continued | Assert::ClusterEdge => return None,
    }))
}
