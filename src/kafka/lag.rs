//! How far a consumer group is behind, as the brokers know it: for people, not for the replicas themselves.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::{oldest, properties};
use crate::config::Kafka;

/// For the times of the oldest records; those that have not come by then are not shown.
const OLDEST_WAIT: Duration = Duration::from_secs(2);
/// Before a group without a coordinator is asked about again.
const COORDINATOR_PAUSE: Duration = Duration::from_millis(200);
/// What a client may have told meanwhile, of which a refusal is looked for.
const TOLD_MAX: usize = 100;
/// What a [`scanner`] reads ahead.
const SCANNER_QUEUE_KBYTES: &str = "16384";

/// Everything that the group has committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupLag {
    /// In order of topic and partition.
    pub partitions: Vec<PartitionOffsets>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOffsets {
    pub topic: String,
    pub partition: i32,
    /// The group's position; `None` if it never committed here.
    pub committed: Option<i64>,
    /// The oldest offset that still exists.
    pub start: i64,
    /// The position after the last record that readers of committed data see (the last stable offset).
    pub end: i64,
    /// When the record at the position was written, in milliseconds since the Unix epoch; `None` if nothing is left, or it
    /// is not known.
    pub oldest_ms: Option<i64>,
}

/// Why the lag is not known.
#[derive(Debug, thiserror::Error)]
pub enum LagError {
    #[error("the Kafka client refuses its configuration")]
    Client(#[source] KafkaError),
    #[error("Kafka at {servers} does not say {what}")]
    Unavailable { servers: String, what: &'static str, source: KafkaError },
    #[error("Kafka at {servers} does not answer")]
    Silent { servers: String },
    #[error("no thread can be started")]
    Thread(#[source] std::io::Error),
    #[error("there is no topic {topic:?}")]
    UnknownTopic { topic: String },
}

impl GroupLag {
    /// The lag of all partitions together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.partitions.iter().map(PartitionOffsets::lag).sum()
    }
}

impl PartitionOffsets {
    /// Offsets from the position (never committed: from the oldest) to the end. Records that are resolved above the position
    /// and transaction markers count until the position passes them.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let from = self.committed.unwrap_or(self.start).max(self.start);
        u64::try_from(self.end - from).unwrap_or(0)
    }
}

/// The lag of `kafka.group_id` in `topics`, or in every topic in which it has committed if none is named. Blocks; one answer
/// is waited for `timeout`, all together four times as long.
///
/// # Errors
/// The brokers do not answer, or a named topic does not exist.
pub fn group_lag(kafka: &Kafka, topics: &[String], timeout: Duration) -> Result<GroupLag, LagError> {
    lag_as_seen(kafka, topics, timeout, Isolation::Committed)
}

/// Where `kafka.group_id` stands in these topics, whether it has begun there or not; partitions end behind everything that was
/// ever written. Otherwise as [`group_lag`].
///
/// # Errors
/// As [`group_lag`].
pub fn group_positions(kafka: &Kafka, topics: &[String], timeout: Duration) -> Result<Vec<PartitionOffsets>, LagError> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    Ok(lag_as_seen(kafka, topics, timeout, Isolation::Uncommitted)?.partitions)
}

fn lag_as_seen(
    kafka: &Kafka,
    topics: &[String],
    timeout: Duration,
    isolation: Isolation,
) -> Result<GroupLag, LagError> {
    let (asked, topics) = (kafka.clone(), topics.to_vec());
    in_background(kafka, timeout * 5, move |clients| {
        let consumer = clients.add(reader(&asked, isolation)?);
        let patience = Patience::new(&asked, timeout);
        let asked = asked_partitions(consumer, &topics, patience.left()).map_err(patience.unavailable(TOPICS))?;
        if let Some(topic) = asked.unknown.into_iter().next() {
            return Err(LagError::UnknownTopic { topic });
        }
        lag(consumer, asked.partitions, !topics.is_empty(), &patience)
    })
}

