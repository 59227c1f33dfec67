//! Exactly-once delivery: outcomes and offsets in one Kafka transaction (KIP-447).
//!
//! | what fails | what follows |
//! |---|---|
//! | a call, retriable | the same call again, for [`RETRY_FOR`] |
//! | the transaction (a delivery failed, the generation is old) | abort, the outputs go back to the engine |
//! | the producer (fenced, fatal) before the commit was sent | a new producer under the same id; every partition begins anew from what is committed |
//! | the commit, without an answer | a new producer, whose initialisation settles the transaction; what is committed is then read back |
//! | the producer, fenced again and again | another replica has our slot: the replica ends |

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::Offset as KafkaOffset;
use tracing::{info, warn};

use super::DriverError;
use super::config::Config;
use super::context::{GroupConsumer, Reporter};
use super::sink::{Failures, Sink};
use super::stop::Stop;
use super::writer::{Delivery, End, OffsetCommit, list_of, refused, send_all};
use crate::event::Outgoing;

/// One call into librdkafka; it is made again while it may be.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a retriable call is made again. Longer than the transaction's own time-out, after which it is decided anyway.
const RETRY_FOR: Duration = Duration::from_secs(15);
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How long records may take to be acknowledged before the transaction is aborted.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Fatal errors within the window that end the replica.
const MAX_FATAL: usize = 3;
const FATAL_WINDOW: Duration = Duration::from_secs(60);

pub(super) struct Transactions {
    config: Arc<Config>,
    reporter: Reporter,
    stop: Stop,
    /// For reading back what is committed.
    consumer: Arc<GroupConsumer>,
    failures: Arc<Failures>,
    sink: Option<Sink<Failures>>,
    begun: bool,
    /// Why the open transaction cannot be committed.
    broken: Option<Trouble>,
    fatal: VecDeque<Instant>,
}

/// What a failed call means.
#[derive(Debug)]
enum Trouble {
    Retry(KafkaError),
    Abort(KafkaError),
    Rebuild(KafkaError),
    /// The commit was sent, and its outcome is unknown.
    Unknown(KafkaError),
}

impl Trouble {
    fn of(error: KafkaError) -> Self {
        match &error {
            KafkaError::Transaction(e) if e.is_fatal() => Self::Rebuild(error),
            KafkaError::Transaction(e) if e.txn_requires_abort() => Self::Abort(error),
            KafkaError::Transaction(e) if e.is_retriable() => Self::Retry(error),
            KafkaError::Flush(_) => Self::Abort(error),
            _ => Self::Rebuild(error),
        }
    }
}

impl Transactions {
    /// Initialises the producer, which fences and ends what a predecessor left open. Waits for the brokers.
    pub(super) fn start(
        config: Arc<Config>,
        reporter: Reporter,
        stop: Stop,
        consumer: Arc<GroupConsumer>,
    ) -> Result<Self, DriverError> {
        let mut this = Self {
            config,
            reporter,
            stop,
            consumer,
            failures: Arc::default(),
            sink: None,
            begun: false,
            broken: None,
            fatal: VecDeque::new(),
        };
        this.build()?;
        Ok(this)
    }

    /// A new, initialised producer in place of the old one. Returns without one only when the replica ends.
    fn build(&mut self) -> Result<(), DriverError> {
        self.sink = None;
        (self.begun, self.broken) = (false, None);
        self.reporter.status.update(|status| status.producer_ready = false);
        loop {
            self.failures.take();
            let sink = Sink::new(&self.config.outcome_producer()?, self.reporter.clone(), Arc::clone(&self.failures))?;
            loop {
                match sink.producer().init_transactions(CALL_TIMEOUT) {
                    Ok(()) => {
                        self.sink = Some(sink);
                        self.reporter.status.update(|status| status.producer_ready = true);
                        return Ok(());
                    }
                    Err(KafkaError::Transaction(e)) if is_misconfigured(e.code()) => {
                        return Err(DriverError::Producer { message: e.to_string() });
                    }
                    Err(KafkaError::Transaction(e)) if e.is_fatal() => {
                        self.count_fatal(&sink)?;
                        break;
                    }
                    // A broker that is away, a coordinator that moves, a predecessor's transaction that is being ended.
                    Err(_) => {}
                }
                if self.stop.wait(RETRY_PAUSE) {
                    return Ok(());
                }
            }
            if self.stop.is_set() {
                return Ok(());
            }
        }
    }

