//! What the benchmark asks the broker: topics, committed offsets, a sample of what the pipeline produced.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A record that the pipeline produced: what the raw loop copies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
}

pub(crate) fn consumer(kafka: &str, group: &str) -> anyhow::Result<BaseConsumer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()?)
}

/// Creates topics of one replica.
pub(crate) fn create(kafka: &str, topics: &[(&str, i32)]) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", kafka).create()?;
    let topics: Vec<_> =
        topics.iter().map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(1))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    let results = runtime.block_on(admin.create_topics(&topics, &options))?;
    for result in results {
        result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    Ok(())
}

/// Sum of the group's committed offsets on `topic`; `None` if the coordinator does not say now (it is new).
fn committed(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Option<u64> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let committed = consumer.committed_offsets(list, TIMEOUT).ok()?;
    let offset = |offset| match offset {
        Offset::Offset(offset) => u64::try_from(offset).unwrap_or(0),
        _ => 0,
    };
    Some(committed.elements().iter().map(|element| offset(element.offset())).sum())
}

/// Records per second by the committed offsets, from the first commit seen until `total`; as long as `alive` says so.
///
/// # Errors
/// If all were committed when the first commit was seen: there is nothing to measure then, more records are needed.
pub(crate) fn rate(
    kafka: &str,
    group: &str,
    topic: &str,
    partitions: i32,
    total: u64,
    alive: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    // What is committed, also while a transaction is open: a consumer of committed records would wait for its end, and
    // missed most commits of a fast pipeline.
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", group)
        .set("isolation.level", "read_uncommitted")
        .create()?;
    let deadline = Instant::now() + Duration::from_secs(600);
    let mut first: Option<(Instant, u64)> = None;
    while Instant::now() < deadline {
        let sum = committed(&consumer, topic, partitions);
        let now = Instant::now();
        match (first, sum) {
            (None, Some(sum)) if sum >= total => {
                anyhow::bail!("{group} committed all {total} records at once: measure more of them (--records)")
            }
            (None, Some(sum @ 1..)) => first = Some((now, sum)),
            (Some((start, from)), Some(sum)) if sum >= total => {
                return Ok((sum - from) as f64 / (now - start).as_secs_f64());
            }
            _ => {}
        }
        alive()?;
        std::thread::park_timeout(Duration::from_millis(10));
    }
    anyhow::bail!("{group} did not commit {total} records of {topic} within ten minutes")
}

/// Type of the records that are sampled: every event makes one.
const OUTCOME: &str = "bitt.outcome";

/// The first committed outcome record of `topic`. Not just any record: a receipt covers hundreds of events and is many times
/// as long, and a raw loop that copied one was a quarter as fast.
pub(crate) fn sample(kafka: &str, topic: &str) -> anyhow::Result<Sample> {
    let consumer = consumer(kafka, "coafi-bench-sample")?;
    consumer.subscribe(&[topic])?;
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        let headers: Vec<(String, String)> = message.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|header| {
                    (header.key.to_owned(), String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned())
                })
                .collect()
        });
        if headers.iter().any(|(name, value)| name == "ce_type" && value == OUTCOME) {
            return Ok(Sample { value: message.payload().context("no value")?.to_vec(), headers });
        }
    }
    anyhow::bail!("nothing in {topic}")
}

/// A consumer of all partitions of `topic`, from their ends on.
pub(crate) fn consumer_at_end(kafka: &str, topic: &str) -> anyhow::Result<BaseConsumer> {
    let consumer = consumer(kafka, "coafi-bench-latency")?;
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let (_, end) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
        list.add_partition_offset(topic, partition.id(), Offset::Offset(end))?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

/// The id of the latest schema of `subject`.
pub(crate) fn schema_id(registry: &str, subject: &str) -> anyhow::Result<u32> {
    let url = format!("{}/subjects/{subject}/versions/latest", registry.trim_end_matches('/'));
    let body = ureq::get(&url).call().with_context(|| url.clone())?.body_mut().read_to_string()?;
    let answer: serde_json::Value = serde_json::from_str(&body)?;
    let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    id.with_context(|| format!("{url} names no id: {body}"))
}
