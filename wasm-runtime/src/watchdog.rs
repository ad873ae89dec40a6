//! The wall clock: one thread that ends guest calls whose time is over.
//!
//! Metering makes every basic block of a guest load, compare and store its remaining points, so a guest ends at its
//! next branch once they are zero. The watchdog writes that zero from outside, again and again until the call has
//! ended, because the guest's own store may overwrite a single one. A tight loop on another core reads its own stores before
//! they reach memory, and sees a foreign one only after an interrupt that came before it; so after a few tries the watchdog
//! writes without a pause, to be there at the next tick of that core's timer. Fuel alone would not do: a guest that waits for
//! memory or calls slow host functions can overrun any calibration.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::interrupt::{GRACE_NS, Interrupt};

const TICK: Duration = Duration::from_millis(1);
const INSIST: Duration = Duration::from_micros(100);
/// Rounds without work before the thread sleeps until it is woken: between requests that follow closely nobody needs to,
/// and waking a thread costs more than a small UDF.
const IDLE_TICKS: u32 = 4;
/// Writes with pauses before those without.
const PATIENT_TRIES: u32 = 5;
/// Nanoseconds of writing without a pause; longer would keep other calls from beginning.
const BURST_NS: u64 = 1_000_000;

/// Why a call was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Ended {
    No = 0,
    /// The document's own time limit.
    Call = 1,
    /// The deadline of the stage, the pipeline or the request.
    Batch = 2,
    /// The client is gone.
    Cancelled = 3,
}

