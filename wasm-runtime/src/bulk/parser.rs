//! The lines of a `_bulk` body: its actions, and where each of them goes.
//!
//! Follows OpenSearch's `BulkRequestParser` (its texts, measured on 3.8.0). What most actions do not have (an id of their own, a
//! fate other than to be sent on as they came) is kept beside them, and only where one has it: a body that no stage changes
//! is framed and forgotten again at the price of looking for its line ends.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr;

use crate::bulk::action::{Named, Op, Target, parse_action};
use crate::bulk::line_cache::ActionLineCache;
use crate::bulk::outcome::ActionOutcome;
use crate::pipeline::condition::simple::like_object;

#[derive(Debug)]
pub(crate) struct Action {
    /// The action line without its line end.
    pub(crate) line: Range<usize>,
    /// The source line without its line end; empty for `delete`.
    pub(crate) source: Range<usize>,
    /// Position of its target.
    pub(crate) key: usize,
    pub(crate) op: Op,
    /// Whether it is written only in one version (`version`, `if_seq_no`), which several documents cannot share.
    pub(crate) versioned: bool,
}

impl Action {
    /// Whether it writes just its source line, and that line is one whose bytes show what is in it.
    #[inline]
    pub(crate) fn shows_itself(&self, text: &[u8]) -> bool {
        matches!(self.op, Op::Index | Op::Create) && like_object(&text[self.source.clone()])
    }

    /// See [`Doc::action_line`](crate::document::Doc::action_line).
    #[inline]
    pub(crate) fn action_line(&self) -> Range<u32> {
        let Range { start, end } = self.line;
        // Between them is one line end, and no carriage return.
        let whole = matches!(self.op, Op::Index | Op::Create) && end + 1 == self.source.start;
        match (u32::try_from(start), u32::try_from(end + 1)) {
            (Ok(from), Ok(to)) if whole => from..to,
            _ => 0..0,
        }
    }
}

/// How an action names its document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) id: Option<String>,
    pub(crate) routing: Option<String>,
}

impl Names {
    /// The same but for what is given.
    fn with(&self, id: Option<&str>, routing: Option<&str>) -> Self {
        let own = |text: Option<&str>, same: &Option<String>| text.map(str::to_owned).or_else(|| same.clone());
        Self { id: own(id, &self.id), routing: own(routing, &self.routing) }
    }
}

static NAMELESS: Names = Names { id: None, routing: None };
static UNTOUCHED: ActionOutcome = ActionOutcome::Untouched;

/// The actions of a body.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    pub(crate) list: Vec<Action>,
    /// Names of each action up to the last one that has any.
    names: Vec<Names>,
    /// Outcome of each action up to the last one that is not untouched.
    outcomes: Vec<ActionOutcome>,
}

impl Actions {
    pub(crate) fn names(&self, n: usize) -> &Names {
        self.names.get(n).unwrap_or(&NAMELESS)
    }

    pub(crate) fn outcome(&self, n: usize) -> &ActionOutcome {
        self.outcomes.get(n).unwrap_or(&UNTOUCHED)
    }

    /// Sets the outcome of an action that exists.
    #[inline(always)]
    pub(crate) fn set_outcome(&mut self, n: usize, outcome: ActionOutcome) {
        if n < self.outcomes.len() {
            self.outcomes[n] = outcome;
            return;
        }
        // Mostly of one action after the other.
        self.outcomes.reserve(self.list.len() - self.outcomes.len());
        self.outcomes.resize_with(n, || ActionOutcome::Untouched);
        self.outcomes.push(outcome);
    }

    /// Whether nothing has happened to any of them.
    pub(crate) fn untouched(&self) -> bool {
        self.outcomes.iter().all(|outcome| matches!(outcome, ActionOutcome::Untouched))
    }

    /// The actions, each with its fate.
    pub(crate) fn with_outcomes(&self) -> impl Iterator<Item = (usize, &Action, &ActionOutcome)> {
        self.list.iter().enumerate().map(|(n, action)| (n, action, self.outcome(n)))
    }

    /// Whether each is forwarded, as one.
    pub(crate) fn each_forwarded(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.forwarded() == 1)
    }

    fn push(&mut self, action: Action, names: Names) {
        if names != NAMELESS {
            self.names.resize_with(self.list.len(), Names::default);
            self.names.push(names);
        }
        self.list.push(action);
    }
}

/// Maximum number of actions that memory is reserved for before they are parsed: the first line may be a lie.
const MOST_EXPECTED: usize = 1 << 14;

/// The actions and targets of a body.
#[derive(Debug)]
pub(crate) struct ParsedBulk {
    pub(crate) actions: Actions,
    pub(crate) targets: Vec<Target>,
    /// Whether each source is of an action that [`Action::shows_itself`].
    pub(crate) plain_documents: bool,
}

