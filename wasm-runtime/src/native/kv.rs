//! `kv`: key-value pairs out of a string.

use std::borrow::Cow;
use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::rewrite::FieldRewrite;
use super::support::template::Template;
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::limits::{Copied, check_output_size};
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::regex::{self, Regex};

/// Reads pairs of keys and values out of a text.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kv {
    /// The field that is read; a template.
    #[schemars(length(min = 1))]
    field: String,
    /// The regular expression between pairs.
    field_split: String,
    /// The regular expression between a key and its value.
    value_split: String,
    /// The object that gets the pairs; default: the document; a template.
    target_field: Option<String>,
    /// The keys that are kept; default: all.
    include_keys: Option<Vec<String>>,
    /// The keys that are left out.
    #[serde(default)]
    exclude_keys: Vec<String>,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    /// The text before every key.
    #[serde(default)]
    prefix: String,
    /// Characters that are removed from both ends of keys.
    #[serde(default)]
    trim_key: String,
    /// Characters that are removed from both ends of values.
    #[serde(default)]
    trim_value: String,
    /// Whether brackets and quotes around values are removed.
    #[serde(default)]
    strip_brackets: bool,
    #[serde(skip)]
    splits: Option<(Regex, Regex)>,
    /// The templates of the field and of the target.
    #[serde(skip)]
    templates: Option<(Template, Option<Template>)>,
    #[serde(skip)]
    trims: [Option<Trim>; 2],
}

impl Parameters for Kv {
    fn prepare(&mut self) -> Result<(), String> {
        // An empty one is none.
        self.target_field = self.target_field.take().filter(|name| !name.is_empty());
        field::check_pair(&mut self.field, &mut self.target_field)?;
        let target = self.target_field.as_deref().map(Template::parse).transpose()?;
        self.templates = Some((Template::parse(&self.field)?, target));
        let fields = regex::java(&self.field_split).map_err(|e| format!("[field_split] {e}"))?;
        let values = regex::java(&self.value_split).map_err(|e| format!("[value_split] {e}"))?;
        self.splits = Some((fields, values));
        self.trims = [Trim::of("trim_key", &self.trim_key)?, Trim::of("trim_value", &self.trim_value)?];
        Ok(())
    }
}

impl Kv {
    fn wanted(&self, key: &str) -> bool {
        let excluded = self.exclude_keys.iter().any(|k| k == key);
        !excluded && self.include_keys.as_ref().is_none_or(|keys| keys.iter().any(|k| k == key))
    }

    fn cleaned(&self, value: &str) -> Result<String, Fault> {
        let value = if self.strip_brackets { unbracketed(value) } else { Cow::Borrowed(value) };
        trimmed(self.trims[1].as_ref(), &value)
    }
}

/// Characters that are trimmed from the ends of keys or values: the inside of a character class.
struct Trim {
    /// At the beginning, or at the end and before the line terminator there.
    regex: Regex,
    /// The characters, if none of them means anything in a class.
    plain: Option<String>,
}

impl Trim {
    fn of(option: &str, chars: &str) -> Result<Option<Self>, String> {
        if chars.is_empty() {
            return Ok(None);
        }
        let regex = regex::java(&format!("(^([{chars}]+))|([{chars}]+$)")).map_err(|e| format!("[{option}] {e}"))?;
        let plain = !chars.contains(['\\', '^', '-', '[', ']', '&']);
        Ok(Some(Self { regex, plain: plain.then(|| chars.to_owned()) }))
    }
}

/// Line terminators of Java: an expression's `$` matches before them, too.
const ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

