//! Where the replay's own group begins, and what it was begun for.

use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::Asked;
use crate::app::{AUDIT_TOPIC, Places};
use crate::event::TopicPartition;
use crate::kafka::scan::Stretch;
use crate::kafka::{metadata_of, properties};

/// For each answer of the brokers.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where what the replay was asked for is kept, see [`Asked`].
fn keeper() -> TopicPartition {
    TopicPartition { topic: AUDIT_TOPIC.into(), partition: 0 }
}

/// What the replay of this group was begun for; `None` if it was not begun.
///
/// # Errors
/// The brokers do not answer, or what is kept is not understood.
pub async fn asked(places: &Places, group: &str) -> anyhow::Result<Option<Asked>> {
    let kept = with_consumer(places, group, |consumer, group| {
        let known = committed(consumer, group, &[keeper()])?;
        Ok(known.elements().first().map(metadata_of).unwrap_or_default())
    });
    Asked::read(&kept.await?).with_context(|| format!("what {group} was begun for is not known"))
}

/// Commits the beginning of every stretch as the group's position where it has none yet, and with it what was asked for: a
/// replay of this name that was interrupted goes on where it stopped.
///
/// # Errors
/// The brokers do not answer, or the group has members.
pub(super) async fn begin(places: &Places, group: &str, asked: &Asked, stretches: &[Stretch]) -> anyhow::Result<()> {
    let (stretches, asked) = (stretches.to_vec(), asked.metadata());
    with_consumer(places, group, move |consumer, group| {
        let mut sources: Vec<TopicPartition> = stretches.iter().map(|stretch| stretch.source.clone()).collect();
        sources.push(keeper());
        let known = committed(consumer, group, &sources)?;
        let is_new = |source: &TopicPartition| {
            let found = known.find_partition(&source.topic, source.partition);
            !matches!(found.map(|found| found.offset()), Some(Offset::Offset(_)))
        };
        let mut first = TopicPartitionList::new();
        for Stretch { source, from, .. } in stretches.iter().filter(|stretch| is_new(&stretch.source)) {
            first.add_partition_offset(&source.topic, source.partition, Offset::Offset(from.0))?;
        }
        let keeper = keeper();
        if is_new(&keeper) {
            let mut element = first.add_partition(&keeper.topic, keeper.partition);
            element.set_offset(Offset::Offset(0))?;
            element.set_metadata(asked);
        }
        if first.count() > 0 {
            consumer.commit(&first, CommitMode::Sync).with_context(|| {
                format!("the first offsets of group {group} cannot be committed: does it run already?")
            })?;
        }
        Ok(())
    })
    .await
}

fn committed(consumer: &BaseConsumer, group: &str, sources: &[TopicPartition]) -> anyhow::Result<TopicPartitionList> {
    let mut asked = TopicPartitionList::with_capacity(sources.len());
    for source in sources {
        asked.add_partition(&source.topic, source.partition);
    }
    consumer.committed_offsets(asked, TIMEOUT).with_context(|| format!("the offsets of group {group} are not known"))
}

/// Asks as the group, without joining it, where waiting holds nobody up.
async fn with_consumer<T: Send + 'static>(
    places: &Places,
    group: &str,
    ask: impl FnOnce(&BaseConsumer, &str) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let mut client = places.client_config();
    client
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        // Whether there is a position is asked, not whether a transaction is about to move it.
        .set("isolation.level", "read_uncommitted");
    properties::never_joins(&mut client);
    let group = group.to_owned();
    tokio::task::spawn_blocking(move || ask(&client.create()?, &group)).await?
}
