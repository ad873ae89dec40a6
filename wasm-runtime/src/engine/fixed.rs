//! Time and randomness that stages see: those of the system, or fixed ones, for tests whose results are the same every time.
//!
//! The choice is of the whole process and made by [`fix_sources`]; a server never makes it. Deadlines, limits and statistics keep
//! to the clock of the system. Sandboxes are to start afterwards: each has the seed that is fixed when it starts.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// No time is fixed.
const NO_TIME: i64 = i64::MIN;
/// No seed is fixed.
const NO_SEED: u64 = u64::MAX;

/// The last whole year of a clock that counts nanoseconds since 1970 in 63 bits, in milliseconds.
const LATEST_MS: i64 = 9_214_646_399_999;

static TIME_MS: AtomicI64 = AtomicI64::new(NO_TIME);
static SEED: AtomicU64 = AtomicU64::new(NO_SEED);

/// The fixed time in milliseconds since 1970, if there is one.
pub(crate) fn time_ms() -> Option<i64> {
    let time = TIME_MS.load(Ordering::Relaxed);
    (time != NO_TIME).then_some(time)
}

/// The fixed seed of randomness, if there is one.
pub(crate) fn seed() -> Option<u64> {
    let seed = SEED.load(Ordering::Relaxed);
    (seed != NO_SEED).then_some(seed)
}

/// The time that stages see, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    time_ms().unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    })
}

/// Fixes what stages of this process see as the time (milliseconds since 1970), and the seed of their randomness; `None` is the
/// system's. For tests. Raises ValueError for a time before 1970 or behind the year 2261, which nanoseconds do not reach.
#[pyfunction]
#[pyo3(signature = (time_ms=None, seed=None))]
pub(crate) fn fix_sources(time_ms: Option<i64>, seed: Option<u32>) -> PyResult<()> {
    if time_ms.is_some_and(|ms| !(0..=LATEST_MS).contains(&ms)) {
        return Err(PyValueError::new_err("the time must be between the years 1970 and 2261"));
    }
    TIME_MS.store(time_ms.unwrap_or(NO_TIME), Ordering::Relaxed);
    SEED.store(seed.map_or(NO_SEED, u64::from), Ordering::Relaxed);
    Ok(())
}
