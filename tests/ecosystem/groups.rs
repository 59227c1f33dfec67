//! Apache Kafka's own tools on our consumer group: they understand what we commit, offset map included, and reset it while
//! the group is down; we resume from that as from any position.

use std::collections::BTreeMap;
use std::fs;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::event::{attributes, commit_data};
use crate::process::{Ended, PATIENCE, Process};
use crate::repositories::Repository;
use crate::tools::{kafka, kcat, printed};
use crate::topic::Record;
use crate::world::World;

const GROUPS: &str = "consumer.group.ConsumerGroupCommand";
/// The replica's, so that the transactional id is known.
const SLOT: &str = "tools";
/// As many attempts in place as it takes.
const PATIENT: &str = "{attempts: 100, backoff: {initial: 50ms, cap: 100ms}}";
const IMPATIENT: &str = "{attempts: 2, backoff: {initial: 50ms, cap: 100ms}}, topics: [1s]";

/// One partition: a commit that is processed, one whose repository is away, four behind it that are processed.
struct Scene {
    world: World,
    away: Repository,
    elsewhere: std::path::PathBuf,
    waits: Record,
}

/// Offset of the commit that waits, and of the end.
const WAITS: i64 = 1;
const END: i64 = 6;

impl Scene {
    fn set() -> Self {
        let world = World::new("tools");
        world.change_routes(|routes| routes.replace(IMPATIENT, PATIENT));
        let (here, away) = (Repository::init(world.path("here")), Repository::init(world.path("away")));
        let shas = |repository: &Repository, count: usize| -> Vec<String> {
            (0..count).map(|n| repository.commit_file("docs/a.md", &format!("# Revision {n}\n"))).collect()
        };
        let (good, late) = (shas(&here, 5), shas(&away, 1));
        world.send(&commit(&world, &here, &good[0]));
        let waits = commit(&world, &away, &late[0]);
        assert_eq!(world.send(&waits), WAITS);
        for sha in &good[1..] {
            world.send(&commit(&world, &here, sha));
        }
        let elsewhere = world.path("elsewhere");
        fs::rename(&away.path, &elsewhere).unwrap();
        Self { world, away, elsewhere, waits }
    }

    fn repository_comes_back(&self) {
        fs::rename(&self.elsewhere, &self.away.path).unwrap();
    }

    fn replica(&self) -> Process {
        Process::start(self.world.command(&["consume", "--slot", SLOT]))
    }

    fn consume(&self, run: &str) {
        let mut consume = self.world.command(&["consume", "--slot", SLOT, "--exit-when-idle", "1s"]);
        consume.env("COAFI__KAFKA__RUN", run);
        Process::start(consume).ended().well();
        assert_eq!(self.world.lag(), 0);
    }

    /// Final outcomes by offset, all of them `processed`.
    fn ends(&self) -> BTreeMap<i64, usize> {
        let mut ends = BTreeMap::new();
        for outcome in self.world.outcomes().into_iter().filter(|outcome| outcome.is_final()) {
            assert_eq!(outcome.outcome, "processed", "{outcome:?}");
            *ends.entry(outcome.offset).or_default() += 1;
        }
        ends
    }

    /// Results that are kept, and versions of registry entries that were written.
    fn effects(&self) -> (i64, i64) {
        (self.count("inbox", ""), self.count("registry_history", ""))
    }

    fn count(&self, table: &str, condition: &str) -> i64 {
        self.world.database.number(&format!("SELECT count(*) FROM {table} {condition}"))
    }

    fn tool(&self, class: &str, args: &[&str]) -> Ended {
        kafka(class, &[&["--bootstrap-server", &*self.world.stack.kafka][..], args].concat())
    }

    fn describe(&self) -> Described {
        Described::find(&self.tool(GROUPS, &["--describe", "--group", &self.world.group]).well(), &self.world.topic)
    }

    /// The new position that the tool names.
    fn reset(&self, to: &[&str]) -> i64 {
        let said = self.try_reset(to).well();
        let row = said.lines().find(|line| line.contains(&self.world.topic)).expect(&said);
        row.split_whitespace().nth(3).and_then(|offset| offset.parse().ok()).expect("GROUP TOPIC PARTITION NEW-OFFSET")
    }

    fn try_reset(&self, to: &[&str]) -> Ended {
        let args = ["--reset-offsets", "--group", &self.world.group, "--topic", &self.world.topic];
        self.tool(GROUPS, &[&args[..], to].concat())
    }

    fn client(&self) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.world.stack.kafka).set("group.id", &self.world.group);
        config.create().unwrap()
    }

    fn committed(&self) -> (i64, String) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.world.topic, 0);
        let committed = self.client().committed_offsets(list, PATIENCE).unwrap();
        let element = committed.find_partition(&self.world.topic, 0).unwrap();
        (element.offset().to_raw().unwrap(), element.metadata().to_owned())
    }

    /// As a mirroring tool does, which copies metadata to a position that it has translated.
    fn commit(&self, offset: i64, metadata: &str) {
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.world.topic, 0);
        element.set_offset(Offset::Offset(offset)).unwrap();
        element.set_metadata(metadata);
        self.client().commit(&list, CommitMode::Sync).unwrap();
        assert_eq!(self.committed(), (offset, metadata.to_owned()));
    }
}

fn commit(world: &World, repository: &Repository, sha: &str) -> Record {
    let value = world.commits.encode(&commit_data(&repository.url(), sha));
    Record { key: Some(repository.url().into()), value: Some(value), ..attributes("git.commit", "/ecosystem") }
}

