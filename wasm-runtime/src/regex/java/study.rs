//! How long a match may be and whether it can be made in one way only, as Java works it out.
//!
//! Java's numbers are of 32 bits and overflow; what it takes for a look-behind hangs on that.

use crate::regex::tree::{Assert, Greed, Node, Repeat};

pub struct Info {
    pub min: i32,
    pub max: i32,
    pub valid: bool,
    pub deterministic: bool,
}

const MOST: i32 = i32::MAX;

pub fn study(node: &Node) -> Info {
    let mut info = fresh();
    add(node, &mut info);
    info
}

fn fresh() -> Info {
    Info { min: 0, max: 0, valid: true, deterministic: true }
}

fn add(node: &Node, info: &mut Info) {
    match node {
        Node::Set(_) => {
            info.min = info.min.wrapping_add(1);
            info.max = info.max.wrapping_add(1);
        }
        Node::Concat(nodes) => nodes.iter().for_each(|node| add(node, info)),
        Node::Either(nodes) => either(nodes, info),
        Node::Group(_, inner) => add(inner, info),
        Node::Atomic(inner) => add(inner, info),
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

fn either(nodes: &[Node], info: &mut Info) {
    let parts: Vec<Info> = nodes.iter().map(study).collect();
    info.min = info.min.wrapping_add(parts.iter().map(|part| part.min).min().unwrap_or(0));
    info.max = info.max.wrapping_add(parts.iter().map(|part| part.max).max().unwrap_or(0));
    info.valid &= parts.iter().all(|part| part.valid);
    info.deterministic = false;
}

fn add_repeat(repeat: &Repeat, info: &mut Info) {
    let (cmin, cmax) = (repeat.min as i32, repeat.max.min(MOST as u32) as i32);
    if (repeat.min, repeat.max) == (0, 1) {
        let min = info.min;
        add(&repeat.node, info);
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
        let one = study(&repeat.node);
        let min = one.min.wrapping_mul(cmin).wrapping_add(info.min);
        info.min = if min < info.min { 0x0FFF_FFFF } else { min };
        if info.valid && one.valid {
            let max = one.max.wrapping_mul(cmax).wrapping_add(info.max);
            info.valid = max >= info.max;
            info.max = max;
        } else {
            info.valid = false;
        }
        info.deterministic &= one.deterministic && cmin == cmax;
    }
}
