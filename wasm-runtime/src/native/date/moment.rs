//! A date with its time and zone, and how OpenSearch completes what was read to one.

use super::calendar::weeks::ISO;
use super::calendar::{self, Day, checked, days, month_length};
use super::locale::Locale;
use super::pattern::Field;
use super::resolve::Parsed;
use super::resolve::values::{self, DAY, HOUR, MINUTE, SECOND};
use super::zone::Zone;

/// A point in time, in a zone.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// Seconds since 1970.
    pub(crate) instant: i64,
    pub(crate) nanos: i64,
    pub(crate) zone: Zone,
    /// Seconds east of Greenwich there and then.
    pub(crate) offset: i32,
}

impl Moment {
    pub(crate) fn at(instant: i64, nanos: i64, zone: Zone) -> Self {
        let offset = zone.offset_at(instant);
        Self { instant, nanos, zone, offset }
    }

    pub(crate) fn of_millis(millis: i64, zone: Zone) -> Self {
        Self::at(millis.div_euclid(1000), millis.rem_euclid(1000) * 1_000_000, zone)
    }

    /// `time` in nanoseconds of the day. A time that a change of the clock leaves out is later by as much.
    pub(crate) fn local(date: i64, time: i64, zone: Zone) -> Option<Self> {
        if !calendar::in_range(date) {
            return None;
        }
        let local = date * 86_400 + time / SECOND;
        let instant = local - i64::from(zone.offset_of_local(local));
        Some(Self::at(instant, time % SECOND, zone))
    }

    pub(crate) fn in_zone(self, zone: &Zone) -> Self {
        Self::at(self.instant, self.nanos, zone.clone())
    }

    /// The date and the nanoseconds of the day.
    pub(crate) fn date_and_time(&self) -> (i64, i64) {
        let local = self.instant + i64::from(self.offset);
        (local.div_euclid(86_400), local.rem_euclid(86_400) * SECOND + self.nanos)
    }

    /// The value of a field, weeks as in ISO 8601.
    pub(crate) fn value(&self, field: Field) -> Option<i64> {
        let (date, time) = self.date_and_time();
        Some(match field {
            Field::OffsetSeconds => i64::from(self.offset),
            Field::InstantSeconds | Field::EpochSecond => self.instant,
            Field::EpochNano => self.nanos,
            _ => return values::of_date(field, date, ISO).or_else(|| values::of_time(field, time)),
        })
    }
}

/// As OpenSearch's `DateFormatters.from`.
pub(crate) fn complete(parsed: &Parsed<'_>, default: &Zone) -> Option<Moment> {
    let zone = zone_of(parsed)?.unwrap_or_else(|| default.clone());
    let date = local_date(parsed)?;
    if let (Some(date), Some(time)) = (date, parsed.time) {
        return Moment::local(date, time, zone);
    }
    if let (Some(instant), Some(nanos)) = (parsed.value(Field::InstantSeconds), parsed.value(Field::Nano)) {
        return in_java(instant).then(|| Moment::at(instant, nanos, zone));
    }
    if let Some(date) = date {
        return Moment::local(date, 0, zone);
    }
    if let Some(time) = parsed.time {
        return Moment::local(date_of_parts(parsed)?, time, zone);
    }
    let month = parsed.value(Field::Month);
    let date = match (year_of(parsed), month) {
        (Some(year), Some(month)) => checked(year, month, 1)?,
        (Some(year), None) => checked(year, 1, 1)?,
        (None, Some(_)) => date_of_parts(parsed)?,
        (None, None) if has_week_year(parsed) => date_of_week(parsed)?,
        (None, None) => return None,
    };
    Moment::local(date, 0, zone)
}

/// Whether `java.time.Instant` reaches so far.
fn in_java(instant: i64) -> bool {
    (-31_557_014_167_219_200..=31_556_889_864_403_199).contains(&instant)
}

fn zone_of(parsed: &Parsed<'_>) -> Option<Option<Zone>> {
    if parsed.zone.is_some() {
        return Some(parsed.zone.clone());
    }
    match parsed.fields.get(Field::OffsetSeconds) {
        Some(offset) => Some(Some(Zone::Offset(super::zone::checked_offset(offset)?))),
        None => Some(None),
    }
}

fn year_of(parsed: &Parsed<'_>) -> Option<i64> {
    parsed.value(Field::Year).or_else(|| parsed.value(Field::YearOfEra))
}

