//! Several replicas: one is killed in the middle of its work; two have the same slot.

use std::collections::BTreeMap;

use coafi_testcontainers::Kafka;

use crate::journal::Outcome;
use crate::process::{Process, eventually, eventually_while, found};
use crate::repositories::{Repository, generate_many};
use crate::stack::Stack;
use crate::topic::{Positions, Read, read};
use crate::world::{GIT_TOPIC, World};

const PROCESSED: &str = r#"coafi_outcomes_total{outcome="processed"}"#;

/// A number that makes the test larger.
pub(crate) fn from_environment(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, no number")))
}

#[test]
fn every_commit_ends_once_and_in_order_although_a_replica_is_killed() {
    let commits = from_environment("COAFI_PRODUCT_COMMITS", 2_000);
    let repositories = from_environment("COAFI_PRODUCT_REPOSITORIES", 10);
    // Of its own: until the killed one's transaction times out, nobody reads past it.
    let kafka = Kafka::start().unwrap();
    let world = World::over_git(Stack { kafka: kafka.bootstrap_servers(), ..Stack::shared() }, "replicas");
    let sources = generate_many(&world.path("repositories"), repositories, commits);
    connect(&world, &sources, commits);

    let mut replicas: Vec<Process> = ["a", "b", "c"].iter().map(|slot| start(&world, slot)).collect();
    let share = f64::from(commits) / 12.0;
    // Whoever joins last too, and not the retry topics' only.
    let of_the_source = format!("topic=\"{GIT_TOPIC}\"}}");
    let has_partitions = |replica: &Process| {
        replica
            .page("/metrics")
            .body
            .lines()
            .any(|line| line.starts_with("coafi_lag{") && line.contains(&of_the_source))
    };
    eventually("every replica has partitions of the source", || replicas.iter().all(has_partitions));
    // Which one that is depends on the assignment, and on the partitions that the repositories' keys fall into.
    let busy = found("one to be killed in the middle of its work", || {
        replicas.iter().position(|replica| replica.metric(PROCESSED) >= share)
    });
    let mut killed = replicas.remove(busy);
    let by_killed = killed.metric(PROCESSED);
    killed.kill();
    drop(killed);
    eventually_while(
        "the others do all the rest",
        || lag(&replicas),
        || lag(&replicas) == Some(0.0) && world.lag() == 0,
    );
    for replica in replicas {
        replica.terminate();
        assert_eq!(replica.ended().code(), Some(0));
    }

    let (events, outcomes) = (read(&world.stack.kafka, GIT_TOPIC, &Positions::new()), world.outcomes());
    are_all_commits(&events, &sources);
    end_once_and_in_order(&events, &outcomes);
    println!(
        "{} events of {commits} commits in {repositories} repositories; {} outcomes; the killed replica did {by_killed} or more",
        events.len(),
        outcomes.len(),
    );
}

fn connect(world: &World, sources: &[Repository], expected: u32) {
    let urls: Vec<String> = sources.iter().map(Repository::url).collect();
    let mut args = vec!["connect", "git", "--once", "--output", "json"];
    urls.iter().for_each(|url| args.extend(["--repo", url]));
    let summary = world.run(&args).json();
    assert_eq!(summary["events"], expected, "a first look finds commits, and nothing that was pushed");
}

fn start(world: &World, slot: &str) -> Process {
    Process::start(world.command(&["consume", "--slot", slot]))
}

/// What the replicas say is not resolved yet; `None` until they have every partition.
fn lag(replicas: &[Process]) -> Option<f64> {
    let replicas: Vec<&Process> = replicas.iter().collect();
    let partitions = partitions(&replicas);
    (partitions.len() == World::GIT_PARTITIONS).then(|| partitions.values().sum())
}

/// The lag of each partition that one of these has, as it says itself.
fn partitions(replicas: &[&Process]) -> BTreeMap<String, f64> {
    let ours = format!("topic=\"{GIT_TOPIC}\"");
    let mut partitions: BTreeMap<String, f64> = BTreeMap::new();
    for page in replicas.iter().map(|replica| replica.page("/metrics").body) {
        for line in page.lines().filter(|line| line.starts_with("coafi_lag{") && line.contains(&ours)) {
            let partition = line.split("partition=\"").nth(1).and_then(|rest| rest.split('"').next());
            let lag = line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
            *partitions.entry(partition.expect("a label").to_owned()).or_default() += lag.expect("a number");
        }
    }
    partitions
}

