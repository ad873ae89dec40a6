//! Search responses.
//!
//! `hits` takes the hits of a response out as documents of their own and puts them back. `flat` is the form of a response for UDFs
//! that want no nesting. `unreadable` takes out hits whose stored source is no JSON, so that one bad document does not fail every
//! search that finds it.

pub(crate) mod flat;
pub(crate) mod hits;
pub(crate) mod unreadable;
