//! JSON without a tree: find, change and check values in raw bytes.
//!
//! A document that nobody touches leaves as the bytes that came in, and a changed one keeps the raw text of every field that was not
//! (number text, escapes, order of keys). So nothing here builds a tree: values are byte ranges of the text. Of duplicate keys the last
//! one counts, as in Jackson.
//!
//! `validate` checks a document when it enters a pipeline, and every answer of a UDF, by one pass over its structure; all else trusts
//! its input to be one valid JSON value. `lex` finds the ends of strings and values, `lookup` finds values by key and path, `change` makes an `edit` of a text. The
//! `index` of a document holds the ranges of its members, found in one pass and asked by every stage. `scan` has the loops over blocks
//! of bytes. `strict` reads JSON as the cluster's reader does and refuses what two readers may take differently. `media` converts the
//! cluster's other media types, `java` prints values as Java does, and `filter_path` reduces answers.

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
pub(crate) use self::index::view::{DocView, LazyIndex, with_view};
pub(crate) use self::lex::{
    Entries, Entry, key_is, quote, skip_string, skip_value, skip_ws, string, unescape, write_quoted,
};
pub(crate) use self::lookup::{elements, find, get, is_plain, repeated_key, segments};

#[cfg(test)]
mod tests;
