//! The hits of a response.

pub mod flat;
pub mod hits;
pub mod unreadable;
