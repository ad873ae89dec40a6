//! The hits of a response.

pub(crate) mod flat;
pub(crate) mod hits;
pub(crate) mod unreadable;
