//! Errors of one document in one stage, and the only mapping of wasmer's traps.

use std::borrow::Cow;
use std::ops::Deref;

use pyo3::exceptions::PyException;
use wasmer::RuntimeError;
use wasmer_types::TrapCode;

pyo3::create_exception!(
    _wasm,
    ModuleError,
    PyException,
    "A UDF module that cannot be used: not WebAssembly, an import we do not have, an entry that fits no ABI."
);
pyo3::create_exception!(
    _wasm,
    BulkError,
    PyException,
    "A `_bulk` body that OpenSearch refuses as a whole; the text is OpenSearch's own."
);

/// Why a stage failed on a document. `kind` is the `type` of the error that the client sees.
///
/// A document's own fault is 400; what a retry may cure (deadline, memory limit) is 429, never a 5xx,
/// because clients retry exactly the items with 429.
///
/// One word: what may be one is handed from frame to frame for every document, and hardly ever is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(Box<Facts>);

/// The content of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) status: u16,
    pub(crate) kind: Cow<'static, str>,
    pub(crate) reason: String,
    /// The message of the innermost exception where OpenSearch has one in another: what its failure handlers are told.
    pub(crate) cause: Option<String>,
}

impl Deref for Fault {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl Fault {
    pub(crate) fn new(status: u16, kind: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self(Box::new(Facts { status, kind: kind.into(), reason: reason.into(), cause: None }))
    }

    /// The same with the message of the innermost exception.
    pub(crate) fn caused_by(mut self, cause: String) -> Self {
        self.0.cause = Some(cause);
        self
    }

    /// The same for another reason.
    pub(crate) fn because(mut self, reason: String) -> Self {
        self.0.reason = reason;
        self
    }

    /// An option or a field that a built-in cannot work with, in OpenSearch's own type.
    pub(crate) fn illegal(reason: impl Into<String>) -> Self {
        Self::new(400, "illegal_argument_exception", reason)
    }

    /// A UDF whose answer breaks the result contract.
    pub(crate) fn result(reason: impl Into<String>) -> Self {
        Self::new(400, "udf_result_exception", reason)
    }

    pub(crate) fn timeout(reason: impl Into<String>) -> Self {
        Self::new(429, "udf_timeout_exception", reason)
    }

    /// Whether time or fuel ran out.
    pub(crate) fn is_timeout(&self) -> bool {
        self.kind == "udf_timeout_exception"
    }

    pub(crate) fn deadline() -> Self {
        Self::timeout("the deadline of the stage or pipeline has passed")
    }

    /// A panic of the engine's own: the details are in the process's standard error.
    pub(crate) fn defect() -> Self {
        Self::new(500, "engine_exception", "the engine failed on this document: a defect, please report it")
    }

    /// More of something than one document may cost.
    pub(crate) fn too_much(what: &str) -> Self {
        Self::new(400, "document_limit_exception", format!("{what}; make the document smaller"))
    }

    pub(crate) fn cancelled() -> Self {
        Self::timeout("the request was cancelled")
    }

    pub(crate) fn memory(reason: impl Into<String>) -> Self {
        Self::new(429, "udf_memory_limit_exception", reason)
    }

    /// A UDF that is not called for so many nanoseconds.
    pub(crate) fn breaker(left_ns: u64) -> Self {
        let seconds = left_ns.div_ceil(1_000_000_000).max(1);
        let reason = format!("the UDF has failed too often and is not called; it is tried again in {seconds} s");
        Self::new(429, "udf_breaker_exception", reason)
    }

    pub(crate) fn trap(reason: impl Into<String>) -> Self {
        Self::new(400, "udf_trap_exception", reason)
    }

    /// The fault behind an error that ended a guest call, metering aside (its trap says only "unreachable").
    pub(crate) fn from_runtime(error: &RuntimeError) -> Self {
        match error.clone().to_trap() {
            Some(TrapCode::StackOverflow) => Self::trap("the UDF recursed too deep: call stack exhausted"),
            Some(TrapCode::HeapAccessOutOfBounds) => Self::trap("the UDF read or wrote outside its memory"),
            Some(TrapCode::UnreachableCodeReached) => {
                Self::trap("the UDF trapped: unreachable instruction (abort, panic or failed assertion)")
            }
            Some(code) => Self::trap(format!("the UDF trapped: {}", code.message())),
            None => Self::trap(format!("the UDF failed: {}", error.message())),
        }
    }
}
