//! Servers that are not there yet, or not for a while. Each test starts the one that it takes away; nothing may be lost,
//! doubled or dead-lettered, and no attempt used, however long it takes.

use std::time::{Duration, Instant};

use coafi_testcontainers::{Kafka, Postgres, Registry};

use crate::process::{Process, eventually};
use crate::stack::Stack;
use crate::topic::{Positions, Record, read};
use crate::world::World;

#[test]
fn a_replica_waits_for_its_broker_and_outlives_its_restart() {
    let mut kafka = Kafka::start().unwrap();
    let world = World::on(Stack { kafka: kafka.bootstrap_servers(), ..Stack::shared() }, "broker");
    let sent: Vec<i64> = (0..20).map(|n| world.send(&world.push(&format!("key-{n}")))).collect();
    kafka.stop().unwrap();

    let mut replica = world.replica();
    eventually("it says what it waits for", || replica.log().contains("waiting to start"));
    assert_eq!(replica.page("/health").status, 200);
    let ready = replica.page("/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("waiting for Kafka"), "{}", ready.body);
    kafka.restart().unwrap();
    replica.until_ready();
    world.until_ended(sent.len());

    // Now in the middle of work.
    let slow = "handler: git_ref\n    concurrency: 1\n    rate_limit: {per_second: 20, burst: 1}";
    world.change_routes(|routes| routes.replace("handler: git_ref", slow));
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
    let more = (0..60).map(|n| world.send(&world.push(&format!("key-{n}")))).count();
    let mut command = world.command(&["consume"]);
    command.env("COAFI__KAFKA__TRANSACTION_TIMEOUT", TRANSACTION_TIMEOUT);
    let mut replica = Process::start(command);
    replica.until_ready();
    eventually("some events are handled", || replica.metric(PROCESSED) >= 5.0);
    kafka.kill().unwrap();
    let killed = Instant::now();
    eventually("the replica notices", || replica.page("/ready").status == 503);
    eventually("every transaction and every record has timed out", || killed.elapsed() > GONE);
    assert_eq!(replica.page("/health").status, 200);
    kafka.restart().unwrap();
    replica.until_ready();
    let ends = world.until_ended(sent.len() + more);
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
    assert_eq!(ends.len(), 80, "one outcome each");
    let mut offsets: Vec<i64> = ends.iter().map(|end| end.offset).collect();
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(offsets.len(), 80, "of 80 events");
    assert!(ends.iter().all(|end| end.outcome == "processed" && end.attempt == 1), "{ends:?}");
}

#[test]
fn a_registry_that_is_away_costs_no_attempt() {
    let mut registry = Registry::start().unwrap();
    let world = World::on(Stack { registry: registry.url(), ..Stack::shared() }, "registry");
    let mut replica = world.replica();
    replica.until_ready();
    // The replica has not read a push yet, so it has to ask for the schema.
    registry.kill().unwrap();
    outlives(&world, replica, "schema-registry", || registry.restart().unwrap());
}

#[test]
fn a_database_that_is_away_costs_no_attempt() {
    let mut postgres = Postgres::start().unwrap();
    let world = World::on(Stack { postgres: postgres.url(), ..Stack::shared() }, "database");
    postgres.kill().unwrap();
    let mut replica = world.replica();
    eventually("it says what it waits for", || replica.log().contains("waiting to start"));
    assert_eq!(replica.page("/health").status, 200, "an orchestrator that began it anew would help nobody");
    let ready = replica.page("/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("waiting for the database"), "{}", ready.body);
    postgres.restart().unwrap();
    replica.until_ready();
    world.send(&world.push("before"));
    world.until_ended(1);
    postgres.kill().unwrap();
    outlives(&world, replica, "database", || postgres.restart().unwrap());
    let rows = world.database.number("SELECT count(*) FROM inbox");
    assert_eq!(rows, 9, "one inbox row for each event, the first one's included");
}

/// So that a broker need not be gone for as long as transactions usually live.
const TRANSACTION_TIMEOUT: &str = "1s";
/// How long it is gone: several times as long.
const GONE: Duration = Duration::from_secs(5);

const PROCESSED: &str = r#"coafi_outcomes_total{outcome="processed"}"#;

/// Sends events while `dependency` is away, brings it back, and looks what became of them.
fn outlives(world: &World, mut replica: Process, dependency: &str, restart: impl FnOnce()) {
    let events: Vec<Record> = (0..8).map(|n| world.push(&format!("key-{}", n % 4))).collect();
    for event in &events {
        world.send(event);
    }
    let open = format!(r#"coafi_circuit{{dependency="{dependency}",state="open"}}"#);
    eventually("its circuit opens", || replica.metric(&open) > 0.0);
    let ready = replica.page("/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains(dependency), "{}", ready.body);
    assert_eq!(replica.page("/health").status, 200);
    let about = |outcome: &crate::journal::Outcome| {
        events.iter().any(|event| event.header("ce_id") == outcome.event_id.as_deref())
    };
    assert!(!world.outcomes().iter().any(about), "an outage is no attempt");

    restart();
    eventually("every event's end", || {
        world.outcomes().iter().filter(|outcome| about(outcome)).count() == events.len()
    });
    replica.until_ready();
    eventually("its circuit closes", || replica.metric(&open) == 0.0);
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
    for event in &events {
        let end = world.end_of(event);
        assert_eq!((&*end.outcome, end.attempt), ("processed", 1), "{end:?}");
    }
    assert!(world.dead_letters().is_empty());
    let retried = read(&world.stack.kafka, &format!("{}.retry.1s", world.topic), &Positions::new());
    assert!(retried.is_empty(), "{} events went to the retry topic", retried.len());
}

#[test]
fn a_replica_waits_for_the_topics_that_it_writes_to() {
    let world = World::new("outputs");
    let declaration = world.path("topics/source.yaml");
    let text = std::fs::read_to_string(&declaration).unwrap();
    let another = text.replacen("tiers: [", "tiers: [1ms, ", 1);
    assert_ne!(another, text, "{text}");
    std::fs::write(&declaration, another).unwrap();
    let mut replica = world.replica();
    let said = format!("topics are missing: {}.retry.1ms; `coafi topics apply` makes them", world.topic);
    eventually("it says what is missing", || replica.log().contains(&said));
    assert_eq!(replica.page("/ready").status, 503);
    world.run(&["topics", "apply", "--replication-factor", "1"]).well();
    replica.until_ready();
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
}

#[test]
fn brokers_that_take_less_metadata_end_the_replica_with_what_to_do() {
    let kafka = Kafka::start_with("offset.metadata.max.bytes=0\n").unwrap();
    for delivery in ["transactional", "at_least_once"] {
        let world = World::on(Stack { kafka: kafka.bootstrap_servers(), ..Stack::shared() }, "metadata");
        world.send(&world.push("key"));
        let mut command = world.command(&["consume"]);
        command.env("COAFI__KAFKA__DELIVERY", delivery);
        let ended = Process::start(command).ended();
        assert_ne!(ended.code(), Some(0), "{delivery}");
        for word in ["engine.max_metadata_bytes", "offset.metadata.max.bytes", "Offset metadata string too large"] {
            assert!(ended.stderr.contains(word), "{delivery} does not say {word:?}: {}", ended.stderr);
        }
    }
}
