//! A bulk that no condition concerns: its bytes are searched once, for the words that the conditions need.

use pyo3::Py;

use crate::bulk::outcome::ActionOutcome;
use crate::bulk::state::Bulk;
use crate::pipeline::condition::Condition;
use crate::pipeline::condition::needle::Haystack;

/// How many documents go to the targets that are `wanted`, if none of them meets any of the conditions, whatever the cluster
/// makes of its bytes; `None` where they do not show that.
pub(crate) fn documents(bulk: &Bulk, wanted: &[bool], conditions: &[Py<Condition>]) -> Option<usize> {
    let haystack = Haystack::new(&bulk.body);
    if !conditions.iter().all(|condition| condition.get().lacks_needle(&haystack)) {
        return None;
    }
    let actions = || bulk.actions.with_outcomes().filter(|(_, action, _)| wanted[action.key]);
    let shown = bulk.plain_documents && bulk.actions.untouched()
        || actions()
            .all(|(_, action, outcome)| matches!(outcome, ActionOutcome::Untouched) && action.shows_itself(&bulk.body));
    shown.then(|| actions().count())
}
