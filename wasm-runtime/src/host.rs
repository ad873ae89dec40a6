//! What a UDF can call: the field ABI (module `env`) and a fixed WASI stub set that grants nothing.
//!
//! Every address that a guest passes is checked against its memory; a wrong one is an error of that call (a trap with
//! words), never of the host. Each call charges fuel for the bytes it walks, so that a guest cannot make the host work
//! for free.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmer::{
    AsStoreRef, ExternType, Function, FunctionEnv, FunctionEnvMut, Imports, Memory, Module, RuntimeError, Store,
};

use crate::document::Meta;
use crate::{json, valid};

/// One line that a UDF logged.
pub type LogLine = (i32, String);

/// The document in work, as the host functions see it.
pub struct Host {
    pub memory: Option<Memory>,
    doc: *const [u8],
    meta: *const Meta,
    /// The document as the guest has changed it, if it has.
    pub edited: Option<Vec<u8>>,
    /// The document's context as the guest has changed it, if it has.
    pub ctx: Option<Vec<u8>>,
    /// Whether the document is a hit, whose fields are those of its `_source`.
    hit: bool,
    /// Parameters of the stage: one JSON object.
    pub params: Arc<[u8]>,
    pub fuel: *mut u64,
    pub log: Vec<LogLine>,
    pub log_budget: usize,
    pub random: u64,
    pub clock_ns: u64,
    /// An interpreter sees the time (in whole milliseconds) and true randomness; other guests a count and a fixed seed.
    pub real: bool,
}

// SAFETY: the raw pointers are set for the time of one call by the thread that makes it, and cleared after it.
unsafe impl Send for Host {}

impl Host {
    pub fn new(params: Arc<[u8]>) -> Self {
        Self {
            memory: None,
            doc: std::ptr::slice_from_raw_parts(std::ptr::null(), 0),
            meta: std::ptr::null(),
            edited: None,
            ctx: None,
            hit: false,
            params,
            fuel: std::ptr::null_mut(),
            log: Vec::new(),
            log_budget: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            clock_ns: 1_000_000_000,
            real: false,
        }
    }

    /// Shows `doc` to the guest until [`Host::leave`].
    ///
    /// # Safety
    /// Both must outlive the call of `leave`.
    pub unsafe fn enter(&mut self, doc: &[u8], meta: &Meta, hit: bool, log_budget: usize) {
        self.doc = doc;
        self.meta = meta;
        self.hit = hit;
        self.edited = None;
        self.ctx = None;
        self.log_budget = log_budget;
    }

    /// Ends what `enter` began; gives the document and its context back if the guest changed them.
    pub fn leave(&mut self) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        self.doc = std::ptr::slice_from_raw_parts(std::ptr::null(), 0);
        self.meta = std::ptr::null();
        (self.edited.take(), self.ctx.take())
    }

    fn text(&self) -> &[u8] {
        match &self.edited {
            Some(edited) => edited,
            None if self.doc.is_null() => b"{}",
            // SAFETY: between `enter` and `leave` the document is alive.
            None => unsafe { &*self.doc },
        }
    }

    fn meta(&self) -> Option<&Meta> {
        // SAFETY: as above.
        unsafe { self.meta.as_ref() }
    }

    fn ctx(&self) -> &[u8] {
        self.ctx.as_deref().or_else(|| self.meta().map(Meta::ctx)).unwrap_or(b"{}")
    }

    pub fn charge(&self, bytes: usize) {
        if !self.fuel.is_null() {
            // SAFETY: points at this instance's metering global, alive as long as the instance runs.
            let fuel = unsafe { AtomicU64::from_ptr(self.fuel) };
            let left = fuel.load(Ordering::Relaxed);
            fuel.store(left.saturating_sub(32 + bytes as u64 / 8), Ordering::Relaxed);
        }
    }

    pub fn note(&mut self, level: i32, text: &[u8]) {
        if self.log_budget == 0 {
            return;
        }
        let text = &text[..text.len().min(self.log_budget)];
        self.log_budget -= text.len().max(1).min(self.log_budget);
        self.log.push((level, String::from_utf8_lossy(text).trim_end().to_owned()));
    }
}

