//! Date patterns of Java's `DateTimeFormatter`, read and written (letters G, w, W and e excepted); months and days are English.
//!
//! The calendar, the time zones and the arithmetic are `jiff`'s; no library for Rust reads Java's pattern letters.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Names of patterns that OpenSearch knows, beside those of the `date` processor itself.
const NAMED: [(&str, &str); 12] = [
    ("date", "yyyy-MM-dd"),
    ("basic_date", "yyyyMMdd"),
    ("basic_date_time", "yyyyMMdd'T'HHmmss.SSSX"),
    ("basic_date_time_no_millis", "yyyyMMdd'T'HHmmssX"),
    ("date_hour_minute_second", "yyyy-MM-dd'T'HH:mm:ss"),
    ("date_hour_minute_second_millis", "yyyy-MM-dd'T'HH:mm:ss.SSS"),
    ("date_time", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"),
    ("date_time_no_millis", "yyyy-MM-dd'T'HH:mm:ssXXX"),
    ("strict_date", "yyyy-MM-dd"),
    ("strict_date_time", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"),
    ("strict_date_time_no_millis", "yyyy-MM-dd'T'HH:mm:ssXXX"),
    ("year_month", "yyyy-MM"),
];

/// A part of a pattern.
#[derive(Debug, Clone)]
enum Piece {
    /// A letter and how often it stands there.
    Field(char, usize),
    Literal(String),
    Optional(Vec<Piece>),
}

/// A pattern, ready to read and to write dates.
#[derive(Debug, Clone)]
pub struct Format(Vec<Piece>);

/// What was read so far.
#[derive(Default, Clone)]
struct Read {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i16>,
    hour: Option<i8>,
    half: Option<bool>,
    clock_hour: Option<i8>,
    minute: Option<i8>,
    second: Option<i8>,
    nanos: Option<i32>,
    zone: Option<TimeZone>,
}

impl Format {
    /// # Errors
    /// What is wrong with the pattern.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let pattern = NAMED.iter().find(|(name, _)| *name == pattern).map_or(pattern, |(_, pattern)| pattern);
        let pattern = pattern.strip_prefix('8').unwrap_or(pattern);
        let wrong = |why: &str| format!("Invalid format: [{pattern}]: {why}");
        let mut stack: Vec<Vec<Piece>> = vec![Vec::new()];
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            let piece = match c {
                '\'' => Piece::Literal(quoted(&mut chars).ok_or_else(|| wrong("a quote does not end"))?),
                '[' => {
                    stack.push(Vec::new());
                    continue;
                }
                ']' => {
                    let inner = stack.pop().unwrap_or_default();
                    if stack.is_empty() {
                        return Err(wrong("a bracket was not opened"));
                    }
                    Piece::Optional(inner)
                }
                '{' | '}' | '#' => return Err(wrong(&format!("Pattern includes reserved character: '{c}'"))),
                c if c.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    if !"yuMLdDHhkKmsSaEXxZzVn".contains(c) {
                        return Err(wrong(&format!("Unknown pattern letter: {c}")));
                    }
                    Piece::Field(c, count)
                }
                c => Piece::Literal(c.to_string()),
            };
            if let Some(top) = stack.last_mut() {
                top.push(piece);
            }
        }
        match (stack.pop(), stack.is_empty()) {
            (Some(pieces), true) => Ok(Self(pieces)),
            _ => Err(wrong("a bracket is not closed")),
        }
    }

    /// The moment that `text` names; without a zone of its own in `zone`, without a year in the current one.
    pub fn read(&self, text: &str, zone: &TimeZone) -> Option<Zoned> {
        let mut read = Read::default();
        let rest = read_pieces(&self.0, text, &mut read)?;
        if rest.is_empty() { read.moment(zone) } else { None }
    }

    /// The moment in this format, in its own zone.
    pub fn write(&self, moment: &Zoned) -> String {
        let mut out = String::new();
        write_pieces(&self.0, moment, &mut out);
        out
    }
}

/// The text up to the closing quote; `\'\'` is a quote itself.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    if chars.next_if_eq(&'\'').is_some() {
        return Some("'".to_owned());
    }
    let mut out = String::new();
    loop {
        match chars.next()? {
            '\'' if chars.next_if_eq(&'\'').is_some() => out.push('\''),
            '\'' => return Some(out),
            c => out.push(c),
        }
    }
}

fn read_pieces<'t>(pieces: &[Piece], text: &'t str, read: &mut Read) -> Option<&'t str> {
    let mut rest = text;
    for (at, piece) in pieces.iter().enumerate() {
        rest = match piece {
            Piece::Literal(literal) => rest.strip_prefix(literal.as_str())?,
            Piece::Optional(inner) => {
                let mut tried = read.clone();
                match read_pieces(inner, rest, &mut tried) {
                    Some(after) => {
                        *read = tried;
                        after
                    }
                    None => rest,
                }
            }
            Piece::Field(letter, count) => {
                let adjacent = matches!(pieces.get(at + 1), Some(Piece::Field(next, _)) if "yuMdHhmsS".contains(*next));
                read_field(*letter, *count, adjacent, rest, read)?
            }
        };
    }
    Some(rest)
}

