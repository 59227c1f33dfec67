//! Who runs which source: a consumer group whose members read nothing.
//!
//! The group's partitions of `coafi.connect.offsets` are shared out by Kafka; whoever has a partition runs the sources
//! that hash to it, everybody else stands by and takes over when the group gives it the partition. The group only decides
//! who tries: that two never publish the same source is the producers' fencing (see `publisher`), so nothing here has to
//! be waited for when a partition moves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::kafka::properties;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::watch;

/// A member that does not answer for this long loses its partitions: how long a takeover after `kill -9` takes.
const SESSION_TIMEOUT_MS: &str = "6000";

const POLL: Duration = Duration::from_millis(100);

const METADATA_TIMEOUT: Duration = Duration::from_secs(30);

/// Who decides which process runs a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// This process runs all, as in `coafi dev`.
    Alone,
    /// The members of this consumer group share them out.
    Group(String),
}

/// Membership in a connector's group. Leaves it when dropped, at once with [`Ownership::leave`].
#[derive(Debug)]
pub struct Ownership {
    owned: watch::Receiver<BTreeSet<i32>>,
    stop: Arc<AtomicBool>,
    member: Option<tokio::task::JoinHandle<Result<(), KafkaError>>>,
}

impl Ownership {
    /// Joins `group` on `topic`. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// The client's configuration is wrong.
    pub fn join(client: &ClientConfig, group: &str, topic: &str) -> Result<Self, KafkaError> {
        let (sender, owned) = watch::channel(BTreeSet::new());
        let mut client = client.clone();
        client
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT_MS)
            .set("heartbeat.interval.ms", "500")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "latest");
        properties::set(&mut client, "topic.metadata.refresh.interval.ms", "30000");
        let consumer: BaseConsumer<Member> = client.create_with_context(Member { owned: sender })?;
        consumer.subscribe(&[topic])?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let member = tokio::task::spawn_blocking(move || {
            while !told.load(Ordering::Relaxed) {
                match consumer.poll(POLL) {
                    // Partitions are paused; a record that was on its way is not ours to read.
                    None | Some(Ok(_)) => {}
                    Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                    Some(Err(error)) => tracing::debug!(%error, "ownership group"),
                }
            }
            consumer.unsubscribe();
            Ok(())
        });
        Ok(Self { owned, stop, member: Some(member) })
    }

    /// How many partitions the topic has that sources are shared out by; 0 if there is no such topic. Blocks.
    ///
    /// # Errors
    /// The brokers do not say.
    pub fn partitions(client: &ClientConfig, topic: &str) -> Result<i32, KafkaError> {
        let consumer: BaseConsumer = client.create()?;
        let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        Ok(found.map_or(0, |found| i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)))
    }

    /// The partitions that this member has; changes as the group does.
    #[must_use]
    pub fn owned(&self) -> watch::Receiver<BTreeSet<i32>> {
        self.owned.clone()
    }

    /// Leaves the group, so that another member takes over without waiting for the session to end.
    ///
    /// # Errors
    /// The membership had ended with an error before.
    pub async fn leave(mut self) -> Result<(), KafkaError> {
        self.stop.store(true, Ordering::Relaxed);
        match self.member.take() {
            Some(member) => member.await.unwrap_or(Err(KafkaError::Canceled)),
            None => Ok(()),
        }
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Member {
    owned: watch::Sender<BTreeSet<i32>>,
}

impl rdkafka::ClientContext for Member {}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(revoked) = rebalance {
            let revoked: BTreeSet<i32> = partitions(revoked).collect();
            self.owned.send_modify(|owned| owned.retain(|partition| !revoked.contains(partition)));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(assigned) = rebalance {
            if let Err(error) = consumer.pause(assigned) {
                tracing::debug!(%error, "the ownership group's partitions are read for nothing");
            }
            self.owned.send_modify(|owned| owned.extend(partitions(assigned)));
        }
    }
}

fn partitions(list: &TopicPartitionList) -> impl Iterator<Item = i32> {
    list.elements().into_iter().map(|element| element.partition()).collect::<Vec<_>>().into_iter()
}
