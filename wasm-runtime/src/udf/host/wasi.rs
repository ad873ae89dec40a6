//! The part of WASI (preview 1) that toolchains insist on: no files, no environment, output to the log.
//!
//! Everything that would reach outside says "bad file descriptor"; a guest that needs it fails by its own means.

use wasmer::{Function, FunctionEnv, RuntimeError, Store};

use super::guest_memory::{Env, read, write};
use super::state::Host;
use crate::engine::fixed;

const BADF: i32 = 8;
const NOSYS: i32 = 52;

fn fd_write(mut env: Env<'_>, fd: i32, iovs: i32, count: i32, written: i32) -> Result<i32, RuntimeError> {
    if fd != 1 && fd != 2 {
        return Ok(BADF);
    }
    let mut text = Vec::new();
    let mut total = 0u32;
    for i in 0..count.clamp(0, 64) {
        let iov = read(&env, iovs.wrapping_add(i * 8), 8)?;
        let ptr = i32::from_le_bytes([iov[0], iov[1], iov[2], iov[3]]);
        let len = i32::from_le_bytes([iov[4], iov[5], iov[6], iov[7]]);
        total = total.wrapping_add(len as u32);
        let room = env.data().log_budget.saturating_sub(text.len());
        text.extend(read(&env, ptr, len.clamp(0, room as i32))?);
    }
    env.data().charge(text.len());
    env.data_mut().note(if fd == 1 { 2 } else { 3 }, &text);
    write(&env, written, &total.to_le_bytes()).map(|()| 0)
}

/// The time, or a clock that counts calls in milliseconds: never 0 (Go refuses that).
fn clock_time_get(mut env: Env<'_>, id: i32, _precision: i64, out: i32) -> Result<i32, RuntimeError> {
    let fixed = fixed::time_ms().is_some();
    if env.data().real.clock && (id == 0 || !fixed) {
        let now = if id == 0 { fixed::now_ms().max(0) as u64 } else { crate::engine::clock::now_ns() / 1_000_000 + 1 };
        return write(&env, out, &(now * 1_000_000).to_le_bytes()).map(|()| 0);
    }
    env.data_mut().clock_ns += 1_000_000;
    let now = env.data().clock_ns;
    write(&env, out, &now.to_le_bytes()).map(|()| 0)
}

/// Numbers of the system, or from a fixed seed (splitmix64, Steele et al. 2014): the same UDF gives the same answers everywhere.
fn random_get(mut env: Env<'_>, ptr: i32, len: i32) -> Result<i32, RuntimeError> {
    let len = len as u32 as usize;
    if len > 1 << 16 {
        return Ok(NOSYS);
    }
    let mut bytes = Vec::with_capacity(len + 8);
    if env.data().real.random && fixed::seed().is_none() {
        bytes.resize(len, 0);
        // SAFETY: writes `len` bytes into a buffer of that size.
        if unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), len, 0) } != len as isize {
            return Ok(NOSYS);
        }
    }
    while bytes.len() < len {
        let host = env.data_mut();
        host.random = host.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = host.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend((z ^ (z >> 31)).to_le_bytes());
    }
    write(&env, ptr, &bytes[..len]).map(|()| 0)
}

fn clock_res_get(env: Env<'_>, _id: i32, out: i32) -> Result<i32, RuntimeError> {
    write(&env, out, &1_000_000u64.to_le_bytes()).map(|()| 0)
}

fn sizes_get(env: Env<'_>, count: i32, size: i32) -> Result<i32, RuntimeError> {
    write(&env, count, &[0; 4])?;
    write(&env, size, &[0; 4]).map(|()| 0)
}

fn proc_exit(_env: Env<'_>, code: i32) -> Result<(), RuntimeError> {
    Err(RuntimeError::new(format!("the UDF called exit({code})")))
}

/// The function of this name, if there is one.
pub(crate) fn stub(store: &mut Store, env: &FunctionEnv<Host>, name: &str) -> Option<Function> {
    macro_rules! function {
        ($f:expr) => {
            Function::new_typed_with_env(store, env, $f)
        };
    }
    Some(match name {
        "fd_write" => function!(fd_write),
        "clock_time_get" => function!(clock_time_get),
        "random_get" => function!(random_get),
        "args_sizes_get" | "environ_sizes_get" => function!(sizes_get),
        "args_get" | "environ_get" => function!(|_e: Env<'_>, _a: i32, _b: i32| 0i32),
        "proc_exit" => function!(proc_exit),
        "sched_yield" => function!(|_e: Env<'_>| 0i32),
        "fd_close" => function!(|_e: Env<'_>, _fd: i32| BADF),
        "fd_prestat_get" | "fd_fdstat_get" | "fd_fdstat_set_flags" => {
            function!(|_e: Env<'_>, _fd: i32, _out: i32| BADF)
        }
        "fd_prestat_dir_name" => function!(|_e: Env<'_>, _fd: i32, _p: i32, _l: i32| BADF),
        "fd_seek" => function!(|_e: Env<'_>, _fd: i32, _o: i64, _w: i32, _out: i32| BADF),
        "fd_read" => function!(|_e: Env<'_>, _fd: i32, _i: i32, _n: i32, _out: i32| BADF),
        "clock_res_get" => function!(clock_res_get),
        "fd_advise" => function!(|_e: Env<'_>, _fd: i32, _a: i64, _b: i64, _c: i32| BADF),
        "fd_datasync" | "fd_sync" => function!(|_e: Env<'_>, _fd: i32| BADF),
        "fd_filestat_get" | "fd_tell" => function!(|_e: Env<'_>, _fd: i32, _out: i32| BADF),
        "fd_filestat_set_size" => function!(|_e: Env<'_>, _fd: i32, _size: i64| BADF),
        "fd_filestat_set_times" => function!(|_e: Env<'_>, _fd: i32, _a: i64, _m: i64, _f: i32| BADF),
        "fd_pread" | "fd_pwrite" | "fd_readdir" => {
            function!(|_e: Env<'_>, _fd: i32, _i: i32, _n: i32, _at: i64, _out: i32| BADF)
        }
        "path_create_directory" | "path_remove_directory" | "path_unlink_file" => {
            function!(|_e: Env<'_>, _fd: i32, _p: i32, _l: i32| BADF)
        }
        "path_filestat_get" | "path_symlink" => {
            function!(|_e: Env<'_>, _fd: i32, _f: i32, _p: i32, _l: i32, _out: i32| BADF)
        }
        "path_filestat_set_times" => {
            function!(|_e: Env<'_>, _fd: i32, _f: i32, _p: i32, _l: i32, _a: i64, _m: i64, _s: i32| BADF)
        }
        "path_link" => {
            function!(|_e: Env<'_>, _fd: i32, _f: i32, _p: i32, _l: i32, _g: i32, _q: i32, _m: i32| BADF)
        }
        "path_open" => {
            function!(|_e: Env<'_>, _d: i32, _f: i32, _p: i32, _l: i32, _o: i32, _b: i64, _i: i64, _g: i32, _r: i32| {
                BADF
            })
        }
        "path_readlink" | "path_rename" => {
            function!(|_e: Env<'_>, _d: i32, _p: i32, _l: i32, _f: i32, _b: i32, _n: i32| BADF)
        }
        "poll_oneoff" => function!(|_e: Env<'_>, _in: i32, _out: i32, _n: i32, _ev: i32| NOSYS),
        _ => return None,
    })
}
