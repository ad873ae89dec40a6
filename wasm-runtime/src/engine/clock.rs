//! The clock of the process, and until when a request's work may go on.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Nanoseconds since the first use of this clock in the process.
pub(crate) fn now_ns() -> u64 {
    static BASE: OnceLock<Instant> = OnceLock::new();
    let elapsed = BASE.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// The deadline of a request, shared by all its stages; may be cancelled from any thread.
#[derive(Debug)]
pub(crate) struct Deadline {
    /// By [`now_ns`]; `u64::MAX` for none.
    pub(crate) at_ns: u64,
    pub(crate) cancelled: AtomicBool,
}

impl Deadline {
    /// Whether the time is over or the work was cancelled.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over_by(u64::MAX)
    }

    /// The same for work that has to end by `end`, too.
    pub(crate) fn is_over_by(&self, end: u64) -> bool {
        self.cancelled.load(Ordering::Relaxed) || now_ns() >= self.at_ns.min(end)
    }
}
