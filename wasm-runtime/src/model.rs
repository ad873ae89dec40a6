//! Documents that are like one before them but for some texts, numbers and words: most documents of a batch are.
//!
//! Of such a document only the values that differ from the model's are read, all else is compared; what was valid stays so.

use crate::document::{Doc, Text};
use crate::json::{skip_string, skip_value, skip_ws};
use crate::outline::{Member, Outline, common_prefix};
use crate::valid::{self, Invalid};

/// Models that are kept: documents of several kinds take turns.
const KEPT: usize = 4;
/// How many more documents may be like no model than are like one, before nobody looks any more.
const PATIENCE: usize = 8;
/// Longer documents are no models.
const LONGEST: usize = 64 << 10;

/// The checked documents of a batch that others are compared with.
pub struct Models<'b> {
    body: &'b [u8],
    /// The one that was of use last is first.
    kept: Vec<Model<'b>>,
    patience: usize,
}

/// A valid text, where its members are, and where all its texts, numbers and words are, keys excepted.
struct Model<'b> {
    text: &'b [u8],
    outline: Outline,
    values: Vec<Value>,
}

/// A text, number or word, and how many members have begun with it.
struct Value {
    start: u32,
    end: u32,
    members: usize,
}

impl<'b> Models<'b> {
    /// For so many documents out of `body`; a few are not worth the trouble.
    pub fn new(body: &'b [u8], documents: usize) -> Self {
        let patience = if documents > KEPT * KEPT { PATIENCE } else { 0 };
        Self { body, kept: Vec::new(), patience }
    }

    /// [`valid::outlined`] of a document's text, which is `text`.
    ///
    /// # Errors
    /// As [`valid::check`].
    pub fn outlined(&mut self, doc: &Doc, text: &[u8], mut members: Vec<Member>) -> Result<Option<Outline>, Invalid> {
        if self.patience == 0 {
            return valid::outlined(text, members);
        }
        let found = self.kept.iter().enumerate().find_map(|(n, model)| Some((n, model.followed(text, &mut members)?)));
        if let Some((n, (start, end, escapes))) = found {
            if n > 0 {
                self.kept.swap(0, n);
            }
            self.patience = (self.patience + 1).min(PATIENCE);
            return Ok(Some(Outline::with(start, end, escapes, members)));
        }
        self.patience -= 1;
        let outline = valid::outlined(text, members)?;
        if let (Some(outline), Text::Shared(range)) = (&outline, &doc.text)
            && range.len() <= LONGEST
            && let Some(values) = values(text, outline)
        {
            self.kept.truncate(KEPT - 1);
            self.kept.insert(0, Model { text: &self.body[range.clone()], outline: outline.clone(), values });
        }
        Ok(outline)
    }
}

impl Model<'_> {
    /// Where the object in `new` begins and has its closing brace, and whether a key has an escape, with its members in `members`:
    /// if `new` is this text with other texts, numbers or words in places of such.
    fn followed(&self, new: &[u8], members: &mut Vec<Member>) -> Option<(u32, u32, bool)> {
        let (old, known) = (self.text, self.outline.members());
        u32::try_from(new.len()).ok()?;
        members.clear();
        members.extend_from_slice(known);
        // So far the two are alike, and so many members stand where `new` has them, which is `shift` further on.
        let (mut in_old, mut in_new, mut done, mut shift) = (0, 0, 0, 0u32);
        let mut values = self.values.iter();
        loop {
            let differ = in_old + common_prefix(&old[in_old..], new.get(in_new..)?);
            let Some(value) = values.find(|value| differ <= value.end as usize) else {
                let alike = differ == old.len() && new.len() - in_new == old.len() - in_old;
                move_on(&mut members[done..], shift);
                return alike.then(|| self.outline.frame(shift));
            };
            if differ < value.start as usize {
                return None;
            }
            in_old = value.end as usize;
            in_new = valid::scalar(new, value.start.wrapping_add(shift) as usize)?;
            // The value is that of the last of these members, or in it.
            let begun = members.get_mut(done..value.members)?;
            move_on(begun, shift);
            done = value.members;
            let grown = (in_new as u32).wrapping_sub(value.end.wrapping_add(shift));
            let last = members[..done].last_mut()?;
            last.value_end = last.value_end.wrapping_add(grown);
            shift = shift.wrapping_add(grown);
        }
    }
}

/// Moves members to where they are `shift` bytes further on.
#[inline]
fn move_on(members: &mut [Member], shift: u32) {
    if shift != 0 {
        members.iter_mut().for_each(|member| *member = member.moved(shift));
    }
}

