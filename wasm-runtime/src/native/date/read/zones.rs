//! Zones by identifier, offset or name.

use super::super::locale::zones;
use super::super::pattern::{Offset, Part};
use super::super::zone::{Zone, checked_offset};
use super::{Reader, Step, Stop, offsets};

/// Offsets behind `UTC` and the like.
const SHAPE: Offset = Offset { minutes: Part::Always, seconds: Part::Optional, colon: true, zero: "Z" };

impl Reader<'_> {
    /// By identifier, or by a short (`Some(false)`) or long name too.
    pub(super) fn zone(&mut self, full: Option<bool>, text: &str, at: usize) -> Step {
        let rest = &text[at..];
        let first = rest.chars().next().ok_or(Stop::Differs)?;
        if matches!(first, '+' | '-') {
            return self.offset_behind("", text, at);
        }
        for prefix in ["UTC", "UT", "GMT"] {
            if self.starts(rest, prefix) {
                if prefix == "GMT" && rest[3..].starts_with('0') {
                    self.parsed.zone = Zone::region("GMT0");
                    return Ok(at + 4);
                }
                return self.offset_behind(prefix, text, at + prefix.len());
            }
        }
        let found = match full {
            None => zones::identifiers(self.ignore_case).longest(rest),
            Some(full) => zones::named(self.parsed.locale, full).longest(rest),
        };
        if let Some((id, length)) = found {
            self.parsed.zone = Some(Zone::region(id).ok_or(Stop::Thrown)?);
            return Ok(at + length);
        }
        if self.starts(rest, "Z") {
            self.parsed.zone = Some(Zone::Offset(0));
            return Ok(at + 1);
        }
        Err(Stop::Differs)
    }

    fn offset_behind(&mut self, prefix: &str, text: &str, at: usize) -> Step {
        let rest = &text[at..];
        let minus = rest.strip_prefix('−').filter(|_| prefix == "UTC");
        let bare = rest.is_empty() || rest.starts_with('0') || self.starts(rest, "Z");
        let read = match minus {
            Some(rest) => offsets::seconds(SHAPE, &hyphened(rest), 0).map(|(seconds, end)| (seconds, end + 2)),
            None => offsets::seconds(SHAPE, rest, 0),
        };
        match read {
            _ if bare => {}
            Err(Stop::Thrown) => return Err(Stop::Differs),
            Err(_) if prefix.is_empty() => return Err(Stop::Differs),
            Err(_) => {}
            Ok((seconds, end)) => {
                let seconds = checked_offset(seconds).ok_or(Stop::Differs)?;
                self.parsed.zone = Some(Zone::prefixed(prefix, seconds));
                // A minus sign of typography is two bytes longer than the other one, a hyphen.
                return Ok(at + end);
            }
        }
        self.parsed.zone = Some(Zone::prefixed(prefix, 0));
        Ok(at)
    }
}

/// The offset behind a typographic minus sign, with a hyphen; the longest is `18:00:00`.
fn hyphened(rest: &str) -> String {
    std::iter::once('-').chain(rest.chars().take(8)).collect()
}
