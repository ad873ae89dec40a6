//! `html_strip`: a string, or every string of a list, without HTML: tags of blocks become line breaks, others nothing.

use super::texts::TextMap;
use crate::deadline::glance;
use crate::error::Fault;
use crate::json;

pub struct HtmlStrip;

impl TextMap for HtmlStrip {
    fn map(text: &str) -> Result<Vec<u8>, Fault> {
        stripped(text).map(|text| json::quote(&text))
    }
}

/// Elements that stand in a line of text: their tags leave nothing behind (Lucene's `HTMLStripCharFilter`).
const INLINE: [&str; 35] = [
    "a", "abbr", "acronym", "b", "basefont", "bdo", "big", "cite", "code", "dfn", "em", "font", "i", "img", "input",
    "kbd", "label", "q", "s", "samp", "select", "small", "span", "strike", "strong", "sub", "sup", "textarea", "tt",
    "u", "var", "ins", "del", "mark", "time",
];

/// Bytes that may be looked through in vain for the ends of tags, whatever the text's length and for each of its bytes.
const MOST_SEEN: usize = 4 << 20;
const SEEN_AGAIN: usize = 8;

/// The text of an HTML fragment; a text without both brackets is none.
///
/// # Errors
/// For a text that is made to be searched again and again.
fn stripped(html: &str) -> Result<String, Fault> {
    if !html.contains('<') || !html.contains('>') {
        return Ok(html.to_owned());
    }
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    // What has been looked through for the end of a tag, and the same text in small letters.
    let mut seen = 0;
    let mut lower: Option<String> = None;
    while let Some(open) = rest.find('<') {
        glance();
        decode(&rest[..open], &mut out);
        rest = &rest[open..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            match comment.find("-->") {
                Some(end) => rest = &comment[end + 3..],
                None => break,
            }
            continue;
        }
        let Some((name, end)) = tag(rest, &mut seen) else {
            if seen > MOST_SEEN + SEEN_AGAIN * html.len() {
                return Err(Fault::too_much("the text has too many tags that do not end"));
            }
            out.push('<');
            rest = &rest[1..];
            continue;
        };
        let closing = rest[1..].starts_with('/');
        rest = &rest[end..];
        if !closing && matches!(name.as_str(), "script" | "style") {
            let mark = format!("</{name}");
            let lower = lower.get_or_insert_with(|| html.to_ascii_lowercase());
            let found = lower[html.len() - rest.len()..].find(&mark);
            seen += found.unwrap_or(rest.len());
            if let Some(at) = found {
                rest = rest[at..].find('>').map_or("", |close| &rest[at + close + 1..]);
            }
            out.push('\n');
        } else if !INLINE.contains(&name.as_str()) {
            out.push('\n');
        }
    }
    decode(rest, &mut out);
    Ok(out)
}

/// The name of the tag that `text` begins with, and where the tag ends; quotes may hide a bracket.
fn tag(text: &str, seen: &mut usize) -> Option<(String, usize)> {
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
    *seen += text.len();
    None
}

fn decode(text: &str, out: &mut String) {
    out.push_str(&html_escape::decode_html_entities(text));
}
