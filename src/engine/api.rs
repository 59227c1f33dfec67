//! What goes into the engine and what comes out of it.

use std::time::Duration;

use super::{Class, Dependency, Time};
use crate::event::{Identity, NextOffset, Offset};

/// A topic-partition, as the driver numbers them. Stable for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

/// One assignment of one partition to this process. Never reused; whatever carries an epoch that is not the partition's
/// current one is dropped (I4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// A route, by its index in the list that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u32);

/// Which record a job, an output or a result is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    pub partition: PartitionId,
    pub epoch: Epoch,
    pub offset: Offset,
    /// The record's place in the partition's tracker: how the engine finds it again without a search.
    pub sequence: u64,
}

/// What the driver found when it looked at a polled record.
#[derive(Clone, Debug)]
pub struct Arrival<P> {
    pub offset: Offset,
    /// Bytes that the payload holds in memory (I7).
    pub bytes: u32,
    pub verdict: Verdict,
    /// For deduplication. `None` bypasses it: retry topics, redrive, replay, records that are not events.
    pub identity: Option<Identity>,
    /// A hash of the event's tenant; 0 for an event without one.
    pub tenant: u64,
    /// Attempts already committed, from `coafi-attempt`: 0 on a source topic.
    pub attempts: u32,
    /// Handlers of the route that already succeeded (a bit each), from `coafi-done`.
    pub done: u16,
    /// Wall-clock due time from `coafi-not-before`, already on the engine's clock.
    pub not_before: Option<Time>,
    pub payload: P,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A route takes it; `lane` is the hash of what keeps its order (ignored for `Ordering::Partition` and `None`).
    Routed { route: RouteId, lane: u64 },
    /// Not an event, or undecodable: dead letter as [`Class::Poison`].
    Poison,
    /// No route: `coafi.unprocessed`.
    Unrecognised,
}

/// A record handed to a worker.
#[derive(Clone, Debug)]
pub struct Job<P> {
    pub ticket: Ticket,
    pub route: RouteId,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// Handlers that already succeeded in earlier attempts: they do not run again.
    pub done: u16,
    pub payload: P,
}

/// How an attempt ended, as the worker reports it.
#[derive(Clone, Debug)]
pub struct Finished<R> {
    pub ticket: Ticket,
    pub verdict: Attempt,
    /// Handlers that have succeeded by now.
    pub done: u16,
    /// How long the attempt took; zero if it was not started.
    pub took: Duration,
    /// Of a failure that is transient: the least time before the next attempt, where somebody asked for one (HTTP's
    /// `Retry-After`); else zero.
    pub wait: Duration,
    /// What the worker has to say for the outcome record; opaque here.
    pub report: Option<R>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    Succeeded,
    /// The route's filter does not want it.
    Filtered,
    /// `code` is a hash of the error without its variable parts: "the same error across keys" is found by it.
    Failed {
        class: Class,
        code: u64,
    },
    /// Not started: an earlier record of the run did not succeed, or the run was cancelled. No attempt is used.
    NotStarted,
    /// Started and stopped from outside (drain timeout, shutdown). No attempt is used; counted as a handler start (I6).
    Cancelled,
    /// The database knows a newer owner of the partition, and nothing was written. No attempt is used. Either the group has
    /// given the partition to somebody else, which this replica will hear, or a member claimed it that was none any more;
    /// so the driver gives the partition up and claims it anew.
    Fenced,
}

/// What became of an attempt. The driver turns it into an outcome record and, by kind, a retry, dead-letter or unprocessed
/// record, all in the current transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    Processed,
    Duplicate {
        first_seen: Offset,
    },
    Filtered,
    /// Parked: the lane waits, the offset map carries the attempt. Not an end.
    RetryInPlace {
        class: Class,
        due: Time,
    },
    /// Moved to the retry topic of this tier (an index into the route's tiers).
    RetryTopic {
        class: Class,
        tier: usize,
        due: Time,
    },
    DeadLetter {
        class: Class,
    },
    Unprocessed,
    /// The route says halt: the record stays unresolved and its lane stands still.
    Halted {
        class: Class,
    },
}

