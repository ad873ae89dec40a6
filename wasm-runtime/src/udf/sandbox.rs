//! One sandbox: a store with one instance in it, ready to be called for one document after another.
//!
//! Instances are freed only with their store, so each has its own; after a trap, a timeout or a refused growth the
//! whole sandbox is thrown away (its memory may be in any state).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmer::{Engine, FunctionEnv, Instance, Memory, Module, Store, Value};

use crate::document::Meta;
use crate::engine::interrupt::Interrupt;
use crate::engine::limits::{BOOT_FUEL, GROW_FAILED, Limits};
use crate::engine::memory::{self, Linear};
use crate::engine::metering;
use crate::engine::snapshot::Snapshot;
use crate::engine::watchdog::{Ended, Guard};
use crate::error::Fault;
use crate::json::DocView;
use crate::udf::abi::{Abi, Entry, bind_entry, unpack_answer};
use crate::udf::host::Real;
use crate::udf::host::{DocumentEdits, Host, LogLine, link};
use crate::udf::numbers::Number;

/// Answer of a UDF, before the result contract is applied.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// JSON ABI: the answer's text; `None` = nothing returned.
    Json(Option<Vec<u8>>),
    /// Field ABI, entry `filter`: keep or drop.
    Keep(bool),
    /// Field ABI, any other entry.
    Number(Number),
}

/// A call's result and its costs.
pub(crate) struct CallReport {
    pub(crate) result: Result<Answer, Fault>,
    pub(crate) fuel: u64,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) ended: Ended,
}

/// The parts that a sandbox is made from.
pub(crate) struct Plan<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) module: &'a Module,
    pub(crate) abi: Abi,
    pub(crate) entry: &'a str,
    pub(crate) params: &'a Arc<[u8]>,
    pub(crate) limits: Limits,
    pub(crate) real: Real,
}

pub(crate) struct Sandbox {
    pub(crate) store: Store,
    pub(crate) instance: Instance,
    pub(crate) env: FunctionEnv<Host>,
    pub(crate) memory: Memory,
    pub(crate) linear: Linear,
    pub(crate) entry: Entry,
    fuel: *mut u64,
    end: *mut u64,
    growth_refused: *mut u32,
    /// Address and capacity of the buffer for input that is kept in an interpreter.
    pub(crate) buffer: Option<(i32, i32)>,
    /// Whether the UDF of an interpreter takes the context of its documents.
    pub(crate) takes_context: bool,
    /// How to end a call softly, where the guest knows.
    pub(crate) interrupt: Option<Interrupt>,
    pub(crate) limits: Limits,
    filter: bool,
    /// Calls made so far.
    pub(crate) calls: u64,
    /// Whether the last call left the memory in an unknown state.
    pub(crate) broken: bool,
}

// SAFETY: wasmer's Store is !Send because a store must not be used from two threads at once. A sandbox is owned by one
// thread at a time: the pool hands it over by value under a lock.
unsafe impl Send for Sandbox {}

impl Sandbox {
    /// Instantiates `module` and runs its start function, `_initialize` and `init(parameters)`; an interpreter is taken from
    /// its `snapshot` where there is one, and loads the UDF.
    ///
    /// # Errors
    /// The reason, as a fault of the UDF (it may differ per document only through the memory limit).
    pub(crate) fn new(plan: &Plan<'_>, snapshot: Option<&Snapshot>) -> Result<Self, Fault> {
        let mut sandbox = Self::instantiated(plan)?;
        if plan.abi.interpreted() {
            match snapshot {
                Some(snapshot) => snapshot.lay_over(&sandbox.memory, &mut sandbox.store).map_err(Fault::memory)?,
                None => sandbox.boot_interpreter()?,
            }
            sandbox.find_interrupt()?;
            sandbox.load_code(plan.params)?;
        } else {
            sandbox.boot(plan.params)?;
        }
        sandbox.env.as_mut(&mut sandbox.store).fuel = sandbox.fuel;
        Ok(sandbox)
    }

