//! The services as processes of this machine: what to download, how to prepare a data directory, what to run.
//!
//! Kafka and the registry run on Java 17 or newer and come from Maven Central; Postgres is the machine's own where it
//! has one, else it comes from there too. Nothing here starts a process that outlives the call: `server` does that.

mod artifacts;
mod kafka;
mod postgres;
mod registry;
mod secured;

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

pub(crate) use kafka::{Cluster, Proxied};
pub(crate) use postgres::prepare_with_certificate as prepare_postgres_with_certificate;
pub(crate) use secured::{Clients, prepare as prepare_kafka_secured};

use crate::Service;

/// Kafka's classpath, as `java -cp` takes it.
pub(crate) fn kafka_classpath() -> Result<String> {
    Ok(format!("{}/*", artifacts::kafka_jars()?.display()))
}

/// Prepares `directory` (idempotent: existing data is kept) and returns the command of a server on `port`.
pub(crate) fn command(service: Service, directory: &Path, port: u16) -> Result<Command> {
    std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    match service {
        Service::Kafka => kafka::command(directory, port),
        Service::Registry => registry::command(directory, port),
        Service::Postgres => postgres::command(directory, port),
    }
}

/// Prepares `directory` for a broker on `port` that is its own controller, with these listeners more.
pub(crate) fn prepare_kafka(directory: &Path, port: u16, proxied: &[Proxied]) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    kafka::prepare(directory, port, proxied)
}

/// As [`prepare_kafka`], with more lines of `server.properties` instead.
pub(crate) fn prepare_kafka_with(directory: &Path, port: u16, more: &str) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    kafka::prepare_with(directory, port, more)
}

/// Runs `command` to its end; its output becomes the error when it fails.
fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("run {name}"))?;
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    ensure!(output.status.success(), "{name} ended with {}:\n{}", output.status, String::from_utf8_lossy(&said).trim());
    Ok(output)
}
