//! Why recorded topics cannot be read.

use rdkafka::error::KafkaError;

use super::Bound;
use super::records::STALLED_AFTER;
use super::stretch::SETTLED_WITHIN;
use crate::event::TopicPartition;

#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("the Kafka client refuses its configuration: {0}")]
    Client(#[source] KafkaError),
    #[error("topic {topic} cannot be read: {source}")]
    Kafka { topic: String, source: KafkaError },
    #[error("topic {topic} does not exist")]
    NoTopic { topic: String },
    #[error("topic {topic} has no partition {partition}; allowed: 0 to {last}")]
    NoPartition { topic: String, partition: i32, last: i32 },
    #[error("what is to be read begins at {from}, after its end {to}")]
    Backwards { from: Bound, to: Bound },
    #[error("offset {from} of {source_partition} is gone: the oldest that still exists is {oldest}")]
    Expired { source_partition: TopicPartition, from: i64, oldest: i64 },
    #[error("retention took records of topic {topic} while they were being read")]
    Overtaken { topic: String },
    #[error("{source_partition} gave no record for {STALLED_AFTER:?}, with {left} offsets to go")]
    Stalled { source_partition: TopicPartition, left: u64 },
    #[error(
        "a transaction in {source_partition} has been open for more than {SETTLED_WITHIN:?}: what it wrote cannot be read yet; \
         kafka-transactions.sh find-hanging names its producer"
    )]
    Unsettled { source_partition: TopicPartition },
    #[error("no thread can be started: {0}")]
    Thread(#[source] std::io::Error),
    #[error("the thread that reads has ended by itself")]
    Ended,
}
