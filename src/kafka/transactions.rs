//! Exactly-once delivery: outcomes and offsets in one Kafka transaction (KIP-447).
//!
//! | what fails | what follows |
//! |---|---|
//! | a call, retriable | the same call again, for [`RETRY_FOR`] |
//! | the transaction (a delivery failed, the generation is old) | abort, the outputs go back to the engine |
//! | a record is not acknowledged in time | abort before the record's own time is over, the outputs go back to the engine |
//! | the offsets have no answer in time | a new producer under the same id, which aborts; the outputs go back to the engine |
//! | the abort, or records were purged by it | the same, with a new producer under the same id |
//! | the producer is fenced before the commit was sent | a new producer under the same id; every partition begins anew from what is committed |
//! | the commit, without an answer | a new producer, whose initialisation settles the transaction; what is committed is then read back |
//! | the producer, fenced again and again | another replica has our slot: the replica ends |

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::Offset as KafkaOffset;
use tracing::info;

use super::DriverError;
use super::config::Config;
use super::context::Reporter;
use super::seat::{Generation, Seat};
use super::stop::Stop;
use super::succession::{Incumbent, Succession};
use super::timed_calls::TimedCalls;
use super::writer::{Delivery, End, OffsetCommit, list_of, refused, send_all};
use crate::event::Outgoing;

/// One call into librdkafka; it is made again while it may be.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// One that is made when the time is almost over.
const SHORTEST_CALL: Duration = Duration::from_millis(200);
/// How long a retriable call is made again. Longer than the transaction's own time-out, after which it is decided anyway.
const RETRY_FOR: Duration = Duration::from_secs(15);
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How long an abort is made again: the next producer's initialisation does it as well. It is answered at once, unless the
/// transaction before has not got its markers yet. That one's end would then answer for it, and fail this producer for good.
const ABORT_FOR: Duration = Duration::from_secs(2);
/// A commit has this part of the transaction's time-out, or what is left of [`GIVE_UP_AFTER`] where that is more.
const AT_LEAST: Part = (1, 3);
/// After this part of its time-out a transaction that cannot be committed is aborted. A record of it that timed out (at 9/10)
/// would have the abort wait until every partition has its marker, which the one that takes no records takes last; and a
/// transaction that timed out costs the producer, and with it all that was decided and not committed.
const GIVE_UP_AFTER: Part = (2, 3);
/// Numerator and denominator.
type Part = (u32, u32);
/// How long the offsets' way into the transaction is waited for. librdkafka asks for the group's coordinator once; if the answer
/// is an error, or the connection breaks, it waits until any connection changes its state, which may be never (see
/// `rd_kafka_coord_req_handle_FindCoordinator`; seen: 11 s). A new producer asks anew. Twice as long each time, for a broker
/// that is only slow.
const OFFSETS_ANSWER: Duration = Duration::from_secs(3);
/// The first time of a producer, which does not know the coordinator yet. After an outage everything waits for it.
const FIRST_OFFSETS_ANSWER: Duration = Duration::from_secs(1);

pub(super) struct Transactions {
    config: Arc<Config>,
    reporter: Reporter,
    stop: Stop,
    /// For reading back what is committed.
    seat: Seat,
    producers: Succession,
    /// When the open transaction was begun.
    begun: Option<Instant>,
    /// Why the open transaction cannot be committed.
    broken: Option<Trouble>,
    calls: TimedCalls,
    /// Offsets have found their way by this producer.
    offsets_answered: bool,
    /// How many did not since the last commit.
    offsets_unanswered: u32,
}

/// What a failed call means.
#[derive(Debug)]
enum Trouble {
    Retry(KafkaError),
    Abort(KafkaError),
    Rebuild(KafkaError),
    /// The producer has not answered, and takes no other call meanwhile.
    Hangs(KafkaError),
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

    fn into_error(self) -> KafkaError {
        match self {
            Self::Retry(e) | Self::Abort(e) | Self::Rebuild(e) | Self::Hangs(e) | Self::Unknown(e) => e,
        }
    }
}

impl Transactions {
    /// Initialises the producer, which fences and ends what a predecessor left open. Waits for the brokers.
    pub(super) fn start(config: Arc<Config>, reporter: Reporter, stop: Stop, seat: Seat) -> Result<Self, DriverError> {
        let producers = Succession::start(Arc::clone(&config), reporter.clone(), stop.clone())?;
        Ok(Self {
            config,
            reporter,
            stop,
            seat,
            producers,
            begun: None,
            broken: None,
            calls: TimedCalls::default(),
            offsets_answered: false,
            offsets_unanswered: 0,
        })
    }

    fn rebuild(&mut self, why: &KafkaError) -> Result<(), DriverError> {
        self.replace(why)?;
        self.producers.initialise()
    }

