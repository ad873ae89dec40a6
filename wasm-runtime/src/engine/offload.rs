//! Work that nothing can interrupt, on a thread of its own: who waits for it goes on when the time is over.
//!
//! A search by a regular expression is one call of a crate from its beginning to its end. Where it may take longer than a
//! deadline can be missed by, it runs here. What is left to run alone when nobody waits any more ends at its own next look at
//! the clock; there are never more such threads than [`MOST_THREADS`].

use std::cell::Cell;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::engine::deadline::{bound, guarded};
use crate::error::Fault;

/// Maximum number of such threads in the process: each may keep a core busy after its caller has left.
const MOST_THREADS: usize = 8;
/// Nanoseconds between two looks of the waiting thread at the cancellation of its request.
const POLL_NS: u64 = 5_000_000;

static RUNNING: Mutex<usize> = Mutex::new(0);
static FREE: Condvar = Condvar::new();

thread_local! {
    static OFFLOADED: Cell<bool> = const { Cell::new(false) };
}

/// One of the threads that there may be.
struct Seat;

impl Seat {
    fn acquire() -> Result<Self, Fault> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= MOST_THREADS {
            let left = bound().map_or(POLL_NS, |bound| if bound.is_over() { 0 } else { bound.left().min(POLL_NS) });
            if left == 0 {
                return Err(Fault::deadline());
            }
            running = FREE.wait_timeout(running, Duration::from_nanos(left)).unwrap_or_else(PoisonError::into_inner).0;
        }
        *running += 1;
        Ok(Self)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREE.notify_one();
    }
}

/// Runs `work` on a thread of its own and returns its result if that comes in time. Without a deadline, or on such a
/// thread already, `work` runs on this thread.
///
/// # Errors
/// Those of `work`, the deadline's, and where the system gives no thread.
pub(crate) fn offloaded<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let Some(bound) = bound().filter(|_| !OFFLOADED.get()) else { return work() };
    let seat = Seat::acquire()?;
    let (sender, receiver) = sync_channel(1);
    let inner = bound.clone();
    let thread = std::thread::Builder::new().name("headrace-aside".to_owned()).spawn(move || {
        let _seat = seat;
        OFFLOADED.set(true);
        let _ = sender.send(guarded(|| inner.hold(work)));
    });
    if thread.is_err() {
        return Err(Fault::new(429, "rejected_execution_exception", "the system gives no thread for this stage"));
    }
    loop {
        match receiver.recv_timeout(Duration::from_nanos(bound.left().min(POLL_NS))) {
            Ok(done) => return done,
            Err(RecvTimeoutError::Timeout) if !bound.is_over() => {}
            Err(RecvTimeoutError::Timeout) => return Err(Fault::deadline()),
            Err(RecvTimeoutError::Disconnected) => return Err(Fault::defect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::Instant;

    use super::*;
    use crate::engine::clock::{Deadline, now_ns};
    use crate::engine::deadline::within;

    fn with_ms<T>(ms: u64, work: impl FnOnce() -> T) -> T {
        let at_ns = now_ns() + ms * 1_000_000;
        within(&Arc::new(Deadline { at_ns, cancelled: AtomicBool::new(false) }), u64::MAX, work)
    }

    fn sleeping(ms: u64) -> impl FnOnce() -> Result<(), Fault> + Send {
        move || {
            std::thread::sleep(Duration::from_millis(ms));
            Ok(())
        }
    }

    #[test]
    fn who_waits_goes_on_in_time() {
        let start = Instant::now();
        let late = with_ms(20, || offloaded(sleeping(500)));
        assert_eq!(late, Err(Fault::deadline()));
        assert!(start.elapsed() < Duration::from_millis(400));
        assert_eq!(with_ms(10_000, || offloaded(|| Ok(7))), Ok(7));
        assert_eq!(offloaded(|| Ok(7)), Ok(7));
    }

    #[test]
    fn there_are_never_more_than_some() {
        let slow = || with_ms(30, || offloaded(sleeping(300)));
        std::thread::scope(|scope| {
            for _ in 0..3 * MOST_THREADS {
                scope.spawn(slow);
            }
            for _ in 0..20 {
                assert!(*RUNNING.lock().unwrap() <= MOST_THREADS);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
    }
}
