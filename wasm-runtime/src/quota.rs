//! Token buckets and counts of requests in progress that all workers of a proxy share, in one mapped file.
//!
//! A bucket is one number, the theoretical arrival time of the generic cell rate algorithm (ITU-T I.371): the moment at which
//! all that was admitted so far would have come at the agreed rate. It moves by compare-and-swap, so that the rate holds over
//! all workers without a message between them.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use memmap2::{MmapMut, MmapRaw};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

/// Buckets of a table. A bucket that is full again, with nothing in progress, is free: these are those in use at one moment.
const SLOTS: usize = 1 << 14;
/// Slots that a key may be in, from that of its hash on.
const PROBES: usize = 32;
/// Words of a slot beside one for each worker: the key, and the theoretical arrival time in nanoseconds.
const WORDS: usize = 2;
/// The key of a free slot.
const FREE: u64 = 0;

/// The buckets by the hash of their key. Times are nanoseconds of the monotonic clock, which all processes of a host share.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct SharedBuckets {
    map: MmapRaw,
    workers: usize,
    worker: usize,
}

#[pymethods]
impl SharedBuckets {
    /// The table in `path`, which the first of `workers` processes makes; in memory of this process without a path.
    ///
    /// What an earlier process with the number `worker` had in progress is forgotten. Raises OSError.
    #[new]
    #[pyo3(signature = (path=None, *, workers=1, worker=0))]
    fn new(path: Option<PathBuf>, workers: usize, worker: usize) -> PyResult<Self> {
        if worker >= workers {
            return Err(PyValueError::new_err(format!("worker {worker} of {workers}")));
        }
        let size = SLOTS * (WORDS + workers) * size_of::<u64>();
        let map = match path {
            None => MmapMut::map_anon(size).map(MmapRaw::from),
            Some(path) => {
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).and_then(|file| {
                    file.set_len(size as u64)?;
                    MmapRaw::map_raw(&file)
                })
            }
        };
        let buckets = Self { map: map.map_err(|error| PyOSError::new_err(error.to_string()))?, workers, worker };
        for slot in 0..SLOTS {
            buckets.own(slot).store(0, SeqCst);
        }
        Ok(buckets)
    }

    /// Charges `cost` to the bucket of `key` while a `unit` of its `capacity` is free; all in nanoseconds at its rate.
    ///
    /// Gives 0, or the nanoseconds after which to ask again. The cost may be more than is free: the bucket is in debt then.
    #[pyo3(signature = (key, cost, unit, capacity, now=None))]
    fn charge(&self, key: u64, cost: u64, unit: u64, capacity: u64, now: Option<u64>) -> u64 {
        let now = now.unwrap_or_else(clock);
        let Some(slot) = self.slot(key, now) else { return capacity.max(1) };
        let time = self.time(slot);
        let mut before = time.load(SeqCst);
        loop {
            let wanted = before.saturating_sub(now).saturating_add(unit);
            if wanted > capacity {
                return wanted - capacity;
            }
            match time.compare_exchange_weak(before, before.max(now).saturating_add(cost), SeqCst, SeqCst) {
                Ok(_) => return 0,
                Err(current) => before = current,
            }
        }
    }

    /// Puts back what was charged; a bucket that has filled since stays full.
    fn refund(&self, key: u64, cost: u64) {
        if let Some(slot) = self.find(key) {
            let _ = self.time(slot).fetch_update(SeqCst, SeqCst, |time| Some(time.saturating_sub(cost)));
        }
    }

    /// Counts one more in progress for `key` unless there are `limit`; gives its slot for [`leave`], `None` at the limit.
    #[pyo3(signature = (key, limit, now=None))]
    fn enter(&self, key: u64, limit: u64, now: Option<u64>) -> Option<usize> {
        let now = now.unwrap_or_else(clock);
        for _ in 0..PROBES {
            let slot = self.slot(key, now)?;
            self.own(slot).fetch_add(1, SeqCst);
            if self.key(slot).load(SeqCst) == key {
                if self.in_progress(slot) <= limit {
                    return Some(slot);
                }
                self.leave(slot);
                return None;
            }
            // Another worker has freed the slot in between.
            self.leave(slot);
        }
        None
    }

    /// One less is in progress.
    fn leave(&self, slot: usize) {
        let _ = self.own(slot).fetch_update(SeqCst, SeqCst, |count| Some(count.saturating_sub(1)));
    }

    /// (nanoseconds in use, in progress) of a key now.
    #[pyo3(signature = (key, now=None))]
    fn state(&self, key: u64, now: Option<u64>) -> (u64, u64) {
        let now = now.unwrap_or_else(clock);
        self.find(key)
            .map_or((0, 0), |slot| (self.time(slot).load(Relaxed).saturating_sub(now), self.in_progress(slot)))
    }
}

impl SharedBuckets {
    fn word(&self, slot: usize, word: usize) -> &AtomicU64 {
        let at = (slot % SLOTS) * (WORDS + self.workers) + word;
        // SAFETY: the map has SLOTS * (WORDS + workers) words and lives as long as `self`; it begins at a page, so that each word
        // is aligned; all processes access it by atomic operations alone.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().cast::<u64>().add(at)) }
    }

    fn key(&self, slot: usize) -> &AtomicU64 {
        self.word(slot, 0)
    }

    fn time(&self, slot: usize) -> &AtomicU64 {
        self.word(slot, 1)
    }

    fn own(&self, slot: usize) -> &AtomicU64 {
        self.word(slot, WORDS + self.worker)
    }

    fn in_progress(&self, slot: usize) -> u64 {
        (0..self.workers).map(|worker| self.word(slot, WORDS + worker).load(SeqCst)).sum()
    }

    fn probes(key: u64) -> impl Iterator<Item = usize> {
        let first = usize::try_from(key % SLOTS as u64).unwrap_or_default();
        (first..first + PROBES).map(|slot| slot % SLOTS)
    }

    fn find(&self, key: u64) -> Option<usize> {
        Self::probes(key).find(|slot| self.key(*slot).load(SeqCst) == key)
    }

    /// The slot of a key, a free one for a key that has none; `None` if all that it may be in are in use.
    fn slot(&self, key: u64, now: u64) -> Option<usize> {
        if let Some(slot) = self.find(key) {
            return Some(slot);
        }
        for slot in Self::probes(key) {
            let before = self.key(slot).load(SeqCst);
            let unused = before == FREE || (self.time(slot).load(SeqCst) <= now && self.in_progress(slot) == 0);
            let taken = unused && self.key(slot).compare_exchange(before, key, SeqCst, SeqCst).is_ok();
            // Another worker may have put the key there meanwhile: in a further slot it would have a second bucket.
            if taken || self.key(slot).load(SeqCst) == key {
                return Some(slot);
            }
        }
        None
    }
}

/// Nanoseconds of the monotonic clock.
fn clock() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or_default() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}
