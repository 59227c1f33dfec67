//! Records into a librdkafka producer: conversion, a full queue, failed deliveries.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig, ThreadedProducer};
use rdkafka::util::IntoOpaque;

use super::DriverError;
use super::context::Reporter;
use crate::event::Outgoing;

/// How long a full queue is waited for before the send counts as failed.
const QUEUE_FULL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an emptying queue is looked at. Nothing tells us when it has room or is empty: successful deliveries are not
/// reported, `Producer::flush` of rust-rdkafka looks every 100 ms only, and its `poll` spins for the last millisecond of
/// its time-out, which was a tenth of the pipeline's CPU time. Failed deliveries are served by the producer's own thread.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a producer's context does with delivery reports.
pub(super) trait Deliveries: Send + Sync + 'static {
    /// Travels with each record.
    type Opaque: IntoOpaque;

    fn delivered(&self, result: Result<(), &KafkaError>, opaque: Self::Opaque);
}

pub(super) struct SinkContext<D> {
    reporter: Reporter,
    deliveries: Arc<D>,
}

impl<D: Send + Sync> ClientContext for SinkContext<D> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.reporter.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reporter.error(error, reason);
    }
}

impl<D: Deliveries> ProducerContext for SinkContext<D> {
    type DeliveryOpaque = D::Opaque;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: D::Opaque) {
        self.deliveries.delivered(result.as_ref().map(|_| ()).map_err(|(error, _)| error), opaque);
    }
}

/// A producer whose events are served by a thread of its own.
pub(super) struct Sink<D: Deliveries> {
    producer: ThreadedProducer<SinkContext<D>>,
}

/// Why a record was not accepted.
#[derive(Debug)]
pub(super) enum Refused {
    /// The record can never be produced.
    Record(DriverError),
    /// The producer cannot take it now: fenced, in an aborted transaction, its queue full for too long.
    Producer(KafkaError),
}

impl<D: Deliveries> Sink<D> {
    pub(super) fn new(config: &ClientConfig, reporter: Reporter, deliveries: Arc<D>) -> Result<Self, DriverError> {
        let context = SinkContext { reporter, deliveries };
        config.create_with_context(context).map(|producer| Self { producer }).map_err(DriverError::Client)
    }

    /// Hands one record to librdkafka, which copies it; an error if there is no room for it now.
    pub(super) fn try_send(&self, outgoing: &Outgoing, opaque: D::Opaque) -> Result<(), KafkaError> {
        self.producer.send(record_of(outgoing, opaque)).map_err(|(error, _)| error)
    }

    /// As [`Sink::try_send`], but waits while the queue is full.
    pub(super) fn send(&self, outgoing: &Outgoing, opaque: D::Opaque) -> Result<(), Refused> {
        let mut record = record_of(outgoing, opaque);
        let mut deadline = None;
        loop {
            let Err((error, back)) = self.producer.send(record) else { return Ok(()) };
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => {
                    let now = Instant::now();
                    if now > *deadline.get_or_insert(now + QUEUE_FULL_TIMEOUT) {
                        return Err(Refused::Producer(error));
                    }
                    std::thread::sleep(LOOK_EVERY);
                    record = back;
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessage) | None => {
                    return Err(Refused::Record(never(outgoing, &error)));
                }
                Some(_) => return Err(Refused::Producer(error)),
            }
        }
    }

    /// Waits until everything sent is delivered or has failed, or `give_up` says so. True if nothing is outstanding.
    pub(super) fn drain(&self, timeout: Duration, give_up: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        while self.producer.in_flight_count() > 0 {
            if give_up() || Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }

    /// Gives up what is on its way. Nobody uses the producer any more; somebody may still have it.
    pub(super) fn forsake(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
    }

    pub(super) fn producer(&self) -> &ThreadedProducer<SinkContext<D>> {
        &self.producer
    }
}

fn record_of<O: IntoOpaque>(outgoing: &Outgoing, opaque: O) -> BaseRecord<'_, [u8], [u8], O> {
    BaseRecord {
        topic: &outgoing.topic,
        partition: outgoing.partition,
        payload: outgoing.value.as_deref(),
        key: outgoing.key.as_deref(),
        timestamp: outgoing.timestamp_ms,
        headers: headers_of(outgoing),
        delivery_opaque: opaque,
    }
}

/// The error for a record that no retry helps.
pub(super) fn never(outgoing: &Outgoing, error: &KafkaError) -> DriverError {
    let bytes = outgoing.value.as_ref().map_or(0, bytes::Bytes::len) + outgoing.headers.size();
    DriverError::Record { topic: outgoing.topic.to_string(), bytes, message: error.to_string() }
}

/// librdkafka takes header names as text; whatever else comes in a name is replaced by U+FFFD (see `record`: such a name
/// cannot have been read from Kafka).
fn headers_of(outgoing: &Outgoing) -> Option<OwnedHeaders> {
    if outgoing.headers.is_empty() {
        return None;
    }
    let mut headers = OwnedHeaders::new_with_capacity(outgoing.headers.iter().count());
    for (name, value) in outgoing.headers.iter() {
        let key = String::from_utf8_lossy(name);
        headers = headers.insert(Header { key: &key, value });
    }
    Some(headers)
}

/// Failed deliveries since the last look; success costs nothing.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: AtomicU64,
    first: Mutex<Option<KafkaError>>,
}

impl Failures {
    pub(super) fn any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// The first error since the last call.
    pub(super) fn take(&self) -> Option<KafkaError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.count.store(0, Ordering::Release);
        first
    }
}

impl Deliveries for Failures {
    type Opaque = ();

    fn delivered(&self, result: Result<(), &KafkaError>, (): ()) {
        if let Err(error) = result {
            self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
            self.count.fetch_add(1, Ordering::Release);
        }
    }
}

/// Whether a delivery can never succeed.
pub(super) fn is_permanent(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessage
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::InvalidTopic
        )
    )
}
