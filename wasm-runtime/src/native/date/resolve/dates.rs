//! A date of its fields, as `IsoChronology` and `WeekFields` resolve them.

use super::super::calendar::weeks::{ISO, Weeks};
use super::super::calendar::{self, Day, LAST_YEAR, checked, day_of_week, days, month_length};
use super::super::pattern::{Field, Resolver};
use super::fields::Fields;

const WEEKS: [Field; 7] = [
    Field::LocalDay,
    Field::WeekOfMonth,
    Field::Week,
    Field::WeekYear,
    Field::RootDay,
    Field::RootWeek,
    Field::RootWeekYear,
];

fn within(value: i64, least: i64, most: i64) -> Option<i64> {
    (least..=most).contains(&value).then_some(value)
}

fn year(value: i64) -> Option<i64> {
    within(value, -LAST_YEAR, LAST_YEAR)
}

/// The date, if its fields are there. The outer `None` is a failure.
pub(crate) fn resolve(fields: &mut Fields, resolver: Resolver) -> Option<Option<i64>> {
    resolve_era(fields, resolver)?;
    if !fields.has(Field::Year) {
        return Some(None);
    }
    if fields.has(Field::Month) {
        if fields.has(Field::DayOfMonth) {
            return by_month(fields, resolver).map(Some);
        }
        if fields.has(Field::AlignedWeek) && fields.has(Field::DayOfWeek) {
            return by_aligned_week(fields, resolver).map(Some);
        }
    }
    let Some(day) = fields.get(Field::DayOfYear) else { return Some(None) };
    fields.remove(Field::DayOfYear);
    let year = year(fields.remove(Field::Year)?)?;
    match resolver {
        Resolver::Lenient => Some(Some(days(year, 1, 1).checked_add(day.checked_sub(1)?)?)),
        _ => calendar::of_year(year, within(day, 1, 366)?).map(Some),
    }
}

/// A year of an era is a year; without an era the strict way leaves it.
fn resolve_era(fields: &mut Fields, resolver: Resolver) -> Option<()> {
    let Some(of_era) = fields.remove(Field::YearOfEra) else {
        return match fields.get(Field::Era) {
            Some(era) => within(era, 0, 1).map(|_| ()),
            None => Some(()),
        };
    };
    if resolver != Resolver::Lenient {
        within(of_era, 1, LAST_YEAR + 1)?;
    }
    let before = 1i64.checked_sub(of_era)?;
    let given = fields.get(Field::Year);
    match fields.remove(Field::Era) {
        Some(1) => fields.agree(Field::Year, of_era),
        Some(0) => fields.agree(Field::Year, before),
        Some(_) => None,
        None => match (given, resolver) {
            (None, Resolver::Strict) => {
                fields.set(Field::YearOfEra, of_era);
                Some(())
            }
            (Some(given), _) if given <= 0 => fields.agree(Field::Year, before),
            _ => fields.agree(Field::Year, of_era),
        },
    }
}

fn by_month(fields: &mut Fields, resolver: Resolver) -> Option<i64> {
    let year = year(fields.remove(Field::Year)?)?;
    let (month, day) = (fields.remove(Field::Month)?, fields.remove(Field::DayOfMonth)?);
    if resolver == Resolver::Lenient {
        let months = month.checked_sub(1)?;
        let carried = year.checked_add(months.div_euclid(12))?;
        return days(self::year(carried)?, months.rem_euclid(12) + 1, 1).checked_add(day.checked_sub(1)?);
    }
    let (month, day) = (within(month, 1, 12)?, within(day, 1, 31)?);
    match resolver {
        Resolver::Smart => checked(year, month, day.min(month_length(year, month))),
        _ => checked(year, month, day),
    }
}

