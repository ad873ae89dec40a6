//! Texts with `{{field}}` in them: the part of Mustache that processors' options use.

use std::borrow::Cow;

use crate::document::Meta;
use crate::engine::deadline::check_deadline;
use crate::engine::limits::MOST_OUTPUT;
use crate::json;
use crate::json::DocView;
use crate::json::bracket_path::dotted;
use crate::json::java;

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    /// `escaped`: as in a JSON text, which is how the cluster's Mustache writes what stands between two braces.
    Field {
        path: String,
        escaped: bool,
    },
}

/// A text whose `{{field}}` and `{{{field}}}` tags are replaced by the document's values, those of the first kind escaped.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<Piece>);

impl Template {
    /// # Errors
    /// For tags that do not end, and for sections, partials and other delimiters, which are not available.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            if open > 0 {
                pieces.push(Piece::Text(rest[..open].to_owned()));
            }
            let triple = rest[open..].starts_with("{{{");
            let (start, end_mark) = if triple { (open + 3, "}}}") } else { (open + 2, "}}") };
            let Some(len) = rest[start..].find(end_mark) else {
                return Err(format!("template [{text}] has a tag that does not end"));
            };
            pieces.extend(tag(text, &rest[start..start + len], triple)?);
            rest = &rest[start + len + end_mark.len()..];
        }
        if !rest.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The text when it has no tags.
    pub(crate) fn constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for one document; a field that is absent or null gives nothing.
    pub(crate) fn render(&self, doc: DocView<'_>, meta: &Meta) -> Cow<'_, str> {
        if let Some(constant) = self.constant() {
            return Cow::Borrowed(constant);
        }
        let mut out = String::new();
        let room = doc.text().len() + MOST_OUTPUT;
        for piece in &self.0 {
            // What is longer no document takes: it need not be whole.
            if out.len() > room {
                break;
            }
            check_deadline();
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field { path, escaped } => {
                    let value = shown(path, doc, meta);
                    if *escaped {
                        write_escaped(&value, &mut out);
                    } else {
                        out.push_str(&value);
                    }
                }
            }
        }
        Cow::Owned(out)
    }
}

/// A JSON value whose strings may be templates.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Constant(Vec<u8>),
    Text(Template),
    List(Vec<Value>),
    Object(Vec<(Template, Value)>),
}

impl Value {
    /// # Errors
    /// As [`Template::parse`].
    pub(crate) fn parse(raw: &[u8]) -> Result<Self, String> {
        if memchr::memmem::find(raw, b"{{").is_none() {
            return Ok(Self::Constant(raw.to_vec()));
        }
        Ok(match raw[0] {
            b'"' => Self::Text(Template::parse(&json::string(raw).unwrap_or_default())?),
            b'[' => {
                let items: Result<Vec<_>, _> =
                    json::elements(raw, 0).into_iter().map(|r| Self::parse(&raw[r])).collect();
                Self::List(items?)
            }
            b'{' => {
                let mut members = Vec::new();
                for entry in json::Entries::new(raw, 0).into_iter().flatten() {
                    let key = json::unescape(&raw[entry.key]).unwrap_or_default();
                    members.push((Template::parse(&key)?, Self::parse(&raw[entry.value])?));
                }
                Self::Object(members)
            }
            _ => Self::Constant(raw.to_vec()),
        })
    }

