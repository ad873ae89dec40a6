//! UDFs in Python and JavaScript: the calls of our guests (guests/), whole batches of documents at a time.
//!
//! Documents go in as their raw texts; results come back as what differs from them ([`answers`]). An exception is the error of
//! its own document.

use std::sync::Arc;

use crate::document::Meta;
use crate::engine::clock::{Deadline, now_ns};
use crate::engine::interrupt::Interrupt;
use crate::engine::limits::{INTERPRETER_BOOT_FUEL, LOAD_NS};
use crate::engine::watchdog::{Ended, Guard};
use crate::error::Fault;
use crate::udf::abi::{Entry, unpack_answer};
use crate::udf::answers;
use crate::udf::batch_abi::{Answered, PREFIX};
use crate::udf::sandbox::{Failure, Sandbox};

/// The longest input, in bytes, for which the guest keeps a buffer.
const KEPT_BUFFER: i32 = 64 << 10;

impl Sandbox {
    /// Starts the interpreter.
    ///
    /// # Errors
    /// Why it does not start: too little memory, say.
    pub(crate) fn boot_interpreter(&mut self) -> Result<(), Fault> {
        self.set_fuel(INTERPRETER_BOOT_FUEL);
        for name in ["_initialize", "boot"] {
            let Ok(function) = self.instance.exports.get_typed_function::<(), ()>(&self.store, name) else {
                return Err(Fault::trap(format!("the guest exports no {name}")));
            };
            self.start(&function)?;
        }
        Ok(())
    }

    /// Learns how to end the calls of a started interpreter softly.
    ///
    /// # Errors
    /// When the guest does not say it.
    pub(crate) fn find_interrupt(&mut self) -> Result<(), Fault> {
        let unknown = || Fault::trap("the guest does not say how to interrupt it");
        let Ok(interrupts) = self.instance.exports.get_typed_function::<(), i32>(&self.store, "interrupts") else {
            return Err(unknown());
        };
        let at = interrupts.call(&mut self.store).map_err(|error| self.blame(&error, Ended::No))?;
        let (base, len) = self.linear.whole();
        self.interrupt = Interrupt::new(base, len, at as u32 as usize);
        self.linear = self.linear.without(self.interrupt);
        self.env.as_mut(&mut self.store).memory = Some(self.linear);
        if self.interrupt.is_none() { Err(unknown()) } else { Ok(()) }
    }

    fn start(&mut self, boot: &wasmer::TypedFunction<(), ()>) -> Result<(), Fault> {
        self.env.as_mut(&mut self.store).log_budget = 4096;
        if let Err(error) = boot.call(&mut self.store) {
            let fault = self.blame(&error, Ended::No);
            let said: Vec<String> =
                std::mem::take(&mut self.env.as_mut(&mut self.store).log).into_iter().map(|(_, line)| line).collect();
            let reason = format!("the interpreter does not start: {} {}", fault.reason, said.join(" "));
            return Err(fault.because(reason));
        }
        Ok(())
    }

    /// Loads the UDF that `config` (JSON) holds into a started interpreter.
    ///
    /// # Errors
    /// The defect of the code, with its line and column.
    pub(crate) fn load_code(&mut self, config: &[u8]) -> Result<(), Fault> {
        let Ok(load) = self.instance.exports.get_typed_function::<(i32, i32), i64>(&self.store, "load") else {
            return Err(Fault::trap("the guest exports no load"));
        };
        self.set_fuel(INTERPRETER_BOOT_FUEL);
        let now = now_ns();
        let deadline = Deadline { at_ns: now.saturating_add(LOAD_NS), cancelled: false.into() };
        // SAFETY: the guard is dropped before this sandbox, whose memory it watches.
        let guard = unsafe { Guard::new(self.end_address(), None, Arc::new(deadline), u64::MAX, u64::MAX) }?;
        let (answer, _) = self.ask(&load, config, &guard);
        drop(guard);
        let loaded = answer.and_then(|answer| match answer {
            0 | 1 => Ok(answer == 1),
            text => Err(answers::exception(self.answer(text)?).into()),
        });
        match loaded {
            Ok(takes_context) => {
                self.takes_context = takes_context;
                Ok(())
            }
            Err(Failure::Answer(fault)) => Err(fault),
            Err(Failure::Guest(error)) => Err(match self.blame(&error, Ended::No) {
                fault if fault.is_timeout() => Fault::timeout("the code takes too long to load"),
                fault => fault,
            }),
        }
    }