/// A number of `least` to `most` digits.
fn digits(text: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    Some((text[..count].parse().ok()?, &text[count..]))
}

fn name<'t>(text: &'t str, names: &[&str], short: bool) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(n, name)| {
        let name = if short { &name[..3] } else { name };
        text.strip_prefix(name).map(|rest| (n, rest))
    })
}

fn read_field<'t>(letter: char, count: usize, adjacent: bool, text: &'t str, read: &mut Read) -> Option<&'t str> {
    let two = |text| {
        if count == 1 && !adjacent { digits(text, 1, 2) } else { digits(text, count.min(2), 2) }
    };
    let small = |value: i64| i8::try_from(value).ok();
    match letter {
        'y' | 'u' if count == 2 => {
            let (value, rest) = digits(text, 2, 2)?;
            read.year = Some(2000 + i16::try_from(value).ok()?);
            Some(rest)
        }
        'y' | 'u' => {
            let most = if adjacent { count.max(4) } else { 4 };
            let (value, rest) = digits(text, count.min(4), most)?;
            read.year = Some(i16::try_from(value).ok()?);
            Some(rest)
        }
        'M' | 'L' if count >= 3 => {
            let (n, rest) = name(text, &MONTHS, count == 3)?;
            read.month = small(n as i64 + 1);
            Some(rest)
        }
        'E' => name(text, &DAYS, count <= 3).map(|(_, rest)| rest),
        'D' => {
            let (value, rest) = digits(text, count, 3)?;
            read.day_of_year = i16::try_from(value).ok();
            Some(rest)
        }
        'S' | 'n' => {
            let (value, rest) = digits(text, count, count)?;
            let scale = 9usize.checked_sub(count)?;
            read.nanos = i32::try_from(value * 10i64.pow(u32::try_from(scale).ok()?)).ok();
            Some(rest)
        }
        'a' => {
            let half = text.get(..2)?;
            read.half = match half {
                "AM" => Some(false),
                "PM" => Some(true),
                _ => return None,
            };
            Some(&text[2..])
        }
        'X' | 'x' | 'Z' => {
            let (zone, rest) = offset(letter, count, text)?;
            read.zone = Some(zone);
            Some(rest)
        }
        'z' | 'V' => {
            let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "/_+-:".contains(c))).unwrap_or(text.len());
            read.zone = Some(zone_of(&text[..end])?);
            Some(&text[end..])
        }
        _ => {
            let (value, rest) = two(text)?;
            let value = small(value);
            match letter {
                'M' | 'L' => read.month = value,
                'd' => read.day = value,
                'H' | 'k' => read.hour = value.map(|h| if letter == 'k' { h % 24 } else { h }),
                'h' | 'K' => read.clock_hour = value.map(|h| if letter == 'h' { h % 12 } else { h }),
                'm' => read.minute = value,
                _ => read.second = value,
            }
            Some(rest)
        }
    }
}

/// An offset in the form that the letter and its count ask for.
fn offset(letter: char, count: usize, text: &str) -> Option<(TimeZone, &str)> {
    let zulu = letter == 'X' || (letter == 'Z' && count == 5);
    if let Some(rest) = text.strip_prefix('Z').filter(|_| zulu) {
        return Some((TimeZone::UTC, rest));
    }
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, rest) = digits(&text[1..], 2, 2)?;
    let colon = matches!((letter, count), ('X' | 'x', 3 | 5) | ('Z', 5));
    let (minutes, rest) = if colon {
        digits(rest.strip_prefix(':')?, 2, 2)?
    } else {
        match digits(rest, 2, 2) {
            Some(found) => found,
            None if count == 1 && letter != 'Z' => (0, rest),
            None => return None,
        }
    };
    let seconds = i32::try_from(sign * (hours * 3600 + minutes * 60)).ok()?;
    Some((Offset::from_seconds(seconds).ok()?.to_time_zone(), rest))
}

/// A time zone by its name (`Europe/Paris`, `UTC`) or its offset (`+02:00`).
pub fn zone_of(name: &str) -> Option<TimeZone> {
    match name {
        "" => None,
        "Z" | "UTC" | "GMT" | "UT" => Some(TimeZone::UTC),
        _ if name.starts_with(['+', '-']) => {
            let found = offset('X', if name.contains(':') { 3 } else { 1 }, name)?;
            found.1.is_empty().then_some(found.0)
        }
        _ => TimeZone::get(name).ok(),
    }
}

