//! Formats of the processor: those of its own, and those that OpenSearch's `DateFormatter` has.

use super::locale::Locale;
use super::moment::{self, Moment};
use super::pattern::{self, Field, Pattern, Piece, Resolver};
use super::read::{self, rfc3339};
use super::zone::{UTC, Zone};
use super::{quick, tai64n, write};
use crate::native::support::java_numbers;

/// A format of the processor.
pub(crate) enum Format {
    Iso(Formatter),
    Seconds,
    Millis,
    Tai64n,
    Patterns(Formatter),
    /// Nothing can be read by it; as at the cluster this costs only itself.
    Broken,
    /// It would read the current year, whatever the text says.
    Misleading,
}

impl Format {
    pub(crate) fn new(format: &str) -> Self {
        let formatter = |text| Formatter::new(text).ok();
        match format {
            "ISO8601" => formatter("iso8601").map_or(Self::Broken, Self::Iso),
            "UNIX" => Self::Seconds,
            "UNIX_MS" => Self::Millis,
            "TAI64N" => Self::Tai64n,
            name => match formatter(name) {
                Some(formatter) if formatter.reads.is_empty() => Self::Misleading,
                Some(formatter) => Self::Patterns(formatter),
                None => Self::Broken,
            },
        }
    }

    pub(crate) fn read(&self, text: &str, zone: &Zone, locale: &Locale) -> Option<Moment> {
        match self {
            Self::Seconds => {
                let millis = java_numbers::double(text).ok()? * 1000.0;
                Some(Moment::of_millis(millis as i64, zone.clone()))
            }
            Self::Millis => Some(Moment::of_millis(java_numbers::parse_long(text).ok()?, zone.clone())),
            Self::Tai64n => Some(Moment::of_millis(tai64n::tai64n(text)?, zone.clone())),
            Self::Iso(formatter) => {
                if let Some(moment) = quick::iso(text, zone) {
                    return Some(moment);
                }
                let parsed = formatter.first(text, moment::root(), None)?;
                match parsed {
                    Found::Moment(moment) => Some(moment.in_zone(zone)),
                    Found::Parsed(parsed) => Some(moment::complete(&parsed, zone)?.in_zone(zone)),
                }
            }
            Self::Patterns(formatter) => read_patterns(formatter, text, zone, locale),
            Self::Broken | Self::Misleading => None,
        }
    }
}

/// Without a year it is the current one; the plain offset of no hours is none, so that the text's own counts.
fn read_patterns(formatter: &Formatter, text: &str, zone: &Zone, locale: &Locale) -> Option<Moment> {
    let override_zone = if zone.is_plain_utc() { None } else { Some(zone) };
    let moment = match formatter.first(text, locale, override_zone)? {
        Found::Moment(moment) => moment,
        Found::Parsed(parsed) if moment::lacks_year(&parsed) => moment::in_this_year(&parsed, zone, moment::now())?,
        Found::Parsed(parsed) => moment::complete(&parsed, &UTC)?,
    };
    Some(if zone.is_plain_utc() { moment.in_zone(zone) } else { moment })
}

/// The result of reading a text.
enum Found<'l> {
    Moment(Moment),
    Parsed(Box<super::resolve::Parsed<'l>>),
}

/// Formats between `||`: the first that fits is read, the first is written.
pub(crate) struct Formatter {
    writes: Pattern,
    reads: Vec<Reads>,
    /// Writes as most do.
    pub(crate) plain: bool,
}

enum Reads {
    Pattern(Pattern),
    Rfc3339,
}

