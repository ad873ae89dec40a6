//! What the hot path may cost, counted and not timed: allocations for one document (tests only).
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

/// Allocations of this thread while `work` runs.
fn counted<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = COUNT.get();
    let result = work();
    (COUNT.get() - before, result)
}

mod tests {
    use super::counted;
    use crate::condition::Condition;
    use crate::document::Meta;
    use crate::effect::Effect;
    use crate::native::Native;
    use crate::outline::{self, Outline};
    use crate::{json, valid};

    const LINE: &[u8] = br#"{"@timestamp": "2026-11-23T05:07:07.007Z", "level": "WARN", "message": "GET /api/v1/orders/7 took 7 ms and returned 7 items to the caller", "service": {"name": "orders", "version": "4.17.2", "environment": "staging"}, "host": {"name": "node-7", "ip": "10.1.7.7", "cpu": 0.07}, "http": {"method": "GET", "status": 202, "bytes": 259, "path": "/api/v1/orders/7"}, "tags": ["web", "eu-central", "canary"], "user": "user-7@example.org", "duration_ms": 7.25, "cached": false, "retries": 0}"#;

    #[test]
    fn checking_a_document_allocates_nothing() {
        assert_eq!(counted(|| valid::surely(LINE)), (0, true));
        assert_eq!(counted(|| valid::check_object(LINE).is_ok()), (0, true));
    }

    #[test]
    fn an_outline_is_one_allocation_and_is_asked_for_free() {
        let (made, outline) = counted(|| Outline::of(LINE));
        assert_eq!(made, 1);
        let (asked, (found, outline)) =
            counted(|| outline::within(LINE, outline, || json::find(LINE, "retries").map(|range| range.len())));
        assert_eq!((asked, found), (0, Some(1)));
        let new = json::set(LINE, "level", b"\"warn\"").unwrap();
        let (followed, outline) = counted(|| outline.and_then(|outline| outline.follow(LINE, &new)));
        assert_eq!(followed, 0);
        assert_eq!(outline, Outline::of(&new));
    }

    #[test]
    fn a_plain_condition_allocates_nothing() {
        let condition = "doc.level == 'DEBUG' || has(doc.debug)";
        let condition = Condition::compile(condition, vec!["doc".to_owned()], b"{}".to_vec()).unwrap();
        let meta = Meta::default();
        let ask = || condition.holds(LINE, &meta, "p").unwrap();
        let (count, (met, _)) = counted(|| outline::within(LINE, Outline::of(LINE), ask));
        assert_eq!((count, met), (1, false), "the outline alone");
    }

    /// Allocations of a built-in for one document whose outline is known.
    fn of_native(name: &str, parameters: &str) -> usize {
        let native = Native::build(name, "document", parameters.as_bytes()).unwrap();
        let (mut meta, outline) = (Meta::default(), Outline::of(LINE));
        let work = || native.apply(LINE, &mut meta);
        let (count, (effect, _)) = counted(|| outline::within(LINE, outline, work));
        assert!(matches!(effect, Ok(Effect::Edited(_) | Effect::Replaced(_))), "{effect:?}");
        count
    }

    #[test]
    fn built_ins_allocate_little_more_than_the_new_document() {
        assert_eq!(of_native("set", r#"{"field":"env","value":"prod"}"#), 1, "what is written, not the document");
        assert_eq!(of_native("lowercase", r#"{"field":"level"}"#), 1);
        assert_eq!(of_native("remove", r#"{"field":"user"}"#), 2);
    }
}