    /// The value for one document, as JSON.
    pub(crate) fn render(&self, doc: DocView<'_>, meta: &Meta) -> Cow<'_, [u8]> {
        Cow::Owned(match self {
            Self::Constant(raw) => return Cow::Borrowed(raw),
            Self::Text(template) => json::quote(&template.render(doc, meta)),
            Self::List(items) => {
                let mut out = vec![b'['];
                for item in items.iter() {
                    if out.len() > 1 {
                        out.push(b',');
                    }
                    out.extend_from_slice(&item.fitting(&out, doc, meta));
                }
                out.push(b']');
                out
            }
            Self::Object(members) => {
                let mut out = vec![b'{'];
                for (key, value) in members {
                    if out.len() > 1 {
                        out.push(b',');
                    }
                    json::write_quoted(&key.render(doc, meta), &mut out);
                    out.push(b':');
                    out.extend_from_slice(&value.fitting(&out, doc, meta));
                }
                out.push(b'}');
                out
            }
        })
    }
}

impl Value {
    /// [`Self::render`] behind `out`, or null where that is longer already than a document may be.
    fn fitting(&self, out: &[u8], doc: DocView<'_>, meta: &Meta) -> Cow<'_, [u8]> {
        if out.len() > doc.text().len() + MOST_OUTPUT { Cow::Borrowed(b"null") } else { self.render(doc, meta) }
    }
}

/// One tag of a template, between its braces; nothing for a comment.
fn tag(template: &str, inner: &str, triple: bool) -> Result<Option<Piece>, String> {
    let name = inner.trim();
    let refused = |what: &str| {
        let field = "only {{field}} tags are available here; for more write a UDF";
        Err(format!("template [{template}]: [{name}] is {what}, {field}"))
    };
    let what = match name.chars().next() {
        None if inner.is_empty() => return refused("an empty tag"),
        Some('#' | '^' | '/') => "a section",
        Some('>') => "a partial",
        Some('=') => "a change of delimiters",
        Some('!') if inner.contains(['\r', '\n']) => "a comment of several lines",
        Some('!') => return Ok(None),
        _ if matches!(name, "." | "_source") => "the whole document",
        _ => "",
    };
    if !what.is_empty() {
        return refused(what);
    }
    let (path, escaped) = match name.strip_prefix('&') {
        Some(name) => (name.trim(), false),
        None => (name, !triple),
    };
    let path = dotted(path.strip_prefix("_source.").unwrap_or(path)).into_owned();
    Ok(Some(Piece::Field { path, escaped }))
}

/// A text as it stands between the quotes of JSON.
fn write_escaped(text: &str, out: &mut String) {
    if !text.bytes().any(|c| c < b' ' || matches!(c, b'"' | b'\\')) {
        out.push_str(text);
        return;
    }
    let mut from = 0;
    for (at, c) in text.bytes().enumerate().filter(|(_, c)| *c < b' ' || matches!(c, b'"' | b'\\')) {
        out.push_str(&text[from..at]);
        from = at + 1;
        match c {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            c => out.push_str(&format!("\\u{c:04X}")),
        }
    }
    out.push_str(&text[from..]);
}

/// The value that a tag shows.
fn shown<'t>(path: &str, doc: DocView<'t>, meta: &'t Meta) -> Cow<'t, str> {
    let of_meta = match path {
        "_index" => meta.index.as_deref(),
        "_id" => meta.id.as_deref(),
        "_routing" => meta.routing.as_deref(),
        _ => return found(path, doc).map_or(Cow::Borrowed(""), printed),
    };
    Cow::Borrowed(of_meta.unwrap_or(""))
}

/// The value that a tag's path leads to: a member of the whole name, else step by step.
enum Found<'t> {
    Value(&'t [u8]),
    /// Number of elements of a list.
    Size(usize),
}

fn found<'t>(path: &str, doc: DocView<'t>) -> Option<Found<'t>> {
    let text = doc.text();
    if json::is_plain(path) {
        return json::find(doc, path).map(|range| Found::Value(&text[range]));
    }
    let whole = json::get(doc, json::skip_ws(text, 0), path).map(|entry| entry.value);
    if let Some(range) = whole.or_else(|| json::find(doc, path)) {
        return Some(Found::Value(&text[range]));
    }
    let list = &text[json::find(doc, path.strip_suffix(".size")?)?];
    (list[0] == b'[').then(|| Found::Size(json::elements(list, 0).len()))
}

fn printed(found: Found<'_>) -> Cow<'_, str> {
    match found {
        Found::Size(size) => Cow::Owned(size.to_string()),
        Found::Value(b"null") => Cow::Borrowed(""),
        // OpenSearch shows Mustache a list as a map of its positions.
        Found::Value(raw) if raw[0] == b'[' => {
            let items = json::elements(raw, 0).into_iter().enumerate();
            let items: Vec<_> = items.map(|(i, r)| format!("{i}={}", java::text(&raw[r]))).collect();
            Cow::Owned(format!("{{{}}}", items.join(", ")))
        }
        Found::Value(raw) => json::string(raw).unwrap_or_else(|| Cow::Owned(java::text(raw))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_between_two_braces_and_not_between_three() {
        let document = br#"{"m":"a\"b\\c\n\u0001/\u2028","l":["x",1],"o.k":"dotted","o":{"k":"inner"},"n":null}"#;
        for (template, text) in [
            ("{{m}}", "a\\\"b\\\\c\\n\\u0001/\u{2028}"),
            ("{{{m}}}|{{& m }}", "a\"b\\c\n\u{1}/\u{2028}|a\"b\\c\n\u{1}/\u{2028}"),
            ("{{l}} {{l.size}} {{l.0}} {{ n }}{{nope}}.", "{0=x, 1=1} 2 x ."),
            ("{{o.k}} {{_source.o.k}} {{! nothing }}}}", "dotted dotted }}"),
        ] {
            assert_eq!(
                Template::parse(template).unwrap().render(document.into(), &Meta::default()),
                text,
                "{template}"
            );
        }
    }

    #[test]
    fn what_is_no_field_is_refused_by_its_name() {
        for (template, word) in [
            ("{{#a}}x{{/a}}", "[#a] is a section"),
            ("{{>p}}", "a partial"),
            ("{{=<% %>=}}", "a change of delimiters"),
            ("{{.}}", "the whole document"),
            ("{{}}", "an empty tag"),
            ("{{a", "does not end"),
        ] {
            let refused = Template::parse(template).unwrap_err();
            assert!(refused.contains(word), "{refused}");
        }
    }
}
