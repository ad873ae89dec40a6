//! `Module` (a compiled upload) and `Udf` (a module bound to the parameters and limits of one stage).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use wasmer::{ExternType, FunctionEnv, FunctionType, Store, Type};

use crate::engine::compiler::{self, Compiled, MAX_MODULE, capped, points_per_ns};
use crate::engine::limits::Limits;
use crate::engine::metering;
use crate::engine::snapshot::{self, Snapshot};
use crate::error::{Fault, ModuleError};
use crate::udf::abi::{Abi, Language, NumberType, of_many};
use crate::udf::breaker::{Breaker, BreakerLimits};
use crate::udf::host::{Host, Real, link};
use crate::udf::sandbox::{Plan, Sandbox};

/// Limits of an interpreter's start, in pages of 64 KiB and bytes of stack.
const SNAPSHOT_PAGES: u32 = 1024;
const SNAPSHOT_STACK: usize = 8 << 20;
/// Maximum number of idle sandboxes that a stage keeps for the next batch: each holds its memory.
const WARM: usize = 8;

/// A compiled WebAssembly module, checked to fit one of the ABIs.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct Module {
    compiled: Compiled,
    metered: bool,
    abi: Abi,
    entry: String,
    guest: Option<Arc<InterpreterImage>>,
}

/// An interpreter without its data segments, and the image of a started one; made when the first sandbox is.
struct InterpreterImage {
    bare: Compiled,
    snapshot: OnceLock<Option<Snapshot>>,
}

#[pymethods]
impl Module {
    /// Compiles `wasm` (a binary, or WAT text), finds its ABI and tries one instance.
    ///
    /// `metered`: false for an interpreter of ours, which then has a stop flag in place of fuel.
    /// `entry` names the function to call; absent = `process` (JSON ABI), else `filter` (field ABI).
    #[new]
    #[pyo3(signature = (wasm, digest, *, entry=None, cache_dir=None, metered=true))]
    fn new(
        py: Python<'_>,
        wasm: &Bound<'_, PyBytes>,
        digest: &str,
        entry: Option<String>,
        cache_dir: Option<PathBuf>,
        metered: bool,
    ) -> PyResult<Self> {
        let bytes = wasm.as_bytes();
        py.detach(|| Self::build(bytes, digest, entry, cache_dir.as_deref(), metered)).map_err(ModuleError::new_err)
    }

    /// `"json"` or `"field"`; of an interpreter its language.
    #[getter]
    fn abi(&self) -> &'static str {
        match self.abi {
            Abi::Json { .. } => "json",
            Abi::Field(_) => "field",
            Abi::Interpreter(Language::Python) => "python",
            Abi::Interpreter(Language::JavaScript) => "javascript",
        }
    }

    /// The function that is called for each document.
    #[getter]
    fn entry(&self) -> &str {
        &self.entry
    }

    /// Whether the native code came from the cache on disk.
    #[getter]
    fn cached(&self) -> bool {
        self.compiled.cached
    }

    /// Names of the module's exports, in its order.
    #[getter]
    fn exports(&self) -> Vec<String> {
        let ours = [metering::REMAINING, metering::EXHAUSTED, metering::END, crate::engine::limits::GROW_FAILED];
        let exports = self.compiled.module.exports();
        exports.map(|e| e.name().to_owned()).filter(|n| !ours.contains(&n.as_str())).collect()
    }

    /// Names of the module's imports (`space.name`), in its order.
    #[getter]
    fn imports(&self) -> Vec<String> {
        self.compiled.module.imports().map(|i| format!("{}.{}", i.module(), i.name())).collect()
    }

    /// The module with parameters (a JSON object) and limits, with a pool of sandboxes of its own. `breaker`: failures that open
    /// it (0: none do), window and pause in seconds.
    #[pyo3(signature = (parameters, *, timeout_ms, memory, fuel=None, output=8 << 20, log=4096, stack=1 << 20,
                        merge=false, isolate=false, fresh=false, real_clock=false, real_random=false, breaker=(0, 0.0, 0.0)))]
    #[allow(clippy::too_many_arguments)]
    fn bind(
        slf: &Bound<'_, Self>,
        parameters: &[u8],
        timeout_ms: f64,
        memory: u64,
        fuel: Option<u64>,
        output: usize,
        log: usize,
        stack: usize,
        merge: bool,
        isolate: bool,
        fresh: bool,
        real_clock: bool,
        real_random: bool,
        breaker: (u32, f64, f64),
    ) -> PyResult<Udf> {
        crate::json::validate::check_object(parameters)
            .map_err(|e| ModuleError::new_err(format!("parameters: {}", e.0)))?;
        let limits = Limits {
            timeout_ns: (timeout_ms.max(0.001) * 1e6) as u64,
            fuel,
            memory_pages: u32::try_from(memory / crate::engine::limits::PAGE).unwrap_or(u32::MAX).clamp(1, 65_536),
            output,
            log,
            stack,
        };
        // The guests of interpreters are made for the real ones.
        let always = slf.get().abi.interpreted();
        let real = Real { clock: real_clock || always, random: real_random || always };
        Ok(Udf {
            module: slf.clone().unbind(),
            inner: Arc::new(UdfInner::new(slf.get(), Arc::from(parameters), limits, real, breaker.into())),
            merge,
            isolate,
            fresh,
        })
    }
}

