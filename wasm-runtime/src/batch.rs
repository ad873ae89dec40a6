//! Documents on their way through the stages of a pipeline, and what became of each.
//!
//! A batch is a whole `_bulk`, one document, one search body or one response. Python decides per stage (policy, deadline,
//! statistics); the loops over documents are here and run without the GIL.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::contract::Contract;
use crate::error::Fault;
use crate::host::Meta;
use crate::json;
use crate::module::Udf;
use crate::native::Native;
use crate::runtime::guard_signals;
use crate::watchdog::{self, now_ns};
use crate::work::{Runner, Work};

/// Errors and log lines that one stage reports per batch; the rest is only counted.
const SAMPLES: usize = 8;
pub const LOG_LINES: usize = 64;

/// What the documents of a batch are: it decides what `false` and lists mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Document,
    Query,
    Result,
}

/// The text of a document: a part of the body it came in, or new.
#[derive(Debug, Clone)]
pub enum Text {
    Shared(Range<usize>),
    Owned(Vec<u8>),
}

#[derive(Debug, Clone)]
pub enum State {
    Live,
    Dropped,
    /// A trial run ended with a value that is no document.
    Finished,
    Failed {
        fault: Fault,
        pipeline: String,
        stage: String,
    },
}

#[derive(Debug, Clone)]
pub struct Doc {
    pub text: Text,
    pub meta: Meta,
    pub state: State,
    /// The bulk action it belongs to.
    pub slot: usize,
}

/// What a stage does to one document.
#[derive(Debug, PartialEq)]
pub enum Effect {
    Unchanged,
    Replaced(Vec<u8>),
    Dropped,
    /// Trial runs only: the output is this value, and the pipeline ends.
    Finished(Vec<u8>),
}

/// When a request's work has to end, and whether it was cancelled; shared by all its stages.
#[pyclass(frozen, module = "pipelines._wasm")]
pub struct Deadline {
    pub inner: Arc<watchdog::Deadline>,
}

#[pymethods]
impl Deadline {
    /// `seconds` from now; `None` for no deadline.
    #[new]
    #[pyo3(signature = (seconds=None))]
    fn new(seconds: Option<f64>) -> Self {
        let at_ns = seconds.map_or(u64::MAX, |s| now_ns().saturating_add((s.max(0.0) * 1e9) as u64));
        Self { inner: Arc::new(watchdog::Deadline { at_ns, cancelled: AtomicBool::new(false) }) }
    }

    /// Ends the work in progress, also a guest in an endless loop.
    fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether `cancel` was called.
    #[getter]
    fn cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Relaxed)
    }

    /// Seconds left (0 when over); `None` without a deadline.
    fn remaining(&self) -> Option<f64> {
        (self.inner.at_ns != u64::MAX).then(|| self.inner.at_ns.saturating_sub(now_ns()) as f64 / 1e9)
    }

    /// Whether the time is over or the work was cancelled.
    #[getter]
    fn over(&self) -> bool {
        self.cancelled() || now_ns() >= self.inner.at_ns
    }
}

/// What one stage did to a batch. Times in nanoseconds, fuel in points, memory in bytes.
#[pyclass(frozen, get_all, module = "pipelines._wasm")]
#[derive(Debug, Default)]
pub struct StageRun {
    pub documents: usize,
    pub changed: usize,
    pub dropped: usize,
    pub failures: usize,
    pub duration_ns: u64,
    pub fuel: u64,
    pub memory: u64,
    /// (position in the batch, error type, reason), the first few.
    pub errors: Vec<(usize, String, String)>,
    /// (position in the batch, level, text), the first few.
    pub logs: Vec<(usize, i32, String)>,
}

#[pyclass(module = "pipelines._wasm")]
pub struct Batch {
    pub body: Arc<PyBackedBytes>,
    pub docs: Vec<Doc>,
    pub kind: Kind,
    pub trial: bool,
}

/// How a stage runs: where its errors are filed, and whether they end the document's way.
struct Terms<'a> {
    abort: bool,
    pipeline: &'a str,
    stage: &'a str,
}

