//! Formats as `java.time.format.DateTimeFormatter` has them: pieces that are read and written one behind the other.

mod builder;
mod letters;
mod named;
mod pieces;

pub(crate) use letters::compile;
pub(crate) use named::named;
pub(crate) use pieces::{FIELDS, Field, Fraction, Number, Offset, Part, Pattern, Piece, Resolver, Sign, Style};
