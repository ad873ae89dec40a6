//! Why a value does not fit.

/// Why a value does not fit its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    ObjectForScalar,
    ScalarForObject,
    Unparsable,
    TooLong,
    ReadOnly,
    Unknown,
    TooManyFields,
    TooDeep,
    TooManyNested,
    Name,
    Conflict,
}

impl Reason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ObjectForScalar => "object_for_scalar",
            Self::ScalarForObject => "scalar_for_object",
            Self::Unparsable => "unparsable",
            Self::TooLong => "too_long",
            Self::ReadOnly => "read_only",
            Self::Unknown => "unknown_field",
            Self::TooManyFields => "too_many_fields",
            Self::TooDeep => "too_deep",
            Self::TooManyNested => "too_many_nested",
            Self::Name => "name",
            Self::Conflict => "conflict",
        }
    }
}
