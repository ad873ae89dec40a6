//! The host functions of the field ABI (module `env`).

use wasmer::{Function, FunctionEnv, RuntimeError, Store};

use super::guest_memory::{Env, GuestMemory, read, text_of};
use super::state::{DocumentEdits, Host};
use crate::document::Meta;
use crate::json;
use crate::json::validate;
use crate::udf::numbers::{Number, Room};

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
    Ok(i32::from(GuestMemory::of(&env).field(ptr, len)?.is_some()))
}

fn get_field_string(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let mut guest = GuestMemory::of(&env);
    let Some(text) = guest.field(ptr, len)?.and_then(text_of) else { return Ok(0) };
    Ok(i32::from(guest.write_text(&text, out, cap)?))
}

fn get_field_i64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = GuestMemory::of(&env);
    let Some(value) = guest.field(ptr, len)?.and_then(as_i64) else { return Ok(0) };
    guest.write(out, &value.to_le_bytes()).map(|()| 1)
}

fn get_field_f64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = GuestMemory::of(&env);
    let Some(value) = guest.field(ptr, len)?.and_then(as_f64) else { return Ok(0) };
    guest.write(out, &value.to_le_bytes()).map(|()| 1)
}

fn get_field_bool(env: Env<'_>, _ctx: i64, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = GuestMemory::of(&env);
    let Some(value) = guest.field(ptr, len)?.and_then(as_bool) else { return Ok(0) };
    guest.write(out, &i32::from(value).to_le_bytes()).map(|()| 1)
}

fn get_field_int64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32) -> Result<i64, RuntimeError> {
    Ok(GuestMemory::of(&env).field(ptr, len)?.and_then(as_i64).unwrap_or(0))
}

fn get_field_float64(env: Env<'_>, _ctx: i64, ptr: i32, len: i32) -> Result<f64, RuntimeError> {
    Ok(GuestMemory::of(&env).field(ptr, len)?.and_then(as_f64).unwrap_or(0.0))
}

fn get_document_id(env: Env<'_>, _ctx: i64, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let mut guest = GuestMemory::of(&env);
    let Some(id) = guest.host.meta().and_then(|m| m.id.as_deref()) else { return Ok(0) };
    Ok(i32::from(guest.write_text(id.as_bytes(), out, cap)?))
}

fn get_score(env: Env<'_>, _ctx: i64) -> f64 {
    env.data().meta().map_or(0.0, |m| m.score)
}

const OK: i32 = 0;
const ABSENT: i32 = 1;
const WRONG_TYPE: i32 = 2;
const TOO_SMALL: i32 = 3;

fn get_param_string(env: Env<'_>, ptr: i32, len: i32, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let mut guest = GuestMemory::of(&env);
    let Some(raw) = guest.param(ptr, len)? else { return Ok(ABSENT) };
    let Some(text) = text_of(raw) else { return Ok(WRONG_TYPE) };
    Ok(if guest.write_text(&text, out, cap)? { OK } else { TOO_SMALL })
}

fn get_param_i64(env: Env<'_>, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = GuestMemory::of(&env);
    let Some(raw) = guest.param(ptr, len)? else { return Ok(ABSENT) };
    let Some(value) = as_i64(raw) else { return Ok(WRONG_TYPE) };
    guest.write(out, &value.to_le_bytes()).map(|()| OK)
}

fn get_param_f64(env: Env<'_>, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = GuestMemory::of(&env);
    let Some(raw) = guest.param(ptr, len)? else { return Ok(ABSENT) };
    let Some(value) = as_f64(raw) else { return Ok(WRONG_TYPE) };
    guest.write(out, &value.to_le_bytes()).map(|()| OK)
}