impl Module {
    fn build(
        bytes: &[u8],
        digest: &str,
        entry: Option<String>,
        cache: Option<&std::path::Path>,
        metered: bool,
    ) -> Result<Self, String> {
        if bytes.len() > MAX_MODULE {
            return Err(format!("the module has {} bytes, the limit is {MAX_MODULE}", bytes.len()));
        }
        let wasm = wat::parse_bytes(bytes).map_err(|e| e.to_string())?;
        compiler::guard_signals();
        let compiled = compiler::compile(&wasm, digest, cache, metered)?;
        let (abi, entry) = find_abi(&compiled.module, entry)?;
        check_version(&compiled)?;
        let guest = if abi.interpreted() {
            let bare = snapshot::without_data(&wasm).ok_or("the module's sections cannot be read")?;
            let bare = compiler::compile(&bare, &format!("{digest}-bare"), cache, metered)?;
            Some(Arc::new(InterpreterImage { bare, snapshot: OnceLock::new() }))
        } else {
            None
        };
        if !metered && !abi.interpreted() {
            return Err("only an interpreter may run without metering".to_owned());
        }
        Ok(Self { compiled, metered, abi, entry, guest })
    }
}

/// Finds how the module wants to be called.
fn find_abi(module: &wasmer::Module, entry: Option<String>) -> Result<(Abi, String), String> {
    let export = |name: &str| module.exports().find(|e| e.name() == name).map(|e| e.ty().clone());
    if !matches!(export("memory"), Some(ExternType::Memory(_))) {
        return Err("the module exports no [memory]".to_owned());
    }
    let function = |name: &str| match export(name) {
        Some(ExternType::Function(ty)) => Some(ty),
        _ => None,
    };
    let bytes_in = FunctionType::new([Type::I32, Type::I32], [Type::I64]);
    if function("boot").is_some() && ["load", "run"].iter().all(|f| function(f).as_ref() == Some(&bytes_in)) {
        let language = if function("javascript").is_some() { Language::JavaScript } else { Language::Python };
        return Ok((Abi::Interpreter(language), "run".to_owned()));
    }
    let has_alloc = function("alloc") == Some(FunctionType::new([Type::I32], [Type::I32]));
    let name = entry.unwrap_or_else(|| {
        if has_alloc && function("process").is_some() { "process".to_owned() } else { "filter".to_owned() }
    });
    let Some(ty) = function(&name) else {
        return Err(format!(
            "the module exports no function [{name}]: a UDF exports memory, alloc and process(ptr, len) -> i64, or \
             filter(ctx: i64) -> i32; name another function with [entry]"
        ));
    };
    if ty != bytes_in {
        return Ok((Abi::Field(number_type(&name, &ty)?), name));
    }
    if !has_alloc {
        return Err("the module exports no [alloc(i32) -> i32], which the JSON ABI needs".to_owned());
    }
    let many = of_many(&name);
    match function(&many) {
        Some(ty) if ty != bytes_in => Err(format!(
            "function [{many}] is {ty}: what takes many documents in a call is (i32, i32) -> i64 (docs/reference/udf-abi.md)"
        )),
        found => Ok((Abi::Json { many: found.is_some() }, name)),
    }
}

