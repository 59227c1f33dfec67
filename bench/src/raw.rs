//! The anchor: consume, produce one record for each, commit a transaction every 100 ms. Nothing else.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::broker::Sample;

const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs until it is killed.
pub(crate) fn run(kafka: &str, source: &str, sink: &str, group: &str, sample: &str) -> anyhow::Result<()> {
    let sample: Sample = serde_json::from_str(sample)?;
    let headers = sample.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value.as_bytes()) })
    });
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.max.messages.kbytes", "65536")
        .create()?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("transactional.id", group)
        .set("delivery.report.only.error", "true")
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("linger.ms", "5")
        .set("retry.backoff.ms", "1")
        .create()?;
    producer.init_transactions(TIMEOUT)?;
    consumer.subscribe(&[source])?;
    loop {
        producer.begin_transaction()?;
        let positions = fill(&consumer, &producer, sink, &sample, &headers)?;
        if positions.is_empty() {
            producer.abort_transaction(TIMEOUT)?;
            continue;
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in positions {
            offsets.add_partition_offset(source, partition, Offset::Offset(offset + 1))?;
        }
        let group = consumer.group_metadata().context("no group")?;
        producer.send_offsets_to_transaction(&offsets, &group, TIMEOUT)?;
        producer.commit_transaction(TIMEOUT)?;
    }
}

/// One transaction's worth: the highest offset of each partition.
fn fill(
    consumer: &BaseConsumer,
    producer: &BaseProducer,
    sink: &str,
    sample: &Sample,
    headers: &OwnedHeaders,
) -> anyhow::Result<std::collections::BTreeMap<i32, i64>> {
    let mut positions = std::collections::BTreeMap::new();
    let start = Instant::now();
    while start.elapsed() < COMMIT_INTERVAL {
        let Some(message) = consumer.poll(Duration::from_millis(10)) else { continue };
        let message = message?;
        let mut record =
            BaseRecord::to(sink).key(message.key().unwrap_or_default()).payload(&sample.value).headers(headers.clone());
        while let Err((error, again)) = producer.send(record) {
            anyhow::ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(Duration::from_millis(1));
            record = again;
        }
        positions.insert(message.partition(), message.offset());
    }
    producer.poll(Duration::ZERO);
    Ok(positions)
}
