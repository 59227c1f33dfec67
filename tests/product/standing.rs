//! Partitions that do not move, and what `coafi group why` says of them.

use std::time::{Duration, Instant, UNIX_EPOCH};

use coafi_testcontainers::{Kafka, Postgres};
use serde_json::{Value, json};

use crate::event::{Subject, attributes};
use crate::process::{Process, eventually, found};
use crate::stack::Stack;
use crate::topic::{Record, delete, ends, read};
use crate::world::World;

/// A route for drills, with `POLICY` as its further lines.
const DRILLS: &str = "
  - name: drills
    match: {type: drill.step, topic: TOPIC}
    handler: drill
    POLICY
";

/// An event that does what it says, in each of its first attempts.
fn drill(key: &str, action: &str) -> Record {
    let data = json!({"key": key, "sequence": 1, "action": action, "times": 100, "emit": false, "write": false});
    let record = attributes("drill.step", "/product").without("content-type").with("content-type", "application/json");
    Record { key: Some(key.into()), value: Some(data.to_string().into_bytes()), ..record }
}

fn world_of_drills(name: &str, policy: &str) -> World {
    let world = World::new(name);
    let route = DRILLS.replace("TOPIC", &world.topic).replace("POLICY", policy);
    world.change_routes(|routes| routes + &route);
    world
}

/// A replica that does not wait for handlers that hang.
fn replica(world: &World) -> Process {
    replica_with(world, &[])
}

fn replica_with(world: &World, settings: &[(&str, &str)]) -> Process {
    let mut command = world.command(&["consume", "--slot", "here"]);
    command.env("COAFI__KAFKA__DRAIN__TIMEOUT", "1s").envs(settings.iter().copied());
    let mut replica = Process::start(command);
    replica.until_ready();
    replica
}

/// What is said of the world's one partition, once the reason is this one.
fn standing(world: &World, reason: &str) -> Value {
    let mut last = Value::Null;
    let said = found(&format!("`coafi group why` says {reason}"), || {
        last = world.why();
        let all = last["partitions"].as_array().unwrap();
        all.iter().find(|p| p["topic"] == *world.topic && p["partition"] == 0 && p["reason"] == reason).cloned()
    });
    assert!(said["lag"].as_u64().unwrap() > 0, "{said}");
    assert!(!said["do"].as_str().unwrap().is_empty(), "{said}");
    said
}

/// What `coafi group lag` says of the world's one partition, and of what it is not sure.
fn lag(world: &World) -> (Value, String) {
    let ended = world.run(&["group", "lag", "--output", "json"]);
    let remarks = ended.stderr.clone();
    let said = ended.json();
    let row = said["partitions"].as_array().unwrap().iter().find(|p| p["topic"] == *world.topic);
    (row.unwrap_or_else(|| panic!("{said}")).clone(), remarks)
}

/// Its records, by what they wait for.
fn split(row: &Value) -> [Option<u64>; 5] {
    ["unfetched", "waiting", "in_flight", "parked", "retrying"].map(|state| row[state].as_u64())
}

fn why(said: &Value) -> &str {
    said["why"].as_str().unwrap()
}

fn end(replica: Process) {
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
}

#[test]
fn without_the_topic_of_reports_nothing_is_said_to_be_read_too_late() {
    let kafka = Kafka::start().unwrap();
    let world = World::on(Stack { kafka: kafka.bootstrap_servers(), ..Stack::shared() }, "unreported");
    world.send(&world.push("key"));
    delete(&world.stack.kafka, "coafi.status");
    let said = world.run(&["group", "why"]);
    assert_eq!(said.code(), Some(1), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("Nobody handles it"), "{}", said.stdout);
    assert!(!said.stderr.contains("incomplete"), "{}", said.stderr);
}

#[test]
fn what_moves_does_not_stand_and_a_replica_that_has_ended_is_not_missed() {
    let world = World::new("moving");
    let replica = replica(&world);
    for key in ["a", "b", "c"] {
        world.send(&world.push(key));
    }
    world.until_ended(3);
    eventually("nothing stands", || world.why()["moves"] == true);
    let said = world.why();
    let [one] = &said["replicas"].as_array().unwrap()[..] else { panic!("{said}") };
    assert_eq!((&one["slot"], &one["pid"], &one["state"]), (&"here".into(), &replica.id().into(), &"working".into()));
    end(replica);
    assert_eq!(world.why()["replicas"], json!([]), "it has taken its report back");
    assert_eq!(world.why()["moves"], true, "nothing is left to do");
}

