//! Counts of a stage over a batch, and durations with true percentiles (HDR: three significant digits from 1 µs to 1
//! h).

use std::time::{SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram as Hdr;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// Maximum number of errors that a stage reports per batch: further ones are only counted, to bound memory.
pub(crate) const SAMPLES: usize = 8;
/// Maximum number of log lines, for the same reason.
pub(crate) const LOG_LINES: usize = 64;

/// Counts of one stage over one batch. Times in nanoseconds, fuel in points, memory in bytes.
#[pyclass(frozen, get_all, module = "headrace_pipelines._wasm")]
#[derive(Debug, Default)]
pub(crate) struct StageRun {
    pub(crate) documents: usize,
    pub(crate) changed: usize,
    pub(crate) dropped: usize,
    /// Documents that became several.
    pub(crate) expanded: usize,
    /// Documents whose condition was not met.
    pub(crate) skipped: usize,
    pub(crate) failures: usize,
    pub(crate) duration_ns: u64,
    pub(crate) fuel: u64,
    pub(crate) memory: u64,
    /// (position in the batch, error type, reason, the document's shape), the first few.
    pub(crate) errors: Vec<(usize, String, String, String)>,
    /// (position in the batch, level, text), the first few.
    pub(crate) logs: Vec<(usize, i32, String)>,
}

impl StageRun {
    /// Adds the counts of another run.
    fn count(&mut self, more: &Self) {
        self.documents += more.documents;
        self.changed += more.changed;
        self.dropped += more.dropped;
        self.expanded += more.expanded;
        self.skipped += more.skipped;
        self.failures += more.failures;
        self.fuel += more.fuel;
        self.memory = self.memory.max(more.memory);
    }

    /// Adds what another thread counted at the same time.
    pub(crate) fn add(&mut self, more: Self) {
        self.count(&more);
        self.duration_ns = self.duration_ns.max(more.duration_ns);
        self.errors.extend(more.errors.into_iter().take(SAMPLES.saturating_sub(self.errors.len())));
        self.logs.extend(more.logs.into_iter().take(LOG_LINES.saturating_sub(self.logs.len())));
    }
}

/// Counts and durations of a stage over all batches so far.
#[pyclass(module = "headrace_pipelines._wasm")]
pub(crate) struct Tally {
    sum: StageRun,
    runs: u64,
    skipped: u64,
    retried: u64,
    durations: Histogram,
}

/// The values of a tally: (runs, failures, skips, retries), (documents, dropped, changed, expanded), (fuel, memory),
/// durations.
type Tallied = ((u64, usize, u64, u64), (usize, usize, usize, usize), (u64, u64), Vec<(u64, u32)>);

#[pymethods]
impl Tally {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self { sum: StageRun::default(), runs: 0, skipped: 0, retried: 0, durations: Histogram::new()? })
    }

    /// Counts one batch.
    pub(crate) fn add(&mut self, run: &StageRun) -> PyResult<()> {
        self.runs += 1;
        self.sum.count(run);
        self.durations.record(run.duration_ns)
    }

    /// Counts documents that the stage did not see.
    pub(crate) fn skip(&mut self, documents: u64) {
        self.skipped += documents;
    }

    /// Counts documents that are tried again.
    fn retry(&mut self, documents: u64) {
        self.retried += documents;
    }

    /// Whether anything has been counted.
    #[getter]
    fn used(&self) -> bool {
        self.runs > 0 || self.skipped > 0 || self.retried > 0
    }

    /// The counts.
    fn dump(&self) -> Tallied {
        let StageRun { failures, documents, dropped, changed, expanded, fuel, memory, .. } = self.sum;
        (
            (self.runs, failures, self.skipped, self.retried),
            (documents, dropped, changed, expanded),
            (fuel, memory),
            self.durations.counts(),
        )
    }
}

/// Counts and durations of the runs of one version of a pipeline.
#[pyclass(module = "headrace_pipelines._wasm")]
pub(crate) struct RunTally {
    current: i64,
    runs: u64,
    failed: u64,
    sum: Documents,
    /// When the last run ended, in seconds since 1970.
    last: f64,
    durations: Histogram,
}

