//! Stages that can run together, as Python names them.

use pyo3::prelude::*;

use crate::native::Native;
use crate::pipeline::condition::Condition;
use crate::udf::module::Udf;

/// A stage that can run together with its neighbours: no time limit, retries or handlers of its own.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct Step {
    pub(crate) label: String,
    pub(crate) op: StepOp,
    pub(crate) condition: Option<Py<Condition>>,
    /// Whether a failure ends a document's way; `None`: as the pipeline's place has it.
    pub(crate) aborts: Option<bool>,
}

/// The operation of a step.
pub(crate) enum StepOp {
    Native(Py<Native>),
    Udf { udf: Py<Udf>, processor: String, target_field: Option<String>, merge: bool, metadata: bool },
}

#[pymethods]
impl Step {
    /// A built-in.
    #[staticmethod]
    #[pyo3(signature = (label, native, *, condition=None, aborts=None))]
    fn native(label: String, native: Py<Native>, condition: Option<Py<Condition>>, aborts: Option<bool>) -> Self {
        Self { label, op: StepOp::Native(native), condition, aborts }
    }

    /// A UDF; options as those of `Batch.run_udf`. `None` for one that takes many documents in a call; of a compiled one only
    /// where there may be several: `single` says that there are not.
    #[staticmethod]
    #[pyo3(signature = (label, udf, *, condition=None, aborts=None, processor="", target_field=None, merge=false,
                        metadata=false, single=false))]
    #[allow(clippy::too_many_arguments)]
    fn udf(
        label: String,
        udf: Py<Udf>,
        condition: Option<Py<Condition>>,
        aborts: Option<bool>,
        processor: &str,
        target_field: Option<String>,
        merge: bool,
        metadata: bool,
        single: bool,
    ) -> Option<Self> {
        if udf.get().batched() && (!single || udf.get().inner.interpreted()) {
            return None;
        }
        let op = StepOp::Udf { udf, processor: processor.to_owned(), target_field, merge, metadata };
        Some(Self { label, op, condition, aborts })
    }
}

impl Step {
    /// The name of what it runs.
    pub(crate) fn processor(&self) -> &str {
        match &self.op {
            StepOp::Native(native) => native.get().function_name(),
            StepOp::Udf { processor, .. } => processor,
        }
    }
}
