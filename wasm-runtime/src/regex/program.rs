//! The program of an expression, which the machine runs.

use std::sync::Arc;

use super::set::Set;
use super::tree::{Assert, Fold, Greed, Lookaround, Node, Repeat};

/// Maximum number of steps of a program, to bound memory.
const MOST_STEPS: usize = 200_000;

#[derive(Debug)]
pub(crate) enum Op {
    /// One character.
    Set(Arc<Set>),
    /// These bytes.
    Text(Box<[u8]>),
    /// Characters of one set.
    Run(Run),
    /// Goes on at the first place, later at the second.
    Split(usize, usize),
    Jump(usize),
    /// Keeps the place in a slot.
    Save(usize),
    /// The end of a group, whose beginning a slot has.
    Close(usize, usize),
    /// Begins a counted loop, whose two slots these and the next are.
    LoopStart(usize),
    Loop(Loop),
    Assert(Assert),
    Back(Box<[usize]>, Fold),
    /// Its content begins behind it; goes on at `end`.
    Lookaround {
        negative: bool,
        behind: Option<(usize, usize)>,
        end: usize,
    },
    Atomic(usize),
    Absent(usize),
    /// The content of a look-around and the like has matched.
    Accept,
    Call(usize),
    Return,
    Keep,
    /// Goes on at the other place if none of the groups has matched.
    If(Box<[usize]>, usize),
    Cluster,
    Match,
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) set: Arc<Set>,
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) greed: Greed,
    /// The byte that has to follow it.
    pub(crate) then: Option<u8>,
}

#[derive(Debug)]
pub(crate) struct Loop {
    /// Slot of the count; the next slot has the position where an iteration began.
    pub(crate) slot: usize,
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) lazy: bool,
    pub(crate) takes_empty: bool,
    pub(crate) end: usize,
}

pub(crate) struct Program {
    pub(crate) ops: Vec<Op>,
    pub(crate) slots: usize,
    /// Slots of groups, before those of loops.
    pub(crate) captures: usize,
    /// Whether groups inside of what is never gone back into keep their places, as in Java.
    pub(crate) leaky: bool,
    /// Bytes that a match may begin with, if it has any.
    pub(crate) first: Option<Box<[bool; 256]>>,
    /// Text that a match begins with.
    pub(crate) prefix: Option<Box<[u8]>>,
    /// Whether it matches at the beginning only.
    pub(crate) anchored: bool,
}

/// # Errors
/// For an expression of too many steps.
pub(crate) fn program(node: &Node, groups: usize, leaky: bool) -> Result<Program, String> {
    let called = called(node);
    let mut compiler = Compiler { ops: Vec::new(), slots: 2 * groups, called: vec![None; groups], pending: Vec::new() };
    for group in called {
        compiler.pending.push(group);
    }
    compiler.node(node)?;
    compiler.push(Op::Match)?;
    compiler.resolve_calls();
    let mut program = Program {
        prefix: match compiler.ops.first() {
            Some(Op::Text(text)) => Some(text.clone()),
            _ => None,
        },
        anchored: starts_anchored(node),
        first: if leaky && node.has(&leaks) { None } else { first_bytes(node) },
        slots: compiler.slots,
        captures: 2 * groups,
        ops: compiler.ops,
        leaky,
    };
    follow(&mut program.ops);
    Ok(program)
}

/// The groups that are called.
fn called(node: &Node) -> Vec<usize> {
    let mut all = match node {
        Node::Call(group) => vec![*group],
        _ => Vec::new(),
    };
    all.extend(node.children().into_iter().flat_map(called));
    all
}

struct Compiler {
    ops: Vec<Op>,
    slots: usize,
    /// Where the content of a called group begins.
    called: Vec<Option<usize>>,
    /// The groups that are called.
    pending: Vec<usize>,
}

type Done = Result<(), String>;

impl Compiler {
    fn push(&mut self, op: Op) -> Done {
        if self.ops.len() >= MOST_STEPS {
            return Err(format!("It has more than {MOST_STEPS} steps, the limit"));
        }
        self.ops.push(op);
        Ok(())
    }

    fn here(&self) -> usize {
        self.ops.len()
    }

    /// A step whose end is not known yet.
    fn open(&mut self, op: Op) -> Result<usize, String> {
        self.push(op)?;
        Ok(self.here() - 1)
    }