/// The documents of a run: those that came, were left, dropped, and ended as errors.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Documents {
    pub(crate) live: usize,
    pub(crate) left: usize,
    pub(crate) dropped: usize,
    pub(crate) failures: usize,
}

/// The values of a tally of runs: (runs, failed runs, runs in progress), (documents, left, dropped, failed), when the last run
/// ended, durations.
type TalliedRuns = ((u64, u64, i64), (usize, usize, usize, usize), f64, Vec<(u64, u32)>);

#[pymethods]
impl RunTally {
    #[new]
    fn new() -> PyResult<Self> {
        let (sum, durations) = (Documents::default(), Histogram::new()?);
        Ok(Self { current: 0, runs: 0, failed: 0, sum, last: 0.0, durations })
    }

    /// Counts a run in progress.
    fn start(&mut self) {
        self.current += 1;
    }

    /// Takes back `start`.
    fn forget(&mut self) {
        self.current -= 1;
    }

    /// Counts a run in progress as finished; it failed if any of its documents ended as an error.
    fn end(&mut self, ns: u64, live: usize, left: usize, dropped: usize, failures: usize) -> PyResult<()> {
        self.current -= 1;
        self.add(ns, Documents { live, left, dropped, failures })
    }

    /// The number of finished runs.
    #[getter]
    fn runs(&self) -> u64 {
        self.runs
    }

    /// The counts.
    fn dump(&self) -> TalliedRuns {
        let Documents { live, left, dropped, failures } = self.sum;
        ((self.runs, self.failed, self.current), (live, left, dropped, failures), self.last, self.durations.counts())
    }
}

impl RunTally {
    /// Counts a finished run that was not counted as one in progress.
    pub(crate) fn add(&mut self, ns: u64, documents: Documents) -> PyResult<()> {
        self.runs += 1;
        self.failed += u64::from(documents.failures > 0);
        self.sum.live += documents.live;
        self.sum.left += documents.left;
        self.sum.dropped += documents.dropped;
        self.sum.failures += documents.failures;
        self.last = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        self.durations.record(ns)
    }
}

/// One hour, in µs.
const LONGEST: u64 = 3_600_000_000;

/// Counts durations; nothing is lost to averaging.
#[pyclass(module = "headrace_pipelines._wasm")]
pub(crate) struct Histogram {
    inner: Hdr<u32>,
}

#[pymethods]
impl Histogram {
    #[new]
    fn new() -> PyResult<Self> {
        // It grows with the longest duration: few stages ever see seconds, and there are many stages.
        let mut inner = Hdr::new(3).map_err(|e| PyRuntimeError::new_err(e.to_string()))?;
        inner.auto(true);
        Ok(Self { inner })
    }

    /// Counts one duration in nanoseconds; longer than an hour counts as an hour.
    fn record(&mut self, ns: u64) -> PyResult<()> {
        self.record_us(ns / 1000, 1)
    }

    /// The recorded durations: (µs, count).
    fn counts(&self) -> Vec<(u64, u32)> {
        self.inner.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect()
    }

    /// Adds what another histogram recorded.
    fn add(&mut self, counts: Vec<(u64, u32)>) -> PyResult<()> {
        counts.into_iter().try_for_each(|(value, count)| self.record_us(value, count))
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.inner.len()).unwrap_or(usize::MAX)
    }

    /// The duration in milliseconds that a share `q` (0 to 1) of the records does not exceed; 0 without records.
    fn quantile_ms(&self, q: f64) -> f64 {
        self.inner.value_at_quantile(q) as f64 / 1000.0
    }

    /// Mean duration in milliseconds; 0 without records.
    #[getter]
    fn mean_ms(&self) -> f64 {
        self.inner.mean() / 1000.0
    }
}

impl Histogram {
    /// Counts durations in microseconds. The crate's saturating calls do not grow a histogram: they count what is too long
    /// for it as 2 µs.
    fn record_us(&mut self, us: u64, count: u32) -> PyResult<()> {
        self.inner.record_n(us.clamp(1, LONGEST), count).map_err(|e| PyRuntimeError::new_err(e.to_string()))
    }
}
