//! The producer's thread: renders outputs, produces them and ends transactions, in the order of its commands.
//!
//! It keeps staged outputs until their fate is known and gives them back unless they are committed; the engine drops what is
//! of an old epoch and stages the rest again (I4). Rendering happens here, so that the poll thread is free.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};

use super::inbox::Input;
use super::lookup::Question;
use super::seat::Generation;
use super::sink::{Deliveries, Refused, Sink, is_permanent};
use super::status::{Counts, StatusCell};
use super::stop::Stop;
use super::{Application, DriverError};
use crate::engine::{CommitResult, EventsLost, Output, PartitionId, TransactionId};
use crate::event::{NextOffset, Outgoing, TopicPartition};
use crate::runtime::Clock;

/// Pause after a commit that failed. The engine stages again at once, and what was wrong (a rebalance, mostly) takes a
/// moment to pass.
const ABORT_PAUSE: Duration = Duration::from_millis(10);

pub(super) enum Command<P, R> {
    /// What a partition's number means; before its first output.
    Name(PartitionId, TopicPartition),
    Stage(Vec<Output<P, R>>),
    Commit {
        transaction: TransactionId,
        offsets: Vec<OffsetCommit>,
        /// Audit records of the same transaction (I10).
        lost: Vec<EventsLost>,
        /// As it was when the commit was issued. `None`: the replica is no member at present, so nothing may be committed.
        generation: Option<Generation>,
    },
    Abort {
        transaction: TransactionId,
    },
    /// Passed on when everything before it has ended: a position that is read while a commit is under way may be the one
    /// before it.
    Ask(Question),
}

/// A position and metadata that are to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OffsetCommit {
    pub(super) source: TopicPartition,
    pub(super) position: NextOffset,
    pub(super) metadata: String,
}

/// How outcomes and offsets become durable: `transactions` or `at_least_once`.
pub(super) trait Delivery {
    /// Produces; a failure is remembered until the commit. An error ends the replica.
    fn produce(&mut self, records: &[Outgoing]) -> Result<(), DriverError>;

    /// How it ended. An error ends the replica.
    fn commit(&mut self, offsets: &[OffsetCommit], generation: Option<Generation>) -> Result<End, DriverError>;

    /// Forgets what was produced since the last commit. Never [`End::Committed`].
    fn abort(&mut self) -> Result<End, DriverError>;
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Committed,
    /// Certainly not committed, and nothing of it will be.
    Aborted,
    /// Aborted, and the producer is a new one: somebody else had the old one's id, or it was beyond repair. Whatever was
    /// decided under it is decided again from what is committed.
    Replaced,
}

pub(super) struct Writer<A: Application, D> {
    pub(super) application: Arc<A>,
    pub(super) clock: Clock,
    pub(super) delivery: D,
    pub(super) answers: Sender<Input<A::Payload, A::Report>>,
    pub(super) questions: Sender<Question>,
    pub(super) status: Arc<StatusCell>,
    pub(super) stop: Stop,
}

impl<A: Application, D: Delivery> Writer<A, D> {
    /// Until the commands end or one of them cannot be carried out.
    pub(super) fn run(mut self, commands: &Receiver<Command<A::Payload, A::Report>>) {
        if let Err(error) = self.carry_out(commands) {
            // Nobody listens only if the poll thread has ended first, with an error of its own.
            let _ = self.answers.send(Input::Failed(error));
        }
    }

    fn carry_out(&mut self, commands: &Receiver<Command<A::Payload, A::Report>>) -> Result<(), DriverError> {
        let mut sources = BTreeMap::new();
        let mut staged = Vec::new();
        let mut rendered = Vec::new();
        while let Ok(command) = commands.recv() {
            let (transaction, end) = match command {
                Command::Name(partition, source) => {
                    sources.insert(partition, source);
                    continue;
                }
                Command::Stage(outputs) => {
                    for output in &outputs {
                        let source = sources.get(&output.ticket.partition).expect("named before its first output");
                        self.application.render(source, output, &self.clock, &mut rendered);
                    }
                    staged.extend(outputs);
                    self.delivery.produce(&rendered)?;
                    rendered.clear();
                    continue;
                }
                Command::Commit { transaction, offsets, lost, generation } => {
                    for lost in lost {
                        let source = sources.get(&lost.partition).expect("named before its first commit");
                        self.delivery.produce(&self.application.events_lost(source, lost.from, lost.to))?;
                    }
                    let began = self.clock.now();
                    let end = self.delivery.commit(&offsets, generation)?;
                    self.status.commit_took(self.clock.now() - began);
                    if end != End::Committed {
                        self.stop.wait(ABORT_PAUSE);
                    }
                    (transaction, end)
                }
                Command::Ask(question) => {
                    // If the thread is gone it has said why, and the replica ends.
                    let _ = self.questions.send(question);
                    continue;
                }
                Command::Abort { transaction } => (transaction, self.delivery.abort()?),
            };
            let outputs = std::mem::take(&mut staged);
            let committed = end == End::Committed;
            self.count(committed, &outputs);
            if end == End::Replaced && self.answers.send(Input::ProducerReplaced).is_err() {
                return Ok(());
            }
            let result = if committed { CommitResult::Committed } else { CommitResult::Aborted(outputs) };
            if self.answers.send(Input::Ended { transaction, result }).is_err() {
                return Ok(());
            }
        }
        // Nothing commits at the end: what is open is aborted, so that readers need not wait for its time-out.
        self.delivery.abort().map(drop)
    }

    fn count(&self, committed: bool, outputs: &[Output<A::Payload, A::Report>]) {
        if committed {
            self.application.committed(outputs);
        }
        let mut counts = if committed { Counts::of(outputs) } else { Counts::default() };
        counts.commits = u64::from(committed);
        counts.aborts = u64::from(!committed);
        self.status.update(|status| status.counts += counts);
    }
}

/// Sends all records; the first refusal that concerns the producer is returned, one that concerns a record ends the replica.
pub(super) fn send_all<D: Deliveries<Opaque = ()>>(
    sink: &Sink<D>,
    records: &[Outgoing],
) -> Result<Option<KafkaError>, DriverError> {
    for record in records {
        match sink.send(record, ()) {
            Ok(()) => {}
            Err(Refused::Producer(error)) => return Ok(Some(error)),
            Err(Refused::Record(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// The end of the replica if a commit failed for what no repetition helps.
pub(super) fn refused(error: &KafkaError) -> Option<DriverError> {
    let message = error.to_string();
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::OffsetMetadataTooLarge) => Some(DriverError::MetadataTooLarge { message }),
        _ => is_permanent(error).then_some(DriverError::Producer { message }),
    }
}

/// Offsets with their metadata, as librdkafka takes them.
pub(super) fn list_of(offsets: &[OffsetCommit]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for offset in offsets {
        let mut element = list.add_partition(&offset.source.topic, offset.source.partition);
        element.set_offset(KafkaOffset::Offset(offset.position.0)).expect("positions are never negative");
        if !offset.metadata.is_empty() {
            element.set_metadata(&offset.metadata);
        }
    }
    list
}
