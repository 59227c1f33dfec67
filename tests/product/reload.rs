//! The routes file changes under a running group, with events in flight and parked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::event::{Subject, attributes};
use crate::journal::Outcome;
use crate::process::{Process, eventually, eventually_while};
use crate::stack::Stack;
use crate::topic::{Producer, Record};
use crate::world::World;

const STEP: &str = "org.coafi.events.DrillStepEventPayload";
const PARTITIONS: i32 = 2;
const KEYS: u32 = 12;
/// Between two events, which are sent as long as the routes change: a replica that has nothing left cannot be seen at work.
/// As fast as the broker takes them they would be far more than is handled in this time.
const PACE: Duration = Duration::from_millis(10);
/// Between the clocks of two processes on one machine, and what a millisecond hides.
const CLOCK_SLACK_MS: i64 = 50;
const PARKED: &str = "coafi_records_parked";
const PROCESSED: &str = r#"coafi_outcomes_total{outcome="processed"}"#;
const REFUSED: &str = "coafi_routes_reload_failures_total";

/// Routes that differ in what keeps order and in how often an event is tried.
fn routes(topic: &str, ordering: &str, attempts: u32) -> String {
    format!(
        "routes:\n  - name: steps\n    match: {{type: drill.step, topic: {topic}}}\n    handler: drill\n    \
         ordering: {ordering}\n    retry: {{in_place: {{attempts: {attempts}, backoff: {{initial: 100ms, cap: 200ms}}}}}}\n"
    )
}

/// Routes, and from when until when outcomes may name them.
struct Version {
    version: String,
    attempts: i32,
    written_ms: i64,
    in_force_everywhere_ms: i64,
}

#[test]
fn routes_change_under_load_and_every_outcome_names_those_that_it_was_made_under() {
    let world = World::spread(Stack::shared(), "reload", usize::try_from(PARTITIONS).unwrap());
    without_retry_topics(&world);
    let mut group = Group { replicas: Vec::new(), versions: Vec::new(), world: &world };
    group.change("key", 5);
    group.replicas = ["a", "b"].map(|slot| group.start(slot)).into();
    let (stop, steps) = (AtomicBool::new(false), Subject::latest(&world.stack.registry, &world.topic, STEP));
    let sent = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&world, &steps, &stop));
        let end = StopAtEnd(&stop);
        group.until_in_force(0);
        group.until_busy_with_parked_lanes();
        group.change("partition", 4);
        group.until_in_force(1);
        group.until_busy_with_parked_lanes();
        group.is_refused("routes:\n  - name: steps\n    match: {type: drill.step}\n    handler: nobody\n", "nobody");
        group.until_busy_with_parked_lanes();
        group.change("key", 6);
        group.until_in_force(2);
        group.until_busy_with_parked_lanes();
        drop(end);
        load.join().unwrap()
    });
    eventually_while("everything is resolved", || world.lag(), || world.lag() == 0);
    let Group { replicas, versions, .. } = group;
    for replica in replicas {
        replica.terminate();
        assert_eq!(replica.ended().code(), Some(0));
    }
    let outcomes = world.outcomes();
    name_the_routes_that_they_were_made_under(&outcomes, &versions);
    end_once_and_in_order(&outcomes, &sent);
    println!("{} events, {} outcomes, {} versions", sent.len(), outcomes.len(), versions.len());
}

#[test]
fn routes_that_need_another_subscription_are_refused_until_a_restart() {
    let world = World::new("subscription");
    let mut replica = world.replica();
    replica.until_ready();
    let elsewhere = "  - name: others\n    match: {type: git.push, topic: coafi.workflow}\n    handler: git_ref\n";
    world.change_routes(|routes| routes + elsewhere);
    eventually("the routes are refused", || replica.metric(REFUSED) >= 1.0);
    assert!(replica.log().contains("coafi.workflow") && replica.log().contains("restart it to use them"));
    world.send(&world.push("a"));
    assert_eq!(world.until_ended(1)[0].outcome, "processed", "the routes in force stay");
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
}

/// Nothing is retried by topic here, and the group's assignor counts partitions: each replica is to have its share of the keys.
fn without_retry_topics(world: &World) {
    let file = world.path("topics/source.yaml");
    let declared = std::fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = declared.lines().filter(|line| !line.starts_with("retry:")).collect();
    std::fs::write(file, kept.join("\n")).unwrap();
}

/// The load ends with the test, also with one that fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Group<'a> {
    world: &'a World,
    replicas: Vec<Process>,
    versions: Vec<Version>,
}

