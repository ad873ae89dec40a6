//! The wall clock: one thread that ends guest calls whose time is over.
//!
//! A guest asks at the head of each loop and before each call whether it is to end ([`crate::engine::metering`]). The watchdog answers from
//! outside, by a flag that the guest never writes. Fuel alone would not do: a guest that waits for memory or calls slow host
//! functions can overrun any calibration.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::engine::clock::{Deadline, now_ns};
use crate::engine::interrupt::{GRACE_NS, Interrupt};
use crate::engine::metering::ENDS;
use crate::error::Fault;

/// Divisor: the period of checks is a sixteenth of the shortest limit of a running call.
const SHARE_OF_LIMIT: u64 = 16;
/// Bounds of the period in nanoseconds: each check is a thread switch, and one in a millisecond costs 3 % of a core.
const TICK_NS: RangeInclusive<u64> = 1_000_000..=8_000_000;
/// Minimum pause in nanoseconds between two checks.
const INSIST_NS: u64 = 100_000;
/// Rounds without work before the thread sleeps until it is woken: between requests that follow closely nobody needs to,
/// and waking a thread costs more than a small UDF.
const IDLE_TICKS: u32 = 4;

/// Why a call was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Ended {
    No = 0,
    /// The document's own time limit.
    Call = 1,
    /// The deadline of the stage, the pipeline or the request.
    Batch = 2,
    /// The client is gone.
    Cancelled = 3,
}

/// One instance at work, as its thread and the watchdog see it.
///
/// A call has a number in place of a time at which it began: a look at the clock is a tenth of what a small call costs. The
/// watchdog counts the time of a call from when it first sees its number.
struct WatchedCall {
    /// The guest's flag to end.
    end: *mut u64,
    interrupt: Option<Interrupt>,
    deadline: Arc<Deadline>,
    stage_at_ns: u64,
    /// How long a call may take.
    call_ns: u64,
    /// The number of the call in progress, which is odd; between calls it is even. Every begin and end adds one.
    call: AtomicU64,
    /// The number of the call that the watchdog ended last, times four, plus why ([`Ended`]).
    ended: AtomicU64,
    /// The watchdog has seen the deadline pass.
    over: AtomicBool,
}

// SAFETY: `end` and `interrupt` point into an instance that outlives its `Guard`; they are only written under the registry's lock,
// which the guard's drop takes, and then as atomics.
unsafe impl Send for WatchedCall {}
// SAFETY: as above.
unsafe impl Sync for WatchedCall {}

/// The watchdog's record of an instance.
struct Observation {
    watch: Arc<WatchedCall>,
    /// The number of the last call that it saw in progress, and when it saw it first.
    call: u64,
    since_ns: u64,
    /// When that call was first asked to end; 0 before.
    asked_at_ns: u64,
}

#[derive(Default)]
struct WatchList {
    list: Vec<Observation>,
    /// Whether the thread waits to be woken.
    asleep: bool,
    /// How long it pauses between two looks if nothing ends sooner, and when it looks next (by [`now_ns`]).
    tick_ns: u64,
    next_ns: u64,
}

#[derive(Default)]
struct Registry {
    watches: Mutex<WatchList>,
    wake: Condvar,
}

/// Whether this process has the thread.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// A forked child has the registry but not the thread.
extern "C" fn after_fork() {
    RUNNING.store(false, Ordering::Release);
}

/// The registry, with the thread at work on it.
///
/// # Errors
/// Where the system gives no thread: nothing would end a call then. It is asked again at the next call.
fn running() -> Result<&'static Registry, Fault> {
    let registry = registry();
    if RUNNING.load(Ordering::Acquire) || RUNNING.swap(true, Ordering::AcqRel) {
        return Ok(registry);
    }
    let thread = std::thread::Builder::new().name("headrace-watchdog".to_owned());
    if thread.spawn(move || run(registry)).is_err() {
        RUNNING.store(false, Ordering::Release);
        let reason = "the system gives no thread that would end a UDF whose time is over; try again";
        return Err(Fault::new(429, "rejected_execution_exception", reason));
    }
    Ok(registry)
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        // SAFETY: the handler only stores a flag.
        unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
        Registry::default()
    })
}