#[test]
fn a_replica_says_about_every_second_how_it_stands() {
    const STATUS: &str = "coafi.status";
    const REPORTS: usize = 4;
    let world = World::new("reporting");
    let schema = Subject::latest(&world.stack.registry, STATUS, "org.coafi.operations.ReplicaStatus");
    let (from, source) = (ends(&world.stack.kafka, STATUS), format!("/coafi/{}", world.group));
    let replica = replica(&world);
    let reports = found("some reports", || {
        let all = read(&world.stack.kafka, STATUS, &from);
        let ours = all.iter().filter(|read| read.record.header("ce_source") == Some(&*source));
        let reports: Vec<Value> = ours.filter_map(|read| Some(schema.decode(read.record.value.as_deref()?))).collect();
        (reports.len() >= REPORTS).then_some(reports)
    });
    let at: Vec<i64> = reports.iter().map(|report| report["reportedAt"].as_i64().unwrap()).collect();
    // The machine may be busy; what is asked for is that they come one after the other, and no minute apart.
    assert!(at.windows(2).all(|pair| (1..10_000).contains(&(pair[1] - pair[0]))), "{at:?}");
    assert!(reports.iter().all(|report| report["pid"] == replica.id() && report["slot"] == "here"), "{reports:?}");
    end(replica);
}

#[test]
fn a_partition_that_nobody_has() {
    let world = World::new("nobody");
    world.send(&world.push("key"));
    let said = standing(&world, "nobody");
    assert!(why(&said).contains("has no member") && said["do"].as_str().unwrap().contains("coafi consume"), "{said}");
}

#[test]
fn a_halted_record_is_named_with_what_it_failed_for() {
    let world = world_of_drills("halted", "retry: {in_place: {attempts: 1}, exhausted: halt}");
    let replica = replica(&world);
    let halted = world.send(&drill("a", "transient"));
    world.send(&drill("a", "ok"));
    let said = standing(&world, "halted");
    assert_eq!(said["offset"], halted);
    for part in ["halted after attempt 1", "drill_transient", "route drills", "One more of its key waits"] {
        assert!(why(&said).contains(part), "{part}: {said}");
    }
    end(replica);
}

#[test]
fn replicas_that_share_a_client_id_are_told_apart_by_what_they_have() {
    let world = world_of_drills("named", "retry: {in_place: {attempts: 1}, exhausted: halt}");
    let named = [("COAFI__KAFKA__CLIENT__CLIENT_ID", "events")];
    let replica = replica_with(&world, &named);
    let mut command = world.command(&["consume", "--slot", "there"]);
    command.envs(named);
    let mut other = Process::start(command);
    other.until_ready();
    world.send(&drill("a", "transient"));
    let said = standing(&world, "halted");
    let (source, _) = lag(&world);
    assert!(said["replica"] == "here" || said["replica"] == "there", "{said}");
    assert_eq!((&source["replica"], &source["waiting"]), (&said["replica"], &1.into()), "{source}");
    end(other);
    end(replica);
}

#[test]
fn a_record_that_waits_in_place_says_until_when() {
    let policy = "retry: {in_place: {attempts: 9, backoff: {initial: 5m, cap: 5m}}}";
    let world = world_of_drills("parked", policy);
    let replica = replica(&world);
    world.send(&drill("a", "transient"));
    let said = standing(&world, "parked");
    assert!(why(&said).contains("after attempt 1 has failed (transient, drill_transient"), "{said}");
    let (row, _) = lag(&world);
    assert_eq!((row["lag"].as_u64(), split(&row)), (Some(1), [0, 0, 0, 1, 0].map(Some)), "{row}");
    end(replica);
}

#[test]
fn a_handler_that_hangs() {
    let world = world_of_drills("hang", "deadline: 10m");
    let replica = replica(&world);
    let offset = world.send(&drill("a", "hang"));
    let said = standing(&world, "handler");
    assert_eq!((&said["offset"], &said["replica"]), (&offset.into(), &"here".into()));
    assert!(why(&said).contains("route drills; each handler may take 10m"), "{said}");
    end(replica);
}

#[test]
fn a_route_that_is_disabled() {
    let world = World::new("switched_off");
    world.change_routes(|routes| routes.replace("handler: git_ref", "handler: git_ref\n    enabled: false"));
    let replica = replica(&world);
    world.send(&world.push("key"));
    let said = standing(&world, "disabled");
    assert!(why(&said).contains("Route pushes is disabled: 1 record waits"), "{said}");
    end(replica);
}

