//! What a UDF can call: the field ABI (module `env`) and a fixed WASI stub set that grants nothing.
//!
//! Each call charges fuel for the bytes it walks, so that a guest cannot make the host work for free.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmer::{ExternType, Function, FunctionEnv, Imports, Module, RuntimeError, Store};

use crate::document::Meta;
use crate::guest::{Env, Guest, read, text_of};
use crate::json::Edit;
use crate::linear::Linear;
use crate::number::{Number, Room};
use crate::outline::Outline;
use crate::wasi::Real;
use crate::{json, valid};

/// One line that a UDF logged.
pub type LogLine = (i32, String);

/// What a guest did to the document.
#[derive(Debug)]
pub enum Changed {
    /// One change. Its text is made where the guest asks for it; most guests write one field last of all.
    Once(Edit, OnceCell<Vec<u8>>),
    Text(Vec<u8>),
}

impl Changed {
    /// The new text of `text`.
    pub fn of(&self, text: &[u8]) -> &[u8] {
        match self {
            Self::Once(edit, made) => made.get_or_init(|| edit.applied_in(text, ROOM)),
            Self::Text(text) => text,
        }
    }
}

/// The document in work, as the host functions see it.
pub struct Host {
    pub memory: Option<Linear>,
    doc: *const [u8],
    meta: *const Meta,
    /// What the guest did to the document, if it did.
    changed: Option<Changed>,
    /// The document's context as the guest has changed it, if it has.
    pub ctx: Option<Vec<u8>>,
    /// Whether the document is a hit, whose fields are those of its `_source`.
    pub hit: bool,
    /// Parameters of the stage: one JSON object, and where its members are.
    params: Arc<[u8]>,
    members: Option<Outline>,
    pub fuel: *mut u64,
    pub log: Vec<LogLine>,
    pub log_budget: usize,
    pub random: u64,
    pub clock_ns: u64,
    pub real: Real,
}

// SAFETY: the raw pointers are set for the time of one call by the thread that makes it, and cleared after it.
unsafe impl Send for Host {}

impl Host {
    pub fn new(params: Arc<[u8]>) -> Self {
        Self {
            memory: None,
            doc: std::ptr::slice_from_raw_parts(std::ptr::null(), 0),
            meta: std::ptr::null(),
            changed: None,
            ctx: None,
            hit: false,
            members: Outline::of(&params),
            params,
            fuel: std::ptr::null_mut(),
            log: Vec::new(),
            log_budget: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            clock_ns: 1_000_000_000,
            real: Real::default(),
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
        self.changed = None;
        self.ctx = None;
        self.log_budget = log_budget;
    }

    /// Ends what `enter` began.
    pub fn leave(&mut self) {
        self.doc = std::ptr::slice_from_raw_parts(std::ptr::null(), 0);
        self.meta = std::ptr::null();
    }

    /// Takes what the guest did to the document, and the document's context if it changed that; `None` if it did nothing, as
    /// mostly: what it takes is large.
    #[inline(always)]
    pub fn changes(&mut self) -> Option<(Option<Changed>, Option<Vec<u8>>)> {
        (self.changed.is_some() || self.ctx.is_some()).then(|| (self.changed.take(), self.ctx.take()))
    }

    /// The raw value of a parameter.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        self.charge(self.params.len());
        let found = self.members.as_ref()?.get(&self.params, name)?;
        Some(&self.params[found.value])
    }

    /// The document as the guest sees it now.
    pub fn text(&self) -> &[u8] {
        let came = if self.doc.is_null() {
            b"{}"
        } else {
            // SAFETY: between `enter` and `leave` the document is alive.
            unsafe { &*self.doc }
        };
        self.changed.as_ref().map_or(came, |changed| changed.of(came))
    }

    /// Changes the document as the guest sees it now: `edit` is of [`Self::text`].
    fn change(&mut self, edit: Edit) {
        let before = match self.changed.take() {
            Some(Changed::Text(text)) => Some(text),
            Some(Changed::Once(_, made)) => made.into_inner(),
            None => None,
        };
        self.changed = Some(match before {
            Some(mut text) => {
                edit.apply_to(&mut text, 0);
                Changed::Text(text)
            }
            None => Changed::Once(edit, OnceCell::new()),
        });
    }

    /// Whether a document is in work: not while a sandbox starts, nor in a call that many share.
    fn in_work(&self) -> bool {
        !self.doc.is_null()
    }

    pub fn meta(&self) -> Option<&Meta> {
        // SAFETY: as above.
        unsafe { self.meta.as_ref() }
    }

    pub fn ctx(&self) -> &[u8] {
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
    Ok(i32::from(Guest::of(&env).field(ptr, len)?.is_some()))
}

fn get_field_string(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let mut guest = Guest::of(&env);
    let Some(text) = guest.field(ptr, len)?.and_then(text_of) else { return Ok(0) };
    Ok(i32::from(guest.give_text(&text, out, cap)?))
}

fn get_field_i64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = Guest::of(&env);
    let Some(value) = guest.field(ptr, len)?.and_then(as_i64) else { return Ok(0) };
    guest.write(out, &value.to_le_bytes()).map(|()| 1)
}

fn get_field_f64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = Guest::of(&env);
    let Some(value) = guest.field(ptr, len)?.and_then(as_f64) else { return Ok(0) };
    guest.write(out, &value.to_le_bytes()).map(|()| 1)
}

fn get_field_bool(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = Guest::of(&env);
    let Some(value) = guest.field(ptr, len)?.and_then(as_bool) else { return Ok(0) };
    guest.write(out, &i32::from(value).to_le_bytes()).map(|()| 1)
}

