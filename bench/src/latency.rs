//! Latency from produce to the outcome that a `read_committed` consumer sees, in an open loop: events are sent when they
//! are due, whether or not the earlier ones are done.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::producer::Producer;

use crate::{backlog, broker};

/// How long an outcome is waited for after the last event.
const PATIENCE: Duration = Duration::from_secs(30);

/// Median and 99th percentile, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// What is sent, where, and where its outcome appears.
pub(crate) struct Load<'a> {
    pub(crate) kafka: &'a str,
    pub(crate) source: &'a str,
    pub(crate) outcomes: &'a str,
    pub(crate) schema_id: u32,
    pub(crate) per_second: u64,
    pub(crate) seconds: u64,
    /// Events sent before: ids go on from here.
    pub(crate) first: u64,
}

/// Sends the load and waits for the outcome of every event: the outcome record's key is the event's id.
pub(crate) fn measure(load: &Load<'_>) -> anyhow::Result<Latency> {
    let producer = backlog::producer(load.kafka)?;
    let consumer = broker::consumer_at_end(load.kafka, load.outcomes)?;
    let count = load.per_second * load.seconds;
    let mut sent: HashMap<Vec<u8>, Instant> = HashMap::new();
    let mut latencies = Vec::new();
    let start = Instant::now();
    let mut next = 0;
    while (latencies.len() as u64) < count {
        while next < count && start.elapsed() >= Duration::from_micros(next * 1_000_000 / load.per_second) {
            let number = load.first + next;
            sent.insert(format!("bench-{number}").into_bytes(), Instant::now());
            backlog::send(&producer, load.source, load.schema_id, number)?;
            next += 1;
        }
        producer.poll(Duration::ZERO);
        if let Some(message) = consumer.poll(Duration::from_micros(500))
            && let Some(at) = message?.key().and_then(|key| sent.remove(key))
        {
            latencies.push(at.elapsed());
        }
        let late = start.elapsed() > Duration::from_secs(load.seconds) + PATIENCE;
        anyhow::ensure!(!late, "{} of {count} events have no outcome", count - latencies.len() as u64);
    }
    producer.flush(PATIENCE)?;
    consumer.unassign()?;
    latencies.sort_unstable();
    let percentile = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
    Ok(Latency { p50_ms: percentile(50).as_secs_f64() * 1e3, p99_ms: percentile(99).as_secs_f64() * 1e3 })
}
