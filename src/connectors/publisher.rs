//! Publishes a source's events together with its source offsets, as the one who owns the source.
//!
//! [`Publisher::claim`] in this order: the producer is initialised with the source's transactional id, which fences any
//! predecessor and ends its open transaction; a claim is committed; the offsets are read up to that claim. From then on
//! [`Publisher::publish`] is all or nothing, and fails once somebody else has claimed the source: a source is never
//! published by two, and none of its events is repeated or skipped.
//!
//! A publisher that failed is to be dropped, and the source claimed anew: whatever became of its last transaction, the
//! offsets that are read then say so.
//!
//! [`Delivery::Idempotent`] is for the embedded cluster, which knows no aborted transactions: events first, then offsets;
//! a crash between them repeats events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use serde_json::{Value, json};

use super::offsets_reader;
use super::source_offset::{OFFSETS_TOPIC, SourceId};
use crate::event::Outgoing;
use crate::kafka::properties;
use crate::schema::payloads::SourceOffset;
use crate::schema::{Codec, Encoder};

/// The part in which the last claim of a source stands.
pub(super) const CLAIM_PART: &str = "owner";

/// After this a transaction is aborted by the broker: how long readers wait for a publisher that was killed and has no
/// successor.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// For initialising, and for publishing one batch with its retries.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(60);

/// Transactions of one batch that may be aborted before the publisher gives up.
const ABORTS_MAX: u32 = 5;

/// One wait for a delivery report, which is what makes room in a full queue.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(5);

/// How events and offsets are bound together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    #[default]
    Transactional,
    Idempotent,
}

#[derive(Clone, Debug)]
pub struct PublisherSettings {
    /// Names the cluster and how to log in; everything else is set here.
    pub client: ClientConfig,
    pub offsets_topic: String,
    pub delivery: Delivery,
    /// Encodes and decodes offsets.
    pub codec: Codec,
}

impl PublisherSettings {
    #[must_use]
    pub fn new(client: ClientConfig, codec: Codec) -> Self {
        Self { client, offsets_topic: OFFSETS_TOPIC.to_owned(), delivery: Delivery::default(), codec }
    }
}

/// Offsets by part.
pub type Parts = BTreeMap<String, Value>;

#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// Somebody else has claimed the source.
    #[error("source {source_id} was claimed by another connector")]
    Fenced { source_id: SourceId },
    /// The event itself cannot be published; trying again does not help.
    #[error("an event of source {source_id} cannot be published: {message}")]
    Refused { source_id: SourceId, message: String },
    #[error("topic {topic:?} does not exist; `coafi topics apply` makes it")]
    NoTopic { topic: String },
    /// An offset that cannot be read; going on without it would repeat or skip.
    #[error("offsets of source {source_id} cannot be read: {message}")]
    Unreadable { source_id: SourceId, message: String },
    /// The cluster does not answer, or answers with an error.
    #[error("source {source_id}: {message}")]
    Kafka { source_id: SourceId, message: String },
}

/// The owner of a source.
pub struct Publisher {
    inner: Arc<Inner>,
}

struct Inner {
    producer: ThreadedProducer<Deliveries>,
    source: SourceId,
    partition: i32,
    settings: PublisherSettings,
    encoder: Encoder<SourceOffset>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Publisher").field(&self.inner.source).finish()
    }
}

impl Publisher {
    /// Takes the source over from whoever has it, and gives its offsets by part. `instance` is for people who look at who
    /// owns a source.
    ///
    /// # Errors
    /// [`PublishError`]
    pub async fn claim(
        settings: &PublisherSettings,
        source: &SourceId,
        instance: &str,
        now_ms: i64,
    ) -> Result<(Self, Parts), PublishError> {
        let schema = |failure: crate::dispatch::Failure| PublishError::Kafka {
            source_id: source.clone(),
            message: format!("the offset's schema: {failure}"),
        };
        let encoder = settings.codec.encoder::<SourceOffset>(&settings.offsets_topic).await.map_err(schema)?;
        let claimed = {
            let (settings, source, instance) = (settings.clone(), source.clone(), instance.to_owned());
            blocking(source.clone(), move || claim(settings, source, encoder, &instance, now_ms)).await?
        };
        let (publisher, raw) = claimed;
        let mut parts = Parts::new();
        for (part, value) in raw {
            let unreadable = |message: String| PublishError::Unreadable {
                source_id: source.clone(),
                message: format!("part {part:?}: {message}"),
            };
            let offset: SourceOffset =
                settings.codec.decode_avro(&value).await.map_err(|error| unreadable(error.to_string()))?;
            let offset = serde_json::from_str(&offset.offset).map_err(|error| unreadable(error.to_string()))?;
            parts.insert(part, offset);
        }
        Ok((publisher, parts))
    }

