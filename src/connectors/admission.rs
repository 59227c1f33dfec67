//! Back-pressure: whether a source may publish more right now.
//!
//! A real Kafka keeps what is published, so sources are always admitted. The embedded cluster of `coafi dev` silently
//! drops the oldest records of a partition above 100,000 records or 5 MB; there a source waits while the consumers are
//! more than half of that behind.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, error::KafkaError};

/// Bounds of a partition of librdkafka's mock cluster (`rdkafka_mock.c`), halved.
const HALF_OF_RECORDS: u64 = 50_000;
const HALF_OF_BYTES: u64 = 2_500_000;

/// Between two looks at the lag while it is too large: nobody tells when another group commits. The caller drops the wait
/// when it is told to stop.
const RECHECK: Duration = Duration::from_millis(20);

/// For one answer from the cluster.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Decides when a source may publish.
#[async_trait]
pub trait Admission: Send + Sync + fmt::Debug {
    /// Returns when `records` records of `bytes` bytes in all may be published.
    ///
    /// # Errors
    /// The cluster does not answer.
    async fn ready(&self, records: usize, bytes: usize) -> Result<(), AdmissionError>;
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("the lag of group {group} cannot be read: {message}")]
pub struct AdmissionError {
    pub group: String,
    pub message: String,
}

/// Always admits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

#[async_trait]
impl Admission for Open {
    async fn ready(&self, _records: usize, _bytes: usize) -> Result<(), AdmissionError> {
        Ok(())
    }
}

/// Admits while no partition of a topic has more than half of what the embedded cluster keeps, beyond what a consumer
/// group has committed.
pub struct LagBased(Arc<Lag>);

struct Lag {
    consumer: BaseConsumer,
    group: String,
    topic: String,
    /// The largest mean record size of a batch so far: with it, lag in records bounds lag in bytes.
    largest_mean: AtomicU64,
}

impl LagBased {
    /// `client` names the cluster; the group's committed offsets are read, the group is not joined.
    ///
    /// # Errors
    /// The client's configuration is wrong.
    pub fn new(client: &ClientConfig, group: &str, topic: &str) -> Result<Self, KafkaError> {
        let mut client = client.clone();
        client.set("group.id", group).set("enable.auto.commit", "false");
        let consumer = client.create()?;
        let (group, topic) = (group.to_owned(), topic.to_owned());
        Ok(Self(Arc::new(Lag { consumer, group, topic, largest_mean: AtomicU64::new(0) })))
    }
}

impl fmt::Debug for LagBased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LagBased").field("group", &self.0.group).field("topic", &self.0.topic).finish()
    }
}

#[async_trait]
impl Admission for LagBased {
    async fn ready(&self, records: usize, bytes: usize) -> Result<(), AdmissionError> {
        let (records, bytes) = (records as u64, bytes as u64);
        let mean = bytes / records.max(1);
        self.0.largest_mean.fetch_max(mean, Ordering::Relaxed);
        loop {
            let lag = Arc::clone(&self.0);
            let behind = tokio::task::spawn_blocking(move || lag.largest()).await;
            let error = |message: String| AdmissionError { group: self.0.group.clone(), message };
            let behind = behind.map_err(|e| error(e.to_string()))?.map_err(|e| error(e.to_string()))?;
            let mean = self.0.largest_mean.load(Ordering::Relaxed);
            // A batch that is larger than the bound by itself goes when nothing is before it.
            if behind == 0 || behind + records <= HALF_OF_RECORDS && behind * mean + bytes <= HALF_OF_BYTES {
                return Ok(());
            }
            tokio::time::sleep(RECHECK).await;
        }
    }
}

impl Lag {
    /// Records of the partition in which the group is furthest behind.
    fn largest(&self) -> Result<u64, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), TIMEOUT)?;
        let mut partitions = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            partitions.add_partition(&self.topic, partition.id());
        }
        let committed = self.consumer.committed_offsets(partitions, TIMEOUT)?;
        let mut largest = 0;
        for element in committed.elements() {
            let (low, high) = self.consumer.fetch_watermarks(&self.topic, element.partition(), TIMEOUT)?;
            let done = match element.offset() {
                Offset::Offset(offset) => offset.max(low),
                _ => low,
            };
            largest = largest.max(u64::try_from(high - done).unwrap_or(0));
        }
        Ok(largest)
    }
}
