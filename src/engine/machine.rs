//! The engine's inputs, one method each.

use std::collections::VecDeque;

use super::{
    Arrival, CommitResult, Dependency, Effect, Epoch, Finished, PartitionId, RoutePolicy, Settings, Time, TransactionId,
};
use crate::event::{Identity, NextOffset, Offset};

/// A partition that was given to this process, with what its committed offset says.
#[derive(Clone, Debug)]
pub struct Assignment<'a> {
    pub partition: PartitionId,
    /// The committed offset, or the explicit start where there is none.
    pub position: NextOffset,
    /// The committed metadata, ours or foreign.
    pub metadata: &'a str,
    /// Hash of cluster id, topic id and partition: an offset map of another one is ignored.
    pub identity: u64,
    /// The database's claim, if the replica has a database: an epoch above every earlier one (see `store::Fence`).
    pub claim: Option<i64>,
    /// Oldest offset that still exists; a higher one than `position` means that retention has passed it (I10).
    pub log_start: NextOffset,
}

/// The pure core. `P` is a record's payload, `R` a worker's report; both are opaque.
#[derive(Debug)]
pub struct Engine<P, R> {
    effects: VecDeque<Effect<P, R>>,
}

impl<P: Clone, R> Engine<P, R> {
    /// `seed` feeds the jitter.
    #[must_use]
    pub fn new(_settings: Settings, _routes: Vec<RoutePolicy>, _seed: u64) -> Self {
        Self { effects: VecDeque::new() }
    }

    /// The next thing to do, if any. Call until `None` after every input.
    pub fn poll_effect(&mut self) -> Option<Effect<P, R>> {
        self.effects.pop_front()
    }

    /// When [`Engine::tick`] is to be called at the latest.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        None
    }

    /// Whether another record may be polled (I7). While it is false the driver polls no records.
    #[must_use]
    pub fn has_room(&self) -> bool {
        true
    }

    pub fn assigned(&mut self, _now: Time, _assignment: &Assignment<'_>) -> Epoch {
        Epoch(0)
    }

    /// The group takes these back: finish what runs, commit, then `Effect::Release`.
    pub fn revoked(&mut self, _now: Time, _partitions: &[PartitionId]) {}

    /// They are gone already: drop everything, commit nothing.
    pub fn lost(&mut self, _now: Time, _partitions: &[PartitionId]) {}

    /// Polled records of one partition in offset order. Those of a stale epoch are dropped.
    pub fn records(&mut self, _now: Time, _partition: PartitionId, _epoch: Epoch, _records: Vec<Arrival<P>>) {}

    /// The end of the partition was read: the position may move over markers and compacted offsets before it.
    pub fn reached_end(&mut self, _now: Time, _partition: PartitionId, _epoch: Epoch, _end: NextOffset) {}

    /// The receipts of all polled records below `up_to` are acknowledged.
    pub fn receipts_acknowledged(&mut self, _now: Time, _partition: PartitionId, _epoch: Epoch, _up_to: NextOffset) {}

    /// The identities that [`Effect::RebuildDedup`] asked for, in offset order.
    pub fn dedup_rebuilt(&mut self, _now: Time, _partition: PartitionId, _epoch: Epoch, _seen: &[(Identity, Offset)]) {}

    pub fn finished(&mut self, _now: Time, _finished: Finished<R>) {}

    /// How the commit or abort that was asked for ended.
    pub fn transaction_ended(&mut self, _now: Time, _transaction: TransactionId, _result: CommitResult<P, R>) {}

    /// The answer to [`Effect::Probe`].
    pub fn probed(&mut self, _now: Time, _dependency: &Dependency, _up: bool) {}

    /// Time has passed.
    pub fn tick(&mut self, _now: Time) {}

    /// Revokes everything; when `is_drained`, the process may end.
    pub fn shut_down(&mut self, _now: Time) {}

    #[must_use]
    pub fn is_drained(&self) -> bool {
        true
    }
}
