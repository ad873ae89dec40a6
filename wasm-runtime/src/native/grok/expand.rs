//! Makes one regular expression of patterns, with all that they name.

use std::sync::OnceLock;

use super::bank::Bank;
use crate::regex::{self, Regex};

/// A named pattern as OpenSearch looks for it.
const NAMED: &str = concat!(
    r"%\{(?<name>(?<pattern>[A-z0-9]+)(?::(?<subname>[[:alnum:]@\[\]_:.-]+))?)",
    r"(?:=(?<definition>(?:[^{}]+|\\.+)+))?\}"
);
/// Characters that the expressions of one stage may have, with all the patterns that they name.
const MOST_EXPANDED: usize = regex::LONGEST_PATTERN;

pub(crate) struct Expander<'b> {
    bank: &'b Bank<'b>,
    out: String,
}

/// The expression of [`NAMED`] and the groups `name`, `pattern`, `subname`.
fn named() -> Option<&'static (Regex, [usize; 3])> {
    static NAMED_REGEX: OnceLock<Option<(Regex, [usize; 3])>> = OnceLock::new();
    NAMED_REGEX
        .get_or_init(|| {
            let regex = regex::ruby(NAMED).ok()?;
            let group = |wanted: &str| regex.names().iter().find(|(name, _)| name == wanted).map(|(_, all)| all[0]);
            let groups = [group("name")?, group("pattern")?, group("subname")?];
            Some((regex, groups))
        })
        .as_ref()
}

impl<'b> Expander<'b> {
    /// `text` with all patterns in it written out.
    ///
    /// # Errors
    /// For a pattern that is not there, and for what becomes too long.
    pub(crate) fn expanded(bank: &'b Bank<'b>, text: &str) -> Result<String, String> {
        let mut expander = Self { bank, out: String::new() };
        expander.expand(text)?;
        Ok(expander.out)
    }

    fn push(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > MOST_EXPANDED {
            return Err(format!(
                "With the patterns that it names it has more than {MOST_EXPANDED} characters, the limit for a stage"
            ));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn expand(&mut self, text: &str) -> Result<(), String> {
        let Some((regex, [name, pattern, subname])) = named() else { return self.push(text) };
        let mut search = regex.search(text);
        let mut last = 0;
        while let Some(found) = search.captures().map_err(|fault| fault.reason.clone())? {
            self.push(&text[last..found.whole().start])?;
            last = found.whole().end;
            let named = &text[found.get(*pattern).unwrap_or(0..0)];
            let inner = self
                .bank
                .get(named)
                .copied()
                .ok_or_else(|| format!("Unable to find pattern [{named}] in Grok's pattern dictionary"))?;
            match found.get(*subname) {
                Some(_) => self.push(&format!("(?<{}>", &text[found.get(*name).unwrap_or(0..0)]))?,
                None => self.push("(?:")?,
            }
            self.expand(inner)?;
            self.push(")")?;
        }
        self.push(&text[last..])
    }
}
