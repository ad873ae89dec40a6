//! Outcomes of the actions of a bulk.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crate::document::{Failure, Meta};
use crate::error::Fault;

/// Indexes, as documents name them.
pub(crate) type Indexes = HashSet<Option<Arc<str>>>;

/// One document that an action writes.
#[derive(Debug, Clone)]
pub(crate) struct OutputDocument {
    /// A part of [`Bulk::output`](crate::bulk::state::Bulk::output); `None`: the one that came in.
    pub(crate) text: Option<Range<usize>>,
    pub(crate) meta: Meta,
}

#[derive(Debug)]
pub(crate) enum ActionOutcome {
    /// Forwarded as it came.
    Untouched,
    /// Forwarded to where it was sent, with `text`, a part of [`Bulk::output`](crate::bulk::state::Bulk::output), as its document.
    /// `framed`: its action line stands before it there, and its line end behind it.
    Changed {
        text: Range<usize>,
        framed: bool,
    },
    /// An update that is forwarded with `source`, a part of [`Bulk::output`](crate::bulk::state::Bulk::output): read strictly and written
    /// anew, so that final pipelines have its texts one by one.
    Updated {
        source: Range<usize>,
    },
    /// Forwarded with what pipelines made of its document: one or several.
    Written(Vec<OutputDocument>),
    Dropped,
    Failed(Box<Failure>),
}

impl ActionOutcome {
    pub(crate) fn failed(fault: Fault) -> Self {
        Self::Failed(Box::new(Failure {
            fault,
            pipeline: String::new(),
            stage: String::new(),
            processor: String::new(),
            run: 0,
        }))
    }

    /// How many lines of the cluster's answer are this action's.
    pub(crate) fn forwarded(&self) -> usize {
        match self {
            Self::Untouched | Self::Changed { .. } | Self::Updated { .. } => 1,
            Self::Written(parts) => parts.len(),
            Self::Dropped | Self::Failed(_) => 0,
        }
    }
}

/// What has become of an action, for who sees no texts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ActionState {
    Same,
    Changed,
    Moved,
    Dropped,
    Failed,
}

impl ActionState {
    pub(crate) const ALL: [Self; 5] = [Self::Same, Self::Changed, Self::Moved, Self::Dropped, Self::Failed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Changed => "changed",
            Self::Moved => "moved",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}