/// A row of `kafka-consumer-groups --describe`.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    current: i64,
    end: i64,
    lag: i64,
}

impl Described {
    fn find(said: &str, topic: &str) -> Self {
        let row = said.lines().find(|line| line.split_whitespace().nth(1) == Some(topic)).expect(said);
        // GROUP TOPIC PARTITION [LEADER-EPOCH] CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID …
        let header = said.lines().find(|line| line.contains("CURRENT-OFFSET")).expect(said);
        let column = |name: &str| {
            let index = header.split_whitespace().position(|column| column == name).expect(name);
            row.split_whitespace().nth(index).and_then(|cell| cell.parse().ok()).expect(said)
        };
        Self { current: column("CURRENT-OFFSET"), end: column("LOG-END-OFFSET"), lag: column("LAG") }
    }
}

#[test]
fn kafkas_own_tools_understand_our_commits_and_reset_them() {
    let scene = Scene::set();
    let replica = scene.replica();
    scene.world.until_ended(5);
    let refused = scene.try_reset(&["--to-earliest", "--execute"]);
    assert!(format!("{refused:?}").contains("Stable"), "a running group is left alone: {refused:?}");
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));

    // Down: five of six are done, which the offset map says, and the position stands before the one that waits.
    let (position, map) = scene.committed();
    assert_eq!(position, WAITS);
    assert!(!map.is_empty());
    assert_eq!(scene.describe(), Described { current: WAITS, end: END, lag: END - WAITS });
    assert_eq!(scene.effects().0, 5);

    // Back by one. What was resolved beyond the old position is handled again, and the inbox has the answers.
    assert_eq!(scene.reset(&["--shift-by", "-1", "--execute"]), WAITS - 1);
    assert_eq!(scene.committed(), (WAITS - 1, String::new()));
    scene.repository_comes_back();
    let before = scene.effects();
    scene.consume("");
    assert_eq!(scene.ends(), [(0, 2), (1, 1), (2, 2), (3, 2), (4, 2), (5, 2)].into());
    let once = scene.effects();
    assert_eq!(once.0, 6);
    let id = scene.waits.header("ce_id").unwrap();
    let late = scene.count("registry_history", &format!("WHERE event_id = '{id}'"));
    assert_eq!((once.1 - before.1, late > 0), (late, true), "only the one that had waited has effects");
    assert_eq!(scene.describe(), Described { current: END, end: END, lag: 0 });

    // To an offset, as an operator who knows it does.
    assert_eq!(scene.reset(&["--to-offset", "4", "--execute"]), 4);
    scene.consume("");
    assert_eq!(scene.ends(), [(0, 2), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3)].into());
    assert_eq!(scene.effects(), once);

    // The map is one of ours and valid, but of another position: nothing of it counts.
    scene.commit(WAITS + 1, &map);
    scene.consume("");
    assert_eq!(scene.ends(), [(0, 2), (1, 1), (2, 3), (3, 3), (4, 4), (5, 4)].into());
    assert_eq!(scene.effects(), once);

    // A new run has effects of its own.
    let third = timestamps(&scene.world)[3].clone();
    assert_eq!(scene.reset(&["--to-datetime", &third.0, "--dry-run"]), third.1);
    assert_eq!(scene.reset(&["--to-earliest", "--execute"]), 0);
    scene.consume("second");
    assert_eq!(scene.ends(), [(0, 3), (1, 2), (2, 4), (3, 4), (4, 5), (5, 5)].into());
    let anew = scene.effects();
    assert_eq!((anew.0, anew.1 > once.1), (2 * once.0, true));

    other_tools_see_it_too(&scene);
}

/// Of each record, as `--to-datetime` wants it, with the first offset that has one as late.
fn timestamps(world: &World) -> Vec<(String, i64)> {
    let args = ["-C", "-b", &*world.stack.kafka, "-t", &*world.topic, "-o", "beginning", "-e", "-q", "-f", "%T\n"];
    let all: Vec<i64> = printed(kcat(&args)).lines().map(|line| line.parse().unwrap()).collect();
    let first = |ms: i64| i64::try_from(all.iter().position(|&other| other >= ms).unwrap()).unwrap();
    let text = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap().strftime("%Y-%m-%dT%H:%M:%S%.3f").to_string();
    all.iter().map(|&ms| (text(ms), first(ms))).collect()
}

fn other_tools_see_it_too(scene: &Scene) {
    let World { topic, group, .. } = &scene.world;
    let ends = scene.tool("GetOffsetShell", &["--topic", topic]).well();
    assert_eq!(ends.trim(), format!("{topic}:0:{END}"));
    let groups = scene.tool("GroupsCommand", &["--list"]).well();
    let row: Vec<_> = groups.lines().find(|line| line.starts_with(group)).expect(&groups).split_whitespace().collect();
    assert_eq!(row[1..3], ["Classic", "consumer"]);
    let id = format!("{group}/{SLOT}");
    let transactions = scene.tool("TransactionsCommand", &["describe", "--transactional-id", &id]).well();
    assert!(transactions.contains("CompleteCommit"), "{transactions}");
    let headers = ["--topic", topic, "--from-beginning", "--max-messages", "1"];
    let headers = [&headers[..], &["--formatter-property", "print.headers=true"]].concat();
    let record = scene.tool("consumer.ConsoleConsumer", &headers).well();
    assert!(record.starts_with("ce_specversion:1.0,ce_id:"), "{record}");
}
