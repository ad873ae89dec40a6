//! The formats that OpenSearch has names for, in a notation of their own.
//!
//! A word is a field with its least and most digits (`H2`, `y15`), a literal (`'T`), an optional section (`[ … ]`), an offset
//! (`Z`: `+HH:MM`, `z`: `+HHmm`), a zone (`V`) or a name of other words (`$date`).

use super::builder::Builder;
use super::pieces::{Field, Pattern, Piece, Resolver, Sign};

/// A named format: how it writes, and what it tries to read, in this order.
pub(crate) struct Named {
    pub(crate) writes: Pattern,
    pub(crate) reads: Vec<Pattern>,
    /// Reads as RFC 3339 has it, by code of its own.
    pub(crate) rfc3339: bool,
}

/// Words that stand for others.
const WORDS: [(&str, &str); 22] = [
    ("$date", "y15 [ '- M1 [ '- d1 ] ]"),
    ("$sdate", "Y410 [ '- M2 [ '- d2 ] ]"),
    ("$yearly", "Y419 '- M2 '- d2"),
    ("$isodate", "Y410 '- M2 '- d2"),
    ("$bdate", "y44 M2 d2"),
    ("$hm", "H1 ': m1"),
    ("$hms", "H1 ': m1 ': s1"),
    ("$shms", "H2 ': m2 ': s2"),
    ("$bhms", "H2 m2 s2"),
    ("$odate", "Y410 '- D1"),
    ("$sodate", "Y410 '- D3"),
    ("$wdate", "x410 '-W k1 '- e1"),
    ("$swdate", "~ x410 '-W k2 '- e1"),
    ("$bwdate", "x 'W n1 e"),
    ("$sbwdate", "x4 'W n1 e"),
    ("$wbwdate", "x4 'W n2 e"),
    ("$swweek", "X410 '-W r2"),
    ("$fraction", "[ f19 ] [ ', c19 ]"),
    ("$zones", "[ V ] [ z ]"),
    ("$odt", "$odate 'T $hm [ ': s1 f19 ]"),
    ("$dt", "$date 'T $hm [ ': s1 f19 ]"),
    ("$iso", "$sdate 'T [ H2 [ ': m2 [ ': s2 [ f33 ] ] [ Z ] ] ]"),
];

