//! Whether a keyed topic may get more partitions without a key's later records overtaking its earlier ones.
//!
//! A key's records go to another partition afterwards, and nothing orders two partitions. So every earlier record has to be
//! handled before a later one can be written:
//!
//! | condition | how it is known |
//! |---|---|
//! | nobody publishes | the ends have stood still for a while, and no transaction is open |
//! | everything is handled | each group's position is at the end, in all its topics: what waits elsewhere may derive an event into this one |
//! | nothing came in between | after the growth, the old partitions end where they did, and the new ones are empty |
//! | later records find their readers | groups that are active have committed a position in every new partition |
//!
//! A publisher that is idle looks like one that is stopped, and may use the old number of partitions for minutes: that it has
//! been stopped is for the operator to see to. Replicas, which publish too, look for new partitions every
//! [`METADATA_REFRESH`], so that is how long one has to wait at least.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use serde::Serialize;

use super::config::METADATA_REFRESH;
use super::lag::{GroupLag, LagError, group_lag};
use super::properties;
use crate::config::Kafka;
use crate::dispatch::{ConsumedTopic, is_dead_letter_topic};

/// For one answer of a broker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Until every new partition has a leader.
const LEADERS_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at what nobody tells of: a group that gets on, a leader that is elected. Each such loop has a deadline.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "obstacle", rename_all = "snake_case")]
pub enum Obstacle {
    /// Its end has moved.
    Published { topic: String, partition: i32, end: i64 },
    /// Records behind the end that readers of committed data see.
    OpenTransaction { topic: String, partition: i32 },
    /// Not everything is handled.
    Behind { group: String, topic: String, partition: i32, lag: u64 },
    /// No group that was named reads the topic.
    Unread { topic: String },
    /// Records came while the topic grew.
    Overtaken { topic: String, partition: i32, from: i64, to: i64 },
    /// An active group has not taken up a new partition.
    NotTakenUp { group: String, topic: String, partition: i32 },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published { topic, partition, end } => {
                write!(f, "{topic}[{partition}] has just got records, and ends at {end}: stop its publishers")
            }
            Self::OpenTransaction { topic, partition } => {
                write!(f, "a transaction is open in {topic}[{partition}]: stop its publishers")
            }
            Self::Behind { group, topic, partition, lag } => {
                write!(f, "group {group} is {lag} behind in {topic}[{partition}]")
            }
            Self::Unread { topic } => write!(f, "no group has read {topic}: name its readers with --group"),
            Self::Overtaken { topic, partition, from, to } => write!(
                f,
                "{topic}[{partition}] got the records {from} to {to} while it grew: later ones of their keys may overtake them"
            ),
            Self::NotTakenUp { group, topic, partition } => {
                write!(f, "group {group} has not taken up {topic}[{partition}]")
            }
        }
    }
}

/// A topic's partition.
type Partition = (String, i32);

/// Looks again and again. Blocks.
pub struct Drain {
    kafka: Kafka,
    groups: Vec<String>,
    /// Topics that are to grow, and the partitions that they have.
    topics: BTreeMap<String, i32>,
    /// Sees what is not committed too.
    consumer: BaseConsumer,
    still: Duration,
    /// Where each partition ends, and since when.
    ends: BTreeMap<Partition, (i64, Instant)>,
    /// What each group has committed in when it was last looked at.
    read: BTreeMap<String, BTreeSet<String>>,
}

impl Drain {
    /// `topics` with the number of partitions that they have; ends have to stand still for `still`.
    ///
    /// # Errors
    /// The client refuses its configuration.
    pub fn new(
        kafka: &Kafka,
        groups: Vec<String>,
        topics: BTreeMap<String, i32>,
        still: Duration,
    ) -> Result<Self, LagError> {
        let mut client = ClientConfig::new();
        for (name, value) in &kafka.client {
            client.set(name, value.expose());
        }
        client.set("bootstrap.servers", &kafka.bootstrap_servers).set("group.id", &kafka.group_id);
        client.set("isolation.level", "read_uncommitted").set("enable.auto.commit", "false");
        properties::never_joins(&mut client);
        let consumer = client.create().map_err(LagError::Client)?;
        let (kafka, ends, read) = (kafka.clone(), BTreeMap::new(), BTreeMap::new());
        Ok(Self { kafka, groups, topics, consumer, still, ends, read })
    }