pub type Env<'a> = FunctionEnvMut<'a, Host>;

fn outside(ptr: i32, len: usize) -> RuntimeError {
    RuntimeError::new(format!("the UDF passed {len} bytes at address {} that are outside its memory", ptr as u32))
}

/// The guest's memory. Whoever holds a part of it must not write into it, nor let the guest run.
fn memory<'e>(env: &'e Env<'_>, ptr: i32, len: usize) -> Result<&'e [u8], RuntimeError> {
    let memory = env.data().memory.as_ref().ok_or_else(|| outside(ptr, len))?;
    let store = env.as_store_ref();
    let view = memory.view(&store);
    if view.data_size() == 0 {
        return Ok(&[]);
    }
    // SAFETY: the guest is suspended in this call, and its memory is not shared and neither grows nor goes meanwhile.
    Ok(unsafe { std::slice::from_raw_parts(view.data_ptr(), view.data_size() as usize) })
}

/// A part of the guest's memory: see [`memory`].
fn seen<'e>(env: &'e Env<'_>, ptr: i32, len: i32) -> Result<&'e [u8], RuntimeError> {
    let (at, len) = (ptr as u32 as usize, len as u32 as usize);
    let memory = memory(env, ptr, len)?;
    at.checked_add(len).and_then(|end| memory.get(at..end)).ok_or_else(|| outside(ptr, len))
}

pub fn read(env: &Env<'_>, ptr: i32, len: i32) -> Result<Vec<u8>, RuntimeError> {
    seen(env, ptr, len).map(<[u8]>::to_vec)
}

pub fn write(env: &Env<'_>, ptr: i32, bytes: &[u8]) -> Result<(), RuntimeError> {
    let memory = env.data().memory.as_ref().ok_or_else(|| outside(ptr, bytes.len()))?;
    let store = env.as_store_ref();
    let view = memory.view(&store);
    view.write(u64::from(ptr as u32), bytes).map_err(|_| outside(ptr, bytes.len()))
}

/// The text of a field path or a parameter name, in the guest's memory: see [`memory`].
fn name<'e>(env: &'e Env<'_>, ptr: i32, len: i32) -> Result<&'e str, RuntimeError> {
    if !(0..=4096).contains(&len) {
        return Err(RuntimeError::new("the UDF passed a field name longer than 4096 bytes"));
    }
    std::str::from_utf8(seen(env, ptr, len)?)
        .map_err(|_| RuntimeError::new("the UDF passed a field name that is not UTF-8"))
}

/// Writes `text` for the guest; the i32 at `len_ptr` is the capacity on entry and the length on exit.
/// False (nothing written but the needed length) if it does not fit.
fn give_text(env: &Env<'_>, text: &[u8], out: i32, len_ptr: i32) -> Result<bool, RuntimeError> {
    let capacity = seen(env, len_ptr, 4)?.first_chunk().map_or(0, |four| u32::from_le_bytes(*four)) as usize;
    env.data().charge(text.len());
    write(env, len_ptr, &(text.len() as u32).to_le_bytes())?;
    if text.len() > capacity {
        return Ok(false);
    }
    write(env, out, text)?;
    Ok(true)
}

/// Members of a hit that a field path may begin with; any other path is one of the hit's `_source`.
const OF_HIT: [&str; 4] = ["fields", "highlight", "sort", "matched_queries"];

/// The path of a field: that of a hit's document begins in its `_source`.
fn path<'e>(env: &'e Env<'_>, ptr: i32, len: i32) -> Result<Cow<'e, str>, RuntimeError> {
    let path = name(env, ptr, len)?;
    if !env.data().hit {
        return Ok(Cow::Borrowed(path));
    }
    let head = path.split(['.', '[']).next().unwrap_or("");
    let own = head.starts_with('_') || OF_HIT.contains(&head);
    Ok(if own { Cow::Borrowed(path) } else { Cow::Owned(format!("_source.{path}")) })
}

