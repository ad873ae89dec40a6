//! `html_strip`: a string, or every string of a list, without HTML: tags of blocks become line breaks, others nothing.
//!
//! It reads a text as Lucene's `HTMLStripCharFilter` does, rule by rule, but for one: a `<` with white space behind it is no
//! tag here, so that what stands between two signs of a comparison is kept.

mod entities;
mod tags;

use self::entities::ENTITIES;
use self::tags::{MOST_SEEN, SEEN_AGAIN, Tags, name_len};
use super::support::text_map::TextMap;
use crate::engine::deadline::glance;
use crate::error::Fault;
use crate::json;

pub(crate) struct HtmlStrip;

impl TextMap for HtmlStrip {
    fn map(text: &str) -> Result<Vec<u8>, Fault> {
        stripped(text).map(|text| json::quote(&text))
    }
}

/// Elements that stand in a line of text: their tags leave nothing behind.
const INLINE: [&str; 31] = [
    "a", "abbr", "acronym", "b", "basefont", "bdo", "big", "cite", "code", "dfn", "em", "font", "i", "img", "input",
    "kbd", "label", "q", "s", "samp", "select", "small", "span", "strike", "strong", "sub", "sup", "textarea", "tt",
    "u", "var",
];

/// The text of an HTML fragment; a text without both brackets is none.
///
/// # Errors
/// For a text that is made to be searched again and again.
fn stripped(html: &str) -> Result<String, Fault> {
    if !html.contains('<') || !html.contains('>') {
        return Ok(html.to_owned());
    }
    let mut out = String::with_capacity(html.len());
    let mut tags = Tags::default();
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        glance();
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = match rest.as_bytes()[0] {
            b'&' => reference(rest, &mut out),
            _ => markup(rest, &mut out, &mut tags)?,
        };
        if tags.seen > MOST_SEEN + SEEN_AGAIN * html.len() {
            return Err(Fault::too_much("the text has too many tags that do not end"));
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Reads the character reference that `text` may begin with; gives what is behind it.
fn reference<'t>(text: &'t str, out: &mut String) -> &'t str {
    if let Some(number) = text[1..].strip_prefix('#') {
        return numeric(text, number, out);
    }
    // The longest name counts, and only with its semicolon; at the end of the text it needs none.
    let letter = text.as_bytes().get(1).copied().unwrap_or_default();
    let from = ENTITIES.partition_point(|(name, _)| name.as_bytes()[0] < letter);
    let alike = ENTITIES[from..].iter().take_while(|(name, _)| name.as_bytes()[0] == letter);
    let longest = alike.filter(|(name, _)| text[1..].starts_with(name)).max_by_key(|(name, _)| name.len());
    match longest {
        Some((name, c)) => referred(text, 1 + name.len(), *c, out),
        None => {
            out.push('&');
            &text[1..]
        }
    }
}

/// Writes `c` for the first `len` bytes of `text` if a reference ends there, else these bytes.
fn referred<'t>(text: &'t str, len: usize, c: char, out: &mut String) -> &'t str {
    let behind = &text[len..];
    match behind.strip_prefix(';') {
        Some(rest) => {
            out.push(c);
            rest
        }
        None if behind.is_empty() => {
            out.push(c);
            behind
        }
        None => {
            out.push_str(&text[..len]);
            behind
        }
    }
}

/// Most digits of a number, by its base: as many as Lucene reads.
const MOST_DIGITS: [(u32, usize); 2] = [(10, 7), (16, 5)];

/// A number's digits behind `&#`, its base, and how many bytes they are.
fn digits(number: &str) -> (u32, usize) {
    let hexadecimal = number.starts_with(['x', 'X']);
    let (base, from) = if hexadecimal { (16, 1) } else { (10, 0) };
    let len = number[from..].bytes().take_while(|c| char::from(*c).is_digit(base)).count();
    (base, if len == 0 { 0 } else { from + len })
}

fn value(number: &str, base: u32, len: usize) -> Option<u32> {
    let digits = &number[usize::from(base == 16)..len];
    let most = MOST_DIGITS.iter().find(|(of, _)| *of == base).map_or(0, |(_, most)| *most);
    if digits.len() > most { None } else { u32::from_str_radix(digits, base).ok() }
}

