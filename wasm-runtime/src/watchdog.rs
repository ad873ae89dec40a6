//! The wall clock: one thread that ends guest calls whose time is over.
//!
//! Metering makes every basic block of a guest load, compare and store its remaining points, so a guest ends at its
//! next branch once they are zero. The watchdog writes that zero from outside, again and again until the call has
//! ended, because the guest's own store may overwrite a single one. A tight loop on another core reads its own stores before
//! they reach memory, and sees a foreign one only after an interrupt that came before it; so after a few tries the watchdog
//! writes without a pause, to be there at the next tick of that core's timer. Fuel alone would not do: a guest that waits for
//! memory or calls slow host functions can overrun any calibration.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
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
#[repr(u8)]
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

/// One instance at work, as the watchdog sees it.
struct Watch {
    fuel: *mut u64,
    interrupt: Option<Interrupt>,
    deadline: Arc<Deadline>,
    stage_at_ns: u64,
    /// When the call in progress has to end; `u64::MAX` between calls.
    call_at_ns: AtomicU64,
    ended: AtomicU8,
    /// When the call in progress was first asked to end; 0 before.
    asked_at_ns: AtomicU64,
    /// How often the fuel of the call in progress was emptied.
    tries: AtomicU32,
}

// SAFETY: `fuel` and `interrupt` point into an instance that outlives its `Guard`; they are only written under the registry's lock,
// which the guard's drop takes, and then as atomics.
unsafe impl Send for Watch {}
// SAFETY: as above.
unsafe impl Sync for Watch {}

#[derive(Default)]
struct Watches {
    list: Vec<Arc<Watch>>,
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
        for watch in &watches.list {
            let ended = watch.verdict(now);
            if ended != Ended::No {
                watch.ended.store(ended as u8, Ordering::Release);
                // SAFETY: the guard of this watch is alive (it removes the watch under the lock we hold).
                unsafe { watch.end(now) };
                insisting = true;
            }
        }
        let pause = if insisting { INSIST } else { TICK };
        watches = registry.wake.wait_timeout(watches, pause).unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Watch {
    /// Softly where the guest knows how, for a while; else, and then, by its fuel.
    ///
    /// # Safety
    /// The guard of this watch must be alive.
    unsafe fn end(&self, now: u64) {
        if let Some(interrupt) = self.interrupt {
            let asked_at = self.asked_at_ns.load(Ordering::Relaxed);
            if asked_at == 0 || now < asked_at + GRACE_NS {
                if asked_at == 0 {
                    self.asked_at_ns.store(now, Ordering::Relaxed);
                }
                // SAFETY: as the caller says.
                unsafe { interrupt.ask(asked_at != 0) };
                return;
            }
        }
        // SAFETY: as the caller says.
        let fuel = unsafe { AtomicU64::from_ptr(self.fuel) };
        fuel.store(0, Ordering::Relaxed);
        if self.tries.fetch_add(1, Ordering::Relaxed) >= PATIENT_TRIES {
            let (until, call) = (now_ns() + BURST_NS, self.call_at_ns.load(Ordering::Acquire));
            while call != u64::MAX && self.call_at_ns.load(Ordering::Acquire) == call && now_ns() < until {
                fuel.store(0, Ordering::Relaxed);
            }
        }
    }

    fn verdict(&self, now: u64) -> Ended {
        let call_at = self.call_at_ns.load(Ordering::Acquire);
        if call_at == u64::MAX {
            Ended::No
        } else if self.deadline.cancelled.load(Ordering::Relaxed) {
            Ended::Cancelled
        } else if now >= self.stage_at_ns.min(self.deadline.at_ns) {
            Ended::Batch
        } else if now >= call_at {
            Ended::Call
        } else {
            Ended::No
        }
    }
}

/// Keeps an instance under watch; dropping it ends the watch.
pub struct Guard {
    watch: Arc<Watch>,
}

impl Guard {
    /// # Safety
    /// `fuel` must stay valid and aligned for eight bytes until the guard is dropped, and `interrupt`'s memory alive.
    pub unsafe fn new(fuel: *mut u64, interrupt: Option<Interrupt>, deadline: Arc<Deadline>, stage_at_ns: u64) -> Self {
        let watch = Arc::new(Watch {
            fuel,
            interrupt,
            deadline,
            stage_at_ns,
            call_at_ns: AtomicU64::new(u64::MAX),
            ended: AtomicU8::new(0),
            asked_at_ns: AtomicU64::new(0),
            tries: AtomicU32::new(0),
        });
        let registry = registry();
        let mut watches = registry.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.list.push(Arc::clone(&watch));
        if std::mem::take(&mut watches.asleep) {
            registry.wake.notify_one();
        }
        Self { watch }
    }

    /// Says that a call begins which must end by `at_ns`; to be called after the fuel is set.
    pub fn begin(&self, at_ns: u64) {
        self.watch.ended.store(0, Ordering::Relaxed);
        self.watch.asked_at_ns.store(0, Ordering::Relaxed);
        self.watch.tries.store(0, Ordering::Relaxed);
        self.watch.call_at_ns.store(at_ns.min(u64::MAX - 1), Ordering::Release);
    }

    /// Says that the call has ended, and how.
    pub fn end(&self) -> Ended {
        self.watch.call_at_ns.store(u64::MAX, Ordering::Release);
        if let (true, Some(interrupt)) = (self.watch.asked_at_ns.load(Ordering::Relaxed) != 0, self.watch.interrupt) {
            // SAFETY: this guard's sandbox is alive.
            unsafe { interrupt.withdraw() };
        }
        match self.watch.ended.load(Ordering::Acquire) {
            1 => Ended::Call,
            2 => Ended::Batch,
            3 => Ended::Cancelled,
            _ => Ended::No,
        }
    }

    /// Whether work must not go on, seen between two documents.
    pub fn stop(&self, now: u64) -> Ended {
        let watch = &self.watch;
        if watch.deadline.cancelled.load(Ordering::Relaxed) {
            Ended::Cancelled
        } else if now >= watch.stage_at_ns.min(watch.deadline.at_ns) {
            Ended::Batch
        } else {
            Ended::No
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut watches = registry().watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.list.retain(|w| !Arc::ptr_eq(w, &self.watch));
    }
}
