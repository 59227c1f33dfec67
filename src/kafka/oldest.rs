//! When the oldest unresolved record of each partition was written: the one at the group's position.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::PartitionOffsets;

/// Between two looks at the deadline.
const POLL: Duration = Duration::from_millis(50);

/// Fills in what is not resolved yet, partition by partition, until `deadline`: what is not known by then stays unknown, as
/// where only markers of transactions follow. `consumer` is assigned these partitions, and left without any.
pub(super) fn fill(
    consumer: &BaseConsumer,
    partitions: &mut [PartitionOffsets],
    deadline: Instant,
) -> Result<(), KafkaError> {
    let mut behind: BTreeMap<(String, i32), &mut PartitionOffsets> =
        partitions.iter_mut().filter(|p| p.lag() > 0).map(|p| ((p.topic.clone(), p.partition), p)).collect();
    if behind.is_empty() {
        return Ok(());
    }
    let mut assignment = TopicPartitionList::new();
    for ((topic, partition), offsets) in &behind {
        let from = offsets.committed.unwrap_or(offsets.start).max(offsets.start);
        assignment.add_partition_offset(topic, *partition, Offset::Offset(from))?;
    }
    consumer.assign(&assignment)?;
    let mut ends = Ends::of(behind.keys());
    while !behind.is_empty() && Instant::now() < deadline {
        match consumer.poll(POLL) {
            Some(Ok(record)) => {
                if let Some(offsets) = behind.remove(&(record.topic().to_owned(), record.partition())) {
                    offsets.oldest_ms = record.timestamp().to_millis();
                    let mut seen = TopicPartitionList::new();
                    seen.add_partition(record.topic(), record.partition());
                    consumer.pause(&seen)?;
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if ends.all_of(partition) {
                    behind.retain(|(_, number), _| *number != partition);
                }
            }
            // What the brokers have said so far is enough to go by.
            Some(Err(_)) | None => {}
        }
    }
    consumer.unassign()
}

/// Ends by the number of their partition: librdkafka does not say of which topic.
struct Ends(BTreeMap<i32, usize>);

impl Ends {
    fn of<'a>(partitions: impl Iterator<Item = &'a (String, i32)>) -> Self {
        let mut left = BTreeMap::new();
        partitions.for_each(|(_, partition)| *left.entry(*partition).or_default() += 1);
        Self(left)
    }

    /// One partition of this number has ended: true if every topic's has.
    fn all_of(&mut self, partition: i32) -> bool {
        let left = self.0.entry(partition).or_default();
        *left = left.saturating_sub(1);
        *left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_counts_for_every_topic_that_has_the_partition() {
        let partitions = [("a", 0), ("b", 0), ("a", 1)].map(|(topic, partition)| (topic.to_owned(), partition));
        let mut ends = Ends::of(partitions.iter());
        assert!(!ends.all_of(0), "of a or of b");
        assert!(ends.all_of(0) && ends.all_of(1));
    }
}
