//! Stages over the documents of a batch.
//!
//! Python decides which stage runs, by which policy and until when; the loops over documents are here and run without the GIL.
//! `batch` is what Python sees: documents, their states, and the calls that run stages.
//!
//! A stage without a time limit, retries or handlers of its own is a `step`. Neighbouring steps are fused: `fused` takes one document
//! through all of them while it is in the processor's cache, `stage` is one step at work, and `parallel` halves a large batch over two
//! threads. A UDF that takes many documents in a call goes over the batch by `batched`. `apply` writes an effect into its document and
//! counts it; errors, counts and samples are the same in all of these ways. `counted` is a pipeline of nothing but fused stages with its
//! tallies: small requests run and count it in one call each.
//!
//! `condition` compiles and evaluates `if`. `scopes` narrows a batch to the documents that a condition, a retry or a failure handler
//! concerns, and widens it again. `share` splits a batch by a hash of keys, for a version of a pipeline beside another one.

pub(crate) mod apply;
pub(crate) mod batch;
pub(crate) mod batched;
pub(crate) mod condition;
pub(crate) mod counted;
pub(crate) mod fused;
pub(crate) mod parallel;
pub(crate) mod scopes;
pub(crate) mod share;
pub(crate) mod stage;
pub(crate) mod step;
