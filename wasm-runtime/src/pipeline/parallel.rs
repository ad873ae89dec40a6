//! A large batch in two halves, each on a thread of its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::document::{Doc, Text};
use crate::pipeline::fused::{Run, Taken, put_in_place, through_all};
use crate::pipeline::lane::{Counts, Lane};
use crate::stats::StageRun;

/// A batch of so many documents is worth a second thread.
pub(crate) const SHARED: usize = 2000;

/// Batches at a time, in the process, that a second thread is started for: one for each core, about.
const MOST_HELPED: usize = 4;

static HELPED: AtomicUsize = AtomicUsize::new(0);

/// A batch that may have a second thread.
struct Helped;

impl Helped {
    fn begin() -> Option<Self> {
        let more = |now: usize| (now < MOST_HELPED).then_some(now + 1);
        HELPED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Helped {
    fn drop(&mut self) {
        HELPED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Every active document through all lanes, one document after the other. What has not been checked is checked before, unless
/// its bytes show that it meets no condition: then it stays what it was.
///
/// `made`: where [`Text::Made`] is, and new texts go. With `threads` the batch is halved where it is large: each half has its own
/// `lanes`.
pub(crate) fn together<'s>(
    run: &Run<'_>,
    lanes: &(impl Fn() -> Vec<Lane<'s>> + Sync),
    made: &mut Vec<u8>,
    docs: &mut Vec<Doc>,
    threads: usize,
) -> Vec<Counts> {
    let helped = if threads > 1 && docs.len() >= SHARED { Helped::begin() } else { None };
    let Taken { expanded, counts } = if helped.is_some() {
        docs.iter_mut().for_each(|doc| doc.own_text(made));
        let middle = docs.len() / 2;
        let (front, back) = docs.split_at_mut(middle);
        let mut others = Vec::new();
        let (mut mine, theirs) = std::thread::scope(|scope| {
            let helper = std::thread::Builder::new().name("headrace-half".to_owned());
            let helper = helper.spawn_scoped(scope, || through_all(run, lanes(), &mut others, back, middle));
            let mine = through_all(run, lanes(), made, front, 0);
            (mine, helper.map(|h| h.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
        });
        // Where the system gives no more threads this one does it all.
        let theirs = theirs.unwrap_or_else(|_| through_all(run, lanes(), &mut others, back, middle));
        let shift = made.len();
        made.append(&mut others);
        for doc in back {
            if let Text::Made(range) = &mut doc.text {
                *range = range.start + shift..range.end + shift;
            }
        }
        mine.expanded.extend(theirs.expanded);
        for (count, more) in mine.counts.iter_mut().zip(theirs.counts) {
            add(count, more);
        }
        mine
    } else {
        through_all(run, lanes(), made, docs, 0)
    };
    put_in_place(docs, expanded);
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
