//! Regular expressions in the form of OpenSearch's processors (crate `fancy-regex`: look-around and back-references).

pub use fancy_regex::Regex;

use crate::deadline::tick;
use crate::error::Fault;

/// Steps after which a match is given up.
const BACKTRACK_LIMIT: usize = 200_000;

/// # Errors
/// What is wrong with the pattern.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    fancy_regex::RegexBuilder::new(pattern)
        .backtrack_limit(BACKTRACK_LIMIT)
        .delegate_size_limit(4 << 20)
        .delegate_dfa_size_limit(4 << 20)
        .build()
        .map_err(|e| e.to_string())
}

/// A pattern that needs more steps than a document is worth.
pub fn too_hard(error: &fancy_regex::Error) -> Fault {
    Fault::illegal(format!("the regular expression was given up: {error}"))
}

/// The parts of `text` between matches, as Java's `Pattern.split` makes them; `limit` parts at most, 0 for any number.
///
/// # Errors
/// For a pattern that needs too many steps.
pub fn split<'t>(pattern: &Regex, text: &'t str, limit: usize, keep_trailing: bool) -> Result<Vec<&'t str>, Fault> {
    let mut parts = Vec::new();
    let mut last = 0;
    for found in pattern.find_iter(text) {
        tick()?;
        let found = found.map_err(|e| too_hard(&e))?;
        if limit > 0 && parts.len() + 1 == limit {
            break;
        }
        // No match of no characters at the beginning makes an empty first part.
        if found.end() == 0 {
            continue;
        }
        parts.push(&text[last..found.start()]);
        last = found.end();
    }
    if parts.is_empty() && last == 0 {
        return Ok(vec![text]);
    }
    parts.push(&text[last..]);
    if !keep_trailing && limit == 0 {
        while parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
    }
    Ok(parts)
}