/// Runs `ask` on a thread of its own. Closing a client can take for ever while no broker answers (seen with librdkafka 2.12),
/// so the clients are closed there, where nobody waits for it.
pub(super) fn in_background<T: Send + 'static>(
    kafka: &Kafka,
    wait: Duration,
    ask: impl FnOnce(&mut Clients) -> Result<T, LagError> + Send + 'static,
) -> Result<T, LagError> {
    let (answer, answered) = sync_channel(1);
    let body = move || {
        let mut clients = Clients::default();
        // Nobody listens once it has taken too long.
        let _ = answer.send(ask(&mut clients));
    };
    std::thread::Builder::new().name("coafi-lag".to_owned()).spawn(body).map_err(LagError::Thread)?;
    let late = || LagError::Silent { servers: kafka.bootstrap_servers.clone() };
    answered.recv_timeout(wait).unwrap_or_else(|_| Err(late()))
}

/// Clients that are to be closed after the answer was given.
#[derive(Default)]
pub(super) struct Clients(Vec<BaseConsumer>);

impl Clients {
    pub(super) fn add(&mut self, client: BaseConsumer) -> &BaseConsumer {
        self.0.push(client);
        self.0.last().expect("just added")
    }
}

/// How long the brokers may take.
pub(super) struct Patience {
    servers: String,
    each: Duration,
    deadline: Instant,
}

impl Patience {
    /// `each` answer, and four times as long for all together.
    pub(super) fn new(kafka: &Kafka, each: Duration) -> Self {
        Self { servers: kafka.bootstrap_servers.clone(), each, deadline: Instant::now() + each * 4 }
    }

    /// For the next answer.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now()).min(self.each)
    }

    pub(super) fn unavailable(&self, what: &'static str) -> impl Fn(KafkaError) -> LagError {
        move |source| LagError::Unavailable { servers: self.servers.clone(), what, source }
    }
}

pub(super) const TOPICS: &str = "which topics there are";

/// Of these partitions: of all of them if `also_uncommitted`, else of those in which the group has committed.
pub(super) fn lag(
    consumer: &BaseConsumer,
    partitions: TopicPartitionList,
    also_uncommitted: bool,
    patience: &Patience,
) -> Result<GroupLag, LagError> {
    let committed = committed(consumer, partitions, patience)?;
    let mut lag = GroupLag::default();
    for element in committed.elements() {
        let position = match element.offset() {
            Offset::Offset(position) => Some(position),
            _ if also_uncommitted => None,
            _ => continue,
        };
        let (topic, partition) = (element.topic(), element.partition());
        let ends = consumer.fetch_watermarks(topic, partition, patience.left());
        let (start, end) = ends.map_err(patience.unavailable("where a partition ends"))?;
        let topic = topic.to_owned();
        lag.partitions.push(PartitionOffsets { topic, partition, committed: position, start, end, oldest_ms: None });
    }
    let until = Instant::now() + patience.left().min(OLDEST_WAIT);
    let filled = oldest::fill(consumer, &mut lag.partitions, until);
    filled.map_err(patience.unavailable("how old the oldest records are"))?;
    lag.partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(lag)
}

/// What the group has committed in these partitions. The first who asks a cluster for a group has it make the topic that
/// positions are in, and is told so until that is there.
pub(super) fn committed(
    consumer: &BaseConsumer,
    partitions: TopicPartitionList,
    patience: &Patience,
) -> Result<TopicPartitionList, LagError> {
    loop {
        let error = match consumer.committed_offsets(partitions.clone(), patience.left()) {
            Ok(committed) => return Ok(committed),
            Err(error) => refusal(consumer).unwrap_or(error),
        };
        if !is_coordinator_coming(&error) || patience.left().is_zero() {
            return Err(patience.unavailable("what the group has committed")(error));
        }
        std::thread::sleep(COORDINATOR_PAUSE.min(patience.left()));
    }
}

/// That the group may not be asked about, if that is why nothing came: the call itself only says that its time is over, and the
/// client tells the reason apart.
fn refusal(consumer: &BaseConsumer) -> Option<KafkaError> {
    let told = (0..TOLD_MAX).map_while(|_| consumer.poll(Duration::ZERO)).filter_map(Result::err);
    told.into_iter().find(is_refusal)
}

/// Whether it is for people to allow something.
#[must_use]
pub fn is_refusal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{ClusterAuthorizationFailed, GroupAuthorizationFailed, TopicAuthorizationFailed};
    let refusals = [ClusterAuthorizationFailed, GroupAuthorizationFailed, TopicAuthorizationFailed];
    error.rdkafka_error_code().is_some_and(|code| refusals.contains(&code))
}

