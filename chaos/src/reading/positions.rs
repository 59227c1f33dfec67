//! What the group has committed.

use anyhow::{Context as _, Result};
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

use super::offset_map;
use super::topic::{ANSWER_LIMIT, client};
use crate::reconcile::Position;
use crate::world::{GROUP, RETRY_TOPIC, TOPIC};

/// The group's position in every partition that it has committed one for.
///
/// # Errors
/// The coordinator does not answer, or an offset map is damaged.
pub fn read(kafka: &str) -> Result<Vec<Position>> {
    let consumer = client(kafka, GROUP, "read_committed")?;
    let mut list = TopicPartitionList::new();
    for topic in [TOPIC, RETRY_TOPIC] {
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT).context("ask for partitions")?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            list.add_partition(topic, partition.id());
        }
    }
    let committed = consumer.committed_offsets(list, ANSWER_LIMIT).context("ask for committed offsets")?;
    let mut positions = Vec::new();
    for element in committed.elements() {
        let Offset::Offset(committed) = element.offset() else { continue };
        let (topic, partition) = (element.topic().to_owned(), element.partition());
        let resolved = offset_map::resolved(element.metadata(), committed)
            .with_context(|| format!("{topic}[{partition}] at {committed}"))?;
        positions.push(Position { topic, partition, committed, resolved });
    }
    Ok(positions)
}
