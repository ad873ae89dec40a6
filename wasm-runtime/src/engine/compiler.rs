//! Compilation: engine settings, the artefact cache on disk, calibration of fuel, and the signal guard.

use std::fs;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use wasmer::sys::{CompilerConfig, Cranelift, EngineBuilder, Features, NativeEngineExt, Target};
use wasmer::{Engine, Instance, Module, Store, Value, imports};

use crate::engine::clock::now_ns;
use crate::engine::limits::{CappedTunables, GrowWatch};
use crate::engine::metering::{self, REMAINING};
use crate::engine::stop_flag::StopFlag;

/// Part of every artefact's key: another engine, another way of metering or another cost table, another file.
const ENGINE_VERSION: &str = "wasmer-7.4.2-cranelift-2";

/// Largest module accepted, in bytes (docs/reference/udf-abi.md, "Limits").
pub(crate) const MAX_MODULE: usize = 32 << 20;

fn features() -> Features {
    let mut features = Features::new();
    features
        .threads(false)
        .memory64(false)
        .multi_memory(false)
        .exceptions(false)
        .tail_call(false)
        .simd(true)
        .bulk_memory(true)
        .reference_types(true)
        .multi_value(true);
    features
}

/// An engine for exactly one module: the middlewares know the places of its globals.
fn engine(metered: bool) -> Engine {
    let mut config = Cranelift::new();
    config.num_threads(std::num::NonZero::<usize>::MIN);
    if !metered {
        config.push_middleware(Arc::new(StopFlag::default()));
    }
    config.push_middleware(Arc::new(GrowWatch::default()));
    EngineBuilder::new(config).set_features(Some(features())).engine().into()
}

/// The same engine with other ceilings for the memories and stacks that it makes.
pub(crate) fn capped(engine: &Engine, memory_pages: u32, stack: usize) -> Engine {
    let mut engine = engine.clone();
    engine.set_tunables(CappedTunables::new(memory_pages, stack));
    engine
}

/// A compiled module with its engine; `cached` says that it came from disk.
pub(crate) struct Compiled {
    pub(crate) engine: Engine,
    pub(crate) module: Module,
    pub(crate) cached: bool,
}

/// Compiles `wasm`, or loads what an earlier process compiled into `cache`. Not `metered`: with a stop flag only.
///
/// Artefacts are native code, trusted like the program itself: only files that this user wrote (0600) into the local
/// cache are loaded, never anything from the registry.
///
/// # Errors
/// wasmer's words for a module that does not validate or compile.
pub(crate) fn compile(wasm: &[u8], digest: &str, cache: Option<&Path>, metered: bool) -> Result<Compiled, String> {
    let engine = engine(metered);
    let path = cache.map(|dir| artifact_path(dir, digest, metered));
    if let Some(path) = path.as_deref().filter(|p| p.is_file()) {
        // SAFETY: written by `store_artifact` under a key of our own (see above).
        match unsafe { Module::deserialize_from_file(&engine, path) } {
            Ok(module) => return Ok(Compiled { engine, module, cached: true }),
            Err(_) => drop(fs::remove_file(path)),
        }
    }
    let module = if metered {
        // As it came: it must not know of what is added.
        Module::validate(&engine, wasm).map_err(|e| e.to_string())?;
        Module::new(&engine, metering::metered(wasm)?)
    } else {
        Module::new(&engine, wasm)
    };
    let module = module.map_err(|e| e.to_string())?;
    if let Some(path) = path {
        // A full disk costs the next start a compilation, nothing else.
        let _ = store_artifact(&module, &path);
    }
    Ok(Compiled { engine, module, cached: false })
}

fn artifact_path(dir: &Path, digest: &str, metered: bool) -> PathBuf {
    static CPU: OnceLock<String> = OnceLock::new();
    let cpu = CPU.get_or_init(|| {
        use std::hash::{Hash, Hasher};
        let target = Target::default();
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        format!("{:?}", target.cpu_features()).hash(&mut hasher);
        format!("{}-{:016x}", target.triple(), hasher.finish())
    });
    let kind = if metered { "" } else { "-stop" };
    dir.join(format!("{digest}-{ENGINE_VERSION}{kind}-{cpu}.bin"))
}

