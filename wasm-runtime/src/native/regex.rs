//! Regular expressions in the form of OpenSearch's processors (crate `fancy-regex`: look-around and back-references).
//!
//! What such a crate does in one call nobody can interrupt from outside. So an expression's size is limited when it is stored;
//! its backtracking asks for the deadline whenever it looks at the text; and a text that even a search without backtracking may
//! be long at is searched on a thread of its own ([`Regex::longest`], [`crate::aside`]).

use std::cell::Cell;
use std::ops::Range;

use fancy_regex::{Captures, Input};
use regex_automata::nfa::thompson::{Config, NFA};

use crate::deadline::{look, tick};
use crate::error::Fault;

/// Steps after which a match is given up.
const BACKTRACK_LIMIT: usize = 200_000;
/// Characters of the longest expression.
pub const LONGEST_PATTERN: usize = 64 << 10;
/// Bytes that the compiled form of an expression may take.
const MOST_COMPILED: usize = 2 << 20;
/// States of an expression, times bytes of a text, up to which a search is surely done within some milliseconds.
const AT_ONCE: usize = 4 << 20;
/// So short a document is always searched on the thread that asks: of large expressions, which are alternatives of many kinds,
/// few states are ever in use.
const SHORT: usize = 4096;
/// The same for an expression whose states cannot be counted since it backtracks, for each of its characters.
const STATES_PER_CHARACTER: usize = 8;
/// Bytes of text for which the clock is looked at once, as each step may go over all of it.
const LOOK_BYTES: usize = 64 << 10;

/// A compiled expression.
pub struct Regex {
    inner: fancy_regex::Regex,
    /// The longest text that is surely searched at once.
    pub longest: usize,
}

/// # Errors
/// What is wrong with the pattern.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > LONGEST_PATTERN {
        return Err(format!("the expression has {} characters, the limit is {LONGEST_PATTERN}", pattern.len()));
    }
    let inner = fancy_regex::RegexBuilder::new(pattern)
        .backtrack_limit(BACKTRACK_LIMIT)
        .delegate_size_limit(MOST_COMPILED)
        .delegate_dfa_size_limit(MOST_COMPILED)
        .build()
        .map_err(|e| match e.to_string() {
            text if text.contains("NFA") => format!("{text}: it is too large"),
            text => text,
        })?;
    Ok(Regex { longest: (AT_ONCE / states(pattern).max(1)).max(SHORT), inner })
}

/// How many states the search for a pattern may be in at once.
fn states(pattern: &str) -> usize {
    let config = Config::new().nfa_size_limit(Some(MOST_COMPILED));
    match NFA::compiler().configure(config).build(pattern) {
        Ok(nfa) => nfa.states().len(),
        Err(_) => pattern.len() * STATES_PER_CHARACTER,
    }
}

impl Regex {
    pub fn captures_len(&self) -> usize {
        self.inner.captures_len()
    }

    /// The names of its groups, by their numbers.
    pub fn names(&self) -> Vec<Option<String>> {
        self.inner.capture_names().map(|name| name.map(str::to_owned)).collect()
    }

    /// The places of its first match's groups.
    ///
    /// # Errors
    /// For a pattern that needs too many steps.
    pub fn groups(&self, text: &str) -> Result<Option<Vec<Option<Range<usize>>>>, Fault> {
        let watched = Watched::new(text);
        let found = self.inner.captures(&watched).map_err(|e| too_hard(&e))?;
        Ok(found.map(|found| (0..found.len()).map(|n| found.get(n)).collect()))
    }

    /// Calls `each` with every match, until it says no.
    ///
    /// # Errors
    /// For a pattern that needs too many steps, when the time is over, and those of `each`.
    pub fn each_captures(
        &self,
        text: &str,
        mut each: impl FnMut(&Captures<'_, Watched<'_>>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let watched = Watched::new(text);
        for found in self.inner.captures_iter(&watched) {
            tick()?;
            each(&found.map_err(|e| too_hard(&e))?)?;
        }
        Ok(())
    }
}

/// A text at which nobody looks when the time is over.
pub struct Watched<'t> {
    text: &'t str,
    /// Looks between two at the clock, and how many are left.
    every: u32,
    left: Cell<u32>,
}

impl<'t> Watched<'t> {
    fn new(text: &'t str) -> Self {
        let every = (LOOK_BYTES / (text.len() + 1)).clamp(1, 256) as u32;
        Self { text, every, left: Cell::new(every) }
    }
}

impl Input for Watched<'_> {
    type Match<'m>
        = Range<usize>
    where
        Self: 'm;

    fn len(&self) -> usize {
        self.text.len()
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        let left = self.left.get() - 1;
        self.left.set(left);
        if left == 0 {
            self.left.set(self.every);
            look();
        }
        self.text.as_bytes()
    }

    fn is_char_boundary(&self, ix: usize) -> bool {
        self.text.is_char_boundary(ix)
    }

    fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    fn prev_codepoint_ix(&self, i: usize) -> usize {
        self.text.prev_codepoint_ix(i)
    }

    fn make_match(&self, start: usize, end: usize) -> Range<usize> {
        start..end
    }

    fn advance_position(&self, i: usize) -> usize {
        self.text.advance_position(i)
    }
}

/// A pattern that needs more steps than a document is worth.
fn too_hard(error: &fancy_regex::Error) -> Fault {
    Fault::illegal(format!("the regular expression was given up: {error}"))
}

/// The parts of `text` between matches, as Java's `Pattern.split` makes them; `limit` parts at most, 0 for any number.
///
/// # Errors
/// For a pattern that needs too many steps.
pub fn split<'t>(pattern: &Regex, text: &'t str, limit: usize, keep_trailing: bool) -> Result<Vec<&'t str>, Fault> {
    let mut parts = Vec::new();
    let mut last = 0;
    let watched = Watched::new(text);
    for found in pattern.inner.find_iter(&watched) {
        tick()?;
        let found = found.map_err(|e| too_hard(&e))?;
        if limit > 0 && parts.len() + 1 == limit {
            break;
        }
        // No match of no characters at the beginning makes an empty first part.
        if found.end == 0 {
            continue;
        }
        parts.push(&text[last..found.start]);
        last = found.end;
    }
    if parts.is_empty() && last == 0 {
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
