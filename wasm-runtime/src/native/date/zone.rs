//! Time zones as `java.time.ZoneId` knows them; their rules are `jiff`'s.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::calendar::Day;
use super::locale::zones;

/// Offsets go to 18 hours, in seconds.
const FARTHEST: i64 = 18 * 3600;
/// Seconds after which weekdays and leap years repeat: 400 years.
const CYCLE: i64 = 146_097 * 86_400;
/// The years that `jiff` is asked about, in seconds since 1970: from -9000 to 9000.
const RULED: (i64, i64) = (-346_180_000_000, 221_840_000_000);

/// Zones that are others since tzdata 2024b, and not yet everywhere.
const LINKS: [(&str, &str); 8] = [
    ("CET", "Europe/Brussels"),
    ("MET", "Europe/Brussels"),
    ("EET", "Europe/Athens"),
    ("WET", "Europe/Lisbon"),
    ("EST5EDT", "America/New_York"),
    ("CST6CDT", "America/Chicago"),
    ("MST7MDT", "America/Denver"),
    ("PST8PDT", "America/Los_Angeles"),
];

#[derive(Debug, Clone)]
pub(crate) enum Zone {
    /// Seconds east of Greenwich.
    Offset(i32),
    Region(Arc<Region>),
}

#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) id: String,
    rules: Rules,
}

#[derive(Debug)]
enum Rules {
    Fixed(i32),
    Of(TimeZone),
}

pub(crate) const UTC: Zone = Zone::Offset(0);

impl Zone {
    /// As `ZoneId.of`: `Z`, `+5`, `+05:30`, `UTC+5`, `GMT`, `Europe/Paris`.
    pub(crate) fn of(id: &str) -> Option<Self> {
        if id.len() <= 1 || id.starts_with(['+', '-']) {
            return offset_of(id).map(Self::Offset);
        }
        let prefix = match () {
            () if id.starts_with("UTC") || id.starts_with("GMT") => 3,
            () if id.starts_with("UT") => 2,
            () => return Self::region(id),
        };
        let (prefix, rest) = id.split_at(prefix);
        match rest.as_bytes().first() {
            None => Some(Self::prefixed(prefix, 0)),
            Some(b'+' | b'-') => offset_of(rest).map(|seconds| Self::prefixed(prefix, seconds)),
            Some(_) => Self::region(id),
        }
    }

    /// `prefix` is empty or `UTC`, `GMT`, `UT`.
    pub(crate) fn prefixed(prefix: &str, seconds: i32) -> Self {
        if prefix.is_empty() {
            return Self::Offset(seconds);
        }
        let id = if seconds == 0 { prefix.to_owned() } else { format!("{prefix}{}", offset_id(seconds)) };
        Self::Region(Arc::new(Region { id, rules: Rules::Fixed(seconds) }))
    }

    pub(crate) fn region(id: &str) -> Option<Self> {
        if !zones::exists(id) {
            return None;
        }
        if let Some(rules) = id.strip_prefix("SystemV/") {
            return Self::system_v(id, rules);
        }
        let ruled = LINKS.iter().find(|(link, _)| *link == id).map_or(id, |(_, zone)| zone);
        let rules = Rules::Of(TimeZone::get(ruled).ok()?);
        Some(Self::Region(Arc::new(Region { id: id.to_owned(), rules })))
    }

    /// Java's zones after Unix System V: `CST6`, or with summer time from April to October `CST6CDT`.
    fn system_v(id: &str, rules: &str) -> Option<Self> {
        let summer = if rules.len() > 5 { ",M4.5.0,M10.5.0" } else { "" };
        let rules = Rules::Of(TimeZone::posix(&format!("{rules}{summer}")).ok()?);
        Some(Self::Region(Arc::new(Region { id: id.to_owned(), rules })))
    }

    /// Whether this is the plain offset of no hours, which is not the same as the region `UTC`.
    pub(crate) fn is_plain_utc(&self) -> bool {
        matches!(self, Self::Offset(0))
    }

