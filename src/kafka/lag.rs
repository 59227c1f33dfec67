//! How far a consumer group is behind, as the brokers know it: for people, not for the replicas themselves.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use super::{oldest, properties};
use crate::config::Kafka;

/// For the times of the oldest records; those that have not come by then are not shown.
const OLDEST_WAIT: Duration = Duration::from_secs(2);

/// Everything that the group has committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupLag {
    /// In order of topic and partition.
    pub partitions: Vec<PartitionOffsets>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "Shown")]
pub struct PartitionOffsets {
    pub topic: String,
    pub partition: i32,
    /// The group's position; `None` if it never committed here.
    pub committed: Option<i64>,
    /// The oldest offset that still exists.
    pub start: i64,
    /// The position after the last record that readers of committed data see (the last stable offset).
    pub end: i64,
    /// When the record at the position was written, in milliseconds since the Unix epoch; `None` if nothing is left, or it
    /// is not known.
    pub oldest_ms: Option<i64>,
}

/// Why the lag is not known.
#[derive(Debug, thiserror::Error)]
pub enum LagError {
    #[error("the Kafka client refuses its configuration")]
    Client(#[source] KafkaError),
    #[error("Kafka at {servers} does not say {what}")]
    Unavailable { servers: String, what: &'static str, source: KafkaError },
    #[error("Kafka at {servers} does not answer")]
    Silent { servers: String },
    #[error("no thread can be started")]
    Thread(#[source] std::io::Error),
    #[error("there is no topic {topic:?}")]
    UnknownTopic { topic: String },
}

impl GroupLag {
    /// The lag of all partitions together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.partitions.iter().map(PartitionOffsets::lag).sum()
    }
}

impl PartitionOffsets {
    /// Offsets from the position (never committed: from the oldest) to the end. Records that are resolved above the position
    /// and transaction markers count until the position passes them.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let from = self.committed.unwrap_or(self.start).max(self.start);
        u64::try_from(self.end - from).unwrap_or(0)
    }
}

/// The lag of `kafka.group_id` in `topics`, or in every topic in which it has committed if none is named. Blocks; one answer
/// is waited for `timeout`, all together four times as long.
///
/// # Errors
/// The brokers do not answer, or a named topic does not exist.
pub fn group_lag(kafka: &Kafka, topics: &[String], timeout: Duration) -> Result<GroupLag, LagError> {
    let consumer = reader(kafka)?;
    let (answer, answered) = sync_channel(1);
    let (servers, topics) = (kafka.bootstrap_servers.clone(), topics.to_vec());
    let ask = move || {
        // Nobody listens once it has taken too long.
        let _ = answer.send(ask(&consumer, &servers, &topics, timeout));
        // Closing a client can take for ever while no broker answers (seen with librdkafka 2.12), so it is done here, where
        // nobody waits for it.
        drop(consumer);
    };
    std::thread::Builder::new().name("coafi-lag".to_owned()).spawn(ask).map_err(LagError::Thread)?;
    let late = || LagError::Silent { servers: kafka.bootstrap_servers.clone() };
    answered.recv_timeout(timeout * 5).unwrap_or_else(|_| Err(late()))
}

fn ask(consumer: &BaseConsumer, servers: &str, topics: &[String], timeout: Duration) -> Result<GroupLag, LagError> {
    let deadline = Instant::now() + timeout * 4;
    let left = || deadline.saturating_duration_since(Instant::now()).min(timeout);
    let unavailable = |what| move |source| LagError::Unavailable { servers: servers.to_owned(), what, source };

    let asked = asked_partitions(consumer, topics, left()).map_err(|error| match error {
        Asked::Kafka(source) => unavailable("which topics there are")(source),
        Asked::Unknown(topic) => LagError::UnknownTopic { topic },
    })?;
    let committed = consumer.committed_offsets(asked, left()).map_err(unavailable("what the group has committed"))?;
    let mut lag = GroupLag::default();
    for element in committed.elements() {
        let position = match element.offset() {
            Offset::Offset(position) => Some(position),
            _ if topics.is_empty() => continue,
            _ => None,
        };
        let (topic, partition) = (element.topic(), element.partition());
        let ends = consumer.fetch_watermarks(topic, partition, left());
        let (start, end) = ends.map_err(unavailable("where a partition ends"))?;
        let topic = topic.to_owned();
        lag.partitions.push(PartitionOffsets { topic, partition, committed: position, start, end, oldest_ms: None });
    }
    let until = Instant::now() + left().min(OLDEST_WAIT);
    oldest::fill(consumer, &mut lag.partitions, until).map_err(unavailable("how old the oldest records are"))?;
    lag.partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(lag)
}

enum Asked {
    Kafka(KafkaError),
    Unknown(String),
}

impl From<KafkaError> for Asked {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

/// Every partition of the named topics, or of all topics but Kafka's own.
fn asked_partitions(
    consumer: &BaseConsumer,
    topics: &[String],
    timeout: Duration,
) -> Result<TopicPartitionList, Asked> {
    let metadata = consumer.fetch_metadata(None, timeout)?;
    let mut partitions = TopicPartitionList::new();
    for topic in metadata.topics() {
        let wanted =
            if topics.is_empty() { !topic.name().starts_with("__") } else { topics.iter().any(|t| t == topic.name()) };
        if wanted {
            for partition in topic.partitions() {
                partitions.add_partition(topic.name(), partition.id());
            }
        }
    }
    let unknown = topics.iter().find(|name| !metadata.topics().iter().any(|topic| topic.name() == name.as_str()));
    unknown.map_or(Ok(partitions), |name| Err(Asked::Unknown(name.clone())))
}

/// A consumer that asks and never joins or commits.
fn reader(kafka: &Kafka) -> Result<BaseConsumer, LagError> {
    let mut client = ClientConfig::new();
    for (name, value) in &kafka.client {
        client.set(name, value.expose());
    }
    client
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", &kafka.group_id)
        .set("enable.auto.commit", "false")
        // The end is then the last stable offset: what a replica can reach.
        .set("isolation.level", "read_committed")
        // One record of a partition is read, to know its time.
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", "1024");
    properties::never_joins(&mut client);
    properties::set(&mut client, "queued.min.messages", "1");
    properties::set(&mut client, "fetch.message.max.bytes", "65536");
    client.create().map_err(LagError::Client)
}

/// The JSON of one partition.
#[derive(Serialize)]
struct Shown {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: i64,
    lag: u64,
    /// When the oldest unresolved record was written.
    oldest_ms: Option<i64>,
}

impl From<PartitionOffsets> for Shown {
    fn from(offsets: PartitionOffsets) -> Self {
        let lag = offsets.lag();
        let PartitionOffsets { topic, partition, committed, end, oldest_ms, .. } = offsets;
        Self { topic, partition, committed, end, lag, oldest_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_starts_at_the_position_or_at_the_oldest_offset() {
        let lag = |committed, start, end| {
            PartitionOffsets { topic: "t".into(), partition: 0, committed, start, end, oldest_ms: None }.lag()
        };
        assert_eq!(lag(Some(3), 0, 10), 7);
        assert_eq!(lag(None, 4, 10), 6);
        assert_eq!(lag(Some(3), 5, 10), 5, "retention has passed the position");
        assert_eq!(lag(Some(12), 0, 10), 0, "the topic was recreated");
    }
}
