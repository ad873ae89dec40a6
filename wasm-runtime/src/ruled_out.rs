//! A bulk that no condition concerns: its bytes are searched once, for the words that the conditions need.

use pyo3::Py;

use crate::action::Op;
use crate::bulk::{Action, Bulk};
use crate::condition::Condition;
use crate::fate::Fate;
use crate::quick::like_object;

/// How many documents go to the targets that are `wanted`, if none of them meets any of the conditions, whatever the cluster
/// makes of its bytes; `None` where they do not show that.
pub fn documents(bulk: &Bulk, wanted: &[bool], conditions: &[Py<Condition>]) -> Option<usize> {
    if !conditions.iter().all(|condition| condition.get().without_trace(&bulk.body)) {
        return None;
    }
    let actions = bulk.actions.iter().filter(|action| wanted[action.key]);
    actions.clone().all(|action| shows_itself(bulk, action)).then(|| actions.count())
}

/// Whether an action writes just its source line, and that line is one whose bytes show what is in it.
fn shows_itself(bulk: &Bulk, action: &Action) -> bool {
    let plain = matches!((&action.fate, action.op), (Fate::Untouched, Op::Index | Op::Create));
    plain && like_object(&bulk.body[action.source.clone()])
}
