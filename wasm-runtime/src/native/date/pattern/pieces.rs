//! The pieces of a format, and the fields that they stand for.

/// Fields that a piece reads or writes: those of `java.time`, and those of OpenSearch's epoch formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Field {
    Era,
    YearOfEra,
    Year,
    Quarter,
    Month,
    DayOfYear,
    DayOfMonth,
    /// Weeks of a month that start with its first day.
    AlignedWeek,
    DayOfWeek,
    AmPm,
    Hour,
    ClockHour,
    HourOfAmPm,
    ClockHourOfAmPm,
    Minute,
    Second,
    Nano,
    MilliOfSecond,
    MilliOfDay,
    SecondOfDay,
    NanoOfDay,
    /// Days since 1858-11-17.
    ModifiedJulianDay,
    OffsetSeconds,
    InstantSeconds,
    /// Weeks as the locale counts them.
    LocalDay,
    WeekOfMonth,
    Week,
    WeekYear,
    /// Weeks from Monday on, the first one with four days, of the locale-free formats.
    RootDay,
    RootWeek,
    RootWeekYear,
    /// The same as `java.time.temporal.IsoFields` has it, with rules of its own.
    IsoWeek,
    IsoWeekYear,
    EpochSecond,
    EpochNano,
    EpochSign,
    EpochMilli,
    EpochMicro,
    NanoOfMilli,
    NanoOfMicro,
}

/// How many fields there are.
pub(crate) const FIELDS: usize = Field::NanoOfMicro as usize + 1;

/// Which form of a name is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Style {
    Full,
    FullStandalone,
    Short,
    ShortStandalone,
    Narrow,
    NarrowStandalone,
}

/// When a number has a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// A minus before negative ones.
    Normal,
    NotNegative,
    Never,
    /// A plus before those wider than their least width.
    ExceedsPad,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Number {
    pub(crate) field: Field,
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) sign: Sign,
    /// Digits that numbers right behind this one need.
    pub(crate) behind: usize,
    /// Two digits of a year since 2000.
    pub(crate) reduced: bool,
}

/// A decimal fraction of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fraction {
    pub(crate) field: Field,
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) point: bool,
}

/// The shape of an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset {
    pub(crate) minutes: Part,
    pub(crate) seconds: Part,
    pub(crate) colon: bool,
    /// Written for no offset.
    pub(crate) zero: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Never,
    Optional,
    Always,
}

#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Literal(String),
    Number(Number),
    Fraction(Fraction),
    Name(Field, Style),
    DayPeriod(Style),
    Offset(Offset),
    /// `GMT+8`, or in full `GMT+08:00`.
    LocalizedOffset {
        full: bool,
    },
    ZoneId,
    ZoneName {
        full: bool,
        generic: bool,
    },
    /// The minus before negative epoch milliseconds and microseconds.
    EpochMinus,
    Optional(Vec<Piece>),
    Padded(Box<Piece>, usize),
    IgnoreCase,
}

/// How fields become a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolver {
    /// Every field in its range, and the date there.
    Strict,
    /// Days beyond a month's end are its last.
    Smart,
    /// Values beyond their range carry over.
    Lenient,
}

/// Pieces, and how what they read becomes a date.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) resolver: Resolver,
    /// Whether a moment is written as of Greenwich, and read so unless a zone is given.
    pub(crate) utc: bool,
}