#[pymethods]
impl Batch {
    /// A batch of one document: `kind` is "document", "query" or "result".
    #[staticmethod]
    #[pyo3(signature = (kind, text, *, index=None, id=None, trial=false))]
    fn of(kind: &str, text: PyBackedBytes, index: Option<String>, id: Option<String>, trial: bool) -> PyResult<Self> {
        let kind = match kind {
            "document" => Kind::Document,
            "query" => Kind::Query,
            "result" => Kind::Result,
            _ => return Err(PyValueError::new_err(format!("no kind of batch: {kind}"))),
        };
        let doc = Doc {
            text: Text::Shared(0..text.len()),
            meta: Meta { index, id, score: 0.0 },
            state: State::Live,
            slot: 0,
        };
        Ok(Self { body: Arc::new(text), docs: vec![doc], kind, trial })
    }

    fn __len__(&self) -> usize {
        self.docs.len()
    }

    /// Documents still on their way.
    #[getter]
    fn live(&self) -> usize {
        self.docs.iter().filter(|d| matches!(d.state, State::Live)).count()
    }

    /// Documents that ended as errors.
    #[getter]
    fn failed(&self) -> usize {
        self.docs.iter().filter(|d| matches!(d.state, State::Failed { .. })).count()
    }

    /// Bytes of the documents still on their way.
    #[getter]
    fn nbytes(&self) -> usize {
        self.docs.iter().filter(|d| matches!(d.state, State::Live)).map(|d| self.text(d).len()).sum()
    }

    /// The text of document `i` as it now is.
    fn document<'py>(&self, py: Python<'py>, i: usize) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.text(self.doc(i)?)))
    }

    /// What became of document `i`: ("live" | "dropped" | "finished", None), or ("failed", (status, type, reason, pipeline, stage)).
    #[allow(clippy::type_complexity)]
    fn outcome(&self, i: usize) -> PyResult<(&'static str, Option<(u16, String, String, String, String)>)> {
        Ok(match &self.doc(i)?.state {
            State::Live => ("live", None),
            State::Dropped => ("dropped", None),
            State::Finished => ("finished", None),
            State::Failed { fault, pipeline, stage } => (
                "failed",
                Some((fault.status, fault.kind.to_string(), fault.reason.clone(), pipeline.clone(), stage.clone())),
            ),
        })
    }

    /// Fails every document that is not one JSON object in UTF-8 (nested at most 128 deep); returns how many.
    fn check(&mut self, py: Python<'_>, pipeline: &str) -> usize {
        py.detach(|| {
            let mut bad = 0;
            let (body, kind) = (Arc::clone(&self.body), self.kind);
            for doc in self.docs.iter_mut().filter(|d| matches!(d.state, State::Live)) {
                if let Err(why) = json::check_object(text_of(&body, &doc.text)) {
                    let kind = if kind == Kind::Document { "mapper_parsing_exception" } else { "parse_exception" };
                    let fault = Fault::new(400, kind, format!("failed to parse: {}", why.0));
                    doc.state = State::Failed { fault, pipeline: pipeline.to_owned(), stage: String::new() };
                    bad += 1;
                }
            }
            bad
        })
    }

    /// Fails every live document with the same error: a deadline that has passed, a stage that cannot run.
    fn fail_all(&mut self, status: u16, kind: String, reason: &str, pipeline: &str, stage: &str) {
        for doc in self.docs.iter_mut().filter(|d| matches!(d.state, State::Live)) {
            doc.state = State::Failed {
                fault: Fault { status, kind: kind.clone().into(), reason: reason.to_owned() },
                pipeline: pipeline.to_owned(),
                stage: stage.to_owned(),
            };
        }
    }

    /// Runs a UDF on every live document.
    ///
    /// `abort`: a failing document ends as an error, else it keeps its text and goes on. `timeout` (seconds) and
    /// `deadline` bound the whole stage; the UDF's own limits bound each document.
    #[pyo3(signature = (udf, deadline, *, abort, pipeline, stage, timeout=None, target_field=None, merge=false))]
    #[allow(clippy::too_many_arguments)]
    fn run_udf(
        &mut self,
        py: Python<'_>,
        udf: &Bound<'_, Udf>,
        deadline: &Bound<'_, Deadline>,
        abort: bool,
        pipeline: &str,
        stage: &str,
        timeout: Option<f64>,
        target_field: Option<&str>,
        merge: bool,
    ) -> StageRun {
        let udf = udf.get();
        let contract = Contract {
            kind: self.kind,
            trial: self.trial,
            merge: merge || udf.merge,
            target_field: target_field.map(str::to_owned),
        };
        let start = now_ns();
        let stage_at = timeout.map_or(u64::MAX, |s| start.saturating_add((s * 1e9) as u64));
        let runner = Runner {
            udf: Arc::clone(&udf.inner),
            isolate: udf.isolate,
            deadline: Arc::clone(&deadline.get().inner),
            stage_at,
            fuel: udf.inner.fuel(),
        };
        let terms = Terms { abort, pipeline, stage };
        py.detach(|| {
            guard_signals();
            let mut run = StageRun::default();
            let mut work = Work::new(&runner);
            let body = Arc::clone(&self.body);
            for (at, doc) in live(&mut self.docs) {
                let text = text_of(&body, &doc.text);
                let called = work.call(text, &doc.meta, at, &mut run);
                let effect = called.and_then(|(output, edited)| contract.apply(text, output, edited));
                settle(doc, at, effect, &terms, &mut run);
            }
            work.finish(&mut run);
            run.duration_ns = now_ns() - start;
            run
        })
    }

    /// Runs a built-in on every live document.
    #[pyo3(signature = (native, *, abort, pipeline, stage))]
    fn run_native(
        &mut self,
        py: Python<'_>,
        native: &Bound<'_, Native>,
        abort: bool,
        pipeline: &str,
        stage: &str,
    ) -> StageRun {
        let native = native.get();
        let terms = Terms { abort, pipeline, stage };
        py.detach(|| {
            let start = now_ns();
            let mut run = StageRun::default();
            let body = Arc::clone(&self.body);
            for (at, doc) in live(&mut self.docs) {
                let effect = native.apply(text_of(&body, &doc.text), &doc.meta);
                settle(doc, at, effect, &terms, &mut run);
            }
            run.duration_ns = now_ns() - start;
            run
        })
    }
}

