//! Documents that are like one before them but for some texts, numbers and words: most documents of a batch are.
//!
//! Only the values of such a document that differ from the template's are read, all else is compared; what was valid
//! stays so.

use std::ops::Range;

use crate::json::index::{MemberSpan, ObjectIndex};
use crate::json::lex::{skip_value, skip_ws};
use crate::json::scan::{self, common_prefix};
use crate::json::validate::{self, Invalid};

/// Maximum number of templates: documents of a few kinds take turns, and each is compared in turn.
const MOST_TEMPLATES: usize = 4;
/// Misses beyond the hits after which documents are no longer compared: a comparison in vain costs a tenth of the
/// check.
const MISS_BUDGET: usize = 8;
/// Bytes of the longest template, whose values can be counted in 16 bits.
const LONGEST: usize = 64 << 10;

/// The checked documents of a batch that others are compared with.
pub(crate) struct TemplateSet<'b> {
    body: &'b [u8],
    /// The one that was of use last is first.
    templates: Vec<Template<'b>>,
    miss_budget: usize,
}

/// A valid text, where its members are, and where all its texts, numbers and words are, keys excepted.
struct Template<'b> {
    text: &'b [u8],
    index: ObjectIndex,
    values: Vec<Range<u32>>,
    /// Those of the values that were another in a document that was compared.
    varying: Vec<Range<u32>>,
    /// How much further on a document has what is behind so many of these.
    shifts: Vec<u32>,
    /// How many of them are before the value of each member, and before its end.
    passed: Vec<(u16, u16)>,
}

impl<'b> TemplateSet<'b> {
    /// For so many documents out of `body`; a few are not worth the trouble.
    pub(crate) fn new(body: &'b [u8], documents: usize) -> Self {
        let miss_budget = if documents > MOST_TEMPLATES * MOST_TEMPLATES { MISS_BUDGET } else { 0 };
        Self { body, templates: Vec::new(), miss_budget }
    }

    /// [`validate::validate_and_index`] of a document's text, which is `text`; `shared`: where that is in the body, if it is there.
    ///
    /// # Errors
    /// As [`validate::check`].
    pub(crate) fn validate_and_index(
        &mut self,
        shared: Option<&Range<usize>>,
        text: &[u8],
        mut members: Vec<MemberSpan>,
    ) -> Result<Option<ObjectIndex>, Invalid> {
        if self.miss_budget == 0 {
            return validate::validate_and_index(text, members);
        }
        let found = self
            .templates
            .iter_mut()
            .enumerate()
            .find_map(|(n, template)| Some((n, template.matched(text, &mut members)?)));
        if let Some((n, shift)) = found {
            self.templates.swap(0, n);
            self.miss_budget = (self.miss_budget + 1).min(MISS_BUDGET);
            return Ok(Some(self.templates[0].index.like(shift, members)));
        }
        self.miss_budget -= 1;
        let index = validate::validate_and_index(text, members)?;
        if let (Some(index), Some(range)) = (&index, shared)
            && range.len() <= LONGEST
            && let Some(template) = Template::of(&self.body[range.clone()], index.clone())
        {
            self.templates.truncate(MOST_TEMPLATES - 1);
            self.templates.insert(0, template);
        }
        Ok(index)
    }
}

impl<'b> Template<'b> {
    /// The template that `text` is, which has this index.
    fn of(text: &'b [u8], mut index: ObjectIndex) -> Option<Self> {
        index.shape();
        let values = values(text)?;
        let passed = vec![(0, 0); index.members().len()];
        Some(Self { text, values, index, varying: Vec::new(), shifts: vec![0], passed })
    }

    /// How much further on the closing brace of `new` is, with its members in `members`: if it is this text with other texts,
    /// numbers or words in places of such.
    fn matched(&mut self, new: &[u8], members: &mut Vec<MemberSpan>) -> Option<u32> {
        u32::try_from(new.len()).ok()?;
        if self.compare(new).is_none() {
            self.generalise(new)?;
            self.compare(new)?;
        }
        members.clear();
        members.extend(self.index.members().iter().zip(&self.passed).map(|(member, (before, within))| {
            let shift = self.shifts[usize::from(*before)];
            MemberSpan {
                value_end: member.value_end.wrapping_add(self.shifts[usize::from(*within)]),
                ..member.moved(shift)
            }
        }));
        self.shifts.last().copied()
    }

