//! OpenSearch's bank of patterns, with the definitions of a stage.

use std::collections::{BTreeMap, HashMap, HashSet};

/// `NAME PATTERN`, a line each: the patterns of OpenSearch 3.8.
const PATTERNS: &str = include_str!("../../../data/grok_patterns.txt");
/// Maximum depth of patterns that name patterns: reading them recurses.
const DEEPEST: usize = 500;

pub(crate) type Bank<'b> = HashMap<&'b str, &'b str>;

/// The bank with a stage's own definitions, which come first.
pub(crate) fn with(definitions: &BTreeMap<String, String>) -> Bank<'_> {
    let mut bank: Bank<'_> = PATTERNS.lines().filter_map(|line| line.split_once(' ')).collect();
    bank.extend(definitions.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    bank
}

/// Refuses patterns that name themselves, by others or not.
///
/// # Errors
/// OpenSearch's words for it.
pub(crate) fn check<'n>(bank: &Bank<'_>, names: impl Iterator<Item = &'n String>) -> Result<(), String> {
    let mut sound = HashSet::new();
    for name in names {
        visit(bank, name, &mut Vec::new(), &mut sound)?;
    }
    Ok(())
}

fn visit<'b>(
    bank: &'b Bank<'_>,
    name: &'b str,
    path: &mut Vec<&'b str>,
    sound: &mut HashSet<&'b str>,
) -> Result<(), String> {
    if sound.contains(name) {
        return Ok(());
    }
    let pattern =
        bank.get(name).ok_or_else(|| format!("Unable to find pattern [{name}] in Grok's pattern dictionary"))?;
    if path.len() >= DEEPEST {
        return Err(format!("Pattern references exceeded maximum depth of {DEEPEST}"));
    }
    path.push(name);
    for (at, _) in pattern.match_indices("%{") {
        let rest = &pattern[at + 2..];
        let Some(end) = rest.find('}') else { return Err(format!("Malformed pattern [{name}][{pattern}]")) };
        let named = &rest[..rest.find(':').map_or(end, |colon| colon.min(end))];
        if path.contains(&named) {
            return Err(circle(name, pattern, named, path));
        }
        visit(bank, named, path, sound)?;
    }
    path.pop();
    sound.insert(name);
    Ok(())
}

fn circle(name: &str, pattern: &str, back: &str, path: &[&str]) -> String {
    let via = &path[..path.len() - 1];
    let mut text = format!("circular reference in pattern [{name}][{pattern}]");
    if back != name {
        text += &format!(" back to pattern [{back}]");
    }
    if via.len() > 1 {
        text += &format!(" via patterns [{}]", via.join("=>"));
    }
    text
}