fn by_aligned_week(fields: &mut Fields, resolver: Resolver) -> Option<i64> {
    let year = year(fields.remove(Field::Year)?)?;
    let month = within(fields.remove(Field::Month)?, 1, 12)?;
    let week = within(fields.remove(Field::AlignedWeek)?, 1, 5)?;
    let wanted = within(fields.remove(Field::DayOfWeek)?, 1, 7)?;
    let from = days(year, month, 1) + (week - 1) * 7;
    let date = from + (wanted - day_of_week(from)).rem_euclid(7);
    (resolver != Resolver::Strict || Day::of(date).month == month).then_some(date)
}

/// The date of fields of weeks, and whether any field was used up.
pub(crate) fn resolve_weeks(fields: &mut Fields, weeks: Weeks, resolver: Resolver) -> Option<(Option<i64>, bool)> {
    let mut changed = false;
    for field in WEEKS {
        // As Java, which goes on with 32 bits.
        i32::try_from(fields.get(field).unwrap_or(0)).ok()?;
    }
    for (field, weeks) in [(Field::LocalDay, weeks), (Field::RootDay, ISO)] {
        if let Some(local) = fields.remove(field) {
            let day = (weeks.first - 1 + within(local, 1, 7)? - 1).rem_euclid(7) + 1;
            fields.set(Field::DayOfWeek, day);
            changed = true;
        }
    }
    let Some(day) = fields.get(Field::DayOfWeek) else { return Some((None, changed)) };
    let date = match () {
        () if fields.has(Field::IsoWeekYear) && fields.has(Field::IsoWeek) => iso(fields, day, resolver)?,
        () if fields.has(Field::Year) => match (fields.get(Field::Month), fields.get(Field::WeekOfMonth)) {
            (Some(month), Some(week)) => of_month(fields, weeks, month, week, day, resolver)?,
            _ => return Some((None, changed)),
        },
        () => {
            let kinds = [(Field::WeekYear, Field::Week, weeks), (Field::RootWeekYear, Field::RootWeek, ISO)];
            let Some((year, week, weeks)) = kinds.into_iter().find(|(y, w, _)| fields.has(*y) && fields.has(*w)) else {
                return Some((None, changed));
            };
            of_year(fields, (year, week), weeks, day, resolver)?
        }
    };
    fields.remove(Field::DayOfWeek);
    Some((Some(date), true))
}

fn of_year(fields: &mut Fields, of: (Field, Field), weeks: Weeks, day: i64, resolver: Resolver) -> Option<i64> {
    let year = year(fields.remove(of.0)?)?;
    let week = within(fields.remove(of.1)?, 1, weeks.last(year))?;
    let date = weeks.of_year(year, week, weeks.local(within(day, 1, 7)?));
    (resolver != Resolver::Strict || weeks.year_and_week(date).0 == year).then_some(date)
}

fn of_month(fields: &mut Fields, weeks: Weeks, month: i64, week: i64, day: i64, resolver: Resolver) -> Option<i64> {
    let first = days(year(fields.remove(Field::Year)?)?, within(month, 1, 12)?, 1);
    let by = within(week, 0, 6)? - weeks.week_of_month(first);
    let date = first + by * 7 + weeks.local(within(day, 1, 7)?) - weeks.local(day_of_week(first));
    fields.remove(Field::Month);
    fields.remove(Field::WeekOfMonth);
    (resolver != Resolver::Strict || Day::of(date).month == month).then_some(date)
}

/// Weeks of `IsoFields`: a week 53 only in years that have it.
fn iso(fields: &mut Fields, day: i64, resolver: Resolver) -> Option<i64> {
    let year = year(fields.remove(Field::IsoWeekYear)?)?;
    let fourth = days(year, 1, 4);
    let last = if resolver == Resolver::Strict { ISO.year_and_week(days(year, 12, 28)).1 } else { 53 };
    let week = within(fields.remove(Field::IsoWeek)?, 1, last)?;
    let monday = fourth + (week - 1) * 7;
    let monday = monday - (day_of_week(monday) - 1);
    Some(monday + within(day, 1, 7)? - 1)
}
