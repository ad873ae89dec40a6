//! Regular expressions of Java (`java.util.regex`) and of Ruby, as Joni has them.
//!
//! An expression is read in the syntax of its language into a tree. What needs no backtracking is searched by `regex-automata`,
//! in time that grows with the text; all else by a machine that asks for the deadline as it goes. Both find the same: what a
//! search without backtracking would find otherwise is left to the machine, for some expressions by the text
//! (docs/decisions/038-regular-expressions.md).

mod asserted;
mod fold;
mod java;
mod linear;
mod looking;
mod machine;
mod program;
mod ruby;
mod runs;
mod set;
mod tree;

use std::ops::Range;

use crate::engine::deadline::tick;
use crate::error::Fault;
use linear::Linear;
use machine::{Machine, NONE};
use program::Program;
use tree::Parsed;

/// Characters of the longest expression.
pub(crate) const LONGEST_PATTERN: usize = 64 << 10;
/// States of an expression, times bytes of a text, up to which a search is surely done within some milliseconds.
const AT_ONCE: usize = 4 << 20;
/// Bytes of the longest document that is always searched on the calling thread: of large expressions, which are
/// alternatives of many kinds,
/// few states are ever in use.
const SHORT: usize = 4096;

/// A compiled expression.
pub(crate) struct Regex {
    linear: Option<Linear>,
    program: Program,
    names: Vec<(String, Vec<usize>)>,
    /// The longest text that is surely searched at once; where the machine searches, it can be ended at any time.
    pub(crate) longest: usize,
}

/// The places of a match's groups, the whole match first.
pub(crate) struct Found(Vec<Option<Range<usize>>>);

impl Found {
    /// A match whose groups nobody asks for.
    pub(crate) fn whole_of(whole: Range<usize>) -> Self {
        Self(vec![Some(whole)])
    }

    pub(crate) fn whole(&self) -> Range<usize> {
        self.0[0].clone().unwrap_or(0..0)
    }

    pub(crate) fn get(&self, group: usize) -> Option<Range<usize>> {
        self.0.get(group).cloned().flatten()
    }
}

/// An expression of Java.
///
/// # Errors
/// The defect of the pattern.
pub(crate) fn java(pattern: &str) -> Result<Regex, String> {
    checked(pattern)?;
    compiled(java::parse(pattern)?, true)
}

/// An expression of Ruby, as Joni has it.
///
/// # Errors
/// The defect of the pattern.
pub(crate) fn ruby(pattern: &str) -> Result<Regex, String> {
    checked(pattern)?;
    compiled(ruby::parse(pattern)?, false)
}

fn checked(pattern: &str) -> Result<(), String> {
    if pattern.len() > LONGEST_PATTERN {
        return Err(format!("the expression has {} characters, the limit is {LONGEST_PATTERN}", pattern.len()));
    }
    Ok(())
}

fn compiled(parsed: Parsed, leaky: bool) -> Result<Regex, String> {
    let program = program::program(&parsed.node, parsed.groups, leaky)?;
    let linear = Linear::of(&parsed.node);
    let longest = linear.as_ref().map_or(usize::MAX, |linear| (AT_ONCE / linear.states.max(1)).max(SHORT));
    Ok(Regex { linear, program, names: parsed.names, longest })
}

impl Regex {
    pub(crate) fn captures_len(&self) -> usize {
        self.program.captures / 2
    }

    /// The names of its groups, each with its groups.
    pub(crate) fn names(&self) -> &[(String, Vec<usize>)] {
        &self.names
    }

    /// The first match.
    ///
    /// # Errors
    /// When it takes too much time or memory.
    pub(crate) fn groups(&self, text: &str) -> Result<Option<Found>, Fault> {
        Search::new(self, text).captures()
    }

    /// All matches after each other, as Java's `Matcher.find` finds them.
    pub(crate) fn search<'r, 't>(&'r self, text: &'t str) -> Search<'r, 't> {
        Search::new(self, text)
    }
}

/// Goes from match to match.
pub(crate) struct Search<'r, 't> {
    regex: &'r Regex,
    linear: Option<&'r Linear>,
    machine: Option<Machine<'r, 't>>,
    text: &'t str,
    /// Where the next search begins, and where the last match ended.
    at: usize,
    last: usize,
}

impl<'r, 't> Search<'r, 't> {
    fn new(regex: &'r Regex, text: &'t str) -> Self {
        let linear = regex.linear.as_ref().filter(|linear| linear.fits(text));
        let machine = linear.is_none().then(|| Machine::new(&regex.program, text));
        Self { regex, linear, machine, text, at: 0, last: 0 }
    }

    fn moved(&mut self, whole: &Range<usize>) {
        self.last = whole.end;
        self.at = whole.end;
        if whole.is_empty() {
            self.at += self.text[whole.end..].chars().next().map_or(1, char::len_utf8);
        }
    }

    /// The next match.
    ///
    /// # Errors
    /// When it takes too much time or memory.
    pub(crate) fn find(&mut self) -> Result<Option<Range<usize>>, Fault> {
        tick()?;
        if self.at > self.text.len() {
            return Ok(None);
        }
        let found = match (self.linear, &mut self.machine) {
            (Some(linear), _) => linear.find(self.text, self.at).map(|(from, to)| from..to),
            (None, Some(machine)) => machine.search(self.at, self.last)?.then(|| machine.slots[0]..machine.slots[1]),
            _ => None,
        };
        if let Some(whole) = &found {
            self.moved(whole);
        }
        Ok(found)
    }

    /// The next match with its groups.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(crate) fn captures(&mut self) -> Result<Option<Found>, Fault> {
        let Some(linear) = self.linear else {
            let Some(whole) = self.find()? else { return Ok(None) };
            let slots = self.machine.as_ref().map_or(&[][..], |machine| &machine.slots);
            let group = |n: usize| (slots[2 * n + 1] != NONE).then(|| slots[2 * n]..slots[2 * n + 1]);
            let rest = (1..self.regex.captures_len()).map(group);
            return Ok(Some(Found(std::iter::once(Some(whole)).chain(rest).collect())));
        };
        tick()?;
        if self.at > self.text.len() {
            return Ok(None);
        }
        let Some(found) = linear.captures(self.text, self.at) else { return Ok(None) };
        let groups: Vec<_> = found.iter().map(|span| span.map(|span| span.start..span.end)).collect();
        let found = Found(groups);
        self.moved(&found.whole());
        Ok(Some(found))
    }
}

/// The parts of `text` between matches, as Java's `Pattern.split` makes them; `limit` parts at most, 0 for any number.
///
/// # Errors
/// For a pattern that needs too many steps.
pub(crate) fn split<'t>(
    regex: &Regex,
    text: &'t str,
    limit: usize,
    keep_trailing: bool,
) -> Result<Vec<&'t str>, Fault> {
    let mut parts = Vec::new();
    let mut last = 0;
    let mut search = regex.search(text);
    while (limit == 0 || parts.len() + 1 < limit)
        && let Some(found) = search.find()?
    {
        // No match of no characters at the beginning makes an empty first part.
        if found.end == 0 {
            continue;
        }
        parts.push(&text[last..found.start]);
        last = found.end;
    }
    if last == 0 {
        return Ok(vec![text]);
    }
    parts.push(&text[last..]);
    if !keep_trailing && limit == 0 {
        while parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
    }
    Ok(parts)
}
