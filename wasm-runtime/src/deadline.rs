//! When a request's work has to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

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
