//! Measures one row: the product's own binary and the raw loop, in turn, on the same backlog; then latency under a light
//! load.
//!
//! In turn, because a broker that has just been started is slow until its code is compiled, and the machine's other work
//! comes and goes: the rate is the median of the rounds, the memory their maximum.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::latency::{self, Load};
use crate::process::Measured;
use crate::report::Row;
use crate::{Options, backlog, broker};

/// Partitions of the measured topic.
const PARTITIONS: i32 = 8;
/// How often both are measured; odd, so that there is a median.
const ROUNDS: usize = 3;
/// Events per second while latency is measured: far below what either can do.
const LATENCY_LOAD: u64 = 2_000;

/// How outcomes are made durable.
#[derive(Clone, Copy)]
pub(crate) enum Delivery {
    Transactional,
    AtLeastOnce,
}

/// Everything that belongs to one row's run, under names of its own.
struct Run<'a> {
    options: &'a Options,
    delivery: Delivery,
    source: String,
    group: String,
    schema_id: u32,
    directory: PathBuf,
}

/// The row `pipeline` or `pipeline_at_least_once`.
pub(crate) fn measure(options: &Options, delivery: Delivery) -> anyhow::Result<Row> {
    let name = match delivery {
        Delivery::Transactional => "pipeline",
        Delivery::AtLeastOnce => "pipeline_at_least_once",
    };
    let run = Run::prepare(options, delivery, name)?;
    eprintln!("{name}: producing {} events", options.records);
    backlog::fill(&options.kafka, &run.source, run.schema_id, 0, options.records)?;
    let (mut products, mut raws) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let process = run.start(round)?;
        products.push(run.figures(&process, &run.group(round))?);
        drop(process);
        raws.push(run.raw(round, &broker::sample(&options.kafka, AUDIT)?)?);
        eprintln!(
            "{name}: round {round} of {ROUNDS}: {:.0}/s, raw {:.0}/s",
            products[round - 1].rate,
            raws[round - 1].rate
        );
    }
    let latency = run.latency()?;
    let (rate, raw_rate) = (median(&products, |figures| figures.rate), median(&raws, |figures| figures.rate));
    Ok(Row {
        name,
        records_per_s: rate,
        raw_records_per_s: raw_rate,
        ratio: rate / raw_rate,
        cpu_us_per_record: median(&products, |figures| figures.cpu_us),
        raw_cpu_us_per_record: median(&raws, |figures| figures.cpu_us),
        p50_ms: latency.p50_ms,
        p99_ms: latency.p99_ms,
        peak_rss_mib: products.iter().map(|figures| figures.peak_rss_mib).fold(0.0, f64::max),
    })
}

