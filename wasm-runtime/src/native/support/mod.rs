//! Parts that built-ins share.
//!
//! `function` is the interface of a built-in, and `rewrite` the usual form of one: a field that is read, converted and written
//! to its target; `field` has names, paths and their error texts. `text_map` is that for texts. `template` renders mustache templates in options, `hit` works on the hits of a response, and
//! `handled` is a built-in inside another, with its failure handlers. `java_numbers` reads numbers as Java does; `same` compares JSON
//! values. `schema` describes parameters to editors. `names` compares keys with the fields of an option, and `edits` applies several
//! edits to a text.

pub(crate) mod edits;
pub(crate) mod field;
pub(crate) mod function;
pub(crate) mod handled;
pub(crate) mod hit;
pub(crate) mod java_numbers;
pub(crate) mod names;
pub(crate) mod rewrite;
pub(crate) mod same;
pub(crate) mod schema;
pub(crate) mod template;
pub(crate) mod text_map;
