//! Characters of one set behind each other: as many as a run takes at first, and fewer or more of them later.

use super::machine::{Frame, Machine, NONE, Outcome};
use super::program::{Op, Run};
use super::tree::Greed;

impl Machine<'_, '_> {
    /// Takes as many as a run does at first.
    pub(super) fn many(&mut self, run: &Run, pc: usize, at: usize) -> Outcome {
        let mut end = at;
        let mut count = 0;
        let first = if run.greed == Greed::Lazy { run.min } else { run.max };
        let mut least = if run.min == 0 { at } else { NONE };
        while count < first
            && let Some(more) = self.text.step(end, &run.set)
        {
            end = more;
            count += 1;
            if count == run.min {
                least = end;
            }
        }
        self.step(u64::from(count) / 16)?;
        if count < run.min {
            return Ok(None);
        }
        match run.greed {
            Greed::Lazy if run.max > run.min => {
                self.push(Frame::Longer(
                    pc as u32,
                    end,
                    if run.max == u32::MAX { NONE as u32 } else { run.max - run.min },
                ))?;
            }
            Greed::Greedy if end > least => self.push(Frame::Shorter(pc as u32 + 1, least, end))?,
            _ => {}
        }
        Ok(Some(end))
    }

    pub(super) fn shorter(&mut self, pc: usize, least: usize, mut end: usize) -> Option<(usize, usize)> {
        let Op::Run(run) = &self.program.ops[pc - 1] else {
            // A text without a match of something.
            let end = self.text.before(end);
            if end > least {
                self.frames.push(Frame::Shorter(pc as u32, least, end));
            }
            return Some((pc, end));
        };
        while end > least {
            end = self.text.before(end);
            self.steps += 1;
            if run.then.is_none_or(|then| self.text.bytes.get(end) == Some(&then)) {
                if end > least {
                    self.frames.push(Frame::Shorter(pc as u32, least, end));
                }
                return Some((pc, end));
            }
        }
        None
    }

    pub(super) fn longer(&mut self, pc: usize, mut end: usize, mut left: u32) -> Option<(usize, usize)> {
        let program = self.program;
        let Op::Run(run) = &program.ops[pc] else { return None };
        while left > 0 {
            end = self.text.step(end, &run.set)?;
            left -= 1;
            self.steps += 1;
            if run.then.is_none_or(|then| self.text.bytes.get(end) == Some(&then)) {
                self.frames.push(Frame::Longer(pc as u32, end, left));
                return Some((pc + 1, end));
            }
        }
        None
    }
}