    /// Waits until the topics are drained, at most for `timeout`: what stands in the way then, nothing if they are. What does in
    /// between is reported.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn wait(&mut self, timeout: Duration, report: impl FnMut(&[Obstacle])) -> Result<Vec<Obstacle>, LagError> {
        until_none(timeout, report, || self.look())
    }

    /// Waits, once the topics have grown, until the groups that are active have taken the new partitions up and whatever their
    /// members write goes by the new number, at most for `timeout`: what stands in the way then.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn wait_taken_up(&self, timeout: Duration, report: impl FnMut(&[Obstacle])) -> Result<Vec<Obstacle>, LagError> {
        let known = Instant::now() + METADATA_REFRESH;
        let left = until_none(timeout, report, || self.not_taken_up())?;
        for group in &self.groups {
            if self.is_active(group)? {
                // No member tells when its producer has read the metadata anew; by then each has.
                std::thread::sleep(known.saturating_duration_since(Instant::now()));
            }
        }
        Ok(left)
    }

    fn look(&mut self) -> Result<Vec<Obstacle>, LagError> {
        let now = Instant::now();
        let mut obstacles = Vec::new();
        for (partition, end) in self.watermarks()? {
            let since = match self.ends.get(&partition) {
                Some((before, since)) if *before == end => *since,
                _ => now,
            };
            if now - since < self.still {
                let (topic, partition) = partition.clone();
                obstacles.push(Obstacle::Published { topic, partition, end });
            }
            self.ends.insert(partition, (end, since));
        }
        for group in self.groups.clone() {
            let lag = self.lag(&group)?;
            obstacles.extend(unhandled(&group, &lag));
            obstacles.extend(self.open_transactions(&lag));
            let topics = lag.partitions.into_iter().map(|partition| partition.topic).collect();
            self.read.insert(group, topics);
        }
        let written: BTreeSet<&String> =
            self.ends.iter().filter(|(_, (end, _))| *end > 0).map(|((topic, _), _)| topic).collect();
        let sources = written.into_iter().filter(|topic| is_source(topic));
        let unread = sources.filter(|topic| !self.read.values().any(|topics| topics.contains(*topic)));
        obstacles.extend(unread.map(|topic| Obstacle::Unread { topic: topic.clone() }));
        Ok(obstacles)
    }

    /// Records that came after [`Self::wait`] had ended, once the topics have grown.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn overtaken(&self) -> Result<Vec<Obstacle>, LagError> {
        // A partition that has just been made has no leader for a moment.
        let deadline = Instant::now() + LEADERS_WITHIN;
        let ends = loop {
            match self.watermarks() {
                Err(_) if Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
                ends => break ends?,
            }
        };
        let mut obstacles = Vec::new();
        for ((topic, partition), to) in ends {
            let from = self.ends.get(&(topic.clone(), partition)).map_or(0, |(end, _)| *end);
            if from != to {
                obstacles.push(Obstacle::Overtaken { topic, partition, from, to });
            }
        }
        Ok(obstacles)
    }

    /// New partitions in which a group that is active has no position yet, although it reads the topic.
    fn not_taken_up(&self) -> Result<Vec<Obstacle>, LagError> {
        let mut obstacles = Vec::new();
        for (group, read) in &self.read {
            if !self.is_active(group)? {
                continue;
            }
            let topics: Vec<String> = self.topics.keys().filter(|topic| read.contains(*topic)).cloned().collect();
            if topics.is_empty() {
                continue;
            }
            let lag = group_lag(&self.of(group), &topics, ANSWER_TIMEOUT)?;
            let missing = lag.partitions.into_iter().filter(|partition| {
                partition.partition >= self.topics[&partition.topic] && partition.committed.is_none()
            });
            obstacles.extend(missing.map(|partition| Obstacle::NotTakenUp {
                group: group.clone(),
                topic: partition.topic,
                partition: partition.partition,
            }));
        }
        Ok(obstacles)
    }

    /// Everything that the group has committed, and of the topics that it reads also the partitions in which it has not.
    fn lag(&self, group: &str) -> Result<GroupLag, LagError> {
        let kafka = self.of(group);
        let mut lag = group_lag(&kafka, &[], ANSWER_TIMEOUT)?;
        let read: BTreeSet<&str> = lag.partitions.iter().map(|partition| partition.topic.as_str()).collect();
        let growing: Vec<String> = self.topics.keys().filter(|topic| read.contains(topic.as_str())).cloned().collect();
        if !growing.is_empty() {
            let all = group_lag(&kafka, &growing, ANSWER_TIMEOUT)?;
            lag.partitions.retain(|partition| !growing.contains(&partition.topic));
            lag.partitions.extend(all.partitions);
        }
        Ok(lag)
    }

    fn open_transactions(&self, lag: &GroupLag) -> Vec<Obstacle> {
        let open = lag.partitions.iter().filter(|partition| {
            let end = self.ends.get(&(partition.topic.clone(), partition.partition));
            end.is_some_and(|(end, _)| partition.end < *end)
        });
        let obstacle =
            |(topic, partition): (&String, i32)| Obstacle::OpenTransaction { topic: topic.clone(), partition };
        open.map(|partition| obstacle((&partition.topic, partition.partition))).collect()
    }

    /// The end of every partition of the growing topics, of new ones too.
    fn watermarks(&self) -> Result<BTreeMap<Partition, i64>, LagError> {
        let mut ends = BTreeMap::new();
        for topic in self.topics.keys() {
            let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT);
            let metadata = metadata.map_err(self.unavailable("which partitions a topic has"))?;
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                let end = self.consumer.fetch_watermarks(topic, partition.id(), ANSWER_TIMEOUT);
                let (_, end) = end.map_err(self.unavailable("where a partition ends"))?;
                ends.insert((topic.clone(), partition.id()), end);
            }
        }
        Ok(ends)
    }

    fn is_active(&self, group: &str) -> Result<bool, LagError> {
        let list = self.consumer.fetch_group_list(Some(group), ANSWER_TIMEOUT);
        let list = list.map_err(self.unavailable("who is in a group"))?;
        Ok(list.groups().iter().any(|found| found.name() == group && !found.members().is_empty()))
    }

    fn of(&self, group: &str) -> Kafka {
        let mut kafka = self.kafka.clone();
        group.clone_into(&mut kafka.group_id);
        kafka
    }

    fn unavailable(&self, what: &'static str) -> impl Fn(KafkaError) -> LagError + use<> {
        let servers = self.kafka.bootstrap_servers.clone();
        move |source| LagError::Unavailable { servers: servers.clone(), what, source }
    }
}