/// The texts, numbers and words in a valid text with this outline, keys excepted.
fn values(text: &[u8], outline: &Outline) -> Option<Vec<Value>> {
    let (mut found, mut at, mut members) = (Vec::new(), 0, 0);
    let mut note = |start: usize, end: usize| {
        let begun = outline.members()[members..].iter().take_while(|member| member.value as usize <= start);
        members += begun.count();
        found.push(Value { start: start as u32, end: end as u32, members });
    };
    while let Some(first) = text.get(at) {
        at = match first {
            b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at + 1,
            b'"' => {
                let end = skip_string(text, at)?;
                if text.get(skip_ws(text, end)) != Some(&b':') {
                    note(at, end);
                }
                end
            }
            _ => {
                let end = skip_value(text, at)?;
                note(at, end);
                end
            }
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Meta;

    fn model(text: &[u8]) -> Model<'_> {
        let outline = Outline::of(text).unwrap();
        Model { text, values: values(text, &outline).unwrap(), outline }
    }

    fn followed(old: &[u8], new: &[u8]) -> Option<Outline> {
        let mut members = vec![Member { key: 9, key_end: 9, value: 9, value_end: 9 }];
        let (start, end, escapes) = model(old).followed(new, &mut members)?;
        Some(Outline::with(start, end, escapes, members))
    }

    #[test]
    fn the_values_are_all_but_keys() {
        let text = br#" {"a" : "x\"y", "b":{"c":[1,"d",true ,{}]}, "e":-1.5e3,"f":null} "#;
        let found: Vec<(&[u8], usize)> = model(text)
            .values
            .iter()
            .map(|value| (&text[value.start as usize..value.end as usize], value.members))
            .collect();
        let values: [&[u8]; 6] = [br#""x\"y""#, b"1", b"\"d\"", b"true", b"-1.5e3", b"null"];
        assert_eq!(found, values.into_iter().zip([1, 2, 2, 2, 3, 4]).collect::<Vec<_>>());
    }

    /// Whatever is found says what the whole check says.
    #[test]
    fn what_is_like_a_valid_text_is_valid() {
        let olds = [
            r#" {"a" : "x\"y", "b":{"c":[1,"d",{}],"e":{"f":"g"}},"n":-1.5e3,"é":"ü","w":null } "#,
            r#"{"a\"b":true,"a":12,"a":"a text of more than sixteen bytes","l":[],"z":[12,[34]]}"#,
            "{}",
            r#"{"a":{}}"#,
        ];
        let pieces = [
            "",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "1",
            "-",
            ".",
            "0",
            "true",
            " ",
            "\n",
            "\"z\"",
            "\"\\u00e9\"",
            "ö",
            ",\"z\":1",
            "{}",
            "\"a text of more than sixteen bytes, too\"",
            "\u{1}",
        ];
        for old in olds.map(str::as_bytes) {
            let (mut alike, mut other) = (0, 0);
            let mut look = |new: &[u8]| match followed(old, new) {
                Some(outline) => {
                    alike += 1;
                    assert_eq!(valid::outlined(new, Vec::new()), Ok(Some(outline)), "{}", String::from_utf8_lossy(new));
                }
                None => other += 1,
            };
            look(old);
            for from in 0..=old.len() {
                look(&old[..from]);
                for to in from..=old.len() {
                    for piece in pieces.iter().map(|piece| piece.as_bytes()).chain([&b"\xff"[..], b"\xc3"]) {
                        look(&[&old[..from], piece, &old[to..]].concat());
                    }
                }
            }
            // Two places at once.
            for first in 0..old.len() {
                for second in first + 1..old.len() {
                    for (a, b) in
                        [("1", "2"), ("\"", "\""), ("22", ""), ("", "22"), ("}", "{"), (",", " "), ("y", "zz")]
                    {
                        let parts =
                            [&old[..first], a.as_bytes(), &old[first + 1..second], b.as_bytes(), &old[second + 1..]];
                        look(&parts.concat());
                    }
                }
            }
            assert!(alike > 0 && other > 100, "{alike} {other}");
        }
    }

    #[test]
    fn other_values_of_any_kind_are_found() {
        let old = br#"{"a":"x","b":{"c":[1,"d"]},"e":1,"f":2}"#;
        for new in [
            r#"{"a":"longer than before","b":{"c":[-2.5e7,null]},"e":"text","f":false}"#,
            r#"{"a":"","b":{"c":[1,"d"]},"e":1,"f":22}"#,
            r#"{"a":"\u00e9\\","b":{"c":["ü",3]},"e":111,"f":"2"}"#,
        ] {
            assert_eq!(followed(old, new.as_bytes()), Outline::of(new.as_bytes()), "{new}");
        }
        for new in [r#"{"a":"x","b":{"c":[1]},"e":1,"f":2}"#, r#"{"a":[],"b":{"c":[1,"d"]},"e":1,"f":2}"#] {
            assert_eq!(followed(old, new.as_bytes()), None, "{new}");
        }
    }

    /// Documents of several kinds in one body, through one set of models.
    fn through(texts: &[String]) -> (usize, usize) {
        let body = texts.concat().into_bytes();
        let mut models = Models::new(&body, texts.len());
        let mut at = 0;
        for text in texts {
            let doc = Doc::new(Text::Shared(at..at + text.len()), Meta::default(), 0);
            at += text.len();
            let known = models.outlined(&doc, text.as_bytes(), Vec::new());
            assert_eq!(known, valid::outlined(text.as_bytes(), Vec::new()));
        }
        (models.kept.len(), models.patience)
    }

    #[test]
    fn kinds_take_turns_until_there_are_too_many() {
        let kind = |kinds: usize| (0..100).map(move |n| format!(r#"{{"k{}":{n},"s":"{}"}}"#, n % kinds, "x".repeat(n)));
        assert_eq!(through(&kind(1).collect::<Vec<_>>()), (1, PATIENCE));
        assert_eq!(through(&kind(4).collect::<Vec<_>>()), (4, PATIENCE));
        assert_eq!(through(&kind(50).collect::<Vec<_>>()).1, 0);
        assert_eq!(through(&kind(1).take(4).collect::<Vec<_>>()), (0, 0), "too few");
        let broken = kind(1).map(|text| text.replace("9,", "x,"));
        assert_eq!(through(&broken.collect::<Vec<_>>()).0, 1);
    }
}