impl Batch {
    fn doc(&self, i: usize) -> PyResult<&Doc> {
        self.docs
            .get(i)
            .ok_or_else(|| PyIndexError::new_err(format!("no document {i} in a batch of {}", self.docs.len())))
    }

    fn text<'a>(&'a self, doc: &'a Doc) -> &'a [u8] {
        text_of(&self.body, &doc.text)
    }
}

fn text_of<'a>(body: &'a [u8], text: &'a Text) -> &'a [u8] {
    match text {
        Text::Shared(range) => &body[range.clone()],
        Text::Owned(bytes) => bytes,
    }
}

fn live(docs: &mut [Doc]) -> impl Iterator<Item = (usize, &mut Doc)> {
    docs.iter_mut().enumerate().filter(|(_, d)| matches!(d.state, State::Live))
}

/// Writes a stage's effect into the document and the counts.
fn settle(doc: &mut Doc, at: usize, effect: Result<Effect, Fault>, terms: &Terms<'_>, run: &mut StageRun) {
    run.documents += 1;
    match effect {
        Ok(Effect::Unchanged) => {}
        Ok(Effect::Replaced(text)) => {
            run.changed += 1;
            doc.text = Text::Owned(text);
        }
        Ok(Effect::Dropped) => {
            run.dropped += 1;
            doc.state = State::Dropped;
        }
        Ok(Effect::Finished(value)) => {
            run.changed += 1;
            doc.text = Text::Owned(value);
            doc.state = State::Finished;
        }
        Err(fault) => {
            run.failures += 1;
            if run.errors.len() < SAMPLES {
                run.errors.push((at, fault.kind.to_string(), fault.reason.clone()));
            }
            if terms.abort {
                doc.state = State::Failed { fault, pipeline: terms.pipeline.to_owned(), stage: terms.stage.to_owned() };
            }
        }
    }
}

/// Why `text` is not one JSON object, or `None` if it is one.
#[pyfunction]
pub fn check_object(text: &[u8]) -> Option<String> {
    json::check_object(text).err().map(|e| e.0)
}

/// Tells the allocator to keep buffers for the next request; for processes that serve traffic.
#[pyfunction]
pub fn keep_buffers() {
    crate::runtime::keep_buffers();
}
