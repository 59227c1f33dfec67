//! What the driver needs from the rest: everything between a polled record and the records to produce.

use std::collections::BTreeSet;

use super::Trouble;
use crate::engine::{Arrival, Dependency, Epoch, Job, Output, PartitionId, Rerouted};
use crate::event::{Identity, NextOffset, Offset, Outgoing, Record, TopicPartition};
use crate::runtime::Clock;
use crate::store::Fence;

/// Records of one partition that were polled together: what a receipt covers.
#[derive(Clone, Debug)]
pub struct PolledBatch<'a, P> {
    pub source: &'a TopicPartition,
    pub epoch: Epoch,
    /// First offset that the receipt covers: the position before the batch, gaps included.
    pub from: NextOffset,
    /// Position after the batch.
    pub to: NextOffset,
    pub records: &'a [Arrival<P>],
}

/// Implemented by `dispatch`; the driver and the engine know nothing else of events, routes and handlers.
pub trait Application: Send + Sync + 'static {
    /// One polled record. Cheap to clone (a reference count).
    type Payload: Clone + Send + Sync + 'static;
    /// What a worker reports of an attempt.
    type Report: Send + 'static;

    /// The routes that records are classified by; replaced as a whole, between two records.
    type Routes: Send + 'static;

    /// Looks at a polled record: is it an event, which route takes it, which lane keeps its order. On the poll thread:
    /// no I/O, no waiting.
    fn classify(&self, routes: &Self::Routes, record: Record, clock: &Clock) -> Arrival<Self::Payload>;

    /// Looks at a record again that earlier routes took and that has not ended. On the poll thread.
    fn reclassify(&self, routes: &Self::Routes, payload: &Self::Payload) -> Rerouted<Self::Payload>;

    /// Other routes are in force: what is handed out under these and not begun is given back as not started.
    fn retire(&self, _routes: &Self::Routes) {}

    /// By what a record is deduplicated, if it is. On any thread.
    fn identity(&self, record: &Record) -> Option<Identity>;

    /// Hands a run to the workers; never blocks (the engine bounds what is in flight). `fence` is the partition's database
    /// claim. Results come back through the channel that the workers were made with.
    fn submit(&self, run: Vec<Job<Self::Payload>>, fence: Option<&Fence>);

    /// Gives back what no handler of this epoch has begun with, each reported as not started. The others go on.
    fn recall(&self, partition: PartitionId, epoch: Epoch);

    /// Stops the handlers of this epoch that still run; each is reported as cancelled.
    fn cancel(&self, partition: PartitionId, epoch: Epoch);

    /// Receipt records (`EVENT_RECEIVED`) for a polled batch; at least one, each at most 32 KB.
    fn receipts(&self, batch: &PolledBatch<'_, Self::Payload>) -> Vec<Outgoing>;

    /// Everything that an output produces: its outcome record, and its retry, dead-letter or unprocessed record and derived
    /// events. Deterministic: a re-staged output renders to the same records. On the producer's thread.
    fn render(
        &self,
        source: &TopicPartition,
        output: &Output<Self::Payload, Self::Report>,
        clock: &Clock,
        into: &mut Vec<Outgoing>,
    );

    /// These outputs are committed, each once. On the producer's thread.
    fn committed(&self, _outputs: &[Output<Self::Payload, Self::Report>]) {}

    /// How a failed attempt failed, for people; at most a few hundred bytes.
    fn trouble(&self, _report: &Self::Report) -> Option<Trouble> {
        None
    }

    /// Whose record it is, where it says so; for people, at most a few hundred bytes.
    fn tenant(&self, _payload: &Self::Payload) -> Option<String> {
        None
    }

    /// An audit record for offsets that retention took away (I10).
    fn events_lost(&self, source: &TopicPartition, from: Offset, to: NextOffset) -> Vec<Outgoing>;

    /// These dependencies are down from now on, and no others. On the poll thread, before what follows from it.
    fn down(&self, dependencies: BTreeSet<Dependency>);

    /// Asks a dependency whether it answers; calls `answer` once, from any thread.
    fn probe(&self, dependency: &Dependency, answer: Box<dyn FnOnce(bool) + Send>);
}
