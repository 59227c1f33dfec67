//! Reads an event's records from `coafi.bitt.records`, from the beginning to the end at the time of asking. Its outcomes all
//! have the event's id as their key, so one partition is read; its receipts may be in any, and are read only for an event
//! without outcomes.
//!
//! This is for a person who asks about one event. Searching the ledger has an index of its own.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::de::DeserializeOwned;

use super::{bounds, partition_of};
use crate::dispatch::Failure;
use crate::schema::payloads::{Outcome, Receipt};
use crate::schema::{Codec, Payload};

/// Records kept of one event: the last ones.
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
    Stalled { topic: String, partition: i32, left: u64 },
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
            // Must fit into whatever max.poll.interval.ms the properties have.
            .set("session.timeout.ms", "1000")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error");
        Self { config, topic: topic.to_owned() }
    }

    /// The outcomes of the events with this id, in the order in which they were written.
    ///
    /// # Errors
    /// See [`TrailError`].
    pub async fn outcomes(
        &self,
        event_id: &str,
        codec: &Codec,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<Vec<Outcome<'static>>, TrailError> {
        let key = bounds::attribute(event_id).into_owned();
        let sought = Sought { event_type: <Outcome<'static>>::EVENT_TYPE, id: key.into_bytes(), is_key: true };
        self.decoded(sought, codec, progress).await
    }

    /// The receipts that name an event with this id, in no particular order.
    ///
    /// # Errors
    /// See [`TrailError`].
    pub async fn receipts(
        &self,
        event_id: &str,
        codec: &Codec,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<Vec<Receipt<'static>>, TrailError> {
        let id = bounds::attribute(event_id).into_owned();
        let bytes = id.clone().into_bytes();
        let sought = Sought { event_type: <Receipt<'static>>::EVENT_TYPE, id: bytes, is_key: false };
        let mut receipts: Vec<Receipt<'static>> = self.decoded(sought, codec, progress).await?;
        // Until here any receipt whose bytes have the id's in them.
        receipts.retain(|receipt| receipt.event_ids.iter().any(|named| *named == id));
        Ok(receipts)
    }

    async fn decoded<T: Payload + DeserializeOwned>(
        &self,
        sought: Sought,
        codec: &Codec,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<Vec<T>, TrailError> {
        let trail = self.clone();
        let values = tokio::task::spawn_blocking(move || trail.values(&sought, progress))
            .await
            .map_err(|error| TrailError::Interrupted(error.to_string()))??;
        let mut all = Vec::with_capacity(values.len());
        for value in values {
            let decoded = codec.decode_avro(&value).await;
            all.push(decoded.map_err(|failure| TrailError::Undecodable { topic: self.topic.clone(), failure })?);
        }
        Ok(all)
    }

    /// The values of the last [`MAX_RECORDS`] records that are sought.
    #[expect(clippy::disallowed_methods, reason = "edge: how long the broker may be silent")]
    fn values(&self, sought: &Sought, mut progress: impl FnMut(Progress)) -> Result<VecDeque<Vec<u8>>, TrailError> {
        let failed = |source| TrailError::Kafka { topic: self.topic.clone(), source };
        let consumer: BaseConsumer = self.config.create().map_err(failed)?;
        let mut left = Left::of(self.ranges(&consumer, sought)?);
        let mut assignment = TopicPartitionList::new();
        for (partition, range) in &left.ranges {
            let from = Offset::Offset(range.start);
            assignment.add_partition_offset(&self.topic, *partition, from).map_err(failed)?;
        }
        consumer.assign(&assignment).map_err(failed)?;

        let total = left.offsets();
        let mut found = VecDeque::new();
        let mut last_record = Instant::now();
        let mut seen = 0u64;
        while let Some((&partition, _)) = left.ranges.first_key_value() {
            match consumer.poll(POLL) {
                Some(Ok(record)) => {
                    last_record = Instant::now();
                    seen += 1;
                    if left.read(record.partition(), record.offset()) && sought.is(&record) {
                        if found.len() == MAX_RECORDS {
                            found.pop_front();
                        }
                        found.push_back(record.payload().unwrap_or_default().to_vec());
                    }
                    if seen.is_multiple_of(PROGRESS_EVERY) {
                        progress(Progress { done: total.saturating_sub(left.offsets()), total });
                    }
                }
                // What follows is not committed: transaction markers, or a transaction that is still open.
                Some(Err(KafkaError::PartitionEOF(partition))) => left.ended(partition),
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(failed(error)),
                None => {}
            }
            if last_record.elapsed() > STALLED_AFTER {
                return Err(TrailError::Stalled { topic: self.topic.clone(), partition, left: left.offsets() });
            }
        }
        progress(Progress { done: total, total });
        Ok(found)
    }

    /// The offsets to read, by partition.
    fn ranges(&self, consumer: &BaseConsumer, sought: &Sought) -> Result<BTreeMap<i32, Range<i64>>, TrailError> {
        let failed = |source| TrailError::Kafka { topic: self.topic.clone(), source };
        let metadata = consumer.fetch_metadata(Some(&self.topic), BROKER_TIMEOUT).map_err(failed)?;
        let count = metadata.topics().iter().find(|t| t.name() == self.topic).map_or(0, |t| t.partitions().len());
        let count = i32::try_from(count).expect("Kafka counts partitions in an i32");
        if count == 0 {
            return Err(TrailError::NoTopic { topic: self.topic.clone() });
        }
        let partitions = if sought.is_key {
            let one = partition_of(&sought.id, count);
            one..one + 1
        } else {
            0..count
        };
        let mut ranges = BTreeMap::new();
        for partition in partitions {
            let (low, high) = consumer.fetch_watermarks(&self.topic, partition, BROKER_TIMEOUT).map_err(failed)?;
            ranges.insert(partition, low..high);
        }
        Ok(ranges)
    }
}

/// Which records are wanted.
struct Sought {
    event_type: &'static str,
    id: Vec<u8>,
    /// The id is the record's key; else it is somewhere in its value.
    is_key: bool,
}

impl Sought {
    fn is(&self, record: &BorrowedMessage<'_>) -> bool {
        use rdkafka::message::Headers as _;
        let has_id = if self.is_key {
            record.key() == Some(&*self.id)
        } else {
            let value = record.payload().unwrap_or_default();
            !self.id.is_empty() && value.windows(self.id.len()).any(|part| part == self.id)
        };
        let mut headers = record.headers().into_iter().flat_map(|headers| headers.iter());
        has_id && headers.any(|h| h.key == "ce_type" && h.value == Some(self.event_type.as_bytes()))
    }
}

/// The offsets that are still to be read; a partition without any is gone.
struct Left {
    ranges: BTreeMap<i32, Range<i64>>,
}

impl Left {
    fn of(mut ranges: BTreeMap<i32, Range<i64>>) -> Self {
        ranges.retain(|_, range| !range.is_empty());
        Self { ranges }
    }

    fn offsets(&self) -> u64 {
        self.ranges.values().map(|range| u64::try_from(range.end - range.start).unwrap_or(0)).sum()
    }

    /// Whether the offset is one of those to be read.
    fn read(&mut self, partition: i32, offset: i64) -> bool {
        let Some(range) = self.ranges.get_mut(&partition) else { return false };
        let wanted = offset < range.end;
        range.start = offset + 1;
        if range.is_empty() {
            self.ranges.remove(&partition);
        }
        wanted
    }

    fn ended(&mut self, partition: i32) {
        self.ranges.remove(&partition);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_shrinks_to_nothing() {
        let mut left = Left::of([(0, 5..8), (1, 3..3), (2, 0..10)].into());
        assert_eq!((left.ranges.len(), left.offsets()), (2, 13), "an empty partition is none");
        assert!(left.read(0, 6), "5 was compacted away");
        assert!(left.read(0, 7) && !left.read(0, 8), "8 was written after the question");
        left.ended(2);
        assert!(left.ranges.is_empty());
    }
}