/// Name, how it is written, and what is read: one after the other between `|`. `Z|` before them stands for both forms of zones.
const FORMATS: &[(&str, &str, &str)] = &[
    ("iso8601", "$iso", "$sdate [ 'T [ H2 [ ': m2 [ ': s2 $fraction ] ] ] $zones ]"),
    ("strict_date_optional_time", "$iso", "$sdate [ 'T [ H2 [ ': m2 [ ': s2 $fraction ] ] $zones ] ]"),
    (
        "strict_date_optional_time_nanos",
        "$sdate 'T [ H2 [ ': m2 [ ': s2 [ f39 ] ] [ Z ] ] ]",
        "$sdate [ 'T $shms $fraction $zones ]",
    ),
    ("date_optional_time", "$iso", "$date [ 'T [ H1 [ ': m1 [ ': s1 ] $fraction $zones ] ] ]"),
    ("basic_date", "utc $bdate", "utc y14 M1 d1"),
    ("basic_date_time", "$bdate 'T $bhms f33 Z", "Z|$bdate 'T $bhms f19"),
    ("basic_date_time_no_millis", "$bdate 'T $bhms Z", "Z|$bdate 'T $bhms"),
    ("basic_ordinal_date", "smart Y419 D3", "smart Y419 D3"),
    ("basic_ordinal_date_time", "i419 D3 'T $bhms f33 Z", "Z|i419 D3 'T $bhms f19"),
    ("basic_ordinal_date_time_no_millis", "Y419 D3 'T $bhms Z", "Z|Y419 D3 'T $bhms"),
    ("basic_time", "$bhms f33 Z", "Z|$bhms f19"),
    ("basic_time_no_millis", "$bhms Z", "Z|$bhms"),
    ("basic_t_time", "'T $bhms f33 Z", "T|'T $bhms f19"),
    ("basic_t_time_no_millis", "'T $bhms Z", "Z|'T $bhms"),
    ("basic_week_date", "$wbwdate", "$bwdate"),
    ("basic_week_date_time", "$wbwdate 'T $bhms '. S3 h", "Z|$bwdate 'T $bhms f19"),
    ("basic_week_date_time_no_millis", "$wbwdate 'T $bhms h", "Z|$bwdate 'T $bhms"),
    ("date", "$isodate", "$date"),
    ("date_hour", "$yearly 'T H2", "$date 'T H1"),
    ("date_hour_minute", "$yearly 'T H2 ': m2", "$date 'T $hm"),
    ("date_hour_minute_second", "$yearly 'T $shms", "$date 'T $hms"),
    ("date_hour_minute_second_fraction", "$sdate 'T $shms f33", "$date 'T $hms f19"),
    ("date_hour_minute_second_millis", "$sdate 'T $shms f33", "$date 'T $hms f13"),
    ("date_time", "$iso", "$dt Z|$dt z"),
    (
        "date_time_no_millis",
        "$isodate 'T $shms V",
        "$date 'T $hm [ ': s1 ] Z|$date 'T $hm [ ': s1 ] z|$date 'T $hm [ ': s1 ] [ V ]|$date 'T $hm [ ': s1 ] [ z ]",
    ),
    ("hour", "H2", "H1"),
    ("hour_minute", "H2 ': m2", "$hm"),
    ("hour_minute_second", "$shms", "$hms"),
    ("hour_minute_second_fraction", "$shms f33", "$hms f19"),
    ("hour_minute_second_millis", "$shms f33", "$hms f13"),
    ("ordinal_date", "$sodate", "$odate"),
    ("ordinal_date_time", "$sodate 'T H2 ': m2 [ ': s2 f39 ] Z", "Z|$odt"),
    ("ordinal_date_time_no_millis", "$sodate 'T $shms Z", "Z|$odate 'T $hms"),
    ("time", "$shms f33 Z", "Z|$hms f19"),
    ("time_no_millis", "$shms Z", "Z|$hms"),
    ("t_time", "'T $shms f33 Z", "Z|'T $hms f19"),
    ("t_time_no_millis", "'T $shms Z", "Z|'T $hms"),
    ("week_date", "$swdate", "$wdate"),
    ("week_date_time", "$swdate 'T $shms f33 Z", "Z|$wdate 'T $hms f19"),
    ("week_date_time_no_millis", "$swdate 'T $shms Z", "Z|$wdate 'T $hms"),
    ("week_year", "X", "X"),
    ("weekyear", "X", "X"),
    ("weekyear_week", "$swweek", "X '-W r"),
    ("weekyear_week_day", "$swweek '- E", "X '-W r '- E"),
    ("year", "Y", "Y"),
    ("year_month", "Y410 '- M2", "Y '- M"),
    ("year_month_day", "$sdate", "Y '- M '- d"),
    ("epoch_second", "smart q [ F ]", "smart q [ F ]|smart q '."),
    ("epoch_millis", "smart [ ± ] p [ P ]", "smart [ ± ] p [ P ]|smart [ ± ] p [ P ] '."),
    ("epoch_micros", "smart [ ± ] o [ O ]", "smart [ ± ] o [ O ]|smart [ ± ] o [ O ] '."),
    ("strict_basic_week_date", "$wbwdate", "$sbwdate"),
    ("strict_basic_week_date_time", "$wbwdate 'T $bhms '. S3 h", "Z|$sbwdate 'T $bhms f19"),
    ("strict_basic_week_date_time_no_millis", "$wbwdate 'T $bhms Z", "Z|$wbwdate 'T $bhms"),
    ("strict_date", "lenient $isodate", "lenient $isodate"),
    ("strict_date_hour", "smart $yearly 'T H2", "smart $yearly 'T H2"),
    ("strict_date_hour_minute", "smart $yearly 'T H2 ': m2", "smart $yearly 'T H2 ': m2"),
    ("strict_date_hour_minute_second", "smart $yearly 'T $shms", "smart $yearly 'T $shms"),
    ("strict_date_hour_minute_second_fraction", "$sdate 'T $shms f33", "$sdate 'T $shms f19"),
    ("strict_date_hour_minute_second_millis", "$sdate 'T $shms f33", "$sdate 'T $shms f19"),
    ("strict_date_time", "$sdate 'T $shms f39 Z", "Z|$sdate 'T $shms [ f19 ]"),
    ("strict_date_time_no_millis", "$sdate 'T $shms Z", "Z|$sdate 'T $shms"),
    ("strict_hour", "smart H2", "smart H2"),
    ("strict_hour_minute", "smart H2 ': m2", "smart H2 ': m2"),
    ("strict_hour_minute_second", "$shms", "$shms"),
    ("strict_hour_minute_second_fraction", "$shms f33", "$shms f19"),
    ("strict_hour_minute_second_millis", "$shms f33", "$shms f19"),
    ("strict_ordinal_date", "~ $sodate", "~ $sodate"),
    ("strict_ordinal_date_time", "$sodate 'T H2 ': m2 [ ': s2 f39 ] Z", "Z|$sodate 'T H2 ': m2 [ ': s2 f19 ]"),
    ("strict_ordinal_date_time_no_millis", "$sodate 'T $shms Z", "Z|$sodate 'T $shms"),
    ("strict_time", "$shms f33 Z", "Z|$shms f19"),
    ("strict_time_no_millis", "$shms Z", "Z|$shms"),
    ("strict_t_time", "'T $shms f33 Z", "Z|'T $shms f19"),
    ("strict_t_time_no_millis", "'T $shms Z", "Z|'T $shms"),
    ("strict_week_date", "$swdate", "$swdate"),
    ("strict_week_date_time", "$swdate 'T $shms f33 Z", "Z|$swdate 'T $shms f19"),
    ("strict_week_date_time_no_millis", "$swdate 'T $shms Z", "Z|$swdate 'T $shms"),
    ("strict_weekyear", "X410", "X410"),
    ("strict_weekyear_week", "$swweek", "$swweek"),
    ("strict_weekyear_week_day", "$swweek '- E", "$swweek '- E"),
    ("strict_year", "Y410", "Y410"),
    ("strict_year_month", "Y410 '- M2", "Y410 '- M2"),
    ("strict_year_month_day", "$sdate", "$sdate"),
    ("rfc3339_lenient", "$iso", ""),
];