impl Formatter {
    /// # Errors
    /// The defect of the format.
    pub(crate) fn new(format: &str) -> Result<Self, String> {
        let text = format.strip_prefix('8').unwrap_or(format);
        if format.is_empty() {
            return Err("No date pattern provided".to_owned());
        }
        let mut writes = None;
        let mut reads = Vec::new();
        for part in text.split("||") {
            if part.is_empty() {
                return Err(format!("Cannot have empty element in multi date format pattern: {text}"));
            }
            let part = part.trim_matches(|c: char| c <= ' ');
            if part.is_empty() {
                return Err("No date pattern provided".to_owned());
            }
            let (printed, read) = single(part)?;
            writes.get_or_insert(printed);
            reads.extend(read);
        }
        let writes = writes.ok_or("No date pattern provided")?;
        Ok(Self { writes, reads, plain: text == quick::OUTPUT })
    }

    /// The moment of a text, in UTC where it has no zone; `None` where no format fits.
    pub(crate) fn moment(&self, text: &str) -> Option<Moment> {
        match self.first(text, moment::root(), None)? {
            Found::Moment(moment) => Some(moment),
            Found::Parsed(parsed) => moment::complete(&parsed, &UTC),
        }
    }

    /// Whether a format fits a text, before its fields are put together.
    pub(crate) fn reads(&self, text: &str) -> bool {
        self.first(text, moment::root(), None).is_some()
    }

    fn first<'l>(&self, text: &str, locale: &'l Locale, zone: Option<&Zone>) -> Option<Found<'l>> {
        if text.is_empty() {
            return None;
        }
        for reads in &self.reads {
            match reads {
                Reads::Rfc3339 if self.reads.len() == 1 => {
                    let moment = rfc3339::read(text)?;
                    return Some(Found::Moment(match zone {
                        Some(zone) => moment.in_zone(zone),
                        None => moment,
                    }));
                }
                // Among others Java does not see how far it read.
                Reads::Rfc3339 => {}
                Reads::Pattern(pattern) => {
                    match read::read(pattern, text, locale, zone.or(pattern.utc.then_some(&UTC))) {
                        Ok(parsed) => return Some(Found::Parsed(Box::new(parsed))),
                        Err(read::Stop::Thrown) => return None,
                        Err(_) => {}
                    }
                }
            }
        }
        None
    }

    /// # Errors
    /// When the moment cannot be written so.
    pub(crate) fn write(&self, moment: &Moment) -> Result<String, String> {
        let mut out = String::with_capacity(32);
        if self.writes.utc {
            write::write(&self.writes.pieces, &moment.clone().in_zone(&UTC), &mut out)?;
            return Ok(out);
        }
        if !self.plain || !quick::write(moment, &mut out) {
            write::write(&self.writes.pieces, moment, &mut out)?;
        }
        Ok(out)
    }
}

/// A name or a pattern: how it writes and what it reads.
fn single(part: &str) -> Result<(Pattern, Vec<Reads>), String> {
    if let Some(named) = pattern::named(part) {
        let reads =
            if named.rfc3339 { vec![Reads::Rfc3339] } else { named.reads.into_iter().map(Reads::Pattern).collect() };
        return Ok((named.writes, reads));
    }
    let pattern = pattern::compile(part, Resolver::Strict).map_err(|why| format!("Invalid format: [{part}]: {why}"))?;
    let reads = if misleads(&pattern.pieces) { Vec::new() } else { vec![Reads::Pattern(pattern.clone())] };
    Ok((pattern, reads))
}

/// Whether a year of weeks is read, but neither its week nor another year: OpenSearch then takes the current year.
fn misleads(pieces: &[Piece]) -> bool {
    let years = [Field::Year, Field::YearOfEra, Field::Week, Field::ModifiedJulianDay];
    reads_any(pieces, &[Field::WeekYear]) && !reads_any(pieces, &years)
}

fn reads_any(pieces: &[Piece], fields: &[Field]) -> bool {
    pieces.iter().any(|piece| match piece {
        Piece::Number(number) => fields.contains(&number.field),
        Piece::Optional(pieces) => reads_any(pieces, fields),
        Piece::Padded(piece, _) => reads_any(std::slice::from_ref(piece), fields),
        _ => false,
    })
}
