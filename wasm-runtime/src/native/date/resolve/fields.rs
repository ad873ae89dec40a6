//! The fields that were read so far, with their values, and a zone.

use super::super::locale::{Locale, Period};
use super::super::pattern::{FIELDS, Field};
use super::super::zone::Zone;

/// Values by field, in no order.
#[derive(Clone)]
pub(crate) struct Fields {
    present: u64,
    values: [i64; FIELDS],
}

impl Default for Fields {
    fn default() -> Self {
        Self { present: 0, values: [0; FIELDS] }
    }
}

impl Fields {
    pub(crate) fn get(&self, field: Field) -> Option<i64> {
        self.has(field).then(|| self.values[field as usize])
    }

    pub(crate) fn has(&self, field: Field) -> bool {
        self.present & (1 << field as u64) != 0
    }

    pub(crate) fn set(&mut self, field: Field, value: i64) {
        self.present |= 1 << field as u64;
        self.values[field as usize] = value;
    }

    pub(crate) fn remove(&mut self, field: Field) -> Option<i64> {
        let value = self.get(field);
        self.present &= !(1 << field as u64);
        value
    }

    /// Puts a value, unless the field has another.
    pub(crate) fn agree(&mut self, field: Field, value: i64) -> Option<()> {
        if self.get(field).is_some_and(|old| old != value) {
            return None;
        }
        self.set(field, value);
        Some(())
    }
}

/// A text as its pattern read it, then what came of it.
#[derive(Clone)]
pub(crate) struct Parsed<'l> {
    pub(crate) fields: Fields,
    pub(crate) zone: Option<Zone>,
    pub(crate) period: Option<Period>,
    pub(crate) locale: &'l Locale,
    /// Days since 1970.
    pub(crate) date: Option<i64>,
    /// Nanoseconds of the day.
    pub(crate) time: Option<i64>,
    /// Days by which the time goes beyond its day.
    pub(crate) excess: i64,
}

impl<'l> Parsed<'l> {
    pub(crate) fn new(locale: &'l Locale) -> Self {
        Self { fields: Fields::default(), zone: None, period: None, locale, date: None, time: None, excess: 0 }
    }
}