/// The connector's part: every commit of every repository, in the order of its history, under one key.
fn are_all_commits(events: &[Read], sources: &[Repository]) {
    let mut by_key: BTreeMap<&[u8], Vec<&str>> = BTreeMap::new();
    for read in events.iter().filter(|read| read.record.header("ce_type") == Some("git.commit")) {
        let key = read.record.key.as_deref().unwrap();
        by_key.entry(key).or_default().push(read.record.header("ce_id").unwrap().trim_start_matches("main@"));
    }
    assert_eq!(by_key.len(), sources.len());
    for source in sources {
        let (_, found) = by_key
            .iter()
            .find(|(key, _)| String::from_utf8_lossy(key).contains(&source.url()))
            .unwrap_or_else(|| panic!("no event of {}", source.url()));
        assert_eq!(*found, source.lines(&["rev-list", "--reverse", "HEAD"]), "{}", source.url());
    }
}

/// The replicas' part.
fn end_once_and_in_order(events: &[Read], outcomes: &[Outcome]) {
    let mut ends: BTreeMap<(i32, i64), Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.is_final()) {
        assert_eq!(outcome.topic, GIT_TOPIC, "{outcome:?}");
        ends.entry((outcome.partition, outcome.offset)).or_default().push(outcome);
    }
    assert_eq!(ends.len(), events.len(), "outcomes are about events");
    let mut last: BTreeMap<&[u8], &Outcome> = BTreeMap::new();
    let mut in_log: BTreeMap<(&[u8], i32), &Outcome> = BTreeMap::new();
    // In the order of their partitions.
    for event in events {
        let [end] = ends[&(event.partition, event.offset)][..] else {
            panic!("{:?} has not one end", event.record.headers);
        };
        assert_eq!(end.outcome, "processed", "{end:?}");
        assert_eq!(end.event_id.as_deref(), event.record.header("ce_id"));
        let key = event.record.key.as_deref().unwrap();
        if let Some(before) = last.insert(key, end) {
            assert!(before.ended_at <= end.started_at.unwrap(), "{end:?} was begun before {before:?} had ended");
        }
        let in_same_log = (key, end.place.0);
        if let Some(before) = in_log.insert(in_same_log, end) {
            assert!(before.place.1 < end.place.1, "{end:?} was committed before {before:?}");
        }
    }
}

#[test]
fn of_two_live_replicas_with_one_slot_one_ends_and_says_what_to_do() {
    let world = World::new("twins");
    let mut first = start(&world, "same");
    first.until_ready();
    let mut twins = vec![first, start(&world, "same")];
    let gone = found("one of them ends", || twins.iter_mut().position(|twin| !twin.is_running()));
    let gone = twins.remove(gone).ended();
    assert_eq!(gone.code(), Some(1), "{}", gone.stderr);
    assert!(gone.stderr.contains("give each replica a slot of its own"), "{}", gone.stderr);
    let mut left = twins.remove(0);
    left.until_ready();
    left.terminate();
    assert_eq!(left.ended().code(), Some(0));
}

#[test]
fn a_group_that_begins_at_the_latest_keeps_where_it_began() {
    let world = World::new("latest");
    let latest = || {
        let mut command = world.command(&["consume"]);
        command.env("COAFI__KAFKA__START", "latest");
        Process::start(command)
    };
    world.send(&world.push("history"));
    let mut first = latest();
    let of_topic = format!("topic=\"{}\"", world.topic);
    let has_it = |line: &str| line.starts_with("coafi_lag{") && line.contains(&of_topic);
    eventually("it has its partition", || first.page("/metrics").body.lines().any(has_it));
    assert_eq!(world.lag(), 0, "history is nobody's task");
    first.kill();
    drop(first.ended());
    let meanwhile = world.push("meanwhile");
    world.send(&meanwhile);
    let second = latest();
    world.until_ended(1);
    assert_eq!(world.end_of(&meanwhile).outcome, "processed");
    second.terminate();
    second.ended().well();
    assert_eq!(world.outcomes().iter().filter(|outcome| outcome.is_final()).count(), 1);
}