/// Nanoseconds since the first use of this clock in the process.
pub fn now_ns() -> u64 {
    static BASE: OnceLock<Instant> = OnceLock::new();
    let elapsed = BASE.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// The deadline of a request, shared by all its stages; may be cancelled from any thread.
#[derive(Debug)]
pub struct Deadline {
    /// By [`now_ns`]; `u64::MAX` for none.
    pub at_ns: u64,
    pub cancelled: AtomicBool,
}

impl Deadline {
    /// Whether the time is over or the work was cancelled.
    pub fn is_over(&self) -> bool {
        self.is_over_by(u64::MAX)
    }

    /// The same for work that has to end by `end`, too.
    pub fn is_over_by(&self, end: u64) -> bool {
        self.cancelled.load(Ordering::Relaxed) || now_ns() >= self.at_ns.min(end)
    }
}

/// One instance at work, as its thread and the watchdog see it.
///
/// A call has a number in place of a time at which it began: a look at the clock is a tenth of what a small call costs. The
/// watchdog counts the time of a call from when it first sees its number.
struct Watch {
    fuel: *mut u64,
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

// SAFETY: `fuel` and `interrupt` point into an instance that outlives its `Guard`; they are only written under the registry's lock,
// which the guard's drop takes, and then as atomics.
unsafe impl Send for Watch {}
// SAFETY: as above.
unsafe impl Sync for Watch {}

/// What the watchdog has seen of an instance.
struct Sight {
    watch: Arc<Watch>,
    /// The number of the last call that it saw in progress, and when it saw it first.
    call: u64,
    since_ns: u64,
    /// When that call was first asked to end; 0 before.
    asked_at_ns: u64,
    /// How often the fuel of that call was emptied.
    tries: u32,
}

#[derive(Default)]
struct Watches {
    list: Vec<Sight>,
    /// Whether the thread waits to be woken.
    asleep: bool,
}

#[derive(Default)]
struct Registry {
    watches: Mutex<Watches>,
    wake: Condvar,
}

/// Whether this process has the thread.
static PATROLLED: AtomicBool = AtomicBool::new(false);

/// A forked child has the registry but not the thread.
extern "C" fn after_fork() {
    PATROLLED.store(false, Ordering::Release);
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    let registry = REGISTRY.get_or_init(|| {
        // SAFETY: the handler only stores a flag.
        unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
        Registry::default()
    });
    if !PATROLLED.load(Ordering::Acquire) && !PATROLLED.swap(true, Ordering::AcqRel) {
        let _ = std::thread::Builder::new().name("headrace-watchdog".to_owned()).spawn(move || patrol(registry));
    }
    registry
}

fn patrol(registry: &'static Registry) {
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
        let now = now_ns();
        let mut insisting = false;
        for sight in &mut watches.list {
            // SAFETY: the guard of this watch is alive (it removes the watch under the lock we hold).
            insisting |= unsafe { sight.look(now) };
        }
        let pause = if insisting { INSIST } else { TICK };
        watches = registry.wake.wait_timeout(watches, pause).unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Watch {
    /// Why no more work may be done at `now`, whatever a call would take.
    fn stop(&self, now: u64) -> Ended {
        if self.deadline.cancelled.load(Ordering::Relaxed) {
            Ended::Cancelled
        } else if now >= self.stage_at_ns.min(self.deadline.at_ns) {
            Ended::Batch
        } else {
            Ended::No
        }
    }
}

impl Sight {
    fn of(watch: Arc<Watch>) -> Self {
        Self { watch, call: 0, since_ns: 0, asked_at_ns: 0, tries: 0 }
    }

    /// Ends the call in progress if its time is over; says whether it did, or tried to.
    ///
    /// # Safety
    /// The guard of the watch must be alive.
    unsafe fn look(&mut self, now: u64) -> bool {
        let stop = self.watch.stop(now);
        if stop == Ended::Batch {
            self.watch.over.store(true, Ordering::Relaxed);
        }
        let call = self.watch.call.load(Ordering::Acquire);
        if call.is_multiple_of(2) {
            return false;
        }
        if call != self.call {
            (self.call, self.since_ns, self.asked_at_ns, self.tries) = (call, now, 0, 0);
        }
        let why = match stop {
            Ended::No if now - self.since_ns < self.watch.call_ns => return false,
            Ended::No => Ended::Call,
            stop => stop,
        };
        self.watch.ended.store(call << 2 | why as u64, Ordering::Release);
        // SAFETY: as the caller says.
        unsafe { self.end(now) };
        true
    }

    /// Softly where the guest knows how, for a while; else, and then, by its fuel.
    ///
    /// # Safety
    /// As [`Self::look`].
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
        let fuel = unsafe { AtomicU64::from_ptr(self.watch.fuel) };
        fuel.store(0, Ordering::Relaxed);
        self.tries += 1;
        if self.tries > PATIENT_TRIES {
            let until = now_ns() + BURST_NS;
            while self.watch.call.load(Ordering::Acquire) == self.call && now_ns() < until {
                fuel.store(0, Ordering::Relaxed);
            }
        }
    }
}

/// Keeps an instance under watch; dropping it ends the watch.
pub struct Guard {
    watch: Arc<Watch>,
}

impl Guard {
    /// `call_ns`: how long each call may take; the watchdog sees it begin up to a millisecond late.
    ///
    /// # Safety
    /// `fuel` must stay valid and aligned for eight bytes until the guard is dropped, and `interrupt`'s memory alive.
    pub unsafe fn new(
        fuel: *mut u64,
        interrupt: Option<Interrupt>,
        deadline: Arc<Deadline>,
        stage_at_ns: u64,
        call_ns: u64,
    ) -> Self {
        let watch = Arc::new(Watch {
            fuel,
            interrupt,
            deadline,
            stage_at_ns,
            call_ns,
            call: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let registry = registry();
        let mut watches = registry.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.list.push(Sight::of(Arc::clone(&watch)));
        if std::mem::take(&mut watches.asleep) {
            registry.wake.notify_one();
        }
        Self { watch }
    }

    /// Says that a call begins; to be called after the fuel is set.
    pub fn begin(&self) {
        self.step();
    }

    /// Says that the call has ended, and how.
    pub fn end(&self) -> Ended {
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
    pub fn stop(&self) -> Ended {
        self.watch.stop(now_ns())
    }

    /// The same by what the watchdog has seen, at most a millisecond ago.
    pub fn stop_seen(&self) -> Ended {
        self.watch.stop(if self.watch.over.load(Ordering::Relaxed) { u64::MAX } else { 0 })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut watches = registry().watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.list.retain(|sight| !Arc::ptr_eq(&sight.watch, &self.watch));
    }
}