/// The format called `name`, in snake case or camel case.
pub(crate) fn named(name: &str) -> Option<Named> {
    let (_, writes, reads) = FORMATS.iter().find(|(listed, ..)| *listed == name || camel(listed) == name)?;
    Some(Named {
        writes: pattern(writes),
        reads: match reads.split_once('|') {
            _ if reads.is_empty() => Vec::new(),
            Some(("Z", rest)) => vec![pattern(&format!("{rest} V")), pattern(&format!("{rest} z"))],
            Some(("T", rest)) => vec![pattern(&format!("{rest} V")), pattern(&format!("smart {rest} z"))],
            _ => reads.split('|').map(pattern).collect(),
        },
        rfc3339: reads.is_empty(),
    })
}

/// Names of one word, `week_year` and the newer names have no camel case.
fn camel(name: &str) -> String {
    if matches!(name, "week_year" | "rfc3339_lenient" | "epoch_second" | "epoch_millis" | "epoch_micros") {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len());
    for (at, word) in name.split('_').enumerate() {
        match word.split_at_checked(1) {
            Some((first, rest)) if at > 0 => {
                out.push_str(&first.to_ascii_uppercase());
                out.push_str(rest);
            }
            _ => out.push_str(word),
        }
    }
    out
}

fn pattern(notation: &str) -> Pattern {
    let resolver = match notation.split(' ').next() {
        Some("smart") => Resolver::Smart,
        Some("lenient") => Resolver::Lenient,
        _ => Resolver::Strict,
    };
    let utc = notation.starts_with("utc ");
    Pattern { utc, ..words(Builder::new(), notation).pattern(resolver) }
}

fn words(builder: Builder, notation: &str) -> Builder {
    notation.split(' ').fold(builder, |b, word| match WORDS.iter().find(|(name, _)| *name == word) {
        Some((_, meaning)) => words(b, meaning),
        None => named_part(b, word),
    })
}