fn get_field_int64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32) -> Result<i64, RuntimeError> {
    Ok(Guest::of(&env).field(ptr, len)?.and_then(as_i64).unwrap_or(0))
}

fn get_field_float64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32) -> Result<f64, RuntimeError> {
    Ok(Guest::of(&env).field(ptr, len)?.and_then(as_f64).unwrap_or(0.0))
}

fn get_document_id(env: Env<'_>, _ctx: i64, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let mut guest = Guest::of(&env);
    let Some(id) = guest.host.meta().and_then(|m| m.id.as_deref()) else { return Ok(0) };
    Ok(i32::from(guest.give_text(id.as_bytes(), out, cap)?))
}

fn get_score(env: Env<'_>, _ctx: i64) -> f64 {
    env.data().meta().map_or(0.0, |m| m.score)
}

const OK: i32 = 0;
const ABSENT: i32 = 1;
const WRONG_TYPE: i32 = 2;
const TOO_SMALL: i32 = 3;

fn get_param_string(env: Env<'_>, ptr: i32, len: i32, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let mut guest = Guest::of(&env);
    let Some(raw) = guest.param(ptr, len)? else { return Ok(ABSENT) };
    let Some(text) = text_of(raw) else { return Ok(WRONG_TYPE) };
    Ok(if guest.give_text(&text, out, cap)? { OK } else { TOO_SMALL })
}

fn get_param_i64(env: Env<'_>, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = Guest::of(&env);
    let Some(raw) = guest.param(ptr, len)? else { return Ok(ABSENT) };
    let Some(value) = as_i64(raw) else { return Ok(WRONG_TYPE) };
    guest.write(out, &value.to_le_bytes()).map(|()| OK)
}

fn get_param_f64(env: Env<'_>, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = Guest::of(&env);
    let Some(raw) = guest.param(ptr, len)? else { return Ok(ABSENT) };
    let Some(value) = as_f64(raw) else { return Ok(WRONG_TYPE) };
    guest.write(out, &value.to_le_bytes()).map(|()| OK)
}

fn get_param_bool(env: Env<'_>, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = Guest::of(&env);
    let Some(raw) = guest.param(ptr, len)? else { return Ok(ABSENT) };
    let Some(value) = as_bool(raw) else { return Ok(WRONG_TYPE) };
    guest.write(out, &i32::from(value).to_le_bytes()).map(|()| OK)
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

/// Replaces the field by the raw JSON `value`: 1 = written, 0 = the path leads through something else, or no document is in work.
fn put(env: &mut Env<'_>, ptr: i32, len: i32, value: &[u8]) -> Result<i32, RuntimeError> {
    let guest = Guest::of(env);
    let path = guest.path(ptr, len)?;
    let text = guest.host.text();
    guest.host.charge(text.len() + value.len());
    if !guest.host.in_work() {
        return Ok(0);
    }
    let Ok(edit) = json::change(text, &path, value) else { return Ok(0) };
    env.data_mut().change(edit);
    Ok(1)
}

fn set_field_string(mut env: Env<'_>, _c: i64, p: i32, l: i32, vp: i32, vl: i32) -> Result<i32, RuntimeError> {
    let value = read(&env, vp, vl)?;
    let Ok(text) = std::str::from_utf8(&value) else { return Ok(0) };
    put(&mut env, p, l, &json::quote(text))
}

fn set_field_i64(mut env: Env<'_>, _c: i64, p: i32, l: i32, value: i64) -> Result<i32, RuntimeError> {
    put(&mut env, p, l, Number::Integer(value).text(&mut Room::default()))
}

fn set_field_f64(mut env: Env<'_>, _c: i64, p: i32, l: i32, value: f64) -> Result<i32, RuntimeError> {
    let Some(number) = Number::real(value) else { return Ok(0) };
    put(&mut env, p, l, number.text(&mut Room::default()))
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
    let guest = Guest::of(&env);
    let text = guest.host.text();
    guest.host.charge(text.len());
    let Some(less) = json::remove(text, &guest.path(ptr, len)?) else { return Ok(0) };
    env.data_mut().changed = Some(Changed::Text(less));
    Ok(1)
}

/// A member of the document's context as JSON text; the same codes as parameters.
fn get_ctx_json(env: Env<'_>, ptr: i32, len: i32, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let mut guest = Guest::of(&env);
    let ctx = guest.host.ctx();
    guest.host.charge(ctx.len());
    let Some(entry) = json::get(ctx, json::skip_ws(ctx, 0), guest.name(ptr, len)?) else { return Ok(ABSENT) };
    Ok(if guest.give_text(&ctx[entry.value], out, cap)? { OK } else { TOO_SMALL })
}

/// Largest context that UDFs may write for one document, in bytes.
pub const MAX_CTX: usize = 64 << 10;

/// Writes a member of the document's context: 1 = written, 0 = not JSON, the context would grow over its limit, or no document
/// is in work.
fn set_ctx_json(mut env: Env<'_>, ptr: i32, len: i32, vp: i32, vl: i32) -> Result<i32, RuntimeError> {
    let key = Guest::of(&env).name(ptr, len)?.to_owned();
    let value = read(&env, vp, vl)?;
    let mut meta = Meta { ctx: Some(env.data().ctx().to_vec()), ..Meta::default() };
    env.data().charge(meta.ctx().len() + value.len());
    if !env.data().in_work() || valid::check(&value).is_err() || meta.ctx().len() + value.len() > MAX_CTX {
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
            return Err(format!(
                "import [{space}.{name}] is not one that Headrace offers (see docs/reference/udf-abi.md)"
            ));
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