    fn instantiated(plan: &Plan<'_>) -> Result<Self, Fault> {
        let Plan { engine, module, abi, entry, params, limits, real } = *plan;
        let mut store = Store::new(engine.clone());
        let env = FunctionEnv::new(&mut store, Host::new(Arc::clone(params), real));
        let imports = link(&mut store, &env, module).map_err(Fault::trap)?;
        memory::forget();
        let instance = Instance::new(&mut store, module, &imports).map_err(|e| match e {
            wasmer::InstantiationError::Start(e) => Fault::from_runtime(&e),
            error if error.to_string().contains("the limit is") => Fault::memory(error.to_string()),
            error => Fault::trap(error.to_string()),
        })?;
        let memory = instance.exports.get_memory("memory").map_err(|e| Fault::trap(e.to_string()))?.clone();
        // SAFETY: the instance goes with the sandbox, and the guest runs within its calls only.
        let linear =
            unsafe { Linear::last_created() }.ok_or_else(|| Fault::trap("the module has no memory of its own"))?;
        env.as_mut(&mut store).memory = Some(linear);
        let fuel = metering::find_global(&mut store, &instance, metering::REMAINING)?;
        let end = metering::find_global(&mut store, &instance, metering::END)?;
        let growth_refused = metering::find_global(&mut store, &instance, GROW_FAILED)?.cast();
        let entry_point = bind_entry(&store, &instance, abi, entry).map_err(Fault::trap)?;
        Ok(Self {
            store,
            instance,
            env,
            memory,
            linear,
            entry: entry_point,
            fuel,
            end,
            growth_refused,
            buffer: None,
            takes_context: false,
            interrupt: None,
            limits,
            filter: entry == "filter",
            calls: 0,
            broken: false,
        })
    }

    /// An interpreter that has started and loaded nothing, for a snapshot.
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub(crate) fn started(plan: &Plan<'_>) -> Result<Self, Fault> {
        let mut sandbox = Self::instantiated(plan)?;
        sandbox.boot_interpreter()?;
        Ok(sandbox)
    }

    fn boot(&mut self, params: &Arc<[u8]>) -> Result<(), Fault> {
        self.set_fuel(BOOT_FUEL);
        if let Ok(initialize) = self.instance.exports.get_typed_function::<(), ()>(&self.store, "_initialize") {
            initialize.call(&mut self.store).map_err(|e| self.blame(&e, Ended::No))?;
        }
        if let Ok(init) = self.instance.exports.get_typed_function::<(i32, i32), ()>(&self.store, "init") {
            let Entry::Json { alloc, .. } = &self.entry else { return Ok(()) };
            let len = i32::try_from(params.len()).map_err(|_| Fault::trap("parameters over 2 GiB"))?;
            let at = alloc.clone().call(&mut self.store, len).map_err(|e| self.blame(&e, Ended::No))?;
            self.write(at, params)?;
            init.call(&mut self.store, at, len).map_err(|e| self.blame(&e, Ended::No))?;
        }
        Ok(())
    }

    /// Fills the fuel, and lets the guest run. That an earlier call was refused memory is forgotten.
    #[inline(always)]
    pub(crate) fn set_fuel(&mut self, points: u64) {
        // SAFETY: both point into this store; found by `metering::find_global`.
        let [fuel, end] = [self.fuel, self.end].map(|at| unsafe { AtomicU64::from_ptr(at) });
        fuel.store(points.min(i64::MAX as u64), Ordering::Relaxed);
        end.store(0, Ordering::Relaxed);
        // SAFETY: as above; the guest does not run.
        unsafe { *self.growth_refused = 0 };
    }

    pub(crate) fn fuel_left(&self) -> u64 {
        // SAFETY: as above.
        let left = unsafe { AtomicU64::from_ptr(self.fuel) }.load(Ordering::Relaxed);
        // Negative where it was overdrawn.
        (left as i64).max(0) as u64
    }

    /// The address of the flag that tells the guest to end, for the watchdog.
    pub(crate) fn end_address(&self) -> *mut u64 {
        self.end
    }