    fn rebuild(&mut self, why: &KafkaError) -> Result<(), DriverError> {
        warn!(id = self.config.transactional_id(), "transactional producer is made anew: {why}");
        if let Some(sink) = self.sink.take() {
            self.count_fatal(&sink)?;
        }
        self.build()
    }

    /// Fatal errors within the window end the replica: fencings, since a second owner of the id will not go away by itself,
    /// and whatever else comes back with every new producer.
    fn count_fatal(&mut self, sink: &Sink<Failures>) -> Result<(), DriverError> {
        let Some((code, message)) = sink.producer().client().fatal_error() else { return Ok(()) };
        let now = Instant::now();
        self.fatal.push_back(now);
        while self.fatal.front().is_some_and(|at| now.duration_since(*at) > FATAL_WINDOW) {
            self.fatal.pop_front();
        }
        if self.fatal.len() < MAX_FATAL {
            return Ok(());
        }
        Err(if is_fencing(code) {
            DriverError::SlotConflict { id: self.config.transactional_id(), times: self.fatal.len() }
        } else {
            DriverError::Producer { message }
        })
    }

    fn begin(&mut self) -> Result<(), Trouble> {
        if self.begun {
            return Ok(());
        }
        let sink = self.sink.as_ref().ok_or_else(|| Trouble::Abort(KafkaError::Canceled))?;
        self.failures.take();
        sink.producer().begin_transaction().map_err(Trouble::of)?;
        self.begun = true;
        Ok(())
    }

    fn try_commit(&mut self, offsets: &[OffsetCommit], group: &ConsumerGroupMetadata) -> Result<(), Trouble> {
        if let Some(trouble) = self.broken.take() {
            return Err(trouble);
        }
        if !self.begun && offsets.is_empty() {
            return Ok(());
        }
        self.begin()?;
        let sink = self.sink.as_ref().expect("begin found it");
        if !offsets.is_empty() {
            let list = list_of(offsets);
            // While this goes round, the records are delivered.
            self.again(|| sink.producer().send_offsets_to_transaction(&list, group, CALL_TIMEOUT)).map_err(
                |trouble| match trouble {
                    Trouble::Retry(error) => Trouble::Abort(error),
                    other => other,
                },
            )?;
        }
        // The commit flushes too, but at 100 ms a look.
        let drained = sink.drain(DRAIN_TIMEOUT, || self.failures.any());
        if let Some(error) = self.failures.take() {
            return Err(Trouble::Abort(error));
        }
        if !drained {
            return Err(Trouble::Abort(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)));
        }
        self.again(|| sink.producer().commit_transaction(CALL_TIMEOUT)).map_err(|trouble| match trouble {
            Trouble::Abort(error) => Trouble::Abort(error),
            Trouble::Retry(error) | Trouble::Rebuild(error) | Trouble::Unknown(error) => Trouble::Unknown(error),
        })?;
        self.begun = false;
        Ok(())
    }

    /// Makes a call until it succeeds, fails in a way that no repetition helps, or [`RETRY_FOR`] is over.
    fn again(&self, call: impl Fn() -> KafkaResult<()>) -> Result<(), Trouble> {
        let deadline = Instant::now() + RETRY_FOR;
        loop {
            let trouble = match call() {
                Ok(()) => return Ok(()),
                Err(error) => Trouble::of(error),
            };
            if !matches!(trouble, Trouble::Retry(_)) || Instant::now() > deadline || self.stop.wait(RETRY_PAUSE) {
                return Err(trouble);
            }
        }
    }

    fn end_open_transaction(&mut self) -> Result<End, DriverError> {
        self.broken = None;
        if !std::mem::take(&mut self.begun) {
            return Ok(End::Aborted);
        }
        let Some(sink) = &self.sink else { return Ok(End::Aborted) };
        match self.again(|| sink.producer().abort_transaction(CALL_TIMEOUT)) {
            Ok(()) => {
                self.failures.take();
                Ok(End::Aborted)
            }
            // Initialising a new producer aborts it as well.
            Err(Trouble::Retry(e) | Trouble::Abort(e) | Trouble::Rebuild(e) | Trouble::Unknown(e)) => {
                self.rebuild(&e)?;
                Ok(End::Replaced)
            }
        }
    }

    /// Whether the transaction whose outcome was unknown has been committed. The new producer's initialisation has ended it
    /// by now, one way or the other, and the answer waits for pending offsets (`read_committed` asks for stable ones).
    fn was_committed(&self, offsets: &[OffsetCommit]) -> bool {
        let mut list = rdkafka::TopicPartitionList::with_capacity(offsets.len());
        for offset in offsets {
            list.add_partition(&offset.source.topic, offset.source.partition);
        }
        loop {
            if let Ok(stored) = self.consumer.committed_offsets(list.clone(), CALL_TIMEOUT)
                && stored.elements().iter().all(|e| e.error().is_ok())
            {
                // One is enough, because the transaction is all or nothing: the others may have moved on under new owners.
                return offsets.iter().any(|sent| {
                    stored.find_partition(&sent.source.topic, sent.source.partition).is_some_and(|e| {
                        e.offset() == KafkaOffset::Offset(sent.position.0) && e.metadata() == sent.metadata
                    })
                });
            }
            if self.stop.wait(RETRY_PAUSE) {
                // Nobody acts on the answer any more; "not committed" hands the records to the next owner, who reads the
                // committed offsets for itself.
                return false;
            }
        }
    }
}

