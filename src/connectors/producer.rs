//! Publishes single events as they come, for sources that keep no offsets: whoever sent an event knows whether it arrived.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::event::Outgoing;
use crate::kafka::properties;

/// Events that may wait for their acknowledgement at a time, all callers together.
const QUEUED_EVENTS_MAX: &str = "10000";

/// An idempotent producer: an event counts once every in-sync replica has it, and keeps its place among those of its key.
#[derive(Clone)]
pub struct EventProducer {
    producer: FutureProducer,
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub partition: i32,
    pub offset: i64,
}

/// Why an event was not published, or is not known to be.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProduceError {
    /// It is not published.
    #[error("too many events wait to be published")]
    Full,
    /// It is not published: the topic takes no record of this size.
    #[error("the event is larger than {topic} takes")]
    TooLarge { topic: String },
    /// It may be published all the same: a time-out does not say which.
    #[error("the event was not acknowledged by {topic}: {message}")]
    NotAcknowledged { topic: String, message: String },
}

impl EventProducer {
    /// `queue_bytes` bounds what waits for its acknowledgement, `timeout` how long an event may.
    ///
    /// # Errors
    /// The client's configuration is wrong.
    pub fn new(client: &ClientConfig, queue_bytes: usize, timeout: Duration) -> Result<Self, KafkaError> {
        let mut client = client.clone();
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.kbytes", (queue_bytes / 1_024).max(1).to_string())
            // A record must not outlive the caller who waits for it.
            .set("message.timeout.ms", timeout.as_millis().to_string());
        let tuning =
            [("compression.type", "zstd"), ("linger.ms", "2"), ("queue.buffering.max.messages", QUEUED_EVENTS_MAX)];
        tuning.into_iter().for_each(|(name, value)| properties::set(&mut client, name, value));
        Ok(Self { producer: client.create()? })
    }

    /// Publishes one record and waits until all in-sync replicas have it.
    ///
    /// # Errors
    /// [`ProduceError`]
    pub async fn send(&self, record: &Outgoing) -> Result<Placed, ProduceError> {
        let mut headers = OwnedHeaders::new();
        for (name, value) in record.headers.iter() {
            headers = headers.insert(Header { key: &String::from_utf8_lossy(name), value });
        }
        let mut message = FutureRecord::<[u8], [u8]>::to(&record.topic).headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        let topic = || record.topic.to_string();
        match self.producer.send(message, Duration::ZERO).await {
            Ok(delivery) => Ok(Placed { partition: delivery.partition, offset: delivery.offset }),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Err(ProduceError::Full),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                Err(ProduceError::TooLarge { topic: topic() })
            }
            Err((error, _)) => Err(ProduceError::NotAcknowledged { topic: topic(), message: error.to_string() }),
        }
    }
}

impl std::fmt::Debug for EventProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventProducer").finish_non_exhaustive()
    }
}
