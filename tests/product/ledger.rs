//! The ledger's topic takes no record for a while, and everything else does: outcomes cannot be committed, and what was begun
//! for them cannot even be aborted before it is back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use coafi_testcontainers::KafkaCluster;

use crate::journal::{self, Outcome};
use crate::load::{Needed, PARTITIONS, RESUMES_WITHIN, outlasts, pushes};
use crate::process::eventually;
use crate::stack::Stack;
use crate::topic::{configure, ends, in_sync, read};
use crate::world::World;

/// Each topic has a replica on both.
const BROKERS: usize = 2;
/// Of which one has ended, which all topics but this one can do without.
const LEFT: usize = 1;
const MIN_IN_SYNC: &str = "min.insync.replicas";

const PROCESSED: &str = r#"coafi_outcomes_total{outcome="processed"}"#;
const OPEN: &str = r#"coafi_circuit{dependency="ledger",state="open"}"#;
const ESCALATED: &str = r#"coafi_incidents_total{kind="outage"}"#;
/// Handled at so many a second.
const QUIET_EVENTS: usize = 80;
const PER_SECOND: &str = "handler: git_ref\n    concurrency: 1\n    rate_limit: {per_second: 20, burst: 1}";
/// Longer than `kafka.transaction_timeout`, and than the coordinator's look for what has timed out.
const GONE: Duration = Duration::from_secs(22);

/// A cluster whose ledger can be taken away.
struct Cluster {
    kafka: KafkaCluster,
    /// Past the broker that will end, so that nothing but the ledger is missed.
    stack: Stack,
}

impl Cluster {
    fn start() -> Self {
        let (kafka, _) = KafkaCluster::start_behind(&[vec![], vec![]]).unwrap();
        let stack = Stack { kafka: kafka.brokers()[0].bootstrap_servers(), replication: BROKERS, ..Stack::shared() };
        Self { kafka, stack }
    }

    /// From here on one of two brokers is there. Topics that are made later could have no replica on the other.
    fn end_the_other(&mut self, worlds: &[&World]) {
        let of_kafka = ["__transaction_state", "__consumer_offsets"].into_iter();
        let topics: Vec<&str> =
            of_kafka.chain([journal::TOPIC]).chain(worlds.iter().map(|world| &*world.topic)).collect();
        self.kafka.brokers_mut()[1].stop().unwrap();
        let kafka = &self.stack.kafka;
        eventually("the other broker leads", || topics.iter().all(|topic| in_sync(kafka, topic) == LEFT));
    }

    /// What the ledger's topic needs to take a record.
    fn needs(&self, brokers: usize) {
        configure(&self.stack.kafka, journal::TOPIC, MIN_IN_SYNC, &brokers.to_string());
    }
}

#[test]
fn a_ledger_is_outlasted() {
    let mut cluster = Cluster::start();
    let world = World::spread(cluster.stack.clone(), "load_ledger", PARTITIONS.try_into().unwrap());
    let quiet = World::on(cluster.stack.clone(), "quiet_ledger");
    // Kafka's own topics are made when they are first needed.
    world.consume();
    cluster.end_the_other(&[&world, &quiet]);
    let take_away = || cluster.needs(BROKERS);
    outlasts(&world, "ledger", pushes(&world), Needed::Always, take_away, || cluster.needs(LEFT));
    is_noticed_without_input(&cluster, &quiet);
}

/// Nothing comes in any more when the ledger goes, so no receipt tells of it.
fn is_noticed_without_input(cluster: &Cluster, world: &World) {
    world.change_routes(|routes| routes.replace("handler: git_ref", PER_SECOND));
    for n in 0..QUIET_EVENTS {
        world.send(&world.push(&format!("key-{n}")));
    }
    let mut replica = world.replica();
    replica.until_ready();
    eventually("some are handled", || replica.metric(PROCESSED) >= 5.0);
    cluster.needs(BROKERS);
    let away = Instant::now();
    eventually("its circuit opens", || replica.metric(OPEN) > 0.0);
    let ready = replica.page("/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("ledger"), "{}", ready.body);
    eventually("every transaction has timed out", || away.elapsed() > GONE);
    let handled = replica.metric(PROCESSED);
    assert!(handled < QUIET_EVENTS as f64, "{handled} of {QUIET_EVENTS} are committed without a ledger");
    let ended = ends(&world.stack.kafka, journal::TOPIC);
    cluster.needs(LEFT);
    let back = Instant::now();
    eventually("outcomes are committed again", || replica.metric(PROCESSED) > handled);
    let resumed = back.elapsed();
    println!("ledger without input: {handled} committed before, the next after {} ms", resumed.as_millis());
    assert!(resumed < RESUMES_WITHIN, "the first outcome after {resumed:?}");
    let ends = world.until_ended(QUIET_EVENTS);
    eventually("its circuit closes", || replica.metric(OPEN) == 0.0);
    assert_eq!(replica.metric(ESCALATED), 0.0, "not for so short a time");
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
    // What was appended last before, a partition acknowledges with what comes next: no transaction may wait for chance events.
    let source = format!("/coafi/{}", world.group);
    let since = read(&world.stack.kafka, journal::TOPIC, &ended).into_iter();
    let receipts = since.filter(|read| {
        let is = |name, value: &str| read.record.header(name) == Some(value);
        is("ce_type", "bitt.receipt") && is("ce_source", &source)
    });
    let written: BTreeSet<i32> = receipts.map(|read| read.partition).collect();
    assert!(written.iter().eq(ended.keys()), "receipts in {written:?} of the ledger's partitions");
    let as_asked = |outcome: &&Outcome| outcome.outcome == "processed" && outcome.attempt == 1;
    assert_eq!(ends.iter().filter(as_asked).count(), QUIET_EVENTS, "{ends:?}");
    assert_eq!(ends.len(), QUIET_EVENTS, "one end each");
}