    pub(crate) fn id(&self) -> String {
        match self {
            Self::Offset(seconds) => offset_id(*seconds),
            Self::Region(region) => region.id.clone(),
        }
    }

    pub(crate) fn offset_at(&self, instant: i64) -> i32 {
        match self.rules() {
            Ok(seconds) => seconds,
            Err(zone) => timestamp(instant).map_or(0, |at| zone.to_offset(at).seconds()),
        }
    }

    pub(crate) fn is_summer_at(&self, instant: i64) -> bool {
        match self.rules() {
            Ok(_) => false,
            Err(zone) => timestamp(instant).is_some_and(|at| zone.to_offset_info(at).dst().is_dst()),
        }
    }

    /// The offset at a local second: before a change where two fit, and where none does.
    pub(crate) fn offset_of_local(&self, local: i64) -> i32 {
        let zone = match self.rules() {
            Ok(seconds) => return seconds,
            Err(zone) => zone,
        };
        let Some(at) = civil(local) else { return 0 };
        match zone.to_ambiguous_timestamp(at).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.seconds(),
            AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before.seconds(),
        }
    }

    fn rules(&self) -> Result<i32, &TimeZone> {
        match self {
            Self::Offset(seconds) => Ok(*seconds),
            Self::Region(region) => match &region.rules {
                Rules::Fixed(seconds) => Ok(*seconds),
                Rules::Of(zone) => Err(zone),
            },
        }
    }
}

/// The same second of a year that `jiff` knows, whole cycles away.
fn within_rules(second: i64) -> i64 {
    let (first, last) = RULED;
    if second > last {
        second - ((second - last) / CYCLE + 1) * CYCLE
    } else if second < first {
        second + ((first - second) / CYCLE + 1) * CYCLE
    } else {
        second
    }
}

fn timestamp(instant: i64) -> Option<Timestamp> {
    Timestamp::from_second(within_rules(instant)).ok()
}

fn civil(local: i64) -> Option<DateTime> {
    let local = within_rules(local);
    let day = Day::of(local.div_euclid(86_400));
    let second = local.rem_euclid(86_400);
    let small = |value: i64| i8::try_from(value).ok();
    DateTime::new(
        i16::try_from(day.year).ok()?,
        small(day.month)?,
        small(day.day)?,
        small(second / 3600)?,
        small(second / 60 % 60)?,
        small(second % 60)?,
        0,
    )
    .ok()
}

/// `+h`, `+hh`, `+hhmm`, `+hh:mm`, `+hhmmss`, `+hh:mm:ss`, `Z`.
pub(crate) fn offset_of(id: &str) -> Option<i32> {
    let bytes = id.as_bytes();
    let digit = |at: usize| bytes.get(at).filter(|b| b.is_ascii_digit()).map(|b| i64::from(b - b'0'));
    let two = |at: usize| Some(digit(at)? * 10 + digit(at + 1)?);
    let after_colon = |at: usize| if bytes.get(at) == Some(&b':') { two(at + 1) } else { None };
    let (hours, minutes, seconds) = match bytes.len() {
        1 if id == "Z" => return Some(0),
        2 => (digit(1)?, 0, 0),
        3 => (two(1)?, 0, 0),
        5 => (two(1)?, two(3)?, 0),
        6 => (two(1)?, after_colon(3)?, 0),
        7 => (two(1)?, two(3)?, two(5)?),
        9 => (two(1)?, after_colon(3)?, after_colon(6)?),
        _ => return None,
    };
    let sign = match bytes[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if minutes > 59 || seconds > 59 {
        return None;
    }
    checked_offset(sign * (hours * 3600 + minutes * 60 + seconds))
}

/// Seconds of an offset that Java allows.
pub(crate) fn checked_offset(seconds: i64) -> Option<i32> {
    if seconds.abs() <= FARTHEST { i32::try_from(seconds).ok() } else { None }
}

fn offset_id(seconds: i32) -> String {
    if seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let all = seconds.abs();
    let mut id = format!("{sign}{:02}:{:02}", all / 3600, all / 60 % 60);
    if all % 60 != 0 {
        id.push_str(&format!(":{:02}", all % 60));
    }
    id
}