fn numeric<'t>(text: &'t str, number: &'t str, out: &mut String) -> &'t str {
    let (base, len) = digits(number);
    if len == 0 {
        out.push_str("&#");
        return number;
    }
    let Some(code) = value(number, base, len).filter(|code| *code <= 0x10_ffff) else {
        out.push_str(&text[..2 + len]);
        return &number[len..];
    };
    if (0xd800..0xdc00).contains(&code)
        && let Some((c, rest)) = number[len..].strip_prefix(";&#").and_then(|second| pair(code, second))
    {
        out.push(c);
        return rest;
    }
    referred(text, 2 + len, char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), out)
}

/// The character of two surrogates, the second at the beginning of `number`, and what is behind it.
fn pair(high: u32, number: &str) -> Option<(char, &str)> {
    let (base, len) = digits(number);
    let low = value(number, base, len).filter(|low| (0xdc00..0xe000).contains(low))?;
    let rest = number[len..].strip_prefix(';')?;
    char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)).map(|c| (c, rest))
}

/// Reads what begins with the `<` of `text`; gives what is behind it.
fn markup<'t>(text: &'t str, out: &mut String, tags: &mut Tags) -> Result<&'t str, Fault> {
    let inner = &text[1..];
    if let Some(declared) = inner.strip_prefix('!') {
        return Ok(declaration(text, declared, out));
    }
    if let Some(closing) = inner.strip_prefix('/') {
        return Ok(closing_tag(text, closing, out));
    }
    if inner.starts_with('?') {
        let end = inner.find('>');
        tags.seen += end.unwrap_or(inner.len());
        if let Some(end) = end.filter(|end| *end > 1 && matches!(inner.as_bytes()[end - 1], b'?' | b'/')) {
            return Ok(&inner[end + 1..]);
        }
        out.push('<');
        return Ok(inner);
    }
    Ok(opening_tag(text, out, tags))
}

fn opening_tag<'t>(text: &'t str, out: &mut String, tags: &mut Tags) -> &'t str {
    let inner = &text[1..];
    let starts = |name: &str| inner.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    for name in ["script", "style"] {
        if starts(name)
            && let Some(end) = tags.end(&inner[name.len()..])
        {
            return hidden(&inner[name.len() + end..], name, out);
        }
    }
    let len = name_len(inner);
    if len == 0 {
        out.push('<');
        return inner;
    }
    match tags.end(&inner[len..]) {
        Some(end) => {
            if !is_inline(&inner[..len]) {
                out.push('\n');
            }
            &inner[len + end..]
        }
        None if inner.len() == len => "",
        None => {
            out.push_str(&text[..=len]);
            &inner[len..]
        }
    }
}

fn is_inline(name: &str) -> bool {
    INLINE.iter().any(|inline| name.eq_ignore_ascii_case(inline))
}

fn closing_tag<'t>(text: &'t str, closing: &'t str, out: &mut String) -> &'t str {
    let inner = closing.trim_start();
    let len = name_len(inner);
    if len == 0 {
        out.push_str(&text[..text.len() - inner.len()]);
        return inner;
    }
    let behind = &inner[len..];
    match behind.trim_start().strip_prefix('>') {
        Some(rest) => {
            if !is_inline(&inner[..len]) {
                out.push('\n');
            }
            rest
        }
        None if behind.is_empty() => behind,
        None => {
            out.push_str(&text[..text.len() - behind.len()]);
            behind
        }
    }
}

/// Reads behind `<!`: a comment, raw characters, or a declaration.
fn declaration<'t>(text: &'t str, declared: &'t str, out: &mut String) -> &'t str {
    if let Some(comment) = declared.strip_prefix("--") {
        return Hidden { rest: comment, directives: true }.behind_comment();
    }
    if let Some(raw) = declared.strip_prefix("[CDATA[") {
        let (raw, rest) = raw.split_once("]]>").unwrap_or((raw, ""));
        out.push_str(raw);
        return rest;
    }
    match declared.find('>') {
        Some(end) => &declared[end + 1..],
        None => {
            out.push_str(text);
            ""
        }
    }
}

