//! Names of months, days, quarters, eras and parts of the day by language and country, and how weeks start there.
//!
//! `data/dates/locales.tsv` holds what CLDR says, with its own fallbacks already made; `devnode/names` makes it.

pub(crate) mod zones;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::calendar::weeks::{ISO, Weeks};
use super::pattern::{Field, Style};

/// Columns of a locale's row: months, days and quarters in six styles, eras and halves of the day in three, the periods'
/// rules, their names in three styles, and the text for Greenwich.
const COLUMNS: usize = 29;
const ERAS: usize = 18;
const HALVES: usize = 21;
const RULES: usize = 24;
const PERIODS: usize = 25;
const GREENWICH: usize = 28;

/// Languages that have another name today: Java knows them with their own countries only.
const RENAMED: [&str; 2] = ["mo", "tl"];

type Names = Vec<&'static str>;

struct Tables {
    groups: Vec<Names>,
    rows: HashMap<&'static str, Row>,
    languages: Vec<&'static str>,
    countries: HashMap<&'static str, Weeks>,
}

#[derive(Clone, Copy)]
struct Row {
    weeks: Weeks,
    groups: [u16; COLUMNS],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut parts = include_str!("../../../../data/dates/locales.tsv").split("--\n");
    let mut part = || parts.next().unwrap_or_default().lines();
    let mut rows = HashMap::new();
    for line in part() {
        let mut columns = line.split('\t');
        let names = columns.next().unwrap_or_default();
        let weeks = weeks_of(columns.next().unwrap_or_default());
        let mut groups = [0; COLUMNS];
        for (group, column) in groups.iter_mut().zip(columns) {
            *group = u16::from_str_radix(column, 36).unwrap_or(0);
        }
        rows.extend(names.split(' ').map(|name| (if name == "-" { "" } else { name }, Row { weeks, groups })));
    }
    let groups = part().map(|line| line.split('|').collect()).collect();
    let mut last = part();
    let mut words = || last.next().unwrap_or_default().split(' ');
    let languages = words().collect();
    let countries = words().map(|word| word.split_at(2)).map(|(country, weeks)| (country, weeks_of(weeks))).collect();
    Tables { groups, rows, languages, countries }
});

/// Two digits per region: the first day, and the least days.
fn weeks_of(text: &str) -> Weeks {
    let mut digits = text.bytes().map(|b| i64::from(b - b'0'));
    match (digits.next(), digits.next()) {
        (Some(first), Some(least)) => Weeks { first, least },
        _ => ISO,
    }
}

/// A part of the day, in minutes from its start to its end; an end before the start is the next day's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    from: i64,
    to: i64,
    /// Among the names of periods.
    index: usize,
}

impl Period {
    pub(crate) fn includes(self, minute: i64) -> bool {
        let Self { from, to, .. } = self;
        (from == 0 && to == 0 && minute == 1440)
            || (from == minute && to == minute)
            || (from <= minute && minute < to)
            || (from > to && (from <= minute || to > minute))
    }

    fn length(self) -> i64 {
        if self.from > self.to { 1440 - self.from + self.to } else { self.to - self.from }
    }

    pub(crate) fn middle(self) -> i64 {
        (self.from + self.length() / 2) % 1440
    }
}

/// A language, maybe with a country.
#[derive(Debug, Clone)]
pub(crate) struct Locale {
    pub(crate) weeks: Weeks,
    /// As in the tables: `de_AT`.
    name: String,
    groups: Arc<[u16; COLUMNS]>,
}

impl Locale {
    /// The locale of no language.
    pub(crate) fn root() -> Self {
        Self::row(String::new(), "")
    }

