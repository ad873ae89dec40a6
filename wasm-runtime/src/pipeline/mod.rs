//! Stages over the documents of a batch.

pub(crate) mod apply;
pub(crate) mod batch;
pub(crate) mod batched;
pub(crate) mod condition;
pub(crate) mod fused;
pub(crate) mod lane;
pub(crate) mod parallel;
pub(crate) mod question;
pub(crate) mod scopes;
pub(crate) mod step;
