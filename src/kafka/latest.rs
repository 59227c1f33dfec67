//! The latest value of each key of a compacted topic, for somebody who looks once: from the end back, and no further than is
//! needed.
//!
//! Whoever writes every second is found in the last seconds. What is older than that is looked for in ever longer steps, for as
//! long as something is missing; on a cluster that many share, all that is there may be too much to read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

/// How far back each step goes; the last one goes to the beginning.
const STEPS_MS: [i64; 4] = [10_000, 60_000, 600_000, 3_600_000];
/// Between two looks at the deadline.
const POLL: Duration = Duration::from_millis(50);

/// By key; `None` where a tombstone took it back.
pub(super) type Values = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Latest {
    pub(super) values: Values,
    /// Something is missing, and this and what is older was not read: there is too much, or the deadline has passed. In
    /// milliseconds since the Unix epoch.
    pub(super) unread_before_ms: Option<i64>,
}

/// Reads back until nothing is missing, or all is read, or the deadline has passed. Nothing if there is no such topic.
/// `consumer` reports ends of partitions; it is assigned these, and left without any.
pub(super) fn latest(
    consumer: &BaseConsumer,
    topic: &str,
    now_ms: i64,
    deadline: Instant,
    is_missing: impl Fn(&Values) -> bool,
) -> Result<Latest, KafkaError> {
    let left = || deadline.saturating_duration_since(Instant::now());
    let metadata = consumer.fetch_metadata(None, left())?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found else { return Ok(Latest::default()) };
    let mut unread = Vec::new();
    for partition in found.partitions() {
        let (start, end) = consumer.fetch_watermarks(topic, partition.id(), left())?;
        unread.push(Unread { partition: partition.id(), start, end });
    }
    let (mut latest, mut read_to_ms) = (Latest::default(), now_ms);
    for step in STEPS_MS.map(|ms| Some(now_ms - ms)).into_iter().chain([None]) {
        // Too late is no error: what was found by then counts.
        let Ok(froms) = froms(consumer, topic, step, &unread, left()) else { break };
        let (values, whole) = read(consumer, topic, &unread, &froms, deadline)?;
        // What was read before is newer.
        for (key, value) in values {
            latest.values.entry(key).or_insert(value);
        }
        if whole {
            read_to_ms = step.unwrap_or(read_to_ms);
            unread.iter_mut().zip(froms).for_each(|(unread, from)| unread.end = from);
        }
        if !is_missing(&latest.values) || unread.iter().all(|unread| unread.end <= unread.start) {
            return Ok(latest);
        }
        if !whole {
            break;
        }
    }
    latest.unread_before_ms = Some(read_to_ms);
    Ok(latest)
}

/// A partition up to what has been read of it.
struct Unread {
    partition: i32,
    start: i64,
    end: i64,
}

/// Where this step begins in each partition: the first record since then; without a time the beginning.
fn froms(
    consumer: &BaseConsumer,
    topic: &str,
    since_ms: Option<i64>,
    unread: &[Unread],
    timeout: Duration,
) -> Result<Vec<i64>, KafkaError> {
    let Some(since_ms) = since_ms else { return Ok(unread.iter().map(|unread| unread.start).collect()) };
    let mut asked = TopicPartitionList::with_capacity(unread.len());
    for Unread { partition, .. } in unread {
        asked.add_partition_offset(topic, *partition, Offset::Offset(since_ms))?;
    }
    let answer = consumer.offsets_for_times(asked, timeout)?;
    let from = |unread: &Unread| {
        let from = match answer.find_partition(topic, unread.partition).map(|found| found.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => unread.end,
        };
        from.clamp(unread.start.min(unread.end), unread.end)
    };
    Ok(unread.iter().map(from).collect())
}

/// The latest values from here to where each partition has been read from, and whether that was all of it. Of a partition that
/// was not read to its end there are none: what was read of it is not the latest.
fn read(
    consumer: &BaseConsumer,
    topic: &str,
    unread: &[Unread],
    froms: &[i64],
    deadline: Instant,
) -> Result<(Values, bool), KafkaError> {
    let (mut assignment, mut open) = (TopicPartitionList::new(), BTreeMap::new());
    for (Unread { partition, end, .. }, from) in unread.iter().zip(froms).filter(|(unread, from)| **from < unread.end) {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(*from))?;
        open.insert(*partition, *end);
    }
    let mut values: BTreeMap<i32, Values> = BTreeMap::new();
    consumer.assign(&assignment)?;
    while !open.is_empty() && Instant::now() < deadline {
        match consumer.poll(POLL) {
            Some(Ok(record)) => {
                let Some(end) = open.get(&record.partition()) else { continue };
                let (end, next) = (*end, record.offset() + 1);
                if record.offset() < end {
                    let key = record.key().unwrap_or_default().to_vec();
                    values.entry(record.partition()).or_default().insert(key, record.payload().map(<[u8]>::to_vec));
                }
                // Compaction may have taken the last one before the end: then one behind it says so.
                if next >= end {
                    open.remove(&record.partition());
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            // librdkafka goes on by itself, until the deadline.
            Some(Err(_)) | None => {}
        }
    }
    consumer.unassign()?;
    values.retain(|partition, _| !open.contains_key(partition));
    Ok((values.into_values().flatten().collect(), open.is_empty()))
}
