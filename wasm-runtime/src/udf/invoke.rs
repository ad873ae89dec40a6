//! A UDF over the documents of a batch: which sandbox, how long, and who is to blame.

use std::sync::Arc;

use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::clock::{self, now_ns};
use crate::engine::limits::PAGE;
use crate::engine::watchdog::{Ended, Guard};
use crate::error::Fault;
use crate::json::DocView;
use crate::stats::{LOG_LINES, StageRun};
use crate::udf::batch_abi::PREFIX;
use crate::udf::host::LogLine;
use crate::udf::module::UdfInner;
use crate::udf::result_contract::Contract;
use crate::udf::sandbox::{Answer, Sandbox};

/// Calls under one guard between two looks at the clock: in between the deadline is asked of the watchdog, which
/// costs less.
const CLOCK_EVERY: usize = 64;

/// Number of documents in the first call of `process_batch`.
const FIRST_GROUP: usize = 16;
/// Maximum factor of the number from one call to the next.
const GROWTH: usize = 4;
/// Divisors: a call of `process_batch` aims at a quarter of the time limit of one document, and its input takes at
/// most a sixteenth of the sandbox's memory.
const SHARE_OF_TIME: u64 = 4;
const SHARE_OF_MEMORY: usize = 16;

/// A UDF and the bounds of its stage.
pub(crate) struct CallLimits {
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
    /// Whether the breaker of the stage is asked and told: not in trial runs.
    pub(crate) guarded: bool,
}

impl CallLimits {
    /// # Errors
    /// While the breaker of the stage is open.
    #[inline(always)]
    fn check_breaker(&self) -> Result<(), Fault> {
        if self.guarded { self.udf.breaker.check() } else { Ok(()) }
    }

    /// Tells the breaker how a call ended: `broken`: it left a sandbox that cannot be used.
    #[inline(always)]
    fn tell_breaker(&self, broken: bool, ended: Ended) {
        if self.guarded && broken && matches!(ended, Ended::Call | Ended::No) {
            self.udf.breaker.failed();
        } else if self.guarded && !broken {
            self.udf.breaker.succeeded();
        }
    }
}

/// Result of one document from a UDF that takes many: its answer, and the context if it changed that.
pub(crate) struct UdfResult {
    pub(crate) output: Answer,
    pub(crate) ctx: Option<Vec<u8>>,
}

impl UdfResult {
    /// Whether it leaves the document as it is.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self { output: Answer::Json(None), ctx: None })
    }
}

/// A sandbox under watch. The guard goes first: it must not outlive the memory that it watches.
struct ActiveSandbox {
    guard: Guard,
    sandbox: Sandbox,
    /// Calls under this guard.
    calls: usize,
}

/// A stage's UDF at work on one batch.
pub(crate) struct Invoker<'r> {
    limits: &'r CallLimits,
    active: Option<Box<ActiveSandbox>>,
    /// Why no sandbox can be made at all.
    start_failure: Option<Fault>,
    /// How many documents one call of `process_batch` takes at most.
    group_size: usize,
}

impl<'r> Invoker<'r> {
    pub(crate) fn new(limits: &'r CallLimits) -> Self {
        Self { limits, active: None, start_failure: None, group_size: FIRST_GROUP }
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
        doc: DocView<'_>,
        meta: &mut Meta,
        at: usize,
        run: &mut StageRun,
    ) -> Result<Effect, Fault> {
        loop {
            self.limits.check_breaker()?;
            let mut active = self.acquire()?;
            let report = active.sandbox.call(doc, meta, self.limits.hits, &active.guard, self.limits.fuel);
            run.fuel += report.fuel;
            let effect = report.result.and_then(|output| {
                let Some((changed, ctx)) = active.sandbox.changes() else {
                    return contract.apply(doc, output, None);
                };
                let effect = contract.apply(doc, output, changed)?;
                if ctx.is_some() {
                    meta.ctx = ctx;
                }
                Ok(effect)
            });
            let (broken, served_before) = self.end(active, report.logs, at, run);
            if broken && served_before && report.ended == Ended::No {
                continue;
            }
            self.limits.tell_breaker(broken, report.ended);
            return effect;
        }
    }

    /// Documents through a UDF that takes many in one call; one that ends the call is found by calling for each alone.
    pub(crate) fn call_many(
        &mut self,
        docs: &[(&[u8], &Meta)],
        at: usize,
        run: &mut StageRun,
    ) -> Vec<Result<UdfResult, Fault>> {
        let mut done: Vec<Result<UdfResult, Fault>> = Vec::with_capacity(docs.len());
        while done.len() < docs.len() {
            let left = &docs[done.len()..];
            let docs = &left[..self.fitting(left)];
            // Alone goes the one at which a call was interrupted, which may have had the rest of the time of all, or for whose
            // answer there was no memory beside the others; and each of those whose call failed.
            let (results, singles) = match docs {
                [_] => (Vec::new(), 1),
                _ => self.call_paced(docs, at, run).map_or_else(|_| (Vec::new(), docs.len()), |results| (results, 1)),
            };
            let rest = &docs[results.len()..];
            done.extend(results);
            for doc in rest.iter().take(singles) {
                done.push(self.call_single(doc, at, run));
            }
        }
        done
    }

    /// How many of the documents the next call takes. A compiled UDF cannot be interrupted so that what it has done is kept: its
    /// calls begin small, and grow as far as the time of one document allows ([`Self::call_paced`]).
    fn fitting(&self, docs: &[(&[u8], &Meta)]) -> usize {
        let udf = &self.limits.udf;
        if self.limits.isolate {
            return 1;
        }
        if udf.interpreted() {
            return docs.len();
        }
        let room = udf.limits.memory_pages as usize * PAGE as usize / SHARE_OF_MEMORY;
        let mut size = 0;
        let fitting = docs.iter().take(self.group_size).take_while(|(text, _)| {
            size += PREFIX + text.len();
            size <= room
        });
        fitting.count().max(1)
    }

