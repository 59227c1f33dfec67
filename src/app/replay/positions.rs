//! Where the replay's own group begins, and what it was begun for.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::Asked;
use super::turn::{Overtaken, Turn};
use crate::app::{AUDIT_TOPIC, Places};
use crate::event::TopicPartition;
use crate::kafka::scan::Stretch;
use crate::kafka::{metadata_of, properties};

/// For each answer of the brokers.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long another command that begins the same name may take until it has committed; and between two looks.
const FASTER_ONE_WAIT: Duration = Duration::from_secs(5);
const FASTER_ONE_PAUSE: Duration = Duration::from_millis(100);

/// Where what the replay was asked for is kept, see [`Asked`].
fn keeper() -> TopicPartition {
    TopicPartition { topic: AUDIT_TOPIC.into(), partition: 0 }
}

/// What the replay of this group was begun for; `None` if it was not begun.
///
/// # Errors
/// The brokers do not answer, or what is kept is not understood.
pub async fn asked(places: &Places, group: &str) -> anyhow::Result<Option<Asked>> {
    with_consumer(places, group, Isolation::Uncommitted, |consumer, group| {
        kept(&committed(consumer, group, &[keeper()])?, group)
    })
    .await
}

/// Commits the beginning of every stretch as the group's position where it has none yet, and with it what was asked for: a
/// replay of this name that was interrupted goes on where it stopped.
///
/// # Errors
/// [`Overtaken`], the brokers do not answer, or the group has members.
pub(super) async fn begin(places: &Places, group: &str, asked: &Asked, stretches: &[Stretch]) -> anyhow::Result<()> {
    let (wanted, of) = (asked.clone(), stretches.to_vec());
    let has_begun = with_consumer(places, group, Isolation::Uncommitted, move |consumer, group| {
        let known = known(consumer, group, &of)?;
        let Some(kept) = kept(&known, group)? else { return Ok(false) };
        same(&wanted, kept)?;
        // Partitions that the topics got since.
        let added = without_position(&known, &of)?;
        if added.count() > 0 {
            consumer.commit(&added, CommitMode::Sync).with_context(|| {
                format!("further offsets of group {group} cannot be committed: does it run already?")
            })?;
        }
        Ok(true)
    });
    if has_begun.await? {
        return Ok(());
    }
    let (wanted, of, client) = (asked.clone(), stretches.to_vec(), places.client_config());
    // What another turn decided is seen only in this isolation: its mark may still be on its way to the group.
    with_consumer(places, group, Isolation::Committed, move |consumer, group| {
        let turn = Turn::take(client, group)?;
        let known = known(consumer, group, &of)?;
        if let Some(kept) = kept(&known, group)? {
            return Ok(same(&wanted, kept)?);
        }
        let mut first = without_position(&known, &of)?;
        let keeper = keeper();
        let mut element = first.add_partition(&keeper.topic, keeper.partition);
        element.set_offset(Offset::Offset(0))?;
        element.set_metadata(wanted.metadata());
        let Err(error) = turn.commit(consumer, &first) else { return Ok(()) };
        match what_became(consumer, group)? {
            Some(kept) => Ok(same(&wanted, kept)?),
            None => Err(error),
        }
    })
    .await
}

/// What the name stands for after a commit that failed: it may have been committed nevertheless, and whoever was faster needs a
/// moment. The broker does not always say that it was fenced (seen: an unknown error).
fn what_became(consumer: &BaseConsumer, group: &str) -> anyhow::Result<Option<Asked>> {
    let until = Instant::now() + FASTER_ONE_WAIT;
    loop {
        let kept = kept(&committed(consumer, group, &[keeper()])?, group)?;
        if kept.is_some() || Instant::now() > until {
            return Ok(kept);
        }
        std::thread::sleep(FASTER_ONE_PAUSE);
    }
}

/// What is kept with these offsets.
fn kept(known: &TopicPartitionList, group: &str) -> anyhow::Result<Option<Asked>> {
    let keeper = keeper();
    let element = known.find_partition(&keeper.topic, keeper.partition);
    let metadata = element.as_ref().map(metadata_of).unwrap_or_default();
    Asked::read(&metadata).with_context(|| format!("what {group} was begun for is not known"))
}

/// With the moment that bounds such as `2h` are counted from: the plan was made by it.
fn same(wanted: &Asked, kept: Asked) -> Result<(), Overtaken> {
    if *wanted == kept { Ok(()) } else { Err(Overtaken::Begun(kept)) }
}

/// The beginnings of those stretches at which the group has no position yet.
fn without_position(known: &TopicPartitionList, stretches: &[Stretch]) -> anyhow::Result<TopicPartitionList> {
    let mut first = TopicPartitionList::new();
    for Stretch { source, from, .. } in stretches {
        let found = known.find_partition(&source.topic, source.partition);
        if !matches!(found.map(|found| found.offset()), Some(Offset::Offset(_))) {
            first.add_partition_offset(&source.topic, source.partition, Offset::Offset(from.0))?;
        }
    }
    Ok(first)
}

/// The group's offsets in these stretches' partitions and the keeper's.
fn known(consumer: &BaseConsumer, group: &str, stretches: &[Stretch]) -> anyhow::Result<TopicPartitionList> {
    let mut sources: Vec<TopicPartition> = stretches.iter().map(|stretch| stretch.source.clone()).collect();
    sources.push(keeper());
    committed(consumer, group, &sources)
}

fn committed(consumer: &BaseConsumer, group: &str, sources: &[TopicPartition]) -> anyhow::Result<TopicPartitionList> {
    let mut asked = TopicPartitionList::with_capacity(sources.len());
    for source in sources {
        asked.add_partition(&source.topic, source.partition);
    }
    consumer.committed_offsets(asked, TIMEOUT).with_context(|| format!("the offsets of group {group} are not known"))
}

/// What is asked while a transaction is about to move a position.
#[derive(Clone, Copy, Debug)]
enum Isolation {
    /// Where it is until then: a killed replay's transaction may be open for a while.
    Uncommitted,
    /// Where it is afterwards.
    Committed,
}

impl Isolation {
    const fn level(self) -> &'static str {
        match self {
            Self::Uncommitted => "read_uncommitted",
            Self::Committed => "read_committed",
        }
    }
}

/// Asks as the group, without joining it, where waiting holds nobody up.
async fn with_consumer<T: Send + 'static>(
    places: &Places,
    group: &str,
    isolation: Isolation,
    ask: impl FnOnce(&BaseConsumer, &str) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let mut client = places.client_config();
    client.set("group.id", group).set("enable.auto.commit", "false").set("isolation.level", isolation.level());
    properties::never_joins(&mut client);
    let group = group.to_owned();
    tokio::task::spawn_blocking(move || ask(&client.create()?, &group)).await?
}
