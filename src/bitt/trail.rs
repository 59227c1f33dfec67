//! Reads an event's outcome records from `coafi.bitt.records`. They all have the event's id as their key, so one partition is
//! read, from its beginning to its end at the time of asking.
//!
//! This is for a person who asks about one event. Searching the ledger has an index of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{bounds, partition_of};
use crate::dispatch::Failure;
use crate::schema::payloads::Outcome;
use crate::schema::{Codec, Payload};

/// Outcomes kept of one event: the last ones.
pub const MAX_RECORDS: usize = 1_000;
/// The brokers' answers are waited for this long.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a record for this long, reading is given up.
const STALLED_AFTER: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// Records between two reports of progress.
const PROGRESS_EVERY: u64 = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    #[error("topic {topic} cannot be read: {source}")]
    Kafka { topic: String, source: KafkaError },
    #[error("topic {topic} does not exist")]
    NoTopic { topic: String },
    #[error("{topic}[{partition}] gave no record for {STALLED_AFTER:?}, with {left} offsets to go")]
    Stalled { topic: String, partition: i32, left: i64 },
    #[error("an audit record of {topic} cannot be decoded: {failure}")]
    Undecodable { topic: String, failure: Failure },
    #[error("reading was interrupted: {0}")]
    Interrupted(String),
}

/// How far reading has come, in offsets of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

/// Where audit records are read from.
#[derive(Clone, Debug)]
pub struct Trail {
    config: ClientConfig,
    topic: String,
}

impl Trail {
    /// `properties`: further librdkafka properties (security).
    #[must_use]
    pub fn new(bootstrap_servers: &str, properties: &BTreeMap<String, String>, topic: &str) -> Self {
        let mut config = ClientConfig::new();
        for (name, value) in properties {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", bootstrap_servers)
            // Never joined: the partition is assigned, and nothing is committed.
            .set("group.id", "coafi-event-show")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error");
        Self { config, topic: topic.to_owned() }
    }

    /// The outcomes of the event with this id, in the order in which they were written.
    ///
    /// # Errors
    /// See [`TrailError`].
    pub async fn read(
        &self,
        event_id: &str,
        codec: &Codec,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<Vec<Outcome<'static>>, TrailError> {
        let (trail, key) = (self.clone(), bounds::attribute(event_id).into_owned());
        let values = tokio::task::spawn_blocking(move || trail.values(key.as_bytes(), progress))
            .await
            .map_err(|error| TrailError::Interrupted(error.to_string()))??;
        let mut outcomes = Vec::with_capacity(values.len());
        for value in values {
            let decoded = codec.decode_avro(&value).await;
            outcomes.push(decoded.map_err(|failure| TrailError::Undecodable { topic: self.topic.clone(), failure })?);
        }
        Ok(outcomes)
    }

    #[expect(clippy::disallowed_methods, reason = "edge: how long the broker may be silent")]
    fn values(&self, key: &[u8], mut progress: impl FnMut(Progress)) -> Result<VecDeque<Vec<u8>>, TrailError> {
        let failed = |source| TrailError::Kafka { topic: self.topic.clone(), source };
        let consumer: BaseConsumer = self.config.create().map_err(failed)?;
        let metadata = consumer.fetch_metadata(Some(&self.topic), BROKER_TIMEOUT).map_err(failed)?;
        let partitions = metadata.topics().iter().find(|t| t.name() == self.topic).map_or(0, |t| t.partitions().len());
        if partitions == 0 {
            return Err(TrailError::NoTopic { topic: self.topic.clone() });
        }
        let partition = partition_of(key, i32::try_from(partitions).expect("Kafka counts partitions in an i32"));
        let (low, high) = consumer.fetch_watermarks(&self.topic, partition, BROKER_TIMEOUT).map_err(failed)?;
        if low >= high {
            return Ok(VecDeque::new());
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, partition, Offset::Offset(low)).map_err(failed)?;
        consumer.assign(&assignment).map_err(failed)?;

        let total = u64::try_from(high - low).unwrap_or(0);
        let mut found = VecDeque::new();
        let mut last_record = Instant::now();
        let mut next = low;
        let mut seen = 0u64;
        while next < high {
            match consumer.poll(POLL) {
                Some(Ok(record)) => {
                    last_record = Instant::now();
                    next = record.offset() + 1;
                    seen += 1;
                    if seen.is_multiple_of(PROGRESS_EVERY) {
                        progress(Progress { done: u64::try_from(next - low).unwrap_or(0), total });
                    }
                    if is_outcome_of(&record, key) {
                        if found.len() == MAX_RECORDS {
                            found.pop_front();
                        }
                        found.push_back(record.payload().unwrap_or_default().to_vec());
                    }
                }
                // What follows is not committed: transaction markers, or a transaction that is still open.
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(failed(error)),
                None => {}
            }
            if last_record.elapsed() > STALLED_AFTER {
                return Err(TrailError::Stalled { topic: self.topic.clone(), partition, left: high - next });
            }
        }
        progress(Progress { done: total, total });
        Ok(found)
    }
}

fn is_outcome_of(record: &BorrowedMessage<'_>, key: &[u8]) -> bool {
    use rdkafka::message::Headers as _;
    record.key() == Some(key)
        && record.headers().is_some_and(|headers| {
            headers.iter().any(|header| {
                header.key == "ce_type" && header.value == Some(<Outcome<'static>>::EVENT_TYPE.as_bytes())
            })
        })
}

/// librdkafka goes on by itself.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}