/// Whether the group has no coordinator yet, or none at the moment. A time-out is one of these: the client asks for the
/// coordinator again by itself until then.
fn is_coordinator_coming(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator, OperationTimedOut, WaitingForCoordinator,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            NotCoordinator
                | CoordinatorNotAvailable
                | CoordinatorLoadInProgress
                | WaitingForCoordinator
                | OperationTimedOut
        )
    )
}

/// Partitions to ask about.
pub(super) struct Asked {
    pub(super) partitions: TopicPartitionList,
    /// Named, and not there.
    pub(super) unknown: Vec<String>,
}

/// Every partition of the named topics, or of all topics but Kafka's own.
pub(super) fn asked_partitions(
    consumer: &BaseConsumer,
    topics: &[String],
    timeout: Duration,
) -> Result<Asked, KafkaError> {
    let metadata = consumer.fetch_metadata(None, timeout)?;
    let mut partitions = TopicPartitionList::new();
    for topic in metadata.topics() {
        let wanted =
            if topics.is_empty() { !topic.name().starts_with("__") } else { topics.iter().any(|t| t == topic.name()) };
        if wanted {
            for partition in topic.partitions() {
                partitions.add_partition(topic.name(), partition.id());
            }
        }
    }
    let is_there = |name: &&String| metadata.topics().iter().any(|topic| topic.name() == name.as_str());
    let unknown = topics.iter().filter(|name| !is_there(name)).cloned().collect();
    Ok(Asked { partitions, unknown })
}

/// What a reader sees of transactions that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    /// Nothing: a partition ends at its last stable offset, which is what a replica can reach.
    Committed,
    /// Everything.
    Uncommitted,
}

/// A consumer that asks and never joins or commits.
pub(super) fn reader(kafka: &Kafka, isolation: Isolation) -> Result<BaseConsumer, LagError> {
    let isolation = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    let mut client = client_config(kafka, isolation);
    // One record of a partition is read, to know its time.
    client.set("queued.max.messages.kbytes", "1024");
    properties::set(&mut client, "queued.min.messages", "1");
    properties::set(&mut client, "fetch.message.max.bytes", "65536");
    client.create().map_err(LagError::Client)
}

/// A client that reads much, and joins nothing either.
pub(super) fn scanner(kafka: &Kafka) -> Result<BaseConsumer, LagError> {
    let mut client = client_config(kafka, "read_committed");
    client.set("queued.max.messages.kbytes", SCANNER_QUEUE_KBYTES);
    properties::set(&mut client, "fetch.wait.max.ms", "100");
    client.create().map_err(LagError::Client)
}

fn client_config(kafka: &Kafka, isolation: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    for (name, value) in &kafka.client {
        client.set(name, value.expose());
    }
    client
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", &kafka.group_id)
        .set("enable.auto.commit", "false")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true");
    properties::never_joins(&mut client);
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_a_coordinator_is_asked_about_again() {
        let failed = KafkaError::OffsetFetch;
        for (code, expected) in [
            (RDKafkaErrorCode::NotCoordinator, true),
            (RDKafkaErrorCode::CoordinatorNotAvailable, true),
            (RDKafkaErrorCode::OperationTimedOut, true),
            (RDKafkaErrorCode::GroupAuthorizationFailed, false),
            (RDKafkaErrorCode::AllBrokersDown, false),
        ] {
            assert_eq!(is_coordinator_coming(&failed(code)), expected, "{code:?}");
        }
    }

    #[test]
    fn lag_starts_at_the_position_or_at_the_oldest_offset() {
        let lag = |committed, start, end| {
            PartitionOffsets { topic: "t".into(), partition: 0, committed, start, end, oldest_ms: None }.lag()
        };
        assert_eq!(lag(Some(3), 0, 10), 7);
        assert_eq!(lag(None, 4, 10), 6);
        assert_eq!(lag(Some(3), 5, 10), 5, "retention has passed the position");
        assert_eq!(lag(Some(12), 0, 10), 0, "the topic was recreated");
    }
}
