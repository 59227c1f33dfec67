//! Epochs that end: what of theirs must not begin any more, and what must not go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::engine::{Epoch, PartitionId};

/// What the end of an epoch asks of its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// Nothing begins; what a handler has begun with goes on.
    Recalled,
    /// Nothing goes on.
    Cancelled,
}

/// Per partition the highest epoch that was recalled, and cancelled: epochs only rise.
#[derive(Clone, Debug, Default)]
pub(super) struct Endings {
    recalled: FxHashMap<PartitionId, Epoch>,
    cancelled: FxHashMap<PartitionId, Epoch>,
}

impl Endings {
    pub(super) fn of(&self, partition: PartitionId, epoch: Epoch) -> Option<Ending> {
        let reaches =
            |epochs: &FxHashMap<PartitionId, Epoch>| epochs.get(&partition).is_some_and(|upto| epoch <= *upto);
        if reaches(&self.cancelled) {
            return Some(Ending::Cancelled);
        }
        reaches(&self.recalled).then_some(Ending::Recalled)
    }
}

/// [`Endings`], shared with the workers.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Rises with every change, so that a worker takes the lock only then.
    generation: AtomicU64,
    endings: Mutex<Endings>,
}

impl Board {
    pub(super) fn add(&self, partition: PartitionId, epoch: Epoch, ending: Ending) {
        let mut endings = self.endings.lock().unwrap_or_else(PoisonError::into_inner);
        let epochs = match ending {
            Ending::Recalled => &mut endings.recalled,
            Ending::Cancelled => &mut endings.cancelled,
        };
        let highest = epochs.entry(partition).or_insert(epoch);
        *highest = epoch.max(*highest);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The new generation and its endings, if it is not the one that was seen.
    pub(super) fn newer_than(&self, seen: u64) -> Option<(u64, Endings)> {
        if self.generation.load(Ordering::Acquire) == seen {
            return None;
        }
        let endings = self.endings.lock().unwrap_or_else(PoisonError::into_inner);
        Some((self.generation.load(Ordering::Acquire), endings.clone()))
    }
}

/// Whether an attempt waits for its route's rate limit: no handler has begun with it.
#[derive(Debug, Default)]
pub(super) struct Admission(AtomicBool);

impl Admission {
    pub(super) async fn through<T>(&self, gate: impl Future<Output = T>) -> T {
        self.0.store(true, Ordering::Relaxed);
        let passed = gate.await;
        self.0.store(false, Ordering::Relaxed);
        passed
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