impl Disposition {
    /// Whether the record is resolved by this, so that the committed position may pass it.
    #[must_use]
    pub const fn resolves(&self) -> bool {
        !matches!(self, Self::RetryInPlace { .. } | Self::Halted { .. })
    }
}

/// Something to produce in the current transaction (or, at-least-once, before the next offset commit).
#[derive(Clone, Debug)]
pub struct Output<P, R> {
    pub ticket: Ticket,
    pub route: Option<RouteId>,
    /// The attempt that this is about; 0 where no handler ran (poison, duplicate, unprocessed).
    pub attempt: u32,
    pub done: u16,
    pub disposition: Disposition,
    /// The attempt was reported before, when the record was parked; now it found no room in its place and has to move.
    pub overflow: bool,
    pub payload: P,
    pub report: Option<R>,
}

/// The committed offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionCommit {
    pub partition: PartitionId,
    pub epoch: Epoch,
    pub position: NextOffset,
    /// The encoded offset map, at most [`super::offset_map::MAX_METADATA_BYTES`].
    pub metadata: String,
}

/// Offsets that retention took before they were handled (I10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventsLost {
    pub partition: PartitionId,
    pub epoch: Epoch,
    pub from: Offset,
    pub to: NextOffset,
}

/// A transaction's number, rising by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u64);

/// How a commit ended. The driver gives back what it had staged in it, unless it is committed.
#[derive(Clone, Debug)]
pub enum CommitResult<P, R> {
    Committed,
    Aborted(Vec<Output<P, R>>),
}

/// What the driver is to do. In order: a `Stage` before a `Commit` belongs to it.
#[derive(Clone, Debug)]
pub enum Effect<P, R> {
    /// Run these one after another; stop at the first that does not succeed and report the rest as
    /// [`Attempt::NotStarted`]. All of one lane.
    Dispatch(Vec<Job<P>>),
    /// The epoch is ending: give back what no handler has begun with, each as [`Attempt::NotStarted`]. The others go on.
    Recall {
        partition: PartitionId,
        epoch: Epoch,
    },
    /// Stop the handlers of this epoch that still run: each is reported as [`Attempt::Cancelled`].
    Cancel {
        partition: PartitionId,
        epoch: Epoch,
    },
    Stage(Output<P, R>),
    /// Commit everything staged since the last commit, with these offsets. Nothing is staged before its result is given.
    /// `lost` becomes audit records of the same transaction (I10).
    Commit {
        transaction: TransactionId,
        offsets: Vec<PartitionCommit>,
        lost: Vec<EventsLost>,
    },
    /// Abort the open transaction (a partition in it was lost) and give back what was staged.
    Abort {
        transaction: TransactionId,
    },
    Pause(PartitionId),
    Resume(PartitionId),
    /// Drained and committed: give the partitions up (`incremental_unassign`).
    Release(Vec<PartitionId>),
    /// Read up to `window` offsets before `position` and call `Engine::dedup_rebuilt`.
    RebuildDedup {
        partition: PartitionId,
        epoch: Epoch,
        position: NextOffset,
        window: u32,
    },
    /// Ask the dependency whether it answers and call `Engine::probed`.
    Probe(Dependency),
    /// Tell people: once per incident.
    Escalate(Incident),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A dependency's circuit has been open for longer than the limit.
    Outage { dependency: Dependency, lasted: Duration },
    /// A partition or lane stands still because its policy says halt.
    Halted { partition: PartitionId, offset: Offset, class: Class },
    /// Retention has passed the committed position: these offsets are gone (I10).
    EventsLost { partition: PartitionId, from: Offset, to: NextOffset },
    /// A record was running in three processes that died.
    Crash { partition: PartitionId, offset: Offset },
}