impl ParsedBulk {
    /// One action that writes `text`, without an action line.
    pub(crate) fn of_document(text: &[u8], index: &str, id: Option<String>, op: Op) -> Self {
        let action = Action { line: 0..0, source: 0..text.len(), key: 0, op, versioned: false };
        let (plain_documents, mut actions) = (action.shows_itself(text), Actions::default());
        actions.push(action, Names { id, routing: None });
        Self {
            actions,
            targets: vec![Target { index: Some(Arc::from(index)), pipeline: None, writes: true }],
            plain_documents,
        }
    }
}

/// Frames a body; `index` is the URL's.
///
/// # Errors
/// OpenSearch's text for what makes OpenSearch refuse the whole request.
pub(crate) fn parse(text: &[u8], index: Option<&str>) -> Result<ParsedBulk, String> {
    if !text.is_empty() && text.last() != Some(&b'\n') {
        return Err("The bulk request must be terminated by a newline [\\n]".to_owned());
    }
    let index: Option<Arc<str>> = index.map(Arc::from);
    let (mut targets, mut lines) = (Targets::default(), ActionLineCache::default());
    let (mut actions, mut plain_documents) = (Actions::default(), true);
    let (mut at, mut number) = (0, 0);
    while at < text.len() {
        let repeated = lines.repeated(&text[at..]);
        let (line, next) = match &repeated {
            Some((length, _)) => (at..at + length, at + length + 1),
            None => line_at(text, at),
        };
        (at, number) = (next, number + 1);
        if repeated.is_none() && text[line.clone()].trim_ascii().is_empty() {
            continue;
        }
        let line_match = repeated.map(|(_, line_match)| line_match).or_else(|| lines.find(&text[line.clone()]));
        let (mut action, names, read) = match line_match {
            Some(line_match) => {
                let cached = &actions.list[line_match.action];
                let key = line_match.index.map_or(cached.key, |index| targets.elsewhere(cached.key, index));
                let action = Action { line: line.clone(), source: next..next, key, ..*cached };
                (action, actions.names(line_match.action).with(line_match.id, line_match.routing), None)
            }
            None => {
                let Named { op, target, id, routing, texts, versioned } =
                    parse_action(&text[line.clone()], number, index.as_ref())?;
                let action = Action { line: line.clone(), source: next..next, key: 0, op, versioned };
                (action, Names { id, routing }, Some((target, texts)))
            }
        };
        if action.op != Op::Delete {
            if next >= text.len() {
                // OpenSearch ends here without this action; there is no document to lose.
                break;
            }
            number += 1;
            (action.source, at) = line_at(text, next);
            plain_documents &= action.shows_itself(text);
        }
        if let Some((target, texts)) = read {
            action.key = targets.key(target);
            lines.remember(&text[line], texts, actions.list.len());
        }
        if actions.list.is_empty() {
            // As many as there are if all are as long as this one.
            actions.list.reserve((text.len() / at).min(MOST_EXPECTED));
        }
        actions.push(action, names);
    }
    Ok(ParsedBulk { actions, targets: targets.list, plain_documents })
}

/// The distinct targets of a body, each by its position.
#[derive(Default)]
struct Targets<'b> {
    list: Vec<Target>,
    keys: HashMap<Target, usize>,
    /// The target that is another one but for its index: by that one and the index.
    elsewhere: HashMap<(usize, &'b str), usize>,
}

impl<'b> Targets<'b> {
    /// The position of a target.
    fn key(&mut self, target: Target) -> usize {
        let Self { list, keys, .. } = self;
        *keys.entry(target).or_insert_with_key(|target| {
            list.push(target.clone());
            list.len() - 1
        })
    }

    /// The position of the target that has this index, and all else as the one at `key`.
    fn elsewhere(&mut self, key: usize, index: &'b str) -> usize {
        if let Some(found) = self.elsewhere.get(&(key, index)) {
            return *found;
        }
        let found = self.key(Target { index: Some(Arc::from(index)), ..self.list[key].clone() });
        self.elsewhere.insert((key, index), found);
        found
    }
}