    /// Publishes events and the offsets that cover them: both or neither. In the order given, per partition.
    ///
    /// # Errors
    /// [`PublishError`]; the publisher cannot be used any more then.
    pub async fn publish(
        &self,
        events: Vec<Outgoing>,
        offsets: impl IntoIterator<Item = (String, Option<Value>)>,
        now_ms: i64,
    ) -> Result<(), PublishError> {
        let inner = Arc::clone(&self.inner);
        let offsets = offsets.into_iter().map(|(part, offset)| inner.offset(&part, offset.as_ref(), now_ms));
        let offsets = offsets.collect::<Result<Vec<_>, _>>()?;
        blocking(inner.source.clone(), move || inner.publish(&events, offsets)).await
    }
}

async fn blocking<T: Send + 'static>(
    source_id: SourceId,
    work: impl FnOnce() -> Result<T, PublishError> + Send + 'static,
) -> Result<T, PublishError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(PublishError::Kafka { source_id, message: error.to_string() }))
}

fn claim(
    settings: PublisherSettings,
    source: SourceId,
    encoder: Encoder<SourceOffset>,
    instance: &str,
    now_ms: i64,
) -> Result<(Publisher, offsets_reader::RawParts), PublishError> {
    let failed =
        |error: &dyn std::fmt::Display| PublishError::Kafka { source_id: source.clone(), message: error.to_string() };
    let producer = producer(&settings, &source).map_err(|error| failed(&error))?;
    let partitions = partitions(&producer, &settings.offsets_topic).map_err(|error| failed(&error))?;
    if partitions == 0 {
        return Err(PublishError::NoTopic { topic: settings.offsets_topic });
    }
    if settings.delivery == Delivery::Transactional {
        producer.init_transactions(PUBLISH_TIMEOUT).map_err(|error| failed(&error))?;
    }
    let partition = source.partition(partitions);
    let inner = Inner { producer, source: source.clone(), partition, settings, encoder };
    // The nonce makes the claim's bytes its own.
    let mark = json!({"v": 1, "instance": instance, "nonce": uuid::Uuid::new_v4()});
    let claim = inner.offset(CLAIM_PART, Some(&mark), now_ms)?;
    let bytes = claim.value.clone().unwrap_or_default();
    inner.publish(&[], vec![claim])?;
    let settings = &inner.settings;
    let read = offsets_reader::read(&settings.client, &settings.offsets_topic, partitions, &source, partition, &bytes);
    let raw = read.map_err(|error| failed(&error))?;
    Ok((Publisher { inner: Arc::new(inner) }, raw))
}

fn producer(settings: &PublisherSettings, source: &SourceId) -> Result<ThreadedProducer<Deliveries>, KafkaError> {
    let mut client = settings.client.clone();
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        // The default is 1 GiB. A batch is a few MB.
        .set("queue.buffering.max.kbytes", "16384");
    let transactional = settings.delivery == Delivery::Transactional;
    let backoff = transactional.then_some(("retry.backoff.ms", "10"));
    let tuning = [("compression.type", "zstd"), ("linger.ms", "5"), ("queue.buffering.max.messages", "50000")];
    tuning.into_iter().chain(backoff).for_each(|(name, value)| properties::set(&mut client, name, value));
    if transactional {
        client
            .set("transactional.id", source.transactional_id())
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
            // A record must not outlive the transaction that it belongs to.
            .set("message.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string());
    }
    client.create_with_context(Deliveries::default())
}

/// How many partitions the topic has; 0 if there is no such topic.
pub(super) fn partitions<C: ProducerContext + 'static>(
    producer: &ThreadedProducer<C>,
    topic: &str,
) -> Result<i32, KafkaError> {
    let metadata = producer.client().fetch_metadata(Some(topic), PUBLISH_TIMEOUT)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic).filter(|found| found.error().is_none());
    Ok(found.map_or(0, |found| i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)))
}

impl Inner {
    fn offset(&self, part: &str, offset: Option<&Value>, now_ms: i64) -> Result<Outgoing, PublishError> {
        let encode = |offset: &Value| {
            let record = SourceOffset {
                connector: self.source.connector.clone(),
                source: self.source.source.clone(),
                part: part.to_owned(),
                offset: offset.to_string(),
                updated_at: now_ms,
            };
            let mut bytes = Vec::new();
            self.encoder.encode(&record, &mut bytes).map(|()| bytes.into())
        };
        let value = offset.map(encode).transpose();
        Ok(Outgoing {
            topic: self.settings.offsets_topic.as_str().into(),
            partition: Some(self.partition),
            key: Some(self.source.key(part).into()),
            value: value.map_err(|error| self.kafka(error.to_string()))?,
            headers: crate::event::Headers::default(),
            timestamp_ms: None,
        })
    }

