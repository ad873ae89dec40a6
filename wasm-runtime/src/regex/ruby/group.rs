//! Groups: constructs that begin with a parenthesis.

use super::{Parser, Result, Target};
use crate::regex::tree::{Lookaround, Node};

/// The result of reading a parenthesis.
pub(crate) enum Opened {
    Node(Node),
    /// Options that hold for all that follows in the group, alternatives too: that is in it already.
    Rest(Node),
}

impl Parser {
    pub(crate) fn group(&mut self) -> Result<Opened> {
        if !self.eat('?') {
            return self.captured(None).map(Opened::Node);
        }
        let Some(c) = self.next() else { return Err("end pattern in group".to_owned()) };
        let node = match c {
            ':' => self.inner()?,
            '=' => lookaround(self.inner()?, false, None),
            '!' => lookaround(self.inner()?, true, None),
            '>' => Node::Atomic(Box::new(self.inner()?)),
            '~' => Node::Absent(Box::new(self.inner()?)),
            '<' if self.eat('=') => self.lookbehind(false)?,
            '<' if self.eat('!') => self.lookbehind(true)?,
            '<' => {
                let name = self.name('>')?;
                self.captured(Some(name))?
            }
            '\'' => {
                let name = self.name('\'')?;
                self.captured(Some(name))?
            }
            '(' => self.condition()?,
            _ => {
                self.at -= 1;
                return self.with_options();
            }
        };
        Ok(Opened::Node(node))
    }

    /// The content up to the parenthesis that closes it.
    fn inner(&mut self) -> Result<Node> {
        let before = self.options;
        let node = self.alternatives()?;
        self.options = before;
        if !self.eat(')') {
            return Err("end pattern with unmatched parenthesis".to_owned());
        }
        Ok(node)
    }

    fn lookbehind(&mut self, negative: bool) -> Result<Node> {
        let outer = std::mem::replace(&mut self.behind, true);
        let inner = self.inner()?;
        self.behind = outer;
        Ok(lookaround(inner, negative, Some((0, 0))))
    }

    fn captured(&mut self, name: Option<String>) -> Result<Node> {
        self.groups.push(name);
        let group = self.groups.len();
        Ok(Node::Group(group, Box::new(self.inner()?)))
    }

    fn name(&mut self, end: char) -> Result<String> {
        let from = self.at;
        while let Some(c) = self.next() {
            if c == end {
                break;
            }
            if c == ')' {
                let rest: String = self.text[from..].iter().collect();
                return Err(format!("invalid group name <{rest}>"));
            }
        }
        let name: String = self.text[from..self.at].iter().collect();
        let Some(name) = name.strip_suffix(end) else { return Err(format!("invalid group name <{name}>")) };
        match name.chars().next() {
            None => Err("group name is empty".to_owned()),
            Some(c) if c.is_numeric() || c == '-' => Err(format!("invalid group name <{name}>")),
            Some(_) => Ok(name.to_owned()),
        }
    }

    /// A group's number or name, as references have it.
    pub(crate) fn reference(&mut self, end: char) -> Result<Target> {
        let from = self.at;
        while self.peek().is_some_and(|c| c != end && c != ')') {
            self.at += 1;
        }
        let name: String = self.text[from..self.at].iter().collect();
        if !self.eat(end) || name.is_empty() {
            return Err(if name.is_empty() {
                "group name is empty".to_owned()
            } else {
                format!("invalid group name <{name}>")
            });
        }
        let digits = name.trim_start_matches(['-', '+']);
        if !digits.bytes().all(|c| c.is_ascii_digit()) || digits.is_empty() {
            return if name.starts_with(['-', '+']) || name.starts_with(|c: char| c.is_ascii_digit()) {
                Err(format!("invalid group name <{name}>"))
            } else {
                Ok(Target::Name(name, self.groups.len()))
            };
        }
        let number: usize = digits.parse().map_err(|_| "too big number".to_owned())?;
        let here = self.groups.len();
        let number = match name.as_bytes()[0] {
            b'-' => (here + 1).checked_sub(number).filter(|n| *n > 0).ok_or("invalid backref number/name")?,
            b'+' => here + number,
            _ => number,
        };
        Ok(Target::Number(number))
    }

    /// Keeps a target; references are made with its index.
    pub(crate) fn target(&mut self, target: Target) -> usize {
        self.targets.push(target);
        self.targets.len() - 1
    }

    fn condition(&mut self) -> Result<Node> {
        let target = match self.peek() {
            Some('<') => {
                self.at += 1;
                let target = self.reference('>')?;
                self.closed(target)?
            }
            Some('\'') => {
                self.at += 1;
                let target = self.reference('\'')?;
                self.closed(target)?
            }
            Some('0'..='9' | '-' | '+') => self.reference(')')?,
            _ => return Err("invalid conditional pattern".to_owned()),
        };
        let target = self.target(target);
        let mut nodes = match self.inner()? {
            Node::Either(nodes) => nodes,
            node => vec![node],
        };
        if nodes.len() > 2 {
            return Err("invalid conditional pattern".to_owned());
        }
        let no = if nodes.len() == 2 { nodes.pop() } else { None }.unwrap_or(Node::Empty);
        let yes = nodes.pop().unwrap_or(Node::Empty);
        Ok(Node::If(vec![target], Box::new(yes), Box::new(no)))
    }

    fn closed(&mut self, target: Target) -> Result<Target> {
        if self.eat(')') { Ok(target) } else { Err("invalid conditional pattern".to_owned()) }
    }

    fn with_options(&mut self) -> Result<Opened> {
        let before = self.options;
        let mut on = true;
        loop {
            match self.next().ok_or("end pattern in group")? {
                'i' => self.options.fold = on,
                'x' => self.options.extended = on,
                'm' => self.options.dot_all = on,
                'a' if on => (self.options.ascii, self.options.unicode) = (true, false),
                'u' if on => (self.options.ascii, self.options.unicode) = (false, true),
                'd' if on => (self.options.ascii, self.options.unicode) = (false, false),
                '-' => on = false,
                ':' => {
                    let node = self.inner()?;
                    self.options = before;
                    // Its alternatives are not those of a look-behind around it.
                    return Ok(Opened::Node(Node::Concat(vec![node])));
                }
                ')' => {
                    let node = self.alternatives()?;
                    self.options = before;
                    return Ok(Opened::Rest(Node::Concat(vec![node])));
                }
                _ => return Err("undefined group option".to_owned()),
            }
        }
    }
}

fn lookaround(inner: Node, negative: bool, behind: Option<(usize, usize)>) -> Node {
    Node::Lookaround(Lookaround { inner: Box::new(inner), negative, behind })
}
