//! Reads a text by the pieces of a pattern.

mod numbers;
mod offsets;
pub(crate) mod rfc3339;
mod zones;

use super::calendar::weeks::ISO;
use super::locale::Locale;
use super::pattern::{Field, Number, Pattern, Piece, Sign, Style};
use super::resolve::Parsed;
use super::zone::Zone;
use crate::engine::deadline::glance;

/// Why reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The text is another; an optional section is skipped.
    Differs,
    /// Java looks behind the end of the text; another pattern may fit.
    Beyond,
    /// Java gives up on the whole text, with all patterns.
    Thrown,
}

/// The position behind what was read.
type Step = Result<usize, Stop>;

/// A text being read. Positions are bytes.
struct Reader<'l> {
    parsed: Parsed<'l>,
    ignore_case: bool,
}

/// Reads all of `text`, without making a date of it.
///
/// # Errors
/// When it does not fit.
fn fields<'l>(pattern: &Pattern, text: &str, locale: &'l Locale) -> Result<Parsed<'l>, Stop> {
    let mut reader = Reader { parsed: Parsed::new(locale), ignore_case: false };
    let end = reader.all(&pattern.pieces, text, 0)?;
    if end == text.len() { Ok(reader.parsed) } else { Err(Stop::Differs) }
}

/// The result of reading a text by a pattern.
///
/// # Errors
/// When it does not fit.
pub(crate) fn read<'l>(
    pattern: &Pattern,
    text: &str,
    locale: &'l Locale,
    zone: Option<&Zone>,
) -> Result<Parsed<'l>, Stop> {
    glance();
    fields(pattern, text, locale)?.resolve(pattern.resolver, zone).ok_or(Stop::Differs)
}

impl Reader<'_> {
    fn all(&mut self, pieces: &[Piece], text: &str, mut at: usize) -> Step {
        for piece in pieces {
            at = self.read_piece(piece, text, at)?;
        }
        Ok(at)
    }

    fn read_piece(&mut self, piece: &Piece, text: &str, at: usize) -> Step {
        match piece {
            Piece::Literal(literal) => self.literal(literal, text, at),
            Piece::Number(number) => self.number(*number, text, at),
            Piece::Fraction(fraction) => self.fraction(*fraction, text, at),
            Piece::Name(field, style) => self.name(*field, *style, text, at),
            Piece::DayPeriod(style) => self.day_period(*style, text, at),
            Piece::Offset(offset) => self.offset(*offset, text, at),
            Piece::LocalizedOffset { full } => self.localized_offset(*full, text, at),
            Piece::ZoneId => self.zone(None, text, at),
            Piece::ZoneName { full, .. } => self.zone(Some(*full), text, at),
            Piece::EpochMinus => self.epoch_minus(text, at),
            Piece::Optional(pieces) => self.optional(pieces, text, at),
            Piece::Padded(piece, width) => self.padded(piece, *width, text, at),
            Piece::IgnoreCase => {
                self.ignore_case = true;
                Ok(at)
            }
        }
    }

    fn optional(&mut self, pieces: &[Piece], text: &str, at: usize) -> Step {
        glance();
        let before = self.parsed.clone();
        match self.all(pieces, text, at) {
            Err(Stop::Differs) => {
                self.parsed = before;
                Ok(at)
            }
            step => step,
        }
    }

    /// Puts a value; another one there before is a difference.
    fn set(&mut self, field: Field, value: i64, end: usize) -> Step {
        let iso = self.parsed.locale.weeks == ISO;
        let field = match field {
            Field::RootDay if iso => Field::LocalDay,
            Field::RootWeek if iso => Field::Week,
            Field::RootWeekYear if iso => Field::WeekYear,
            field => field,
        };
        self.parsed.fields.agree(field, value).map_or(Err(Stop::Differs), |()| Ok(end))
    }

    fn starts(&self, text: &str, with: &str) -> bool {
        if !self.ignore_case {
            return text.starts_with(with);
        }
        text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
    }

    fn literal(&self, literal: &str, text: &str, at: usize) -> Step {
        if self.starts(&text[at..], literal) { Ok(at + literal.len()) } else { Err(Stop::Differs) }
    }

    /// The longest name that the text goes on with; of equal ones the last. Where there are no names it is a number.
    fn name(&mut self, field: Field, style: Style, text: &str, at: usize) -> Step {
        let (names, first) = self.parsed.locale.names(field, style);
        if names.iter().all(|name| name.is_empty()) {
            let number = Number { field, least: 1, most: 19, sign: Sign::Normal, behind: 0, reduced: false };
            return self.number(number, text, at);
        }
        let rest = &text[at..];
        let mut best: Option<(usize, i64)> = None;
        for (name, value) in names.iter().zip(first..) {
            let longer = best.is_none_or(|(length, _)| name.len() >= length);
            if !name.is_empty() && longer && self.starts(rest, name) {
                best = Some((name.len(), value));
            }
        }
        match best {
            Some((length, value)) => self.set(field, value, at + length),
            None => Err(Stop::Differs),
        }
    }

    fn day_period(&mut self, style: Style, text: &str, at: usize) -> Step {
        let rest = &text[at..];
        let fitting = self.parsed.locale.period_names(style).filter(|(name, _)| self.starts(rest, name));
        match fitting.max_by_key(|(name, _)| name.len()) {
            Some((name, period)) => {
                self.parsed.period = Some(period);
                Ok(at + name.len())
            }
            None => Err(Stop::Differs),
        }
    }

    fn epoch_minus(&mut self, text: &str, at: usize) -> Step {
        if text[at..].starts_with('-') {
            self.set(Field::EpochSign, 0, at + 1)
        } else {
            // No text is the name of the other sign.
            self.set(Field::EpochSign, 1, at)
        }
    }

    /// A piece behind blanks, of so many characters together.
    fn padded(&mut self, piece: &Piece, width: usize, text: &str, at: usize) -> Step {
        let rest = &text[at..];
        let Some(end) = rest.char_indices().map(|(start, c)| start + c.len_utf8()).nth(width.saturating_sub(1)) else {
            return Err(Stop::Differs);
        };
        let blanks = rest[..end].bytes().take_while(|b| *b == b' ').count();
        match self.read_piece(piece, &text[..at + end], at + blanks)? {
            done if done == at + end => Ok(done),
            _ => Err(Stop::Differs),
        }
    }
}
