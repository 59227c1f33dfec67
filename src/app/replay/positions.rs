//! Where the replay's own group begins.

use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::app::Places;
use crate::kafka::properties;
use crate::kafka::scan::Stretch;

/// For each answer of the brokers.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Commits the beginning of every stretch as the group's position, where it has none yet: a replay of this name that was
/// interrupted goes on where it stopped.
///
/// # Errors
/// The brokers do not answer, or the group has members.
pub(super) async fn begin(places: &Places, group: &str, stretches: &[Stretch]) -> anyhow::Result<()> {
    let mut client = places.client_config();
    client
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        // Whether there is a position is asked, not whether a transaction is about to move it.
        .set("isolation.level", "read_uncommitted");
    properties::never_joins(&mut client);
    let (group, stretches) = (group.to_owned(), stretches.to_vec());
    let work = move || -> anyhow::Result<()> {
        let consumer: BaseConsumer = client.create()?;
        let mut asked = TopicPartitionList::with_capacity(stretches.len());
        for Stretch { source, .. } in &stretches {
            asked.add_partition(&source.topic, source.partition);
        }
        let known = consumer
            .committed_offsets(asked, TIMEOUT)
            .with_context(|| format!("the offsets of group {group} are not known"))?;
        let mut first = TopicPartitionList::new();
        for Stretch { source, from, .. } in &stretches {
            let found = known.find_partition(&source.topic, source.partition);
            if !matches!(found.map(|found| found.offset()), Some(Offset::Offset(_))) {
                first.add_partition_offset(&source.topic, source.partition, Offset::Offset(from.0))?;
            }
        }
        if first.count() > 0 {
            consumer.commit(&first, CommitMode::Sync).with_context(|| {
                format!("the first offsets of group {group} cannot be committed: does it run already?")
            })?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(work).await?
}