    fn node(&mut self, node: &Node) -> Done {
        match node {
            Node::Empty => Ok(()),
            Node::Set(set) => self.set_step(set),
            Node::Concat(nodes) => self.concat(nodes),
            Node::Either(nodes) => self.either(nodes),
            Node::Group(group, inner) => self.group(*group, inner),
            Node::Repeat(repeat) => self.repeat(repeat),
            Node::Lookaround(lookaround) => self.lookaround(lookaround),
            Node::Atomic(inner) => self.aside(inner, Op::Atomic),
            Node::Absent(inner) => self.aside(inner, Op::Absent),
            Node::Assert(assert) => self.push(Op::Assert(*assert)),
            Node::Back(groups, fold) => self.push(Op::Back(groups.clone().into(), *fold)),
            Node::Call(group) => self.push(Op::Call(*group)),
            Node::Keep => self.push(Op::Keep),
            Node::If(groups, yes, no) => {
                let test = self.open(Op::If(groups.clone().into(), 0))?;
                self.node(yes)?;
                let leave = self.open(Op::Jump(0))?;
                self.ops[test] = Op::If(groups.clone().into(), self.here());
                self.node(no)?;
                self.ops[leave] = Op::Jump(self.here());
                Ok(())
            }
            Node::Cluster => self.push(Op::Cluster),
            Node::Newline => self.newline(),
        }
    }

    fn concat(&mut self, nodes: &[Node]) -> Done {
        let mut text = String::new();
        for node in nodes {
            match node {
                Node::Set(set) if set.single().is_some() => text.extend(set.single()),
                _ => {
                    self.text(&mut text)?;
                    self.node(node)?;
                }
            }
        }
        self.text(&mut text)
    }

    fn text(&mut self, text: &mut String) -> Done {
        if text.is_empty() {
            return Ok(());
        }
        self.push(Op::Text(std::mem::take(text).into_bytes().into()))
    }

    fn set_step(&mut self, set: &Arc<Set>) -> Done {
        let Some(c) = set.single() else { return self.push(Op::Set(Arc::clone(set))) };
        self.push(Op::Text(c.to_string().into_bytes().into()))
    }

    fn newline(&mut self) -> Done {
        let ends = super::set::numbers(&[(0x0A, 0x0D), (0x85, 0x85), (0x2028, 0x2029)]);
        let at = self.here();
        self.push(Op::Split(at + 1, at + 3))?;
        self.push(Op::Text((*b"\r\n").into()))?;
        self.push(Op::Jump(at + 4))?;
        self.push(Op::Set(Arc::new(Set::of(ends))))
    }

    fn either(&mut self, nodes: &[Node]) -> Done {
        let mut leaves = Vec::new();
        for (n, node) in nodes.iter().enumerate() {
            let last = n + 1 == nodes.len();
            let split = if last { None } else { Some(self.open(Op::Split(0, 0))?) };
            self.node(node)?;
            if let Some(split) = split {
                leaves.push(self.open(Op::Jump(0))?);
                self.ops[split] = Op::Split(split + 1, self.here());
            }
        }
        for leave in leaves {
            self.ops[leave] = Op::Jump(self.here());
        }
        Ok(())
    }

    fn group(&mut self, group: usize, inner: &Node) -> Done {
        let from = self.slots;
        self.slots += 1;
        if !self.pending.contains(&group) {
            self.push(Op::Save(from))?;
            self.node(inner)?;
            return self.push(Op::Close(group, from));
        }
        self.push(Op::Call(group))?;
        let leave = self.open(Op::Jump(0))?;
        self.called[group] = Some(self.here());
        self.push(Op::Save(from))?;
        self.node(inner)?;
        self.push(Op::Close(group, from))?;
        self.push(Op::Return)?;
        self.ops[leave] = Op::Jump(self.here());
        Ok(())
    }

    fn resolve_calls(&mut self) {
        for op in &mut self.ops {
            if let Op::Call(group) = op {
                // The whole expression is group 0.
                *group = self.called[*group].unwrap_or(0);
            }
        }
    }

    fn lookaround(&mut self, lookaround: &Lookaround) -> Done {
        let (negative, behind) = (lookaround.negative, lookaround.behind);
        self.aside(&lookaround.inner, |end| Op::Lookaround { negative, behind, end })
    }

    /// Content that is matched on its own.
    fn aside(&mut self, inner: &Node, op: impl Fn(usize) -> Op) -> Done {
        let at = self.open(op(0))?;
        self.node(inner)?;
        self.push(Op::Accept)?;
        self.ops[at] = op(self.here());
        Ok(())
    }