/// The raw value of a field of the document.
fn field<'e>(env: &'e Env<'_>, ptr: i32, len: i32) -> Result<Option<&'e [u8]>, RuntimeError> {
    let path = path(env, ptr, len)?;
    let text = env.data().text();
    env.data().charge(text.len());
    Ok(json::find(text, &path).map(|range| &text[range]))
}

fn as_f64(raw: &[u8]) -> Option<f64> {
    if !matches!(raw.first(), Some(b'-' | b'0'..=b'9')) {
        return None;
    }
    std::str::from_utf8(raw).ok()?.parse().ok()
}

fn as_i64(raw: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(raw).ok()?;
    text.parse().ok().or_else(|| {
        let value = as_f64(raw)?;
        (value.is_finite() && value.abs() < 9.2e18).then_some(value.trunc() as i64)
    })
}

fn as_bool(raw: &[u8]) -> Option<bool> {
    match raw {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

fn has_field(env: Env<'_>, _ctx: i64, ptr: i32, len: i32) -> Result<i32, RuntimeError> {
    Ok(i32::from(field(&env, ptr, len)?.is_some()))
}

fn get_field_string(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let Some(raw) = field(&env, ptr, len)? else { return Ok(0) };
    let Some(text) = json::string(raw) else { return Ok(0) };
    Ok(i32::from(give_text(&env, text.as_bytes(), out, cap)?))
}

fn get_field_i64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let Some(value) = field(&env, ptr, len)?.and_then(as_i64) else { return Ok(0) };
    write(&env, out, &value.to_le_bytes()).map(|()| 1)
}

fn get_field_f64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let Some(value) = field(&env, ptr, len)?.and_then(as_f64) else { return Ok(0) };
    write(&env, out, &value.to_le_bytes()).map(|()| 1)
}

fn get_field_bool(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let Some(value) = field(&env, ptr, len)?.and_then(as_bool) else { return Ok(0) };
    write(&env, out, &i32::from(value).to_le_bytes()).map(|()| 1)
}

fn get_field_int64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32) -> Result<i64, RuntimeError> {
    Ok(field(&env, ptr, len)?.and_then(as_i64).unwrap_or(0))
}

fn get_field_float64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32) -> Result<f64, RuntimeError> {
    Ok(field(&env, ptr, len)?.and_then(as_f64).unwrap_or(0.0))
}

fn get_document_id(env: Env<'_>, _ctx: i64, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let Some(id) = env.data().meta().and_then(|m| m.id.as_deref()) else { return Ok(0) };
    Ok(i32::from(give_text(&env, id.as_bytes(), out, cap)?))
}

fn get_score(env: Env<'_>, _ctx: i64) -> f64 {
    env.data().meta().map_or(0.0, |m| m.score)
}

const OK: i32 = 0;
const ABSENT: i32 = 1;
const WRONG_TYPE: i32 = 2;
const TOO_SMALL: i32 = 3;

/// The raw value of a parameter of the stage.
fn param<'e>(env: &'e Env<'_>, ptr: i32, len: i32) -> Result<Option<&'e [u8]>, RuntimeError> {
    let key = name(env, ptr, len)?;
    let params = &env.data().params;
    env.data().charge(params.len());
    Ok(json::get(params, json::skip_ws(params, 0), key).map(|e| &params[e.value]))
}

fn get_param_string(env: Env<'_>, ptr: i32, len: i32, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let Some(raw) = param(&env, ptr, len)? else { return Ok(ABSENT) };
    let Some(text) = json::string(raw) else { return Ok(WRONG_TYPE) };
    Ok(if give_text(&env, text.as_bytes(), out, cap)? { OK } else { TOO_SMALL })
}

fn get_param_i64(env: Env<'_>, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let Some(raw) = param(&env, ptr, len)? else { return Ok(ABSENT) };
    let Some(value) = as_i64(raw) else { return Ok(WRONG_TYPE) };
    write(&env, out, &value.to_le_bytes()).map(|()| OK)
}

