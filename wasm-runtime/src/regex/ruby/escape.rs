//! Escapes: the characters behind a backslash.

use regex_syntax::hir::ClassUnicode;

use super::{Parser, Result, Target, properties};
use crate::regex::fold;
use crate::regex::set::{Set, ascii_digit, ascii_hex, ascii_space, ascii_word, not, properties as all_of};
use crate::regex::tree::{Assert, Fold, Node, Words};

const TOO_SHORT: &str = "end pattern at escape";

impl Parser {
    /// An escape outside of classes.
    pub(crate) fn escaped(&mut self) -> Result<Node> {
        let c = self.peek().ok_or("end pattern at escape")?;
        let words = if self.options.ascii { Words::RubyAscii } else { Words::Ruby };
        let node = match c {
            'A' => Node::Assert(Assert::Start),
            'z' => Node::Assert(Assert::End),
            'Z' => Node::Assert(Assert::LastUnixLine),
            'b' => Node::Assert(Assert::Word(words)),
            'B' => Node::Assert(Assert::NotWord(words)),
            'G' => Node::Assert(Assert::Continued),
            'K' => Node::Keep,
            'R' => Node::Atomic(Box::new(Node::Newline)),
            'X' => Node::Cluster,
            'k' if matches!(self.text.get(self.at + 1), Some('<' | '\'')) => {
                let target = self.bracketed(false)?;
                return Ok(Node::Back(vec![target], self.fold_of_references()));
            }
            'g' if matches!(self.text.get(self.at + 1), Some('<' | '\'')) => {
                return self.bracketed(true).map(Node::Call);
            }
            '1'..='9' => return self.numbered(),
            _ => {
                if let Some(class) = self.predefined()? {
                    return Ok(Node::set(Set::of(class)));
                }
                let c = self.character()?;
                return Ok(self.single(c));
            }
        };
        self.at += 1;
        Ok(node)
    }

    fn fold_of_references(&self) -> Fold {
        if self.options.fold { Fold::Simple } else { Fold::None }
    }

    fn bracketed(&mut self, call: bool) -> Result<usize> {
        let end = if self.text[self.at + 1] == '<' { '>' } else { '\'' };
        self.at += 2;
        let target = match self.reference(end)? {
            // A call may be before its group.
            Target::Name(name, _) if call => Target::Name(name, usize::MAX),
            target => target,
        };
        Ok(self.target(target))
    }

    /// A reference by a number, or a character by its octal number.
    fn numbered(&mut self) -> Result<Node> {
        let digits: String = self.text[self.at..].iter().take_while(|c| c.is_ascii_digit()).collect();
        let number: usize = digits.parse().unwrap_or(usize::MAX);
        if number <= self.groups.len() || number <= 9 {
            self.at += digits.len();
            let target = self.target(Target::Number(number));
            return Ok(Node::Back(vec![target], self.fold_of_references()));
        }
        let c = self.character()?;
        Ok(self.single(c))
    }

    /// `\w \d \s \h \p` and their opposites.
    pub(crate) fn predefined(&mut self) -> Result<Option<ClassUnicode>> {
        let Some(c) = self.peek() else { return Ok(None) };
        let unicode = self.options.unicode;
        let class = match c.to_ascii_lowercase() {
            'w' if unicode => properties::word(),
            'w' => ascii_word(),
            'd' if unicode => all_of(&["Nd"]),
            'd' => ascii_digit(),
            's' if unicode => all_of(&["White_Space"]),
            's' => ascii_space(),
            'h' => ascii_hex(),
            'p' if self.text.get(self.at + 1) == Some(&'{') => return self.property(c == 'P').map(Some),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(if c.is_ascii_uppercase() { not(class) } else { class }))
    }

    fn property(&mut self, mut negated: bool) -> Result<ClassUnicode> {
        self.at += 2;
        if self.eat('^') {
            negated = !negated;
        }
        let from = self.at;
        while let Some(c) = self.next() {
            match c {
                '}' => {
                    let name: String = self.text[from..self.at - 1].iter().collect();
                    let class = properties::property_of(&name)
                        .ok_or_else(|| format!("invalid character property name <{name}>"))?;
                    let class = if self.options.fold { fold::simple(class) } else { class };
                    return Ok(if negated { not(class) } else { class });
                }
                '(' | ')' | '{' | '|' => break,
                _ => {}
            }
        }
        let name: String = self.text[from..].iter().collect();
        Err(format!("invalid character property name <{name}>"))
    }

    /// A character that is written by an escape.
    pub(crate) fn character(&mut self) -> Result<char> {
        let c = self.next().ok_or(TOO_SHORT)?;
        Ok(match c {
            't' => '\t',
            'v' => '\x0B',
            'n' => '\n',
            'r' => '\r',
            'f' => '\x0C',
            'a' => '\x07',
            'e' => '\x1B',
            'x' if self.peek() == Some('{') => return self.long_hexadecimal(),
            'x' => {
                let (digits, value) = self.digits(16, 2);
                if digits == 0 { 'x' } else { bare(value)? }
            }
            'u' => match self.digits(16, 4) {
                (4, value) => char::from_u32(value).ok_or("invalid code point value")?,
                _ => return Err("too short digits".to_owned()),
            },
            '0'..='7' => {
                self.at -= 1;
                let (_, value) = self.digits(8, 3);
                bare(value)?
            }
            'c' => return self.control(),
            'C' if self.eat('-') => return self.control(),
            'C' => return Err("invalid control-code syntax".to_owned()),
            'M' => return Err("too short multibyte string".to_owned()),
            c => c,
        })
    }

    fn control(&mut self) -> Result<char> {
        match self.next().ok_or("end pattern at control")? {
            '?' => Ok('\x7F'),
            '\\' => self.character().map(|c| char::from((c as u32 & 0x9F) as u8)),
            c => Ok(char::from((c as u32 & 0x9F) as u8)),
        }
    }

    fn digits(&mut self, base: u32, most: usize) -> (usize, u32) {
        let (mut count, mut value) = (0, 0u32);
        while count < most
            && let Some(digit) = self.peek().and_then(|c| c.to_digit(base))
        {
            value = value.saturating_mul(base).saturating_add(digit);
            count += 1;
            self.at += 1;
        }
        (count, value)
    }

    fn long_hexadecimal(&mut self) -> Result<char> {
        let from = self.at;
        self.at += 1;
        let (digits, value) = self.digits(16, 9);
        if digits > 8 {
            return Err("too long wide-char value".to_owned());
        }
        if digits == 0 || !self.eat('}') {
            self.at = from;
            return Ok('x');
        }
        char::from_u32(value).ok_or_else(|| "invalid code point value".to_owned())
    }
}

/// A character of one byte, as only those of ASCII are.
fn bare(value: u32) -> Result<char> {
    char::from_u32(value).filter(char::is_ascii).ok_or_else(|| "too short multibyte string".to_owned())
}
