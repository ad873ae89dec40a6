//! Runs a program over a text, one way after the other; asks for the deadline as it goes.

use std::rc::Rc;

use super::asserted::{self, Text};
use super::fold;
use super::program::{Loop, Op, Program};
use super::tree::Fold;
use crate::engine::deadline::tick;
use crate::error::Fault;

/// Steps after which a match fails: some tenths of a second.
const MOST_STEPS: u64 = 20_000_000;
/// Maximum number of entries of the backtrack stack, of 24 bytes each.
const MOST_FRAMES: usize = 2 << 20;
/// Look-arounds and calls within each other.
const DEEPEST: usize = 400;
/// Steps between two looks at the clock.
const CHECK_STEPS: u64 = 1 << 10;
/// A slot of a group that has not matched.
pub(crate) const NONE: usize = usize::MAX;

/// Entry of the backtrack stack: a change to undo, or an alternative to try.
pub(crate) enum Frame {
    Branch(u32, usize),
    Restore(u32, usize),
    /// A run may end earlier: the step behind it, the least and the next end.
    Shorter(u32, usize, usize),
    /// A run may go on: its step, where it ends, and how many more it may take.
    Longer(u32, usize, u32),
    /// A lazy loop may take one more.
    Again(u32, usize),
    /// A call was made, and one came back.
    Called,
    Returned(usize, Rc<[usize]>),
}

pub(crate) struct Machine<'p, 't> {
    pub(super) program: &'p Program,
    pub(super) text: Text<'t>,
    pub(crate) slots: Vec<usize>,
    pub(super) frames: Vec<Frame>,
    calls: Vec<(usize, Rc<[usize]>)>,
    pub(super) steps: u64,
    depth: usize,
    /// Where the match before ended.
    continued: usize,
}

pub(super) type Outcome = Result<Option<usize>, Fault>;

impl<'p, 't> Machine<'p, 't> {
    pub(crate) fn new(program: &'p Program, text: &'t str) -> Self {
        let slots = vec![NONE; program.slots];
        let text = Text::new(text);
        Self { program, text, slots, frames: Vec::new(), calls: Vec::new(), steps: 0, depth: 0, continued: 0 }
    }

    /// The first match from `from` on: its places are in the slots.
    ///
    /// # Errors
    /// When it takes too much time or memory.
    pub(crate) fn search(&mut self, from: usize, continued: usize) -> Result<bool, Fault> {
        self.slots.fill(NONE);
        self.continued = continued;
        let mut at = from;
        while let Some(start) = self.candidate(at) {
            self.step(1)?;
            if !self.program.leaky {
                self.slots.fill(NONE);
            }
            self.frames.clear();
            self.calls.clear();
            self.slots[0] = start;
            if let Some(end) = self.run(0, start)? {
                self.slots[1] = end;
                return Ok(true);
            }
            at = self.text.after(start);
            if self.program.anchored {
                break;
            }
        }
        Ok(false)
    }

    /// The next place from `at` on where a match may begin.
    fn candidate(&self, at: usize) -> Option<usize> {
        let bytes = self.text.bytes;
        if at > bytes.len() || self.program.anchored && at > 0 {
            return None;
        }
        if self.program.anchored {
            return Some(at);
        }
        if let Some(prefix) = &self.program.prefix {
            return memchr::memmem::find(&bytes[at..], prefix).map(|found| at + found);
        }
        match &self.program.first {
            Some(first) => bytes[at..].iter().position(|&c| first[c as usize] && c & 0xC0 != 0x80).map(|n| at + n),
            None => Some(at),
        }
    }

    pub(super) fn step(&mut self, steps: u64) -> Result<(), Fault> {
        let before = self.steps / CHECK_STEPS;
        self.steps += steps;
        if self.steps / CHECK_STEPS != before {
            tick()?;
            if self.steps > MOST_STEPS {
                return Err(too_hard(&format!("it takes more than {MOST_STEPS} steps")));
            }
        }
        Ok(())
    }

    pub(super) fn push(&mut self, frame: Frame) -> Result<(), Fault> {
        if self.frames.len() >= MOST_FRAMES {
            return Err(too_hard("it has too many ways to match"));
        }
        self.frames.push(frame);
        Ok(())
    }

