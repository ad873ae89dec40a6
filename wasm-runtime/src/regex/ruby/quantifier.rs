//! `?`, `*`, `+`, `{n,m}`, and what may follow them.

use super::{Parser, Result};
use crate::regex::tree::{Greed, Node};

/// The most that Joni counts to.
const MOST: u32 = 100_000;
/// Quantifiers of quantifiers.
const MOST_AT_ONCE: usize = 20;

impl Parser {
    /// `node` with all quantifiers that follow it.
    pub(crate) fn repeated(&mut self, mut node: Node, letters: &mut [(usize, Option<char>)]) -> Result<Node> {
        let mut deep = 0;
        loop {
            deep += 1;
            if deep > MOST_AT_ONCE {
                return Err(format!("too deep nest level: more than {MOST_AT_ONCE} quantifiers after each other"));
            }
            self.pass_blanks()?;
            let counted = self.peek() == Some('{');
            let (min, max) = match self.peek() {
                Some('?') => (0, 1),
                Some('*') => (0, u32::MAX),
                Some('+') => (1, u32::MAX),
                Some('{') => match self.counted() {
                    Some((min, max, end)) => {
                        self.at = end - 1;
                        (min, max)
                    }
                    None => return Ok(node),
                },
                _ => return Ok(node),
            };
            self.at += 1;
            if let Some(last) = letters.last_mut() {
                last.1 = None;
            }
            if min > MOST || max != u32::MAX && max > MOST {
                return Err("too big number is specified in repeat range".to_owned());
            }
            if max < min {
                return Err("upper bound is smaller than lower bound in repeat range".to_owned());
            }
            // `{n}?` is `(?:…{n})?`, and no plus makes a range possessive.
            let lazy = !(counted && min == max) && self.eat('?');
            let possessive = !counted && !lazy && self.eat('+');
            let greed = if lazy { Greed::Lazy } else { Greed::Greedy };
            node = Node::repeat(node, min, max, greed, true);
            if possessive {
                node = Node::Atomic(Box::new(node));
            }
        }
    }

    /// The numbers of `{n}`, `{n,}`, `{,m}` or `{n,m}` and where it ends; none for a brace that stands for itself.
    pub(crate) fn counted(&self) -> Option<(u32, u32, usize)> {
        let (min, at) = self.number(self.at + 1);
        match self.text.get(at)? {
            '}' => min.map(|min| (min, min, at + 1)),
            ',' => {
                let (max, end) = self.number(at + 1);
                let there = self.text.get(end) == Some(&'}') && (min.is_some() || max.is_some());
                there.then(|| (min.unwrap_or(0), max.unwrap_or(u32::MAX), end + 1))
            }
            _ => None,
        }
    }

    /// The number at a place, if there is one, and where it ends.
    fn number(&self, from: usize) -> (Option<u32>, usize) {
        let mut at = from;
        let mut value = 0u32;
        while let Some(digit) = self.text.get(at).and_then(|c| c.to_digit(10)) {
            value = value.saturating_mul(10).saturating_add(digit).min(u32::MAX - 1);
            at += 1;
        }
        ((at > from).then_some(value), at)
    }
}
