//! A time of day of its fields.

use super::super::pattern::{Field, Resolver};
use super::fields::Parsed;
use super::values::{DAY, HOUR, MINUTE, SECOND};

/// The range of a field of the time.
fn range(field: Field) -> Option<(i64, i64)> {
    Some(match field {
        Field::AmPm => (0, 1),
        Field::Hour => (0, 23),
        Field::ClockHour => (1, 24),
        Field::HourOfAmPm => (0, 11),
        Field::ClockHourOfAmPm => (1, 12),
        Field::Minute | Field::Second => (0, 59),
        Field::Nano => (0, SECOND - 1),
        Field::MilliOfSecond => (0, 999),
        Field::MilliOfDay => (0, DAY / 1_000_000 - 1),
        Field::SecondOfDay => (0, DAY / SECOND - 1),
        Field::NanoOfDay => (0, DAY - 1),
        _ => return None,
    })
}

fn checked(field: Field, value: i64) -> Option<i64> {
    let (least, most) = range(field)?;
    (least..=most).contains(&value).then_some(value)
}

impl Parsed<'_> {
    /// `value` if the way of resolving allows it.
    fn allowed(resolver: Resolver, field: Field, value: i64) -> Option<i64> {
        if resolver == Resolver::Lenient { Some(value) } else { checked(field, value) }
    }

    pub(super) fn resolve_time(&mut self, resolver: Resolver) -> Option<()> {
        for (field, hour, most) in
            [(Field::ClockHour, Field::Hour, 24), (Field::ClockHourOfAmPm, Field::HourOfAmPm, 12)]
        {
            if let Some(value) = self.fields.remove(field) {
                if resolver != Resolver::Smart || value != 0 {
                    Self::allowed(resolver, field, value)?;
                }
                self.fields.agree(hour, if value == most { 0 } else { value })?;
            }
        }
        self.resolve_halves(resolver)?;
        self.resolve_of_day(resolver)?;
        self.resolve_parts(resolver)?;
        let all = [Field::Hour, Field::Minute, Field::Second, Field::Nano];
        if all.iter().all(|field| self.fields.has(*field)) {
            let [hour, minute, second, nano] = all.map(|field| self.fields.remove(field).unwrap_or(0));
            self.set_time(hour, minute, second, nano, resolver)?;
        }
        Some(())
    }

    /// Hours of a half of the day.
    fn resolve_halves(&mut self, resolver: Resolver) -> Option<()> {
        if let (Some(half), Some(hour)) = (self.fields.get(Field::AmPm), self.fields.get(Field::HourOfAmPm)) {
            self.fields.remove(Field::AmPm);
            self.fields.remove(Field::HourOfAmPm);
            let half = Self::allowed(resolver, Field::AmPm, half)?;
            let hour = Self::allowed(resolver, Field::HourOfAmPm, hour)?;
            self.fields.agree(Field::Hour, half.checked_mul(12)?.checked_add(hour)?)?;
        }
        Some(())
    }

    /// Parts of a whole day.
    fn resolve_of_day(&mut self, resolver: Resolver) -> Option<()> {
        if let Some(nanos) = self.fields.remove(Field::NanoOfDay) {
            Self::allowed(resolver, Field::NanoOfDay, nanos)?;
            self.fields.agree(Field::Hour, nanos / HOUR)?;
            self.fields.agree(Field::Minute, nanos / MINUTE % 60)?;
            self.fields.agree(Field::Second, nanos / SECOND % 60)?;
            self.fields.agree(Field::Nano, nanos % SECOND)?;
        }
        if let Some(millis) = self.fields.remove(Field::MilliOfDay) {
            Self::allowed(resolver, Field::MilliOfDay, millis)?;
            self.fields.agree(Field::SecondOfDay, millis / 1000)?;
            self.fields.agree(Field::MilliOfSecond, millis % 1000)?;
        }
        if let Some(seconds) = self.fields.remove(Field::SecondOfDay) {
            Self::allowed(resolver, Field::SecondOfDay, seconds)?;
            self.fields.agree(Field::Hour, seconds / 3600)?;
            self.fields.agree(Field::Minute, seconds / 60 % 60)?;
            self.fields.agree(Field::Second, seconds % 60)?;
        }
        Some(())
    }

    /// Parts of a second, and hours that a period of the day tells.
    fn resolve_parts(&mut self, resolver: Resolver) -> Option<()> {
        if let Some(nanos) = self.fields.get(Field::Nano) {
            Self::allowed(resolver, Field::Nano, nanos)?;
            if let Some(millis) = self.fields.remove(Field::MilliOfSecond) {
                self.fields.agree(Field::Nano, millis * 1_000_000 + nanos % 1_000_000)?;
            }
        }
        if let (Some(period), Some(hour)) = (self.period, self.fields.get(Field::HourOfAmPm)) {
            self.fields.remove(Field::HourOfAmPm);
            Self::allowed(resolver, Field::HourOfAmPm, hour)?;
            let minute = self.fields.get(Field::Minute).unwrap_or(0).rem_euclid(60);
            let later = period.includes((hour.rem_euclid(12) + 12) * 60 + minute);
            self.fields.agree(Field::Hour, hour.checked_add(if later { 12 } else { 0 })?)?;
            self.period = None;
        }
        Some(())
    }

    /// A time of less than all its fields.
    pub(super) fn resolve_time_leniently(&mut self, resolver: Resolver) -> Option<()> {
        if self.time.is_none() {
            if let Some(millis) = self.fields.remove(Field::MilliOfSecond) {
                self.fields.set(Field::Nano, millis * 1_000_000);
            }
            self.resolve_half_day(resolver)?;
            let hour = self.fields.get(Field::Hour);
            let rest = [Field::Minute, Field::Second, Field::Nano].map(|field| self.fields.get(field));
            let gap = matches!(rest, [None, Some(_), _] | [None, _, Some(_)] | [Some(_), None, Some(_)]);
            match hour {
                Some(_) if gap => return Some(()),
                Some(hour) => self.set_partial(hour, rest.map(|value| value.unwrap_or(0)), resolver)?,
                None => {}
            }
        }
        if resolver != Resolver::Lenient {
            for field in super::values::ALL {
                if let (Some(value), Some(_)) = (self.fields.get(field), range(field)) {
                    checked(field, value)?;
                }
            }
        }
        Some(())
    }

    fn set_partial(&mut self, hour: i64, rest: [i64; 3], resolver: Resolver) -> Option<()> {
        let [minute, second, nano] = rest;
        if let Some(period) = self.period.filter(|_| resolver != Resolver::Lenient) {
            period.includes(hour.checked_mul(60)?.checked_add(minute)?).then_some(())?;
        }
        self.set_time(hour, minute, second, nano, resolver)?;
        for field in [Field::Hour, Field::Minute, Field::Second, Field::Nano] {
            self.fields.remove(field);
        }
        Some(())
    }

    /// A half or period of the day without an hour is its middle, but not strictly.
    fn resolve_half_day(&mut self, resolver: Resolver) -> Option<()> {
        let parts = [Field::Hour, Field::Minute, Field::Second, Field::Nano];
        if resolver == Resolver::Strict || parts.iter().any(|field| self.fields.has(*field)) {
            return Some(());
        }
        if let Some(period) = self.period.take() {
            let middle = period.middle();
            self.set_time(middle / 60, middle % 60, 0, 0, resolver)?;
        } else if let Some(half) = self.fields.remove(Field::AmPm) {
            let half = Self::allowed(resolver, Field::AmPm, half)?;
            self.set_time(half.checked_mul(12)?.checked_add(6)?, 0, 0, 0, resolver)?;
        }
        Some(())
    }

    fn set_time(&mut self, hour: i64, minute: i64, second: i64, nano: i64, resolver: Resolver) -> Option<()> {
        let (time, excess) = if resolver == Resolver::Lenient {
            let parts = [(hour, HOUR), (minute, MINUTE), (second, SECOND), (nano, 1)];
            let total = parts.iter().try_fold(0i64, |sum, (n, of)| sum.checked_add(n.checked_mul(*of)?))?;
            (total.rem_euclid(DAY), total.div_euclid(DAY))
        } else if resolver == Resolver::Smart && (hour, minute, second, nano) == (24, 0, 0, 0) {
            (0, 1)
        } else {
            let [hour, minute, second, nano] =
                [(Field::Hour, hour), (Field::Minute, minute), (Field::Second, second), (Field::Nano, nano)]
                    .map(|(field, value)| checked(field, value));
            (hour? * HOUR + minute? * MINUTE + second? * SECOND + nano?, 0)
        };
        if self.time.is_some_and(|old| old != time) {
            return None;
        }
        self.time = Some(time);
        self.excess = excess;
        Some(())
    }
}
