//! Shares of keys: which documents of a batch meet the candidate of a rollout.
//!
//! A key has its share by a keyed hash (SipHash 1-3), from 0 to less than 100 percent: it is below any percentage that is above its
//! share, so that a growing percentage only adds keys. The hash is the same on every machine.

use std::collections::HashSet;
use std::hash::Hasher;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use siphasher::sip::SipHasher13;

use crate::document::{Doc, Meta, State, Text};
use crate::pipeline::batch::Batch;
use crate::pipeline::condition::Condition;

/// Hexadecimal digits of a seed: the 128 bits of the hash's key.
const SEED_DIGITS: usize = 32;
/// Bits of a hash that a share keeps: as many as a number of 64 bits holds exactly.
const BITS: u32 = 53;

/// The hash of keys of one rollout, and the expression that gives a document's key, if there is one.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct KeyShare {
    seed: (u64, u64),
    expression: Option<Condition>,
}

#[pymethods]
impl KeyShare {
    /// `seed`: 32 hexadecimal digits. `expression` in CEL; `names` are those under which it may call the document. Without one
    /// the key of a document is its `_id`, or all of its text where it has none.
    ///
    /// Raises ValueError that says what is wrong and where.
    #[new]
    #[pyo3(signature = (seed, expression=None, names=vec![]))]
    fn new(seed: &str, expression: Option<&str>, names: Vec<String>) -> PyResult<Self> {
        let digits = (seed.len() == SEED_DIGITS).then(|| u128::from_str_radix(seed, 16).ok()).flatten();
        let whole =
            digits.ok_or_else(|| PyValueError::new_err(format!("a seed has {SEED_DIGITS} hexadecimal digits")))?;
        let expression = expression.map(|text| Condition::compile(text, names, b"{}".to_vec())).transpose();
        let expression = expression.map_err(PyValueError::new_err)?;
        #[allow(clippy::cast_possible_truncation)]
        let seed = ((whole >> 64) as u64, whole as u64);
        Ok(Self { seed, expression })
    }

    /// Whether a document may take long, so that the expression is kept off the event loop.
    #[getter]
    fn slow(&self) -> bool {
        self.expression.as_ref().is_some_and(Condition::is_slow)
    }

    /// The share of a key, in percent.
    fn of(&self, key: &str) -> f64 {
        self.share(key.as_bytes())
    }

    /// The key that the expression gives for a context (a JSON object); `None` where it gives none.
    fn key(&self, ctx: Vec<u8>) -> Option<String> {
        let meta = Meta { ctx: Some(ctx), ..Meta::default() };
        self.expression.as_ref().and_then(|expression| expression.text(b"{}".as_slice().into(), &meta))
    }
}

impl KeyShare {
    fn share(&self, key: &[u8]) -> f64 {
        let mut hasher = SipHasher13::new_with_keys(self.seed.0, self.seed.1);
        hasher.write(key);
        #[allow(clippy::cast_precision_loss)]
        let (kept, all) = ((hasher.finish() >> (u64::BITS - BITS)) as f64, (1u64 << BITS) as f64);
        100.0 * kept / all
    }

    /// The share of a document; `None` for one without a key.
    pub(super) fn of_document(&self, batch: &Batch, doc: &Doc) -> Option<f64> {
        match (&self.expression, &doc.meta.id) {
            (Some(expression), _) => {
                let key = expression.text(batch.text(doc).into(), &doc.meta)?;
                Some(self.share(key.as_bytes()))
            }
            (None, Some(id)) => Some(self.share(id.as_bytes())),
            (None, None) => Some(self.share(batch.text(doc))),
        }
    }
}

impl Batch {
    /// Moves the documents whose share is less than `candidate` percent, and those from there to less than `control` percent, into
    /// batches of their own. Those of one slot stay together: the first one decides.
    pub(super) fn split_by(&mut self, share: &KeyShare, candidate: f64, control: f64) -> (Self, Self) {
        let docs = std::mem::take(&mut self.docs);
        let mut parts = [Vec::new(), Vec::new(), Vec::with_capacity(docs.len())];
        let (mut slot, mut part) = (None, 2);
        for doc in docs {
            if slot != Some(doc.slot) {
                slot = Some(doc.slot);
                part = match share.of_document(self, &doc) {
                    Some(found) if found < candidate => 0,
                    Some(found) if found < control => 1,
                    _ => 2,
                };
            }
            parts[part].push(doc);
        }
        let [candidates, controls, rest] = parts;
        self.docs = rest;
        (self.with(candidates), self.with(controls))
    }

    fn with(&self, docs: Vec<Doc>) -> Self {
        let (trial, ignores_breakers) = (self.trial, self.ignores_breakers);
        let fitting = self.fitting.clone();
        Self { trial, ignores_breakers, fitting, ..Self::new(Arc::clone(&self.body), docs, self.kind) }
    }

    /// Removes all documents of the slots in which one ended as an error; gives these slots.
    pub(super) fn without_failed(&mut self) -> HashSet<usize> {
        let failed = self.docs.iter().filter(|doc| matches!(doc.state, State::Failed(_)));
        let slots: HashSet<usize> = failed.map(|doc| doc.slot).collect();
        self.docs.retain(|doc| !slots.contains(&doc.slot));
        slots
    }

    /// Adds the documents of a batch with the same body.
    pub(super) fn append(&mut self, batch: &mut Self) {
        let before = self.output.len();
        self.output.append(&mut batch.output);
        self.docs.extend(std::mem::take(&mut batch.docs).into_iter().map(|mut doc| {
            if let Text::Output(range) = &mut doc.text {
                *range = range.start + before..range.end + before;
            }
            doc
        }));
        self.runs = self.runs.max(batch.runs);
    }
}
