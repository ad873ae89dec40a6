//! A large batch in two halves, each on a thread of its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::document::{Doc, Text};
use crate::pipeline::fused::{PartitionResult, Run, replace_expanded, run_partition};
use crate::pipeline::stage::{Counts, StageState};
use crate::stats::StageRun;

/// Minimum number of documents in a batch that is halved: a thread's start costs as much as some hundred documents.
pub(crate) const SHARED: usize = 2000;

/// Maximum number of batches in the process with a second thread: about one for each core.
const MOST_HELPERS: usize = 4;

static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// A batch that may have a second thread.
struct HelperSlot;

impl HelperSlot {
    fn acquire() -> Option<Self> {
        let more = |now: usize| (now < MOST_HELPERS).then_some(now + 1);
        HELPERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for HelperSlot {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Every active document through all stages, one document after the other. What has not been checked is checked before, unless
/// its bytes show that it meets no condition: then it stays what it was.
///
/// `output`: where [`Text::Output`] is, and new texts go. With `threads` the batch is halved where it is large: each half has its own
/// `stages`.
pub(crate) fn run_fused<'s>(
    run: &Run<'_>,
    stages: &(impl Fn() -> Vec<StageState<'s>> + Sync),
    output: &mut Vec<u8>,
    docs: &mut Vec<Doc>,
    threads: usize,
) -> Vec<Counts> {
    let helper_slot = if threads > 1 && docs.len() >= SHARED { HelperSlot::acquire() } else { None };
    let PartitionResult { expanded, counts } = if helper_slot.is_some() {
        docs.iter_mut().for_each(|doc| doc.own_text(output));
        let middle = docs.len() / 2;
        let (front, back) = docs.split_at_mut(middle);
        let mut back_output = Vec::new();
        let (mut front_result, back_result) = std::thread::scope(|scope| {
            let helper = std::thread::Builder::new().name("headrace-half".to_owned());
            let helper = helper.spawn_scoped(scope, || run_partition(run, stages(), &mut back_output, back, middle));
            let front_result = run_partition(run, stages(), output, front, 0);
            (front_result, helper.map(|h| h.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
        });
        // Where the system gives no more threads this one does it all.
        let back_result = back_result.unwrap_or_else(|_| run_partition(run, stages(), &mut back_output, back, middle));
        let shift = output.len();
        output.append(&mut back_output);
        for doc in back {
            if let Text::Output(range) = &mut doc.text {
                *range = range.start + shift..range.end + shift;
            }
        }
        front_result.expanded.extend(back_result.expanded);
        for (count, more) in front_result.counts.iter_mut().zip(back_result.counts) {
            add(count, more);
        }
        front_result
    } else {
        run_partition(run, stages(), output, docs, 0)
    };
    replace_expanded(docs, expanded);
    counts
}

/// Adds what another thread counted for the same stage.
fn add(to: &mut Counts, more: Counts) {
    let merge = |to: &mut Option<StageRun>, more: Option<StageRun>| match (to.as_mut(), more) {
        (Some(to), Some(more)) => to.add(more),
        (None, more) => *to = more,
        (Some(_), None) => {}
    };
    to.0 += more.0;
    merge(&mut to.1, more.1);
    merge(&mut to.2, more.2);
}
