//! `date`: a moment out of a text or a number, in one of several formats.

mod calendar;
mod formats;
mod locale;
mod moment;
mod pattern;
mod quick;
mod read;
mod resolve;
mod tai64n;

mod write;
mod zone;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

use self::formats::{Format, Formatter};
use self::locale::Locale;
use self::moment::Moment;
use self::zone::{UTC, Zone};
use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::template::Template;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::glance;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::json::java;

/// Formats of dates as a mapping has them, between `||`.
pub(crate) struct Dates {
    formatter: Formatter,
    /// Whether the usual form is one of them.
    iso: bool,
}

impl std::fmt::Debug for Dates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dates")
    }
}

impl Dates {
    /// `None` for formats that cannot be read by.
    pub(crate) fn new(format: &str) -> Option<Self> {
        let iso = format.split("||").any(|part| matches!(part, "strict_date_optional_time" | "date_optional_time"));
        Formatter::new(format).ok().map(|formatter| Self { formatter, iso })
    }

    /// Whether a text has the form of a date, which there may not be.
    pub(crate) fn reads(&self, text: &str) -> bool {
        self.is_usual(text.as_bytes()) || self.formatter.reads(text)
    }

    /// Whether a text is a date.
    pub(crate) fn accepts(&self, text: &str) -> bool {
        self.is_usual(text.as_bytes()) || self.instant(text).is_some()
    }

    /// Whether a text is surely one of the dates: `2020-01-02`, maybe with `T03:04:05`, a fraction and `Z`.
    pub(crate) fn is_usual(&self, text: &[u8]) -> bool {
        self.iso && quick::is_usual(text)
    }

    /// The seconds since 1970 of a date, and the nanoseconds behind them.
    pub(crate) fn instant(&self, text: &str) -> Option<(i64, i64)> {
        self.formatter.moment(text).map(|moment| (moment.instant, moment.nanos))
    }
}

/// Reads a date by formats and writes it in one format.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Date {
    /// The field that is read, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The formats that are tried; the last one that fits counts.
    formats: Vec<String>,
    /// The field that gets the date.
    #[serde(default = "target")]
    #[schemars(length(min = 1))]
    target_field: String,
    /// The time zone of texts without one, and of the result; a template.
    timezone: Option<String>,
    /// The language of names in the text, such as `de-AT`; a template.
    locale: Option<String>,
    /// The format of the result.
    #[serde(default = "output")]
    output_format: String,
    #[serde(skip)]
    prepared: Option<Prepared>,
}

struct Prepared {
    formats: Vec<Format>,
    zone: Setting<Zone>,
    locale: Setting<Locale>,
    output: Formatter,
}

/// An option that may be a template. A value that means nothing fails documents, not the pipeline, as at the cluster.
enum Setting<T> {
    Constant(T),
    Unknown,
    Template(Template),
}

impl<T: Clone> Setting<T> {
    fn new(text: Option<&str>, default: T, read: impl Fn(&str) -> Option<T>) -> Result<Self, String> {
        let Some(text) = text else { return Ok(Self::Constant(default)) };
        let template = Template::parse(text)?;
        Ok(match template.constant() {
            Some(constant) => read(constant).map_or(Self::Unknown, Self::Constant),
            None => Self::Template(template),
        })
    }

    fn get(&self, doc: DocView<'_>, meta: &Meta, read: impl Fn(&str) -> Option<T>) -> Option<Cow<'_, T>> {
        match self {
            Self::Constant(value) => Some(Cow::Borrowed(value)),
            Self::Unknown => None,
            Self::Template(template) => read(&template.render(doc, meta)).map(Cow::Owned),
        }
    }
}

fn target() -> String {
    "@timestamp".to_owned()
}

fn output() -> String {
    quick::OUTPUT.to_owned()
}

fn locale_of(text: &str) -> Option<Locale> {
    Locale::parse(text).ok()
}

impl Parameters for Date {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        self.target_field = field::checked("target_field", &self.target_field)?;
        let formats: Vec<Format> = self.formats.iter().map(|format| Format::new(format)).collect();
        if !formats.is_empty() && formats.iter().all(|format| matches!(format, Format::Misleading)) {
            return Err(format!(
                "[formats] [{}]: Y is the year of the week: without the week (w) OpenSearch reads the current year; write y or u",
                self.formats.join(", ")
            ));
        }
        self.prepared = Some(Prepared {
            formats,
            zone: Setting::new(self.timezone.as_deref(), UTC, Zone::of)?,
            locale: Setting::new(self.locale.as_deref(), Locale::root(), locale_of)?,
            output: Formatter::new(&self.output_format)
                .map_err(|why| format!("invalid output format [{}]: {why}", self.output_format))?,
        });
        Ok(())
    }
}

impl Prepared {
    /// All formats are tried and the last one that fits counts, as in OpenSearch.
    fn read(&self, value: &str, doc: DocView<'_>, meta: &Meta) -> Option<Moment> {
        let zone = self.zone.get(doc, meta, Zone::of)?;
        let locale = self.locale.get(doc, meta, locale_of)?;
        self.formats.iter().rev().find_map(|format| {
            glance();
            format.read(value, &zone, &locale)
        })
    }
}

impl Function for Date {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let Some(prepared) = &self.prepared else { return Ok(Effect::Unchanged) };
        let range = field::require(doc, &self.field)?;
        let raw = &text[range];
        let value = java::text(raw);
        let read = if raw == b"null" { None } else { prepared.read(&value, doc, meta) };
        let Some(moment) = read else {
            return Err(Fault::illegal(format!("unable to parse date [{value}]")));
        };
        let written = prepared.output.write(&moment).map_err(Fault::illegal)?;
        field::change(doc, &self.target_field, &json::quote(&written))
    }
}