    /// Bytes of linear memory in use.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.linear.whole().1 as u64
    }

    /// Runs the UDF on `doc`, which may leave [`Self::changes`] behind. The guard's watch is on for the time of the call; fuel
    /// in points.
    #[inline(always)]
    pub(crate) fn call(&mut self, doc: DocView<'_>, meta: &Meta, hit: bool, guard: &Guard, fuel: u64) -> CallReport {
        self.calls += 1;
        self.set_fuel(fuel);
        let host = self.env.as_mut(&mut self.store);
        // SAFETY: `leave` follows below, before `doc` and `meta` go.
        unsafe { host.enter(doc, meta, hit, self.limits.log) };
        guard.start();
        let raw = self.enter_guest(doc.text());
        let ended = guard.end();
        let host = self.env.as_mut(&mut self.store);
        host.leave();
        let logs = std::mem::take(&mut host.log);
        let used = fuel.saturating_sub(self.fuel_left());
        let result = raw.map_err(|failure| self.failure_of(failure, ended));
        CallReport { result, fuel: used, logs, ended }
    }

    /// Takes what host functions did in the last call: see [`Host::changes`].
    #[inline(always)]
    pub(crate) fn changes(&mut self) -> Option<(Option<DocumentEdits>, Option<Vec<u8>>)> {
        self.env.as_mut(&mut self.store).changes()
    }

    #[inline(always)]
    fn enter_guest(&mut self, doc: &[u8]) -> Result<Answer, Failure> {
        let Self { store, .. } = self;
        let number = match &self.entry {
            Entry::Json { .. } => return self.call_json(doc).map(Answer::Json),
            Entry::Interpreter { .. } => return Err(Fault::trap("an interpreter takes documents in batches").into()),
            Entry::I32(f) => {
                let value = f.call(store, 0)?;
                if self.filter {
                    return Ok(Answer::Keep(value != 0));
                }
                Number::Integer(value.into())
            }
            Entry::I64(f) => Number::Integer(f.call(store, 0)?),
            Entry::F32(f) => finite(f64::from(f.call(store, 0)?))?,
            Entry::F64(f) => finite(f.call(store, 0)?)?,
        };
        Ok(Answer::Number(number))
    }

    #[inline(always)]
    fn call_json(&mut self, doc: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let len = i32::try_from(doc.len()).map_err(|_| Fault::memory("a document over 2 GiB"))?;
        let at = self.input_buffer(len)?;
        self.write(at, doc)?;
        let Self { entry: Entry::Json { process, .. }, store, .. } = self else { return Ok(None) };
        let answer = process.call(store, at, len)? as u64;
        if answer == 0 {
            return Ok(None);
        }
        let (ptr, len) = unpack_answer(answer);
        self.limits.check_output(len)?;
        let text = self.slice(ptr, len)?.to_vec();
        self.release_answer(ptr, len)?;
        Ok(Some(text))
    }

    /// The buffer for the input of a JSON UDF, kept from call to call, with room for `len` bytes.
    #[inline(always)]
    pub(crate) fn input_buffer(&mut self, len: i32) -> Result<i32, Failure> {
        match &self.entry {
            Entry::Json { buffer: Some((at, capacity)), .. } if *capacity >= len => Ok(*at),
            _ => self.larger_buffer(len),
        }
    }

    fn larger_buffer(&mut self, len: i32) -> Result<i32, Failure> {
        let Entry::Json { alloc, dealloc, buffer, .. } = &mut self.entry else { return Ok(0) };
        if let (Some((at, capacity)), Some(dealloc)) = (buffer.take(), dealloc) {
            dealloc.call(&mut self.store, at, capacity)?;
        }
        let capacity = (len.max(512) as u32).next_power_of_two().min(i32::MAX as u32) as i32;
        let at = alloc.call(&mut self.store, capacity)?;
        *buffer = Some((at, capacity));
        Ok(at)
    }

    /// Tells a JSON UDF that its answer has been read.
    #[inline(always)]
    pub(crate) fn release_answer(&mut self, ptr: usize, len: usize) -> Result<(), Failure> {
        if let Entry::Json { dealloc: Some(dealloc), .. } = &self.entry {
            dealloc.call(&mut self.store, ptr as i32, len as i32)?;
        }
        Ok(())
    }

    /// A part of the guest's memory, which it answered.
    pub(crate) fn slice(&self, ptr: usize, len: usize) -> Result<&[u8], Fault> {
        let pointer = self.linear.pointer(ptr, len).ok_or_else(|| {
            Fault::result(format!("the UDF answered {len} bytes at address {ptr}, outside its memory"))
        })?;
        // SAFETY: inside the memory, without the words that the watchdog writes; all else that writes to it, and the guest,
        // wants all of `self`.
        Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
    }

    /// The part of the guest's memory that its `alloc` gave.
    pub(crate) fn slice_mut(&mut self, at: i32, len: usize) -> Result<&mut [u8], Fault> {
        match self.linear.pointer(at as u32 as usize, len) {
            // SAFETY: as in `slice`, and all of `self` is borrowed.
            Some(pointer) => Ok(unsafe { std::slice::from_raw_parts_mut(pointer, len) }),
            None if self.growth_refused() => Err(self.memory_fault()),
            None => Err(Fault::trap(format!("alloc({len}) answered {}, outside the UDF's memory", at as u32))),
        }
    }

    pub(crate) fn write(&mut self, at: i32, bytes: &[u8]) -> Result<(), Fault> {
        self.slice_mut(at, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Why a call gave nothing; the sandbox is not to be used again.
    pub(crate) fn failure_of(&mut self, failure: Failure, ended: Ended) -> Fault {
        self.broken = true;
        match failure {
            Failure::Guest(error) => self.blame(&error, ended),
            Failure::Answer(fault) => fault,
        }
    }

    fn flag(&mut self, name: &str) -> bool {
        let Ok(global) = self.instance.exports.get_global(name) else { return false };
        matches!(global.get(&mut self.store), Value::I32(1))
    }

    fn growth_refused(&self) -> bool {
        // SAFETY: as above.
        unsafe { *self.growth_refused != 0 }
    }

    fn memory_fault(&self) -> Fault {
        Fault::memory(format!(
            "the UDF needs more memory than its limit of {} KiB",
            u64::from(self.limits.memory_pages) * 64
        ))
    }

    /// The fault behind an ended guest call: time, fuel, memory, else the trap itself.
    pub(crate) fn blame(&mut self, error: &wasmer::RuntimeError, ended: Ended) -> Fault {
        let exhausted = self.flag(metering::EXHAUSTED);
        match ended {
            Ended::Call if exhausted => self.timeout_fault(),
            Ended::Batch if exhausted => Fault::deadline(),
            Ended::Cancelled if exhausted => Fault::cancelled(),
            _ if exhausted && self.limits.fuel.is_none() => self.timeout_fault(),
            _ if exhausted => {
                Fault::timeout(format!("the UDF ran out of fuel: limit {} points", self.limits.fuel.unwrap_or(0)))
            }
            _ if self.growth_refused() => self.memory_fault(),
            _ => Fault::from_runtime(error),
        }
    }

    pub(crate) fn timeout_fault(&self) -> Fault {
        Fault::timeout(format!("the UDF ran longer than its limit of {} ms", self.limits.timeout_ns / 1_000_000))
    }
}

/// Why a guest call gave nothing: it ended early, or its answer cannot be used.
pub(crate) enum Failure {
    Guest(wasmer::RuntimeError),
    Answer(Fault),
}

impl From<wasmer::RuntimeError> for Failure {
    fn from(error: wasmer::RuntimeError) -> Self {
        Self::Guest(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Answer(fault)
    }
}

fn finite(value: f64) -> Result<Number, Fault> {
    Number::real(value).ok_or_else(|| Fault::result(format!("the UDF answered {value}, which JSON cannot hold")))
}