/// The type of the number that a function of the field ABI returns.
fn number_type(name: &str, ty: &FunctionType) -> Result<NumberType, String> {
    match (ty.params(), ty.results()) {
        ([Type::I64], [Type::I32]) => Ok(NumberType::I32),
        ([Type::I64], [Type::I64]) => Ok(NumberType::I64),
        ([Type::I64], [Type::F32]) => Ok(NumberType::F32),
        ([Type::I64], [Type::F64]) => Ok(NumberType::F64),
        _ => Err(format!(
            "function [{name}] is {ty}, which fits no ABI: (i32, i32) -> i64 or (i64) -> i32, i64, f32 or f64"
        )),
    }
}

/// Refuses imports we lack and ABI versions we do not speak. Nothing of the guest's code runs but its start function.
fn check_version(compiled: &Compiled) -> Result<(), String> {
    let engine = capped(&compiled.engine, 1024, 1 << 20);
    let mut store = Store::new(engine);
    let env = FunctionEnv::new(&mut store, Host::new(Arc::from(&b"{}"[..]), Real::default()));
    let imports = link(&mut store, &env, &compiled.module)?;
    let versioned = compiled.module.exports().any(|e| e.name() == "headrace_abi");
    if !versioned {
        return Ok(());
    }
    let instance =
        wasmer::Instance::new(&mut store, &compiled.module, &imports).map_err(|e| format!("cannot be started: {e}"))?;
    match instance.exports.get_global("headrace_abi").map(|g| g.clone().get(&mut store)) {
        Ok(wasmer::Value::I32(1)) => Ok(()),
        Ok(value) => Err(format!("the module speaks ABI version {value:?}; this Headrace speaks 1")),
        Err(_) => Err("the export [headrace_abi] is not a global".to_owned()),
    }
}

/// The part of a UDF that a batch needs; shared so that it may run without the GIL.
pub(crate) struct UdfInner {
    engine: wasmer::Engine,
    module: wasmer::Module,
    abi: Abi,
    pub(crate) metered: bool,
    entry: String,
    params: Arc<[u8]>,
    pub(crate) limits: Limits,
    real: Real,
    guest: Option<(Arc<InterpreterImage>, wasmer::Engine)>,
    warm: Mutex<Vec<Sandbox>>,
    pub(crate) breaker: Breaker,
}

impl UdfInner {
    fn new(module: &Module, params: Arc<[u8]>, limits: Limits, real: Real, breaker: BreakerLimits) -> Self {
        Self {
            engine: capped(&module.compiled.engine, limits.memory_pages, limits.stack),
            module: module.compiled.module.clone(),
            abi: module.abi,
            metered: module.metered,
            entry: module.entry.clone(),
            params,
            limits,
            real,
            guest: module
                .guest
                .as_ref()
                .map(|p| (Arc::clone(p), capped(&p.bare.engine, limits.memory_pages, limits.stack))),
            warm: Mutex::new(Vec::new()),
            breaker: Breaker::new(breaker),
        }
    }

