//! Why a replica cannot start or has ended.

use rdkafka::error::KafkaError;

use crate::event::NextOffset;

/// What ends a replica. What passes by itself (a broker that is away, a rebalance, an aborted transaction) is none of
/// these.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("kafka.client.{name} cannot be set: {instead}")]
    ReservedProperty { name: String, instead: &'static str },
    #[error("kafka client cannot be created: {0}")]
    Client(#[source] KafkaError),
    #[error("cannot subscribe to {topics}: {source}")]
    Subscribe { topics: String, source: KafkaError },
    #[error("rebalance of group {group}: {message}")]
    Rebalance { group: String, message: String },
    #[error("consumer of group {group} failed for good: {message}")]
    Consumer { group: String, message: String },
    #[error(
        "transactional.id {id:?} was fenced {times} times in a row: another live replica uses the same group and slot; \
         give each replica a slot of its own"
    )]
    SlotConflict { id: String, times: usize },
    #[error(
        "group.instance.id {id:?} was taken over, again after this replica had joined anew: another live replica uses the same \
         group and slot; give each replica a slot of its own: {message}"
    )]
    InstanceConflict { id: String, message: String },
    #[error("group {group} removed this replica and took it in again as another member; what it had is taken anew")]
    Forgotten { group: String },
    #[error("producer failed for good: {message}")]
    Producer { message: String },
    #[error(
        "the brokers take no offset metadata as long as the offset map may be: lower engine.max_metadata_bytes to what they take, \
         or raise their offset.metadata.max.bytes (4096 unless set): {message}"
    )]
    MetadataTooLarge { message: String },
    #[error("record of {bytes} bytes for topic {topic} cannot be produced: {message}")]
    Record { topic: String, bytes: usize, message: String },
    #[error("topic {topic} refuses a receipt for good: {message}")]
    Receipt { topic: String, message: String },
    #[error(
        "committed position {position} of {topic}[{partition}] lies beyond the partition's end {end}: the topic was \
         truncated or made anew; reset the group's offset explicitly"
    )]
    PositionBeyondEnd { topic: String, partition: i32, position: NextOffset, end: NextOffset },
    #[error(
        "the committed offset {position} of {topic}[{partition}] carries an offset map of version {version}, which a newer \
         release wrote and this one cannot read: going on would do again what the map says is done; start that release \
         again (docs/operations.md, \"Upgrade and rollback\")"
    )]
    NewerOffsetMap { topic: String, partition: i32, position: NextOffset, version: u32 },
    #[error("thread {0:?} ended by a panic")]
    Panicked(&'static str),
    #[error("not drained within {0:?}; what was unresolved will be handled again by the partitions' next owner")]
    NotDrained(std::time::Duration),
    #[error("thread {name:?} cannot be started: {source}")]
    Thread { name: &'static str, source: std::io::Error },
    #[error("embedded cluster: {0}")]
    Embedded(String),
}