    fn set(&mut self, slot: usize, value: usize) -> Result<(), Fault> {
        let old = std::mem::replace(&mut self.slots[slot], value);
        self.push(Frame::Restore(slot as u32, old))
    }

    /// Undoes what was done since there were `base` frames, up to a way that is left: its step and place.
    pub(super) fn back(&mut self, base: usize) -> Option<(usize, usize)> {
        while self.frames.len() > base {
            match self.frames.pop()? {
                Frame::Branch(pc, at) => return Some((pc as usize, at)),
                Frame::Restore(slot, old) => self.slots[slot as usize] = old,
                Frame::Shorter(pc, least, end) => {
                    if let Some(found) = self.shorter(pc as usize, least, end) {
                        return Some(found);
                    }
                }
                Frame::Longer(pc, end, left) => {
                    if let Some(found) = self.longer(pc as usize, end, left) {
                        return Some(found);
                    }
                }
                Frame::Again(pc, at) => {
                    if let Op::Loop(counted) = &self.program.ops[pc as usize] {
                        let count = std::mem::replace(&mut self.slots[counted.slot + 1], at);
                        self.frames.push(Frame::Restore(counted.slot as u32 + 1, count));
                        self.frames.push(Frame::Restore(counted.slot as u32, self.slots[counted.slot]));
                        self.slots[counted.slot] += 1;
                        return Some((pc as usize + 1, at));
                    }
                }
                Frame::Called => drop(self.calls.pop()),
                Frame::Returned(to, slots) => self.calls.push((to, slots)),
            }
        }
        None
    }