    /// A sandbox out of the pool, else a new one.
    pub(crate) fn acquire(&self) -> Result<Sandbox, Fault> {
        let warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner).pop();
        warm.map_or_else(|| self.fresh(), Ok)
    }

    /// A new sandbox: fresh memory, parameters given.
    pub(crate) fn fresh(&self) -> Result<Sandbox, Fault> {
        if let Some((guest, engine)) = &self.guest
            && let Some(snapshot) = guest.snapshot.get_or_init(|| self.snapshot())
        {
            return Sandbox::new(&Plan { engine, module: &guest.bare.module, ..self.plan() }, Some(snapshot));
        }
        Sandbox::new(&self.plan(), None)
    }

    fn plan(&self) -> Plan<'_> {
        Plan {
            engine: &self.engine,
            module: &self.module,
            abi: self.abi,
            entry: &self.entry,
            params: &self.params,
            limits: self.limits,
            real: self.real,
        }
    }

    /// The image of a started interpreter; `None` where the system gives no room for one: sandboxes then start their own.
    fn snapshot(&self) -> Option<Snapshot> {
        let nothing: Arc<[u8]> = Arc::from(&br#"{"source":"def process(doc): pass"}"#[..]);
        let limits = Limits { memory_pages: SNAPSHOT_PAGES, stack: SNAPSHOT_STACK, ..self.limits };
        let engine = capped(&self.engine, limits.memory_pages, limits.stack);
        let plan = Plan { engine: &engine, params: &nothing, limits, ..self.plan() };
        let started = Sandbox::started(&plan).ok()?;
        Snapshot::of(&started.memory, &started.store).ok()
    }

    /// Whether it is in a language that an interpreter of ours runs.
    pub(crate) fn interpreted(&self) -> bool {
        self.abi.interpreted()
    }

    /// Puts a sandbox back; a broken one is dropped.
    pub(crate) fn release(&self, sandbox: Sandbox) {
        if sandbox.broken {
            return;
        }
        let mut warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner);
        if warm.len() < WARM {
            warm.push(sandbox);
        }
    }

    /// Fuel for one document: the declared limit, else what this machine can burn within the timeout.
    pub(crate) fn fuel(&self) -> u64 {
        self.limits.fuel.unwrap_or_else(|| {
            let points = points_per_ns() * self.limits.timeout_ns as f64 * 2.0;
            (points as u64).max(10_000)
        })
    }
}

/// A module bound to one stage's parameters and limits.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct Udf {
    #[allow(dead_code, reason = "keeps the compiled module alive as long as its stage")]
    module: Py<Module>,
    pub(crate) inner: Arc<UdfInner>,
    pub(crate) merge: bool,
    /// A new sandbox for every document.
    pub(crate) isolate: bool,
    /// A new sandbox for every batch.
    pub(crate) fresh: bool,
}

impl Udf {
    /// Whether it takes many documents in one call.
    pub(crate) fn batched(&self) -> bool {
        match self.inner.abi {
            Abi::Interpreter(_) => true,
            Abi::Json { many } => many && !self.isolate,
            Abi::Field(_) => false,
        }
    }
}

#[pymethods]
impl Udf {
    /// Sandboxes that wait for the next batch.
    #[getter]
    fn warm(&self) -> usize {
        self.inner.warm.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The limits in force: timeout in ms, memory and output in bytes, fuel in points (or None).
    #[getter]
    fn limits(&self) -> (f64, u64, usize, Option<u64>) {
        let l = &self.inner.limits;
        (l.timeout_ns as f64 / 1e6, u64::from(l.memory_pages) * crate::engine::limits::PAGE, l.output, l.fuel)
    }

    /// Whether its breaker is open, and how often it has opened.
    #[getter]
    fn breaker(&self) -> (bool, u32) {
        self.inner.breaker.state()
    }

    /// Makes one sandbox and keeps it warm, so that a fault in the start code shows before traffic does.
    fn warm_up(&self, py: Python<'_>) -> PyResult<()> {
        let inner = Arc::clone(&self.inner);
        let sandbox = py.detach(|| inner.fresh());
        match sandbox {
            Ok(sandbox) => {
                self.inner.release(sandbox);
                Ok(())
            }
            Err(fault) => Err(ModuleError::new_err(fault.reason.clone())),
        }
    }
}
