//! Stages over the documents of a batch.

use std::sync::Arc;

use pyo3::Py;

use super::state::Batch;
use crate::document::Kind;
use crate::document::effect::{ErrorContext, name_of};
use crate::document::metadata_fields::MetadataView;
use crate::engine::clock::{self, now_ns};
use crate::engine::compiler::guard_signals;
use crate::engine::deadline::{Deadline, within};
use crate::native::Native;
use crate::native::fit_mapping::Fitting;
use crate::pipeline::apply::StageWriter;
use crate::pipeline::batched::{LateCheck, in_chunks};
use crate::pipeline::fused;
use crate::pipeline::parallel::run_fused;
use crate::pipeline::stage::{Counts, PlannedOp, PlannedStage, StageOp, StageState};
use crate::pipeline::step::{Step, StepOp};
use crate::stats::StageRun;
use crate::udf::invoke::{CallLimits, Invoker};
use crate::udf::module::Udf;
use crate::udf::result_contract::Contract;

impl Batch {
    /// Every active document through a UDF; `view`: it sees metadata as members; `batched`: it takes many in a call.
    pub(super) fn run_contract(
        &mut self,
        limits: &CallLimits,
        contract: &Contract,
        context: ErrorContext<'_>,
        view: Option<MetadataView>,
        batched: bool,
    ) -> StageRun {
        guard_signals();
        self.own_texts();
        let body = Arc::clone(&self.body);
        let invoker = Invoker::new(limits);
        let has_second = || self.docs.iter().filter(|doc| doc.active()).nth(1).is_some();
        if limits.udf.interpreted() || batched && has_second() {
            // All texts are the documents' own now.
            self.output.clear();
            let writer = StageWriter::new(context, view);
            let check = LateCheck { context: ErrorContext::of_check(context.pipeline), kind: self.kind };
            return in_chunks(invoker, contract, writer, &body, &mut self.docs, &mut self.output, &check);
        }
        fused::run_single(
            StageState::new(context, None, StageOp::Udf { invoker, contract, view }),
            &body,
            &mut self.docs,
        )
    }

    /// Every active document through a built-in.
    pub(super) fn run_built_in(
        &mut self,
        native: &Native,
        deadline: &Arc<clock::Deadline>,
        timeout: Option<f64>,
        context: ErrorContext<'_>,
    ) -> StageRun {
        self.own_texts();
        let body = Arc::clone(&self.body);
        let stage = StageState::new(context, None, StageOp::Native(native));
        let fitting = self.fitting.clone();
        let run = || within(deadline, end_of(now_ns(), timeout), || fused::run_single(stage, &body, &mut self.docs));
        Fitting::hold(fitting.as_ref(), run)
    }

    /// The steps of one run, with its bounds.
    pub(crate) fn planned<'s>(
        &mut self,
        steps: &'s [Py<Step>],
        deadline: &Deadline,
        closed: bool,
        pipeline: &'s str,
        end: u64,
    ) -> Vec<PlannedStage<'s>> {
        let mut planned = Vec::with_capacity(steps.len());
        for step in steps.iter().map(Py::get) {
            let abort = step.aborts.unwrap_or(closed);
            let mut context =
                |processor| ErrorContext { abort, pipeline, stage: &step.label, processor, run: self.next_run() };
            let condition = step.condition.as_ref().map(|condition| (condition.get(), context("if")));
            let context = context(step.processor());
            let op = match &step.op {
                StepOp::Native(native) => PlannedOp::Native(native.get()),
                StepOp::Udf { udf, target_field, merge, metadata, .. } => PlannedOp::Udf {
                    limits: self.limits(udf.get(), deadline, end, pipeline),
                    contract: self.contract(udf.get(), *merge, target_field.as_deref()),
                    view: metadata.then_some(MetadataView::UDF),
                },
            };
            planned.push(PlannedStage { context, condition, op });
        }
        planned
    }

    /// Every active document through these steps.
    pub(crate) fn run_planned(
        &mut self,
        planned: &[PlannedStage<'_>],
        deadline: &Arc<clock::Deadline>,
        end: u64,
        check: ErrorContext<'_>,
        threads: usize,
    ) -> Vec<Counts> {
        // A sandbox that is made for one batch sees all of its documents.
        let run_single = planned.iter().any(|plan| matches!(&plan.op, PlannedOp::Udf { limits, .. } if limits.fresh));
        let threads = if run_single { 1 } else { threads };
        if planned.iter().any(|plan| matches!(plan.op, PlannedOp::Udf { .. })) {
            guard_signals();
        }
        let body = Arc::clone(&self.body);
        let run = fused::Run { body: &body, kind: self.kind, check, deadline, end, fitting: self.fitting.as_ref() };
        let stages = || planned.iter().map(PlannedStage::state).collect();
        run_fused(&run, &stages, &mut self.output, &mut self.docs, threads)
    }

    /// `udf` with the bounds of a stage that ends at `stage_at`.
    pub(super) fn limits(&self, udf: &Udf, deadline: &Deadline, stage_at: u64, pipeline: &str) -> CallLimits {
        CallLimits {
            udf: Arc::clone(&udf.inner),
            isolate: udf.isolate,
            fresh: udf.fresh,
            hits: self.kind == Kind::Hit,
            deadline: Arc::clone(&deadline.inner),
            stage_at,
            fuel: udf.inner.fuel(),
            pipeline: name_of(pipeline).to_owned(),
            guarded: !self.ignores_breakers,
        }
    }

    /// The result contract of `udf` for the documents.
    pub(super) fn contract(&self, udf: &Udf, merge: bool, target_field: Option<&str>) -> Contract {
        let (kind, trial) = (self.kind, self.trial);
        Contract { kind, trial, merge: merge || udf.merge, target_field: target_field.map(str::to_owned), flat: false }
    }
}

/// When a stage that began at `start` has to end, by `now_ns`; `timeout` in seconds, `None` for never.
pub(super) fn end_of(start: u64, timeout: Option<f64>) -> u64 {
    timeout.map_or(u64::MAX, |s| start.saturating_add((s * 1e9) as u64))
}