    /// What was open is aborted by the next producer.
    fn replace(&mut self, why: &KafkaError) -> Result<(), DriverError> {
        self.broken = None;
        self.offsets_answered = false;
        let timed_out = self.begun.take().is_some_and(|begun| begun.elapsed() > self.config.transaction_timeout);
        self.producers.replace(why, timed_out)
    }

    /// The producer, in a transaction.
    fn begin(&mut self) -> Result<&Arc<Incumbent>, Trouble> {
        let incumbent = self.producers.incumbent().ok_or(Trouble::Abort(KafkaError::Canceled))?;
        if self.begun.is_none() {
            incumbent.failures.take();
            incumbent.sink.producer().begin_transaction().map_err(Trouble::of)?;
            self.begun = Some(Instant::now());
        }
        Ok(incumbent)
    }

    /// Until when the open transaction may wait to be committed.
    fn give_up_at(&self) -> Instant {
        let part = |(numerator, denominator): Part| self.config.transaction_timeout * numerator / denominator;
        let now = Instant::now();
        (self.begun.unwrap_or(now) + part(GIVE_UP_AFTER)).max(now + part(AT_LEAST))
    }

    fn try_commit(&mut self, offsets: &[OffsetCommit], group: ConsumerGroupMetadata) -> Result<(), Trouble> {
        if let Some(trouble) = self.broken.take() {
            return Err(trouble);
        }
        if self.begun.is_none() && offsets.is_empty() {
            return Ok(());
        }
        let incumbent = Arc::clone(self.begin()?);
        let give_up_at = self.give_up_at();
        if !offsets.is_empty() {
            self.add_offsets(&incumbent, offsets, group, give_up_at)?;
        }
        let Incumbent { sink, failures } = &*incumbent;
        // The commit flushes too, but at 100 ms a look.
        let drained = sink.drain(give_up_at.saturating_duration_since(Instant::now()), || failures.any());
        if let Some(error) = failures.take() {
            return Err(Trouble::Abort(error));
        }
        if !drained {
            return Err(Trouble::Abort(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)));
        }
        let commit = |timeout| sink.producer().commit_transaction(timeout).map_err(Trouble::of);
        self.again(Instant::now() + RETRY_FOR, commit).map_err(|trouble| match trouble {
            Trouble::Abort(error) => Trouble::Abort(error),
            other => Trouble::Unknown(other.into_error()),
        })?;
        self.begun = None;
        self.offsets_unanswered = 0;
        self.producers.committed();
        Ok(())
    }

    /// While this goes round, the records are delivered.
    fn add_offsets(
        &mut self,
        incumbent: &Arc<Incumbent>,
        offsets: &[OffsetCommit],
        group: ConsumerGroupMetadata,
        give_up_at: Instant,
    ) -> Result<(), Trouble> {
        let (list, group) = (list_of(offsets), Arc::new(group));
        let limit = self.offsets_answer();
        let send = |timeout: Duration| {
            let (incumbent, list, group) = (Arc::clone(incumbent), list.clone(), Arc::clone(&group));
            let send = move || incumbent.sink.producer().send_offsets_to_transaction(&list, &group, timeout);
            match self.calls.call(timeout.min(limit), send) {
                Ok(result) => result.map_err(Trouble::of),
                Err(given_up) => Err(Trouble::Hangs(given_up.into())),
            }
        };
        let result = self.again(give_up_at, send);
        match &result {
            Ok(()) => self.offsets_answered = true,
            Err(Trouble::Hangs(_)) => self.offsets_unanswered += 1,
            Err(_) => {}
        }
        result.map_err(|trouble| match trouble {
            Trouble::Retry(error) => Trouble::Abort(error),
            other => other,
        })
    }

    fn offsets_answer(&self) -> Duration {
        let once = if self.offsets_answered { OFFSETS_ANSWER } else { FIRST_OFFSETS_ANSWER };
        once.saturating_mul(2_u32.saturating_pow(self.offsets_unanswered)).min(self.config.transaction_timeout)
    }

    /// Makes a call until it succeeds, fails in a way that no repetition helps, or it is `deadline`; once in any case. It is told
    /// how long it may take.
    fn again(&self, deadline: Instant, call: impl Fn(Duration) -> Result<(), Trouble>) -> Result<(), Trouble> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Err(trouble) = call(left.clamp(SHORTEST_CALL, CALL_TIMEOUT)) else { return Ok(()) };
            if !matches!(trouble, Trouble::Retry(_)) || Instant::now() > deadline || self.stop.wait(RETRY_PAUSE) {
                return Err(trouble);
            }
        }
    }

    /// Aborts what is open. Nothing of it was asked to be committed, so it is certainly not.
    fn end_open_transaction(&mut self) -> Result<End, DriverError> {
        self.broken = None;
        let (Some(incumbent), true) = (self.producers.incumbent().cloned(), self.begun.is_some()) else {
            return Ok(End::Aborted);
        };
        incumbent.failures.take();
        let abort = |timeout| incumbent.sink.producer().abort_transaction(timeout).map_err(Trouble::of);
        match self.again(Instant::now() + ABORT_FOR, abort) {
            Ok(()) => match incumbent.failures.take() {
                None => self.begun = None,
                // Records were purged. librdkafka gives their sequence numbers to others, for which a broker that has got the
                // purged ones all the same, and could not say so, would take those: as duplicates, to be dropped.
                Some(purged) => self.replace(&purged)?,
            },
            Err(trouble) if incumbent.is_fenced() => {
                self.rebuild(&trouble.into_error())?;
                return Ok(End::Replaced);
            }
            // The next producer's initialisation aborts it as well.
            Err(trouble) => self.replace(&trouble.into_error())?,
        }
        Ok(End::Aborted)
    }

    /// Whether the transaction whose outcome was unknown has been committed. The new producer's initialisation has ended it
    /// by now, one way or the other, and the answer waits for pending offsets (`read_committed` asks for stable ones).
    fn was_committed(&self, offsets: &[OffsetCommit]) -> bool {
        let mut list = rdkafka::TopicPartitionList::with_capacity(offsets.len());
        for offset in offsets {
            list.add_partition(&offset.source.topic, offset.source.partition);
        }
        loop {
            if let Ok(stored) = self.seat.consumer().committed_offsets(list.clone(), CALL_TIMEOUT)
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
        self.producers.initialise()?;
        self.broken = match self.begin() {
            Ok(incumbent) => {
                let sink = &incumbent.sink;
                let fatal = || sink.producer().client().fatal_error().is_some();
                send_all(sink, records)?.map(|e| if fatal() { Trouble::Rebuild(e) } else { Trouble::Abort(e) })
            }
            Err(trouble) => Some(trouble),
        };
        Ok(())
    }

    fn commit(&mut self, offsets: &[OffsetCommit], generation: Option<Generation>) -> Result<End, DriverError> {
        let Some(Generation { metadata, .. }) = generation else { return self.end_open_transaction() };
        self.producers.initialise()?;
        match self.try_commit(offsets, metadata) {
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
            Err(Trouble::Hangs(error)) => {
                info!("offsets found no way into the transaction in time, its outcomes are staged again: {error}");
                self.replace(&error)?;
                Ok(End::Aborted)
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

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::RDKafkaRespErr;

    use rdkafka::types::RDKafkaApiKey;

    use super::super::context::{GroupConsumer, GroupContext};
    use super::super::status::StatusCell;
    use super::*;
    use crate::event::{NextOffset, TopicPartition};

    /// librdkafka asks for the group's coordinator once, and is told that it has moved.
    #[test]
    fn offsets_that_find_no_coordinator_cost_a_new_producer() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let reporter = Reporter { client: "outcomes", status: Arc::new(StatusCell::default()) };
        let context = GroupContext::new(reporter.clone(), |_| ());
        // It has no broker, or it would ask for the coordinator too.
        let config = Config::new("127.0.0.1:1", "g", "0", &["t"]).consumer().unwrap();
        let consumer: Arc<GroupConsumer> = Arc::new(config.create_with_context(context).unwrap());
        // It is no member: that is not what this is about.
        let group = || Some(Generation { consumer: Arc::clone(&consumer), metadata: consumer.group_metadata()? });
        let config = Arc::new(Config::new(&cluster.bootstrap_servers(), "g", "0", &["t"]));
        let mut transactions =
            Transactions::start(config, reporter, Stop::default(), Seat::new(Arc::clone(&consumer))).unwrap();

        let source = TopicPartition { topic: "t".into(), partition: 0 };
        let offsets = [OffsetCommit { source, position: NextOffset(7), metadata: "m".to_owned() }];
        let moved = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR;
        cluster.request_errors(RDKafkaApiKey::FindCoordinator, &[moved]);
        assert_eq!(transactions.commit(&offsets, group()).unwrap(), End::Aborted);
        assert_eq!(transactions.offsets_answer(), FIRST_OFFSETS_ANSWER * 2);
        // On a machine that is busy with something else the next one may be too slow as well, but not all of them.
        let mut again = || transactions.commit(&offsets, group()).unwrap() == End::Committed;
        assert!((0..5).any(|_| again()), "the new producer asks anew");
        assert_eq!(transactions.offsets_answer(), OFFSETS_ANSWER);
    }
}
