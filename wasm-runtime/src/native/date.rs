//! `date`: a moment out of a text or a number, written in one format.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::Deserialize;

use super::date_format::{Format, read_iso, zone_of};
use super::template::Template;
use super::{Function, Parameters, field};
use crate::deadline::glance;
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::{java, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Date {
    field: String,
    formats: Vec<String>,
    #[serde(default = "target")]
    target_field: String,
    timezone: Option<String>,
    locale: Option<String>,
    #[serde(default = "output")]
    output_format: String,
    #[serde(skip)]
    prepared: Option<Prepared>,
}

struct Prepared {
    formats: Vec<Known>,
    zone: Option<Template>,
    output: Format,
}

/// A format of the processor.
enum Known {
    Iso,
    Seconds,
    Millis,
    Tai64n,
    Pattern(Format),
}

fn target() -> String {
    "@timestamp".to_owned()
}

fn output() -> String {
    "yyyy-MM-dd'T'HH:mm:ss.SSSXXX".to_owned()
}

/// The only language that names of months and days are read in.
const ENGLISH: [&str; 6] = ["ENGLISH", "en", "en-US", "en_US", "en-GB", "ROOT"];

impl Parameters for Date {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        self.target_field = field::checked("target_field", &self.target_field)?;
        if let Some(locale) = self.locale.as_ref().filter(|l| !ENGLISH.iter().any(|e| e.eq_ignore_ascii_case(l))) {
            return Err(format!("[locale] [{locale}] is not available: names of months and days are read in English"));
        }
        if let Some(zone) = self.timezone.as_ref().filter(|z| !z.contains("{{") && zone_of(z).is_none()) {
            return Err(format!("[timezone] no time zone is called [{zone}]"));
        }
        let known = |format: &String| {
            Ok::<_, String>(match format.as_str() {
                "ISO8601" | "iso8601" | "strict_date_optional_time" | "date_optional_time" => Known::Iso,
                "UNIX" => Known::Seconds,
                "UNIX_MS" => Known::Millis,
                "TAI64N" => Known::Tai64n,
                pattern => Known::Pattern(Format::parse(pattern).map_err(|e| format!("[formats] {e}"))?),
            })
        };
        self.prepared = Some(Prepared {
            formats: self.formats.iter().map(known).collect::<Result<_, _>>()?,
            zone: self.timezone.as_deref().map(Template::parse).transpose()?,
            output: Format::parse(&self.output_format).map_err(|e| format!("[output_format] {e}"))?,
        });
        Ok(())
    }
}

impl Known {
    fn read(&self, text: &str, zone: &TimeZone) -> Option<Zoned> {
        let at = match self {
            Self::Iso => return read_iso(text, zone),
            Self::Pattern(format) => return format.read(text, zone).map(|m| m.with_time_zone(zone.clone())),
            Self::Seconds => Timestamp::from_millisecond((text.trim().parse::<f64>().ok()? * 1000.0) as i64),
            Self::Millis => Timestamp::from_millisecond(text.parse().ok()?),
            Self::Tai64n => Timestamp::from_millisecond(tai64n(text)?),
        };
        at.ok().map(|at| at.to_zoned(zone.clone()))
    }
}

/// Milliseconds of a TAI64N label (`@`, 16 digits of seconds, 8 of nanoseconds), 10 leap seconds taken off as OpenSearch does.
fn tai64n(text: &str) -> Option<i64> {
    let label = text.strip_prefix('@').unwrap_or(text);
    let seconds = i64::from_str_radix(label.get(1..16)?, 16).ok()?;
    let nanos = i64::from_str_radix(label.get(16..24)?, 16).ok()?;
    Some((seconds * 1000 - 10_000) + nanos / 1_000_000)
}

impl Function for Date {
    fn apply(&self, text: &[u8], meta: &mut Meta) -> Result<Effect, Fault> {
        let Some(prepared) = &self.prepared else { return Ok(Effect::Unchanged) };
        let range = field::require(text, &self.field)?;
        let value = java::text(&text[range]);
        let zone = match &prepared.zone {
            None => TimeZone::UTC,
            Some(template) => {
                let name = template.render(text, meta);
                zone_of(&name).ok_or_else(|| Fault::illegal(format!("no time zone is called [{name}]")))?
            }
        };
        // All formats are tried and the last one that fits counts, as in OpenSearch.
        let read = prepared.formats.iter().rev().find_map(|format| {
            glance();
            format.read(&value, &zone)
        });
        let Some(moment) = read else {
            return Err(Fault::illegal(format!("unable to parse date [{value}]")));
        };
        let written = prepared.output.write(&moment.with_time_zone(zone));
        field::change(text, &self.target_field, &json::quote(&written))
    }
}