/// The line that begins at `at`, and where the next one does.
fn line_at(text: &[u8], at: usize) -> (Range<usize>, usize) {
    let end = memchr(b'\n', &text[at..]).map_or(text.len(), |n| at + n);
    let text_end = if end > at && text[end - 1] == b'\r' { end - 1 } else { end };
    (at..text_end, (end + 1).min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIONS: [&str; 12] = [
        r#"{"index":{"_index":"i"}}"#,
        r#"{"index":{"_index":"j"}}"#,
        r#"{"index":{}}"#,
        r#"{"index":{"_id":"a"}}"#,
        r#"{"index":{"_id":"b","routing":"r"}}"#,
        r#"{"create":{"_index":"i","pipeline":"p"}}"#,
        r#"{"index":{"_index":"i","version":3}}"#,
        r#"{"update":{"_index":"i","_id":"c"}}"#,
        r#"{"delete":{"_index":"i","_id":"d"}}"#,
        r#" {"index":{"_index":"i"}} "#,
        "",
        " ",
    ];
    const SOURCES: [&str; 8] = [r#"{"a":1}"#, r#"{"a":"\u0041"}"#, r#"{"a":"\\"}"#, r"\", r"\\u", " {}", "", "x"];
    const ENDS: [&str; 3] = ["\n", "\r\n", "\r\r\n"];

    /// Every line by itself: what an action says, where its lines are.
    fn plainly(text: &[u8]) -> Result<Vec<(Action, Names, Target)>, String> {
        let (mut found, mut at, mut number, mut waits) = (Vec::<(Action, Names, Target)>::new(), 0, 0, false);
        for whole in text.split_inclusive(|c| *c == b'\n') {
            number += 1;
            let less = whole.strip_suffix(b"\n").unwrap_or(whole);
            let line = at..at + less.strip_suffix(b"\r").unwrap_or(less).len();
            at += whole.len();
            if std::mem::take(&mut waits) {
                found.last_mut().unwrap().0.source = line;
            } else if !text[line.clone()].trim_ascii().is_empty() {
                let Named { op, target, id, routing, versioned, .. } = parse_action(&text[line.clone()], number, None)?;
                waits = op != Op::Delete;
                found.push((Action { line, source: at..at, key: 0, op, versioned }, Names { id, routing }, target));
            }
        }
        if waits {
            found.pop();
        }
        Ok(found)
    }

    /// Bodies of lines in any order, as a generator of numbers has them.
    fn bodies() -> impl Iterator<Item = String> {
        let mut state = 7_u64;
        let mut pick = move |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        (0..4000).map(move |_| {
            let (mut body, few, ends) = (String::new(), 1 + pick(ACTIONS.len()), 1 + pick(ENDS.len()));
            for _ in 0..pick(9) {
                let action = ACTIONS[pick(few)];
                body += action;
                body += ENDS[pick(ends)];
                if !action.trim().is_empty() && !action.contains("delete") && pick(20) > 0 {
                    body += SOURCES[pick(SOURCES.len())];
                    body += ENDS[pick(ends)];
                }
            }
            body
        })
    }

    #[test]
    fn a_body_says_what_its_lines_say_one_by_one() {
        let (mut actions, mut refused) = (0, 0);
        for body in bodies() {
            let text = body.as_bytes();
            let (read, plain) = match (parse(text, None), plainly(text)) {
                (Ok(read), Ok(plain)) => (read, plain),
                (read, plain) => {
                    refused += 1;
                    assert_eq!(read.err(), plain.err(), "{body}");
                    continue;
                }
            };
            assert_eq!(read.actions.list.len(), plain.len(), "{body}");
            for (n, (action, names, target)) in plain.iter().enumerate() {
                actions += 1;
                let found = &read.actions.list[n];
                assert_eq!((&found.line, &found.source), (&action.line, &action.source), "{body}");
                assert_eq!((found.op, found.versioned), (action.op, action.versioned), "{body}");
                assert_eq!((read.actions.names(n), &read.targets[found.key]), (names, target), "{body}");
            }
            let sources =
                || plain.iter().filter(|(a, ..)| a.op != Op::Delete).map(|(a, ..)| (a.op, &text[a.source.clone()]));
            assert_eq!(
                read.plain_documents,
                sources().all(|(op, text)| op != Op::Update && like_object(text)),
                "{body}"
            );
        }
        assert!(actions > 5000 && refused > 100, "{actions} {refused}");
    }

    #[test]
    fn fates_are_there_once_one_is_told() {
        let mut actions = parse(b"{\"delete\":{}}\n{\"delete\":{}}\n", None).unwrap().actions;
        assert!(
            actions.untouched() && actions.each_forwarded() && matches!(actions.outcome(1), ActionOutcome::Untouched)
        );
        actions.set_outcome(1, ActionOutcome::Dropped);
        assert!(!actions.untouched() && !actions.each_forwarded());
        assert!(matches!((actions.outcome(0), actions.outcome(1)), (ActionOutcome::Untouched, ActionOutcome::Dropped)));
        actions.set_outcome(1, ActionOutcome::Changed { text: 0..0, framed: false });
        assert!(!actions.untouched() && actions.each_forwarded());
    }
}
