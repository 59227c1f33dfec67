//! The driver's partitions: their numbers, which of them are ours, and what was polled of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::proof::Proof;
use crate::engine::{Arrival, Epoch, PartitionId, Time};
use crate::event::{NextOffset, Offset, TopicPartition};
use crate::store::Fence;

/// One ownership of a partition, from assignment to release or loss.
pub(super) struct Owned {
    pub(super) epoch: Epoch,
    /// The position after the last record given to the engine.
    pub(super) polled: NextOffset,
    pub(super) committed: NextOffset,
    pub(super) end: Option<NextOffset>,
    /// Proven: nothing is left to read below this position.
    pub(super) proven_end: NextOffset,
    pub(super) proof: Proof,
    pub(super) draining: bool,
    pub(super) paused_by_engine: bool,
    pub(super) fence: Option<Fence>,
    /// The lowest record that has not ended, and when it was first seen to be that one.
    pub(super) head: Option<(Offset, Time)>,
    /// Batches that are not committed yet: the position after each, and when its first record was written. As many as there
    /// are batches in the engine.
    written: VecDeque<(NextOffset, i64)>,
    lease: Lease,
}

impl Owned {
    pub(super) fn new(epoch: Epoch, position: NextOffset, fence: Option<Fence>) -> Self {
        Self {
            epoch,
            polled: position,
            committed: position,
            end: None,
            proven_end: NextOffset(i64::MIN),
            proof: Proof::default(),
            draining: false,
            paused_by_engine: false,
            fence,
            head: None,
            written: VecDeque::new(),
            lease: Lease::default(),
        }
    }

    /// Notes a batch, of which the first record was written at this time.
    pub(super) fn note_written(&mut self, up_to: NextOffset, at_ms: i64) {
        self.written.push_back((up_to, at_ms));
    }

    pub(super) fn note_committed(&mut self, position: NextOffset) {
        self.committed = position;
        while self.written.front().is_some_and(|(up_to, _)| *up_to <= position) {
            self.written.pop_front();
        }
    }

    /// When the oldest unresolved record was written, to the batch, in milliseconds since the Unix epoch.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.written.front().map(|(_, at_ms)| *at_ms)
    }

    /// Until this ownership ends: for threads that work for it.
    pub(super) fn live(&self) -> Live {
        self.lease.live()
    }
}

/// Held by the driver for as long as what other threads do for an ownership, or for a round of looking up, is wanted.
#[derive(Debug, Default)]
pub(super) struct Lease(Live);

impl Lease {
    pub(super) fn live(&self) -> Live {
        self.0.clone()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Whether a [`Lease`] is still held.
#[derive(Clone, Debug, Default)]
pub(super) struct Live(Arc<AtomicBool>);

impl Live {
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) struct Partition<P> {
    pub(super) id: PartitionId,
    pub(super) source: TopicPartition,
    pub(super) owned: Option<Owned>,
    /// librdkafka has it, and can be told to give it up: once.
    pub(super) assigned: bool,
    /// Polled in the current batch and not yet given to the engine.
    pub(super) batch: Vec<Arrival<P>>,
    /// When the first of them was written.
    pub(super) batch_ms: Option<i64>,
}

/// All partitions that this process has ever been given, by number.
pub(super) struct Partitions<P> {
    all: Vec<Partition<P>>,
    /// Number by topic and partition. A handful of topics: the last one found is tried first.
    topics: Vec<(Arc<str>, BTreeMap<i32, usize>)>,
    last: usize,
}

impl<P> Partitions<P> {
    pub(super) const fn new() -> Self {
        Self { all: Vec::new(), topics: Vec::new(), last: 0 }
    }

    /// The partition's number, if it has ever been ours.
    pub(super) fn index(&mut self, topic: &str, partition: i32) -> Option<usize> {
        if self.topics.get(self.last).is_none_or(|(name, _)| **name != *topic) {
            self.last = self.topics.iter().position(|(name, _)| **name == *topic)?;
        }
        self.topics[self.last].1.get(&partition).copied()
    }

    /// The partition's number; true if it is new.
    pub(super) fn intern(&mut self, topic: &str, partition: i32) -> (usize, bool) {
        if let Some(index) = self.index(topic, partition) {
            return (index, false);
        }
        let place = self.topics.iter().position(|(name, _)| **name == *topic).unwrap_or_else(|| {
            self.topics.push((topic.into(), BTreeMap::new()));
            self.topics.len() - 1
        });
        let index = self.all.len();
        let id = PartitionId(u32::try_from(index).expect("fewer than 2^32 partitions"));
        let topic = Arc::clone(&self.topics[place].0);
        self.topics[place].1.insert(partition, index);
        let source = TopicPartition { topic, partition };
        self.all.push(Partition { id, source, owned: None, assigned: false, batch: Vec::new(), batch_ms: None });
        (index, true)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn at(&mut self, index: usize) -> &mut Partition<P> {
        &mut self.all[index]
    }

    pub(super) fn source(&self, index: usize) -> &TopicPartition {
        &self.all[index].source
    }

    pub(super) fn get(&self, id: PartitionId) -> &Partition<P> {
        &self.all[id.0 as usize]
    }

    pub(super) fn by_id(&mut self, id: PartitionId) -> &mut Partition<P> {
        &mut self.all[id.0 as usize]
    }

    /// The partition under the given epoch, if it is still the current one.
    pub(super) fn current(&mut self, id: PartitionId, epoch: Epoch) -> Option<&mut Partition<P>> {
        let partition = self.by_id(id);
        (partition.owned.as_ref()?.epoch == epoch).then_some(partition)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Partition<P>> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Partition<P>> {
        self.all.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_names_shared() {
        let mut partitions = Partitions::<()>::new();
        assert_eq!(partitions.intern("a", 0), (0, true));
        assert_eq!(partitions.intern("b", 0), (1, true));
        assert_eq!(partitions.intern("a", 7), (2, true));
        assert_eq!(partitions.intern("a", 0), (0, false));
        assert_eq!(
            (partitions.index("a", 7), partitions.index("c", 0), partitions.index("a", 1)),
            (Some(2), None, None)
        );
        let name = Arc::clone(&partitions.at(0).source.topic);
        assert!(Arc::ptr_eq(&name, &partitions.at(2).source.topic));
    }

    #[test]
    fn the_oldest_record_is_that_of_the_first_batch_that_is_not_committed() {
        let mut owned = Owned::new(Epoch(1), NextOffset(0), None);
        assert_eq!(owned.oldest_ms(), None);
        owned.note_written(NextOffset(5), 100);
        owned.note_written(NextOffset(9), 200);
        owned.note_committed(NextOffset(4));
        assert_eq!(owned.oldest_ms(), Some(100));
        owned.note_committed(NextOffset(5));
        assert_eq!(owned.oldest_ms(), Some(200));
        owned.note_committed(NextOffset(9));
        assert_eq!((owned.oldest_ms(), owned.committed), (None, NextOffset(9)));
    }

    #[test]
    fn who_works_for_an_ownership_learns_of_its_end() {
        let owned = Owned::new(Epoch(1), NextOffset(0), None);
        let live = owned.live();
        assert!(!live.is_over());
        drop(owned);
        assert!(live.is_over());
    }
}
