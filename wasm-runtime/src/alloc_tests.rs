//! Allocations that the hot path may make for one document: counted, not timed (tests only).
//!
//! A log line of the benchmarks goes through what a piped bulk does to it. Whoever adds an allocation a document sees it
//! here, on every machine alike.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `invoker` runs.
fn counted<R>(invoker: impl FnOnce() -> R) -> (usize, R) {
    let before = COUNT.get();
    let result = invoker();
    (COUNT.get() - before, result)
}

mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::counted;
    use crate::bulk::action::parse_action;
    use crate::bulk::line_cache::ActionLineCache;
    use crate::document::effect::{Effect, ErrorContext};
    use crate::document::{Doc, Kind, Meta, Text};
    use crate::engine::clock;
    use crate::json;
    use crate::json::index::ObjectIndex;
    use crate::json::validate;
    use crate::json::{DocView, with_view};
    use crate::native::Native;
    use crate::pipeline::condition::Condition;
    use crate::pipeline::condition::state::ConditionState;
    use crate::pipeline::fused::Run;
    use crate::pipeline::parallel::run_fused;
    use crate::pipeline::stage::{StageOp, StageState};

    const LINE: &[u8] = br#"{"@timestamp": "2026-11-23T05:07:07.007Z", "level": "WARN", "message": "GET /api/v1/orders/7 took 7 ms and returned 7 items to the caller", "service": {"name": "orders", "version": "4.17.2", "environment": "staging"}, "host": {"name": "node-7", "ip": "10.1.7.7", "cpu": 0.07}, "http": {"method": "GET", "status": 202, "bytes": 259, "path": "/api/v1/orders/7"}, "tags": ["web", "eu-central", "canary"], "user": "user-7@example.org", "duration_ms": 7.25, "cached": false, "retries": 0}"#;

    #[test]
    fn checking_a_document_allocates_nothing() {
        assert_eq!(counted(|| validate::is_valid(LINE)), (0, true));
        assert_eq!(counted(|| validate::check_object(LINE).is_ok()), (0, true));
    }

    #[test]
    fn an_object_index_is_one_allocation_and_look_ups_are_free() {
        let (output, mut index) = counted(|| ObjectIndex::of(LINE));
        assert_eq!(output, 1);
        let (asked, found) =
            counted(|| with_view(LINE, &mut index, |doc| json::find(doc, "retries").map(|range| range.len())));
        assert_eq!((asked, found), (0, Some(1)));
        let new = json::set(LINE, "level", b"\"warn\"").unwrap();
        let followed = counted(|| index.as_mut().is_some_and(|index| index.follow(LINE, &new)));
        assert_eq!(followed, (0, true));
        assert_eq!(index, ObjectIndex::of(&new));
    }

    #[test]
    fn a_plain_condition_allocates_nothing() {
        let condition = "doc.level == 'DEBUG' || has(doc.debug)";
        let condition = Condition::compile(condition, vec!["doc".to_owned()], b"{}".to_vec()).unwrap();
        let meta = Meta::default();
        let ask = |doc: DocView<'_>| condition.holds(doc, &meta, "p").unwrap();
        let (count, met) = counted(|| with_view(LINE, &mut ObjectIndex::of(LINE), ask));
        assert_eq!((count, met), (1, false), "the object index alone");
    }

    #[test]
    fn an_action_line_like_the_one_before_allocates_nothing() {
        let line = br#"{"index":{"_index":"logs","_id":"1"}}"#;
        let mut lines = ActionLineCache::default();
        lines.remember(line, parse_action(line, 1, None).unwrap().texts, 0);
        let (count, like) = counted(|| lines.find(br#"{"index":{"_index":"logs","_id":"20"}}"#));
        assert_eq!((count, like.and_then(|like| like.id)), (0, Some("20")));
    }

    /// Allocations of a built-in for one document that has its object index.
    fn of_native(name: &str, parameters: &str) -> usize {
        let native = Native::build(name, "document", parameters.as_bytes()).unwrap();
        let (mut meta, mut index) = (Meta::default(), ObjectIndex::of(LINE));
        let apply = |doc: DocView<'_>| native.apply(doc, &mut meta);
        let (count, effect) = counted(|| with_view(LINE, &mut index, apply));
        assert!(matches!(effect, Ok(Effect::Edited(_) | Effect::Replaced(_))), "{effect:?}");
        count
    }

    #[test]
    fn built_ins_allocate_little_more_than_the_new_document() {
        assert_eq!(of_native("set", r#"{"field":"env","value":"prod"}"#), 1, "what is written, not the document");
        assert_eq!(of_native("lowercase", r#"{"field":"level"}"#), 1);
        assert_eq!(of_native("remove", r#"{"field":"user"}"#), 2);
    }

    /// Allocations of a run of three stages (drop by `condition`, set, lowercase) over so many log lines.
    fn of_run(documents: usize, condition: &str) -> usize {
        let body = LINE.repeat(documents);
        let meta = Meta { index: Some(Arc::from("logs")), ..Meta::default() };
        let text = |n: usize| Text::Shared(n * LINE.len()..(n + 1) * LINE.len());
        let mut docs: Vec<Doc> = (0..documents).map(|n| Doc::new(text(n), meta.clone(), n)).collect();
        let condition = Condition::compile(condition, vec!["doc".to_owned()], b"{}".to_vec()).unwrap();
        let natives =
            [("drop", "{}"), ("set", r#"{"field":"env","value":"prod"}"#), ("lowercase", r#"{"field":"level"}"#)]
                .map(|(name, parameters)| Native::build(name, "document", parameters.as_bytes()).unwrap());
        let context = ErrorContext { abort: true, pipeline: "p", stage: "s", processor: "", run: 1 };
        let stages = || {
            let stage = |(n, native)| {
                let condition_state = (n == 0).then(|| ConditionState::new(&condition, context));
                StageState::new(context, condition_state, StageOp::Native(native))
            };
            natives.iter().enumerate().map(stage).collect()
        };
        let mut output = Vec::with_capacity(2 * body.len());
        let deadline = Arc::new(clock::Deadline { at_ns: u64::MAX, cancelled: AtomicBool::new(false) });
        let check = context;
        let run = Run { body: &body, kind: Kind::Document, check, deadline: &deadline, end: u64::MAX, fitting: None };
        let (count, counts) = counted(|| run_fused(&run, &stages, &mut output, &mut docs, 1));
        let changed = counts.last().and_then(|(_, _, run)| run.as_ref()).map_or(0, |run| run.changed);
        assert!(changed == 0 || changed == documents, "{changed}");
        count
    }

    #[test]
    fn a_document_in_a_run_of_stages_costs_nothing() {
        // What stages write is in memory that the first of them has left.
        of_run(50, "doc.level == 'DEBUG'");
        let (some, more) = (of_run(100, "doc.level == 'DEBUG'"), of_run(200, "doc.level == 'DEBUG'"));
        assert_eq!(more - some, 0, "two changes for each of a hundred documents more");
        let (some, more) = (of_run(100, "doc.level == 'WARN'"), of_run(200, "doc.level == 'WARN'"));
        assert_eq!(more - some, 0, "a dropped document costs nothing");
    }
}