fn named_part(b: Builder, word: &str) -> Builder {
    use Sign::{Normal, NotNegative};
    match word {
        "smart" | "lenient" | "utc" => b,
        "[" => b.open(),
        "]" => b.close(),
        "~" => b.push(Piece::IgnoreCase),
        "Z" => b.offset("+HH:MM", "Z"),
        "z" => b.offset("+HHmm", "Z"),
        "h" => b.offset("+HHmm", "Z"),
        "V" => b.zone(),
        "±" => b.push(Piece::EpochMinus),
        "q" => b.number(Field::EpochSecond, 1, 19, Normal),
        "F" => b.fraction(Field::EpochNano, 0, 9, true),
        "p" => b.number(Field::EpochMilli, 1, 19, NotNegative),
        "P" => b.fraction(Field::NanoOfMilli, 0, 6, true),
        "o" => b.number(Field::EpochMicro, 1, 19, NotNegative),
        "O" => b.fraction(Field::NanoOfMicro, 0, 3, true),
        "S3" => b.fraction(Field::Nano, 3, 3, false),
        _ => dates(b, word),
    }
}

/// Years, weeks and days.
fn dates(b: Builder, word: &str) -> Builder {
    use Sign::{ExceedsPad, Never, Normal, NotNegative};
    match word {
        "Y" => b.value(Field::Year),
        "Y410" => b.number(Field::Year, 4, 10, ExceedsPad),
        "Y419" => b.number(Field::Year, 4, 19, ExceedsPad),
        "i419" => b.number(Field::YearOfEra, 4, 19, ExceedsPad),
        "y44" => b.number(Field::Year, 4, 4, Normal),
        "y14" => b.number(Field::Year, 1, 4, Normal),
        "y15" => b.number(Field::Year, 1, 5, Normal),
        "X" => b.value(Field::RootWeekYear),
        "X410" => b.number(Field::RootWeekYear, 4, 10, ExceedsPad),
        "x" => b.value(Field::IsoWeekYear),
        "x4" => b.fixed(Field::IsoWeekYear, 4),
        "x410" => b.number(Field::IsoWeekYear, 4, 10, ExceedsPad),
        "r" => b.value(Field::RootWeek),
        "r2" => b.fixed(Field::RootWeek, 2),
        "k1" => b.number(Field::IsoWeek, 1, 2, NotNegative),
        "k2" => b.fixed(Field::IsoWeek, 2),
        "n1" => b.number(Field::IsoWeek, 1, 2, Never),
        "n2" => b.number(Field::IsoWeek, 2, 2, Never),
        "e" => b.value(Field::DayOfWeek),
        "e1" => b.fixed(Field::DayOfWeek, 1),
        "E" => b.value(Field::RootDay),
        "M" => b.value(Field::Month),
        "d" => b.value(Field::DayOfMonth),
        "D1" => b.number(Field::DayOfYear, 1, 3, NotNegative),
        "D3" => b.fixed(Field::DayOfYear, 3),
        _ => digits(b, word),
    }
}

/// Fields of a date and a time by their digits, fractions of a second, and literals.
fn digits(b: Builder, word: &str) -> Builder {
    let mut chars = word.chars();
    let (letter, rest) = (chars.next(), chars.as_str());
    let two = |b: Builder, field| match rest {
        "1" => b.number(field, 1, 2, Sign::NotNegative),
        _ => b.fixed(field, 2),
    };
    match letter {
        Some('\'') => b.text(rest),
        Some('M') => two(b, Field::Month),
        Some('d') => two(b, Field::DayOfMonth),
        Some('H') => two(b, Field::Hour),
        Some('m') => two(b, Field::Minute),
        Some('s') => two(b, Field::Second),
        _ => match word {
            "f13" => b.fraction(Field::Nano, 1, 3, true),
            "f19" => b.fraction(Field::Nano, 1, 9, true),
            "f33" => b.fraction(Field::Nano, 3, 3, true),
            "f39" => b.fraction(Field::Nano, 3, 9, true),
            "c19" => b.fraction(Field::Nano, 1, 9, false),
            _ => b,
        },
    }
}
