//! Mappings of indexes at hand, and what a batch has of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::dynamic::LearnedFields;
use super::mapping;
use super::reason::Reason;

/// Names without a mapping that are remembered until somebody asks.
const MOST_MISSING: usize = 1_000;
/// Fields that one batch counts each by its own; the rest are counted as one.
const MOST_COUNTED: usize = 1_000;
/// Stands for the fields that are not counted by their own.
const REST: &str = "*";

/// The mapping of an index, compiled.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct Mapping {
    inner: Arc<mapping::Mapping>,
}

#[pymethods]
impl Mapping {
    /// `mappings`: that member of the answer of `GET /INDEX/_mapping`; `settings`: the flat settings of the index; both JSON.
    /// Raises ValueError for what cannot be compiled: no JSON, or more than 20,000 fields.
    #[new]
    fn new(py: Python<'_>, mappings: &[u8], settings: &[u8]) -> PyResult<Self> {
        py.detach(|| {
            let mappings = serde_json::from_slice(mappings).map_err(|error| error.to_string())?;
            let settings = serde_json::from_slice(settings).map_err(|error| error.to_string())?;
            mapping::Mapping::compile(&mappings, &settings)
        })
        .map(|inner| Self { inner: Arc::new(inner) })
        .map_err(PyValueError::new_err)
    }

    /// Bytes that it takes, about.
    #[getter]
    fn nbytes(&self) -> usize {
        self.inner.nbytes
    }

    /// Whether the mapping has the field of a dotted path.
    fn has(&self, path: &str) -> bool {
        self.inner.find(path).is_some()
    }

    /// Dotted paths of fields that may refuse a value which nobody but the cluster can judge.
    fn opaque(&self) -> Vec<String> {
        self.inner.opaque()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    by_name: HashMap<String, Arc<mapping::Mapping>>,
    missing: BTreeSet<String>,
}

/// The mappings at hand, by the names that documents have of their indexes.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct Mappings {
    inner: Arc<Mutex<Store>>,
}

#[pymethods]
impl Mappings {
    #[new]
    fn new() -> Self {
        Self { inner: Arc::default() }
    }

    /// Has `mapping` for a name; `None`: no more.
    fn set(&self, name: &str, mapping: Option<&Bound<'_, Mapping>>) {
        let Ok(mut store) = self.inner.lock() else { return };
        match mapping {
            Some(mapping) => {
                store.by_name.insert(name.to_owned(), Arc::clone(&mapping.get().inner));
            }
            None => {
                store.by_name.remove(name);
            }
        }
    }

    /// The names of indexes that documents went to without a mapping, since this was asked last.
    fn missing(&self) -> Vec<String> {
        self.inner.lock().map(|mut store| std::mem::take(&mut store.missing)).unwrap_or_default().into_iter().collect()
    }
}

impl Mappings {
    pub(crate) fn fitting(&self, dry: bool, refused: Vec<String>) -> Arc<Fitting> {
        Arc::new(Fitting { store: Some(Arc::clone(&self.inner)), dry, refused, ..Fitting::default() })
    }
}

/// Counts by index, path and reason.
pub(crate) type Counted = BTreeMap<(String, String, Reason), u64>;

/// What one batch has of mappings, and what was done with its documents.
#[derive(Debug, Default)]
pub(crate) struct Fitting {
    store: Option<Arc<Mutex<Store>>>,
    /// Whether fields that are new stay unknown to other batches.
    dry: bool,
    /// Paths whose values the cluster has refused.
    pub(super) refused: Vec<String>,
    /// By the place of a mapping in memory.
    own: Mutex<HashMap<usize, Arc<LearnedFields>>>,
    added: AtomicUsize,
    counts: Mutex<Counted>,
}

impl Fitting {
    pub(super) fn mapping(&self, index: &str) -> Option<Arc<mapping::Mapping>> {
        let mut store = self.store.as_ref()?.lock().ok()?;
        if let Some(mapping) = store.by_name.get(index) {
            return Some(Arc::clone(mapping));
        }
        if store.missing.len() < MOST_MISSING {
            store.missing.insert(index.to_owned());
        }
        None
    }

    /// The fields that documents have introduced into a mapping.
    pub(super) fn learned(&self, mapping: &mapping::Mapping) -> Arc<LearnedFields> {
        if self.store.is_some() && !self.dry {
            return Arc::clone(&mapping.learned);
        }
        let key = std::ptr::from_ref(mapping).addr();
        self.own.lock().map(|mut own| Arc::clone(own.entry(key).or_default())).unwrap_or_default()
    }

    /// Whether one more field may be added.
    pub(super) fn adds(&self, most: usize) -> bool {
        let more = |now: usize| (now < most).then_some(now + 1);
        self.added.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn count(&self, index: &str, path: &str, reason: Reason) {
        let Ok(mut counts) = self.counts.lock() else { return };
        let path = if counts.len() < MOST_COUNTED { path } else { REST };
        *counts.entry((index.to_owned(), path.to_owned(), reason)).or_default() += 1;
    }

    /// The counts since this was asked last.
    pub(crate) fn counts(&self) -> Counted {
        self.counts.lock().map(|mut counts| std::mem::take(&mut *counts)).unwrap_or_default()
    }

    /// Runs `work` with what a batch has of mappings.
    pub(crate) fn hold<T>(fitting: Option<&Arc<Self>>, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Arc<Fitting>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.with(|current| *current.borrow_mut() = self.0.take());
            }
        }
        let _restore = Restore(CURRENT.with(|current| current.replace(fitting.cloned())));
        work()
    }

    /// That of the batch at work on this thread; an empty one where there is none.
    pub(super) fn current() -> Arc<Self> {
        CURRENT.with(|current| Arc::clone(current.borrow_mut().get_or_insert_with(Arc::default)))
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Fitting>>> = const { RefCell::new(None) };
}
