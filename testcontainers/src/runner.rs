//! Runs one command against a stack of its own.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::reaper::Entry;
use crate::{Kafka, Postgres, Registry};

/// Starts the three services, runs `program` with `COAFI_TEST_KAFKA`, `COAFI_TEST_REGISTRY` and `COAFI_TEST_POSTGRES`
/// set, and returns its exit code (128 + the signal's number if one ended it). The services are gone afterwards. If this
/// process is ended meanwhile, by whatever signal, the reaper ends the command and the services.
pub fn run(program: &str, arguments: &[String]) -> Result<u8> {
    let (kafka, registry, postgres) = start_all()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("COAFI_TEST_KAFKA", kafka.bootstrap_servers())
        .env("COAFI_TEST_REGISTRY", registry.url())
        .env("COAFI_TEST_POSTGRES", postgres.url())
        // A group of its own: Ctrl-C ends this process, and the reaper then ends all of the command, not only those of
        // its processes that listen to Ctrl-C. A group in the background must not read from the terminal.
        .process_group(0)
        .stdin(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("run {program}"))?;
    let entry = Entry::group_politely(child.id())?;
    let status = child.wait()?;
    drop(entry);
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}

/// All three at once: each waits for its own start, mostly on the processor.
fn start_all() -> Result<(Kafka, Registry, Postgres)> {
    let panicked = |_| anyhow!("the starting thread panicked");
    thread::scope(|scope| {
        let kafka = scope.spawn(Kafka::start);
        let registry = scope.spawn(Registry::start);
        let postgres = scope.spawn(Postgres::start);
        // Join all before any error returns: a server already started ends with its handle.
        let started = (kafka.join(), registry.join(), postgres.join());
        Ok((started.0.map_err(panicked)??, started.1.map_err(panicked)??, started.2.map_err(panicked)??))
    })
}
