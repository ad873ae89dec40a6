//! The proleptic Gregorian calendar of `java.time`, by days since 1970; years reach as far as Java's.

pub(crate) mod weeks;

/// Java's last year.
pub(crate) const LAST_YEAR: i64 = 999_999_999;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

pub(crate) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(crate) fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub(crate) fn year_length(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

/// Days since 1970 of a day that need not be checked.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that start in March put the leap day at their end.
    let shifted = year - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Days since 1970, if the calendar has this day.
pub(crate) fn checked(year: i64, month: i64, day: i64) -> Option<i64> {
    let fits = year.abs() <= LAST_YEAR && (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
    fits.then(|| days(year, month, day))
}

/// The day of a year, from 1 on.
pub(crate) fn of_year(year: i64, day: i64) -> Option<i64> {
    let fits = year.abs() <= LAST_YEAR && (1..=year_length(year)).contains(&day);
    fits.then(|| days(year, 1, 1) + day - 1)
}

/// Whether Java has this day.
pub(crate) fn in_range(days_since: i64) -> bool {
    (days(-LAST_YEAR, 1, 1)..=days(LAST_YEAR, 12, 31)).contains(&days_since)
}

impl Day {
    pub(crate) fn of(days_since: i64) -> Self {
        let shifted = days_since + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self { year: year + era * 400 + i64::from(month <= 2), month, day }
    }

    pub(crate) fn of_year(self) -> i64 {
        days(self.year, self.month, self.day) - days(self.year, 1, 1) + 1
    }
}

/// Monday is 1, Sunday 7.
pub(crate) fn day_of_week(days_since: i64) -> i64 {
    (days_since + 3).rem_euclid(7) + 1
}