#[test]
fn a_tenant_that_has_all_that_it_may_have_is_named() {
    let world = World::spread(Stack::shared(), "tenant", 2);
    let route = DRILLS.replace("TOPIC", &world.topic).replace("POLICY", "deadline: 10m\n    tenant: {concurrency: 1}");
    world.change_routes(|routes| routes + &route);
    let replica = replica(&world);
    world.producer.send_to(&world.topic, 1, &drill("a", "hang").with("ce_tenantid", "acme"));
    eventually("its tenant has what it may have", || replica.metric("coafi_records_in_flight ") > 0.0);
    let offset = world.send(&drill("b", "ok").with("ce_tenantid", "acme"));
    world.send(&drill("c", "ok").with("ce_tenantid", "other"));
    let said = standing(&world, "tenant");
    assert_eq!((&said["offset"], &said["replica"]), (&offset.into(), &"here".into()));
    for part in [
        "tenant acme has as much as route drills lets each tenant have (1 in flight per replica)",
        "Other tenants go on",
    ] {
        assert!(why(&said).contains(part), "{part}: {said}");
    }
    assert_eq!(world.outcomes().len(), 1, "the other tenant goes on");
    assert!((replica.metric("coafi_records_beyond_quota ") - 1.0).abs() < f64::EPSILON, "the one record of acme");
    end(replica);
}

#[test]
fn a_database_that_is_down() {
    let mut postgres = Postgres::start().unwrap();
    let world = World::on(Stack { postgres: postgres.url(), ..Stack::shared() }, "down");
    let replica = replica(&world);
    postgres.kill().unwrap();
    world.send(&world.push("key"));
    let said = standing(&world, "outage");
    assert!(why(&said).contains("The database is down") && why(&said).contains("route pushes"), "{said}");
    postgres.restart().unwrap();
    world.until_ended(1);
    eventually("it moves", || world.why()["moves"] == true);
    end(replica);
}

#[test]
fn a_replica_that_is_frozen_is_known_by_its_silence() {
    let world = World::new("frozen");
    // Of the default's 6 s it would be silent and still a member for one, and on a busy machine a command takes longer than that.
    let replica = replica_with(&world, &[("COAFI__KAFKA__SESSION_TIMEOUT", "50s")]);
    world.send(&world.push("before"));
    world.until_ended(1);
    // What it has must be in a report of its own.
    eventually("it reports its partitions", || world.why()["replicas"][0]["partitions"].as_u64() > Some(0));
    replica.freeze();
    world.send(&world.push("after"));
    // First it is a member that says nothing, then the group does without it.
    let silent = standing(&world, "not_reporting");
    let gone = standing(&world, "nobody");
    for said in [&silent, &gone] {
        assert!(why(said).contains("replica here") || why(said).contains("Replica here"), "{said}");
        assert!(why(said).contains("has not reported for"), "{said}");
        assert!(said["do"].as_str().unwrap().contains(&format!("process {}", replica.id())), "{said}");
    }
    replica.go_on();
    world.until_ended(2);
    eventually("it moves", || world.why()["moves"] == true);
    end(replica);
}

#[test]
fn what_a_frozen_replica_said_last_is_shown_with_its_age() {
    // Each answer of Kafka, and the reports, are waited for for seconds; a busy machine needs some to start a command.
    const ANSWER_LIMIT: Duration = Duration::from_secs(30);
    let policy = "retry: {in_place: {attempts: 9, backoff: {initial: 5m, cap: 5m}}}";
    let world = world_of_drills("frozen_lag", policy);
    // It must be a member for as long as this looks.
    let replica = replica_with(&world, &[("COAFI__KAFKA__SESSION_TIMEOUT", "2m")]);
    world.send(&drill("a", "transient"));
    eventually("it reports what is parked", || split(&lag(&world).0)[3] == Some(1));
    let (fresh, remarks) = lag(&world);
    assert!(fresh["as_of_ms"].is_null() && !remarks.contains("has not reported"), "{fresh} {remarks}");

    replica.freeze();
    world.send(&drill("b", "ok"));
    let (old, remarks) = found("its report is old", || {
        let asked = Instant::now();
        let said = lag(&world);
        assert!(asked.elapsed() < ANSWER_LIMIT, "answered after {:?}: {said:?}", asked.elapsed());
        said.0["as_of_ms"].is_i64().then_some(said)
    });
    // What was parked is parked still, as far as anybody knows; the record of after cannot have been fetched.
    assert_eq!((old["lag"].as_u64(), split(&old)), (Some(2), [1, 0, 0, 1, 0].map(Some)), "{old}");
    assert_eq!(old["replica"], "here");
    let age = UNIX_EPOCH.elapsed().unwrap() - Duration::from_millis(old["as_of_ms"].as_u64().unwrap());
    assert!(age >= Duration::from_secs(5), "{age:?}: {old}");
    for part in ["replica here has not reported for ", " s: `coafi group why`"] {
        assert!(remarks.contains(part), "{part}: {remarks}");
    }
    replica.go_on();
    eventually("it reports again", || {
        let (row, remarks) = lag(&world);
        row["as_of_ms"].is_null() && split(&row) == [0, 0, 0, 1, 0].map(Some) && !remarks.contains("has not reported")
    });
    end(replica);
}
