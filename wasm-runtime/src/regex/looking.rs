//! Look-arounds, and texts without a match of something.

use super::machine::{Machine, Outcome};
use super::program::Op;
use crate::error::Fault;

impl Machine<'_, '_> {
    /// Whether what begins at `pc` matches here, or ends here.
    pub(super) fn lookaround(
        &mut self,
        negative: bool,
        behind: Option<(usize, usize)>,
        pc: usize,
        at: usize,
    ) -> Result<bool, Fault> {
        let base = self.frames.len();
        let found = match behind {
            None => self.run(pc, at)?.is_some(),
            Some((least, most)) => self.behind(least, most, pc, at)?,
        };
        if negative && !self.program.leaky {
            self.undo(base);
        } else {
            self.settle(base);
        }
        Ok(found)
    }

    fn behind(&mut self, least: usize, most: usize, pc: usize, at: usize) -> Result<bool, Fault> {
        let mut from = at;
        for _ in 0..least {
            if from == 0 {
                return Ok(false);
            }
            from = self.text.before(from);
        }
        let mut back = least;
        while back <= most {
            let base = self.frames.len();
            if self.run_until(pc, from, at)? {
                return Ok(true);
            }
            self.undo(base);
            if from == 0 {
                break;
            }
            from = self.text.before(from);
            back += 1;
        }
        Ok(false)
    }

    /// Whether a way from `from` ends at `at`.
    fn run_until(&mut self, pc: usize, from: usize, at: usize) -> Result<bool, Fault> {
        let base = self.frames.len();
        let mut end = self.run(pc, from)?;
        while let Some(reached) = end {
            if reached == at {
                return Ok(true);
            }
            let Some((pc, at)) = self.back(base) else { return Ok(false) };
            end = self.run_above(base, pc, at)?;
        }
        Ok(false)
    }

    /// Goes on with a way that was left above `base`.
    #[inline]
    pub(super) fn run_above(&mut self, base: usize, pc: usize, at: usize) -> Outcome {
        let mut here = Some((pc, at));
        loop {
            let Some((pc, at)) = here else {
                here = self.back(base);
                self.step(1)?;
                if here.is_none() {
                    return Ok(None);
                }
                continue;
            };
            if matches!(self.program.ops[pc], Op::Accept | Op::Match) {
                return Ok(Some(at));
            }
            self.step(1)?;
            here = self.step_once(pc, at)?;
        }
    }

    /// How far a text from `at` on goes that contains no match of what begins at `pc`.
    pub(super) fn absent(&mut self, pc: usize, at: usize) -> Result<usize, Fault> {
        let mut most = self.text.bytes.len();
        let mut from = at;
        while from <= most {
            let base = self.frames.len();
            let end = self.run(pc, from)?;
            self.undo(base);
            if let Some(end) = end.filter(|end| *end <= most) {
                if end == at {
                    return Ok(at);
                }
                most = self.text.before(end);
            }
            if from >= self.text.bytes.len() {
                break;
            }
            from = self.text.after(from);
        }
        Ok(most.max(at))
    }
}
