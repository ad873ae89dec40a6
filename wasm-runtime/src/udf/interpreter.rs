//! UDFs in Python and JavaScript: the calls of our guests (guests/), whole batches of documents at a time.
//!
//! Documents go in as one JSON array of their raw texts and come back as one JSON array of results, so that the host parses
//! neither; an exception is the error of its own document.

use std::sync::Arc;

use crate::document::Meta;
use crate::engine::clock::{Deadline, now_ns};
use crate::engine::interrupt::Interrupt;
use crate::engine::limits::{INTERPRETER_BOOT_FUEL, LOAD_NS, Limits};
use crate::engine::watchdog::{Ended, Guard};
use crate::error::Fault;
use crate::json;
use crate::json::validate;
use crate::udf::abi::{Entry, Language};
use crate::udf::batch_abi::Answered;
use crate::udf::exact_numbers;
use crate::udf::host::MAX_CTX;
use crate::udf::invoke::UdfResult;
use crate::udf::sandbox::{Answer, Failure, Sandbox};

/// Bit of an answer's length that says that the answer is a result and nothing else.
const BARE: u32 = 1 << 31;
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
        guard.start();
        let loaded = self.ask(&load, config).and_then(|answer| match answer {
            0 | 1 => Ok(answer == 1),
            text => Err(exception(&self.answer(text)?.0).into()),
        });
        guard.end();
        drop(guard);
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

    pub(crate) fn run_documents(&mut self, docs: &[(&[u8], &Meta)], pipeline: &str) -> Result<Answered, Failure> {
        let Entry::Interpreter { run, run_single, language, .. } = &self.entry else {
            return Err(Fault::trap("not a UDF of an interpreter").into());
        };
        let (run, run_single, language) = (run.clone(), run_single.clone(), *language);
        let tamed: Vec<_> =
            docs.iter().map(|(text, _)| exact_numbers::tamed(text, language == Language::JavaScript)).collect();
        let shown: Vec<(&[u8], &Meta)> =
            docs.iter().zip(&tamed).map(|((text, meta), tamed)| (tamed.as_deref().unwrap_or(text), *meta)).collect();
        let answer = match shown.as_slice() {
            [(text, _)] if !self.takes_context => self.ask(&run_single, text)?,
            _ => self.ask(&run, &payload(&shown, self.takes_context.then_some(pipeline)))?,
        };
        let (answer, bare) = self.answer(answer)?;
        if let (true, [(text, _)]) = (bare, docs) {
            let result = given(&answer, text, language, &self.limits);
            return Ok(Answered { results: vec![result], interrupted: None, spent: false });
        }
        results(&answer, docs, language, &self.limits).map_err(Failure::Answer)
    }

    /// Gives `bytes` to a function of the guest; its answer in its words.
    fn ask(&mut self, function: &wasmer::TypedFunction<(i32, i32), i64>, bytes: &[u8]) -> Result<u64, Failure> {
        let len = i32::try_from(bytes.len()).map_err(|_| Fault::memory("documents over 2 GiB"))?;
        let at = if len <= KEPT_BUFFER { self.kept_buffer(len)? } else { self.alloc(len)? };
        self.write(at, bytes)?;
        let answer = function.call(&mut self.store, at, len)? as u64;
        if len > KEPT_BUFFER {
            self.dealloc(at, len)?;
        }
        Ok(answer)
    }

    /// The text that an answer says the place of, and whether it is a bare result.
    fn answer(&self, answer: u64) -> Result<(Vec<u8>, bool), Fault> {
        let (ptr, len) = ((answer >> 32) as usize, answer as u32);
        Ok((self.slice(ptr, (len & !BARE) as usize)?.to_vec(), len & BARE != 0))
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

/// `[[documents], [contexts]]`, or `null` in place of the contexts; `pipeline`: what they say of themselves.
fn payload(docs: &[(&[u8], &Meta)], pipeline: Option<&str>) -> Vec<u8> {
    let size: usize = docs.iter().map(|(text, _)| text.len() + 64).sum();
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(b"[[");
    for (n, (text, _)) in docs.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(text);
    }
    let Some(pipeline) = pipeline else {
        out.extend_from_slice(b"],null]");
        return out;
    };
    out.extend_from_slice(b"],[");
    for (n, (_, meta)) in docs.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&meta.full_ctx(pipeline));
    }
    out.extend_from_slice(b"]]");
    out
}