fn get_param_f64(env: Env<'_>, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let Some(raw) = param(&env, ptr, len)? else { return Ok(ABSENT) };
    let Some(value) = as_f64(raw) else { return Ok(WRONG_TYPE) };
    write(&env, out, &value.to_le_bytes()).map(|()| OK)
}

fn get_param_bool(env: Env<'_>, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let Some(raw) = param(&env, ptr, len)? else { return Ok(ABSENT) };
    let Some(value) = as_bool(raw) else { return Ok(WRONG_TYPE) };
    write(&env, out, &i32::from(value).to_le_bytes()).map(|()| OK)
}

fn log_level(mut env: Env<'_>, level: i32, ptr: i32, len: i32) -> Result<(), RuntimeError> {
    let budget = env.data().log_budget as i32;
    let text = read(&env, ptr, len.min(budget.max(0)))?;
    env.data().charge(text.len());
    env.data_mut().note(level, &text);
    Ok(())
}

fn log_plain(env: Env<'_>, ptr: i32, len: i32) -> Result<(), RuntimeError> {
    log_level(env, 2, ptr, len)
}

/// Room that a document gets when a UDF changes it first, for what it adds later.
const ROOM: usize = 128;

/// Replaces the field by the raw JSON `value`: 1 = written, 0 = the path leads through something else.
fn put(env: &mut Env<'_>, ptr: i32, len: i32, value: &[u8]) -> Result<i32, RuntimeError> {
    let path = path(env, ptr, len)?;
    let text = env.data().text();
    env.data().charge(text.len() + value.len());
    let Ok(edit) = json::change(text, &path, value) else { return Ok(0) };
    let host = env.data_mut();
    match &mut host.edited {
        Some(edited) => edit.apply_to(edited),
        None => host.edited = Some(edit.applied_in(host.text(), Vec::new(), ROOM)),
    }
    Ok(1)
}

fn set_field_string(mut env: Env<'_>, _c: i64, p: i32, l: i32, vp: i32, vl: i32) -> Result<i32, RuntimeError> {
    let value = read(&env, vp, vl)?;
    let Ok(text) = std::str::from_utf8(&value) else { return Ok(0) };
    put(&mut env, p, l, &json::quote(text))
}

fn set_field_i64(mut env: Env<'_>, _c: i64, p: i32, l: i32, value: i64) -> Result<i32, RuntimeError> {
    put(&mut env, p, l, value.to_string().as_bytes())
}

fn set_field_f64(mut env: Env<'_>, _c: i64, p: i32, l: i32, value: f64) -> Result<i32, RuntimeError> {
    let Some(number) = serde_json::Number::from_f64(value) else { return Ok(0) };
    put(&mut env, p, l, number.to_string().as_bytes())
}

fn set_field_bool(mut env: Env<'_>, _c: i64, p: i32, l: i32, value: i32) -> Result<i32, RuntimeError> {
    put(&mut env, p, l, if value == 0 { b"false" } else { b"true" })
}

fn set_field_json(mut env: Env<'_>, _c: i64, p: i32, l: i32, vp: i32, vl: i32) -> Result<i32, RuntimeError> {
    let value = read(&env, vp, vl)?;
    if valid::check(&value).is_err() {
        return Ok(0);
    }
    put(&mut env, p, l, &value)
}

fn remove_field(mut env: Env<'_>, _ctx: i64, ptr: i32, len: i32) -> Result<i32, RuntimeError> {
    let path = path(&env, ptr, len)?;
    let text = env.data().text();
    env.data().charge(text.len());
    let Some(edited) = json::remove(text, &path) else { return Ok(0) };
    env.data_mut().edited = Some(edited);
    Ok(1)
}

/// A member of the document's context as JSON text; the same codes as parameters.
fn get_ctx_json(env: Env<'_>, ptr: i32, len: i32, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let key = name(&env, ptr, len)?;
    let ctx = env.data().ctx();
    env.data().charge(ctx.len());
    let Some(entry) = json::get(ctx, json::skip_ws(ctx, 0), key) else { return Ok(ABSENT) };
    Ok(if give_text(&env, &ctx[entry.value], out, cap)? { OK } else { TOO_SMALL })
}

