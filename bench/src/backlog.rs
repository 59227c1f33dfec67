//! The events that are measured: `git.push` records of about 200 bytes over 1,000 keys, as the connector writes them.

use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Keys that the records take in turn.
pub(crate) const KEYS: u64 = 1_000;

pub(crate) fn producer(kafka: &str) -> anyhow::Result<BaseProducer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("enable.idempotence", "true")
        .set("delivery.report.only.error", "true")
        .set("linger.ms", "5")
        .set("queue.buffering.max.kbytes", "131072")
        .create()?)
}

/// Produces events `from..to` and waits until all are acknowledged.
pub(crate) fn fill(kafka: &str, topic: &str, schema_id: u32, from: u64, to: u64) -> anyhow::Result<()> {
    let producer = producer(kafka)?;
    for number in from..to {
        send(&producer, topic, schema_id, number)?;
    }
    producer.flush(Duration::from_secs(120)).context("the backlog was not acknowledged")?;
    Ok(())
}

/// Produces event `number`; its CloudEvents id is `bench-<number>`.
pub(crate) fn send(producer: &BaseProducer, topic: &str, schema_id: u32, number: u64) -> anyhow::Result<()> {
    let key = format!("https://git.example/team/repository-{}", number % KEYS);
    let id = format!("bench-{number}");
    let value = push_event(schema_id, &key, number);
    let header = |key, value| Header { key, value: Some(value) };
    let headers = OwnedHeaders::new_with_capacity(6)
        .insert(header("ce_specversion", "1.0"))
        .insert(header("ce_id", &id))
        .insert(header("ce_source", &key))
        .insert(header("ce_type", "git.push"))
        .insert(header("ce_time", "2026-11-21T12:00:00Z"))
        .insert(header("content-type", "application/avro"));
    let mut record = BaseRecord::to(topic).key(&key).payload(&value).headers(headers);
    while let Err((error, again)) = producer.send(record) {
        anyhow::ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{error}");
        producer.poll(Duration::from_millis(10));
        record = again;
    }
    Ok(())
}

/// `avro/git.push.avsc` in Confluent wire format, field by field.
fn push_event(schema_id: u32, repository: &str, number: u64) -> Vec<u8> {
    let mut value = vec![0];
    value.extend(schema_id.to_be_bytes());
    text(&mut value, repository);
    text(&mut value, "main");
    for commit in [number, number + 1] {
        long(&mut value, 1);
        text(&mut value, &format!("{commit:040x}"));
    }
    value.push(0);
    long(&mut value, 1);
    long(&mut value, 1_790_000_000_000);
    value.push(0);
    value
}

fn text(into: &mut Vec<u8>, text: &str) {
    long(into, i64::try_from(text.len()).expect("short"));
    into.extend(text.as_bytes());
}

/// Avro's zigzag varint.
fn long(into: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        into.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    into.push(u8::try_from(rest).expect("seven bits"));
}