fn median(rounds: &[Figures], figure: impl Fn(&Figures) -> f64) -> f64 {
    let mut all: Vec<f64> = rounds.iter().map(figure).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Where the pipeline writes its outcomes.
pub(crate) const AUDIT: &str = "coafi.bitt.records";

struct Figures {
    rate: f64,
    cpu_us: f64,
    peak_rss_mib: f64,
}

impl<'a> Run<'a> {
    fn prepare(options: &'a Options, delivery: Delivery, name: &str) -> anyhow::Result<Self> {
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let directory = std::env::temp_dir().join(format!("coafi-bench-{stamp}"));
        let source = format!("bench.{stamp}.{name}");
        let mut run =
            Self { options, delivery, group: format!("bench-{stamp}-{name}"), source, schema_id: 0, directory };
        run.configure()?;
        run.coafi(&["topics", "apply", "--replication-factor", "1"])?;
        run.coafi(&["schemas", "register"])?;
        run.schema_id = broker::schema_id(&options.registry, &format!("{}-{SCHEMA}", run.source))?;
        Ok(run)
    }

    /// Topics, one route to the no-op handler, no workflow, and a configuration, in a directory of their own.
    fn configure(&self) -> anyhow::Result<()> {
        let topics = self.directory.join("topics");
        std::fs::create_dir_all(&topics)?;
        std::fs::create_dir_all(self.directory.join("workflows"))?;
        for shared in ["coafi.bitt.records", "coafi.status", "coafi.unprocessed"] {
            let file = format!("{shared}.yaml");
            std::fs::copy(Path::new("topics").join(&file), topics.join(&file))
                .with_context(|| format!("topics/{file}: run from the repository's top"))?;
        }
        std::fs::write(topics.join("source.yaml"), include_str!("source.yaml").replace("SOURCE", &self.source))?;
        std::fs::write(self.directory.join("routes.yaml"), include_str!("routes.yaml"))?;
        let delivery = match self.delivery {
            Delivery::Transactional => "transactional",
            Delivery::AtLeastOnce => "at_least_once",
        };
        let Options { kafka, registry, .. } = self.options;
        let directory = self.directory.display();
        let config = format!(
            "kafka: {{ bootstrap_servers: \"{kafka}\", group_id: \"{}\", slot: bench, delivery: {delivery} }}\n\
             schema_registry: {{ url: \"{registry}\" }}\n\
             database: {{ url: \"sqlite:{directory}/state.db\" }}\n\
             artifacts: {{ url: \"{directory}/artifacts\" }}\n\
             routes_file: {directory}/routes.yaml\ntopics_dir: {directory}/topics\n\
             workflows_dir: {directory}/workflows\n\
             http: {{ listen: \"127.0.0.1:0\" }}\nlog: {{ level: warn }}\n",
            self.group
        );
        std::fs::write(self.directory.join("coafi.yaml"), config)?;
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.options.binary);
        command.arg("--config").arg(self.directory.join("coafi.yaml")).args(arguments).stdout(Stdio::null());
        command
    }

    fn coafi(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let status =
            self.command(arguments).status().with_context(|| format!("{} does not start", self.options.binary))?;
        anyhow::ensure!(status.success(), "coafi {} ended with {status}", arguments.join(" "));
        Ok(())
    }

    fn group(&self, round: usize) -> String {
        format!("{}-{round}", self.group)
    }

    /// The product, in a group that has read nothing yet.
    fn start(&self, round: usize) -> anyhow::Result<Measured> {
        Measured::start(self.command(&["consume"]).env("COAFI__KAFKA__GROUP_ID", self.group(round)))
    }

    /// Of a replica that has been through the backlog in its last round.
    fn latency(&self) -> anyhow::Result<latency::Latency> {
        let _process = self.start(ROUNDS)?;
        latency::measure(&Load {
            kafka: &self.options.kafka,
            source: &self.source,
            outcomes: AUDIT,
            schema_id: self.schema_id,
            per_second: LATENCY_LOAD,
            seconds: self.options.latency_seconds,
            first: self.options.records,
        })
    }

    fn raw(&self, round: usize, sample: &broker::Sample) -> anyhow::Result<Figures> {
        let (sink, group) = (format!("{}.raw-{round}", self.source), format!("{}-raw", self.group(round)));
        broker::create(&self.options.kafka, &[(&sink, PARTITIONS)])?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--kafka", &self.options.kafka, "raw", &self.source, &sink, &group]);
        let process = Measured::start(command.arg(serde_json::to_string(sample)?))?;
        self.figures(&process, &group)
    }

    fn figures(&self, process: &Measured, group: &str) -> anyhow::Result<Figures> {
        let total = self.options.records;
        let alive = || process.usage().map(drop);
        let rate = broker::rate(&self.options.kafka, group, &self.source, PARTITIONS, total, alive)?;
        let usage = process.usage()?;
        let cpu_us = usage.cpu.as_secs_f64() * 1e6 / total as f64;
        Ok(Figures { rate, cpu_us, peak_rss_mib: usage.peak_rss_mib })
    }
}

/// Full name of the measured events' Avro record.
const SCHEMA: &str = "org.coafi.events.GitPushEventPayload";

impl Drop for Run<'_> {
    fn drop(&mut self) {
        // What is left in the temporary directory is the system's to clear.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
