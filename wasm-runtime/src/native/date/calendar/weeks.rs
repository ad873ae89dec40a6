//! Weeks as `java.time.temporal.WeekFields` counts them: from one day of the week on, the first one with so many days.

use super::{Day, day_of_week, days, year_length};

/// Where weeks start, and how many days of a year or month its first week has at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weeks {
    pub(crate) first: i64,
    pub(crate) least: i64,
}

/// Weeks of ISO 8601, also where no locale says otherwise.
pub(crate) const ISO: Weeks = Weeks { first: 1, least: 4 };

impl Weeks {
    /// The day of the week, counted from the first one.
    pub(crate) fn local(self, day_of_week: i64) -> i64 {
        (day_of_week - self.first).rem_euclid(7) + 1
    }

    fn start(self, day: i64, local: i64) -> i64 {
        let start = (day - local).rem_euclid(7);
        if start + 1 > self.least { 7 - start } else { -start }
    }

    fn week(offset: i64, day: i64) -> i64 {
        (7 + offset + (day - 1)) / 7
    }

    pub(crate) fn week_of_month(self, at: i64) -> i64 {
        let day = Day::of(at).day;
        Self::week(self.start(day, self.local(day_of_week(at))), day)
    }

    /// The year of the week and the week of it.
    pub(crate) fn year_and_week(self, at: i64) -> (i64, i64) {
        let date = Day::of(at);
        let day = date.of_year();
        let offset = self.start(day, self.local(day_of_week(at)));
        let week = Self::week(offset, day);
        let next = Self::week(offset, year_length(date.year) + self.least);
        if week == 0 {
            let before = self.year_and_week(at - day).1;
            return (date.year - 1, before);
        }
        if week >= next {
            return (date.year + 1, week - next + 1);
        }
        (date.year, week)
    }

    /// The last week of a year of weeks.
    pub(crate) fn last(self, year: i64) -> i64 {
        let offset = self.start(1, self.local(day_of_week(days(year, 1, 1))));
        Self::week(offset, year_length(year) + self.least) - 1
    }

    /// The day of a week of a year of weeks; a week beyond the last one is the last.
    pub(crate) fn of_year(self, year: i64, week: i64, local: i64) -> i64 {
        let first = days(year, 1, 1);
        let offset = self.start(1, self.local(day_of_week(first)));
        first - offset + (local - 1) + (week.min(self.last(year)) - 1) * 7
    }
}
