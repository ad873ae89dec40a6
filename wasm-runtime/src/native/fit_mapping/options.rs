//! Options of the stage.

use schemars::JsonSchema;
use serde::Deserialize;

/// What is done with a value that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Keep,
    Move,
    Json,
    Drop,
    Fail,
}

/// Options that a document is fitted by.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) scalar_for_object: Action,
    pub(super) object_for_scalar: Action,
    pub(super) unparsable: Action,
    pub(super) unknown_fields: Action,
    pub(super) max_new_fields: usize,
    pub(super) target: String,
    pub(super) target_fields: String,
    pub(super) coerce: bool,
}

/// What is done with a scalar where the mapping has an object, or with a value that a field cannot read.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Misfit {
    /// It moves to the target.
    #[default]
    Move,
    /// It is left out.
    DropField,
    /// The document fails.
    Fail,
}

/// What is done with an object where the mapping has a scalar.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Misplaced {
    /// A field of text gets it as JSON; from others it moves.
    #[default]
    Json,
    /// It moves to the target.
    Move,
    /// It is left out.
    DropField,
    /// The document fails.
    Fail,
}

/// What is done with fields that the mapping does not have.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unknown {
    /// They stay, where the index adds or ignores them; else they move.
    #[default]
    Keep,
    /// They move to the target.
    Move,
    /// They are left out.
    Drop,
    /// The document fails.
    Fail,
}

/// What is done where nobody can read the mapping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnUnknown {
    /// Documents pass as they are.
    #[default]
    Pass,
    /// Documents fail with status 429.
    Refuse,
}

impl From<Misfit> for Action {
    fn from(option: Misfit) -> Self {
        match option {
            Misfit::Move => Self::Move,
            Misfit::DropField => Self::Drop,
            Misfit::Fail => Self::Fail,
        }
    }
}

impl From<Misplaced> for Action {
    fn from(option: Misplaced) -> Self {
        match option {
            Misplaced::Json => Self::Json,
            Misplaced::Move => Self::Move,
            Misplaced::DropField => Self::Drop,
            Misplaced::Fail => Self::Fail,
        }
    }
}

impl From<Unknown> for Action {
    fn from(option: Unknown) -> Self {
        match option {
            Unknown::Keep => Self::Keep,
            Unknown::Move => Self::Move,
            Unknown::Drop => Self::Drop,
            Unknown::Fail => Self::Fail,
        }
    }
}