/// The date, also of a year of an era that has none. The outer `None` is a failure.
fn local_date(parsed: &Parsed<'_>) -> Option<Option<i64>> {
    if parsed.date.is_some() {
        return Some(parsed.date);
    }
    let Some(year) = year_of(parsed) else { return Some(None) };
    match (parsed.value(Field::Month), parsed.value(Field::DayOfMonth), parsed.value(Field::DayOfYear)) {
        (Some(month), Some(day), _) => checked(year, month, day).map(Some),
        (_, _, Some(day)) => calendar::of_year(year, day).map(Some),
        _ => Some(None),
    }
}

/// Whether the year of the week can be asked for: Java says so also where only a year and a day of the week are there.
fn has_week_year(parsed: &Parsed<'_>) -> bool {
    week_field(parsed, Field::WeekYear, Field::RootWeekYear).is_some()
        || (parsed.value(Field::DayOfWeek).is_some() && parsed.value(Field::Year).is_some())
}

fn week_field(parsed: &Parsed<'_>, own: Field, root: Field) -> Option<i64> {
    parsed.fields.get(own).or_else(|| if parsed.locale.weeks == ISO { parsed.fields.get(root) } else { None })
}

fn date_of_week(parsed: &Parsed<'_>) -> Option<i64> {
    let weeks = parsed.locale.weeks;
    let year = week_field(parsed, Field::WeekYear, Field::RootWeekYear)?;
    // The epoch is in the first week; its day of the week is a Thursday.
    let thursday = weeks.local(4);
    let (_, current) = weeks.year_and_week(0);
    if year.abs() > calendar::LAST_YEAR {
        return None;
    }
    let date = weeks.of_year(year, current, thursday);
    let date = match week_field(parsed, Field::Week, Field::RootWeek) {
        Some(week) if !(1..=53).contains(&week) => return None,
        Some(week) => date + (week - weeks.year_and_week(date).1) * 7,
        None => date,
    };
    Some(date - (weeks.local(calendar::day_of_week(date)) - 1))
}

fn date_of_parts(parsed: &Parsed<'_>) -> Option<i64> {
    if has_week_year(parsed) {
        return date_of_week(parsed);
    }
    let Some(month) = parsed.value(Field::Month) else { return Some(0) };
    let year = year_of(parsed).unwrap_or(1970);
    checked(year, month, parsed.value(Field::DayOfMonth).unwrap_or(1))
}

/// As the `date` processor completes what has no year: the current one, from its first day on.
pub(crate) fn in_this_year(parsed: &Parsed<'_>, zone: &Zone, now: i64) -> Option<Moment> {
    let year = Day::of(now.div_euclid(86_400)).year;
    let mut time = 0;
    let of_day = |field| parsed.value(field);
    if let Some(nanos) = of_day(Field::Nano) {
        time = nanos;
    }
    if let Some(second) = of_day(Field::SecondOfDay) {
        time = second * SECOND + time % SECOND;
    }
    if let Some(minute) = minute_of_day(parsed) {
        time = minute * MINUTE + time % MINUTE;
    }
    if let Some(hour) = of_day(Field::Hour) {
        time = hour * HOUR + time % HOUR;
    }
    let day = parsed.value(Field::DayOfMonth).unwrap_or(1);
    let month = parsed.value(Field::Month).unwrap_or(1);
    if !(0..DAY).contains(&time) || !(1..=31).contains(&day) || !(1..=12).contains(&month) {
        return None;
    }
    Moment::local(days(year, month, day.min(month_length(year, month))), time, zone.clone())
}

fn minute_of_day(parsed: &Parsed<'_>) -> Option<i64> {
    parsed.time.map(|time| time / MINUTE)
}

/// Whether the processor takes the current year.
pub(crate) fn lacks_year(parsed: &Parsed<'_>) -> bool {
    let by_week = parsed.value(Field::DayOfWeek).is_some() && parsed.value(Field::DayOfYear).is_some();
    year_of(parsed).is_none() && week_field(parsed, Field::Week, Field::RootWeek).is_none() && !by_week
}

/// Now, in seconds since 1970.
pub(crate) fn now() -> i64 {
    crate::engine::fixed::now_ms().div_euclid(1000)
}

/// The locale of no language, made once.
pub(crate) fn root() -> &'static Locale {
    static ROOT: std::sync::LazyLock<Locale> = std::sync::LazyLock::new(Locale::root);
    &ROOT
}