impl Read {
    fn moment(self, zone: &TimeZone) -> Option<Zoned> {
        let zone = self.zone.clone().unwrap_or_else(|| zone.clone());
        let year = self.year.unwrap_or_else(|| Timestamp::now().to_zoned(zone.clone()).year());
        let date = match self.day_of_year {
            Some(day) => Date::new(year, 1, 1).ok()?.with().day_of_year(day).build().ok()?,
            None => Date::new(year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok()?,
        };
        let hour = match (self.hour, self.clock_hour) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + if self.half == Some(true) { 12 } else { 0 },
            (None, None) => 0,
        };
        let time = Time::new(hour, self.minute.unwrap_or(0), self.second.unwrap_or(0), self.nanos.unwrap_or(0)).ok()?;
        DateTime::from_parts(date, time).to_zoned(zone).ok()
    }
}

fn write_pieces(pieces: &[Piece], moment: &Zoned, out: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Optional(inner) => write_pieces(inner, moment, out),
            Piece::Field(letter, count) => write_field(*letter, *count, moment, out),
        }
    }
}

fn write_field(letter: char, count: usize, moment: &Zoned, out: &mut String) {
    let padded = |value: i64| format!("{value:0count$}");
    let named = |name: &str| if count == 3 { name[..3].to_owned() } else { name.to_owned() };
    let text = match letter {
        'y' | 'u' if count == 2 => format!("{:02}", moment.year() % 100),
        'y' | 'u' => padded(i64::from(moment.year())),
        'M' | 'L' if count >= 3 => named(MONTHS[usize::try_from(moment.month() - 1).unwrap_or(0)]),
        'M' | 'L' => padded(i64::from(moment.month())),
        'd' => padded(i64::from(moment.day())),
        'D' => padded(i64::from(moment.day_of_year())),
        'E' => {
            let day = DAYS[usize::try_from(Weekday::to_monday_zero_offset(moment.weekday())).unwrap_or(0)];
            if count <= 3 { day[..3].to_owned() } else { day.to_owned() }
        }
        'H' => padded(i64::from(moment.hour())),
        'k' => padded(i64::from(if moment.hour() == 0 { 24 } else { moment.hour() })),
        'h' => padded(i64::from(if moment.hour() % 12 == 0 { 12 } else { moment.hour() % 12 })),
        'K' => padded(i64::from(moment.hour() % 12)),
        'm' => padded(i64::from(moment.minute())),
        's' => padded(i64::from(moment.second())),
        'S' | 'n' => format!("{:09}", moment.subsec_nanosecond())[..count.min(9)].to_owned(),
        'a' => if moment.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        'X' | 'x' | 'Z' => written_offset(letter, count, moment.offset().seconds()),
        _ => moment.time_zone().iana_name().unwrap_or("UTC").to_owned(),
    };
    out.push_str(&text);
}

fn written_offset(letter: char, count: usize, seconds: i32) -> String {
    if seconds == 0 && letter == 'X' {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    match (letter, count) {
        ('X' | 'x', 1) if minutes == 0 => format!("{sign}{hours:02}"),
        ('X' | 'x', 3 | 5) | ('Z', 5) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}{minutes:02}"),
    }
}

/// A date as OpenSearch's `iso8601` reads it: any part from the month on may be missing.
pub fn read_iso(text: &str, zone: &TimeZone) -> Option<Zoned> {
    let mut read = Read::default();
    let (year, rest) = digits(text, 4, 4)?;
    read.year = i16::try_from(year).ok();
    let (date, time) = rest.split_once('T').map_or((rest, None), |(date, time)| (date, Some(time)));
    if !date.is_empty() {
        let (month, rest) = digits(date.strip_prefix('-')?, 2, 2)?;
        read.month = i8::try_from(month).ok();
        if !rest.is_empty() {
            let (day, rest) = digits(rest.strip_prefix('-')?, 2, 2)?;
            read.day = i8::try_from(day).ok();
            if !rest.is_empty() {
                return None;
            }
        }
    }
    let Some(time) = time.filter(|time| !time.is_empty()) else { return read.moment(zone) };
    let cut = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, offset_text) = time.split_at(cut);
    let (hour, mut rest) = digits(clock, 2, 2)?;
    read.hour = i8::try_from(hour).ok();
    if let Some(after) = rest.strip_prefix(':') {
        let (minute, after) = digits(after, 2, 2)?;
        read.minute = i8::try_from(minute).ok();
        rest = after;
        if let Some(after) = rest.strip_prefix(':') {
            let (second, after) = digits(after, 2, 2)?;
            read.second = i8::try_from(second).ok();
            rest = after;
            if let Some(fraction) = rest.strip_prefix(['.', ',']) {
                let (_, after) = digits(fraction, 1, 9)?;
                let digits = &fraction[..fraction.len() - after.len()];
                read.nanos = format!("{digits:0<9}").parse().ok();
                rest = after;
            }
        }
    }
    if !rest.is_empty() {
        return None;
    }
    if !offset_text.is_empty() {
        read.zone = Some(zone_of(offset_text)?);
    }
    read.moment(zone)
}