fn get_param_bool(env: Env<'_>, ptr: i32, len: i32, out: i32) -> Result<i32, RuntimeError> {
    let mut guest = GuestMemory::of(&env);
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

/// Replaces the field by the raw JSON `value`: 1 = written, 0 = the path leads through something else, or no document is in work.
fn set_field(env: &mut Env<'_>, ptr: i32, len: i32, value: &[u8]) -> Result<i32, RuntimeError> {
    let guest = GuestMemory::of(env);
    let path = guest.path(ptr, len)?;
    let text = guest.host.text();
    guest.host.charge(text.len() + value.len());
    if !guest.host.in_work() {
        return Ok(0);
    }
    let Ok(edit) = json::change(guest.host.view(), &path, value) else { return Ok(0) };
    env.data_mut().change(edit);
    Ok(1)
}

fn set_field_string(mut env: Env<'_>, _c: i64, p: i32, l: i32, vp: i32, vl: i32) -> Result<i32, RuntimeError> {
    let value = read(&env, vp, vl)?;
    let Ok(text) = std::str::from_utf8(&value) else { return Ok(0) };
    set_field(&mut env, p, l, &json::quote(text))
}

fn set_field_i64(mut env: Env<'_>, _c: i64, p: i32, l: i32, value: i64) -> Result<i32, RuntimeError> {
    set_field(&mut env, p, l, Number::Integer(value).text(&mut Room::default()))
}

fn set_field_f64(mut env: Env<'_>, _c: i64, p: i32, l: i32, value: f64) -> Result<i32, RuntimeError> {
    let Some(number) = Number::real(value) else { return Ok(0) };
    set_field(&mut env, p, l, number.text(&mut Room::default()))
}

fn set_field_bool(mut env: Env<'_>, _c: i64, p: i32, l: i32, value: i32) -> Result<i32, RuntimeError> {
    set_field(&mut env, p, l, if value == 0 { b"false" } else { b"true" })
}

fn set_field_json(mut env: Env<'_>, _c: i64, p: i32, l: i32, vp: i32, vl: i32) -> Result<i32, RuntimeError> {
    let value = read(&env, vp, vl)?;
    if validate::check(&value).is_err() {
        return Ok(0);
    }
    set_field(&mut env, p, l, &value)
}

fn remove_field(mut env: Env<'_>, _ctx: i64, ptr: i32, len: i32) -> Result<i32, RuntimeError> {
    let guest = GuestMemory::of(&env);
    let text = guest.host.text();
    guest.host.charge(text.len());
    let Some(less) = json::remove(guest.host.view(), &guest.path(ptr, len)?) else { return Ok(0) };
    env.data_mut().changed = Some(DocumentEdits::Text(less));
    Ok(1)
}

/// A member of the document's context as JSON text; the same codes as parameters.
fn get_ctx_json(env: Env<'_>, ptr: i32, len: i32, out: i32, cap: i32) -> Result<i32, RuntimeError> {
    let mut guest = GuestMemory::of(&env);
    let ctx = guest.host.ctx();
    guest.host.charge(ctx.len());
    let Some(entry) = json::get(ctx, json::skip_ws(ctx, 0), guest.name(ptr, len)?) else { return Ok(ABSENT) };
    Ok(if guest.write_text(&ctx[entry.value], out, cap)? { OK } else { TOO_SMALL })
}

/// Largest context that UDFs may write for one document, in bytes.
pub(crate) const MAX_CTX: usize = 64 << 10;

/// Writes a member of the document's context: 1 = written, 0 = not JSON, the context would grow over its limit, or no document
/// is in work.
fn set_ctx_json(mut env: Env<'_>, ptr: i32, len: i32, vp: i32, vl: i32) -> Result<i32, RuntimeError> {
    let key = GuestMemory::of(&env).name(ptr, len)?.to_owned();
    let value = read(&env, vp, vl)?;
    let mut meta = Meta { ctx: Some(env.data().ctx().to_vec()), ..Meta::default() };
    env.data().charge(meta.ctx().len() + value.len());
    if !env.data().in_work() || validate::check(&value).is_err() || meta.ctx().len() + value.len() > MAX_CTX {
        return Ok(0);
    }
    meta.set_ctx_member(&key, value.trim_ascii());
    env.data_mut().ctx = meta.ctx;
    Ok(1)
}

/// AssemblyScript's `abort`.
fn abort(_env: Env<'_>, _message: i32, _file: i32, line: i32, column: i32) -> Result<(), RuntimeError> {
    Err(RuntimeError::new(format!("the UDF called abort at line {line}, column {column}")))
}

/// The function of the field ABI that has this name and number of parameters.
pub(super) fn function(store: &mut Store, env: &FunctionEnv<Host>, name: &str, arity: usize) -> Option<Function> {
    macro_rules! function {
        ($f:expr) => {
            Function::new_typed_with_env(store, env, $f)
        };
    }
    Some(match (name, arity) {
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
    })
}
