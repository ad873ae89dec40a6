//! Writes a moment by the pieces of a pattern, in no language, as OpenSearch does.

use super::locale::zones;
use super::moment::{Moment, root};
use super::pattern::{Field, Fraction, Number, Offset, Part, Piece, Sign, Style};
use super::zone::Zone;

/// Why a moment cannot be written.
type Written = Result<(), String>;

/// # Errors
/// When a value is too wide for its place, or has a sign where there is none.
pub(crate) fn write(pieces: &[Piece], moment: &Moment, out: &mut String) -> Written {
    pieces.iter().try_for_each(|piece| write_piece(piece, moment, out))
}

fn write_piece(piece: &Piece, moment: &Moment, out: &mut String) -> Written {
    match piece {
        Piece::Literal(text) => out.push_str(text),
        Piece::Number(number) => return write_number(*number, moment, out),
        Piece::Fraction(fraction) => write_fraction(*fraction, moment, out),
        Piece::Name(field, style) => name(*field, *style, moment, out),
        Piece::DayPeriod(style) => {
            let minute = moment.date_and_time().1 / 60_000_000_000;
            out.push_str(root().period_name(minute, *style));
        }
        Piece::Offset(offset) => write_offset(*offset, moment.offset, out),
        Piece::LocalizedOffset { full } => localized_offset(*full, moment.offset, out),
        Piece::ZoneId => out.push_str(&moment.zone.id()),
        Piece::ZoneName { full, generic } => zone_name(*full, *generic, moment, out),
        Piece::EpochMinus if moment.instant < 0 => out.push('-'),
        Piece::EpochMinus | Piece::IgnoreCase => {}
        Piece::Optional(pieces) => return optional(pieces, moment, out),
        Piece::Padded(piece, width) => return padded(piece, *width, moment, out),
    }
    Ok(())
}

/// A section of fractions that are not there writes nothing.
fn optional(pieces: &[Piece], moment: &Moment, out: &mut String) -> Written {
    let absent = |piece: &Piece| {
        let Piece::Fraction(fraction) = piece else { return false };
        matches!(fraction.field, Field::NanoOfMilli | Field::NanoOfMicro) && moment.nanos % range(fraction.field) == 0
    };
    if pieces.iter().any(absent) { Ok(()) } else { write(pieces, moment, out) }
}

fn padded(piece: &Piece, width: usize, moment: &Moment, out: &mut String) -> Written {
    let mut inner = String::new();
    write_piece(piece, moment, &mut inner)?;
    let length = inner.chars().count();
    if length > width {
        return Err(format!("Cannot print as output of {length} characters exceeds pad width of {width}"));
    }
    out.extend(std::iter::repeat_n(' ', width - length));
    out.push_str(&inner);
    Ok(())
}

fn value(field: Field, moment: &Moment) -> i64 {
    match field {
        Field::EpochMilli => since_epoch(moment, 1_000),
        Field::EpochMicro => since_epoch(moment, 1_000_000),
        field => moment.value(field).unwrap_or(0),
    }
}

/// Units since 1970 without their sign, at most Java's longest number; those before it are rounded towards it.
fn since_epoch(moment: &Moment, per_second: i64) -> i64 {
    let nanos_each = 1_000_000_000 / per_second;
    let mut units = i128::from(moment.instant) * i128::from(per_second) + i128::from(moment.nanos / nanos_each);
    if moment.instant < 0 {
        units += i128::from(moment.nanos % nanos_each != 0);
    }
    i64::try_from(units.unsigned_abs()).unwrap_or(i64::MAX)
}

fn write_number(number: Number, moment: &Moment, out: &mut String) -> Written {
    let mut value = value(number.field, moment);
    if number.reduced {
        value = value.abs() % 100;
    }
    let size = if value == 0 { 1 } else { value.unsigned_abs().ilog10() as usize + 1 };
    if size > number.most {
        return Err(format!("a value {value} exceeds the maximum print width of {}", number.most));
    }
    if value < 0 {
        match number.sign {
            Sign::Normal | Sign::ExceedsPad => out.push('-'),
            Sign::NotNegative => return Err(format!("a value {value} cannot be negative according to the SignStyle")),
            Sign::Never => {}
        }
    } else if number.sign == Sign::ExceedsPad && number.least < 19 && size > number.least {
        out.push('+');
    }
    digits(value.unsigned_abs(), number.least, out);
    Ok(())
}

fn digits(value: u64, least: usize, out: &mut String) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value);
    out.extend(std::iter::repeat_n('0', least.saturating_sub(text.len())));
    out.push_str(text);
}

fn range(field: Field) -> i64 {
    match field {
        Field::NanoOfMilli => 1_000_000,
        Field::NanoOfMicro => 1_000,
        _ => 1_000_000_000,
    }
}

fn write_fraction(fraction: Fraction, moment: &Moment, out: &mut String) {
    let range = range(fraction.field);
    let part = if range < 1_000_000_000 && moment.instant < 0 {
        (1_000_000_000 - moment.nanos) % range
    } else {
        moment.nanos % range
    };
    let nine = format!("{:09}", part * (1_000_000_000 / range));
    let significant = nine.trim_end_matches('0').len();
    let length = significant.clamp(fraction.least, fraction.most);
    if length > 0 {
        if fraction.point {
            out.push('.');
        }
        out.push_str(&nine[..length]);
    }
}

fn name(field: Field, style: Style, moment: &Moment, out: &mut String) {
    let (names, first) = root().names(field, style);
    let at = usize::try_from(value(field, moment) - first).unwrap_or(0);
    match names.get(at) {
        Some(name) if !name.is_empty() => out.push_str(name),
        _ => digits(value(field, moment).unsigned_abs(), 1, out),
    }
}

fn write_offset(offset: Offset, all: i32, out: &mut String) {
    let seconds = all.unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let with_minutes = match offset.minutes {
        Part::Always => true,
        Part::Optional => minutes > 0 || (offset.seconds == Part::Optional && seconds > 0),
        Part::Never => false,
    };
    let with_seconds = with_minutes && offset.seconds == Part::Optional && seconds > 0;
    if hours == 0 && (!with_minutes || minutes == 0) && !with_seconds {
        out.push_str(offset.zero);
        return;
    }
    out.push(if all < 0 { '-' } else { '+' });
    digits(hours.into(), 2, out);
    for (part, _) in [(minutes, with_minutes), (seconds, with_seconds)].iter().filter(|(_, shown)| *shown) {
        if offset.colon {
            out.push(':');
        }
        digits((*part).into(), 2, out);
    }
}

fn localized_offset(full: bool, all: i32, out: &mut String) {
    out.push_str(root().greenwich());
    if all == 0 {
        return;
    }
    let seconds = all.unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    out.push(if all < 0 { '-' } else { '+' });
    digits(hours.into(), if full { 2 } else { 1 }, out);
    if full || minutes != 0 || seconds != 0 {
        out.push(':');
        digits(minutes.into(), 2, out);
    }
    if seconds != 0 {
        out.push(':');
        digits(seconds.into(), 2, out);
    }
}

fn zone_name(full: bool, generic: bool, moment: &Moment, out: &mut String) {
    let id = moment.zone.id();
    let summer = moment.zone.is_summer_at(moment.instant);
    let name = match moment.zone {
        Zone::Region(_) => zones::written(&id, full, generic, summer),
        Zone::Offset(_) => None,
    };
    out.push_str(name.unwrap_or(&id));
}