/// Largest context that UDFs may write for one document, in bytes.
pub const MAX_CTX: usize = 64 << 10;

/// Writes a member of the document's context: 1 = written, 0 = not JSON, or the context would grow over its limit.
fn set_ctx_json(mut env: Env<'_>, ptr: i32, len: i32, vp: i32, vl: i32) -> Result<i32, RuntimeError> {
    let key = name(&env, ptr, len)?.to_owned();
    let value = read(&env, vp, vl)?;
    let mut meta = Meta { ctx: Some(env.data().ctx().to_vec()), ..Meta::default() };
    env.data().charge(meta.ctx().len() + value.len());
    if valid::check(&value).is_err() || meta.ctx().len() + value.len() > MAX_CTX {
        return Ok(0);
    }
    meta.put_ctx(&key, value.trim_ascii());
    env.data_mut().ctx = meta.ctx;
    Ok(1)
}

/// AssemblyScript's `abort`.
fn abort(_env: Env<'_>, _message: i32, _file: i32, line: i32, column: i32) -> Result<(), RuntimeError> {
    Err(RuntimeError::new(format!("the UDF called abort at line {line}, column {column}")))
}

/// Imports for `module`: only the functions it names, each checked against the type it declares.
///
/// # Errors
/// The import that we do not have or that has another type, by name.
pub fn link(store: &mut Store, env: &FunctionEnv<Host>, module: &Module) -> Result<Imports, String> {
    let mut imports = Imports::new();
    for import in module.imports() {
        let (space, name) = (import.module(), import.name());
        let ExternType::Function(wanted) = import.ty() else {
            return Err(format!(
                "import [{space}.{name}] is not a function: a UDF must define its own memory and tables"
            ));
        };
        let Some(function) = host_function(store, env, space, name, wanted.params().len()) else {
            return Err(format!("import [{space}.{name}] is not one that Headrace offers (see docs/udf-abi.md)"));
        };
        let ours = function.ty(store);
        if ours != *wanted {
            return Err(format!("import [{space}.{name}] is declared as {wanted}, but it is {ours}"));
        }
        imports.define(space, name, function);
    }
    Ok(imports)
}

fn host_function(
    store: &mut Store,
    env: &FunctionEnv<Host>,
    space: &str,
    name: &str,
    arity: usize,
) -> Option<Function> {
    macro_rules! function {
        ($f:expr) => {
            Function::new_typed_with_env(store, env, $f)
        };
    }
    if space == "env" {
        return Some(match (name, arity) {
            ("has_field", _) => function!(has_field),
            ("get_field_string", _) => function!(get_field_string),
            ("get_field_i64", _) => function!(get_field_i64),
            ("get_field_f64", _) => function!(get_field_f64),
            ("get_field_bool", _) => function!(get_field_bool),
            ("get_field_int64", _) => function!(get_field_int64),
            ("get_field_float64", _) => function!(get_field_float64),
            ("get_document_id", _) => function!(get_document_id),
            ("get_score", _) => function!(get_score),
            ("get_param_string", _) => function!(get_param_string),
            ("get_param_i64", _) => function!(get_param_i64),
            ("get_param_f64", _) => function!(get_param_f64),
            ("get_param_bool", _) => function!(get_param_bool),
            ("log", 2) => function!(log_plain),
            ("log", _) => function!(log_level),
            ("set_field_string", _) => function!(set_field_string),
            ("set_field_i64", _) => function!(set_field_i64),
            ("set_field_f64", _) => function!(set_field_f64),
            ("set_field_bool", _) => function!(set_field_bool),
            ("set_field_json", _) => function!(set_field_json),
            ("remove_field", _) => function!(remove_field),
            ("get_ctx_json", _) => function!(get_ctx_json),
            ("set_ctx_json", _) => function!(set_ctx_json),
            ("abort", _) => function!(abort),
            _ => return None,
        });
    }
    (space == "wasi_snapshot_preview1").then(|| crate::wasi::stub(store, env, name)).flatten()
}