impl Group<'_> {
    fn start(&self, slot: &str) -> Process {
        let mut command = self.world.command(&["consume", "--slot", slot]);
        // What fails here is no outage, however many keys it fails for.
        command.env("COAFI__ENGINE__CIRCUIT__SAME_ERROR_LANES", "10000");
        command.env("COAFI__ENGINE__CIRCUIT__DECIDE_WITHIN", "50ms");
        Process::start(command)
    }

    fn change(&mut self, ordering: &str, attempts: u32) {
        let written_ms = now_ms();
        self.world.change_routes(|_| routes(&self.world.topic, ordering, attempts));
        let lint = self.world.run(&["routes", "lint", "--output", "json"]).json();
        self.versions.push(Version {
            version: lint["version"].as_str().unwrap().to_owned(),
            attempts: i32::try_from(attempts).unwrap(),
            written_ms,
            in_force_everywhere_ms: i64::MAX,
        });
    }

    fn until_in_force(&mut self, index: usize) {
        let line = format!("coafi_routes{{version=\"{}\"}}", self.versions[index].version);
        eventually("the routes are in force", || self.replicas.iter().all(|replica| replica.metric(&line) >= 1.0));
        self.versions[index].in_force_everywhere_ms = now_ms();
    }

    /// Every replica has parked records, and goes on with others.
    fn until_busy_with_parked_lanes(&self) {
        for replica in &self.replicas {
            let before = replica.metric(PROCESSED);
            eventually("a replica works beside parked lanes", || {
                replica.metric(PARKED) > 0.0 && replica.metric(PROCESSED) >= before + 20.0
            });
        }
    }

    /// A file that is wrong is told as `routes lint` tells it, and changes nothing.
    fn is_refused(&self, text: &str, because: &str) {
        let before = std::fs::read_to_string(self.world.path("routes.yaml")).unwrap();
        self.world.change_routes(|_| text.to_owned());
        let lint = self.world.run(&["routes", "lint"]);
        assert_eq!(lint.code(), Some(2), "{}", lint.stderr);
        let in_force = format!("coafi_routes{{version=\"{}\"}}", self.versions.last().unwrap().version);
        for replica in &self.replicas {
            eventually("the file is refused", || replica.metric(REFUSED) >= 1.0);
            assert!(replica.log().contains("the routes file is refused") && replica.log().contains(because));
            assert!(replica.metric(&in_force) >= 1.0, "the routes in force stay");
            assert!(replica.metric("coafi_routes_last_reload_successful") < 1.0);
        }
        self.world.change_routes(|_| before);
    }
}

/// Each under a key of one partition, one after another until told to stop; gives id, key and place.
fn load(world: &World, steps: &Subject, stop: &AtomicBool) -> BTreeMap<String, (u32, i64)> {
    let producer = Producer::new(&world.stack.kafka);
    let mut sent = BTreeMap::new();
    for sequence in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = sequence % KEYS;
        // Enough that lanes are parked at any time, and some that never succeed.
        let times = match sequence {
            _ if sequence % 150 == 7 => 99,
            _ if sequence % 30 == 11 => 3,
            _ => u32::from(sequence % 15 == 3),
        };
        let data = json!({
            "key": key.to_string(), "sequence": sequence, "action": "transient", "times": times, "emit": false, "write": false,
        });
        let record = Record {
            key: Some(key.to_string().into_bytes()),
            value: Some(steps.encode(&data)),
            ..attributes("drill.step", "/product")
        };
        let partition = i32::try_from(key).unwrap() % PARTITIONS;
        let offset = producer.send_to(&world.topic, partition, &record);
        sent.insert(record.header("ce_id").unwrap().to_owned(), (key, offset));
        // A rate, not a wait for anything.
        std::thread::sleep(PACE);
    }
    sent
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// An attempt that began before a change names the routes before it; one that began when all replicas had the new ones, those.
fn name_the_routes_that_they_were_made_under(outcomes: &[Outcome], versions: &[Version]) {
    let mut counts = vec![0; versions.len()];
    for outcome in outcomes {
        let named = outcome.route_version.as_deref().unwrap_or_else(|| panic!("{outcome:?} names no routes"));
        let index = versions.iter().position(|it| it.version == named).unwrap_or_else(|| panic!("{outcome:?}"));
        counts[index] += 1;
        let Some(started) = outcome.started_at else { continue };
        assert!(outcome.attempt <= versions[index].attempts, "{outcome:?} is an attempt too many");
        assert!(started + CLOCK_SLACK_MS >= versions[index].written_ms, "{outcome:?} names routes of the future");
        if let Some(next) = versions.get(index + 1) {
            assert!(started - CLOCK_SLACK_MS <= next.in_force_everywhere_ms, "{outcome:?} names routes of the past");
        }
    }
    assert!(counts.iter().all(|count| *count > 0), "every version was worked under: {counts:?}");
}

fn end_once_and_in_order(outcomes: &[Outcome], sent: &BTreeMap<String, (u32, i64)>) {
    let mut of_event: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        of_event.entry(outcome.event_id.as_deref().unwrap()).or_default().push(outcome);
    }
    let mut by_key: BTreeMap<u32, BTreeMap<i64, (i64, i64)>> = BTreeMap::new();
    for (id, (key, offset)) in sent {
        let about = of_event.get_mut(id.as_str()).unwrap_or_else(|| panic!("{id} is lost"));
        about.sort_by_key(|outcome| (outcome.attempt, outcome.is_final()));
        let ends: Vec<_> = about.iter().filter(|outcome| outcome.is_final()).collect();
        assert_eq!(ends.len(), 1, "{id} has not one end: {about:?}");
        let attempts: Vec<i32> =
            about.iter().filter(|o| o.started_at.is_some()).map(|outcome| outcome.attempt).collect();
        let expected: Vec<i32> = (1..).take(attempts.len()).collect();
        assert_eq!(attempts, expected, "attempts of {id} are skipped or repeated: {about:?}");
        let began = about.iter().find_map(|outcome| outcome.started_at).unwrap();
        by_key.entry(*key).or_default().insert(*offset, (began, ends[0].ended_at));
    }
    assert_eq!(of_event.len(), sent.len(), "outcomes are about events");
    for (key, events) in by_key {
        for ((before, (_, ended)), (after, (began, _))) in events.iter().zip(events.iter().skip(1)) {
            assert!(ended <= began, "key {key}: offset {after} began before {before} had ended");
        }
    }
}