    /// Compares what is between the varying values and reads those, with their `shifts`; `None` where something is not as it
    /// is here.
    #[inline(never)]
    fn compare(&mut self, new: &[u8]) -> Option<()> {
        let old = self.text;
        let (mut in_old, mut in_new) = (0, 0);
        for (value, shift) in self.varying.iter().zip(&mut self.shifts[1..]) {
            let len = value.start as usize - in_old;
            if !scan::same(old, in_old, new, in_new, len) {
                return None;
            }
            in_new = validate::scalar(new, in_new + len)?;
            in_old = value.end as usize;
            *shift = (in_new as u32).wrapping_sub(value.end);
        }
        (old[in_old..] == *new.get(in_new..)?).then_some(())
    }

    /// Takes note of all values that are others in `new`; `None` where more than values is.
    #[cold]
    fn generalise(&mut self, new: &[u8]) -> Option<()> {
        let old = self.text;
        let (mut others, mut values) = (Vec::new(), self.values.iter());
        let (mut in_old, mut in_new) = (0, 0);
        loop {
            let differ = in_old + common_prefix(&old[in_old..], new.get(in_new..)?);
            let Some(value) = values.find(|value| differ <= value.end as usize) else {
                if differ < old.len() || new.len() - in_new != old.len() - in_old {
                    return None;
                }
                break;
            };
            if differ < value.start as usize {
                return None;
            }
            in_new = validate::scalar(new, in_new + value.start as usize - in_old)?;
            in_old = value.end as usize;
            others.push(value.clone());
        }
        self.varying.append(&mut others);
        self.varying.sort_unstable_by_key(|value| value.start);
        self.varying.dedup();
        self.shifts.resize(1 + self.varying.len(), 0);
        let mut passed = 0;
        for (member, (before, within)) in self.index.members().iter().zip(&mut self.passed) {
            let mut until = |end| {
                passed += self.varying[passed..].iter().take_while(|value| value.start < end).count();
                passed as u16
            };
            (*before, *within) = (until(member.value), until(member.value_end));
        }
        Some(())
    }
}