/// The parts of the guest's answer, `[[results], {position: error}, [contexts] or null]`, and where it was interrupted.
fn results(answer: &[u8], docs: &[(&[u8], &Meta)], language: Language, limits: &Limits) -> Result<Answered, Fault> {
    let count = docs.len();
    let parts = json::elements(answer, json::skip_ws(answer, 0));
    let broken = || Fault::result("the guest's answer is not what it should be");
    let [values, errors, contexts, interrupted @ ..] = parts.as_slice() else { return Err(broken()) };
    let values = json::elements(answer, values.start);
    let contexts = json::elements(answer, contexts.start);
    let fits = if interrupted.is_empty() { values.len() == count } else { values.len() < count };
    if !fits || interrupted.len() > 1 {
        return Err(broken());
    }
    let mut out: Vec<Result<UdfResult, Fault>> = Vec::with_capacity(count);
    for (n, value) in values.into_iter().enumerate() {
        let ctx = contexts.get(n).map(|r| &answer[r.clone()]);
        let ctx = ctx.filter(|c| *c != b"null").map(<[u8]>::to_vec);
        if ctx.as_ref().is_some_and(|ctx| ctx.len() > MAX_CTX || validate::check_object(ctx).is_err()) {
            out.push(Err(Fault::result(format!("the context is over {MAX_CTX} bytes, or no JSON object"))));
            continue;
        }
        out.push(given(&answer[value], docs[n].0, language, limits).map(|given| UdfResult { ctx, ..given }));
    }
    for entry in json::Entries::new(answer, errors.start).into_iter().flatten() {
        let at = json::unescape(&answer[entry.key]).and_then(|key| key.parse::<usize>().ok());
        if let Some(location) = at.and_then(|at| out.get_mut(at)) {
            *location = Err(exception(&answer[entry.value]));
        }
    }
    let stopped = interrupted.first().map(|at| &answer[at.clone()]);
    let spent = stopped.and_then(|at| Some(&at[json::get(at, json::skip_ws(at, 0), "spent")?.value] == b"true"));
    Ok(Answered { results: out, interrupted: stopped.map(location), spent: spent.unwrap_or(false) })
}

/// The result for `document` in the guest's words.
fn given(raw: &[u8], document: &[u8], language: Language, limits: &Limits) -> Result<UdfResult, Fault> {
    limits.check_output(raw.len())?;
    // Python has whole numbers of any length, and writes its floats in its own way.
    let all = language == Language::JavaScript;
    let text = (raw != b"null").then(|| exact_numbers::restore_numbers(document, raw.to_vec(), all));
    Ok(UdfResult { output: Answer::Json(text), ctx: None })
}

/// ` (line 3, column 5)`, as far as `error` says it.
fn location(error: &[u8]) -> String {
    let start = json::skip_ws(error, 0);
    let number = |name: &str| {
        json::get(error, start, name).and_then(|e| std::str::from_utf8(&error[e.value]).ok()?.parse::<u32>().ok())
    };
    match (number("line"), number("column")) {
        (Some(line), Some(column)) => format!(" (line {line}, column {column})"),
        (Some(line), None) => format!(" (line {line})"),
        _ => String::new(),
    }
}

/// An exception of the UDF, as `{"type", "reason", "line", "column"}`.
fn exception(error: &[u8]) -> Fault {
    let start = json::skip_ws(error, 0);
    let text =
        |name: &str| json::get(error, start, name).and_then(|e| json::string(&error[e.value])).unwrap_or_default();
    let kind = text("type");
    let reason = format!("{kind}: {}{}", text("reason"), location(error));
    let memory = kind == "MemoryError" || (kind == "InternalError" && text("reason").starts_with("out of memory"));
    if memory { Fault::memory(reason) } else { Fault::new(400, "udf_exception", reason) }
}