    fn publish(&self, events: &[Outgoing], offsets: Vec<Outgoing>) -> Result<(), PublishError> {
        let deadline = Instant::now() + PUBLISH_TIMEOUT;
        match self.settings.delivery {
            Delivery::Transactional => self.in_transaction(events, &offsets, deadline),
            Delivery::Idempotent => {
                // The offsets only once the events are acknowledged.
                self.send_all(events, deadline).and_then(|()| self.flush(deadline))?;
                self.send_all(&offsets, deadline).and_then(|()| self.flush(deadline))
            }
        }
    }

    fn in_transaction(&self, events: &[Outgoing], offsets: &[Outgoing], deadline: Instant) -> Result<(), PublishError> {
        for _ in 0..ABORTS_MAX {
            self.producer.begin_transaction().map_err(|error| self.error(&error))?;
            let sent = self.send_all(events, deadline).and_then(|()| self.send_all(offsets, deadline));
            if let Err(error) = sent {
                self.abort(deadline)?;
                return Err(error);
            }
            match self.commit(deadline)? {
                Ended::Committed => return Ok(()),
                Ended::MustAbort(reason) => {
                    tracing::warn!(source = %self.source, reason, "transaction aborted; publishing the batch again");
                    self.abort(deadline)?;
                }
            }
        }
        Err(self.kafka(format!("{ABORTS_MAX} transactions in a row were aborted")))
    }

    fn commit(&self, deadline: Instant) -> Result<Ended, PublishError> {
        loop {
            match self.producer.commit_transaction(left(deadline)) {
                Ok(()) => return Ok(Ended::Committed),
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                    return Ok(Ended::MustAbort(error.string()));
                }
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
                // The outcome may be unknown. Whoever claims the source next learns it.
                Err(error) => return Err(self.error(&error)),
            }
        }
    }

    fn abort(&self, deadline: Instant) -> Result<(), PublishError> {
        loop {
            match self.producer.abort_transaction(left(deadline)) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
                Err(error) => return Err(self.error(&error)),
            }
        }
    }

    fn send_all(&self, records: &[Outgoing], deadline: Instant) -> Result<(), PublishError> {
        records.iter().try_for_each(|record| self.send(record, deadline))
    }

    fn send(&self, record: &Outgoing, deadline: Instant) -> Result<(), PublishError> {
        let mut message = BaseRecord::<[u8], [u8]>::to(&record.topic);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.partition = record.partition;
        message.timestamp = record.timestamp_ms;
        if !record.headers.is_empty() {
            let mut headers = OwnedHeaders::new();
            for (name, value) in record.headers.iter() {
                headers = headers.insert(Header { key: &String::from_utf8_lossy(name), value });
            }
            message.headers = Some(headers);
        }
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    message = back;
                    self.producer.poll(QUEUE_FULL_WAIT);
                }
                Err((error @ KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    return Err(PublishError::Refused { source_id: self.source.clone(), message: error.to_string() });
                }
                Err((error, _)) => return Err(self.error(&error)),
            }
        }
    }

    fn flush(&self, deadline: Instant) -> Result<(), PublishError> {
        self.producer.flush(left(deadline)).map_err(|error| self.error(&error))?;
        match self.producer.context().take_failure() {
            Some(error) => Err(self.error(&error)),
            None => Ok(()),
        }
    }

    fn error(&self, error: &KafkaError) -> PublishError {
        let code = match error {
            KafkaError::Transaction(error) => Some(error.code()),
            error => error.rdkafka_error_code(),
        };
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        let fenced = |code: &RDKafkaErrorCode| {
            matches!(
                code,
                RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch
            )
        };
        if code.iter().chain(&fatal).any(fenced) {
            return PublishError::Fenced { source_id: self.source.clone() };
        }
        self.kafka(error.to_string())
    }

    fn kafka(&self, message: String) -> PublishError {
        PublishError::Kafka { source_id: self.source.clone(), message }
    }
}

enum Ended {
    Committed,
    MustAbort(String),
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Keeps the first failed delivery. In a transaction librdkafka itself remembers: the commit fails.
#[derive(Default)]
struct Deliveries {
    failure: Mutex<Option<KafkaError>>,
}

impl Deliveries {
    fn take_failure(&self) -> Option<KafkaError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl rdkafka::ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}
