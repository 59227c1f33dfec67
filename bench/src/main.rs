//! `make bench`: how fast the whole pipeline is beside a raw rdkafka consume–produce–commit loop on the same topic.
//!
//! Both run as processes of their own on the same topic, one after the other, and are timed by the same clock: the
//! offsets that the broker says are committed. The raw loop produces a copy of a record that the pipeline produced, so
//! it moves as many records, bytes and headers.

#![allow(clippy::disallowed_methods, reason = "edge: a benchmark reads the clock")]
#![allow(clippy::cast_precision_loss, reason = "rates are for people")]

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
    /// The `coafi` binary to measure.
    #[arg(long, env = "COAFI_BENCH_BINARY", default_value = "")]
    binary: String,
    /// Records of the backlog.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// `json`: JSON lines and nothing else on standard output.
    #[arg(long, value_parser = ["json", "table"], default_value = "table")]
    output: String,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// The raw loop (started by the benchmark itself).
    Raw { source: String, sink: String, group: String, sample: String },
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(Role::Raw { source, sink, group, sample }) = &options.role {
        return raw::run(&options.kafka, source, sink, group, sample).context("the raw loop");
    }
    anyhow::ensure!(!options.registry.is_empty() && !options.binary.is_empty(), "--registry and --binary are needed");
    let rows = [
        pipeline::measure(&options, pipeline::Delivery::Transactional)?,
        pipeline::measure(&options, pipeline::Delivery::AtLeastOnce)?,
    ];
    report::print(&rows, options.output == "json")
}