/// Looks until there is no obstacle, at most for `timeout`; those of the last look. Brokers that do not answer are asked again.
fn until_none(
    timeout: Duration,
    mut report: impl FnMut(&[Obstacle]),
    mut look: impl FnMut() -> Result<Vec<Obstacle>, LagError>,
) -> Result<Vec<Obstacle>, LagError> {
    let deadline = Instant::now() + timeout;
    loop {
        let looked = look();
        if looked.as_ref().is_ok_and(Vec::is_empty) || Instant::now() >= deadline {
            return looked;
        }
        if let Ok(obstacles) = looked {
            report(&obstacles);
        }
        // Nobody says when a group has got on.
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn unhandled(group: &str, lag: &GroupLag) -> Vec<Obstacle> {
    let behind = lag.partitions.iter().filter(|partition| partition.lag() > 0);
    behind
        .map(|partition| Obstacle::Behind {
            group: group.to_owned(),
            topic: partition.topic.clone(),
            partition: partition.partition,
            lag: partition.lag(),
        })
        .collect()
}

/// Neither a retry topic, which a group reads with its source, nor a dead-letter topic, which people read.
fn is_source(topic: &str) -> bool {
    ConsumedTopic::parse(topic).tier.is_none() && !is_dead_letter_topic(topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::PartitionOffsets;

    #[test]
    fn only_what_a_group_reads_by_itself_needs_a_reader() {
        for (topic, source) in
            [("coafi.git", true), ("coafi.git.retry.5s", false), ("coafi.git.dlq", false), (".dlq", true)]
        {
            assert_eq!(is_source(topic), source, "{topic}");
        }
    }

    #[test]
    fn what_a_group_has_not_handled_is_named() {
        let partition = |partition, committed| PartitionOffsets {
            topic: "coafi.git".into(),
            partition,
            committed,
            start: 0,
            end: 7,
            oldest_ms: None,
        };
        let lag = GroupLag { partitions: vec![partition(0, Some(7)), partition(1, Some(4)), partition(2, None)] };
        let said: Vec<String> = unhandled("g", &lag).iter().map(ToString::to_string).collect();
        assert_eq!(said, ["group g is 3 behind in coafi.git[1]", "group g is 7 behind in coafi.git[2]"]);
    }

    #[test]
    fn what_stands_in_the_way_at_the_end_is_what_is_given_back() {
        let obstacle = || Obstacle::Unread { topic: "t".into() };
        let mut looks = vec![vec![], vec![obstacle()]];
        let mut reported = 0;
        let left = until_none(Duration::from_secs(60), |_| reported += 1, || Ok(looks.pop().unwrap())).unwrap();
        assert_eq!((left, reported), (vec![], 1));
        let left = until_none(Duration::ZERO, |_| reported += 1, || Ok(vec![obstacle()])).unwrap();
        assert_eq!((left, reported), (vec![obstacle()], 1));
    }
}