    /// [`Self::call_group`]; by its time the next call takes more documents, or fewer. After one that ran out of time all
    /// others of this batch go alone.
    fn call_paced(
        &mut self,
        docs: &[(&[u8], &Meta)],
        at: usize,
        run: &mut StageRun,
    ) -> Result<Vec<Result<UdfResult, Fault>>, Fault> {
        let start = now_ns();
        let results = self.call_group(docs, at, run);
        let (elapsed, share) = ((now_ns() - start).max(1), self.limits.udf.limits.timeout_ns / SHARE_OF_TIME);
        self.group_size = match &results {
            Ok(_) => {
                let affordable = u128::from(share) * docs.len() as u128 / u128::from(elapsed);
                usize::try_from(affordable).unwrap_or(usize::MAX).clamp(2, self.group_size.saturating_mul(GROWTH))
            }
            Err(fault) if fault.is_timeout() => 1,
            Err(_) => self.group_size,
        };
        results
    }

    fn call_single(&mut self, doc: &(&[u8], &Meta), at: usize, run: &mut StageRun) -> Result<UdfResult, Fault> {
        let mut results = self.call_group(&[*doc], at, run)?;
        results.pop().unwrap_or_else(|| Err(Fault::result("the UDF gave no result")))
    }

    /// The results of the documents up to the one at which the call ended; one alone has a result always.
    fn call_group(
        &mut self,
        docs: &[(&[u8], &Meta)],
        at: usize,
        run: &mut StageRun,
    ) -> Result<Vec<Result<UdfResult, Fault>>, Fault> {
        let fuel = self.limits.fuel.saturating_mul(docs.len() as u64);
        let mut retried = false;
        loop {
            self.limits.check_breaker()?;
            let mut active = self.acquire()?;
            let report = active.sandbox.call_many(docs, &self.limits.pipeline, &active.guard, fuel);
            run.fuel += if self.limits.udf.metered { report.fuel } else { 0 };
            let (broken, served_before) = self.end(active, report.logs, at, run);
            if broken && docs.len() == 1 && served_before && report.ended == Ended::No {
                continue;
            }
            if !broken || docs.len() == 1 {
                // Of many documents those that broke the sandbox are found by calling for each alone.
                self.limits.tell_breaker(broken, report.ended);
            }
            return match (report.results, report.interrupted) {
                (Ok(_), Some(_)) if docs.len() == 1 && report.ended == Ended::No && !retried => {
                    // The watchdog meant the call before.
                    retried = true;
                    continue;
                }
                (Ok(_), Some(fault)) if docs.len() == 1 => Err(fault),
                (results, _) => results,
            };
        }
    }

    /// A sandbox to call; or why the stage goes no further.
    #[inline(always)]
    fn acquire(&mut self) -> Result<Box<ActiveSandbox>, Fault> {
        let mut active = self.active()?;
        let by_clock = active.calls.is_multiple_of(CLOCK_EVERY);
        active.calls += 1;
        let over = match if by_clock { active.guard.stop() } else { active.guard.stop_seen() } {
            Ended::Cancelled => Fault::cancelled(),
            Ended::Batch => Fault::deadline(),
            Ended::Call | Ended::No => return Ok(active),
        };
        self.active = Some(active);
        Err(over)
    }

    /// Keeps the sandbox of a call for the next one, or gives it up. (Whether the call broke it, whether it had served before.)
    #[inline(always)]
    fn end(&mut self, active: Box<ActiveSandbox>, logs: Vec<LogLine>, at: usize, run: &mut StageRun) -> (bool, bool) {
        let (broken, served_before) = (active.sandbox.broken, active.sandbox.calls > 1);
        if broken || self.limits.isolate {
            self.retire(active, run);
        } else {
            self.active = Some(active);
        }
        if logs.is_empty() {
            return (broken, served_before);
        }
        let room = LOG_LINES.saturating_sub(run.logs.len());
        run.logs.extend(logs.into_iter().take(room).map(|(level, line)| (at, level, line)));
        (broken, served_before)
    }

    #[inline(always)]
    fn active(&mut self) -> Result<Box<ActiveSandbox>, Fault> {
        if let Some(active) = self.active.take() {
            return Ok(active);
        }
        if let Some(fault) = &self.start_failure {
            return Err(fault.clone());
        }
        let udf = &self.limits.udf;
        let sandbox = if self.limits.isolate || self.limits.fresh { udf.fresh() } else { udf.acquire() };
        let sandbox = sandbox.inspect_err(|fault| self.start_failure = Some(fault.clone()))?;
        // SAFETY: guard and sandbox travel together in `ActiveSandbox`, whose guard is dropped first.
        let guard = unsafe {
            Guard::new(
                sandbox.end_address(),
                sandbox.interrupt,
                Arc::clone(&self.limits.deadline),
                self.limits.stage_at,
                udf.limits.timeout_ns,
            )
        }?;
        Ok(Box::new(ActiveSandbox { guard, sandbox, calls: 0 }))
    }

    fn retire(&self, active: Box<ActiveSandbox>, run: &mut StageRun) {
        run.memory = run.memory.max(active.sandbox.memory_bytes());
        let ActiveSandbox { guard, sandbox, .. } = *active;
        drop(guard);
        if !self.limits.isolate && !self.limits.fresh {
            self.limits.udf.release(sandbox);
        }
    }

    /// Gives the sandbox back.
    pub(crate) fn finish(mut self, run: &mut StageRun) {
        if let Some(active) = self.active.take() {
            self.retire(active, run);
        }
    }
}
