//! Counts of a stage over a batch, and durations with true percentiles (HDR: three significant digits from 1 µs to 1
//! h).

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
    fn add(&mut self, run: &StageRun) -> PyResult<()> {
        self.runs += 1;
        self.sum.count(run);
        self.durations.record(run.duration_ns)
    }

    /// Counts documents that the stage did not see.
    fn skip(&mut self, documents: u64) {
        self.skipped += documents;
    }

    /// Counts documents that are tried again.
    fn retry(&mut self, documents: u64) {
        self.retried += documents;
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
