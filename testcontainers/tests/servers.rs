//! The handles against the servers they start: what a test relies on when it takes one away.

#![allow(clippy::disallowed_methods, reason = "test harness: bounded waits")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coafi_testcontainers::{Kafka, KafkaCluster, Postgres, Registry, Service};

/// A freed directory or a killed process is gone within this.
const GONE_LIMIT: Duration = Duration::from_secs(20);

/// One test at a time: a port that one has freed may be another's next, and servers that start all at once are slow.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + GONE_LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {GONE_LIMIT:?}");
        // Not spinning: the servers that are waited for need the processor.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_killed_broker_comes_back_on_its_port() {
    let _turn = alone();
    let mut kafka = Kafka::start().unwrap();
    let address = kafka.bootstrap_servers();
    kafka.kill().unwrap();
    assert!(!Service::Kafka.answers(kafka.port()));
    kafka.restart().unwrap();
    assert!(Service::Kafka.answers(kafka.port()));
    assert_eq!(kafka.bootstrap_servers(), address);
}

#[test]
fn a_cluster_goes_on_without_one_of_its_brokers() {
    let _turn = alone();
    let (mut cluster, listeners) = KafkaCluster::start_behind(&[vec![1], vec![], vec![]]).unwrap();
    assert_eq!(listeners.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!(cluster.bootstrap_servers().split(',').count(), 3);
    let ports: Vec<u16> = cluster.brokers().iter().map(|broker| broker.port()).collect();
    cluster.brokers_mut()[0].kill().unwrap();
    let answering = || ports.iter().filter(|port| Service::Kafka.answers(**port)).count();
    assert_eq!(answering(), 2);
    cluster.brokers_mut()[0].restart().unwrap();
    assert_eq!(answering(), 3);
}

#[test]
fn a_paused_server_is_silent_until_it_is_resumed() {
    let _turn = alone();
    let mut postgres = Postgres::start().unwrap();
    postgres.pause().unwrap();
    assert!(!Service::Postgres.answers(postgres.port()));
    postgres.resume().unwrap();
    eventually("Postgres answers again", || Service::Postgres.answers(postgres.port()));

    postgres.kill().unwrap();
    assert!(!Service::Postgres.answers(postgres.port()));
    postgres.restart().unwrap();
    assert!(Service::Postgres.answers(postgres.port()));
}

#[test]
fn a_restarted_registry_still_has_its_schemas() {
    let _turn = alone();
    let mut registry = Registry::start().unwrap();
    let schema = r#"{"schema":"{\"type\":\"string\"}"}"#;
    let registered = request(registry.port(), "POST", "/subjects/kept-value/versions", schema);
    assert!(registered.contains("200 OK"), "{registered}");
    registry.kill().unwrap();
    registry.restart().unwrap();
    let subjects = request(registry.port(), "GET", "/subjects", "");
    assert!(subjects.contains("kept-value"), "{subjects}");
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let _turn = alone();
    let postgres = Postgres::start().unwrap();
    let port = postgres.port();
    drop(postgres);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// Whoever runs a command and is killed with SIGKILL cannot tidy up; the reaper does.
#[test]
fn a_killed_run_leaves_nothing() {
    let _turn = alone();
    let mut run = Command::new(env!("CARGO_BIN_EXE_coafi-testcontainers"))
        .args(["run", "--", "sh", "-c", "echo $COAFI_TEST_POSTGRES $$; exec tail -f /dev/null"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // Held to the end: `tail` ends by itself once nobody reads what it says, and the run with it.
    let mut output = BufReader::new(run.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let (postgres, command_pid) = line.trim().split_once(' ').unwrap();
    let port: u16 = postgres.rsplit_once(':').unwrap().1.trim_end_matches("/coafi").parse().unwrap();
    // One probe is bounded more tightly than a busy machine may answer.
    eventually("Postgres answers", || Service::Postgres.answers(port));

    run.kill().unwrap();
    run.wait().unwrap();
    drop(output);
    eventually("the command ends", || !Path::new("/proc").join(command_pid).exists());
    eventually("Postgres ends", || TcpStream::connect(("127.0.0.1", port)).is_err());
    let prefix = format!("coafi-{}-", run.id());
    eventually("the data are removed", || {
        !std::fs::read_dir(std::env::temp_dir())
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)))
    });
}

/// One HTTP/1.0 request to the registry's Confluent API; the whole answer.
fn request(port: u16, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let kind = "application/vnd.schemaregistry.v1+json";
    write!(
        stream,
        "{method} /apis/ccompat/v7{path} HTTP/1.0\r\nHost: registry\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
