//! Kafka as far as it matters: logs with gaps, transactions, committed offsets with metadata, fencing of producers.

use std::collections::BTreeMap;

use coafi_core::engine::{Disposition, Output, PartitionCommit, PartitionId, Ticket, Time, Verdict};
use coafi_core::event::{Identity, NextOffset, Offset};

use crate::handlers::{Payload, Report};
use crate::routing::Names;

pub(crate) type Outcome = Output<Payload, Report>;

/// Kafka aborts a transaction that has been open for longer, and fences its producer.
const TRANSACTION_TIMEOUT_MICROS: u64 = 5_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) payload: Payload,
    pub(crate) bytes: u32,
    pub(crate) verdict: Verdict,
    pub(crate) identity: Option<Identity>,
    pub(crate) attempts: u32,
    /// Handlers that are done, from the header that names them.
    pub(crate) done: Names,
    pub(crate) not_before: Option<Time>,
}

#[derive(Clone, Debug)]
enum Slot {
    Message(Message),
    /// In a transaction that is still open.
    Open(Message),
    /// A transaction marker, an aborted record, a compacted one.
    Gap,
}

#[derive(Debug)]
struct Log {
    base: i64,
    /// The oldest offset that still exists.
    start: i64,
    slots: Vec<Slot>,
    open: usize,
}

impl Log {
    fn new(base: i64) -> Self {
        Self { base, start: base, slots: Vec::new(), open: 0 }
    }

    fn end(&self) -> i64 {
        self.base + self.slots.len() as i64
    }

    /// The last stable offset: a reader of committed records gets what is below.
    fn stable_end(&self) -> i64 {
        if self.open == 0 {
            return self.end();
        }
        let first = self.slots.iter().position(|slot| matches!(slot, Slot::Open(_)));
        first.map_or(self.end(), |index| self.base + index as i64)
    }

    fn slot(&self, offset: i64) -> Option<&Slot> {
        usize::try_from(offset - self.base).ok().and_then(|index| self.slots.get(index))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) position: NextOffset,
    pub(crate) metadata: String,
    /// Not by the partition's owner: an operator's tool, a mirroring tool, a member that does not own it.
    pub(crate) by_a_stranger: bool,
    /// A stranger has overwritten what earlier owners committed, and no owner has committed since.
    pub(crate) erased: bool,
}

/// What one transaction made visible.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    since: Time,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) offsets: Vec<PartitionCommit>,
    /// Records in retry topics.
    pub(crate) appended: Vec<(PartitionId, Offset)>,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u32,
    open: Option<Transaction>,
    /// Its last transaction timed out, and nobody has taken the id anew since.
    timed_out: bool,
}

/// The producer's epoch is not the newest one of its transactional id.
#[derive(Debug)]
pub(crate) struct Fenced;

/// An open transaction has offsets for this partition: `UNSTABLE_OFFSET_COMMIT`, ask again.
#[derive(Debug)]
pub(crate) struct Unstable;

pub(crate) struct Fetched {
    pub(crate) messages: Vec<(Offset, Message)>,
    pub(crate) next: NextOffset,
    /// Nothing more for now: the end-of-partition event.
    pub(crate) at_end: bool,
}

#[derive(Debug)]
pub(crate) struct Broker {
    base: i64,
    /// Partitions of the source topic, then of each retry topic.
    topics: Vec<Vec<PartitionId>>,
    logs: Vec<Log>,
    committed: BTreeMap<PartitionId, Committed>,
    /// What the owners had committed before that.
    earlier: BTreeMap<PartitionId, Committed>,
    producers: BTreeMap<usize, Producer>,
    /// `offset.metadata.max.bytes`; `None`: as much as the engine has been told.
    metadata_max_bytes: Option<usize>,
}

impl Broker {
    /// `sources` partitions of the source topic, and as many for each of `tiers` retry topics.
    pub(crate) fn new(sources: u32, tiers: u32, base: i64) -> Self {
        let logs = (0..sources * (1 + tiers)).map(|_| Log::new(base)).collect();
        let topic = |tier| (tier * sources..(tier + 1) * sources).map(PartitionId).collect();
        Self {
            base,
            topics: (0..=tiers).map(topic).collect(),
            logs,
            committed: BTreeMap::new(),
            earlier: BTreeMap::new(),
            producers: BTreeMap::new(),
            metadata_max_bytes: None,
        }
    }

    /// From now on it takes so much metadata with an offset.
    pub(crate) fn set_metadata_max_bytes(&mut self, bytes: Option<usize>) {
        self.metadata_max_bytes = bytes;
    }

    pub(crate) fn takes_metadata(&self, metadata: &str) -> bool {
        self.metadata_max_bytes.is_none_or(|most| metadata.len() <= most)
    }

