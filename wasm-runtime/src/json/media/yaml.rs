//! YAML as the cluster reads it: the structure of YAML 1.2, plain scalars as Jackson resolves them.
//!
//! Aliases are refused: the cluster takes the name of the anchor for the value, which nobody means.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::sink::{Done, Kind, MAX_DEPTH, Refused, Sink, refuse};
use super::yaml_scalar::{self, Meaning};

const MARK: char = '\u{feff}';

/// Gives the one value of `body` to `sink`.
pub(crate) fn read(body: &[u8], strict: bool, sink: &mut impl Sink) -> Done {
    let text = std::str::from_utf8(body)
        .map_err(|wrong| Refused::Unreadable(format!("invalid UTF-8 at byte {}", wrong.valid_up_to())))?;
    check_characters(text, strict)?;
    let text = text.strip_prefix(MARK).unwrap_or(text);
    if strict && text.starts_with('%') {
        return refuse("a directive may mean different things to different readers");
    }
    let mut reader = Reader { strict, levels: Vec::new(), sink };
    let mut documents = 0;
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|wrong| Refused::Unreadable(format!("not YAML: {wrong}")))?;
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                return refuse("there is more behind the first YAML document");
            }
        }
        reader.event(event, span)?;
    }
    if documents == 0 { reader.sink.null() } else { Ok(()) }
}

/// Refuses characters that YAML does not print, as the cluster does, and those that end lines only for some readers.
fn check_characters(text: &str, strict: bool) -> Done {
    for (at, char) in text.char_indices() {
        let printed = match char {
            '\t' | '\n' | '\r' | '\u{20}'..='\u{7e}' => true,
            '\u{85}' | '\u{2028}' | '\u{2029}' => false,
            MARK => !strict || at == 0,
            '\u{a0}'..='\u{fffd}' | '\u{10000}'.. => true,
            _ => false,
        };
        if !printed {
            return refuse(format!("the character [{}] at byte {at} is not allowed unescaped", char.escape_unicode()));
        }
    }
    Ok(())
}

/// An open sequence or mapping.
struct Level {
    kind: Kind,
    /// Whether a key comes next.
    key: bool,
}

struct Reader<'a, S> {
    strict: bool,
    levels: Vec<Level>,
    sink: &'a mut S,
}

impl<S: Sink> Reader<'_, S> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Done {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
            Event::Alias(_) => self.wrong(span, "an alias is not read where pipelines apply; write the value itself"),
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), span),
            Event::SequenceStart(anchor, tag) => self.start(Kind::Array, anchor, tag.is_some(), span),
            Event::MappingStart(anchor, tag) => self.start(Kind::Object, anchor, tag.is_some(), span),
            Event::SequenceEnd => self.end(Kind::Array),
            Event::MappingEnd => self.end(Kind::Object),
        }
    }

    fn wrong(&self, span: Span, reason: &str) -> Done {
        refuse(format!("{reason} (line {}, column {})", span.start.line(), span.start.col() + 1))
    }

    /// Refuses what readers may take differently.
    fn check(&self, anchor: usize, tagged: bool, span: Span) -> Done {
        if self.strict && (anchor > 0 || tagged) {
            return self.wrong(span, "an anchor or a tag may mean different things to different readers");
        }
        Ok(())
    }

    /// Whether what comes is a key.
    fn takes_key(&mut self) -> bool {
        let Some(level) = self.levels.last_mut().filter(|level| level.kind == Kind::Object) else { return false };
        level.key = !level.key;
        !level.key
    }

    fn start(&mut self, kind: Kind, anchor: usize, tagged: bool, span: Span) -> Done {
        self.check(anchor, tagged, span)?;
        if self.takes_key() {
            return self.wrong(span, "a key that is no text");
        }
        if self.levels.len() >= MAX_DEPTH {
            return refuse(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.levels.push(Level { kind, key: kind == Kind::Object });
        self.sink.start(kind)
    }

    fn end(&mut self, kind: Kind) -> Done {
        self.levels.pop();
        self.sink.end(kind)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, tag: Option<&Tag>, span: Span) -> Done {
        self.check(anchor, tag.is_some(), span)?;
        let plain = style == ScalarStyle::Plain;
        let key = self.takes_key();
        if self.strict && plain && !yaml_scalar::plain_to_all(text) && !(key && yaml_scalar::coordinate(text)) {
            return self.wrong(span, "a plain scalar that readers of YAML take for different things; quote it");
        }
        if key {
            if self.strict && plain && !matches!(yaml_scalar::resolved(text)?, Meaning::Text) {
                return self.wrong(span, "a key that is no text; quote it");
            }
            return self.sink.key(text);
        }
        let meaning = match tag {
            Some(tag) => yaml_scalar::tagged(text, tag, plain)?,
            None if plain => yaml_scalar::resolved(text)?,
            None => Meaning::Text,
        };
        match meaning {
            Meaning::Text => self.sink.string(text),
            Meaning::Rewritten(text) => self.sink.string(&text),
            Meaning::Number(text) => self.sink.number(&text),
            Meaning::Boolean(value) => self.sink.boolean(value),
            Meaning::Null => self.sink.null(),
        }
    }
}
