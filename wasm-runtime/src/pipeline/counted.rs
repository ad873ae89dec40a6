//! A pipeline whose stages are fused, with where its runs are counted: one call runs it, and one counts what it did.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pyo3::prelude::*;

use crate::document::effect::ErrorContext;
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
}

#[pymethods]
impl FusedPipeline {
    /// `tallies`: for each step that of the stage, and that of its UDF.
    #[new]
    fn new(
        label: String,
        steps: Vec<Py<Step>>,
        tallies: Vec<StageTallies>,
        runs: Py<RunTally>,
        conditions: Vec<Py<Condition>>,
    ) -> Self {
        Self { label, steps, tallies, runs, conditions }
    }
}

/// A run of such a pipeline, which is done and not counted yet.
#[pyclass(module = "headrace_pipelines._wasm")]
pub(crate) struct FusedRun {
    pipeline: Py<FusedPipeline>,
    counts: Vec<Counts>,
    documents: Documents,
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

    /// The labels of the stages that failed on all that came, and let it pass.
    #[getter]
    fn skipped(&self) -> Vec<&str> {
        let steps = self.pipeline.get().steps.iter().map(Py::get);
        let tolerated = steps.zip(&self.counts).filter(|(step, (reached, asked, ran))| {
            let failures = |run: &Option<StageRun>| run.as_ref().map_or(0, |run| run.failures);
            let failed = if failures(ran) > 0 { failures(ran) } else { failures(asked) };
            step.aborts == Some(false) && failed > 0 && failed == *reached
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
        Self { pipeline, counts, documents, duration_ns: 0, nbytes: 0, late: false }
    }

    /// Runs the pipeline over a batch, on this thread. One that panics is counted before that goes on.
    pub(crate) fn over(py: Python<'_>, pipeline: Py<FusedPipeline>, batch: &mut Batch, deadline: &Deadline) -> Self {
        let start = now_ns();
        let (live, ..) = batch.counts();
        let nbytes = batch.nbytes();
        let fused = pipeline.get();
        let work = || {
            let planned = batch.planned(&fused.steps, deadline, true, &fused.label, u64::MAX);
            let check = ErrorContext::of_check(&fused.label);
            let counts = batch.run_planned(&planned, &deadline.inner, u64::MAX, check, 1);
            (counts, batch.counts())
        };
        let done = py.detach(|| catch_unwind(AssertUnwindSafe(work)));
        let duration_ns = now_ns() - start;
        let (counts, (left, failures, dropped)) = done.unwrap_or_else(|panic| {
            let documents = Documents { live, ..Documents::default() };
            // The panic is what has to be told.
            let _ = fused.runs.borrow_mut(py).add(duration_ns, documents);
            resume_unwind(panic)
        });
        let documents = Documents { live, left, dropped, failures };
        Self { pipeline, counts, documents, duration_ns, nbytes, late: deadline.inner.is_over() }
    }
}
