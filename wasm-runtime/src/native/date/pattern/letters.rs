//! Pattern letters, as `DateTimeFormatterBuilder.appendPattern` reads them.

use std::iter::Peekable;
use std::str::Chars;

use super::builder::Builder;
use super::pieces::{Field, Pattern, Piece, Resolver, Sign, Style};

/// # Errors
/// The defect of the pattern.
pub(crate) fn compile(pattern: &str, resolver: Resolver) -> Result<Pattern, String> {
    let built = letters(Builder::new(), pattern)?;
    match built.wrong {
        Some(why) => Err(why),
        None => Ok(built.pattern(resolver)),
    }
}

pub(crate) fn letters(mut builder: Builder, pattern: &str) -> Result<Builder, String> {
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        builder = match c {
            '\'' => builder.text(&quoted(&mut chars).ok_or_else(|| ends_in_literal(pattern))?),
            '[' => builder.open(),
            ']' => builder.close(),
            '{' | '}' | '#' => return Err(format!("Pattern includes reserved character: '{c}'")),
            'p' => {
                let width = repeated(&mut chars, c);
                let Some(letter) = chars.next_if(char::is_ascii_alphabetic) else {
                    return Err(format!("Pad letter 'p' must be followed by valid pad pattern: {pattern}"));
                };
                let count = repeated(&mut chars, letter);
                letter_of(builder.pad(width), letter, count)?
            }
            c if c.is_ascii_alphabetic() => {
                let count = repeated(&mut chars, c);
                letter_of(builder, c, count)?
            }
            c => builder.text(c.encode_utf8(&mut [0; 4])),
        };
        if let Some(why) = &builder.wrong {
            return Err(why.clone());
        }
    }
    Ok(builder)
}

fn ends_in_literal(pattern: &str) -> String {
    format!("Pattern ends with an incomplete string literal: {pattern}")
}

fn repeated(chars: &mut Peekable<Chars<'_>>, c: char) -> usize {
    let mut count = 1;
    while chars.next_if_eq(&c).is_some() {
        count += 1;
    }
    count
}

/// The text up to the closing quote; `''` is a quote itself.
fn quoted(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut out = String::new();
    loop {
        match chars.next()? {
            '\'' if chars.next_if_eq(&'\'').is_some() => out.push('\''),
            '\'' => return Some(if out.is_empty() { "'".to_owned() } else { out }),
            c => out.push(c),
        }
    }
}

fn letter_of(b: Builder, letter: char, count: usize) -> Result<Builder, String> {
    let many = || Err(format!("Too many pattern letters: {letter}"));
    Ok(match letter {
        'u' | 'y' => year(b, if letter == 'u' { Field::Year } else { Field::YearOfEra }, count),
        'Y' if count == 2 => b.reduced(Field::WeekYear),
        'Y' => b.week(Field::WeekYear, count, 19, if count < 4 { Sign::Normal } else { Sign::ExceedsPad }),
        'w' if count <= 2 => b.week(Field::Week, count, 2, Sign::NotNegative),
        'W' if count == 1 => b.week(Field::WeekOfMonth, 1, 1, Sign::NotNegative),
        'e' if count <= 2 => b.week(Field::LocalDay, count, count, Sign::NotNegative),
        'c' if count == 1 => b.week(Field::LocalDay, 1, 1, Sign::NotNegative),
        'c' if count == 2 => return Err("Invalid pattern \"cc\"".to_owned()),
        'M' | 'L' | 'Q' | 'q' | 'E' | 'e' | 'c' => return named(b, letter, count),
        'a' if count == 1 => b.name(Field::AmPm, Style::Short),
        'G' if count <= 3 => b.name(Field::Era, Style::Short),
        'G' if count == 4 => b.name(Field::Era, Style::Full),
        'G' if count == 5 => b.name(Field::Era, Style::Narrow),
        'B' => match count {
            1 => b.push(Piece::DayPeriod(Style::Short)),
            4 => b.push(Piece::DayPeriod(Style::Full)),
            5 => b.push(Piece::DayPeriod(Style::Narrow)),
            _ => return Err("Wrong number of pattern letters: B".to_owned()),
        },
        'S' => b.fraction(Field::Nano, count, count, false),
        'F' if count == 1 => b.value(Field::AlignedWeek),
        'D' if count == 1 => b.value(Field::DayOfYear),
        'D' if count <= 3 => b.number(Field::DayOfYear, count, 3, Sign::NotNegative),
        'g' => b.number(Field::ModifiedJulianDay, count, 19, Sign::Normal),
        'A' => b.number(Field::MilliOfDay, count, 19, Sign::NotNegative),
        'n' => b.number(Field::Nano, count, 19, Sign::NotNegative),
        'N' => b.number(Field::NanoOfDay, count, 19, Sign::NotNegative),
        'd' | 'h' | 'H' | 'k' | 'K' | 'm' | 's' if count <= 2 => clock(b, letter, count),
        'z' | 'V' | 'v' | 'Z' | 'O' | 'X' | 'x' => return zone(b, letter, count),
        'a' | 'G' | 'F' | 'D' | 'd' | 'h' | 'H' | 'k' | 'K' | 'm' | 's' | 'w' | 'W' => return many(),
        _ => return Err(format!("Unknown pattern letter: {letter}")),
    })
}

