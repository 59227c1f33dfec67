//! Everything that is committed in a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::reconcile::Place;
use crate::world::{AUDIT_TOPIC, STATUS_TOPIC, TOPIC};

/// One answer of a broker, which may just have been started.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// A transaction that nobody ends is aborted by the broker after 10 s and its sweep; this is far more.
const STABLE_LIMIT: Duration = Duration::from_secs(90);
/// Without a record for this long, something is wrong with the reader.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            let owned = |value: Option<&[u8]>| value.unwrap_or_default().to_vec();
            headers.iter().map(|header| (header.key.to_owned(), owned(header.value))).collect()
        });
        let value = message.payload().map(<[u8]>::to_vec);
        Self { partition: message.partition(), offset: message.offset(), value, headers }
    }

    /// The last header of this name, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().rev().find(|(found, _)| found == name)?;
        std::str::from_utf8(value).ok()
    }

    pub(super) fn place(&self, topic: &str) -> Place {
        Place { topic: topic.to_owned(), partition: self.partition, offset: self.offset }
    }
}

/// A client that reads and never joins or commits.
///
/// # Errors
/// It refuses its configuration.
pub fn client(kafka: &str, group: &str, isolation: &str) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka)
        .set("group.id", group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("reconnect.backoff.max.ms", "500");
    config.create().context("make a consumer")
}

/// From its beginning to where it ends now. What is still in an open transaction is waited for.
pub(super) fn read(kafka: &str, topic: &str) -> Result<Vec<Record>> {
    let ends = ends(&client(kafka, "chaos-ends", "read_uncommitted")?, topic)?;
    let consumer = client(kafka, "chaos-reader", "read_committed")?;
    let deadline = Instant::now() + STABLE_LIMIT;
    loop {
        let stable = self::ends(&consumer, topic)?;
        if ends.iter().all(|(partition, end)| stable.get(partition).is_some_and(|stable| stable >= end)) {
            break;
        }
        if Instant::now() >= deadline {
            // What is behind it is missed, and reported as missing; a report of the rest is worth more than none.
            eprintln!("{topic}: a transaction is open for longer than it may be; what is behind it is not read");
            break;
        }
        // Nobody says when a transaction ends.
        std::thread::sleep(POLL);
    }
    let mut list = TopicPartitionList::new();
    for partition in ends.keys() {
        list.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut records, mut ended, mut last) = (Vec::new(), BTreeSet::new(), Instant::now());
    while ended.len() < ends.len() {
        match consumer.poll(POLL) {
            None => ensure!(last.elapsed() < SILENCE_LIMIT, "{topic}: read to the end in {ended:?} only"),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            Some(message) => {
                records.push(Record::of(&message.with_context(|| topic.to_owned())?));
                last = Instant::now();
            }
        }
    }
    Ok(records)
}

/// The position after the last record, committed or not, by partition.
pub type Ends = BTreeMap<i32, i64>;

/// Where the audit topic ends now.
///
/// # Errors
/// The broker does not answer.
pub fn audit_ends(kafka: &str) -> Result<Ends> {
    ends(&client(kafka, "chaos-ends", "read_uncommitted")?, AUDIT_TOPIC)
}

/// Where the source topic ends now.
///
/// # Errors
/// The broker does not answer.
pub fn source_ends(kafka: &str) -> Result<Ends> {
    ends(&client(kafka, "chaos-ends", "read_uncommitted")?, TOPIC)
}

/// How many records the source topic has: nothing in it is transactional, compacted or expired.
///
/// # Errors
/// The broker does not answer.
pub fn stored(kafka: &str) -> Result<usize> {
    Ok(usize::try_from(source_ends(kafka)?.values().sum::<i64>())?)
}

/// How many records the status topic has got, those included that compaction has taken.
///
/// # Errors
/// The broker does not answer.
pub fn status_reports(kafka: &str) -> Result<usize> {
    let ends = ends(&client(kafka, "chaos-ends", "read_uncommitted")?, STATUS_TOPIC)?;
    Ok(usize::try_from(ends.values().sum::<i64>())?)
}

fn ends(consumer: &BaseConsumer, topic: &str) -> Result<Ends> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    partitions
        .map(|partition| Ok((partition.id(), consumer.fetch_watermarks(topic, partition.id(), ANSWER_LIMIT)?.1)))
        .collect()
}
