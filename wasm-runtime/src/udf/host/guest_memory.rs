//! The guest that calls a host function: its memory, and what it works on, looked up once a call.
//!
//! Every address that a guest passes is checked against its memory; a wrong one is an error of that call (a trap with
//! words), never of the host.

use std::borrow::Cow;

use wasmer::{FunctionEnvMut, RuntimeError};

use super::state::Host;
use crate::json;
use crate::json::bracket_path::dotted;

pub(crate) type Env<'a> = FunctionEnvMut<'a, Host>;

fn outside(ptr: i32, len: usize) -> RuntimeError {
    RuntimeError::new(format!("the UDF passed {len} bytes at address {} that are outside its memory", ptr as u32))
}

/// A guest while it waits for a host function: its memory neither grows nor goes meanwhile.
pub(crate) struct GuestMemory<'e> {
    pub(crate) host: &'e Host,
}

/// The text of a raw JSON value, as bytes; `None` if it is none.
pub(crate) fn text_of(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    match raw {
        [b'"', plain @ .., b'"'] if !plain.contains(&b'\\') => Some(Cow::Borrowed(plain)),
        _ => json::string(raw).map(|text| Cow::Owned(text.into_owned().into_bytes())),
    }
}

/// Members of a hit that a field path may begin with; any other path is one of the hit's `_source`.
const OF_HIT: [&str; 4] = ["fields", "highlight", "sort", "matched_queries"];

impl<'e> GuestMemory<'e> {
    /// The guest behind a call; one without a memory has one of no bytes.
    pub(crate) fn of(env: &'e Env<'_>) -> Self {
        Self { host: env.data() }
    }

    fn pointer(&self, ptr: i32, len: usize) -> Result<*mut u8, RuntimeError> {
        let memory = self.host.memory.ok_or_else(|| outside(ptr, len))?;
        memory.pointer(ptr as u32 as usize, len).ok_or_else(|| outside(ptr, len))
    }

    /// A part of its memory.
    ///
    /// # Errors
    /// For one that is not inside it.
    pub(crate) fn slice(&self, ptr: i32, len: i32) -> Result<&[u8], RuntimeError> {
        let len = len as u32 as usize;
        let from = self.pointer(ptr, len)?;
        // SAFETY: inside the memory, which only `write` changes while the guest waits, and that wants all of `self`.
        Ok(unsafe { std::slice::from_raw_parts(from, len) })
    }

    /// Writes into its memory; `bytes` are the host's.
    ///
    /// # Errors
    /// For a place that is not inside it.
    pub(crate) fn write(&mut self, ptr: i32, bytes: &[u8]) -> Result<(), RuntimeError> {
        let to = self.pointer(ptr, bytes.len())?;
        // SAFETY: inside the memory, which holds none of `bytes`: what is seen of it is borrowed from `self`.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    /// The text of a field path or a parameter name.
    ///
    /// # Errors
    /// As [`Self::slice`], and for what is too long, or no UTF-8.
    pub(crate) fn name(&self, ptr: i32, len: i32) -> Result<&str, RuntimeError> {
        if !(0..=4096).contains(&len) {
            return Err(RuntimeError::new("the UDF passed a field name longer than 4096 bytes"));
        }
        std::str::from_utf8(self.slice(ptr, len)?)
            .map_err(|_| RuntimeError::new("the UDF passed a field name that is not UTF-8"))
    }

    /// Writes `text`; the i32 at `len_ptr` is the capacity on entry and the length on exit.
    /// False (nothing written but the needed length) if it does not fit.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn write_text(&mut self, text: &[u8], out: i32, len_ptr: i32) -> Result<bool, RuntimeError> {
        let capacity = self.slice(len_ptr, 4)?.first_chunk().map_or(0, |four| u32::from_le_bytes(*four)) as usize;
        self.host.charge(text.len());
        self.write(len_ptr, &(text.len() as u32).to_le_bytes())?;
        if text.len() > capacity {
            return Ok(false);
        }
        self.write(out, text)?;
        Ok(true)
    }

    /// The path of a field: that of a hit's document begins in its `_source`.
    ///
    /// # Errors
    /// As [`Self::name`].
    pub(crate) fn path(&self, ptr: i32, len: i32) -> Result<Cow<'_, str>, RuntimeError> {
        let path = dotted(self.name(ptr, len)?);
        if !self.host.hit {
            return Ok(path);
        }
        let head = path.split('.').next().unwrap_or("");
        let own = head.starts_with('_') || OF_HIT.contains(&head);
        Ok(if own { path } else { Cow::Owned(format!("_source.{path}")) })
    }

    /// The raw value of a field of the document.
    ///
    /// # Errors
    /// As [`Self::name`].
    pub(crate) fn field(&self, ptr: i32, len: i32) -> Result<Option<&'e [u8]>, RuntimeError> {
        let path = self.path(ptr, len)?;
        let doc = self.host.view();
        let text = doc.text();
        self.host.charge(text.len());
        Ok(json::find(doc, &path).map(|range| &text[range]))
    }

    /// The raw value of a parameter of the stage.
    ///
    /// # Errors
    /// As [`Self::name`].
    pub(crate) fn param(&self, ptr: i32, len: i32) -> Result<Option<&'e [u8]>, RuntimeError> {
        Ok(self.host.param(self.name(ptr, len)?))
    }
}

/// A copy of a part of the guest's memory.
///
/// # Errors
/// As [`GuestMemory::slice`].
pub(crate) fn read(env: &Env<'_>, ptr: i32, len: i32) -> Result<Vec<u8>, RuntimeError> {
    GuestMemory::of(env).slice(ptr, len).map(<[u8]>::to_vec)
}

/// Writes into the guest's memory.
///
/// # Errors
/// As [`GuestMemory::write`].
pub(crate) fn write(env: &Env<'_>, ptr: i32, bytes: &[u8]) -> Result<(), RuntimeError> {
    GuestMemory::of(env).write(ptr, bytes)
}
