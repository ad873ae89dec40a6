//! When a request's work has to end.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::engine::clock::{self, now_ns};
use crate::error::Fault;

/// When a request's work has to end, and whether it was cancelled; shared by all its stages.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct Deadline {
    pub(crate) inner: Arc<clock::Deadline>,
}

#[pymethods]
impl Deadline {
    /// `seconds` from now; `None` for no deadline.
    #[new]
    #[pyo3(signature = (seconds=None))]
    pub(crate) fn new(seconds: Option<f64>) -> Self {
        let at_ns = seconds.map_or(u64::MAX, |s| now_ns().saturating_add((s.max(0.0) * 1e9) as u64));
        Self { inner: Arc::new(clock::Deadline { at_ns, cancelled: AtomicBool::new(false) }) }
    }

    /// Ends the work in progress, also a guest in an endless loop.
    fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether `cancel` was called.
    #[getter]
    fn cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Relaxed)
    }

    /// Seconds left (0 when over); `None` without a deadline.
    fn remaining(&self) -> Option<f64> {
        (self.inner.at_ns != u64::MAX).then(|| self.inner.at_ns.saturating_sub(now_ns()) as f64 / 1e9)
    }

    /// Waits `seconds`, at most until the deadline or a cancellation; false if one of them came.
    fn sleep(&self, py: Python<'_>, seconds: f64) -> bool {
        let until = now_ns().saturating_add((seconds.max(0.0) * 1e9) as u64);
        py.detach(|| {
            while !self.inner.is_over() {
                let left = until.min(self.inner.at_ns).saturating_sub(now_ns());
                if left == 0 {
                    return !self.inner.is_over();
                }
                std::thread::sleep(std::time::Duration::from_nanos(left.min(5_000_000)));
            }
            false
        })
    }

    /// Whether the time is over or the work was cancelled.
    #[getter]
    fn over(&self) -> bool {
        self.inner.is_over()
    }
}

/// When the built-in or condition at work on this thread has to end.
#[derive(Clone)]
pub(crate) struct Bound {
    deadline: Arc<clock::Deadline>,
    /// End of the stage in nanoseconds, by `now_ns`.
    end: u64,
}

impl Bound {
    pub(crate) fn is_over(&self) -> bool {
        self.deadline.is_over_by(self.end)
    }

    /// Nanoseconds until then.
    pub(crate) fn left(&self) -> u64 {
        self.deadline.at_ns.min(self.end).saturating_sub(now_ns())
    }

    /// Runs `work` with this bound.
    pub(crate) fn hold<T>(self, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Bound>);
        impl Drop for Restore {
            fn drop(&mut self) {
                BOUND.with(|b| *b.borrow_mut() = self.0.take());
            }
        }
        let _restore = Restore(BOUND.with(|b| b.replace(Some(self))));
        work()
    }
}

thread_local! {
    static BOUND: RefCell<Option<Bound>> = const { RefCell::new(None) };
    /// Calls of [`glance`] before the next look at the clock.
    /// Whether the work on this thread is in [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static GLANCES: Cell<u32> = const { Cell::new(0) };
}

/// Number of calls of [`glance`] for one look at the clock: a look costs more than a short step.
const GLANCED: u32 = 256;

/// Runs `work` with a deadline that [`tick`] asks; `end` is the stage's own, by `now_ns`.
pub(crate) fn within<T>(deadline: &Arc<clock::Deadline>, end: u64, work: impl FnOnce() -> T) -> T {
    Bound { deadline: Arc::clone(deadline), end }.hold(work)
}

/// The bound of the work on this thread, if it has one.
pub(crate) fn bound() -> Option<Bound> {
    BOUND.with(|b| b.borrow().clone())
}

fn is_over() -> bool {
    BOUND.with(|b| b.borrow().as_ref().is_some_and(Bound::is_over))
}

/// To be asked in every loop of our own code whose length a document decides.
///
/// # Errors
/// When the time of the stage or pipeline is over, or the request was cancelled.
pub(crate) fn tick() -> Result<(), Fault> {
    if is_over() { Err(Fault::deadline()) } else { Ok(()) }
}

/// [`tick`] for code that cannot hand an error on: ends the work by unwinding to [`guarded`].
pub(crate) fn check_deadline() {
    if GUARDED.get() && is_over() {
        unwind(Fault::deadline());
    }
}

/// Ends work by unwinding to [`guarded`], for code that cannot hand an error on.
pub(crate) fn unwind(fault: Fault) -> ! {
    std::panic::resume_unwind(Box::new(fault))
}

/// [`check_deadline`] for short steps: every [`GLANCED`]th call of it.
#[inline]
pub(crate) fn glance() {
    let left = GLANCES.get();
    if left == 0 {
        GLANCES.set(GLANCED);
        check_deadline();
    } else {
        GLANCES.set(left - 1);
    }
}

/// Runs the work of a stage on one document, which may end itself by [`check_deadline`]; a panic of ours is this document's fault only.
///
/// # Errors
/// Those of `work`, the deadline's, and that of a defect.
#[inline]
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let before = GUARDED.replace(true);
    // What `work` leaves behind when it unwinds is dropped with it, or restored by guards.
    let done = std::panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    match done {
        Ok(done) => done,
        Err(payload) => Err(payload.downcast::<Fault>().map_or_else(|_| Fault::defect(), |fault| *fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over() -> Arc<clock::Deadline> {
        Arc::new(clock::Deadline { at_ns: 0, cancelled: AtomicBool::new(false) })
    }

    #[test]
    fn work_ends_by_unwinding_and_the_bound_goes_with_it() {
        let ended = guarded(|| {
            within(&over(), u64::MAX, || -> Result<(), Fault> {
                loop {
                    glance()
                }
            })
        });
        assert_eq!(ended, Err(Fault::deadline()));
        assert!(bound().is_none() && tick().is_ok());
    }

    #[test]
    fn a_panic_is_one_documents_fault() {
        assert_eq!(guarded(|| -> Result<(), Fault> { std::panic::resume_unwind(Box::new("x")) }), Err(Fault::defect()));
        assert_eq!(guarded(|| Ok(1)), Ok(1));
    }
}
