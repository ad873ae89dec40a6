//! Upper bounds of a condition's cost, found when it is compiled.

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use regex_automata::nfa::thompson::{Config, NFA};

use super::walk;

/// Bytes of all texts and lists that a condition may make of a document by adding.
pub(crate) const MOST_ADDED: usize = 64 << 20;
/// Additions in a condition that loops, each of which may double a value, and in one that does not.
const MOST_DOUBLED: usize = 8;
const MOST_TERMS: usize = 256;
/// Steps that the loops over lists written in a condition may take.
const MOST_STEPS: usize = 20_000;
/// Bytes of the longest document that a regular expression matches without a thread of its own.
const MATCHED: usize = 16 << 10;

/// The same for conditions that loop, add, or compare values of documents with each other.
const LOOPED: usize = 128 << 10;

/// Upper bounds of a condition's cost for any document.
pub(crate) struct Costs {
    /// By how much the texts and lists that it adds up may be longer than the document: so many times.
    pub(crate) growth: usize,
    /// The longest document that it is put to on the thread that asks.
    pub(crate) longest: usize,
}

impl Costs {
    /// # Errors
    /// For one that may cost too much.
    pub(crate) fn of(expr: &IdedExpr, loops: usize) -> Result<Self, String> {
        let steps = steps(expr);
        if steps > MOST_STEPS {
            return Err(format!(
                "the loops over lists that are written in it take {steps} steps, the limit is {MOST_STEPS}"
            ));
        }
        let (mut adds, mut longest, mut wrong) = (0, usize::MAX, None);
        walk(expr, &mut |expr| {
            let Expr::Call(call) = expr else { return };
            // What loops are made of adds to their own results.
            let own =
                matches!(call.args.first().map(|arg| &arg.expr), Some(Expr::Ident(name)) if name.starts_with('@'));
            match call.func_name.as_str() {
                "_+_" if !own => adds += 1,
                "_==_" | "_!=_" | "@in" if !call.args.iter().any(|arg| matches!(arg.expr, Expr::Literal(_))) => {
                    longest = longest.min(LOOPED);
                }
                "matches" => match call.args.last().map(|arg| &arg.expr) {
                    Some(Expr::Literal(LiteralValue::String(pattern))) => {
                        longest = longest.min(MATCHED);
                        wrong = wrong.take().or_else(|| check_pattern(pattern.inner()).err());
                    }
                    _ => longest = 0,
                },
                _ => {}
            }
        });
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let most = if loops > 0 { MOST_DOUBLED } else { MOST_TERMS };
        if adds > most {
            return Err(format!("it has {adds} additions, the limit is {most}"));
        }
        let growth = match adds {
            0 => 0,
            _ if loops > 0 => 1 << adds,
            _ => adds + 1,
        };
        // Lists are copied as a whole where they are added up or made anew.
        let longest = if loops > 0 || adds > 0 { longest.min(LOOPED) } else { longest };
        Ok(Self { growth, longest })
    }
}

/// # Errors
/// For a regular expression that is too large to be compiled for every document.
fn check_pattern(pattern: &str) -> Result<(), String> {
    let config = Config::new().nfa_size_limit(Some(MOST_PATTERN));
    let built = NFA::compiler().configure(config).build(pattern);
    built.map(|_| ()).map_err(|error| format!("[{pattern}] cannot be matched: {error}"))
}

/// Bytes of the compiled form of a regular expression in a condition.
const MOST_PATTERN: usize = 512 << 10;

/// How many nodes are evaluated, with loops over what is written in the expression itself; over a document's values each loop
/// counts once, as it looks at the clock.
fn steps(expr: &IdedExpr) -> usize {
    let mut all = 1usize;
    let mut add = |e: &IdedExpr| all = all.saturating_add(steps(e));
    match &expr.expr {
        Expr::Call(call) => call.target.iter().map(|t| &**t).chain(&call.args).for_each(add),
        Expr::Comprehension(c) => {
            let mut written = 1usize;
            walk(&c.iter_range, &mut |expr| match expr {
                Expr::List(list) => written += list.elements.len(),
                Expr::Map(map) => written += map.entries.len(),
                _ => {}
            });
            let turn = steps(&c.loop_cond).saturating_add(steps(&c.loop_step));
            [&c.iter_range, &c.accu_init, &c.result].into_iter().for_each(&mut add);
            all = all.saturating_add(turn.saturating_mul(written));
        }
        Expr::List(list) => list.elements.iter().for_each(add),
        Expr::Map(map) => map.entries.iter().for_each(|entry| {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                add(&entry.key);
                add(&entry.value);
            }
        }),
        Expr::Select(select) => add(&select.operand),
        _ => {}
    }
    all
}
