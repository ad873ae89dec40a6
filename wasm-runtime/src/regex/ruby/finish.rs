//! The work that is possible only when an expression has been read to its end: numbers of groups, references,
//! look-behinds.

use std::collections::HashSet;

use crate::regex::tree::{Assert, Lookaround, Node, Parsed};

pub(super) type Result<T> = std::result::Result<T, String>;

/// A reference whose group is looked up when all are known.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Number(usize),
    /// One of the groups up to a number, as only those before a reference count.
    Name(String, usize),
}

struct Finish<'t> {
    targets: &'t [Target],
    named: bool,
    /// The names of all groups, from 1 on, and their numbers in the end; 0 for those that nobody asks for.
    groups: Vec<Option<String>>,
    numbers: Vec<usize>,
}

pub(crate) fn finish(mut node: Node, groups: Vec<Option<String>>, targets: &[Target]) -> Result<Parsed> {
    let named = groups.iter().any(Option::is_some);
    let mut finish = Finish { targets, named, groups, numbers: Vec::new() };
    let count = finish.number()?;
    finish.node(&mut node)?;
    endless(&node)?;
    let mut names: Vec<(String, Vec<usize>)> = Vec::new();
    for (name, number) in finish.groups.into_iter().zip(finish.numbers) {
        let Some(name) = name else { continue };
        match names.iter_mut().find(|(listed, _)| *listed == name) {
            Some((_, all)) => all.push(number),
            None => names.push((name, vec![number])),
        }
    }
    Ok(Parsed { node, groups: count, names })
}

