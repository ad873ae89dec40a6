//! `?`, `*`, `+`, `{n,m}`, and what may follow them.

use super::{Parser, Result};
use crate::regex::tree::Greed;

/// The most that Java counts to.
const MOST: u32 = i32::MAX as u32;

impl Parser<'_> {
    /// The fewest and the most, and which are tried first.
    pub(crate) fn quantifier(&mut self) -> Result<Option<(u32, u32, Greed)>> {
        let (min, max) = match self.peek() {
            '?' => (0, 1),
            '*' => (0, u32::MAX),
            '+' => (1, u32::MAX),
            '{' => self.counted()?,
            _ => return Ok(None),
        };
        let greed = match self.next() {
            '?' => Greed::Lazy,
            '+' => Greed::Possessive,
            _ => return Ok(Some((min, max, Greed::Greedy))),
        };
        self.next();
        Ok(Some((min, max, greed)))
    }

    fn counted(&mut self) -> Result<(u32, u32)> {
        let mut c = self.skip();
        if !c.is_ascii_digit() {
            return Err(self.wrong("Illegal repetition"));
        }
        let min = self.number(&mut c)?;
        let mut max = min;
        if c == ',' {
            c = self.read();
            max = if c == '}' { u32::MAX } else { self.number(&mut c)? };
        }
        if c != '}' {
            return Err(self.wrong("Unclosed counted closure"));
        }
        if max < min {
            return Err(self.wrong("Illegal repetition range"));
        }
        // Its brace is what `quantifier` goes on from.
        self.at -= 1;
        Ok((min, max))
    }

    /// The number that begins with `c`, which becomes what follows it; 0 where there is none.
    fn number(&mut self, c: &mut char) -> Result<u32> {
        let mut number = 0u32;
        while let Some(digit) = c.to_digit(10) {
            let more = number.checked_mul(10).and_then(|n| n.checked_add(digit)).filter(|n| *n <= MOST);
            number = more.ok_or_else(|| self.wrong("Illegal repetition range"))?;
            *c = self.read();
        }
        Ok(number)
    }
}
