//! How long a match may be and whether it can be made in one way only, as Java works it out.
//!
//! Java's numbers are of 32 bits and overflow; what it takes for a look-behind hangs on that.

use crate::regex::tree::{Assert, Greed, Node, Repeat};

pub(crate) struct Info {
    pub(crate) min: i32,
    pub(crate) max: i32,
    pub(crate) valid: bool,
    pub(crate) deterministic: bool,
}

const MOST: i32 = i32::MAX;

pub(crate) fn study(node: &Node) -> Info {
    let mut info = fresh();
    add(&mut vec![node], &mut info);
    info
}

fn fresh() -> Info {
    Info { min: 0, max: 0, valid: true, deterministic: true }
}

/// Properties of the last node, and of all before it, which follow it in the expression.
fn add(rest: &mut Vec<&Node>, info: &mut Info) {
    // What comes before alternatives, which Java adds in the end.
    let mut before = fresh();
    while let Some(node) = rest.pop() {
        match node {
            Node::Set(_) => {
                info.min = info.min.wrapping_add(1);
                info.max = info.max.wrapping_add(1);
            }
            Node::Concat(nodes) => rest.extend(nodes.iter().rev()),
            Node::Either(nodes) => branch(&nodes.iter().collect::<Vec<_>>(), info, &mut before),
            Node::Group(_, inner) => rest.push(inner),
            Node::Atomic(inner) => add(&mut vec![inner], info),
            Node::Repeat(repeat) if is_branch(repeat) => branch(&[&repeat.node, &Node::Empty], info, &mut before),
            Node::Repeat(repeat) => add_repeat(repeat, info),
            Node::Back(..) => info.valid = false,
            Node::Newline => {
                info.min = info.min.wrapping_add(1);
                info.max = info.max.wrapping_add(2);
            }
            Node::Cluster => {
                info.min = info.min.wrapping_add(1);
                info.deterministic = false;
            }
            Node::Assert(Assert::ClusterEdge) => info.deterministic = false,
            _ => {}
        }
    }
    info.min = info.min.wrapping_add(before.min);
    info.max = info.max.wrapping_add(before.max);
    info.valid &= before.valid;
    info.deterministic &= before.deterministic;
}

/// A group that may be there is one of two alternatives.
fn is_branch(repeat: &Repeat) -> bool {
    (repeat.min, repeat.max, repeat.takes_empty) == (0, 1, true)
}

/// Alternatives: they and what is before them are set aside, and what follows is worked out on its own.
fn branch(nodes: &[&Node], info: &mut Info, before: &mut Info) {
    let parts: Vec<Info> = nodes.iter().map(|node| study(node)).collect();
    let (min, max) = (parts.iter().map(|part| part.min).min(), parts.iter().map(|part| part.max).max());
    before.min = before.min.wrapping_add(info.min).wrapping_add(min.unwrap_or(0));
    before.max = before.max.wrapping_add(info.max).wrapping_add(max.unwrap_or(0));
    before.valid &= info.valid && parts.iter().all(|part| part.valid);
    before.deterministic = false;
    *info = fresh();
}

fn add_repeat(repeat: &Repeat, info: &mut Info) {
    let (cmin, cmax) = (repeat.min as i32, repeat.max.min(MOST as u32) as i32);
    if (repeat.min, repeat.max) == (0, 1) {
        let min = info.min;
        add(&mut vec![&repeat.node], info);
        info.min = min;
        info.deterministic = false;
    } else if repeat.greed == Greed::Greedy && matches!(repeat.node, Node::Set(_)) && repeat.max == u32::MAX {
        info.min = info.min.wrapping_add(cmin);
        if info.valid {
            info.max = info.max.wrapping_add(MOST);
        }
        info.deterministic = false;
    } else if repeat.takes_empty && repeat.greed != Greed::Possessive {
        info.valid = false;
        info.deterministic = false;
    } else {
        let part = study(&repeat.node);
        let min = part.min.wrapping_mul(cmin).wrapping_add(info.min);
        info.min = if min < info.min { 0x0FFF_FFFF } else { min };
        if info.valid && part.valid {
            let max = part.max.wrapping_mul(cmax).wrapping_add(info.max);
            info.valid = max >= info.max;
            info.max = max;
        } else {
            info.valid = false;
        }
        info.deterministic &= part.deterministic && cmin == cmax;
    }
}