/// A script or a style sheet up to its closing tag, which becomes a line break.
fn hidden<'t>(text: &'t str, name: &str, out: &mut String) -> &'t str {
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        glance();
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = Hidden { rest: comment, directives: false }.behind_comment();
            continue;
        }
        let closing = rest.strip_prefix("</").map(str::trim_start);
        let tail = closing.filter(|closing| closing.get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name)));
        if let Some(behind) = tail.and_then(|tail| tail[name.len()..].trim_start().strip_prefix('>')) {
            out.push('\n');
            return behind;
        }
        rest = &rest[1..];
    }
    ""
}

/// Inside a comment.
struct Hidden<'t> {
    rest: &'t str,
    /// Reads to the end of a tag: in a page quotes count in server-side includes only, in a script always.
    directives: bool,
}

impl<'t> Hidden<'t> {
    /// The text behind `-->`.
    fn behind_comment(mut self) -> &'t str {
        let mut including = false;
        while let Some(at) = self.rest.find(['-', '<', '"', '\'']) {
            glance();
            self.rest = &self.rest[at..];
            if self.rest.starts_with("-->") {
                self.rest = &self.rest[3..];
                if !including {
                    return self.rest;
                }
                including = false;
            } else if !including && self.rest.starts_with("<!--#") {
                self.rest = &self.rest[5..];
                including = true;
            } else {
                let sign = self.rest.as_bytes()[0];
                self.rest = &self.rest[1..];
                if matches!(sign, b'"' | b'\'') && (including || !self.directives) {
                    self.rest = behind_quote(self.rest, sign);
                }
            }
        }
        ""
    }
}

fn behind_quote(text: &str, quote: u8) -> &str {
    let mut escaped = false;
    for (at, c) in text.bytes().enumerate() {
        match c {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            c if c == quote => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[(&str, &str)]) {
        for (html, text) in rows {
            assert_eq!(stripped(html).unwrap(), *text, "{html}");
        }
    }

    #[test]
    fn tags_become_line_breaks_or_nothing() {
        check(&[
            ("<broken>x<scripted>y</script>z", "\nx\nz"),
            ("<a b='1>2' c=\">\">x", "x"),
            ("<p a=\"1\\\">2\">x", "\nx"),
            ("<p ' > ' >t", "\n ' >t"),
            ("<p a=' > ' >t", "\nt"),
            ("<p on=x'>'>t", "\n'>t"),
            ("<p <!--#x '>' --> >t", "\nt"),
            ("a></b", "a>"),
            ("a></b >x", "a>x"),
            ("</ b>x</br >y", "x\ny"),
            ("<x:y z>t<1>u<é>v", "\nt<1>u\nv"),
            ("<a <b>c</b>", "<a c"),
            ("a < b and c > d", "a < b and c > d"),
        ]);
    }

    #[test]
    fn what_is_not_shown_is_left_out() {
        check(&[
            ("<!-- a -- > b -->c", "c"),
            ("<!-->x-->y", "y"),
            ("<!DOCTYPE a [<!x>]>t", "]>t"),
            ("<?xml a?>t<?php x", "t<?php x"),
            ("<![CDATA[a<b>&amp;]]>c", "a<b>&amp;c"),
            ("<SCRIPT>a<!-- '</script>' -->b</ script >c", "\nc"),
            ("<style>\"</style>\"x", "\n\"x"),
            ("<script>x", ""),
            ("<p><!--#a 'x-->' -->b-->c", "\n' -->b-->c"),
        ]);
    }

    #[test]
    fn references_are_those_of_html_4() {
        check(&[
            ("<b>&#0;", "\0"),
            ("<b>&#x10FFFF;", "&#x10FFFF;"),
            ("<b>&#1114111;", "\u{10ffff}"),
            ("<b>&#55357;&#56832;&#xD83D;&#xDE00;", "\u{1f600}\u{1f600}"),
            ("<b>&#xD83D;x", "\u{fffd}x"),
            ("<b>&amp", "&"),
            ("<b>&amp x", "&amp x"),
            ("<b>&notin;&notit;&nbsp;&REG;", "\u{2209}&notit; \u{ae}"),
        ]);
    }
}
