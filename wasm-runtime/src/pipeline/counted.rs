//! A pipeline whose stages are fused, with where its runs are counted: one call runs it, and one counts what it did.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pyo3::prelude::*;

use crate::document::Kind;
use crate::document::effect::{ErrorContext, name_of};
use crate::engine::clock::now_ns;
use crate::engine::deadline::Deadline;
use crate::pipeline::batch::Batch;
use crate::pipeline::condition::Condition;
use crate::pipeline::stage::Counts;
use crate::pipeline::step::Step;
use crate::stats::{Documents, RunTally, StageRun, Tally};

/// The tally of a stage, and that of its UDF.
type StageTallies = (Py<Tally>, Option<Py<Tally>>);

/// A pipeline whose stages run in one pass over its documents.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct FusedPipeline {
    label: String,
    steps: Vec<Py<Step>>,
    tallies: Vec<StageTallies>,
    runs: Py<RunTally>,
    /// If a document meets none of these, no stage does anything to it; empty where that is not so.
    pub(crate) conditions: Vec<Py<Condition>>,
    /// Whether a failure ends a document's way where a stage does not say.
    closed: bool,
    /// Whether hits that cannot be read pass by it.
    sifts: bool,
}

#[pymethods]
impl FusedPipeline {
    /// `tallies`: for each step that of the stage, and that of its UDF. `closed`: a failure ends a document's way where a stage
    /// does not say. `sifts`: hits of a response that cannot be read pass by it.
    #[new]
    #[pyo3(signature = (label, steps, tallies, runs, conditions, *, closed, sifts))]
    fn new(
        label: String,
        steps: Vec<Py<Step>>,
        tallies: Vec<StageTallies>,
        runs: Py<RunTally>,
        conditions: Vec<Py<Condition>>,
        closed: bool,
        sifts: bool,
    ) -> Self {
        Self { label, steps, tallies, runs, conditions, closed, sifts }
    }

    /// Runs it over a batch, for `seconds` at most; see [`FusedRun::late`].
    fn run(slf: Py<Self>, py: Python<'_>, mut batch: PyRefMut<'_, Batch>, seconds: f64) -> FusedRun {
        FusedRun::over(py, slf, &mut batch, &Deadline::new(Some(seconds)))
    }
}

impl FusedPipeline {
    /// The stages over the documents; `None` for a response that cannot be read, which passes by.
    fn run_stages(&self, batch: &mut Batch, deadline: &Deadline) -> Option<Vec<Counts>> {
        let sifted = if self.sifts { batch.sift_response(false)? } else { 0 };
        // A `_meta` that the client wrote itself stays: the cluster refuses it.
        let takes_notes = batch.kind == Kind::Query && !batch.has_notes();
        let planned = batch.planned(&self.steps, deadline, self.closed, &self.label, u64::MAX);
        let check = ErrorContext::of_check(&self.label);
        let counts = batch.run_planned(&planned, &deadline.inner, u64::MAX, check, 1);
        if takes_notes {
            batch.take_notes();
        }
        if sifted > 0 {
            batch.restore_hits();
        }
        Some(counts)
    }
}

/// A run of such a pipeline, which is done and not counted yet.
#[pyclass(module = "headrace_pipelines._wasm")]
pub(crate) struct FusedRun {
    pipeline: Py<FusedPipeline>,
    counts: Vec<Counts>,
    /// Whether it let a response pass by that cannot be read.
    passed_by: bool,
    documents: Documents,
    /// Nanoseconds by the wall clock, without the wait for the interpreter.
    #[pyo3(get)]
    duration_ns: u64,
    /// Bytes of the documents.
    #[pyo3(get)]
    nbytes: usize,
    /// Whether the time was over before it was done: its batch is spent.
    #[pyo3(get)]
    pub(crate) late: bool,
}

#[pymethods]
impl FusedRun {
    /// The documents that came.
    fn __len__(&self) -> usize {
        self.documents.live
    }

    /// Counts it; gives the stages that have errors or lines to tell: (position, what it did).
    fn count(&mut self, py: Python<'_>) -> PyResult<Vec<(usize, StageRun)>> {
        let pipeline = self.pipeline.get();
        let mut telling = Vec::new();
        for (at, (_, asked, ran)) in std::mem::take(&mut self.counts).into_iter().enumerate() {
            let (stage, udf) = &pipeline.tallies[at];
            if let Some(asked) = asked {
                if asked.skipped > 0 {
                    stage.borrow_mut(py).skip(asked.skipped as u64);
                }
                if !asked.errors.is_empty() {
                    telling.push((at, asked));
                }
            }
            if let Some(ran) = ran {
                stage.borrow_mut(py).add(&ran)?;
                if let Some(udf) = udf {
                    udf.borrow_mut(py).add(&ran)?;
                }
                if !ran.errors.is_empty() || !ran.logs.is_empty() {
                    telling.push((at, ran));
                }
            }
        }
        pipeline.runs.borrow_mut(py).add(self.duration_ns, self.documents)?;
        Ok(telling)
    }

    /// The labels of the stages that failed on all that came, and let it pass; the pipeline's name for a response that passed by.
    #[getter]
    fn skipped(&self) -> Vec<&str> {
        let pipeline = self.pipeline.get();
        if self.passed_by {
            return vec![name_of(&pipeline.label)];
        }
        let steps = pipeline.steps.iter().map(Py::get);
        let tolerated = steps.zip(&self.counts).filter(|(step, (reached, asked, ran))| {
            let failures = |run: &Option<StageRun>| run.as_ref().map_or(0, |run| run.failures);
            let failed = if failures(ran) > 0 { failures(ran) } else { failures(asked) };
            !step.aborts.unwrap_or(pipeline.closed) && failed > 0 && failed == *reached
        });
        tolerated.map(|(step, _)| step.label.as_str()).collect()
    }
}

impl FusedRun {
    /// A run over so many documents, none of which meets any condition of the pipeline.
    pub(crate) fn idle(pipeline: Py<FusedPipeline>, documents: usize) -> Self {
        let asked = || StageRun { documents, skipped: documents, ..StageRun::default() };
        let counts = pipeline.get().steps.iter().map(|_| (documents, Some(asked()), None)).collect();
        let documents = Documents { live: documents, left: documents, ..Documents::default() };
        Self { pipeline, counts, passed_by: false, documents, duration_ns: 0, nbytes: 0, late: false }
    }

    /// Runs the pipeline over a batch, on this thread. One that panics is counted before that goes on.
    pub(crate) fn over(py: Python<'_>, pipeline: Py<FusedPipeline>, batch: &mut Batch, deadline: &Deadline) -> Self {
        let (live, ..) = batch.counts();
        let nbytes = batch.nbytes();
        let fused = pipeline.get();
        // The wait for the interpreter afterwards is no time of the run.
        let (done, duration_ns, late) = py.detach(|| {
            let start = now_ns();
            let work = || (fused.run_stages(batch, deadline), batch.counts());
            let done = catch_unwind(AssertUnwindSafe(work));
            (done, now_ns() - start, deadline.inner.is_over())
        });
        let (counts, (left, failures, dropped)) = done.unwrap_or_else(|panic| {
            let documents = Documents { live, ..Documents::default() };
            // The panic is what has to be told.
            let _ = fused.runs.borrow_mut(py).add(duration_ns, documents);
            resume_unwind(panic)
        });
        let documents = Documents { live, left, dropped, failures };
        let passed_by = counts.is_none();
        Self { pipeline, counts: counts.unwrap_or_default(), passed_by, documents, duration_ns, nbytes, late }
    }
}