fn year(b: Builder, field: Field, count: usize) -> Builder {
    match count {
        2 => b.reduced(field),
        1 | 3 => b.number(field, count, 19, Sign::Normal),
        _ => b.number(field, count, 19, Sign::ExceedsPad),
    }
}

fn clock(b: Builder, letter: char, count: usize) -> Builder {
    let field = match letter {
        'd' => Field::DayOfMonth,
        'h' => Field::ClockHourOfAmPm,
        'H' => Field::Hour,
        'k' => Field::ClockHour,
        'K' => Field::HourOfAmPm,
        'm' => Field::Minute,
        _ => Field::Second,
    };
    if count == 1 { b.value(field) } else { b.fixed(field, 2) }
}

/// Months, quarters and days, by number or name.
fn named(b: Builder, letter: char, count: usize) -> Result<Builder, String> {
    let field = match letter {
        'M' | 'L' => Field::Month,
        'Q' | 'q' => Field::Quarter,
        _ => Field::DayOfWeek,
    };
    let standalone = matches!(letter, 'L' | 'q' | 'c');
    let style = |plain, standing| if standalone { standing } else { plain };
    Ok(match count {
        1 | 2 if letter == 'E' => b.name(field, Style::Short),
        1 => b.value(field),
        2 => b.fixed(field, 2),
        3 => b.name(field, style(Style::Short, Style::ShortStandalone)),
        4 => b.name(field, style(Style::Full, Style::FullStandalone)),
        5 => b.name(field, style(Style::Narrow, Style::NarrowStandalone)),
        _ => return Err(format!("Too many pattern letters: {letter}")),
    })
}

fn zone(b: Builder, letter: char, count: usize) -> Result<Builder, String> {
    const SHAPES: [&str; 5] = ["+HHmm", "+HHMM", "+HH:MM", "+HHMMss", "+HH:MM:ss"];
    Ok(match (letter, count) {
        ('z', 1..=4) => b.push(Piece::ZoneName { full: count == 4, generic: false }),
        ('v', 1 | 4) => b.push(Piece::ZoneName { full: count == 4, generic: true }),
        ('V', 2) => b.zone(),
        ('Z', 1..=3) => b.offset("+HHMM", "+0000"),
        ('Z', 4) | ('O', 4) => b.push(Piece::LocalizedOffset { full: true }),
        ('O', 1) => b.push(Piece::LocalizedOffset { full: false }),
        ('Z', 5) => b.offset("+HH:MM:ss", "Z"),
        ('X', 1..=5) => b.offset(SHAPES[count - 1], "Z"),
        ('x', 1) => b.offset(SHAPES[0], "+00"),
        ('x', 2 | 4) => b.offset(SHAPES[count - 1], "+0000"),
        ('x', 3 | 5) => b.offset(SHAPES[count - 1], "+00:00"),
        ('V', _) => return Err("Pattern letter count must be 2: V".to_owned()),
        ('O', _) => return Err("Pattern letter count must be 1 or 4: O".to_owned()),
        ('v', _) => return Err("Wrong number of pattern letters: v".to_owned()),
        _ => return Err(format!("Too many pattern letters: {letter}")),
    })
}
