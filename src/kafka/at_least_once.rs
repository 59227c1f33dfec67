//! At-least-once delivery: every outcome is acknowledged by all in-sync replicas, then the offsets are committed.
//!
//! A failure in between repeats outcomes, never loses one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use tracing::{info, warn};

use super::DriverError;
use super::config::{Config, MESSAGE_TIMEOUT};
use super::context::{GroupConsumer, Reporter};
use super::seat::Generation;
use super::sink::{Failures, Sink};
use super::stop::Stop;
use super::timed_calls::TimedCalls;
use super::writer::{Delivery, End, OffsetCommit, list_of, refused, send_all};
use crate::event::Outgoing;

/// How long the offsets' commit is tried again while the group rebalances or its coordinator moves.
const COMMIT_RETRY_FOR: Duration = Duration::from_secs(10);
/// Outcomes that are acknowledged later than this are worth a line: nothing is committed meanwhile.
const SLOW_DELIVERY: Duration = Duration::from_secs(10);
/// How long one commit is waited for. librdkafka's call has no time-out, and a replica was seen to commit nothing for 92 s after
/// the death of a broker, while it stayed a member of its group; the next rebalance ended that.
const COMMIT_ANSWER: Duration = Duration::from_secs(3);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct AtLeastOnce {
    config: Arc<Config>,
    reporter: Reporter,
    stop: Stop,
    failures: Arc<Failures>,
    sink: Sink<Failures>,
    broken: Option<KafkaError>,
    calls: TimedCalls,
}

impl AtLeastOnce {
    pub(super) fn start(config: Arc<Config>, reporter: Reporter, stop: Stop) -> Result<Self, DriverError> {
        let failures = Arc::<Failures>::default();
        let sink = Sink::new(&config.outcome_producer()?, reporter.clone(), Arc::clone(&failures))?;
        reporter.status.update(|status| status.producer_ready = true);
        Ok(Self { config, reporter, stop, failures, sink, broken: None, calls: TimedCalls::default() })
    }

    fn renew(&mut self) -> Result<(), DriverError> {
        let config = self.config.outcome_producer()?;
        self.sink = Sink::new(&config, self.reporter.clone(), Arc::clone(&self.failures))?;
        Ok(())
    }

    fn delivered(&mut self) -> Result<(), KafkaError> {
        // One that failed is known at once, the others settle before anything is staged again.
        let began = Instant::now();
        let drained = self.sink.drain(MESSAGE_TIMEOUT * 2, || self.stop.is_set());
        if began.elapsed() > SLOW_DELIVERY {
            warn!("outcomes were acknowledged, or given up, only after {:?}", began.elapsed());
        }
        match self.broken.take().or_else(|| self.failures.take()) {
            Some(error) => Err(error),
            None if drained => Ok(()),
            None => Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)),
        }
    }

    fn commit_offsets(&self, offsets: &[OffsetCommit], consumer: &Arc<GroupConsumer>) -> Result<(), KafkaError> {
        let list = list_of(offsets);
        let deadline = Instant::now() + COMMIT_RETRY_FOR;
        loop {
            // A commit of partitions that were lost would be accepted from a member that has joined again.
            if consumer.assignment_lost() {
                return Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::AssignmentLost));
            }
            let (consumer, offsets) = (Arc::clone(consumer), list.clone());
            // It may be made twice: the same offsets.
            let commit = move || consumer.commit(&offsets, CommitMode::Sync);
            let error = match self.calls.call(COMMIT_ANSWER, commit) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(given_up) => {
                    warn!("librdkafka has not answered a commit of offsets for {COMMIT_ANSWER:?}; it is made again");
                    given_up.into()
                }
            };
            let passing = matches!(
                error.rdkafka_error_code(),
                Some(
                    RDKafkaErrorCode::RebalanceInProgress
                        | RDKafkaErrorCode::NotCoordinator
                        | RDKafkaErrorCode::CoordinatorNotAvailable
                        | RDKafkaErrorCode::CoordinatorLoadInProgress
                        | RDKafkaErrorCode::WaitingForCoordinator
                        | RDKafkaErrorCode::BrokerTransportFailure
                        | RDKafkaErrorCode::RequestTimedOut
                        | RDKafkaErrorCode::OperationTimedOut
                )
            );
            if !passing || Instant::now() > deadline || self.stop.wait(RETRY_PAUSE) {
                return Err(error);
            }
        }
    }
}

impl Delivery for AtLeastOnce {
    fn produce(&mut self, records: &[Outgoing]) -> Result<(), DriverError> {
        if self.broken.is_none() {
            self.broken = send_all(&self.sink, records)?;
        }
        Ok(())
    }

    fn commit(&mut self, offsets: &[OffsetCommit], generation: Option<Generation>) -> Result<End, DriverError> {
        if let Err(error) = self.delivered() {
            if let Some(end) = refused(&error) {
                return Err(end);
            }
            warn!("outcomes were not acknowledged, they are staged again: {error}");
            if self.sink.producer().client().fatal_error().is_some() {
                self.renew()?;
            }
            return Ok(End::Aborted);
        }
        if offsets.is_empty() {
            return Ok(End::Committed);
        }
        let Some(Generation { consumer, .. }) = generation else { return Ok(End::Aborted) };
        match self.commit_offsets(offsets, &consumer) {
            Ok(()) => Ok(End::Committed),
            Err(error) => {
                if let Some(end) = refused(&error) {
                    return Err(end);
                }
                info!("offsets not committed, their outcomes are staged again: {error}");
                Ok(End::Aborted)
            }
        }
    }

    /// What was delivered stays: at-least-once. What is not yet goes with its producer, for it is produced again.
    fn abort(&mut self) -> Result<End, DriverError> {
        if self.sink.producer().in_flight_count() > 0 {
            self.renew()?;
        }
        self.broken = None;
        self.failures.take();
        Ok(End::Aborted)
    }
}
