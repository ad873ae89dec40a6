//! The soft way to end a Python call: an exception raised by the interpreter itself, which stays usable.
//!
//! CPython asks its thread's `eval_breaker` at every function entry and backward jump; with the bit for an asynchronous
//! exception set it raises the one in `async_exc` (Python/ceval_gil.c, `_Py_HandlePending`). The guest says where both lie
//! and which exception is meant (guest.c, `interrupts`); the watchdog writes them from outside. Code that is inside a long C
//! function, or that catches the exception, is ended the hard way a little later.

use std::sync::atomic::{AtomicU32, Ordering};

/// Nanoseconds that a guest has to end by itself, from the soft interrupt to the hard one.
pub(crate) const GRACE_NS: u64 = 5_000_000;

/// Where to write what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interrupt {
    breaker: *mut u32,
    slot: *mut u32,
    exception: u32,
    bit: u32,
}

impl Interrupt {
    /// From the guest's description, four little-endian numbers at `at`: the addresses of the breaker and of the slot, the
    /// exception, the bit. `None` where they do not lie within the memory of `len` bytes at `base`.
    pub(crate) fn new(base: *mut u8, len: usize, at: usize) -> Option<Self> {
        let number = |n: usize| {
            let from = at.checked_add(4 * n).filter(|from| from + 4 <= len)?;
            // SAFETY: within the memory, and the guest is not running.
            Some(u32::from_le(unsafe { base.add(from).cast::<u32>().read_unaligned() }))
        };
        let at = |address: u32| {
            let address = address as usize;
            // SAFETY: within the memory.
            (address.is_multiple_of(4) && address + 4 <= len).then(|| unsafe { base.add(address) }.cast::<u32>())
        };
        Some(Self { breaker: at(number(0)?)?, slot: at(number(1)?)?, exception: number(2)?, bit: number(3)? })
    }

    /// Whether a word that is written from outside lies in a range, or reaches into it.
    pub(crate) fn is_within(&self, from: *const u8, len: usize) -> bool {
        let from = from.addr();
        let reaches = |word: *mut u32| word.addr() < from + len && from < word.addr() + size_of::<u32>();
        reaches(self.breaker) || reaches(self.slot)
    }

    /// Asks the interpreter to raise; `again` when it was asked before and may have lost the bit to a store of its own.
    ///
    /// # Safety
    /// The memory must be alive.
    pub(crate) unsafe fn ask(&self, again: bool) {
        // SAFETY: aligned, within a memory that is alive and never moves; the guest takes the exception with one store.
        let (breaker, slot) = unsafe { (AtomicU32::from_ptr(self.breaker), AtomicU32::from_ptr(self.slot)) };
        if !again {
            slot.store(self.exception, Ordering::Release);
        }
        if slot.load(Ordering::Acquire) != 0 {
            breaker.fetch_or(self.bit, Ordering::AcqRel);
        }
    }

    /// Takes back what the interpreter has not raised.
    ///
    /// # Safety
    /// As [`Self::ask`].
    pub(crate) unsafe fn withdraw(&self) {
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.slot) }.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_with_its_words_are_told_from_others() {
        // The description at 0, the breaker at 32, the slot at 48.
        let mut memory = [0u32; 16];
        memory[..4].copy_from_slice(&[32, 48, 7, 1].map(u32::to_le));
        let base = memory.as_mut_ptr().cast::<u8>();
        let interrupt = Interrupt::new(base, 64, 0).unwrap();
        let within = |from: usize, len| interrupt.is_within(base.wrapping_add(from), len);
        for (from, len) in [(0, 32), (36, 12), (52, 12), (64, 0), (33, 0)] {
            assert_eq!(within(from, len), from == 33, "{from} {len}");
        }
        for (from, len) in [(0, 33), (31, 2), (35, 1), (40, 9), (51, 4), (0, 64), (32, 4)] {
            assert!(within(from, len), "{from} {len}");
        }
    }
}
