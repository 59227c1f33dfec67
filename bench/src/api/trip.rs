//! Seed 001's load test: 500 events, 50 a second, each timed from when it was accepted until its outcome can be read by
//! somebody who reads committed records.

use std::collections::HashMap;
use std::io::BufReader;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::message::Message as _;
use tokio::runtime::Runtime;

use super::load::{Answered, Kind, Target};
use super::setup::{Setup, said_line};
use crate::broker;
use crate::pipeline::AUDIT;
use crate::process::Measured;

const EVENTS: u64 = 500;
pub(super) const PER_S: u64 = 50;
/// Handled before, so that everything is connected and compiled.
const WARM_UP: u64 = 50;
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn measure(
    setup: &Setup<'_>,
    runtime: &Runtime,
    target: &Target,
    delivery: &str,
) -> anyhow::Result<Answered> {
    let mut command = setup.command(&["consume"]);
    let mut process = Measured::start(command.env("COAFI__KAFKA__DELIVERY", delivery))?;
    said_line(BufReader::new(process.stderr().context("no standard error")?), "\"assigned\"")?;
    let outcomes = broker::consumer_at_end(setup.kafka(), AUDIT)?;
    let accepted = |count: u64| {
        let target = target.clone();
        runtime.spawn(async move {
            let start = Instant::now();
            let mut accepted = HashMap::new();
            for number in 0..count {
                let due = start + Duration::from_micros(number * 1_000_000 / PER_S);
                tokio::time::sleep_until(due.into()).await;
                let ids = target.send(Kind::Events(1)).await?;
                accepted.extend(ids.into_iter().map(|id| (id.into_bytes(), Instant::now())));
            }
            anyhow::Ok(accepted)
        })
    };
    for (count, counts) in [(WARM_UP, false), (EVENTS, true)] {
        let sent = accepted(count);
        let start = Instant::now();
        let mut ended: HashMap<Vec<u8>, Instant> = HashMap::new();
        while (ended.len() as u64) < count {
            if let Some(message) = outcomes.poll(Duration::from_micros(500)) {
                let message = message?;
                if let Some(key) = message.key().filter(|key| key.starts_with(b"api-")) {
                    ended.entry(key.to_vec()).or_insert_with(Instant::now);
                }
            }
            let late = start.elapsed() > Duration::from_secs(count / PER_S) + PATIENCE;
            anyhow::ensure!(!late, "{} of {count} events have no outcome", count - ended.len() as u64);
        }
        let accepted = runtime.block_on(sent)??;
        if counts {
            // An outcome may be there before the answer is.
            let took = accepted.iter().map(|(id, at)| {
                let end = ended.get(id).with_context(|| format!("another event than {id:?} ended"))?;
                anyhow::Ok(end.saturating_duration_since(*at))
            });
            return Answered::new(took.collect::<anyhow::Result<_>>()?, 1, start.elapsed());
        }
    }
    unreachable!("the second round counts")
}
