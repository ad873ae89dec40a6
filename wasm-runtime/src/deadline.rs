//! When a request's work has to end.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::error::Fault;
use crate::watchdog::{self, now_ns};

/// When a request's work has to end, and whether it was cancelled; shared by all its stages.
#[pyclass(frozen, module = "pipelines._wasm")]
pub struct Deadline {
    pub inner: Arc<watchdog::Deadline>,
}

#[pymethods]
impl Deadline {
    /// `seconds` from now; `None` for no deadline.
    #[new]
    #[pyo3(signature = (seconds=None))]
    fn new(seconds: Option<f64>) -> Self {
        let at_ns = seconds.map_or(u64::MAX, |s| now_ns().saturating_add((s.max(0.0) * 1e9) as u64));
        Self { inner: Arc::new(watchdog::Deadline { at_ns, cancelled: AtomicBool::new(false) }) }
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
struct Bound {
    deadline: Arc<watchdog::Deadline>,
    /// Of the stage, by `now_ns`.
    end: u64,
}

thread_local! {
    static BOUND: RefCell<Option<Bound>> = const { RefCell::new(None) };
}

/// Runs `work` with a deadline that [`tick`] asks; `end` is the stage's own, by `now_ns`.
pub fn within<T>(deadline: &Arc<watchdog::Deadline>, end: u64, work: impl FnOnce() -> T) -> T {
    let bound = Bound { deadline: Arc::clone(deadline), end };
    let before = BOUND.with(|b| b.replace(Some(bound)));
    let made = work();
    BOUND.with(|b| *b.borrow_mut() = before);
    made
}

/// To be asked in every loop of our own code whose length a document decides.
///
/// # Errors
/// When the time of the stage or pipeline is over, or the request was cancelled.
pub fn tick() -> Result<(), Fault> {
    let over = BOUND.with(|b| b.borrow().as_ref().is_some_and(|b| b.deadline.is_over_by(b.end)));
    if over { Err(Fault::deadline()) } else { Ok(()) }
}
