//! State that host functions see and change: the document in work, parameters, fuel and log.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::document::Meta;
use crate::engine::fixed;
use crate::engine::memory::Linear;
use crate::json::index::ObjectIndex;
use crate::json::{DocView, Edit};

/// Bytes of spare capacity that a document gets with a UDF's first change, so that later ones need not move it.
const ROOM: usize = 128;

/// One line that a UDF logged.
pub(crate) type LogLine = (i32, String);

/// Edits of a document by a guest.
#[derive(Debug)]
pub(crate) enum DocumentEdits {
    /// One change. Its text is made where the guest asks for it; most guests write one field last of all.
    Once(Edit, OnceCell<Vec<u8>>),
    Text(Vec<u8>),
}

impl DocumentEdits {
    /// The new text of `text`.
    pub(crate) fn of(&self, text: &[u8]) -> &[u8] {
        match self {
            Self::Once(edit, result) => result.get_or_init(|| edit.applied_in(text, ROOM)),
            Self::Text(text) => text,
        }
    }
}

/// Sources of time and randomness: those of the system, or those that are the same in every sandbox.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Real {
    /// The time, in whole milliseconds, instead of a count.
    pub(crate) clock: bool,
    /// Randomness of the system, instead of numbers from a fixed seed.
    pub(crate) random: bool,
}

/// The document in work, as the host functions see it.
pub(crate) struct Host {
    pub(crate) memory: Option<Linear>,
    doc: Option<DocView<'static>>,
    meta: *const Meta,
    /// Edits of the document by the guest, if any.
    pub(super) changed: Option<DocumentEdits>,
    /// The document's context as the guest has changed it, if it has.
    pub(crate) ctx: Option<Vec<u8>>,
    /// Whether the document is a hit, whose fields are those of its `_source`.
    pub(crate) hit: bool,
    /// Parameters of the stage: one JSON object, and where its members are.
    params: Arc<[u8]>,
    members: Option<ObjectIndex>,
    pub(crate) fuel: *mut u64,
    pub(crate) log: Vec<LogLine>,
    pub(crate) log_budget: usize,
    pub(crate) random: u64,
    pub(crate) clock_ns: u64,
    pub(crate) real: Real,
}

// SAFETY: the raw pointers are set for the time of one call by the thread that makes it, and cleared after it.
unsafe impl Send for Host {}

impl Host {
    pub(crate) fn new(params: Arc<[u8]>, real: Real) -> Self {
        Self {
            memory: None,
            doc: None,
            meta: std::ptr::null(),
            changed: None,
            ctx: None,
            hit: false,
            members: ObjectIndex::of(&params),
            params,
            fuel: std::ptr::null_mut(),
            log: Vec::new(),
            log_budget: 0,
            random: fixed::seed().filter(|_| real.random).unwrap_or(0x9e37_79b9_7f4a_7c15),
            clock_ns: 1_000_000_000,
            real,
        }
    }

    /// Shows `doc` to the guest until [`Host::leave`].
    ///
    /// # Safety
    /// Both must outlive the call of `leave`.
    pub(crate) unsafe fn enter(&mut self, doc: DocView<'_>, meta: &Meta, hit: bool, log_budget: usize) {
        // SAFETY: `leave` forgets it before the document goes, as the caller guarantees.
        self.doc = Some(unsafe { std::mem::transmute::<DocView<'_>, DocView<'static>>(doc) });
        self.meta = meta;
        self.hit = hit;
        self.changed = None;
        self.ctx = None;
        self.log_budget = log_budget;
    }

    /// Ends what `enter` began.
    pub(crate) fn leave(&mut self) {
        self.doc = None;
        self.meta = std::ptr::null();
    }

    /// Takes what the guest did to the document, and the document's context if it changed that; `None` if it did nothing, as
    /// mostly: what it takes is large.
    #[inline(always)]
    pub(crate) fn changes(&mut self) -> Option<(Option<DocumentEdits>, Option<Vec<u8>>)> {
        (self.changed.is_some() || self.ctx.is_some()).then(|| (self.changed.take(), self.ctx.take()))
    }

    /// The raw value of a parameter.
    pub(crate) fn param(&self, name: &str) -> Option<&[u8]> {
        self.charge(self.params.len());
        let found = self.members.as_ref()?.get(&self.params, name)?;
        Some(&self.params[found.value])
    }

    /// The document as the guest sees it now.
    pub(crate) fn view(&self) -> DocView<'_> {
        let doc = self.doc.unwrap_or_else(|| b"{}".into());
        self.changed.as_ref().map_or(doc, |changed| changed.of(doc.text()).into())
    }

    /// Its text.
    pub(crate) fn text(&self) -> &[u8] {
        self.view().text()
    }

    /// Changes the document as the guest sees it now: `edit` is of [`Self::text`].
    pub(super) fn change(&mut self, edit: Edit) {
        let before = match self.changed.take() {
            Some(DocumentEdits::Text(text)) => Some(text),
            Some(DocumentEdits::Once(_, text)) => text.into_inner(),
            None => None,
        };
        self.changed = Some(match before {
            Some(mut text) => {
                edit.apply_to(&mut text, 0);
                DocumentEdits::Text(text)
            }
            None => DocumentEdits::Once(edit, OnceCell::new()),
        });
    }

    /// Whether a document is in work: not while a sandbox starts, nor in a call that many share.
    pub(super) fn in_work(&self) -> bool {
        self.doc.is_some()
    }

    pub(crate) fn meta(&self) -> Option<&Meta> {
        // SAFETY: as above.
        unsafe { self.meta.as_ref() }
    }

    pub(crate) fn ctx(&self) -> &[u8] {
        self.ctx.as_deref().or_else(|| self.meta().map(Meta::ctx)).unwrap_or(b"{}")
    }

    pub(crate) fn charge(&self, bytes: usize) {
        if !self.fuel.is_null() {
            // SAFETY: points at this instance's metering global, alive as long as the instance runs.
            let fuel = unsafe { AtomicU64::from_ptr(self.fuel) };
            let left = fuel.load(Ordering::Relaxed);
            fuel.store(left.saturating_sub(32 + bytes as u64 / 8), Ordering::Relaxed);
        }
    }

    pub(crate) fn note(&mut self, level: i32, text: &[u8]) {
        if self.log_budget == 0 {
            return;
        }
        let text = &text[..text.len().min(self.log_budget)];
        self.log_budget -= text.len().max(1).min(self.log_budget);
        self.log.push((level, String::from_utf8_lossy(text).trim_end().to_owned()));
    }
}
