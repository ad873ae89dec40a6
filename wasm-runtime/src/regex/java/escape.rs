//! Escapes: the characters behind a backslash.

use regex_syntax::hir::ClassUnicode;

use super::{Parser, Result, properties};
use crate::regex::set::{
    ascii_digit, ascii_space, ascii_word, chars, none, not, numbers, or, properties as all_of, range,
};
use crate::regex::tree::{Assert, Fold, Node, Words};

pub(crate) enum Escape {
    Char(char),
    /// Half of a surrogate pair, which is no character of a text.
    Half(u32),
    Class(ClassUnicode),
    Node(Node),
}

const UNKNOWN: &str = "Illegal/unsupported escape sequence";

impl Parser<'_> {
    /// An escape outside of classes.
    pub(crate) fn escaped(&mut self) -> Result<Node> {
        let c = self.get(self.at + 1);
        if c == 'p' || c == 'P' {
            self.at += 1;
            return self.family(c == 'P').map(|class| Node::set(crate::regex::set::Set::of(class)));
        }
        Ok(match self.escape(false, false)? {
            Escape::Char(c) => self.single(c),
            Escape::Half(_) => Node::set(crate::regex::set::Set::of(none())),
            Escape::Class(class) => Node::set(crate::regex::set::Set::of(class)),
            Escape::Node(node) => node,
        })
    }

    /// `in_range`: whether it is an end of a range.
    pub(crate) fn escape(&mut self, in_class: bool, in_range: bool) -> Result<Escape> {
        let c = self.skip();
        if let Some(class) = self.predefined(c, in_range) {
            return Ok(Escape::Class(class));
        }
        Ok(Escape::Char(match c {
            '0' => self.octal()?,
            'a' => '\x07',
            'c' => self.control()?,
            'e' => '\x1B',
            'f' => '\x0C',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0B',
            'u' => return self.unicode().map(character),
            'x' => return self.hexadecimal().map(character),
            'N' => self.by_name()?,
            c if !in_class => {
                return self.zero_width(c).map(Escape::Node).or_else(|| plain(c)).ok_or_else(|| self.bad(c));
            }
            c => return plain(c).ok_or_else(|| self.wrong(UNKNOWN)),
        }))
    }

    /// Why an escape is none.
    fn bad(&self, c: char) -> String {
        self.wrong(if c == 'k' { "\\k is not followed by the name of a group in angle brackets" } else { UNKNOWN })
    }

    fn predefined(&self, c: char, in_range: bool) -> Option<ClassUnicode> {
        let unicode = self.flags.unicode;
        let class = match c.to_ascii_lowercase() {
            'd' if unicode => all_of(&["Nd"]),
            'd' => ascii_digit(),
            's' if unicode => all_of(&["White_Space"]),
            's' => ascii_space(),
            'w' if unicode => properties::word(),
            'w' => ascii_word(),
            'h' => or(chars("\t \u{A0}\u{1680}\u{180E}\u{202F}\u{205F}\u{3000}"), &range('\u{2000}', '\u{200A}')),
            // In a range it is the one character that it was once.
            'v' if c == 'v' && in_range => return None,
            'v' => numbers(&[(0x0A, 0x0D), (0x85, 0x85), (0x2028, 0x2029)]),
            _ => return None,
        };
        Some(if c.is_ascii_uppercase() { not(class) } else { class })
    }

    fn zero_width(&mut self, c: char) -> Option<Node> {
        let words = if self.flags.unicode { Words::Unicode } else { Words::Ascii };
        Some(match c {
            '1'..='9' => self.reference(c as usize - '0' as usize),
            'A' => Node::Assert(Assert::Start),
            'B' => Node::Assert(Assert::NotWord(words)),
            'G' => Node::Assert(Assert::Continued),
            'R' => Node::Newline,
            'X' => Node::Cluster,
            'Z' => Node::Assert(self.dollar(false)),
            'b' => {
                if self.peek() != '{' {
                    return Some(Node::Assert(Assert::Word(words)));
                }
                if self.get(self.at + 1) != 'g' {
                    return Some(Node::Assert(Assert::Word(words)));
                }
                self.at += 2;
                if self.read() != '}' {
                    return None;
                }
                Node::Assert(Assert::ClusterEdge)
            }
            'k' => {
                if self.read() != '<' {
                    return None;
                }
                let first = self.read();
                let name = self.group_name(first).ok()?;
                let group = *self.names.get(&name)?;
                Node::Back(vec![group], self.fold())
            }
            'z' => Node::Assert(Assert::End),
            _ => return None,
        })
    }

    fn fold(&self) -> Fold {
        match (self.flags.fold, self.flags.unicode_case) {
            (false, _) => Fold::None,
            (true, false) => Fold::Ascii,
            (true, true) => Fold::Java,
        }
    }

    /// A reference of as many digits as there are groups for.
    fn reference(&mut self, mut group: usize) -> Node {
        while let Some(digit) = self.peek().to_digit(10) {
            let longer = group * 10 + digit as usize;
            if self.groups - 1 < longer {
                break;
            }
            group = longer;
            self.read();
        }
        Node::Back(vec![group], self.fold())
    }

    fn control(&mut self) -> Result<char> {
        if self.at >= self.len {
            return Err(self.wrong("Illegal control escape sequence"));
        }
        let c = self.read() as u32 ^ 64;
        self.character(c)
    }

    fn by_name(&mut self) -> Result<char> {
        if self.read() != '{' {
            return Err(self.wrong("Illegal character name escape sequence"));
        }
        let from = self.at;
        while self.read() != '}' {
            if self.at >= self.len {
                return Err(self.wrong("Unclosed character name escape sequence"));
            }
        }
        let name: String = self.text[from..self.at - 1].iter().collect();
        unicode_names2::character(name.trim()).ok_or_else(|| self.wrong(&format!("Unknown character name [{name}]")))
    }

    fn octal(&mut self) -> Result<char> {
        let mut value = 0;
        for index in 0..3 {
            let at = self.at;
            match self.read().to_digit(8) {
                Some(digit) if index < 2 || value < 0o40 => value = value * 8 + digit,
                _ if index == 0 => return Err(self.wrong("Illegal octal escape sequence")),
                _ => {
                    self.at = at;
                    break;
                }
            }
        }
        self.character(value)
    }

    fn hexadecimal(&mut self) -> Result<u32> {
        let wrong = "Illegal hexadecimal escape sequence";
        let first = self.read();
        if let Some(high) = first.to_digit(16) {
            let low = self.read().to_digit(16).ok_or_else(|| self.wrong(wrong))?;
            return Ok(high * 16 + low);
        }
        if first != '{' || !self.peek().is_ascii_hexdigit() {
            return Err(self.wrong(wrong));
        }
        let mut value = 0;
        loop {
            match self.read() {
                c if c.is_ascii_hexdigit() => value = value * 16 + c.to_digit(16).unwrap_or(0),
                '}' => return Ok(value),
                _ => return Err(self.wrong("Unclosed hexadecimal escape sequence")),
            }
            if value > 0x10_FFFF {
                return Err(self.wrong("Hexadecimal codepoint is too big"));
            }
        }
    }

    fn four_digits(&mut self) -> Result<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.read().to_digit(16).ok_or_else(|| self.wrong("Illegal Unicode escape sequence"))?;
            value = value * 16 + digit;
        }
        Ok(value)
    }

    /// `\uhhhh`, two of them for a character beyond the first 65,536.
    fn unicode(&mut self) -> Result<u32> {
        let high = self.four_digits()?;
        if (0xD800..0xDC00).contains(&high) {
            let at = self.at;
            if self.read() == '\\' && self.read() == 'u' {
                let low = self.four_digits()?;
                if (0xDC00..0xE000).contains(&low) {
                    return Ok(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00));
                }
            }
            self.at = at;
        }
        Ok(high)
    }

    fn character(&self, number: u32) -> Result<char> {
        char::from_u32(number).ok_or_else(|| self.wrong(UNKNOWN))
    }
}

fn character(number: u32) -> Escape {
    char::from_u32(number).map_or(Escape::Half(number), Escape::Char)
}

/// A character that may be escaped without need.
fn plain(c: char) -> Option<Escape> {
    (!c.is_ascii_alphanumeric()).then_some(Escape::Char(c))
}
