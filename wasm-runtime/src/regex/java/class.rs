//! Classes in brackets: unions, intersections, ranges.

use regex_syntax::hir::ClassUnicode;

use super::escape::Escape;
use super::{Parser, Result};
use crate::regex::fold;
use crate::regex::set::{Set, and, none, not, numbers, or};
use crate::regex::tree::DEEPEST;

/// A class while it is read.
#[derive(Default)]
struct Reading {
    /// All so far but for the single characters.
    all: Option<ClassUnicode>,
    /// The character that was read last.
    last: Option<ClassUnicode>,
    /// Single characters.
    singles: Option<ClassUnicode>,
}

impl Reading {
    fn add(&mut self, class: ClassUnicode) {
        self.all = Some(self.all.take().map_or_else(|| class.clone(), |all| or(all, &class)));
        self.last = Some(class);
    }

    fn add_single(&mut self, class: &ClassUnicode) {
        self.singles = Some(or(self.singles.take().unwrap_or_else(none), class));
    }

    fn flush(&mut self) {
        if let Some(singles) = self.singles.take() {
            if self.all.is_none() {
                self.last = Some(singles.clone());
            }
            self.all = Some(self.all.take().map_or_else(|| singles.clone(), |all| or(all, &singles)));
        }
    }
}

/// An item of a class.
enum Item {
    Class(ClassUnicode),
    /// By its number, as it may be half of a surrogate pair.
    Single(u32),
}

impl Parser<'_> {
    /// A class from its bracket on; `closes` if it takes the bracket at its end, too.
    pub(crate) fn class(&mut self, closes: bool) -> Result<Set> {
        self.class_of(closes).map(Set::of)
    }

    fn class_of(&mut self, closes: bool) -> Result<ClassUnicode> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong(&format!("Classes are nested more than {DEEPEST} deep")));
        }
        let mut c = self.next();
        let negated = c == '^' && self.get(self.at.wrapping_sub(1)) == '[';
        if negated {
            c = self.next();
        }
        let mut reading = Reading::default();
        loop {
            match c {
                '[' => {
                    let inner = self.class_of(true)?;
                    reading.add(inner);
                    c = self.peek();
                    continue;
                }
                '&' => {
                    if self.next() == '&' {
                        self.intersection(&mut reading)?;
                        c = self.peek();
                        continue;
                    }
                    self.at -= 1;
                }
                '\0' if self.at >= self.len => return Err(self.wrong("Unclosed character class")),
                ']' if reading.all.is_some() || reading.singles.is_some() => {
                    if closes {
                        self.next();
                    }
                    reading.flush();
                    self.depth -= 1;
                    let all = reading.all.unwrap_or_else(none);
                    return Ok(if negated { not(all) } else { all });
                }
                _ => {}
            }
            match self.item()? {
                Item::Single(c) => {
                    let class = char::from_u32(c).map_or_else(none, |c| self.single_class(c));
                    reading.add_single(&class);
                }
                Item::Class(class) => reading.add(class),
            }
            c = self.peek();
        }
    }

    fn intersection(&mut self, reading: &mut Reading) -> Result<()> {
        let mut c = self.next();
        let mut right: Option<ClassUnicode> = None;
        while c != ']' && c != '&' {
            let closes = c == '[';
            if !closes {
                self.at -= 1;
            }
            let more = self.class_of(closes)?;
            right = Some(right.map_or_else(|| more.clone(), |right| or(right, &more)));
            c = self.peek();
        }
        reading.flush();
        if right.is_some() {
            reading.last.clone_from(&right);
        }
        reading.all = Some(match (reading.all.take(), right, &reading.last) {
            (None, Some(right), _) => right,
            (None, None, _) => return Err(self.wrong("Bad class syntax")),
            (Some(_), _, None) => return Err(self.wrong("Bad intersection syntax")),
            (Some(all), _, Some(last)) => and(all, last),
        });
        Ok(())
    }

    /// A character, a range, or a named class.
    fn item(&mut self) -> Result<Item> {
        let from = if self.peek() == '\\' {
            self.at += 1;
            let c = self.get(self.at);
            if c == 'p' || c == 'P' {
                return self.family(c == 'P').map(Item::Class);
            }
            let in_range = self.get(self.at + 1) == '-';
            self.at -= 1;
            match self.escape(true, in_range)? {
                Escape::Char(c) => c as u32,
                Escape::Half(half) => half,
                Escape::Class(class) => return Ok(Item::Class(class)),
                Escape::Node(_) => return Err(self.wrong("Illegal/unsupported escape sequence")),
            }
        } else {
            let c = self.peek();
            self.next();
            c as u32
        };
        if self.peek() != '-' || matches!(self.get(self.at + 1), '[' | ']') {
            return Ok(Item::Single(from));
        }
        let to = match self.next() {
            '\\' => match self.escape(true, true)? {
                Escape::Char(c) => c as u32,
                Escape::Half(half) => half,
                _ => return Err(self.wrong("Illegal character range")),
            },
            c => {
                self.next();
                c as u32
            }
        };
        if to < from {
            return Err(self.wrong("Illegal character range"));
        }
        let chars = char::from_u32(from).zip(char::from_u32(to)).filter(|_| self.flags.fold);
        Ok(Item::Class(match chars {
            Some((from, to)) if self.flags.unicode_case => fold::java_range(from, to),
            Some((from, to)) => fold::ascii_range(from, to),
            None => numbers(&[(from, to)]),
        }))
    }

    /// `\p` or `\P` with what follows it.
    pub(crate) fn family(&mut self, negated: bool) -> Result<ClassUnicode> {
        let name: String = if self.next() == '{' {
            self.at += 1;
            let from = self.at;
            // Under `(?x)` white space is passed over where it is looked at, and is in the name all the same.
            loop {
                let at = self.past_blanks(self.at);
                self.at = at + 1;
                if at >= self.len {
                    return Err(self.wrong("Unclosed character family"));
                }
                if self.get(at) == '}' {
                    break;
                }
            }
            self.text[from..self.at - 1].iter().collect()
        } else {
            let c = self.get(self.at);
            self.at += 1;
            c.to_string()
        };
        if name.is_empty() {
            return Err(self.wrong("Empty character family"));
        }
        let class =
            super::properties::family(&name, self.flags.fold, self.flags.unicode).map_err(|why| self.wrong(&why))?;
        Ok(if negated { not(class) } else { class })
    }
}