    /// Runs the step at `pc` and all that follow, at a position of the text; returns where the match ends.
    pub(super) fn run(&mut self, pc: usize, at: usize) -> Outcome {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(too_hard("it goes too deep"));
        }
        let end = self.run_above(self.frames.len(), pc, at)?;
        self.depth -= 1;
        Ok(end)
    }

    /// One step: the next and its place, if it is passed.
    #[inline]
    pub(super) fn step_once(&mut self, pc: usize, at: usize) -> Result<Option<(usize, usize)>, Fault> {
        let program = self.program;
        let next = pc + 1;
        Ok(match &program.ops[pc] {
            Op::Set(set) => self.text.step(at, set).map(|end| (next, end)),
            Op::Text(text) => self.text.bytes[at..].starts_with(text).then(|| (next, at + text.len())),
            Op::Run(run) => self.many(run, pc, at)?.map(|end| (next, end)),
            Op::Split(first, second) => {
                self.push(Frame::Branch(*second as u32, at))?;
                Some((*first, at))
            }
            Op::Jump(to) => Some((*to, at)),
            Op::Save(slot) => {
                self.set(*slot, at)?;
                Some((next, at))
            }
            Op::Close(group, from) => {
                self.set(2 * group, self.slots[*from])?;
                self.set(2 * group + 1, at)?;
                Some((next, at))
            }
            Op::LoopStart(slot) => {
                self.set(*slot, 0)?;
                self.set(*slot + 1, NONE)?;
                Some((next, at))
            }
            Op::Loop(counted) => self.repeat(counted, next, at)?,
            Op::Assert(assert) => asserted::holds(*assert, &self.text, at, self.continued).then_some((next, at)),
            Op::Back(groups, fold) => self.same(groups, *fold, at)?.map(|end| (next, end)),
            Op::Lookaround { negative, behind, end } => {
                let seen = self.lookaround(*negative, *behind, next, at)?;
                (seen != *negative).then_some((*end, at))
            }
            Op::Atomic(end) => {
                let base = self.frames.len();
                let found = self.run(next, at)?;
                self.settle(base);
                found.map(|at| (*end, at))
            }
            Op::Absent(end) => {
                let most = self.absent(next, at)?;
                if most > at {
                    self.push(Frame::Shorter(*end as u32, at, most))?;
                }
                Some((*end, most))
            }
            Op::Call(to) => {
                if self.calls.len() >= DEEPEST {
                    return Err(too_hard("it goes too deep"));
                }
                self.calls.push((next, self.slots[program.captures..].into()));
                self.push(Frame::Called)?;
                Some((*to, at))
            }
            Op::Return => self.returned(at)?,
            Op::Keep => {
                self.set(0, at)?;
                Some((next, at))
            }
            Op::If(groups, no) => {
                let yes = groups.iter().any(|group| self.slots[2 * group + 1] != NONE);
                Some((if yes { next } else { *no }, at))
            }
            Op::Cluster => asserted::cluster(&self.text, at).map(|end| (next, end)),
            // They end a run.
            Op::Accept | Op::Match => None,
        })
    }

    fn returned(&mut self, at: usize) -> Result<Option<(usize, usize)>, Fault> {
        let Some((to, slots)) = self.calls.pop() else { return Ok(None) };
        self.push(Frame::Returned(to, Rc::clone(&slots)))?;
        for (n, value) in slots.iter().enumerate() {
            self.set(self.program.captures + n, *value)?;
        }
        Ok(Some((to, at)))
    }

    /// At the head of a counted loop.
    fn repeat(&mut self, counted: &Loop, body: usize, at: usize) -> Result<Option<(usize, usize)>, Fault> {
        let (count, started) = (self.slots[counted.slot], self.slots[counted.slot + 1]);
        if count > 0 && started == at {
            // An iteration over nothing is the last.
            let counts = counted.takes_empty || count as u64 <= u64::from(counted.min);
            return Ok(counts.then_some((counted.end, at)));
        }
        if count < counted.min as usize {
            self.set(counted.slot, count + 1)?;
            self.set(counted.slot + 1, at)?;
            return Ok(Some((body, at)));
        }
        if counted.max != u32::MAX && count >= counted.max as usize {
            return Ok(Some((counted.end, at)));
        }
        if counted.lazy {
            self.push(Frame::Again(body as u32 - 1, at))?;
            return Ok(Some((counted.end, at)));
        }
        self.push(Frame::Branch(counted.end as u32, at))?;
        self.set(counted.slot, count + 1)?;
        self.set(counted.slot + 1, at)?;
        Ok(Some((body, at)))
    }

    /// The text of the last of these groups that has matched.
    fn same(&mut self, groups: &[usize], fold: Fold, at: usize) -> Outcome {
        let groups_end = self.program.captures;
        let matched = |group: &&usize| 2 * **group < groups_end && self.slots[2 * **group + 1] != NONE;
        let Some(group) = groups.iter().rev().find(matched) else { return Ok(None) };
        let (from, to) = (self.slots[2 * group], self.slots[2 * group + 1]);
        self.step((to - from) as u64 / 16)?;
        let (bytes, text) = (self.text.bytes, &self.text.text[from..to]);
        if fold == Fold::None {
            return Ok(bytes[at..].starts_with(text.as_bytes()).then_some(at + text.len()));
        }
        let mut rest = self.text.text[at..].chars();
        let alike = |a: char, b: char| match fold {
            Fold::Ascii => a.eq_ignore_ascii_case(&b),
            Fold::Java => a == b || fold::java(a) == fold::java(b),
            _ => fold::same_simply(a, b),
        };
        let all = text.chars().all(|c| rest.next().is_some_and(|counterpart| alike(c, counterpart)));
        Ok(all.then(|| self.text.text.len() - rest.as_str().len()))
    }

    /// Takes back all since there were `base` frames.
    pub(super) fn undo(&mut self, base: usize) {
        while self.frames.len() > base {
            match self.frames.pop() {
                Some(Frame::Restore(slot, old)) => self.slots[slot as usize] = old,
                Some(Frame::Called) => drop(self.calls.pop()),
                Some(Frame::Returned(to, slots)) => self.calls.push((to, slots)),
                _ => {}
            }
        }
    }

    /// Forgets the ways that are left; what is to be undone stays, unless it leaks.
    pub(super) fn settle(&mut self, base: usize) {
        if self.frames.len() == base {
            return;
        }
        let captures = self.program.captures as u32;
        let leaky = self.program.leaky;
        let kept = |frame: &Frame| match frame {
            Frame::Restore(slot, _) => !leaky || *slot >= captures,
            Frame::Called | Frame::Returned(..) => true,
            _ => false,
        };
        let mut to = base;
        for from in base..self.frames.len() {
            if kept(&self.frames[from]) {
                self.frames.swap(to, from);
                to += 1;
            }
        }
        self.frames.truncate(to);
    }
}

pub(crate) fn too_hard(why: &str) -> Fault {
    Fault::illegal(format!("the regular expression was given up: {why}"))
}