    /// What the UDF makes of documents, and how the call ended, under the watch of `guard`.
    pub(crate) fn run_documents(
        &mut self,
        docs: &[(&[u8], &Meta)],
        pipeline: &str,
        guard: &Guard,
    ) -> (Result<Answered, Failure>, Ended) {
        let Entry::Interpreter { run, .. } = &self.entry else {
            return (Err(Fault::trap("not a UDF of an interpreter").into()), Ended::No);
        };
        let (run, takes_context) = (run.clone(), self.takes_context);
        let (answer, ended) = self.ask(&run, &payload(docs, takes_context.then_some(pipeline)), guard);
        let answered = answer.and_then(|answer| {
            answers::read(self.answer(answer)?, docs, takes_context, &self.limits).map_err(Failure::Answer)
        });
        (answered, ended)
    }

    /// Gives `bytes` to a function of the guest, under watch; its answer in its words, to be read when the watch is over.
    fn ask(
        &mut self,
        function: &wasmer::TypedFunction<(i32, i32), i64>,
        bytes: &[u8],
        guard: &Guard,
    ) -> (Result<u64, Failure>, Ended) {
        guard.start();
        let answer = self.ask_watched(function, bytes);
        (answer, guard.end())
    }

    fn ask_watched(&mut self, function: &wasmer::TypedFunction<(i32, i32), i64>, bytes: &[u8]) -> Result<u64, Failure> {
        let len = i32::try_from(bytes.len()).map_err(|_| Fault::memory("documents over 2 GiB"))?;
        let at = if len <= KEPT_BUFFER { self.kept_buffer(len)? } else { self.alloc(len)? };
        self.write(at, bytes)?;
        let answer = function.call(&mut self.store, at, len)? as u64;
        if len > KEPT_BUFFER {
            self.dealloc(at, len)?;
        }
        Ok(answer)
    }

    /// The bytes that an answer says the place of.
    fn answer(&self, answer: u64) -> Result<&[u8], Fault> {
        let (ptr, len) = unpack_answer(answer);
        self.slice(ptr, len)
    }

    /// A buffer in the guest that is kept from call to call, for small inputs.
    fn kept_buffer(&mut self, len: i32) -> Result<i32, Failure> {
        match self.buffer {
            Some((at, capacity)) if capacity >= len => return Ok(at),
            Some((at, capacity)) => {
                self.buffer = None;
                self.dealloc(at, capacity)?;
            }
            None => {}
        }
        let capacity = (len.max(512) as u32).next_power_of_two() as i32;
        let at = self.alloc(capacity)?;
        self.buffer = Some((at, capacity));
        Ok(at)
    }

    fn alloc(&mut self, len: i32) -> Result<i32, Failure> {
        let Entry::Interpreter { alloc, .. } = &self.entry else { return Ok(0) };
        match alloc.clone().call(&mut self.store, len)? {
            0 => Err(Fault::memory("the UDF has no memory for its documents").into()),
            at => Ok(at),
        }
    }

    fn dealloc(&mut self, at: i32, len: i32) -> Result<(), Failure> {
        if let Entry::Interpreter { dealloc, .. } = &self.entry {
            dealloc.clone().call(&mut self.store, at, len)?;
        }
        Ok(())
    }
}

/// The documents, each behind its length and with its context after it where that is asked for; `pipeline`: what they say of
/// themselves.
fn payload(docs: &[(&[u8], &Meta)], pipeline: Option<&str>) -> Vec<u8> {
    let size: usize = docs.iter().map(|(text, _)| text.len() + PREFIX).sum();
    let mut out = Vec::with_capacity(size);
    let mut append = |text: &[u8]| {
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text);
    };
    for (text, meta) in docs {
        append(text);
        if let Some(pipeline) = pipeline {
            append(&meta.full_ctx(pipeline));
        }
    }
    out
}
