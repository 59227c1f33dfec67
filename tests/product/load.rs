//! Systemic failures under load: a dependency is away while events keep coming, then it is back.
//!
//! Nothing is dead-lettered, no attempt is used, memory stays bounded, the pages and metrics say what is wrong, it is
//! escalated once, and every partition goes on within [`RESUMES_WITHIN`] of the return. `COAFI_PRODUCT_OUTAGE_SECONDS` makes
//! the outage longer; what is asked for is the same.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use coafi_testcontainers::{GitHost, Postgres, Registry};

use crate::endpoints::server::Server;
use crate::event::{attributes, commit_data};
use crate::journal::Outcome;
use crate::process::{Process, eventually, eventually_while};
use crate::repositories::Repository;
use crate::stack::Stack;
use crate::topic::{Committed, Positions, Producer, Record, read};
use crate::world::World;

/// How long the dependency is away, unless the environment says otherwise.
const OUTAGE_SECONDS: u32 = 12;
/// What the issue asks for.
pub(crate) const RESUMES_WITHIN: Duration = Duration::from_secs(2);
/// By then what was handled at first is committed, too: a transaction that takes longer than its time-out is a new stall.
const COMMITS_WITHIN: Duration = Duration::from_secs(10);
pub(crate) const PARTITIONS: i32 = 4;
/// Of all partitions.
const KEYS: usize = 100;
/// Between two events; each carries [`PADDING_BYTES`].
const PACE: Duration = Duration::from_millis(5);
const PADDING_BYTES: usize = 4_096;
/// What the replica may buffer: far less than what comes in during the outage.
const MAX_RECORDS: &str = "400";
/// What it may grow by while it waits, librdkafka's queues (8 MiB fetched, 16 MiB to be sent) included.
const MAX_GROWTH_BYTES: u64 = 48 << 20;
/// The same until its backlog is gone: with what a hundred handlers at a time need.
const MAX_PEAK_BYTES: u64 = 2 * MAX_GROWTH_BYTES;

fn outage_seconds() -> u32 {
    crate::replicas::from_environment("COAFI_PRODUCT_OUTAGE_SECONDS", OUTAGE_SECONDS)
}

/// Events at a steady pace, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Load {
    /// `events`: one of each key, which is sent again and again under ids of its own.
    fn start(world: &World, events: Vec<Record>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, producer, topic) = (Arc::clone(&stop), Producer::new(&world.stack.kafka), world.topic.clone());
        let thread = std::thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                let key = sent % events.len();
                let mut record = events[key].clone().without("ce_id").with("ce_id", format!("event-{sent}"));
                record.key = Some(format!("key-{key}").into_bytes());
                producer.hand_over(&topic, i32::try_from(key).unwrap() % PARTITIONS, &record);
                sent += 1;
                std::thread::sleep(PACE);
            }
            producer.flush();
            sent
        });
        Self { stop, thread }
    }

    /// How many events were sent in all.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn padded(record: Record) -> Record {
    record.with("padding", vec![b'x'; PADDING_BYTES])
}

/// Pushes of as many branches as there are keys: keys that wrote the same entry would get into each other's way, outage or not,
/// and use attempts for that.
pub(crate) fn pushes(world: &World) -> Vec<Record> {
    (0..KEYS).map(|_| world.push("")).collect()
}

fn start(world: &World) -> Process {
    let mut command = world.command(&["consume"]);
    command
        .env("COAFI__ENGINE__MAX_RECORDS", MAX_RECORDS)
        .env("COAFI__ENGINE__MAX_IN_FLIGHT", "100")
        .env("COAFI__KAFKA__COMMIT__MAX_RECORDS", MAX_RECORDS)
        .env("COAFI__ENGINE__CIRCUIT__ESCALATE_AFTER", format!("{}s", outage_seconds() / 3))
        .env("COAFI__ARTIFACTS__URL", world.path("artifacts"));
    let mut replica = Process::start(command);
    replica.until_ready();
    replica
}

fn unix_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Whether the dependency is needed by what was handled before, or only by what comes.
#[derive(PartialEq)]
pub(crate) enum Needed {
    Always,
    AtFirst,
}

