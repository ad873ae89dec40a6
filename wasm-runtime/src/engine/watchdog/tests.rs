use super::*;

const MS: u64 = 1_000_000;
/// When the first look is.
const NOW: u64 = 500 * MS;

/// One at work that may take `limit` milliseconds a call, and has to end at `ends_at`.
fn at_work(end: &AtomicU64, limit: u64, ends_at: u64) -> Observation {
    Observation::of(Arc::new(WatchedCall {
        end: end.as_ptr(),
        interrupt: None,
        deadline: Arc::new(Deadline { at_ns: ends_at, cancelled: AtomicBool::new(false) }),
        stage_at_ns: u64::MAX,
        call_ns: limit * MS,
        call: AtomicU64::new(1),
        ended: AtomicU64::new(0),
        over: AtomicBool::new(false),
    }))
}

fn watching(list: Vec<Observation>) -> WatchList {
    WatchList { list, ..WatchList::default() }
}

#[test]
fn it_looks_as_often_as_the_shortest_limit_needs() {
    let end = AtomicU64::new(0);
    for (limit, tick) in [(1, MS), (16, MS), (48, 3 * MS), (100, 6_250_000), (128, 8 * MS), (60_000, 8 * MS)] {
        assert_eq!(watching(vec![at_work(&end, limit, u64::MAX)]).check(NOW), tick, "{limit} ms");
    }
    let both = vec![at_work(&end, 60_000, u64::MAX), at_work(&end, 32, u64::MAX)];
    assert_eq!(watching(both).check(NOW), 2 * MS);
    assert_eq!(end.load(Ordering::Relaxed), 0);
}

#[test]
fn it_looks_when_the_deadline_passes() {
    let end = AtomicU64::new(0);
    let mut watches = watching(vec![at_work(&end, 1000, NOW + 3 * MS)]);
    assert_eq!(watches.check(NOW), 3 * MS);
    assert_eq!(watches.check(NOW + 3 * MS), INSIST_NS, "until the call has ended");
    let watch = Arc::clone(&watches.list[0].watch);
    assert!(watch.over.load(Ordering::Relaxed));
    watch.call.store(2, Ordering::Release);
    assert_eq!(watches.check(NOW + 4 * MS), 8 * MS, "no call, nothing to end");
    assert_eq!(end.load(Ordering::Relaxed), ENDS);
}

#[test]
fn a_call_is_ended_when_its_time_is_over_since_it_was_seen() {
    let end = AtomicU64::new(0);
    let mut watches = watching(vec![at_work(&end, 20, u64::MAX)]);
    assert_eq!(watches.check(NOW), 1_250_000);
    assert_eq!(watches.check(NOW + 19_500_000), 500_000);
    assert_eq!(end.load(Ordering::Relaxed), 0);
    assert_eq!(watches.check(NOW + 20 * MS), INSIST_NS);
    assert_eq!(watches.list[0].watch.ended.load(Ordering::Acquire), 1 << 2 | Ended::Call as u64);
    assert_eq!(end.load(Ordering::Relaxed), ENDS);
}