    /// # Errors
    /// As OpenSearch's `LocaleUtils.parse`: at most three parts, a known language and country.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let separator = text.chars().find(|c| matches!(c, '-' | '_')).unwrap_or('-');
        let parts: Vec<&str> = text.split(separator).collect();
        if parts.len() > 3 {
            return Err(format!("Locales can have at most 3 parts but got {}: [{}]", parts.len(), parts.join(", ")));
        }
        let language = parts[0].to_ascii_lowercase();
        if parts.len() == 1 && language == "root" {
            return Ok(Self::root());
        }
        let country = parts.get(1).map(|part| part.to_ascii_uppercase()).unwrap_or_default();
        let listed = matches!(language.len(), 0 | 3) || TABLES.languages.contains(&language.as_str());
        if !listed {
            return Err(format!("Unknown language: {}", parts[0]));
        }
        if !country.is_empty() && !TABLES.countries.contains_key(country.as_str()) {
            return Err(format!("Unknown country: {}", parts[1]));
        }
        let language = match language.as_str() {
            "iw" => "he",
            "in" => "id",
            "ji" => "yi",
            "und" => "",
            name => name,
        };
        Ok(Self::of(language, &country))
    }

    fn of(language: &str, country: &str) -> Self {
        if country.is_empty() {
            return Self::row(language.to_owned(), language);
        }
        let name = format!("{language}_{country}");
        if TABLES.rows.contains_key(name.as_str()) {
            return Self::row(name.clone(), &name);
        }
        if RENAMED.contains(&language) {
            return Self::row(name, "");
        }
        let mut found = Self::row(name, language);
        // Weeks of a country are known where its language is.
        if found.groups != Self::root().groups {
            found.weeks = TABLES.countries.get(country).copied().unwrap_or(found.weeks);
        }
        found
    }

    fn row(name: String, row: &str) -> Self {
        let row = TABLES.rows.get(row).or_else(|| TABLES.rows.get(""));
        let row = row.copied().unwrap_or(Row { weeks: ISO, groups: [0; COLUMNS] });
        Self { weeks: row.weeks, name, groups: Arc::new(row.groups) }
    }

    /// The language with its country, then the language; a language that nothing is known of is none.
    pub(crate) fn candidates(&self) -> [&str; 2] {
        let language = self.name.split('_').next().unwrap_or_default();
        if TABLES.rows.contains_key(language) { [&self.name, language] } else { ["", ""] }
    }

    fn group(&self, column: usize) -> &'static [&'static str] {
        TABLES.groups.get(usize::from(self.groups[column])).map_or(&[], Vec::as_slice)
    }

    /// Names of a field by value, and the first value. Missing names are empty.
    pub(crate) fn names(&self, field: Field, style: Style) -> (&'static [&'static str], i64) {
        let six = style as usize;
        let three = six / 2;
        match field {
            Field::Month => (self.group(six), 1),
            Field::DayOfWeek => (self.group(6 + six), 1),
            Field::Quarter => (self.group(12 + six), 1),
            Field::Era => (self.group(ERAS + three), 0),
            _ => (self.group(HALVES + three), 0),
        }
    }

    pub(crate) fn greenwich(&self) -> &'static str {
        self.group(GREENWICH).first().copied().unwrap_or("GMT")
    }

    fn periods(&self) -> impl Iterator<Item = Period> {
        self.group(RULES).iter().filter_map(|rule| {
            let mut numbers = rule.split(':').filter_map(|number| number.parse::<i64>().ok());
            let (index, from, to) = (numbers.next()?, numbers.next()?, numbers.next()?);
            Some(Period { from, to, index: usize::try_from(index).ok()? })
        })
    }

    /// Names of the parts of the day, each with its part.
    pub(crate) fn period_names(&self, style: Style) -> impl Iterator<Item = (&'static str, Period)> {
        let names = self.group(PERIODS + style as usize / 2);
        self.periods().filter_map(move |period| {
            names.get(period.index).copied().filter(|name| !name.is_empty()).map(|name| (name, period))
        })
    }

    /// The name of the shortest part of the day that a minute lies in.
    pub(crate) fn period_name(&self, minute: i64, style: Style) -> &'static str {
        let named = self.period_names(style).filter(|(_, period)| period.includes(minute));
        named.min_by_key(|(_, period)| period.length()).map_or("", |(name, _)| name)
    }
}