fn run(registry: &'static Registry) {
    let mut watches = registry.watches.lock().unwrap_or_else(PoisonError::into_inner);
    let mut idle = 0;
    loop {
        idle = if watches.list.is_empty() { idle + 1 } else { 0 };
        watches.asleep = idle > IDLE_TICKS;
        if watches.asleep {
            watches = registry.wake.wait(watches).unwrap_or_else(PoisonError::into_inner);
            if !watches.asleep {
                idle = 0;
            }
            continue;
        }
        let pause = watches.check(now_ns());
        watches =
            registry.wake.wait_timeout(watches, Duration::from_nanos(pause)).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// How late the beginning of a call may be seen that may take `call_ns`.
fn tick_of(call_ns: u64) -> u64 {
    (call_ns / SHARE_OF_LIMIT).clamp(*TICK_NS.start(), *TICK_NS.end())
}

impl WatchList {
    /// Ends the calls whose time is over; gives the nanoseconds until the next look.
    fn check(&mut self, now: u64) -> u64 {
        let Some(tick) = self.list.iter().map(|observation| tick_of(observation.watch.call_ns)).min() else {
            // Nobody at work: who comes with a shorter limit, or ends sooner, says so.
            self.next_ns = now + self.tick_ns;
            return self.tick_ns;
        };
        self.tick_ns = tick;
        // SAFETY: the guard of each watch is alive (it removes the watch under the lock we hold).
        let ends = self.list.iter_mut().map(|observation| unsafe { observation.check(now) }).min().unwrap_or(u64::MAX);
        let pause = ends.saturating_sub(now).clamp(INSIST_NS, tick);
        self.next_ns = now + pause;
        pause
    }
}

impl WatchedCall {
    /// When all work has to end.
    fn end_ns(&self) -> u64 {
        self.stage_at_ns.min(self.deadline.at_ns)
    }

    /// Why no more work may be done at `now`, whatever a call would take.
    fn stop(&self, now: u64) -> Ended {
        if self.deadline.cancelled.load(Ordering::Relaxed) {
            Ended::Cancelled
        } else if now >= self.end_ns() {
            Ended::Batch
        } else {
            Ended::No
        }
    }
}

impl Observation {
    fn of(watch: Arc<WatchedCall>) -> Self {
        Self { watch, call: 0, since_ns: 0, asked_at_ns: 0 }
    }

    /// Ends the call in progress if its time is over; says when the next one will be that can be foreseen.
    ///
    /// # Safety
    /// The guard of the watch must be alive.
    unsafe fn check(&mut self, now: u64) -> u64 {
        let stop = self.watch.stop(now);
        if stop == Ended::Batch {
            self.watch.over.store(true, Ordering::Relaxed);
        }
        let end = if stop == Ended::No { self.watch.end_ns() } else { u64::MAX };
        let call = self.watch.call.load(Ordering::Acquire);
        if call.is_multiple_of(2) {
            return end;
        }
        if call != self.call {
            (self.call, self.since_ns, self.asked_at_ns) = (call, now, 0);
        }
        let why = match stop {
            Ended::No if now - self.since_ns < self.watch.call_ns => {
                return end.min(self.since_ns.saturating_add(self.watch.call_ns));
            }
            Ended::No => Ended::Call,
            stop => stop,
        };
        self.watch.ended.store(call << 2 | why as u64, Ordering::Release);
        // SAFETY: as the caller says.
        unsafe { self.end(now) };
        now
    }

    /// Softly where the guest knows how, for a while; else, and then, by its flag.
    ///
    /// # Safety
    /// As [`Self::check`].
    unsafe fn end(&mut self, now: u64) {
        if let Some(interrupt) = self.watch.interrupt
            && (self.asked_at_ns == 0 || now < self.asked_at_ns + GRACE_NS)
        {
            // SAFETY: as the caller says.
            unsafe { interrupt.ask(self.asked_at_ns != 0) };
            if self.asked_at_ns == 0 {
                self.asked_at_ns = now;
            }
            return;
        }
        // SAFETY: as the caller says.
        unsafe { AtomicU64::from_ptr(self.watch.end) }.store(ENDS, Ordering::Relaxed);
    }
}

/// Keeps an instance under watch; dropping it ends the watch.
pub(crate) struct Guard {
    watch: Arc<WatchedCall>,
}

impl Guard {
    /// `call_ns`: how long each call may take; the watchdog sees it begin up to [`tick_of`] it late.
    ///
    /// # Errors
    /// Where nothing would end a call.
    ///
    /// # Safety
    /// `end` must stay valid and aligned for eight bytes until the guard is dropped, and `interrupt`'s memory alive.
    pub(crate) unsafe fn new(
        end: *mut u64,
        interrupt: Option<Interrupt>,
        deadline: Arc<Deadline>,
        stage_at_ns: u64,
        call_ns: u64,
    ) -> Result<Self, Fault> {
        let registry = running()?;
        let watch = Arc::new(WatchedCall {
            end,
            interrupt,
            deadline,
            stage_at_ns,
            call_ns,
            call: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let mut watches = registry.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.list.push(Observation::of(Arc::clone(&watch)));
        let sooner = tick_of(call_ns) < watches.tick_ns || watch.end_ns() < watches.next_ns;
        if std::mem::take(&mut watches.asleep) || sooner {
            registry.wake.notify_one();
        }
        Ok(Self { watch })
    }

    /// Says that a call begins; to be called after the flag is taken down.
    pub(crate) fn start(&self) {
        self.step();
    }

    /// Says that the call has ended, and how.
    pub(crate) fn end(&self) -> Ended {
        let call = self.step();
        let ended = self.watch.ended.load(Ordering::Acquire);
        if ended >> 2 != call {
            return Ended::No;
        }
        if let Some(interrupt) = self.watch.interrupt {
            // SAFETY: this guard's sandbox is alive.
            unsafe { interrupt.withdraw() };
        }
        match ended & 3 {
            1 => Ended::Call,
            2 => Ended::Batch,
            3 => Ended::Cancelled,
            _ => Ended::No,
        }
    }

    /// Goes on to the next number; gives the one before.
    fn step(&self) -> u64 {
        let call = self.watch.call.load(Ordering::Relaxed);
        self.watch.call.store(call + 1, Ordering::Release);
        call
    }

    /// Whether work must not go on, seen between two documents by the clock.
    pub(crate) fn stop(&self) -> Ended {
        self.watch.stop(now_ns())
    }

    /// The same by what the watchdog has seen, which looks when the deadline passes.
    pub(crate) fn stop_seen(&self) -> Ended {
        self.watch.stop(if self.watch.over.load(Ordering::Relaxed) { u64::MAX } else { 0 })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut watches = registry().watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.list.retain(|observation| !Arc::ptr_eq(&observation.watch, &self.watch));
    }
}

#[cfg(test)]
mod tests;
