//! The linear memory of a guest, by where the engine keeps its place and size: a view through the store costs as much as a
//! copy of a small document.

use std::cell::Cell;
use std::ptr::NonNull;

use wasmer::sys::vm::VMMemoryDefinition;

use crate::engine::interrupt::Interrupt;

/// The memory of an instance.
#[derive(Clone, Copy)]
pub(crate) struct Linear {
    at: NonNull<VMMemoryDefinition>,
    /// What the watchdog writes at any time, so that nobody else may look at it.
    interrupt: Option<Interrupt>,
}

// SAFETY: it is looked at by who has the instance only, and by host functions while that waits for them.
unsafe impl Send for Linear {}

thread_local! {
    static CREATED: Cell<Option<NonNull<VMMemoryDefinition>>> = const { Cell::new(None) };
}

/// Forgets what was made before: to be called before an instance is made.
pub(crate) fn forget() {
    CREATED.set(None);
}

/// Notes where the memory of an instance is that this thread is making.
pub(crate) fn note(at: NonNull<VMMemoryDefinition>) {
    CREATED.set(Some(at));
}

impl Linear {
    /// That of the instance which this thread has made last, once; `None` where it has none of its own.
    ///
    /// # Safety
    /// It must not be used when that is gone, nor while the guest runs.
    pub(crate) unsafe fn last_created() -> Option<Self> {
        CREATED.take().map(|at| Self { at, interrupt: None })
    }

    /// The same memory without the words of an interrupt.
    pub(crate) fn without(self, interrupt: Option<Interrupt>) -> Self {
        Self { interrupt, ..self }
    }

    /// Where it begins, and its bytes as of now.
    #[inline(always)]
    pub(crate) fn whole(self) -> (*mut u8, usize) {
        // SAFETY: alive, and not changed meanwhile, as whoever made it has promised.
        let definition = unsafe { self.at.as_ref() };
        (definition.base, definition.current_length)
    }

    /// Where so many bytes at `at` are, if it has them; a range with words of the interrupt counts as one that it has not.
    #[inline(always)]
    pub(crate) fn pointer(self, at: usize, len: usize) -> Option<*mut u8> {
        let (base, size) = self.whole();
        let inside = at.checked_add(len).is_some_and(|end| end <= size);
        // SAFETY: inside the memory, or right behind it.
        let pointer = inside.then(|| unsafe { base.add(at) })?;
        let free = self.interrupt.is_none_or(|interrupt| !interrupt.is_within(pointer, len));
        free.then_some(pointer)
    }
}
