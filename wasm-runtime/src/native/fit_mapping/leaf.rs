//! Fields that hold values: which values each type of field accepts.

mod geo;
pub(super) mod numbers;

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use self::numbers::Number;
use super::reason::Reason;
use crate::json;
use crate::native::date::Dates;

/// Bytes of the longest term of an index.
pub(super) const LONGEST_TERM: usize = 32_766;

/// What a field does with a value.
#[derive(Debug)]
pub(super) enum Verdict {
    Fits,
    /// It fits, written like this.
    Converted(Vec<u8>),
    Refused(Reason),
}

/// What a type of field accepts.
#[derive(Debug)]
pub(super) enum Kind {
    Number(Number),
    /// `nanos`: only what 64 bits of nanoseconds hold.
    Date {
        formats: Option<Dates>,
        nanos: bool,
    },
    Boolean,
    Ip,
    /// Scalars of any kind; of a text that is not ignored at most [`LONGEST_TERM`] bytes.
    Term {
        ignore_above: Option<usize>,
    },
    /// Scalars of any kind and length.
    Text,
    Constant(Option<String>),
    GeoPoint,
    FlatObject,
    /// Objects only.
    Object,
    /// Texts in base64 where it is `stored`; else all scalars.
    Binary {
        stored: bool,
    },
    /// A name of another field, which nothing is written to.
    Alias,
    /// Positive numbers.
    Rank,
    /// Everything, where nobody here can tell more.
    Any,
    /// The same, and names below it.
    Open,
}

/// A field that holds values, with its multi-fields.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) kind: Kind,
    pub(super) ignore_malformed: bool,
    pub(super) coerce: bool,
    pub(super) fields: Vec<Leaf>,
    pub(super) copy_to: Vec<String>,
}

impl Leaf {
    pub(super) fn plain(kind: Kind) -> Self {
        Self { kind, ignore_malformed: false, coerce: true, fields: Vec::new(), copy_to: Vec::new() }
    }

    /// Whether it reads lists and objects itself.
    pub(super) fn reads_lists(&self) -> bool {
        matches!(self.kind, Kind::GeoPoint | Kind::Any | Kind::Open)
    }

    /// Whether it, or a field of it, may refuse a value that fits by all that is known here.
    pub(super) fn is_opaque(&self) -> bool {
        matches!(self.kind, Kind::Any | Kind::Object | Kind::GeoPoint | Kind::Rank)
            || self.fields.iter().any(Self::is_opaque)
    }

    /// Fields that it adds to a mapping.
    pub(super) fn count(&self) -> usize {
        1 + self.fields.iter().map(Self::count).sum::<usize>()
    }