fn trimmed(trim: Option<&Trim>, text: &str) -> Result<String, Fault> {
    let Some(trim) = trim else { return Ok(text.to_owned()) };
    if let Some(chars) = trim.plain.as_ref().filter(|_| !text.ends_with(ENDS)) {
        return Ok(text.trim_matches(|c| chars.contains(c)).to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let mut last = 0;
    let mut search = trim.regex.search(text);
    while let Some(found) = search.find()? {
        out.push_str(&text[last..found.start]);
        last = found.end;
    }
    out.push_str(&text[last..]);
    Ok(out)
}

/// Without a bracket or quote at each end; the last may have a line terminator behind it.
fn unbracketed(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix(['(', '[', '<', '"', '\'']).unwrap_or(text);
    let end = match text.strip_suffix("\r\n").or_else(|| text.strip_suffix(ENDS)) {
        Some(before) => before.len(),
        None => text.len(),
    };
    match text[..end].strip_suffix([')', ']', '>', '"', '\'']) {
        Some(inner) => Cow::Owned([inner, &text[end..]].concat()),
        None => Cow::Borrowed(text),
    }
}

impl Function for Kv {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let Some((fields, values)) = &self.splits else { return Ok(Effect::Unchanged) };
        let Some((name, target)) = &self.templates else { return Ok(Effect::Unchanged) };
        let name = field::named(name, doc, meta);
        let target = target.as_ref().map(|target| field::named(target, doc, meta)).filter(|name| !name.is_empty());
        if json::find(doc, &name).is_none() {
            field::in_bounds(doc, &name)?;
            if !self.ignore_missing {
                return Err(Fault::illegal(match name.is_empty() {
                    true => "field path cannot be null nor empty".to_owned(),
                    false => format!("field [{name}] doesn't exist"),
                }));
            }
        }
        let rewrite = FieldRewrite::new(&name, None, self.ignore_missing);
        let Some(source) = rewrite.text(doc, "cannot extract key-value pairs. ")? else {
            return Ok(Effect::Unchanged);
        };
        let mut pairs = Pairs::default();
        for pair in regex::split(fields, &source, 0, false)? {
            let parts = regex::split(values, pair, 2, true)?;
            let [key, value] = parts.as_slice() else {
                return Err(Fault::illegal(format!(
                    "field [{name}] does not contain value_split [{}]",
                    self.value_split
                )));
            };
            let key = trimmed(self.trims[0].as_ref(), key)?;
            if !self.wanted(&key) {
                continue;
            }
            pairs.add(field::unprefixed(format!("{}{key}", self.prefix)), json::quote(&self.cleaned(value)?));
            check_output_size(text.len(), pairs.bytes)?;
        }
        pairs.written(doc, target.as_deref()).map(Effect::Replaced)
    }

    fn names(&self) -> Vec<&Template> {
        self.templates.iter().flat_map(|(name, target)| std::iter::once(name).chain(target)).collect()
    }

    fn free(&self) -> bool {
        // A target that is made of values may be none.
        self.target_field.as_deref().is_none_or(|target| target.contains("{{"))
    }

    fn longest(&self) -> usize {
        self.splits.as_ref().map_or(usize::MAX, |(fields, values)| fields.longest.min(values.longest))
    }
}

/// Maximum number of names that are searched and written one by one: a table costs more below it.
const FEW: usize = 8;

/// The pairs of a text, those of one name together.
#[derive(Default)]
struct Pairs {
    all: Vec<(String, Vec<Vec<u8>>)>,
    /// Where a name is, once there are many.
    places: HashMap<String, usize>,
    /// Bytes of names and values.
    bytes: usize,
}

impl Pairs {
    fn add(&mut self, name: String, value: Vec<u8>) {
        self.bytes += name.len() + value.len();
        let position = match self.all.len() {
            0..=FEW => self.all.iter().position(|(listed, _)| *listed == name),
            _ => self.places.get(&name).copied(),
        };
        if let Some(position) = position {
            self.all[position].1.push(value);
            return;
        }
        if self.all.len() == FEW {
            self.places = self.all.iter().enumerate().map(|(n, (name, _))| (name.clone(), n)).collect();
        }
        if self.all.len() >= FEW {
            self.places.insert(name.clone(), self.all.len());
        }
        self.all.push((name, vec![value]));
    }

    /// The document with the pairs in it; of one name there is a list, with what was there before.
    fn written(&self, doc: DocView<'_>, target: Option<&str>) -> Result<Vec<u8>, Fault> {
        let text = doc.text();
        if self.all.len() <= FEW {
            return self.written_singly(text, target);
        }
        let plain = self.all.iter().all(|(name, _)| json::is_plain(name) && !name.is_empty());
        let start = match target {
            None => Some(json::skip_ws(text, 0)),
            Some(target) => json::find(doc, target).map(|range| range.start),
        };
        match start {
            Some(start) if plain && text.get(start) == Some(&b'{') => {
                Ok(json::set_members(text, start, &self.members(&text[start..])))
            }
            None if plain => {
                let object = json::set_members(b"{}", 0, &self.members(b"{}"));
                field::set(doc, target.unwrap_or_default(), &object)
            }
            _ => self.written_singly(text, target),
        }
    }

    fn members(&self, object: &[u8]) -> Vec<(Cow<'_, str>, Vec<u8>)> {
        let mut before: HashMap<Cow<'_, str>, &[u8]> = HashMap::new();
        for entry in json::Entries::new(object, 0).into_iter().flatten() {
            if let Some(name) = json::unescape(&object[entry.key]).filter(|name| self.places.contains_key(&**name)) {
                before.insert(name, &object[entry.value]);
            }
        }
        let listed = |name: &str, values: &[Vec<u8>]| listed(before.get(name).copied(), values);
        self.all.iter().map(|(name, values)| (Cow::Borrowed(name.as_str()), listed(name, values))).collect()
    }

    fn written_singly(&self, text: &[u8], target: Option<&str>) -> Result<Vec<u8>, Fault> {
        let mut out = text.to_vec();
        let mut copied = Copied::default();
        for (name, values) in &self.all {
            let path = match target {
                Some(target) if name.is_empty() => target.to_owned(),
                Some(target) => format!("{target}.{name}"),
                None => name.clone(),
            };
            copied.more(2 * out.len())?;
            let old = json::find(&out, &path);
            let value = listed(old.map(|range| &out[range]), values);
            out = field::set(&out, &path, &value)?;
        }
        Ok(out)
    }
}

/// The present values and the new ones as a list; one new value where none is present stands for itself.
fn listed(old: Option<&[u8]>, values: &[Vec<u8>]) -> Vec<u8> {
    let mut list: Vec<&[u8]> = match old {
        None if values.len() == 1 => return values[0].clone(),
        None => Vec::new(),
        Some(raw) if raw[0] == b'[' => json::elements(raw, 0).into_iter().map(|r| &raw[r]).collect(),
        Some(raw) => vec![raw],
    };
    list.extend(values.iter().map(Vec::as_slice));
    field::array(&list)
}
