//! Classes in brackets.

use regex_syntax::hir::ClassUnicode;

use super::{Parser, Result, properties};
use crate::regex::fold;
use crate::regex::set::{and, none, not, or, range};

const UNCLOSED: &str = "premature end of char-class";

/// An item of a class.
enum Item {
    Char(char),
    Class(ClassUnicode),
}

impl Parser {
    /// A class from behind its bracket on.
    pub(crate) fn class(&mut self) -> Result<ClassUnicode> {
        self.deeper()?;
        let negated = self.eat('^');
        let mut left: Option<ClassUnicode> = None;
        let mut all = none();
        let mut first = true;
        loop {
            match self.peek().ok_or(UNCLOSED)? {
                ']' if !first || !self.closes_later() => {
                    if first {
                        return Err("empty char-class".to_owned());
                    }
                    self.at += 1;
                    break;
                }
                '[' if self.starts_with("[:") && self.bracket_ends() => {
                    let class = self.posix()?;
                    all.union(&class);
                    self.no_range()?;
                }
                '[' => {
                    self.at += 1;
                    let class = self.class()?;
                    all.union(&class);
                }
                '&' if self.starts_with("&&") => {
                    self.at += 2;
                    let right = std::mem::replace(&mut all, none());
                    left = Some(left.map_or(right.clone(), |left| and(left, &right)));
                }
                _ => self.members(&mut all)?,
            }
            first = false;
        }
        if let Some(left) = left {
            all = and(left, &all);
        }
        if self.options.fold {
            all = fold::simple(all);
        }
        self.depth -= 1;
        Ok(if negated { not(all) } else { all })
    }

    /// Whether there is a bracket for the end after the one here.
    fn closes_later(&self) -> bool {
        let mut escaped = false;
        for c in &self.text[self.at + 1..] {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                ']' => return true,
                _ => {}
            }
        }
        false
    }

    /// Whether `[:` is followed by `:]` before anything that cannot be in a name.
    fn bracket_ends(&self) -> bool {
        let rest = &self.text[self.at + 2..];
        let end = rest.iter().take(20).position(|c| !c.is_ascii_alphabetic() && *c != '^');
        end.is_some_and(|end| rest[end] == ':' && rest.get(end + 1) == Some(&']'))
    }

    fn posix(&mut self) -> Result<ClassUnicode> {
        self.at += 2;
        let negated = self.eat('^');
        let from = self.at;
        while self.peek() != Some(':') {
            self.at += 1;
        }
        let name: String = self.text[from..self.at].iter().collect();
        self.at += 2;
        let class = properties::posix(&name).ok_or("invalid POSIX bracket type")?;
        let class = if self.options.ascii { and(class, &range('\0', '\x7F')) } else { class };
        Ok(if negated { not(class) } else { class })
    }

    /// A class cannot begin a range, nor can what follows a range.
    fn no_range(&self) -> Result<()> {
        let dash = self.peek() == Some('-') && !matches!(self.text.get(self.at + 1), Some(']') | None);
        let and = self.starts_with("-&&") || self.starts_with("-[");
        if dash && !and { Err("unmatched range specifier in char-class".to_owned()) } else { Ok(()) }
    }

    fn item(&mut self) -> Result<Item> {
        let c = self.next().ok_or(UNCLOSED)?;
        if c != '\\' {
            return Ok(Item::Char(c));
        }
        if self.peek() == Some('b') {
            self.at += 1;
            return Ok(Item::Char('\x08'));
        }
        if self.peek() == Some('R') || self.peek() == Some('X') {
            return self.character().map(Item::Char);
        }
        match self.predefined()? {
            Some(class) => Ok(Item::Class(class)),
            None => self.character().map(Item::Char),
        }
    }

    /// A character, a range or a named class.
    fn members(&mut self, all: &mut ClassUnicode) -> Result<()> {
        let from = match self.item()? {
            Item::Class(class) => {
                all.union(&class);
                return self.no_range();
            }
            Item::Char(c) => c,
        };
        let dashed = self.peek() == Some('-')
            && !matches!(self.text.get(self.at + 1), Some(']' | '[') | None)
            && !self.starts_with("-&&");
        if !dashed {
            *all = or(std::mem::replace(all, none()), &range(from, from));
            return Ok(());
        }
        self.at += 1;
        match self.item()? {
            Item::Class(_) => Err("char-class value at end of range".to_owned()),
            Item::Char(to) if to < from => Err("empty range in char class".to_owned()),
            Item::Char(to) => {
                *all = or(std::mem::replace(all, none()), &range(from, to));
                Ok(())
            }
        }
    }
}
