//! Conditions of the plainest kind without the interpreter: a field that is, or is not, a text; whether one is there.
//!
//! Most conditions are `doc.level == 'DEBUG'`, joined by `&&`, `||` and `!`. What is not surely the same as in CEL (a value
//! of another type, an escape, a field that is not there deeper down) is left to CEL.

use crate::json::{self, DocView};
use crate::pipeline::condition::needle::{Haystack, Needle};
use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

/// A condition, or a part of one.
#[derive(Debug)]
pub(crate) enum SimpleCondition {
    /// `absent`: what is to be said where the field is not there; `None`: CEL's to say.
    Equal {
        path: String,
        text: String,
        absent: Option<bool>,
        negated: bool,
        needle: Option<Needle>,
    },
    Has {
        name: String,
        needle: Option<Needle>,
    },
    All(Vec<SimpleCondition>),
    Any(Vec<SimpleCondition>),
    Not(Box<SimpleCondition>),
}

impl SimpleCondition {
    /// The expression, if it is of this kind; `names` are those of the document, `tested` those that `has()` asks for.
    pub(crate) fn of(expr: &IdedExpr, names: &[String], tested: &[String]) -> Option<Self> {
        match &expr.expr {
            Expr::Select(select) if select.test && is_document(&select.operand, names) => {
                Some(Self::Has { name: select.field.clone(), needle: Needle::of(&select.field) })
            }
            Expr::Call(call) if call.target.is_none() => {
                let parts = || call.args.iter().map(|part| Self::of(part, names, tested)).collect::<Option<Vec<_>>>();
                match (call.func_name.as_str(), call.args.as_slice()) {
                    (operators::LOGICAL_AND, _) => parts().map(Self::All),
                    (operators::LOGICAL_OR, _) => parts().map(Self::Any),
                    (operators::LOGICAL_NOT, [part]) => {
                        Self::of(part, names, tested).map(|part| Self::Not(Box::new(part)))
                    }
                    (name @ (operators::EQUALS | operators::NOT_EQUALS), [left, right]) => {
                        let (field, text) = match (&left.expr, &right.expr) {
                            (_, Expr::Literal(LiteralValue::String(text))) => (left, text),
                            (Expr::Literal(LiteralValue::String(text)), _) => (right, text),
                            _ => return None,
                        };
                        let path = path(field, names)?;
                        let negated = name == operators::NOT_EQUALS;
                        // One that `has()` asks for, or whose parent is absent, is CEL's to judge.
                        let absent = (!path.contains('.') && !tested.contains(&path)).then_some(negated);
                        let text = text.inner().to_owned();
                        Some(Self::Equal { path, needle: Needle::of(&text), text, absent, negated })
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether `text` (an object, nothing around it) meets it; `None` where CEL has to say.
    pub(crate) fn holds(&self, doc: DocView<'_>) -> Option<bool> {
        let text = doc.text();
        match self {
            Self::Has { name, .. } => (text.first() == Some(&b'{')).then(|| json::get(doc, 0, name).is_some()),
            Self::Equal { path, text: wanted, absent, negated, .. } => {
                if text.first() != Some(&b'{') {
                    return None;
                }
                match json::find(doc, path).map(|range| &text[range]) {
                    None => *absent,
                    Some([b'"', inner @ .., b'"']) if !inner.contains(&b'\\') => {
                        Some((inner == wanted.as_bytes()) != *negated)
                    }
                    Some(_) => None,
                }
            }
            Self::All(parts) => parts.iter().try_fold(true, |all, part| Some(all && part.holds(doc)?)),
            Self::Any(parts) => parts.iter().try_fold(false, |any, part| Some(any || part.holds(doc)?)),
            Self::Not(part) => part.holds(doc).map(|met| !met),
        }
    }
}

impl SimpleCondition {
    /// Whether the bytes of each document in the text, which nobody has checked, show that it does not meet the condition, however a
    /// cluster reads it: a word that would have to be there is not.
    ///
    /// Only for documents that are [`like_object`].
    pub(crate) fn lacks_needle<'t>(&'t self, text: &Haystack<'t>) -> bool {
        match self {
            Self::Has { needle, .. } | Self::Equal { absent: Some(false), negated: false, needle, .. } => {
                needle.as_ref().is_some_and(|needle| needle.is_absent(text))
            }
            Self::All(parts) => parts.iter().any(|part| part.lacks_needle(text)),
            Self::Any(parts) => parts.iter().all(|part| part.lacks_needle(text)),
            Self::Equal { .. } | Self::Not(_) => false,
        }
    }
}

/// Whether a text begins like an object in UTF-8: a cluster takes other encodings, too.
pub(crate) fn like_object(text: &[u8]) -> bool {
    matches!(text, [b'{', second, ..] if *second != 0)
}

fn is_document(expr: &IdedExpr, names: &[String]) -> bool {
    matches!(&expr.expr, Expr::Ident(name) if names.contains(name))
}

/// `doc.a.b` as `a.b`.
fn path(expr: &IdedExpr, names: &[String]) -> Option<String> {
    let Expr::Select(select) = &expr.expr else { return None };
    if select.test || !json::is_plain(&select.field) {
        return None;
    }
    if is_document(&select.operand, names) {
        return Some(select.field.clone());
    }
    path(&select.operand, names).map(|parent| format!("{parent}.{}", select.field))
}