    /// One more for the source topic.
    pub(crate) fn add_partition(&mut self) -> PartitionId {
        let added = PartitionId(self.logs.len() as u32);
        self.logs.push(Log::new(self.base));
        self.topics[0].push(added);
        added
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.logs.len() as u32).map(PartitionId)
    }

    pub(crate) fn append(&mut self, partition: PartitionId, message: Message) -> Offset {
        let log = &mut self.logs[partition.0 as usize];
        log.slots.push(Slot::Message(message));
        Offset(log.end() - 1)
    }

    pub(crate) fn append_gap(&mut self, partition: PartitionId) {
        self.logs[partition.0 as usize].slots.push(Slot::Gap);
    }

    pub(crate) fn message(&self, partition: PartitionId, offset: Offset) -> Option<&Message> {
        match self.logs[partition.0 as usize].slot(offset.0) {
            Some(Slot::Message(message)) => Some(message),
            _ => None,
        }
    }

    pub(crate) fn log_start(&self, partition: PartitionId) -> NextOffset {
        NextOffset(self.logs[partition.0 as usize].start)
    }

    pub(crate) fn stable_end(&self, partition: PartitionId) -> NextOffset {
        NextOffset(self.logs[partition.0 as usize].stable_end())
    }

    /// Retention takes everything below `start`.
    pub(crate) fn truncate(&mut self, partition: PartitionId, start: NextOffset) {
        self.logs[partition.0 as usize].start = start.0;
    }

    pub(crate) fn fetch(&self, partition: PartitionId, from: NextOffset, limit: usize) -> Fetched {
        let log = &self.logs[partition.0 as usize];
        let end = log.stable_end();
        let mut messages = Vec::new();
        debug_assert!(from.0 >= log.start, "a position out of range is looked at before");
        let mut next = from.0;
        while next < end && messages.len() < limit {
            if let Some(Slot::Message(message)) = log.slot(next) {
                messages.push((Offset(next), message.clone()));
            }
            next += 1;
        }
        Fetched { messages, next: NextOffset(next), at_end: next >= end }
    }

    /// The identities below `position`, for the deduplication window.
    pub(crate) fn identities(
        &self,
        partition: PartitionId,
        position: NextOffset,
        window: u32,
    ) -> Vec<(Identity, Offset)> {
        let log = &self.logs[partition.0 as usize];
        (log.start.max(position.0 - i64::from(window))..position.0)
            .filter_map(|offset| match log.slot(offset) {
                Some(Slot::Message(Message { identity: Some(identity), .. })) => Some((*identity, Offset(offset))),
                _ => None,
            })
            .collect()
    }

    /// The committed offset as a starting consumer reads it (`require_stable`).
    pub(crate) fn committed(&self, partition: PartitionId) -> Result<Committed, Unstable> {
        let open = self.producers.values().filter_map(|producer| producer.open.as_ref());
        if open.flat_map(|transaction| &transaction.offsets).any(|offset| offset.partition == partition) {
            return Err(Unstable);
        }
        Ok(self.last_committed(partition))
    }

    /// What is committed, whatever is open.
    pub(crate) fn last_committed(&self, partition: PartitionId) -> Committed {
        let base = NextOffset(self.logs[partition.0 as usize].base);
        let first_start = || Committed { position: base, metadata: String::new(), by_a_stranger: false, erased: false };
        self.committed.get(&partition).cloned().unwrap_or_else(first_start)
    }

    /// A new epoch for this transactional id: aborts what its predecessor left open and fences it.
    pub(crate) fn init_producer(&mut self, id: usize) -> u32 {
        let producer = self.producers.entry(id).or_default();
        producer.epoch += 1;
        producer.timed_out = false;
        let (epoch, open) = (producer.epoch, producer.open.take());
        self.abort(open);
        epoch
    }

    pub(crate) fn produce(
        &mut self,
        (id, epoch): (usize, u32),
        now: Time,
        outcome: &Outcome,
        done: Names,
        not_before: impl FnOnce(Time) -> Time,
    ) -> Result<(), Fenced> {
        self.transaction(id, epoch, now)?;
        let appended = self.retry_record(outcome, done, not_before).map(|(partition, message)| {
            let log = &mut self.logs[partition.0 as usize];
            log.slots.push(Slot::Open(message));
            log.open += 1;
            (partition, Offset(log.end() - 1))
        });
        let transaction = self.transaction(id, epoch, now)?;
        transaction.outcomes.push(outcome.clone());
        transaction.appended.extend(appended);
        Ok(())
    }

    /// At-least-once: visible at once.
    pub(crate) fn produce_outside_transactions(
        &mut self,
        outcome: &Outcome,
        done: Names,
        not_before: impl FnOnce(Time) -> Time,
    ) -> Option<(PartitionId, Offset)> {
        let (partition, message) = self.retry_record(outcome, done, not_before)?;
        Some((partition, self.append(partition, message)))
    }

    /// `TxnOffsetCommit`. Whether the member may send it is the coordinator's to say.
    pub(crate) fn send_offsets(
        &mut self,
        id: usize,
        epoch: u32,
        now: Time,
        offsets: &[PartitionCommit],
    ) -> Result<(), Fenced> {
        self.transaction(id, epoch, now)?.offsets.extend_from_slice(offsets);
        Ok(())
    }

    pub(crate) fn commit_offsets(&mut self, offsets: &[PartitionCommit]) {
        for PartitionCommit { partition, position, metadata, .. } in offsets {
            let committed =
                Committed { position: *position, metadata: metadata.clone(), by_a_stranger: false, erased: false };
            let replaced = self.committed.insert(*partition, committed);
            if let Some(replaced) = replaced.filter(|replaced| !replaced.by_a_stranger) {
                self.earlier.insert(*partition, replaced);
            }
        }
    }

    /// Somebody commits who does not own the partition, or while nobody does. The broker does not mind.
    pub(crate) fn commit_by_a_stranger(&mut self, partition: PartitionId, position: NextOffset, metadata: String) {
        self.committed.insert(partition, Committed { position, metadata, by_a_stranger: true, erased: true });
    }

    /// An owner begins from it: it is its own from now on.
    pub(crate) fn taken_over(&mut self, partition: PartitionId) {
        if let Some(committed) = self.committed.get_mut(&partition) {
            committed.by_a_stranger = false;
        }
    }

    /// What the owner of the partition had committed before its last commit.
    pub(crate) fn earlier_commit(&self, partition: PartitionId) -> Option<Committed> {
        self.earlier.get(&partition).cloned()
    }

    pub(crate) fn commit(&mut self, id: usize, epoch: u32, now: Time) -> Result<Transaction, Fenced> {
        self.transaction(id, epoch, now)?;
        let transaction = self.producers.get_mut(&id).and_then(|producer| producer.open.take()).unwrap_or_default();
        for (partition, offset) in &transaction.appended {
            let log = &mut self.logs[partition.0 as usize];
            let slot = &mut log.slots[(offset.0 - log.base) as usize];
            if let Slot::Open(message) = slot {
                *slot = Slot::Message(message.clone());
                log.open -= 1;
            }
        }
        self.append_markers(&transaction);
        self.commit_offsets(&transaction.offsets);
        Ok(transaction)
    }

    /// Aborts what is open, if anything is.
    pub(crate) fn abort_open(&mut self, id: usize, epoch: u32) -> Result<(), Fenced> {
        let producer = self.producers.entry(id).or_default();
        if producer.epoch != epoch {
            return Err(Fenced);
        }
        let open = producer.open.take();
        self.abort(open);
        Ok(())
    }

    /// Aborts the transactions that have been open for too long and fences their producers.
    pub(crate) fn expire_transactions(&mut self, now: Time) -> usize {
        let mut expired = Vec::new();
        for producer in self.producers.values_mut() {
            if producer.open.as_ref().is_some_and(|open| open.since.0 + TRANSACTION_TIMEOUT_MICROS < now.0) {
                producer.epoch += 1;
                producer.timed_out = true;
                expired.push(producer.open.take());
            }
        }
        let count = expired.len();
        expired.into_iter().for_each(|open| self.abort(open));
        count
    }

    /// Whether this id was fenced by the time-out of its transaction.
    pub(crate) fn timed_out(&self, id: usize) -> bool {
        self.producers.get(&id).is_some_and(|producer| producer.timed_out)
    }

    /// When the open transaction was begun, if there are outcomes in it.
    pub(crate) fn begun_with_outcomes(&self, id: usize, epoch: u32) -> Option<Time> {
        let producer = self.producers.get(&id).filter(|producer| producer.epoch == epoch)?;
        producer.open.as_ref().filter(|open| !open.outcomes.is_empty()).map(|open| open.since)
    }

    fn transaction(&mut self, id: usize, epoch: u32, now: Time) -> Result<&mut Transaction, Fenced> {
        let producer = self.producers.entry(id).or_default();
        if producer.epoch != epoch {
            return Err(Fenced);
        }
        Ok(producer.open.get_or_insert_with(|| Transaction { since: now, ..Transaction::default() }))
    }

    fn abort(&mut self, open: Option<Transaction>) {
        let Some(transaction) = open else { return };
        for (partition, offset) in &transaction.appended {
            let log = &mut self.logs[partition.0 as usize];
            log.slots[(offset.0 - log.base) as usize] = Slot::Gap;
            log.open -= 1;
        }
        self.append_markers(&transaction);
    }

    fn append_markers(&mut self, transaction: &Transaction) {
        let mut touched: Vec<_> = transaction.appended.iter().map(|(partition, _)| *partition).collect();
        touched.dedup();
        touched.into_iter().for_each(|partition| self.append_gap(partition));
    }

    /// The record that moves to a retry topic with this outcome, and where to. `not_before` puts its due time on the wall
    /// clock.
    fn retry_record(
        &self,
        outcome: &Outcome,
        done: Names,
        not_before: impl FnOnce(Time) -> Time,
    ) -> Option<(PartitionId, Message)> {
        let Disposition::RetryTopic { tier, due, .. } = outcome.disposition else { return None };
        let Ticket { partition, offset, .. } = outcome.ticket;
        let source = self.message(partition, offset)?;
        let message = Message {
            identity: None,
            attempts: outcome.attempt,
            done,
            not_before: Some(not_before(due)),
            ..source.clone()
        };
        let topic = &self.topics[tier + 1];
        Some((topic[partition.0 as usize % topic.len()], message))
    }
}
