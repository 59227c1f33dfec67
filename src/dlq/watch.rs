//! What comes of records that were sent again: the audit topic, followed from before they were sent.
//!
//! Everything that is committed is read, by nobody's group; only outcomes whose key is awaited are passed on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::order::Heard;
use super::states::ours;
use crate::dispatch::Failure;
use crate::kafka::properties;
use crate::schema::payloads::{Outcome, Place};
use crate::schema::{Codec, Payload};

/// Outcomes that were read and not yet looked at.
const AHEAD: usize = 256;
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("topic {topic} cannot be followed: {source}")]
    Kafka { topic: String, source: KafkaError },
    #[error("no thread can be started: {0}")]
    Thread(#[source] std::io::Error),
    /// Nothing can be decoded: a record that is at fault itself is [`Rubbish`].
    #[error("an outcome of {topic} cannot be decoded: {failure}")]
    Undecodable { topic: String, failure: Failure },
}

/// A record with an awaited key that is no outcome: somebody else wrote it, who may do so as long as the cluster lets them. It
/// is passed over, and said.
#[derive(Debug)]
pub(super) struct Rubbish {
    place: Place<'static>,
    failure: Failure,
}

impl Rubbish {
    pub(super) fn said(self) -> Heard {
        Heard::Rubbish { place: self.place.to_string(), why: self.failure.to_string() }
    }
}

/// The outcome that stands there, or what stands there instead.
///
/// # Errors
/// The schema registry does not answer: then nothing is known of any record.
pub(super) async fn decoded(
    codec: &Codec,
    place: Place<'static>,
    value: &[u8],
) -> Result<Result<Outcome<'static>, Rubbish>, WatchError> {
    match ours(codec.decode_avro(value).await) {
        Ok(decoded) => Ok(decoded.map_err(|failure| Rubbish { place, failure })),
        Err(failure) => Err(WatchError::Undecodable { topic: place.topic.into_owned(), failure }),
    }
}

/// Follows the audit topic. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Watch {
    topic: String,
    awaited: Arc<Awaited>,
    outcomes: Receiver<Result<Read, KafkaError>>,
}

/// A record as it was read.
#[derive(Debug)]
struct Read {
    partition: i32,
    offset: i64,
    value: Bytes,
}

/// The keys of the outcomes that are awaited.
type Awaited = Mutex<BTreeSet<Bytes>>;

impl Watch {
    /// From these offsets on, by partition.
    ///
    /// # Errors
    /// The client refuses its configuration, or no thread can be started.
    pub(super) fn start(client: &ClientConfig, topic: &str, from: &BTreeMap<i32, i64>) -> Result<Self, WatchError> {
        let failed = |source| WatchError::Kafka { topic: topic.to_owned(), source };
        let consumer = consumer(client, topic, from).map_err(failed)?;
        let (sender, outcomes) = channel(AHEAD);
        let awaited = Arc::<Awaited>::default();
        let keys = Arc::clone(&awaited);
        std::thread::Builder::new()
            .name("coafi-watch".to_owned())
            .spawn(move || follow(&consumer, &keys, &sender))
            .map_err(WatchError::Thread)?;
        Ok(Self { topic: topic.to_owned(), awaited, outcomes })
    }

    /// From now on outcomes with this key are of interest; to be said before they can be there.
    pub(super) fn expect(&self, key: Bytes) {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    /// The next outcome with an awaited key, whosever it is; `None` if there is none within `patience`.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub(super) async fn next(
        &mut self,
        codec: &Codec,
        patience: Duration,
    ) -> Result<Option<Result<Outcome<'static>, Rubbish>>, WatchError> {
        let Ok(Some(read)) = tokio::time::timeout(patience, self.outcomes.recv()).await else { return Ok(None) };
        let Read { partition, offset, value } =
            read.map_err(|source| WatchError::Kafka { topic: self.topic.clone(), source })?;
        let place = Place { topic: self.topic.clone().into(), partition, offset };
        decoded(codec, place, &value).await.map(Some)
    }
}

fn follow(consumer: &BaseConsumer, awaited: &Awaited, outcomes: &Sender<Result<Read, KafkaError>>) {
    while !outcomes.is_closed() {
        let item = match consumer.poll(POLL) {
            None => continue,
            Some(Ok(record)) if is_awaited(&record, awaited) => {
                let value = Bytes::copy_from_slice(record.payload().unwrap_or_default());
                Ok(Read { partition: record.partition(), offset: record.offset(), value })
            }
            Some(Ok(_)) => continue,
            // librdkafka goes on by itself.
            Some(Err(error)) if is_passing(error.rdkafka_error_code()) => continue,
            Some(Err(error)) => Err(error),
        };
        let failed = item.is_err();
        if outcomes.blocking_send(item).is_err() || failed {
            return;
        }
    }
}

fn is_awaited(record: &BorrowedMessage<'_>, awaited: &Awaited) -> bool {
    let is_key = |key: &[u8]| awaited.lock().unwrap_or_else(PoisonError::into_inner).contains(key);
    let mut headers = record.headers().into_iter().flat_map(|headers| headers.iter());
    record.key().is_some_and(is_key)
        && headers.any(|h| h.key == "ce_type" && h.value == Some(<Outcome<'static>>::EVENT_TYPE.as_bytes()))
}

fn is_passing(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}

fn consumer(client: &ClientConfig, topic: &str, from: &BTreeMap<i32, i64>) -> Result<BaseConsumer, KafkaError> {
    let mut client = client.clone();
    for (name, value) in [
        ("group.id", properties::READERS),
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_committed"),
        ("auto.offset.reset", "error"),
        ("queued.max.messages.kbytes", "8192"),
        ("fetch.queue.backoff.ms", "10"),
        ("fetch.wait.max.ms", "100"),
    ] {
        properties::set(&mut client, name, value);
    }
    properties::never_joins(&mut client);
    let consumer: BaseConsumer = client.create()?;
    let mut assignment = TopicPartitionList::new();
    for (partition, offset) in from {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}
