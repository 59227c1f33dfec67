//! `make bench`: how fast the whole pipeline is beside a raw rdkafka consume–produce–commit loop on the same topic.
//!
//! Both run as processes of their own on the same topic, one after the other, and are timed by the same clock: the
//! offsets that the broker says are committed. The raw loop produces a copy of a record that the pipeline produced, so
//! it moves as many records, bytes and headers.

#![allow(clippy::disallowed_methods, reason = "edge: a benchmark reads the clock")]
#![allow(clippy::cast_precision_loss, reason = "rates are for people")]

mod api;
mod backlog;
mod broker;
mod latency;
mod pipeline;
mod process;
mod raw;
mod report;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Measures the pipeline beside a raw loop on a real Kafka.
#[derive(Parser)]
struct Options {
    /// Kafka to measure on.
    #[arg(long, env = "COAFI_TEST_KAFKA")]
    kafka: String,
    /// Schema registry of the pipeline.
    #[arg(long, env = "COAFI_TEST_REGISTRY", default_value = "")]
    registry: String,
    /// Database of the API.
    #[arg(long, env = "COAFI_TEST_POSTGRES", default_value = "")]
    postgres: String,
    /// The `coafi` binary to measure.
    #[arg(long, env = "COAFI_BENCH_BINARY", default_value = "")]
    binary: String,
    /// Records of the backlog.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Seconds of the light load under which latency is measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    latency_seconds: u64,
    /// `json`: JSON lines and nothing else on standard output.
    #[arg(long, value_parser = ["json", "table"], default_value = "table")]
    output: String,
    /// Only these rows.
    #[arg(long, value_parser = ["pipeline", "api"])]
    only: Option<String>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// The raw loop (started by the benchmark itself).
    Raw { source: String, sink: String, group: String, sample: String },
    /// The bare API (likewise).
    BareApi { topic: String },
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match &options.role {
        Some(Role::Raw { source, sink, group, sample }) => {
            return raw::run(&options.kafka, source, sink, group, sample).context("the raw loop");
        }
        Some(Role::BareApi { topic }) => return api::serve_bare(&options.kafka, topic).context("the bare API"),
        None => {}
    }
    anyhow::ensure!(!options.registry.is_empty() && !options.binary.is_empty(), "--registry and --binary are needed");
    let (json, measures) =
        (options.output == "json", |rows: &str| options.only.as_deref().is_none_or(|only| only == rows));
    if measures("pipeline") {
        let rows = [
            pipeline::measure(&options, pipeline::Delivery::Transactional)?,
            pipeline::measure(&options, pipeline::Delivery::AtLeastOnce)?,
        ];
        report::print(&rows, json)?;
    }
    if measures("api") {
        anyhow::ensure!(!options.postgres.is_empty(), "--postgres is needed");
        api::measure(&options, json)?;
    }
    Ok(())
}
