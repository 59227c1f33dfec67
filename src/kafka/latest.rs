//! The latest value of each key of a compacted topic, for somebody who looks once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

/// Records read of one partition at most: the last ones. Compaction leaves far fewer.
const MAX_RECORDS: i64 = 100_000;
/// Between two looks at the deadline.
const POLL: Duration = Duration::from_millis(50);

/// Values by key, those that were taken back by a tombstone left out. Nothing if there is no such topic. What has not come
/// until `deadline` is left out too. `consumer` reports ends of partitions; it is assigned these, and left without any.
pub(super) fn latest(
    consumer: &BaseConsumer,
    topic: &str,
    deadline: Instant,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, KafkaError> {
    let left = || deadline.saturating_duration_since(Instant::now());
    let metadata = consumer.fetch_metadata(None, left())?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let mut assignment = TopicPartitionList::new();
    let mut open = BTreeSet::new();
    for partition in found.map_or(&[][..], |found| found.partitions()) {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), left())?;
        if low < high {
            let from = low.max(high - MAX_RECORDS);
            assignment.add_partition_offset(topic, partition.id(), Offset::Offset(from))?;
            open.insert(partition.id());
        }
    }
    let mut values = BTreeMap::new();
    if open.is_empty() {
        return Ok(values);
    }
    consumer.assign(&assignment)?;
    while !open.is_empty() && Instant::now() < deadline {
        match consumer.poll(POLL) {
            Some(Ok(record)) => {
                let key = record.key().unwrap_or_default().to_vec();
                match record.payload() {
                    Some(value) => drop(values.insert(key, value.to_vec())),
                    None => drop(values.remove(&key)),
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            // librdkafka goes on by itself, until the deadline.
            Some(Err(_)) | None => {}
        }
    }
    consumer.unassign()?;
    Ok(values)
}