impl Finish<'_> {
    /// Numbers the groups that are kept: with names only those that have one, else those that are referred to.
    fn number(&mut self) -> Result<usize> {
        let mut asked = HashSet::new();
        for target in self.targets {
            if let Target::Number(number) = target {
                if self.named && *number > 0 {
                    return Err("numbered backref/call is not allowed. (use name)".to_owned());
                }
                asked.insert(*number);
            }
        }
        let mut count = 1;
        for (n, name) in self.groups.iter().enumerate() {
            let kept = name.is_some() || asked.contains(&(n + 1));
            self.numbers.push(if kept { count } else { 0 });
            count += usize::from(kept);
        }
        Ok(count)
    }

    fn resolved(&self, target: usize) -> Result<Vec<usize>> {
        match &self.targets[target] {
            Target::Number(0) => Ok(vec![0]),
            Target::Number(number) => match self.numbers.get(number - 1) {
                Some(number) => Ok(vec![*number]),
                None => Err("invalid backref number/name".to_owned()),
            },
            Target::Name(name, until) => {
                let all: Vec<usize> = self
                    .groups
                    .iter()
                    .zip(&self.numbers)
                    .take(*until)
                    .filter(|(listed, _)| listed.as_ref() == Some(name))
                    .map(|(_, number)| *number)
                    .collect();
                if all.is_empty() { Err(format!("undefined name <{name}> reference")) } else { Ok(all) }
            }
        }
    }

    fn node(&self, node: &mut Node) -> Result<()> {
        match node {
            Node::Concat(nodes) | Node::Either(nodes) => nodes.iter_mut().try_for_each(|node| self.node(node)),
            Node::Atomic(inner) | Node::Absent(inner) => self.node(inner),
            Node::Repeat(repeat) => self.node(&mut repeat.node),
            Node::Group(group, inner) => {
                self.node(inner)?;
                match self.numbers[*group - 1] {
                    0 => *node = std::mem::replace(inner, Node::Empty),
                    number => *group = number,
                }
                Ok(())
            }
            Node::Lookaround(lookaround) => {
                self.node(&mut lookaround.inner)?;
                behind(lookaround)
            }
            Node::If(groups, yes, no) => {
                *groups = self.resolved(groups[0])?;
                self.node(yes)?;
                self.node(no)
            }
            Node::Back(groups, fold) => {
                let all = self.resolved(groups[0])?;
                if all == [0] {
                    return Err("invalid backref number/name".to_owned());
                }
                let refer = |group: &usize| Node::Back(vec![*group], *fold);
                let last_first: Vec<Node> = all.iter().rev().map(refer).collect();
                *node = if last_first.len() == 1 {
                    Node::either(last_first)
                } else {
                    Node::Atomic(Box::new(Node::Either(last_first)))
                };
                Ok(())
            }
            Node::Call(group) => {
                let all = self.resolved(*group)?;
                match all.as_slice() {
                    [only] => *group = *only,
                    _ => return Err("multiplex definition name call".to_owned()),
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a look-behind whose alternatives have no fixed lengths.
fn behind(lookaround: &mut Lookaround) -> Result<()> {
    if lookaround.behind.is_none() {
        return Ok(());
    }
    let wrong = || "invalid pattern in look-behind".to_owned();
    let not_there = |node: &Node| match node {
        Node::Atomic(_) | Node::Absent(_) | Node::Back(..) => true,
        Node::Group(..) => lookaround.negative,
        Node::Assert(assert) => matches!(assert, Assert::End | Assert::LastUnixLine),
        Node::Lookaround(inner) => inner.behind.is_none(),
        _ => false,
    };
    if lookaround.inner.has(&not_there) {
        return Err(wrong());
    }
    let lengths = match &*lookaround.inner {
        Node::Either(nodes) => nodes.iter().map(length).collect::<Option<Vec<usize>>>(),
        node => length(node).map(|length| vec![length]),
    }
    .ok_or_else(wrong)?;
    lookaround.behind = lengths.iter().copied().min().zip(lengths.iter().copied().max());
    Ok(())
}

/// How many characters it takes, if always as many.
fn length(node: &Node) -> Option<usize> {
    match node {
        Node::Set(_) => Some(1),
        Node::Empty | Node::Assert(_) | Node::Lookaround(_) | Node::Keep => Some(0),
        Node::Concat(nodes) => nodes.iter().map(length).sum(),
        Node::Either(nodes) => {
            let first = length(nodes.first()?)?;
            nodes.iter().all(|node| length(node) == Some(first)).then_some(first)
        }
        Node::Group(_, inner) | Node::Atomic(inner) => length(inner),
        Node::Repeat(repeat) if repeat.min == repeat.max => Some(length(&repeat.node)? * repeat.min as usize),
        _ => None,
    }
}

/// Refuses groups that call themselves before they take a character.
fn endless(node: &Node) -> Result<()> {
    if !node.has(&|node| matches!(node, Node::Call(_))) {
        return Ok(());
    }
    let mut groups = Vec::new();
    collect(node, &mut groups);
    for (number, inner) in groups.iter().copied().chain([(0, node)]) {
        let mut seen = HashSet::new();
        if node.has(&|node| matches!(node, Node::Call(called) if *called == number))
            && reaches(inner, number, &groups, node, &mut seen).is_none()
        {
            return Err("never ending recursion".to_owned());
        }
    }
    Ok(())
}

fn collect<'n>(node: &'n Node, groups: &mut Vec<(usize, &'n Node)>) {
    if let Node::Group(number, inner) = node {
        groups.push((*number, inner));
    }
    node.children().into_iter().for_each(|child| collect(child, groups));
}

/// Whether it surely takes a character; none if it calls the group `number` before it does.
fn reaches<'n>(
    node: &'n Node,
    number: usize,
    groups: &[(usize, &'n Node)],
    whole: &'n Node,
    seen: &mut HashSet<usize>,
) -> Option<bool> {
    match node {
        Node::Call(called) if *called == number => None,
        Node::Call(called) if !seen.insert(*called) => Some(false),
        Node::Call(0) => reaches(whole, number, groups, whole, seen),
        Node::Call(called) => {
            let (_, inner) = groups.iter().find(|(listed, _)| listed == called)?;
            reaches(inner, number, groups, whole, seen)
        }
        Node::Concat(nodes) => {
            for node in nodes {
                if reaches(node, number, groups, whole, seen)? {
                    return Some(true);
                }
            }
            Some(false)
        }
        Node::Either(nodes) => {
            let mut all = true;
            for node in nodes {
                all &= reaches(node, number, groups, whole, seen)?;
            }
            Some(all)
        }
        Node::Repeat(repeat) => Some(reaches(&repeat.node, number, groups, whole, seen)? && repeat.min > 0),
        Node::Lookaround(lookaround) => reaches(&lookaround.inner, number, groups, whole, seen).map(|_| false),
        Node::If(_, yes, no) => {
            let yes = reaches(yes, number, groups, whole, seen)?;
            Some(yes & reaches(no, number, groups, whole, seen)?)
        }
        Node::Group(_, inner) | Node::Atomic(inner) => reaches(inner, number, groups, whole, seen),
        Node::Set(_) | Node::Cluster | Node::Newline => Some(true),
        _ => Some(false),
    }
}