impl Delivery for Transactions {
    fn produce(&mut self, records: &[Outgoing]) -> Result<(), DriverError> {
        if self.broken.is_some() {
            return Ok(());
        }
        self.broken = match self.begin() {
            Ok(()) => {
                let sink = self.sink.as_ref().expect("begin found it");
                let fatal = || sink.producer().client().fatal_error().is_some();
                send_all(sink, records)?.map(|e| if fatal() { Trouble::Rebuild(e) } else { Trouble::Abort(e) })
            }
            Err(trouble) => Some(trouble),
        };
        Ok(())
    }

    fn commit(&mut self, offsets: &[OffsetCommit], group: Option<&ConsumerGroupMetadata>) -> Result<End, DriverError> {
        let Some(group) = group else { return self.end_open_transaction() };
        match self.try_commit(offsets, group) {
            Ok(()) => Ok(End::Committed),
            Err(Trouble::Retry(error) | Trouble::Abort(error)) => {
                // During a rebalance (ILLEGAL_GENERATION) this is a matter of course.
                info!("transaction aborted, its outcomes are staged again: {error}");
                self.reporter.status.trouble(&format!("a transaction was aborted: {error}"));
                if let Some(end) = refused(&error) {
                    return Err(end);
                }
                self.end_open_transaction()
            }
            Err(Trouble::Rebuild(error)) => {
                self.rebuild(&error)?;
                Ok(End::Replaced)
            }
            Err(Trouble::Unknown(error)) => {
                self.rebuild(&error)?;
                let committed = self.was_committed(offsets);
                info!(committed, "transaction of unknown outcome is settled");
                Ok(if committed { End::Committed } else { End::Aborted })
            }
        }
    }

    fn abort(&mut self) -> Result<End, DriverError> {
        self.end_open_transaction()
    }
}

fn is_fencing(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch)
}

fn is_misconfigured(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InvalidTransactionTimeout
            | RDKafkaErrorCode::UnsupportedFeature
    )
}
