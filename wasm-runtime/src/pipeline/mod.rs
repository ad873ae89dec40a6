//! Stages over the documents of a batch.

pub mod apply;
pub mod batch;
pub mod batched;
pub mod condition;
pub mod fused;
pub mod scopes;
