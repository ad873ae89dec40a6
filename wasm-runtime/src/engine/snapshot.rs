//! A started interpreter as a file in memory: new sandboxes map it, copy on write, instead of starting their own.
//!
//! Between calls a guest's state is its linear memory alone: its one mutable global, the stack pointer, is back where it
//! began, and its table never changes. So a new instance of the same module without its data segments, with the image
//! mapped over its memory, is a started interpreter. Memories of wasmer reserve their whole address space and never move.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

use wasmer::{Memory, Pages, Store};

use crate::engine::limits::PAGE;

const BLOCK: usize = 4096;
const DATA: u8 = 11;
const DATA_COUNT: u8 = 12;

/// The image of a memory.
pub(crate) struct Snapshot {
    file: File,
    len: usize,
}

impl Snapshot {
    /// The memory as it is now; pages of zeros take no room.
    ///
    /// # Errors
    /// An error of the system, which may have no memory left.
    pub(crate) fn of(memory: &Memory, store: &Store) -> io::Result<Self> {
        // SAFETY: a name and flags; the descriptor is owned below.
        let descriptor = unsafe { libc::memfd_create(c"headrace-guest".as_ptr(), libc::MFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else's.
        let file = unsafe { File::from_raw_fd(descriptor) };
        let view = memory.view(store);
        // SAFETY: the guest is not running and its memory is not shared.
        let data = unsafe { view.data_unchecked() };
        file.set_len(data.len() as u64)?;
        for (n, block) in data.chunks(BLOCK).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                file.write_all_at(block, (n * BLOCK) as u64)?;
            }
        }
        Ok(Self { file, len: data.len() })
    }

    /// Maps the image over `memory`, which grows to its size.
    ///
    /// # Errors
    /// When the memory may not grow so far, or the system refuses.
    pub(crate) fn lay_over(&self, memory: &Memory, store: &mut Store) -> Result<(), String> {
        let have = memory.view(&*store).data_size();
        let missing = (self.len as u64).saturating_sub(have).div_ceil(PAGE);
        if missing > 0 {
            let pages = Pages(u32::try_from(missing).map_err(|e| e.to_string())?);
            memory
                .grow(store, pages)
                .map_err(|_| format!("the interpreter needs at least {} MiB of memory", self.len >> 20))?;
        }
        let base = memory.view(&*store).data_ptr();
        // SAFETY: the range is this memory's own, readable and writable up to its size; a private mapping in its place holds
        // bytes like any others. wasmer unmaps the whole reservation when the store goes.
        let at = unsafe {
            libc::mmap(
                base.cast(),
                self.len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_FIXED,
                self.file.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error().to_string()) } else { Ok(()) }
    }
}

/// The module without its data segments; `None` if it cannot be read.
pub(crate) fn without_data(wasm: &[u8]) -> Option<Vec<u8>> {
    let mut out = wasm.get(..8)?.to_vec();
    let mut at = 8;
    while at < wasm.len() {
        let (size, body) = leb(wasm, at + 1)?;
        let end = body.checked_add(size)?;
        let section = wasm.get(at..end)?;
        if !matches!(section[0], DATA | DATA_COUNT) {
            out.extend_from_slice(section);
        }
        at = end;
    }
    Some(out)
}

/// An unsigned LEB128 number, and where it ends.
fn leb(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let (mut value, mut shift) = (0usize, 0);
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
}
