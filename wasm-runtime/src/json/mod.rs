//! JSON without a tree: find, splice and check values in raw bytes.
//!
//! A document that nobody touches leaves as the bytes that came in, and a touched one keeps the raw
//! text of every field that was not (number text, escapes, key order). So nothing here builds a DOM:
//! values are byte ranges of the text. Of duplicate keys the last one counts, as in Jackson.
//!
//! Everything here trusts its input to be one valid JSON value: `valid::check` runs once when a document enters a
//! pipeline, and again on what a UDF returns.

pub(crate) mod bracket_path;
mod change;
mod edit;
pub(crate) mod filter_path;
pub(crate) mod index;
pub(crate) mod java;
mod lex;
mod lookup;
pub(crate) mod media;
pub(crate) mod scan;
pub(crate) mod strict;
pub(crate) mod validate;

pub(crate) use self::change::{
    DEEPEST_PATH, change, change_at, insert_member, merge, remove, remove_member, set, set_members,
};
pub(crate) use self::edit::{Edit, recycle, scratch_copy, splice};
pub(crate) use self::lex::{
    Entries, Entry, key_is, quote, skip_string, skip_value, skip_ws, string, unescape, write_quoted,
};
pub(crate) use self::lookup::{elements, find, get, is_plain, repeated_key, segments};

#[cfg(test)]
mod tests;
