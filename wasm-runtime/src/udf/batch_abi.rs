//! Many documents in one call: those of interpreters (`interpreter`), and `process_batch` of compiled UDFs, whose input
//! and answer are texts that stand behind their lengths.

use crate::document::Meta;
use crate::engine::limits::Limits;
use crate::engine::watchdog::{Ended, Guard};
use crate::error::Fault;
use crate::udf::abi::{Entry, unpack_answer};
use crate::udf::host::LogLine;
use crate::udf::invoke::UdfResult;
use crate::udf::sandbox::{Answer, Failure, Sandbox};

/// Bytes of a text's length before it: a u32, lowest byte first.
pub(crate) const PREFIX: usize = 4;

/// Report of a call over several documents.
pub(crate) struct BatchCallReport {
    /// One for each document, fewer if the call was interrupted, or had no memory for the answer of the next document; or why
    /// the call itself failed.
    pub(crate) results: Result<Vec<Result<UdfResult, Fault>>, Fault>,
    /// Why the document after the last one of `results` has none, where the call was interrupted.
    pub(crate) interrupted: Option<Fault>,
    pub(crate) fuel: u64,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) ended: Ended,
}

impl Sandbox {
    /// Runs the UDF on documents. `guard` watches the call, which has the time of one document; fuel in points.
    pub(crate) fn call_many(
        &mut self,
        docs: &[(&[u8], &Meta)],
        pipeline: &str,
        guard: &Guard,
        fuel: u64,
    ) -> BatchCallReport {
        self.calls += 1;
        self.set_fuel(fuel);
        let log = self.limits.log * docs.len();
        self.env.as_mut(&mut self.store).log_budget = log;
        let (raw, ended) = match self.entry {
            Entry::Interpreter { .. } => self.run_documents(docs, pipeline, guard),
            _ => {
                guard.start();
                let raw = self.run_texts(docs);
                (raw, guard.end())
            }
        };
        let logs = std::mem::take(&mut self.env.as_mut(&mut self.store).log);
        let used = fuel.saturating_sub(self.fuel_left());
        let mut interrupted = None;
        let results = raw.map_err(|failure| self.failure_of(failure, ended));
        let results = results.map(|answered| {
            interrupted = answered.interrupted.map(|location| self.interruption(ended, &location));
            self.broken |= answered.spent;
            answered.results
        });
        BatchCallReport { results, interrupted, fuel: used, logs, ended }
    }

    fn interruption(&self, ended: Ended, location: &str) -> Fault {
        let fault = match ended {
            Ended::Batch => Fault::deadline(),
            Ended::Cancelled => Fault::cancelled(),
            Ended::Call | Ended::No => self.timeout_fault(),
        };
        let reason = format!("{}{location}", fault.reason);
        fault.because(reason)
    }

    /// Documents through `process_batch`.
    fn run_texts(&mut self, docs: &[(&[u8], &Meta)]) -> Result<Answered, Failure> {
        let Entry::Json { many: Some(many), .. } = &self.entry else {
            return Err(Fault::trap("the UDF takes one document a call").into());
        };
        let many = many.clone();
        let size: usize = docs.iter().map(|(text, _)| PREFIX + text.len()).sum();
        let len = i32::try_from(size).map_err(|_| Fault::memory("documents over 2 GiB"))?;
        let at = self.input_buffer(len)?;
        lay_out(docs, self.slice_mut(at, size)?);
        let answer = many.call(&mut self.store, at, len)? as u64;
        if answer == 0 {
            let results = docs.iter().map(|_| Ok(UdfResult { output: Answer::Json(None), ctx: None })).collect();
            return Ok(Answered { results, interrupted: None, spent: false });
        }
        let (ptr, len) = unpack_answer(answer);
        let results = answers(self.slice(ptr, len)?, docs.len(), &self.limits);
        self.release_answer(ptr, len)?;
        Ok(Answered { results, interrupted: None, spent: false })
    }
}

/// Writes the documents into `slice_mut`, which is as large as they are with their lengths.
fn lay_out(docs: &[(&[u8], &Meta)], mut slice_mut: &mut [u8]) {
    for (text, _) in docs {
        let (prefix, rest) = slice_mut.split_at_mut(PREFIX);
        prefix.copy_from_slice(&(text.len() as u32).to_le_bytes());
        let (location, rest) = rest.split_at_mut(text.len());
        location.copy_from_slice(text);
        slice_mut = rest;
    }
}

/// The results of `count` documents.
fn answers(mut texts: &[u8], count: usize, limits: &Limits) -> Vec<Result<UdfResult, Fault>> {
    let mut results = Vec::with_capacity(count);
    while let Some((prefix, rest)) = texts.split_first_chunk::<PREFIX>()
        && let Some((text, rest)) = rest.split_at_checked(u32::from_le_bytes(*prefix) as usize)
        && results.len() < count
    {
        texts = rest;
        let output = || Answer::Json((!text.is_empty()).then(|| text.to_vec()));
        results.push(limits.check_output(text.len()).map(|()| UdfResult { output: output(), ctx: None }));
    }
    if texts.is_empty() && results.len() == count {
        return results;
    }
    let reason = format!(
        "the UDF took {count} documents in a call and answered {} texts and {} bytes more; it has to answer one text for \
         each, behind its length",
        results.len(),
        texts.len()
    );
    (0..count).map(|_| Err(Fault::result(reason.clone()))).collect()
}

/// The answer of a guest.
pub(crate) struct Answered {
    pub(crate) results: Vec<Result<UdfResult, Fault>>,
    /// Where the UDF was when it was interrupted, as words; fewer results than documents then.
    pub(crate) interrupted: Option<String>,
    /// Whether the interpreter cannot serve the next call.
    pub(crate) spent: bool,
}
