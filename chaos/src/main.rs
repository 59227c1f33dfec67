//! `coafi-chaos`: see the library.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use coafi_chaos::plan::Kind;
use coafi_chaos::run::{MAX_REPLICAS, Options, run};
use coafi_chaos::world::Delivery;

/// Breaks everything around `coafi consume` from a seed, and counts from outside what was lost, doubled or reordered.
///
/// Ends with 0 only if nothing was. The last line of the output is one JSON object.
#[derive(Parser)]
struct Arguments {
    /// How long events are sent and faults happen
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Repeats the faults and events of another run; random by default
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    #[arg(long, value_enum, default_value = "transactional")]
    delivery: Delivery,
    /// How many brokers: with 1 no leader changes, and none is missed by min.isr
    #[arg(long, default_value_t = 3, value_parser = brokers)]
    brokers: usize,
    /// How many replicas there are at the beginning
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=5))]
    replicas: u8,
    /// Events per second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    rate: u64,
    /// Only these kinds of faults, e.g. kill,freeze,broker_restart
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    only: Vec<Kind>,
    /// A variable more in the replicas' environment, e.g. COAFI__KAFKA__SESSION_TIMEOUT=10s
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// The `coafi` to test
    #[arg(long, env = "COAFI_CHAOS_BINARY")]
    binary: PathBuf,
    /// The `coafi` of the release before: replicas begin as this one, and `upgrade` changes them to the other and back
    #[arg(long, value_name = "PATH", env = "COAFI_CHAOS_PREVIOUS")]
    previous: Option<PathBuf>,
    /// Keep logs and configuration here; by default only of a run that found something
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn brokers(text: &str) -> Result<usize, String> {
    [1, 3].into_iter().find(|brokers| brokers.to_string() == text).ok_or_else(|| "allowed: 1, 3".to_owned())
}

fn kind(text: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == text);
    found.ok_or_else(|| format!("allowed: {}", Kind::ALL.map(Kind::name).join(", ")))
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("allowed: NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    match execute(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn execute(arguments: &Arguments) -> Result<bool> {
    ensure!(arguments.minutes > 0.0, "--minutes {}: more than 0", arguments.minutes);
    let replicas = usize::from(arguments.replicas);
    debug_assert!(replicas <= MAX_REPLICAS);
    let seed = arguments.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000);
    eprintln!("seed {seed}");
    let scratch = tempfile::Builder::new().prefix("coafi-chaos-").tempdir()?;
    let directory = match &arguments.keep {
        Some(directory) => {
            std::fs::create_dir_all(directory)?;
            directory.canonicalize()?
        }
        None => scratch.path().to_owned(),
    };
    let options = Options {
        binary: arguments.binary.canonicalize()?,
        previous: arguments.previous.as_ref().map(|path| path.canonicalize()).transpose()?,
        directory,
        seed,
        length: Duration::from_secs_f64(arguments.minutes * 60.0),
        delivery: arguments.delivery,
        brokers: arguments.brokers,
        replicas,
        events_per_second: arguments.rate,
        kinds: if arguments.only.is_empty() { Kind::ALL.to_vec() } else { arguments.only.clone() },
        settings: arguments.set.clone(),
        verbose: true,
    };
    let summary = run(&options)?;
    eprint!("{}", summary.findings());
    if !summary.is_clean() {
        let scratch = scratch.keep();
        eprintln!("logs are in {}", arguments.keep.as_ref().unwrap_or(&scratch).display());
    }
    if arguments.output == Output::Table {
        println!("{}", summary.table());
    }
    println!("{}", summary.json());
    Ok(summary.is_clean())
}
