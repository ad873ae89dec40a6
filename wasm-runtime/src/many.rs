//! Many documents in one call: those of interpreters (interpreter.rs), and `process_batch` of compiled UDFs, whose input
//! and answer are texts that stand behind their lengths.

use crate::document::Meta;
use crate::error::Fault;
use crate::host::LogLine;
use crate::instance::{Entry, Failure, Output, Sandbox};
use crate::watchdog::{Ended, Guard};
use crate::work::Given;

/// Bytes of a text's length before it: a u32, lowest byte first.
pub const PREFIX: usize = 4;

/// What a call over several documents gave.
pub struct CalledMany {
    /// One for each document, fewer if the call was interrupted; or why the call itself failed.
    pub results: Result<Vec<Result<Given, Fault>>, Fault>,
    /// Why the document after the last one of `results` has none.
    pub interrupted: Option<Fault>,
    pub fuel: u64,
    pub logs: Vec<LogLine>,
    pub ended: Ended,
}

impl Sandbox {
    /// Runs the UDF on documents. `guard` watches the call, which has the time of one document; fuel in points.
    pub fn call_many(&mut self, docs: &[(&[u8], &Meta)], pipeline: &str, guard: &Guard, fuel: u64) -> CalledMany {
        self.calls += 1;
        self.set_fuel(fuel);
        let log = self.limits.log * docs.len();
        self.env.as_mut(&mut self.store).log_budget = log;
        guard.begin();
        let raw = match self.entry {
            Entry::Interpreter { .. } => self.run_documents(docs, pipeline),
            _ => self.run_texts(docs),
        };
        let ended = guard.end();
        let logs = std::mem::take(&mut self.env.as_mut(&mut self.store).log);
        let used = fuel.saturating_sub(self.fuel_left());
        let mut interrupted = None;
        let results = raw.map_err(|failure| {
            self.broken = true;
            match failure {
                Failure::Guest(error) => self.blame(&error, ended),
                Failure::Answer(fault) => fault,
            }
        });
        let results = results.map(|answered| {
            interrupted = answered.interrupted.map(|place| self.interruption(ended, &place));
            self.broken |= answered.spent;
            answered.results
        });
        CalledMany { results, interrupted, fuel: used, logs, ended }
    }

    fn interruption(&self, ended: Ended, place: &str) -> Fault {
        let fault = match ended {
            Ended::Batch => Fault::deadline(),
            Ended::Cancelled => Fault::cancelled(),
            Ended::Call | Ended::No => self.timeout_fault(),
        };
        Fault { reason: format!("{}{place}", fault.reason), ..fault }
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
        self.lay_out(at, size, docs)?;
        let answer = many.call(&mut self.store, at, len)? as u64;
        if answer == 0 {
            let results = docs.iter().map(|_| Ok(Given::unchanged())).collect();
            return Ok(Answered { results, interrupted: None, spent: false });
        }
        let (ptr, len) = ((answer >> 32) as usize, (answer & 0xffff_ffff) as usize);
        let results = {
            let view = self.memory.view(&self.store);
            // SAFETY: the guest is not running and its memory is not shared.
            let data = unsafe { view.data_unchecked() };
            let texts = ptr.checked_add(len).and_then(|end| data.get(ptr..end)).ok_or_else(|| {
                Fault::result(format!("the UDF answered {len} bytes at address {ptr}, outside its memory"))
            })?;
            self.answers(texts, docs.len())
        };
        self.forget_answer(ptr, len)?;
        Ok(Answered { results, interrupted: None, spent: false })
    }

    /// Writes the documents into the guest, `size` bytes in all.
    fn lay_out(&mut self, at: i32, size: usize, docs: &[(&[u8], &Meta)]) -> Result<(), Fault> {
        let from = at as u32 as usize;
        let view = self.memory.view(&self.store);
        // SAFETY: the guest is not running and its memory is not shared.
        let data = unsafe { view.data_unchecked_mut() };
        let Some(mut room) = from.checked_add(size).and_then(|end| data.get_mut(from..end)) else {
            return Err(self.lost(at, size));
        };
        for (text, _) in docs {
            let (prefix, rest) = room.split_at_mut(PREFIX);
            prefix.copy_from_slice(&(text.len() as u32).to_le_bytes());
            let (place, rest) = rest.split_at_mut(text.len());
            place.copy_from_slice(text);
            room = rest;
        }
        Ok(())
    }

    /// What the UDF gave for each of `count` documents.
    fn answers(&self, mut texts: &[u8], count: usize) -> Vec<Result<Given, Fault>> {
        let limit = self.limits.output;
        let mut results = Vec::with_capacity(count);
        while let Some((prefix, rest)) = texts.split_first_chunk::<PREFIX>()
            && let Some((text, rest)) = rest.split_at_checked(u32::from_le_bytes(*prefix) as usize)
            && results.len() < count
        {
            texts = rest;
            results.push(match text.len() {
                0 => Ok(Given::unchanged()),
                len if len > limit => Err(Fault::result(format!("the UDF answered {len} bytes, the limit is {limit}"))),
                _ => Ok(Given { output: Output::Json(Some(text.to_vec())), ctx: None }),
            });
        }
        if texts.is_empty() && results.len() == count {
            return results;
        }
        let reason = format!(
            "the UDF took {count} documents in a call and answered {} texts and {} bytes more; it has to answer one text \
             for each, behind its length",
            results.len(),
            texts.len()
        );
        (0..count).map(|_| Err(Fault::result(reason.clone()))).collect()
    }
}

/// What the guest answered.
pub(crate) struct Answered {
    pub results: Vec<Result<Given, Fault>>,
    /// Where the UDF was when it was interrupted, as words; fewer results than documents then.
    pub interrupted: Option<String>,
    /// Whether the interpreter cannot serve the next call.
    pub spent: bool,
}