/// `take_away` and `bring_back` the dependency under load, and hold the replica to everything that is promised.
pub(crate) fn outlasts(
    world: &World,
    dependency: &str,
    events: Vec<Record>,
    needed: Needed,
    take_away: impl FnOnce(),
    bring_back: impl FnOnce(),
) {
    let events: Vec<Record> = events.into_iter().map(padded).collect();
    let replica = start(world);
    let processed = || replica.metric(r#"coafi_outcomes_total{outcome="processed"}"#);
    let load = if needed == Needed::Always {
        let load = Load::start(world, events);
        eventually("events are handled", || processed() > 100.0);
        take_away();
        load
    } else {
        take_away();
        Load::start(world, events)
    };

    let open = format!(r#"coafi_circuit{{dependency="{dependency}",state="open"}}"#);
    eventually("its circuit opens", || replica.metric(&open) > 0.0);
    let (began, resident) = (Instant::now(), replica.resident_bytes());
    let (handled, lasts) = (Cell::new(0.0), Duration::from_secs(outage_seconds().into()));
    // Looked at again and again, for what it had in between may be gone at the end.
    let grown = Cell::new(0);
    let look = || grown.set(grown.get().max(replica.resident_bytes().saturating_sub(resident)));
    eventually_while(
        "the outage is over",
        || began.elapsed().as_secs(),
        || {
            look();
            // What had been handled before is committed by then, and counted.
            if began.elapsed() < lasts / 3 {
                handled.set(processed());
            }
            began.elapsed() >= lasts
        },
    );
    let waiting = grown.get();
    assert!(waiting < MAX_GROWTH_BYTES, "{waiting} bytes more than at the beginning");
    assert_eq!(processed(), handled.get(), "nothing can be handled meanwhile");
    let ready = replica.page("/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains(dependency), "{}", ready.body);
    assert_eq!(replica.page("/health").status, 200);
    assert_eq!(replica.metric(&open), 1.0);
    assert_eq!(replica.metric(r#"coafi_incidents_total{kind="outage"}"#), 1.0, "escalated once");
    assert_eq!(replica.log().matches("dependency is down; what needs it waits").count(), 1, "{}", replica.log());
    let said = world.why();
    let standing: Vec<_> =
        said["partitions"].as_array().unwrap().iter().filter(|p| p["topic"] == *world.topic).collect();
    assert_eq!(standing.len(), usize::try_from(PARTITIONS).unwrap(), "{said}");
    assert!(standing.iter().all(|p| p["reason"] == "outage"), "{said}");

    let committed = Committed::of(&world.stack.kafka, &world.group, &world.topic, PARTITIONS);
    let before = committed.positions();
    bring_back();
    let (back, back_ms) = (Instant::now(), unix_ms());
    let mut committed_ms = BTreeMap::new();
    eventually("every partition has committed more", || {
        for (partition, position) in committed.positions() {
            if position > before[&partition] {
                committed_ms.entry(partition).or_insert(back.elapsed().as_millis());
            }
        }
        committed_ms.len() == before.len()
    });
    eventually("its circuit closes", || replica.metric(&open) == 0.0);
    let sent = load.end();
    eventually_while(
        "all of it is handled",
        || world.lag(),
        || {
            look();
            world.lag() == 0
        },
    );
    let grown = grown.get();
    let outcomes = world.outcomes();
    let resumed = resumed_ms(&outcomes, back_ms);
    println!(
        "{dependency}: away for {} s, {sent} events, {waiting} bytes more (at most {grown} until all was handled), \
         partitions resumed after {resumed:?} ms, and had committed after {committed_ms:?} ms",
        outage_seconds()
    );
    assert!(grown < MAX_PEAK_BYTES, "{grown} bytes more than at the beginning");
    assert_eq!(resumed.len(), usize::try_from(PARTITIONS).unwrap(), "every partition goes on: {resumed:?}");
    let late = resumed.values().any(|after| u128::try_from(*after).unwrap() > RESUMES_WITHIN.as_millis());
    assert!(!late, "partitions resumed after {resumed:?} ms:\n{}", replica.log());
    let late = committed_ms.values().any(|after| *after > COMMITS_WITHIN.as_millis());
    assert!(!late, "partitions had committed after {committed_ms:?} ms:\n{}", replica.log());
    assert_eq!(replica.metric(r#"coafi_incidents_total{kind="outage"}"#), 1.0, "one outage");

    let as_asked = |outcome: &&Outcome| outcome.outcome == "processed" && outcome.attempt == 1;
    let other: Vec<&Outcome> = outcomes.iter().filter(|outcome| !as_asked(outcome)).collect();
    assert!(other.is_empty(), "an outage costs no attempt: {other:?}");
    assert_eq!(outcomes.len(), sent, "one end each");
    assert!(world.dead_letters().is_empty());
    assert!(read(&world.stack.kafka, &format!("{}.retry.1s", world.topic), &Positions::new()).is_empty());
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
}

/// How long after the return each partition had its first outcome.
fn resumed_ms(outcomes: &[Outcome], back_ms: i64) -> BTreeMap<i32, i64> {
    let mut first = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.ended_at >= back_ms) {
        let after = outcome.ended_at - back_ms;
        first.entry(outcome.partition).and_modify(|known: &mut i64| *known = after.min(*known)).or_insert(after);
    }
    first
}

#[test]
fn a_database_is_outlasted() {
    let mut postgres = Postgres::start().unwrap();
    let world = World::spread(Stack { postgres: postgres.url(), ..Stack::shared() }, "load_database", 4);
    let server = RefCell::new(&mut postgres);
    let (kill, restart) = (|| server.borrow_mut().kill().unwrap(), || server.borrow_mut().restart().unwrap());
    outlasts(&world, "database", pushes(&world), Needed::Always, kill, restart);
}

/// Connections stay open, and what is asked is not answered: handlers come to their deadline for want of it.
#[test]
fn a_database_that_hangs_is_outlasted() {
    let mut postgres = Postgres::start().unwrap();
    let world = World::spread(Stack { postgres: postgres.url(), ..Stack::shared() }, "load_hanging", 4);
    world.change_routes(|routes| routes.replace("handler: git_ref", "handler: git_ref\n    deadline: 2s"));
    let server = RefCell::new(&mut postgres);
    let (pause, resume) = (|| server.borrow_mut().pause().unwrap(), || server.borrow_mut().resume().unwrap());
    outlasts(&world, "database", pushes(&world), Needed::Always, pause, resume);
}

#[test]
fn a_registry_is_outlasted() {
    let mut registry = Registry::start().unwrap();
    let world = World::spread(Stack { registry: registry.url(), ..Stack::shared() }, "load_registry", 4);
    let server = RefCell::new(&mut registry);
    // Schemas that were read once are kept, so it has to be away before the first push.
    let (kill, restart) = (|| server.borrow_mut().kill().unwrap(), || server.borrow_mut().restart().unwrap());
    outlasts(&world, "schema-registry", pushes(&world), Needed::AtFirst, kill, restart);
}

#[test]
fn an_artifact_store_is_outlasted() {
    let world = World::spread(Stack::shared(), "load_artifacts", 4);
    let repository = Repository::init(world.path("repository"));
    let commit = |key: usize| {
        let sha = repository.commit_file(&format!("docs/{key}.md"), "# A document\n\nWith a page of its own.\n");
        let value = world.commits.encode(&commit_data(&repository.url(), &sha));
        Record { value: Some(value), ..attributes("git.commit", "/product") }
    };
    let commits = (0..KEYS).map(commit).collect();
    let directory = world.path("artifacts");
    let aside = directory.with_extension("aside");
    // A file where the store needs a directory: nothing can be written.
    let take_away = || {
        std::fs::rename(&directory, &aside).unwrap();
        std::fs::write(&directory, b"").unwrap();
    };
    let bring_back = || {
        std::fs::remove_file(&directory).unwrap();
        std::fs::rename(&aside, &directory).unwrap();
    };
    outlasts(&world, "artifacts", commits, Needed::Always, take_away, bring_back);
}

/// A handler of somebody else: what it was asked when it went away is asked again.
#[test]
fn an_endpoint_is_outlasted() {
    let world = World::spread(Stack::shared(), "load_endpoint", 4);
    let server = Server::start(|_, _| Some(StatusCode::NO_CONTENT.into_response()));
    world.change_routes(|routes| routes.replacen("handler: git_ref", "handler: http:enrich", 1));
    let endpoint = format!("{{name: enrich, url: 'http://127.0.0.1:{}/events', secret_file: secret}}", server.port());
    let settings = format!("outgoing: {{allow: [127.0.0.0/8]}}\nendpoints: [{endpoint}]\n");
    std::fs::write(world.path("coafi.yaml"), settings).unwrap();
    std::fs::write(world.path("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    let server = RefCell::new(server);
    let (stop, restart) = (|| server.borrow_mut().stop(), || server.borrow_mut().restart());
    outlasts(&world, "http:enrich", pushes(&world), Needed::Always, stop, restart);
}

/// A system that a handler calls, and that the replica has been told of. Commits are read from a mirror; before there is one
/// the server is needed.
#[test]
fn a_git_host_is_outlasted() {
    let world = World::spread(Stack::shared(), "load_git", 4);
    let repository = Repository::init(world.path("repository"));
    let host = GitHost::start(&repository.path).unwrap();
    let commit = |key: usize| {
        let sha = repository.commit_file(&format!("docs/{key}.md"), "# A document\n");
        let value = world.commits.encode(&commit_data(&host.url(), &sha));
        Record { value: Some(value), ..attributes("git.commit", "/product") }
    };
    let commits = (0..KEYS).map(commit).collect();
    std::fs::write(world.path("coafi.yaml"), format!("git:\n  repositories: [{}]\n", host.url())).unwrap();
    let dependency = format!("git:{}", host.origin());
    let host = RefCell::new(host);
    let bring_back = || host.borrow_mut().restart().unwrap();
    outlasts(&world, &dependency, commits, Needed::AtFirst, || host.borrow_mut().kill(), bring_back);
}