    fn repeat(&mut self, repeat: &Repeat) -> Done {
        let Repeat { node, min, max, greed, takes_empty } = repeat;
        let lazy = *greed == Greed::Lazy;
        if let Node::Set(set) = node {
            return self.push(Op::Run(Run { set: Arc::clone(set), min: *min, max: *max, greed: *greed, then: None }));
        }
        let at = self.here();
        let split = |on, off| if lazy { Op::Split(off, on) } else { Op::Split(on, off) };
        match (min, max) {
            (_, 0) => {
                // Groups that are called may be in it.
                let leave = self.open(Op::Jump(0))?;
                self.node(node)?;
                self.ops[leave] = Op::Jump(self.here());
            }
            (1, 1) => self.node(node)?,
            (0, 1) => {
                self.push(Op::Split(0, 0))?;
                self.node(node)?;
                self.ops[at] = split(at + 1, self.here());
            }
            (0, &u32::MAX) if !node.may_be_empty() => {
                self.push(Op::Split(0, 0))?;
                self.node(node)?;
                self.push(Op::Jump(at))?;
                self.ops[at] = split(at + 1, self.here());
            }
            (1, &u32::MAX) if !node.may_be_empty() => {
                self.node(node)?;
                let end = self.here() + 1;
                self.push(split(at, end))?;
            }
            _ => {
                let slot = self.slots;
                self.slots += 2;
                self.push(Op::LoopStart(slot))?;
                let test = |end| Op::Loop(Loop { slot, min: *min, max: *max, lazy, takes_empty: *takes_empty, end });
                self.push(test(0))?;
                self.node(node)?;
                self.push(Op::Jump(at + 1))?;
                self.ops[at + 1] = test(self.here());
            }
        }
        Ok(())
    }
}

/// Tells runs which byte has to follow.
fn follow(ops: &mut [Op]) {
    for at in 0..ops.len() {
        let next = match ops.get(at + 1) {
            Some(Op::Text(text)) => Some(text[0]),
            _ => None,
        };
        if let Op::Run(run) = &mut ops[at] {
            run.then = next;
        }
    }
}

/// Whether groups in it keep their places when a match fails: then every place where one may begin has to be tried.
fn leaks(node: &Node) -> bool {
    matches!(node, Node::Lookaround(_) | Node::Atomic(_)) && node.has(&|inner| matches!(inner, Node::Group(..)))
}

fn starts_anchored(node: &Node) -> bool {
    match node {
        Node::Assert(Assert::Start) => true,
        Node::Concat(nodes) => nodes.first().is_some_and(starts_anchored),
        Node::Group(_, inner) | Node::Atomic(inner) => starts_anchored(inner),
        Node::Either(nodes) => nodes.iter().all(starts_anchored),
        _ => false,
    }
}

/// The bytes that a match may begin with; none if it may be empty or nobody knows.
fn first_bytes(node: &Node) -> Option<Box<[bool; 256]>> {
    let mut bytes = Box::new([false; 256]);
    add_first(node, &mut bytes).then_some(bytes)
}

/// Whether what begins here surely takes a character, whose first bytes are added.
fn add_first(node: &Node, bytes: &mut [bool; 256]) -> bool {
    match node {
        Node::Set(set) => {
            for range in set.class.ranges() {
                let mut first = [0; 4];
                let from = range.start().encode_utf8(&mut first).as_bytes()[0];
                let to = range.end().encode_utf8(&mut first).as_bytes()[0];
                bytes[from as usize..=to as usize].fill(true);
            }
            true
        }
        Node::Concat(nodes) => nodes.iter().any(|node| add_first(node, bytes)),
        Node::Either(nodes) => {
            // All of them, not only up to the first that may be empty.
            let taking = nodes.iter().filter(|node| add_first(node, bytes)).count();
            taking == nodes.len()
        }
        Node::Group(_, inner) | Node::Atomic(inner) => add_first(inner, bytes),
        Node::Repeat(repeat) => repeat.max > 0 && add_first(&repeat.node, bytes) && repeat.min > 0,
        Node::Cluster | Node::Newline | Node::Back(..) | Node::Call(_) | Node::If(..) | Node::Absent(_) => {
            bytes.fill(true);
            false
        }
        Node::Empty | Node::Lookaround(_) | Node::Assert(_) | Node::Keep => false,
    }
}
