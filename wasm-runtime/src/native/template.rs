//! Texts with `{{field}}` in them: the part of Mustache that processors' options use.

use std::borrow::Cow;

use crate::deadline::look;
use crate::document::Meta;
use crate::limits::MOST_MADE;
use crate::{java, json};

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Field(String),
}

/// A text whose `{{field}}` and `{{{field}}}` tags are replaced by the document's values.
#[derive(Debug, Clone)]
pub struct Template(Vec<Piece>);

impl Template {
    /// # Errors
    /// For tags that do not end, and for sections, partials and comments, which are not available.
    pub fn parse(text: &str) -> Result<Self, String> {
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
            let tag = rest[start..start + len].trim();
            let tag = tag.strip_prefix('&').map_or(tag, str::trim);
            if tag.is_empty() || tag.starts_with(['#', '/', '^', '>', '!', '=']) {
                return Err(format!("template [{text}]: only {{{{field}}}} tags are available"));
            }
            let tag = tag.strip_prefix("_source.").unwrap_or(tag);
            pieces.push(Piece::Field(tag.to_owned()));
            rest = &rest[start + len + end_mark.len()..];
        }
        if !rest.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The text when it has no tags.
    pub fn constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for one document; a field that is absent or null gives nothing.
    pub fn render(&self, text: &[u8], meta: &Meta) -> Cow<'_, str> {
        if let Some(constant) = self.constant() {
            return Cow::Borrowed(constant);
        }
        let mut out = String::new();
        let room = text.len() + MOST_MADE;
        for piece in &self.0 {
            // What is longer no document takes: it need not be whole.
            if out.len() > room {
                break;
            }
            look();
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(path) => render_field(&mut out, path, text, meta),
            }
        }
        Cow::Owned(out)
    }
}

/// A JSON value whose strings may be templates.
#[derive(Debug, Clone)]
pub enum Value {
    Constant(Vec<u8>),
    Text(Template),
    List(Vec<Value>),
    Object(Vec<(Template, Value)>),
}

impl Value {
    /// # Errors
    /// As [`Template::parse`].
    pub fn parse(raw: &[u8]) -> Result<Self, String> {
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
    pub fn render(&self, text: &[u8], meta: &Meta) -> Cow<'_, [u8]> {
        Cow::Owned(match self {
            Self::Constant(raw) => return Cow::Borrowed(raw),
            Self::Text(template) => json::quote(&template.render(text, meta)),
            Self::List(items) => {
                let mut out = vec![b'['];
                for item in items.iter() {
                    if out.len() > 1 {
                        out.push(b',');
                    }
                    out.extend_from_slice(&item.fitting(&out, text, meta));
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
                    json::write_quoted(&key.render(text, meta), &mut out);
                    out.push(b':');
                    out.extend_from_slice(&value.fitting(&out, text, meta));
                }
                out.push(b'}');
                out
            }
        })
    }
}

impl Value {
    /// [`Self::render`] behind `out`, or null where that is longer already than a document may be.
    fn fitting(&self, out: &[u8], text: &[u8], meta: &Meta) -> Cow<'_, [u8]> {
        if out.len() > text.len() + MOST_MADE { Cow::Borrowed(b"null") } else { self.render(text, meta) }
    }
}

fn render_field(out: &mut String, path: &str, text: &[u8], meta: &Meta) {
    match path {
        "_index" => out.push_str(meta.index.as_deref().unwrap_or("")),
        "_id" => out.push_str(meta.id.as_deref().unwrap_or("")),
        "_routing" => out.push_str(meta.routing.as_deref().unwrap_or("")),
        _ => {
            let Some(range) = json::find(text, path) else { return };
            match &text[range] {
                b"null" => {}
                // OpenSearch shows Mustache a list as a map of its positions.
                raw if raw[0] == b'[' => {
                    let items = json::elements(raw, 0).into_iter().enumerate();
                    let items: Vec<_> = items.map(|(i, r)| format!("{i}={}", java::text(&raw[r]))).collect();
                    out.push_str(&format!("{{{}}}", items.join(", ")));
                }
                raw => out.push_str(&java::text(raw)),
            }
        }
    }
}
