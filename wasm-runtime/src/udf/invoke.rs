//! A UDF over the documents of a batch: which sandbox, how long, and who is to blame.

use std::sync::Arc;

use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::clock::{self, now_ns};
use crate::engine::limits::PAGE;
use crate::engine::watchdog::{Ended, Guard};
use crate::error::Fault;
use crate::stats::{LOG_LINES, StageRun};
use crate::udf::batch_abi::PREFIX;
use crate::udf::host::LogLine;
use crate::udf::module::UdfInner;
use crate::udf::result_contract::Contract;
use crate::udf::sandbox::{Output, Sandbox};

/// Every so many calls under one guard, and before the first, the deadline is asked of the clock; else of the watchdog.
const CLOCK_EVERY: usize = 64;

/// Documents in the first call of `process_batch`, and by how much the next one may be larger.
const FIRST_TOGETHER: usize = 16;
const GROWTH: usize = 4;
/// What part of the time of one document a call of `process_batch` should take, and its input of the sandbox's memory.
const SHARE_OF_TIME: u64 = 4;
const SHARE_OF_MEMORY: usize = 16;

/// A UDF and the bounds of its stage.
pub(crate) struct Runner {
    pub(crate) udf: Arc<UdfInner>,
    /// A new sandbox for every document, and for every batch.
    pub(crate) isolate: bool,
    pub(crate) fresh: bool,
    /// Whether the documents are hits.
    pub(crate) hits: bool,
    pub(crate) deadline: Arc<clock::Deadline>,
    /// By `now_ns`; `u64::MAX` for none.
    pub(crate) stage_at: u64,
    /// Points for one document.
    pub(crate) fuel: u64,
    /// Its name, for the contexts of documents.
    pub(crate) pipeline: String,
}

/// What a UDF that takes many documents gave for one: its answer, and the context if it changed that.
pub(crate) struct Given {
    pub(crate) output: Output,
    pub(crate) ctx: Option<Vec<u8>>,
}

impl Given {
    /// Whether it leaves the document as it is.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self { output: Output::Json(None), ctx: None })
    }
}

/// A sandbox under watch. The guard goes first: it must not outlive the memory that it watches.
struct Running {
    guard: Guard,
    sandbox: Sandbox,
    /// Calls under this guard.
    calls: usize,
}

/// A stage's UDF at work on one batch.
pub(crate) struct Work<'r> {
    runner: &'r Runner,
    running: Option<Box<Running>>,
    /// Why no sandbox can be made at all.
    hopeless: Option<Fault>,
    /// How many documents one call of `process_batch` takes at most.
    together: usize,
}

impl<'r> Work<'r> {
    pub(crate) fn new(runner: &'r Runner) -> Self {
        Self { runner, running: None, hopeless: None, together: FIRST_TOGETHER }
    }

    /// One document through the UDF, and what its answer means by the `contract`; a sandbox that has served before is not
    /// trusted with the blame for a failure.
    ///
    /// # Errors
    /// The fault of this document, or the reason why the stage goes no further.
    // What it and all below give is large: moved from frame to frame it cost a tenth of a small call.
    #[inline(always)]
    pub(crate) fn call(
        &mut self,
        contract: &Contract,
        text: &[u8],
        meta: &mut Meta,
        at: usize,
        run: &mut StageRun,
    ) -> Result<Effect, Fault> {
        loop {
            let mut running = self.begin()?;
            let called = running.sandbox.call(text, meta, self.runner.hits, &running.guard, self.runner.fuel);
            run.fuel += called.fuel;
            let effect = called.result.and_then(|output| {
                let Some((changed, ctx)) = running.sandbox.changes() else {
                    return contract.apply(text, output, None);
                };
                let effect = contract.apply(text, output, changed)?;
                if ctx.is_some() {
                    meta.ctx = ctx;
                }
                Ok(effect)
            });
            let (broken, served_before) = self.end(running, called.logs, at, run);
            if broken && served_before && called.ended == Ended::No {
                continue;
            }
            return effect;
        }
    }

    /// Documents through a UDF that takes many in one call; one that ends the call is found by calling for each alone.
    pub(crate) fn call_many(
        &mut self,
        docs: &[(&[u8], &Meta)],
        at: usize,
        run: &mut StageRun,
    ) -> Vec<Result<Given, Fault>> {
        let mut done: Vec<Result<Given, Fault>> = Vec::with_capacity(docs.len());
        while done.len() < docs.len() {
            let left = &docs[done.len()..];
            let docs = &left[..self.fitting(left)];
            // Alone goes the one at which a call was interrupted, which may have had the rest of the time of all, and each of
            // those whose call failed.
            let (results, alone) = match docs {
                [_] => (Vec::new(), 1),
                _ => self.call_paced(docs, at, run).map_or_else(|_| (Vec::new(), docs.len()), |results| (results, 1)),
            };
            let rest = &docs[results.len()..];
            done.extend(results);
            for doc in rest.iter().take(alone) {
                done.push(self.call_alone(doc, at, run));
            }
        }
        done
    }

    /// How many of the documents the next call takes. A compiled UDF cannot be interrupted so that what it has done is kept: its
    /// calls begin small, and grow as far as the time of one document allows ([`Self::call_paced`]).
    fn fitting(&self, docs: &[(&[u8], &Meta)]) -> usize {
        let udf = &self.runner.udf;
        if self.runner.isolate {
            return 1;
        }
        if udf.interpreted() {
            return docs.len();
        }
        let room = udf.limits.memory_pages as usize * PAGE as usize / SHARE_OF_MEMORY;
        let mut size = 0;
        let fitting = docs.iter().take(self.together).take_while(|(text, _)| {
            size += PREFIX + text.len();
            size <= room
        });
        fitting.count().max(1)
    }

