//! Why recorded topics cannot be read.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Bound;
use super::records::STALLED_AFTER;
use super::stretch::SETTLED_WITHIN;
use crate::event::TopicPartition;
use crate::kafka::heard::{Listener, why};

#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("the Kafka client refuses its configuration: {0}")]
    Client(#[source] KafkaError),
    #[error("topic {topic} cannot be read: {source}{}", heard(.said.as_ref()))]
    Kafka {
        topic: String,
        source: KafkaError,
        /// Why no broker answers, in librdkafka's words.
        said: Option<String>,
    },
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

impl ScanError {
    /// With what this consumer, which is given up, has heard of its connections, where no broker answered it.
    pub(super) fn heard_by(self, consumer: &Listener) -> Self {
        match self {
            Self::Kafka { topic, source, said: None } if is_silence(&source) => {
                Self::Kafka { topic, source, said: why(consumer) }
            }
            other => other,
        }
    }
}

fn is_silence(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    matches!(error.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut))
}

fn heard(said: Option<&String>) -> String {
    said.map_or_else(String::new, |said| format!(": {said}"))
}