    /// Whether a text of any content is accepted.
    pub(super) fn takes_texts(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Term { .. } | Kind::Any) && self.fields.iter().all(Self::takes_texts)
    }

    /// What the field and its multi-fields do with a value that is no list. `path`: the bytes of its name; `convert`: whether it may be written anew.
    pub(super) fn check(&self, raw: &[u8], path: usize, convert: bool) -> Verdict {
        let own = self.check_own(raw, path);
        let verdict = match own {
            Verdict::Refused(reason) if convert => {
                self.converted(raw).map_or(Verdict::Refused(reason), Verdict::Converted)
            }
            own => own,
        };
        if self.fields.is_empty() || matches!(verdict, Verdict::Refused(_)) {
            return verdict;
        }
        let written: Cow<'_, [u8]> = match &verdict {
            Verdict::Converted(text) => Cow::Owned(text.clone()),
            _ => Cow::Borrowed(raw),
        };
        let refused = self.fields.iter().find_map(|field| match field.check(&written, path, false) {
            Verdict::Refused(reason) => Some(reason),
            _ => None,
        });
        refused.map_or(verdict, Verdict::Refused)
    }

    fn check_own(&self, raw: &[u8], path: usize) -> Verdict {
        let fits = |fits: bool| if fits { Verdict::Fits } else { Verdict::Refused(Reason::Unparsable) };
        let first = raw.first().copied().unwrap_or(b' ');
        match (&self.kind, first) {
            (Kind::Any | Kind::Open, _) => Verdict::Fits,
            (Kind::Alias, _) => Verdict::Refused(Reason::ReadOnly),
            (Kind::Constant(_), b'n') => Verdict::Refused(Reason::Unparsable),
            (_, b'n') => Verdict::Fits,
            (Kind::GeoPoint, b'[') if self.ignore_malformed => fits(!geo::confuses(raw)),
            (Kind::Number(_) | Kind::Date { .. } | Kind::Ip | Kind::GeoPoint, _) if self.ignore_malformed => {
                Verdict::Fits
            }
            (Kind::FlatObject | Kind::Object | Kind::GeoPoint, b'{') => match &self.kind {
                Kind::GeoPoint => fits(geo::accepts(raw)),
                Kind::FlatObject => flat(raw, path),
                _ => Verdict::Fits,
            },
            (_, b'{') => Verdict::Refused(Reason::ObjectForScalar),
            (Kind::FlatObject | Kind::Object, _) => Verdict::Refused(Reason::ScalarForObject),
            (Kind::Number(number), b'"') => {
                fits(self.coerce && text(raw).is_none_or(|text| number.accepts_text(&text)))
            }
            (Kind::Number(_), b't' | b'f') => Verdict::Refused(Reason::Unparsable),
            (Kind::Number(number), _) => fits(number.accepts(raw, self.coerce)),
            (Kind::Date { formats: Some(formats), nanos: false }, b'"') if formats.is_usual(&raw[1..raw.len() - 1]) => {
                Verdict::Fits
            }
            (Kind::Date { formats, nanos }, _) => {
                fits(text(raw).is_none_or(|text| date(formats.as_ref(), *nanos, &text)))
            }
            (Kind::Boolean, b't' | b'f') => Verdict::Fits,
            (Kind::Boolean, b'"') => fits(matches!(raw, b"\"\"" | b"\"true\"" | b"\"false\"") || escaped_boolean(raw)),
            (Kind::Boolean, _) => Verdict::Refused(Reason::Unparsable),
            (Kind::Ip, b'"') if is_quad(&raw[1..raw.len() - 1]) => Verdict::Fits,
            (Kind::Ip, b'"') => fits(text(raw).is_none_or(|text| is_address(&text))),
            (Kind::Ip, _) => Verdict::Refused(Reason::Unparsable),
            (Kind::Term { ignore_above }, b'"') => term(raw, *ignore_above),
            (Kind::Term { .. } | Kind::Text, _) => Verdict::Fits,
            (Kind::Constant(value), _) => {
                fits(value.as_ref().is_none_or(|value| text(raw).is_none_or(|text| text == *value)))
            }
            (Kind::GeoPoint, _) => fits(geo::accepts(raw)),
            (Kind::Binary { stored: false }, _) => Verdict::Fits,
            (Kind::Binary { .. }, b'"') => fits(text(raw).is_none_or(|text| is_base64(&text))),
            (Kind::Binary { .. }, _) => Verdict::Refused(Reason::Unparsable),
            (Kind::Rank, _) => fits(is_rank(raw)),
        }
    }

    /// The value that a refused one means, where that is plain.
    fn converted(&self, raw: &[u8]) -> Option<Vec<u8>> {
        let shown = text(raw)?;
        match &self.kind {
            Kind::Boolean => {
                let lower = shown.trim().to_ascii_lowercase();
                let value = match &*lower {
                    "true" | "1" => "true",
                    "false" | "0" => "false",
                    _ => return None,
                };
                Some(value.as_bytes().to_vec())
            }
            Kind::Number(number) if raw.first() == Some(&b'"') => {
                let value: f64 = shown.trim().parse().ok().filter(|value: &f64| value.is_finite())?;
                let plain = shown.trim().trim_start_matches('+');
                let json = serde_json::from_str::<serde_json::Number>(plain).is_ok();
                (value.is_finite() && json && number.accepts(plain.as_bytes(), self.coerce))
                    .then(|| plain.as_bytes().to_vec())
            }
            Kind::Ip | Kind::Date { .. } if raw.first() == Some(&b'"') => {
                let trimmed = json::quote(shown.trim());
                (trimmed != raw && matches!(self.check_own(&trimmed, 0), Verdict::Fits)).then_some(trimmed)
            }
            _ => None,
        }
    }
}