fn store_artifact(module: &Module, path: &Path) -> std::io::Result<()> {
    let bytes = module.serialize().map_err(std::io::Error::other)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&bytes)?;
    drop(file);
    fs::rename(temporary, path)
}

/// Metering points that this machine runs in a nanosecond, at its best; measured once per process (about 2 ms).
pub(crate) fn points_per_ns() -> f64 {
    static RATE: OnceLock<f64> = OnceLock::new();
    *RATE.get_or_init(|| measure_rate().unwrap_or(2.0).max(0.1))
}

fn measure_rate() -> Option<f64> {
    const LOOP: &str = r#"(module (func (export "spin") (param i32) (local i32)
        (loop (local.set 1 (i32.add (local.get 1) (i32.const 1))) (br_if 0 (i32.lt_u (local.get 1) (local.get 0))))))"#;
    const POINTS: i64 = 1 << 40;
    let engine = engine(true);
    let module = Module::new(&engine, metering::metered(&wat::parse_str(LOOP).ok()?).ok()?).ok()?;
    let mut store = Store::new(engine);
    let instance = Instance::new(&mut store, &module, &imports! {}).ok()?;
    let fuel = instance.exports.get_global(REMAINING).ok()?.clone();
    let spin = instance.exports.get_typed_function::<i32, ()>(&store, "spin").ok()?;
    let mut best = 0f64;
    for _ in 0..3 {
        fuel.set(&mut store, Value::I64(POINTS)).ok()?;
        let start = Instant::now();
        spin.call(&mut store, 200_000).ok()?;
        let ns = start.elapsed().as_nanos() as f64;
        if let Value::I64(left) = fuel.get(&mut store) {
            best = best.max((POINTS - left) as f64 / ns.max(1.0));
        }
    }
    Some(best)
}

/// Makes the allocator keep buffers of a bulk's size instead of giving each back to the system.
///
/// Every body is a few fresh allocations of its own size; by default glibc maps and unmaps each of them, and the page
/// faults cost more than the work on the bytes. What stays with the process is given back by [`release_buffers`].
pub(crate) fn keep_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets parameters of malloc, nothing else.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
        libc::mallopt(libc::M_TOP_PAD, 1 << 20);
        // The end of another arena is not given back by `release_buffers`: fifty megabytes for each thread.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives memory that nobody uses back to the system: milliseconds for each hundred megabytes.
pub(crate) fn release_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

const GUARDED: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGBUS];

/// Puts wasmer's trap handlers back if somebody (faulthandler, say) replaced them since the first store.
///
/// Out-of-bounds accesses of a guest arrive as SIGSEGV. A handler installed over wasmer's would end the process on the
/// first one, so that the actions seen after the first store are compared before each batch. Whoever installs handlers for
/// crashes takes SIGSEGV, so that one is asked each time, and all of them once a millisecond: a system call each.
pub(crate) fn guard_signals() {
    static SAVED: OnceLock<Mutex<[libc::sigaction; 4]>> = OnceLock::new();
    static CHECKED_NS: AtomicU64 = AtomicU64::new(0);
    let read = |signal| {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: a query; writes one struct.
        unsafe {
            libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
            action.assume_init()
        }
    };
    let saved = SAVED.get_or_init(|| {
        let engine = Engine::default();
        drop(Store::new(engine));
        Mutex::new(GUARDED.map(read))
    });
    let saved = saved.lock().unwrap_or_else(PoisonError::into_inner);
    let now = now_ns();
    let recent = now.saturating_sub(CHECKED_NS.load(Ordering::Relaxed)) < 1_000_000;
    let unchanged = read(GUARDED[0]).sa_sigaction == saved[0].sa_sigaction;
    if recent && unchanged {
        return;
    }
    CHECKED_NS.store(now, Ordering::Relaxed);
    for (signal, ours) in GUARDED.into_iter().zip(saved.iter()) {
        if read(signal).sa_sigaction != ours.sa_sigaction {
            // SAFETY: restores an action that was in force in this process.
            unsafe { libc::sigaction(signal, ours, std::ptr::null_mut()) };
        }
    }
}
