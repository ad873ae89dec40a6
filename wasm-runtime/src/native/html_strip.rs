//! `html_strip`: a string, or every string of a list, without HTML: tags of blocks become line breaks, others nothing.

use super::texts::TextMap;
use crate::error::Fault;
use crate::json;

pub struct HtmlStrip;

impl TextMap for HtmlStrip {
    fn map(text: &str) -> Result<Vec<u8>, Fault> {
        Ok(json::quote(&stripped(text)))
    }
}

/// Elements that stand in a line of text: their tags leave nothing behind (Lucene's `HTMLStripCharFilter`).
const INLINE: [&str; 35] = [
    "a", "abbr", "acronym", "b", "basefont", "bdo", "big", "cite", "code", "dfn", "em", "font", "i", "img", "input",
    "kbd", "label", "q", "s", "samp", "select", "small", "span", "strike", "strong", "sub", "sup", "textarea", "tt",
    "u", "var", "ins", "del", "mark", "time",
];

/// The text of an HTML fragment; a text without both brackets is none.
fn stripped(html: &str) -> String {
    if !html.contains('<') || !html.contains('>') {
        return html.to_owned();
    }
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        decode(&rest[..open], &mut out);
        rest = &rest[open..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            match comment.find("-->") {
                Some(end) => rest = &comment[end + 3..],
                None => break,
            }
            continue;
        }
        let Some((name, end)) = tag(rest) else {
            out.push('<');
            rest = &rest[1..];
            continue;
        };
        let closing = rest[1..].starts_with('/');
        rest = &rest[end..];
        if !closing && matches!(name.as_str(), "script" | "style") {
            let mark = format!("</{name}");
            let lower = rest.to_ascii_lowercase();
            if let Some(at) = lower.find(&mark) {
                rest = rest[at..].find('>').map_or("", |close| &rest[at + close + 1..]);
            }
            out.push('\n');
        } else if !INLINE.contains(&name.as_str()) {
            out.push('\n');
        }
    }
    decode(rest, &mut out);
    out
}

/// The name of the tag that `text` begins with, and where the tag ends; quotes may hide a bracket.
fn tag(text: &str) -> Option<(String, usize)> {
    let inner = text[1..].strip_prefix(['/', '!', '?']).unwrap_or(&text[1..]);
    let name: String = inner.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == ':').collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let mut quote = None;
    for (at, c) in text.char_indices().skip(1) {
        match (quote, c) {
            (None, '>') => return Some((name.to_ascii_lowercase(), at + 1)),
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if c == q => quote = None,
            _ => {}
        }
    }
    None
}

fn decode(text: &str, out: &mut String) {
    out.push_str(&html_escape::decode_html_entities(text));
}
