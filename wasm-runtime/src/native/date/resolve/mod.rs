//! Makes a date and a time of what was read, as `java.time.format.Parsed` does.

mod dates;
mod epoch;
mod fields;
mod times;
pub(crate) mod values;

pub(crate) use fields::Parsed;

use super::pattern::{Field, Resolver};
use super::zone::{Zone, checked_offset};

impl Parsed<'_> {
    /// `None` if the fields contradict each other or leave their ranges.
    pub(crate) fn resolve(mut self, resolver: Resolver, zone: Option<&Zone>) -> Option<Self> {
        if self.zone.is_none() {
            self.zone = zone.cloned();
        }
        self.resolve_chrono(resolver)?;
        if self.resolve_special(resolver)? {
            self.resolve_chrono(resolver)?;
        }
        self.resolve_time_leniently(resolver)?;
        self.cross_check()?;
        if let (Some(date), Some(_)) = (self.date, self.time) {
            self.date = Some(date + std::mem::take(&mut self.excess));
            // An offset that Java does not have would be no instant.
            if let (false, Some(offset)) =
                (self.fields.has(Field::InstantSeconds), self.fields.get(Field::OffsetSeconds))
            {
                checked_offset(offset)?;
            }
        }
        let unfinished = [Field::InstantSeconds, Field::SecondOfDay, Field::Second];
        if self.time.is_none() && !self.fields.has(Field::Nano) && unfinished.iter().any(|f| self.fields.has(*f)) {
            self.fields.set(Field::Nano, 0);
        }
        Some(self)
    }

    fn resolve_chrono(&mut self, resolver: Resolver) -> Option<()> {
        self.resolve_instant()?;
        let date = dates::resolve(&mut self.fields, resolver)?;
        self.set_date(date)?;
        self.resolve_time(resolver)
    }

    /// An instant is a date and a time where there is a zone.
    fn resolve_instant(&mut self) -> Option<()> {
        let Some(instant) = self.fields.get(Field::InstantSeconds) else { return Some(()) };
        let zone = match (&self.zone, self.fields.get(Field::OffsetSeconds)) {
            (Some(zone), _) => zone.clone(),
            (None, Some(offset)) => Zone::Offset(i32::try_from(offset).ok()?),
            (None, None) => return Some(()),
        };
        let offset = i64::from(zone.offset_at(instant));
        let local = instant.checked_add(offset)?;
        self.set_date(Some(local.div_euclid(86_400)))?;
        self.fields.agree(Field::SecondOfDay, local.rem_euclid(86_400))?;
        self.fields.agree(Field::OffsetSeconds, offset)
    }

    fn set_date(&mut self, date: Option<i64>) -> Option<()> {
        let Some(date) = date else { return Some(()) };
        if self.date.is_some_and(|old| old != date) || !super::calendar::in_range(date) {
            return None;
        }
        self.date = Some(date);
        Some(())
    }

    /// Fields beside those of every calendar; whether there were any.
    fn resolve_special(&mut self, resolver: Resolver) -> Option<bool> {
        let mut changed = epoch::resolve(&mut self.fields)?;
        if let Some(day) = self.fields.remove(Field::ModifiedJulianDay) {
            self.set_date(Some(day.checked_sub(40_587)?))?;
            changed = true;
        }
        let (date, also) = dates::resolve_weeks(&mut self.fields, self.locale.weeks, resolver)?;
        self.set_date(date)?;
        Some(changed || also)
    }

    /// Fields that the date or the time has as well must have its value.
    fn cross_check(&mut self) -> Option<()> {
        for field in values::ALL {
            let Some(value) = self.fields.get(field) else { continue };
            let of_date = self.date.and_then(|date| values::of_date(field, date, self.locale.weeks));
            let of_time = self.time.and_then(|time| values::of_time(field, time));
            if let Some(has) = of_date.or(of_time) {
                if has != value {
                    return None;
                }
                self.fields.remove(field);
            }
        }
        Some(())
    }

    /// The value of a field: as read, or that of the date or time.
    pub(crate) fn value(&self, field: Field) -> Option<i64> {
        self.fields
            .get(field)
            .or_else(|| self.date.and_then(|date| values::of_date(field, date, self.locale.weeks)))
            .or_else(|| self.time.and_then(|time| values::of_time(field, time)))
    }
}
