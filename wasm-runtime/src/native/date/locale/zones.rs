//! Names of time zones: which zone a text means, and how zones are written.
//!
//! `data/dates/zones.tsv` holds the zones with their names in no language, the names that languages have, and by language and style which
//! names are there: those of another table, with some added and some removed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::Locale;
use crate::engine::deadline::check_deadline;

/// Names of a zone: long and short, each for winter, summer and both.
type Written = [&'static str; 6];
type Pair = (&'static str, &'static str);

/// Maximum number of cached tables, of some 50 KB each.
const MOST_CACHED: usize = 64;
/// No table.
const NONE: usize = usize::MAX;

struct Tables {
    written: HashMap<&'static str, Written>,
    pairs: Vec<Pair>,
    /// The table that this one changes, what it adds and what it removes.
    changes: Vec<(Option<usize>, &'static str, &'static str)>,
    /// By locale and style.
    places: HashMap<&'static str, usize>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut parts = include_str!("../../../../data/dates/zones.tsv").split("--\n");
    let mut part = || parts.next().unwrap_or_default().lines();
    let written = part().filter_map(|line| {
        let mut columns = line.split('\t');
        let id = columns.next()?;
        let mut names = [id; 6];
        for (name, column) in names.iter_mut().zip(columns) {
            *name = column;
        }
        Some((id, names))
    });
    let written = written.collect();
    let pairs = part().map(|line| line.split_once('\t').unwrap_or((line, line))).collect();
    let (mut changes, mut places) = (Vec::new(), HashMap::new());
    for line in part() {
        let mut columns = line.split('\t');
        let mut column = || columns.next().unwrap_or_default();
        let names = column();
        places.extend(names.split(' ').map(|name| (name, changes.len())));
        changes.push((index(column()), column(), column()));
    }
    Tables { written, pairs, changes, places }
});

fn index(text: &str) -> Option<usize> {
    usize::from_str_radix(text, 36).ok()
}

/// Texts, and what they mean; those that mean nothing end a search, as in Java's tree of prefixes.
pub(crate) struct Names {
    sorted: Vec<(Cow<'static, str>, Option<&'static str>)>,
    fold: bool,
}

impl Names {
    fn new(names: impl Iterator<Item = Pair>, fold: bool) -> Self {
        let text = |name: &'static str| if fold { Cow::Owned(folded(name)) } else { Cow::Borrowed(name) };
        let mut sorted: Vec<_> = names.map(|(name, id)| (text(name), Some(id))).collect();
        sorted.sort();
        let mut forks: Vec<(Cow<'static, str>, Option<&'static str>)> = sorted
            .windows(2)
            .map(|right| (right[0].0.clone(), common(&right[0].0, &right[1].0)))
            .map(|(name, at)| (cut(name, at), None))
            .filter(|(fork, _)| sorted.binary_search_by(|(name, _)| name.cmp(fork)).is_err())
            .collect();
        forks.dedup();
        sorted.append(&mut forks);
        sorted.sort();
        sorted.dedup();
        Self { sorted, fold }
    }

    /// The zone whose name `text` starts with, and the bytes of that name.
    pub(crate) fn longest(&self, text: &str) -> Option<(&'static str, usize)> {
        let owned;
        let mut rest = text;
        if self.fold {
            owned = folded(text);
            rest = &owned;
        }
        // Each round shortens `rest`, to no more than the longest name.
        loop {
            let at = self.sorted.partition_point(|(name, _)| name.as_ref() <= rest);
            let (name, id) = self.sorted.get(at.checked_sub(1)?)?;
            if rest.starts_with(name.as_ref()) {
                return id.map(|id| (id, name.len()));
            }
            let shared = common(name, rest);
            if shared == 0 {
                return None;
            }
            rest = &rest[..shared];
        }
    }
}

fn cut(text: Cow<'static, str>, at: usize) -> Cow<'static, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..at]),
        Cow::Owned(text) => Cow::Owned(text[..at].to_owned()),
    }
}

fn folded(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// Bytes of whole characters that both start with.
fn common(left: &str, right: &str) -> usize {
    left.chars().zip(right.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}

pub(crate) fn exists(id: &str) -> bool {
    TABLES.written.contains_key(id)
}

/// How a zone is written in no language.
pub(crate) fn written(id: &str, full: bool, generic: bool, summer: bool) -> Option<&'static str> {
    let kind = match (generic, summer) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    };
    let name = TABLES.written.get(id)?[kind + if full { 0 } else { 3 }];
    (!name.is_empty()).then_some(name)
}

/// The zones by their identifiers, in small letters too.
pub(crate) fn identifiers(ignore_case: bool) -> &'static Names {
    static EXACT: LazyLock<Names> = LazyLock::new(|| Names::new(TABLES.written.keys().map(|id| (*id, *id)), false));
    static FOLDED: LazyLock<Names> = LazyLock::new(|| Names::new(TABLES.written.keys().map(|id| (*id, *id)), true));
    if ignore_case { &FOLDED } else { &EXACT }
}

/// The names that a locale has for zones. Long ones are there for some languages only; others have the identifiers.
pub(crate) fn named(locale: &Locale, full: bool) -> Arc<Names> {
    static CACHE: LazyLock<Mutex<HashMap<usize, Arc<Names>>>> = LazyLock::new(Mutex::default);
    let style = if full { "+F" } else { "+S" };
    let region = |name: &str| TABLES.places.get(format!("{name}{style}").as_str());
    let region = locale.candidates().into_iter().find_map(region).copied().unwrap_or(NONE);
    check_deadline();
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= MOST_CACHED && !cache.contains_key(&region) {
        cache.clear();
    }
    let make = || match TABLES.changes.get(region) {
        Some(_) => Names::new(table(region).into_iter(), false),
        None => Names::new(TABLES.written.keys().map(|id| (*id, *id)), false),
    };
    Arc::clone(cache.entry(region).or_insert_with(|| Arc::new(make())))
}

/// The names of a table, with those it shares with others. Each table changes an earlier one only.
fn table(region: usize) -> HashMap<&'static str, &'static str> {
    let Some((base, added, removed)) = TABLES.changes.get(region) else { return HashMap::new() };
    let mut names = base.filter(|base| *base < region).map(table).unwrap_or_default();
    let pairs = |text: &'static str| text.split(' ').filter_map(|at| TABLES.pairs.get(index(at)?));
    for (name, _) in pairs(removed) {
        names.remove(name);
    }
    names.extend(pairs(added).copied());
    names
}