/// The texts, numbers and words in a valid text, keys excepted.
fn values(text: &[u8]) -> Option<Vec<Range<u32>>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(first) = text.get(at) {
        let start = at;
        at = match first {
            b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at + 1,
            _ => {
                let end = skip_value(text, at)?;
                if *first != b'"' || text.get(skip_ws(text, end)) != Some(&b':') {
                    found.push(start as u32..end as u32);
                }
                end
            }
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &[u8]) -> Template<'_> {
        Template::of(text, ObjectIndex::of(text).unwrap()).unwrap()
    }

    fn matched(template: &mut Template<'_>, new: &[u8]) -> Option<ObjectIndex> {
        let mut members = vec![MemberSpan { key: 9, key_end: 9, value: 9, value_end: 9 }];
        let shift = template.matched(new, &mut members)?;
        Some(template.index.like(shift, members))
    }

    #[test]
    fn the_values_are_all_but_keys() {
        let text = br#" {"a" : "x\"y", "b":{"c":[1,"d",true ,{}]}, "e":-1.5e3,"f":null} "#;
        let found = values(text).unwrap();
        let found: Vec<&[u8]> = found.iter().map(|value| &text[value.start as usize..value.end as usize]).collect();
        let values: [&[u8]; 6] = [br#""x\"y""#, b"1", b"\"d\"", b"true", b"-1.5e3", b"null"];
        assert_eq!(found, values);
    }

    /// Bytes that were equal in all documents are compared in one piece until a document differs there.
    #[test]
    fn a_model_learns_what_varies() {
        let mut template = template(br#"{"a":"x","b":{"c":[1,"d"]},"e":1,"f":2}"#);
        let mut varying = |new: &str| {
            assert_eq!(matched(&mut template, new.as_bytes()), ObjectIndex::of(new.as_bytes()), "{new}");
            template.varying.iter().map(|value| value.start).collect::<Vec<_>>()
        };
        assert_eq!(varying(r#"{"a":"x","b":{"c":[1,"d"]},"e":1,"f":2}"#), Vec::<u32>::new());
        assert_eq!(varying(r#"{"a":"x","b":{"c":[1,"dd"]},"e":1,"f":2}"#), [21]);
        assert_eq!(varying(r#"{"a":"x","b":{"c":[1,"d"]},"e":1,"f":22}"#), [21, 37]);
        assert_eq!(varying(r#"{"a":null,"b":{"c":[11,"d"]},"e":1,"f":2}"#), [5, 19, 21, 37]);
        assert_eq!(varying(r#"{"a":"x","b":{"c":[1,"d"]},"e":1,"f":2}"#), [5, 19, 21, 37]);
    }

    /// Many values vary at once, in lists and in members.
    #[test]
    fn a_model_learns_all_that_varies_at_once() {
        let text = |of: usize| {
            let vector: Vec<String> = (0..2000).map(|n| (n * of).to_string()).collect();
            let members: Vec<String> = (0..500).map(|n| format!("\"k{n}\":{}", n % of)).collect();
            format!("{{\"v\":[{}],{},\"last\":\"{of}\"}}", vector.join(","), members.join(",")).into_bytes()
        };
        let (old, new) = (text(3), text(7));
        let mut template = template(&old);
        assert_eq!(matched(&mut template, &new), ObjectIndex::of(&new));
        let index = template.varying.len();
        assert!(index > 2000);
        assert_eq!(matched(&mut template, &old), ObjectIndex::of(&old));
        assert_eq!(matched(&mut template, &new), ObjectIndex::of(&new));
        assert_eq!(template.varying.len(), index);
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
            let (mut alike, mut differing) = (0, 0);
            // One that has learned what varies from all texts before, and one that has seen none.
            let mut learned = template(old);
            let mut compare_all = |new: &[u8]| {
                let found = matched(&mut template(old), new);
                assert_eq!(found, matched(&mut learned, new), "{}", String::from_utf8_lossy(new));
                match found {
                    Some(index) => {
                        alike += 1;
                        assert_eq!(
                            validate::validate_and_index(new, Vec::new()),
                            Ok(Some(index)),
                            "{}",
                            String::from_utf8_lossy(new)
                        );
                    }
                    None => differing += 1,
                }
            };
            compare_all(old);
            for from in 0..=old.len() {
                compare_all(&old[..from]);
                for to in from..=old.len() {
                    for piece in pieces.iter().map(|piece| piece.as_bytes()).chain([&b"\xff"[..], b"\xc3"]) {
                        compare_all(&[&old[..from], piece, &old[to..]].concat());
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
                        compare_all(&parts.concat());
                    }
                }
            }
            assert!(alike > 0 && differing > 100, "{alike} {differing}");
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
            assert_eq!(matched(&mut template(old), new.as_bytes()), ObjectIndex::of(new.as_bytes()), "{new}");
        }
        for new in [r#"{"a":"x","b":{"c":[1]},"e":1,"f":2}"#, r#"{"a":[],"b":{"c":[1,"d"]},"e":1,"f":2}"#] {
            assert_eq!(matched(&mut template(old), new.as_bytes()), None, "{new}");
        }
    }

    /// Documents of several kinds in one body, through one set of templates.
    fn through(texts: &[String]) -> (usize, usize) {
        let body = texts.concat().into_bytes();
        let mut set = TemplateSet::new(&body, texts.len());
        let mut at = 0;
        for text in texts {
            let range = at..at + text.len();
            at += text.len();
            let index = set.validate_and_index(Some(&range), text.as_bytes(), Vec::new());
            assert_eq!(index, validate::validate_and_index(text.as_bytes(), Vec::new()));
        }
        (set.templates.len(), set.miss_budget)
    }

    #[test]
    fn kinds_take_turns_until_there_are_too_many() {
        let kind = |kinds: usize| (0..100).map(move |n| format!(r#"{{"k{}":{n},"s":"{}"}}"#, n % kinds, "x".repeat(n)));
        assert_eq!(through(&kind(1).collect::<Vec<_>>()), (1, MISS_BUDGET));
        assert_eq!(through(&kind(4).collect::<Vec<_>>()), (4, MISS_BUDGET));
        assert_eq!(through(&kind(50).collect::<Vec<_>>()).1, 0);
        assert_eq!(through(&kind(1).take(4).collect::<Vec<_>>()), (0, 0), "too few");
        let broken = kind(1).map(|text| text.replace("9,", "x,"));
        assert_eq!(through(&broken.collect::<Vec<_>>()).0, 1);
    }
}
