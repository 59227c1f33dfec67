//! Reads a source's offsets, to the end that matters: the reader's own claim.
//!
//! "To the end" by watermarks is subtle with transactions: another source's open transaction holds the last stable offset
//! back, and control records are never delivered. A claim that was committed through the source's own producer, after that
//! producer fenced its predecessor, has neither problem: once it is read with `read_committed`, everything that any
//! predecessor ever committed to this partition has been read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Message as _};

use super::publisher::CLAIM_PART;
use super::source_offset::SourceId;
use crate::kafka::properties;

/// Without a record for this long, reading has failed.
const IDLE_MAX: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(100);

/// The newest value of each part, as it is in the topic.
pub(super) type RawParts = BTreeMap<String, Vec<u8>>;

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("the end was not reached: nothing came for {} s", IDLE_MAX.as_secs())]
    Idle,
}

/// Reads all partitions of `topic`: where the topic was given more partitions, older offsets of the source may be in
/// another one than `partition`, which has the last word. Ends at the record of [`CLAIM_PART`] with the value `claim`.
/// Blocks.
pub(super) fn read(
    client: &ClientConfig,
    topic: &str,
    partitions: i32,
    source: &SourceId,
    partition: i32,
    claim: &[u8],
) -> Result<RawParts, ReadError> {
    let consumer = consumer(client, topic, partitions)?;
    let mut own: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    let mut elsewhere: BTreeMap<String, (i64, Option<Vec<u8>>)> = BTreeMap::new();
    let mut ended = vec![false; usize::try_from(partitions).unwrap_or(0)];
    let mut claimed = false;
    let mut last_record = Instant::now();
    while !(claimed && ended.iter().enumerate().all(|(at, ended)| *ended || i32::try_from(at) == Ok(partition))) {
        match consumer.poll(POLL) {
            None if last_record.elapsed() > IDLE_MAX => return Err(ReadError::Idle),
            None => {}
            Some(Err(KafkaError::PartitionEOF(at))) => {
                if let Some(ended) = usize::try_from(at).ok().and_then(|at| ended.get_mut(at)) {
                    *ended = true;
                }
            }
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(message)) => {
                last_record = Instant::now();
                let Some(part) = message.key().and_then(|key| source.part_of_key(key)) else { continue };
                let offset = message.payload().map(<[u8]>::to_vec);
                if message.partition() == partition {
                    claimed |= part == CLAIM_PART && offset.as_deref() == Some(claim);
                    own.insert(part.to_owned(), offset);
                } else {
                    let at = message.timestamp().to_millis().unwrap_or(0);
                    let older = elsewhere.get(part).is_none_or(|(known, _)| *known <= at);
                    if older {
                        elsewhere.insert(part.to_owned(), (at, offset));
                    }
                }
            }
        }
    }
    let moved = elsewhere.into_iter().map(|(part, (_, offset))| (part, offset));
    let mut parts: BTreeMap<String, Option<Vec<u8>>> = moved.collect();
    parts.extend(own);
    parts.remove(CLAIM_PART);
    Ok(parts.into_iter().filter_map(|(part, offset)| Some((part, offset?))).collect())
}

fn consumer(client: &ClientConfig, topic: &str, partitions: i32) -> Result<BaseConsumer, KafkaError> {
    let mut client = client.clone();
    client
        .set("group.id", properties::READERS)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("queued.max.messages.kbytes", "16384");
    properties::never_joins(&mut client);
    properties::set(&mut client, "fetch.queue.backoff.ms", "10");
    let consumer: BaseConsumer = client.create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}
