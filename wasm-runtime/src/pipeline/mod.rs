//! Stages over the documents of a batch.

pub(crate) mod apply;
pub(crate) mod batch;
pub(crate) mod batched;
pub(crate) mod condition;
pub(crate) mod condition_state;
pub(crate) mod fused;
pub(crate) mod parallel;
pub(crate) mod scopes;
pub(crate) mod stage;
pub(crate) mod step;