/// The text of a scalar as the cluster's parser gives it; `None` where it has halves of surrogate pairs.
pub(crate) fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    if raw.first() == Some(&b'"') { json::string(raw) } else { std::str::from_utf8(raw).ok().map(Cow::Borrowed) }
}

fn escaped_boolean(raw: &[u8]) -> bool {
    raw.contains(&b'\\') && text(raw).is_none_or(|text| matches!(&*text, "" | "true" | "false"))
}

fn date(formats: Option<&Dates>, nanos: bool, text: &str) -> bool {
    let Some(formats) = formats else { return true };
    if !nanos {
        return formats.accepts(text);
    }
    // 64 bits of nanoseconds since 1970.
    formats.instant(text).is_some_and(|(seconds, nanos)| {
        seconds >= 0 && i128::from(seconds) * 1_000_000_000 + i128::from(nanos) <= i128::from(i64::MAX)
    })
}

fn term(raw: &[u8], ignore_above: Option<usize>) -> Verdict {
    // A text has as many bytes as its JSON, or fewer: an escape of two bytes is one, and one of six at most three.
    if raw.len() - 2 <= LONGEST_TERM {
        return Verdict::Fits;
    }
    let Some(text) = text(raw) else { return Verdict::Fits };
    let ignored = ignore_above.is_some_and(|most| text.encode_utf16().count() > most);
    if text.len() <= LONGEST_TERM || ignored { Verdict::Fits } else { Verdict::Refused(Reason::TooLong) }
}

/// A `flat_object` keeps a term of each value, behind its path.
fn flat(raw: &[u8], path: usize) -> Verdict {
    if raw.len() + path < LONGEST_TERM {
        return Verdict::Fits;
    }
    for entry in json::Entries::new(raw, 0).into_iter().flatten() {
        let value = &raw[entry.value];
        let path = path + 1 + entry.key.len();
        let long = match value.first() {
            Some(b'{') => matches!(flat(value, path), Verdict::Refused(_)),
            Some(b'[') => json::elements(value, 0).into_iter().any(|at| {
                let value = &value[at];
                if value.first() == Some(&b'{') {
                    matches!(flat(value, path), Verdict::Refused(_))
                } else {
                    path + 1 + value.len() > LONGEST_TERM
                }
            }),
            _ => path + 1 + text(value).map_or(value.len(), |text| text.len()) > LONGEST_TERM,
        };
        if long {
            return Verdict::Refused(Reason::TooLong);
        }
    }
    Verdict::Fits
}

fn is_address(text: &str) -> bool {
    if text.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    text.contains(':') && address.parse::<Ipv6Addr>().is_ok()
}

/// Whether a raw text is an address of four numbers without leading zeros.
fn is_quad(raw: &[u8]) -> bool {
    let (mut parts, mut digits, mut value) = (1, 0, 0u32);
    for c in raw {
        match c {
            b'0'..=b'9' if digits == 0 || value > 0 => {
                digits += 1;
                value = value * 10 + u32::from(c - b'0');
                if value > 255 {
                    return false;
                }
            }
            b'.' if digits > 0 => (parts, digits, value) = (parts + 1, 0, 0),
            _ => return false,
        }
    }
    parts == 4 && digits > 0
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text.replace(['\n', '\r', ' ', '\t'], "")).is_ok()
}

fn is_rank(raw: &[u8]) -> bool {
    let value = match text(raw) {
        Some(text) => crate::native::support::java_numbers::float(&text).unwrap_or(f32::NAN),
        None => return true,
    };
    value.is_finite() && value >= f32::MIN_POSITIVE
}
