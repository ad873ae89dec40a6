//! The values that a day and a time of day have for the fields.

use super::super::calendar::weeks::{ISO, Weeks};
use super::super::calendar::{Day, day_of_week};
use super::super::pattern::Field;

pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// The fields of dates and times.
pub(crate) const ALL: [Field; 30] = [
    Field::Era,
    Field::YearOfEra,
    Field::Year,
    Field::Quarter,
    Field::Month,
    Field::DayOfYear,
    Field::DayOfMonth,
    Field::AlignedWeek,
    Field::DayOfWeek,
    Field::ModifiedJulianDay,
    Field::LocalDay,
    Field::WeekOfMonth,
    Field::Week,
    Field::WeekYear,
    Field::RootDay,
    Field::RootWeek,
    Field::RootWeekYear,
    Field::IsoWeek,
    Field::IsoWeekYear,
    Field::AmPm,
    Field::Hour,
    Field::ClockHour,
    Field::HourOfAmPm,
    Field::ClockHourOfAmPm,
    Field::Minute,
    Field::Second,
    Field::Nano,
    Field::MilliOfDay,
    Field::SecondOfDay,
    Field::NanoOfDay,
];

pub(crate) fn of_date(field: Field, at: i64, weeks: Weeks) -> Option<i64> {
    let day = Day::of(at);
    Some(match field {
        Field::Era => i64::from(day.year >= 1),
        Field::YearOfEra if day.year >= 1 => day.year,
        Field::YearOfEra => 1 - day.year,
        Field::Year => day.year,
        Field::Quarter => (day.month - 1) / 3 + 1,
        Field::Month => day.month,
        Field::DayOfYear => day.of_year(),
        Field::DayOfMonth => day.day,
        Field::AlignedWeek => (day.day - 1) / 7 + 1,
        Field::DayOfWeek => day_of_week(at),
        Field::ModifiedJulianDay => at + 40_587,
        Field::LocalDay => weeks.local(day_of_week(at)),
        Field::WeekOfMonth => weeks.week_of_month(at),
        Field::WeekYear => weeks.year_and_week(at).0,
        Field::Week => weeks.year_and_week(at).1,
        Field::RootDay => ISO.local(day_of_week(at)),
        Field::RootWeekYear | Field::IsoWeekYear => ISO.year_and_week(at).0,
        Field::RootWeek | Field::IsoWeek => ISO.year_and_week(at).1,
        _ => return None,
    })
}

pub(crate) fn of_time(field: Field, nanos: i64) -> Option<i64> {
    let hour = nanos / HOUR;
    let twelve = |hour: i64| if hour == 0 { 12 } else { hour };
    Some(match field {
        Field::AmPm => hour / 12,
        Field::Hour => hour,
        Field::ClockHour if hour == 0 => 24,
        Field::ClockHour => hour,
        Field::HourOfAmPm => hour % 12,
        Field::ClockHourOfAmPm => twelve(hour % 12),
        Field::Minute => nanos / MINUTE % 60,
        Field::Second => nanos / SECOND % 60,
        Field::Nano => nanos % SECOND,
        Field::MilliOfSecond => nanos % SECOND / 1_000_000,
        Field::MilliOfDay => nanos / 1_000_000,
        Field::SecondOfDay => nanos / SECOND,
        Field::NanoOfDay => nanos,
        _ => return None,
    })
}