    /// [`Self::call_together`]; by its time the next call takes more documents, or fewer. After one that ran out of time all
    /// others of this batch go alone.
    fn call_paced(
        &mut self,
        docs: &[(&[u8], &Meta)],
        at: usize,
        run: &mut StageRun,
    ) -> Result<Vec<Result<Given, Fault>>, Fault> {
        let begun = now_ns();
        let results = self.call_together(docs, at, run);
        let (taken, share) = ((now_ns() - begun).max(1), self.runner.udf.limits.timeout_ns / SHARE_OF_TIME);
        self.together = match &results {
            Ok(_) => {
                let affordable = u128::from(share) * docs.len() as u128 / u128::from(taken);
                usize::try_from(affordable).unwrap_or(usize::MAX).clamp(2, self.together.saturating_mul(GROWTH))
            }
            Err(fault) if fault.is_timeout() => 1,
            Err(_) => self.together,
        };
        results
    }

    fn call_alone(&mut self, doc: &(&[u8], &Meta), at: usize, run: &mut StageRun) -> Result<Given, Fault> {
        let mut results = self.call_together(&[*doc], at, run)?;
        results.pop().unwrap_or_else(|| Err(Fault::result("the UDF gave no result")))
    }

    /// The results of the documents up to the one at which the call was interrupted; one alone has a result always.
    fn call_together(
        &mut self,
        docs: &[(&[u8], &Meta)],
        at: usize,
        run: &mut StageRun,
    ) -> Result<Vec<Result<Given, Fault>>, Fault> {
        let fuel = self.runner.fuel.saturating_mul(docs.len() as u64);
        let mut again = false;
        loop {
            let mut running = self.begin()?;
            let called = running.sandbox.call_many(docs, &self.runner.pipeline, &running.guard, fuel);
            run.fuel += if self.runner.udf.metered { called.fuel } else { 0 };
            let (broken, served_before) = self.end(running, called.logs, at, run);
            if broken && docs.len() == 1 && served_before && called.ended == Ended::No {
                continue;
            }
            return match (called.results, called.interrupted) {
                (Ok(_), Some(_)) if docs.len() == 1 && called.ended == Ended::No && !again => {
                    // The watchdog meant the call before.
                    again = true;
                    continue;
                }
                (Ok(_), Some(fault)) if docs.len() == 1 => Err(fault),
                (results, _) => results,
            };
        }
    }

    /// A sandbox to call; or why the stage goes no further.
    #[inline(always)]
    fn begin(&mut self) -> Result<Box<Running>, Fault> {
        let mut running = self.running()?;
        let by_clock = running.calls.is_multiple_of(CLOCK_EVERY);
        running.calls += 1;
        let over = match if by_clock { running.guard.stop() } else { running.guard.stop_seen() } {
            Ended::Cancelled => Fault::cancelled(),
            Ended::Batch => Fault::deadline(),
            Ended::Call | Ended::No => return Ok(running),
        };
        self.running = Some(running);
        Err(over)
    }

    /// Keeps the sandbox of a call for the next one, or gives it up. (Whether the call broke it, whether it had served before.)
    #[inline(always)]
    fn end(&mut self, running: Box<Running>, logs: Vec<LogLine>, at: usize, run: &mut StageRun) -> (bool, bool) {
        let (broken, served_before) = (running.sandbox.broken, running.sandbox.calls > 1);
        if broken || self.runner.isolate {
            self.retire(running, run);
        } else {
            self.running = Some(running);
        }
        if logs.is_empty() {
            return (broken, served_before);
        }
        let room = LOG_LINES.saturating_sub(run.logs.len());
        run.logs.extend(logs.into_iter().take(room).map(|(level, line)| (at, level, line)));
        (broken, served_before)
    }

    #[inline(always)]
    fn running(&mut self) -> Result<Box<Running>, Fault> {
        if let Some(running) = self.running.take() {
            return Ok(running);
        }
        if let Some(fault) = &self.hopeless {
            return Err(fault.clone());
        }
        let udf = &self.runner.udf;
        let made = if self.runner.isolate || self.runner.fresh { udf.fresh() } else { udf.take() };
        let sandbox = made.inspect_err(|fault| self.hopeless = Some(fault.clone()))?;
        // SAFETY: guard and sandbox travel together in `Running`, whose guard is dropped first.
        let guard = unsafe {
            Guard::new(
                sandbox.end_address(),
                sandbox.interrupt,
                Arc::clone(&self.runner.deadline),
                self.runner.stage_at,
                udf.limits.timeout_ns,
            )
        }?;
        Ok(Box::new(Running { guard, sandbox, calls: 0 }))
    }

    fn retire(&self, running: Box<Running>, run: &mut StageRun) {
        run.memory = run.memory.max(running.sandbox.memory_bytes());
        let Running { guard, sandbox, .. } = *running;
        drop(guard);
        if !self.runner.isolate && !self.runner.fresh {
            self.runner.udf.give_back(sandbox);
        }
    }

    /// Gives the sandbox back.
    pub(crate) fn finish(mut self, run: &mut StageRun) {
        if let Some(running) = self.running.take() {
            self.retire(running, run);
        }
    }
}
