//! The tokens of a body, between a reader and a writer.

/// Deepest nesting of what is read: the cluster's own limit.
pub(super) const MAX_DEPTH: usize = 1_000;
/// Digits of the longest number that the cluster reads.
pub(super) const MAX_DIGITS: usize = 1_000;
/// Why a body is not transcoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not well-formed, or not surely understood.
    Unreadable(String),
    /// It would be longer than may be.
    TooLong,
}

pub(super) type Done = Result<(), Refused>;

pub(super) fn refuse<T>(reason: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::Unreadable(reason.into()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
}

/// Takes the tokens of one value; keys and values of an object come in turns.
pub(super) trait Sink {
    fn start(&mut self, kind: Kind) -> Done;
    fn end(&mut self, kind: Kind) -> Done;
    fn key(&mut self, text: &str) -> Done;
    fn string(&mut self, text: &str) -> Done;
    /// A number as JSON writes it.
    fn number(&mut self, text: &str) -> Done;
    fn boolean(&mut self, value: bool) -> Done;
    fn null(&mut self) -> Done;
}
