//! The circuit breaker of one stage: a UDF that traps, or runs out of time or memory, again and again is not called for a while.
//!
//! It opens after so many failures within a window, if at least half of the calls since the first one failed: a few documents that
//! break a UDF must not stop all others. While it is open every document fails at once with `udf_breaker_exception`, and the policy
//! of the stage decides about it. After the pause one call is let through (half open): its success closes the breaker, its failure
//! opens it for another pause.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::engine::clock::now_ns;
use crate::error::Fault;

/// When a breaker opens; `failures` 0: never.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BreakerLimits {
    pub(crate) failures: u32,
    pub(crate) window_ns: u64,
    pub(crate) pause_ns: u64,
}

impl From<(u32, f64, f64)> for BreakerLimits {
    /// Failures, and window and pause in seconds.
    fn from((failures, window, pause): (u32, f64, f64)) -> Self {
        Self { failures, window_ns: (window * 1e9) as u64, pause_ns: (pause * 1e9) as u64 }
    }
}

/// The state of a breaker. Counts of several threads may miss each other by one.
pub(crate) struct Breaker {
    limits: BreakerLimits,
    failures: AtomicU32,
    successes: AtomicU32,
    /// When the window began, by `now_ns`.
    window_start: AtomicU64,
    /// When the next call is let through, by `now_ns`; 0: it is closed.
    open_until: AtomicU64,
    /// How often it has opened.
    opened: AtomicU32,
}

impl Breaker {
    pub(crate) fn new(limits: BreakerLimits) -> Self {
        let zero = || AtomicU32::new(0);
        let (window_start, open_until) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { limits, failures: zero(), successes: zero(), window_start, open_until, opened: zero() }
    }

    /// Lets a call through.
    ///
    /// # Errors
    /// While it is open.
    #[inline(always)]
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let until = self.open_until.load(Relaxed);
        if until == 0 { Ok(()) } else { self.check_open(until) }
    }

    #[cold]
    fn check_open(&self, until: u64) -> Result<(), Fault> {
        let now = now_ns();
        let probes = now >= until
            && self.open_until.compare_exchange(until, now + self.limits.pause_ns, Relaxed, Relaxed).is_ok();
        if probes { Ok(()) } else { Err(Fault::breaker(until.saturating_sub(now))) }
    }

    /// A call has ended well.
    #[inline(always)]
    pub(crate) fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.count_success();
        }
    }

    #[cold]
    fn count_success(&self) {
        if self.open_until.swap(0, Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        } else {
            self.successes.fetch_add(1, Relaxed);
        }
    }

    /// A call has broken its sandbox.
    #[cold]
    pub(crate) fn failed(&self) {
        if self.limits.failures == 0 {
            return;
        }
        let now = now_ns();
        if self.open_until.load(Relaxed) != 0 {
            self.open(now);
            return;
        }
        if now - self.window_start.load(Relaxed) > self.limits.window_ns {
            self.window_start.store(now, Relaxed);
            self.failures.store(0, Relaxed);
            self.successes.store(0, Relaxed);
        }
        let failures = self.failures.fetch_add(1, Relaxed) + 1;
        if failures >= self.limits.failures && failures >= self.successes.load(Relaxed) {
            self.open(now);
        }
    }

    fn open(&self, now: u64) {
        self.open_until.store(now + self.limits.pause_ns, Relaxed);
        self.opened.fetch_add(1, Relaxed);
    }

    /// (Whether it is open, how often it has opened.)
    pub(crate) fn state(&self) -> (bool, u32) {
        (self.open_until.load(Relaxed) != 0, self.opened.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(BreakerLimits { failures: 3, window_ns: 10_000_000_000, pause_ns: 20_000_000 })
    }

    fn pause() {
        std::thread::sleep(Duration::from_millis(25));
    }

    #[test]
    fn opens_probes_and_closes() {
        let breaker = breaker();
        for _ in 0..2 {
            breaker.failed();
            assert!(breaker.check().is_ok());
        }
        breaker.failed();
        assert_eq!(breaker.check().unwrap_err().kind, "udf_breaker_exception");
        pause();
        assert!(breaker.check().is_ok(), "one call is let through");
        assert!(breaker.check().is_err(), "and no other");
        breaker.failed();
        assert!(breaker.check().is_err());
        pause();
        assert!(breaker.check().is_ok());
        breaker.succeeded();
        assert_eq!((breaker.check().is_ok(), breaker.state()), (true, (false, 2)));
    }

    #[test]
    fn a_few_bad_documents_among_many_do_not_open_it() {
        let breaker = breaker();
        for _ in 0..50 {
            breaker.failed();
            (0..9).for_each(|_| breaker.succeeded());
            assert!(breaker.check().is_ok());
        }
    }

    #[test]
    fn a_probe_that_never_ends_is_followed_by_another() {
        let breaker = breaker();
        (0..3).for_each(|_| breaker.failed());
        pause();
        assert!(breaker.check().is_ok());
        pause();
        assert!(breaker.check().is_ok());
    }

    #[test]
    fn none_never_opens() {
        let breaker = Breaker::new(BreakerLimits::default());
        (0..100).for_each(|_| breaker.failed());
        assert!(breaker.check().is_ok());
    }
}
