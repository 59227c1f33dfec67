//! Schedules: every due time is fired once or said not to be, whoever dies when, and whatever people do meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;

use crate::process::{Ended, Process, eventually, found};
use crate::stack::Stack;
use crate::topic::{Positions, ends, read};
use crate::world::{World, coafi};

const TOPIC: &str = "coafi.schedule";
const LEDGER: &str = "coafi.schedule.ledger";

/// A world with schedules; each is `key: value` lines of YAML after its name.
struct Scheduled {
    world: World,
    /// Where the topic ended when this began.
    start: Positions,
}

/// A decision of the ledger.
#[derive(Clone, Debug)]
struct Entry {
    decision: String,
    reason: String,
    /// Due times, seconds since the epoch.
    due: Option<(i64, i64)>,
    count: i64,
}

impl Scheduled {
    fn new(name: &str, schedules: &[(&str, &str)]) -> Self {
        let world = World::new(name);
        world.also_declare(TOPIC);
        world.also_declare(LEDGER);
        let start = ends(&world.stack.kafka, TOPIC);
        let this = Self { world, start };
        this.configure(schedules);
        this
    }

    fn configure(&self, schedules: &[(&str, &str)]) {
        let mut yaml = "schedules:\n".to_owned();
        for (name, keys) in schedules {
            writeln!(yaml, "  - {{name: {}, {keys}}}", self.name(name)).unwrap();
        }
        std::fs::write(self.world.path("coafi.yaml"), yaml).unwrap();
    }

    /// Topics are everybody's: a name of its own.
    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.world.group)
    }

    fn connector(&self) -> Process {
        let mut command = self.world.command(&["connect", "schedule", "--output", "json"]);
        command.env("COAFI__LOG__LEVEL", "info");
        Process::start(command)
    }

    fn schedule(&self, verb: &str, name: &str, options: &[&str]) -> Ended {
        let name = self.name(name);
        self.world.run(&[&["schedule", verb, &name, "--output", "json"][..], options].concat())
    }

    /// Ids of the fires in the topic, in their order.
    fn fires(&self, name: &str) -> Vec<String> {
        let (key, all) = (self.name(name).into_bytes(), read(&self.world.stack.kafka, TOPIC, &self.start));
        let ours = all.into_iter().filter(|read| read.record.key.as_ref() == Some(&key));
        ours.map(|read| read.record.header("ce_id").unwrap().to_owned()).collect()
    }

    fn ledger(&self, name: &str) -> Vec<Entry> {
        let history = self.schedule("history", name, &["--last", "100000"]).json();
        let entry = |entry: &Value| Entry {
            decision: entry["decision"].as_str().unwrap().to_owned(),
            reason: entry["reason"].as_str().unwrap().to_owned(),
            due: entry["dueFrom"].as_str().map(|from| (seconds(from), seconds(entry["dueTo"].as_str().unwrap()))),
            count: entry["count"].as_i64().unwrap(),
        };
        history["entries"].as_array().unwrap().iter().map(entry).collect()
    }

    /// Every second from the start to the last decision is fired once or skipped once, and the topic has what was fired and
    /// nothing else. Gives each second's decisions.
    fn is_whole(&self, name: &str) -> BTreeMap<i64, Vec<String>> {
        let mut decided: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        let mut fired = Vec::new();
        for entry in self.ledger(name) {
            let Some((from, to)) = entry.due.filter(|_| entry.count > 0 && entry.decision != "triggered") else {
                continue;
            };
            assert_eq!(entry.count, to - from + 1, "{entry:?}");
            if entry.decision != "skipped" {
                fired.push(from);
            }
            for second in from..=to {
                decided.entry(second).or_default().push(format!("{} {}", entry.decision, entry.reason));
            }
        }
        let (first, last) = (*decided.keys().next().unwrap(), *decided.keys().next_back().unwrap());
        assert_eq!(decided.keys().copied().collect::<Vec<_>>(), (first..=last).collect::<Vec<_>>(), "none is left out");
        let published: Vec<i64> =
            self.fires(name).iter().filter(|id| !id.ends_with("/triggered")).map(|id| seconds(id)).collect();
        assert_eq!(published, fired, "the topic has what the ledger says, in its order");
        let mut unique = published.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), published.len(), "none twice");
        decided
    }

    fn until_fired(&self, name: &str, count: usize) {
        eventually("it fires", || self.fires(name).len() >= count);
    }
}

fn seconds(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap_or_else(|error| panic!("{time}: {error}")).as_second()
}

fn fired_by(connector: &Process, name: &str) -> bool {
    let page = connector.page("/metrics").body;
    let is_it =
        |line: &&str| line.starts_with("coafi_source_events_total{") && line.contains(&format!("schedule:{name}"));
    page.lines().find(is_it).is_some_and(|line| !line.ends_with(" 0"))
}

/// `kill -9` of the one that leads, twice: the other goes on where the last transaction ended.
#[test]
fn every_second_is_fired_once_whoever_is_killed() {
    let scheduled = Scheduled::new("failover", &[("tick", "every: 1s, missed: skip")]);
    let name = scheduled.name("tick");
    let mut processes = vec![scheduled.connector(), scheduled.connector()];
    for _ in 0..2 {
        let leader = found("somebody leads", || processes.iter().position(|process| fired_by(process, &name)));
        let before = scheduled.fires("tick").len();
        let mut leader = processes.remove(leader);
        leader.kill();
        processes.push(scheduled.connector());
        scheduled.until_fired("tick", before + 10);
    }
    for process in processes {
        process.terminate();
        assert_eq!(process.ended().code(), Some(0));
    }
    let decided = scheduled.is_whole("tick");
    assert!(decided.values().all(|decisions| decisions == &["fired on_time"]), "{decided:?}");
}

#[test]
fn what_was_missed_is_skipped_or_caught_up_and_said_to_be() {
    let schedules = [
        ("skip", "every: 1s, missed: skip, grace: 1s"),
        ("latest", "every: 1s, missed: latest, grace: 1s"),
        ("all", "every: 1s, missed: all, missed_limit: 2, grace: 1s"),
    ];
    let scheduled = Scheduled::new("missed", &schedules);
    for _ in 0..2 {
        let connector = scheduled.connector();
        let before = schedules.map(|(name, _)| scheduled.ledger(name).len());
        for ((name, _), before) in schedules.iter().zip(before) {
            eventually("it goes on", || scheduled.ledger(name).len() >= before + 3);
        }
        connector.terminate();
        let summary = connector.ended().json();
        assert_eq!(summary["schedules"].as_array().unwrap().len(), 3, "{summary}");
        let stopped = Timestamp::now().as_second();
        eventually("several seconds are missed", || Timestamp::now().as_second() >= stopped + 6);
    }
    let decisions = |name: &str, expected: &str| {
        let decided = scheduled.is_whole(name);
        assert!(decided.values().all(|decisions| decisions.len() == 1), "{name}: {decided:?}");
        decided.values().flatten().filter(|decision| *decision == expected).count()
    };
    assert!(decisions("skip", "skipped missed") >= 4);
    assert!(decisions("latest", "skipped superseded") >= 3);
    assert!(decisions("all", "skipped beyond_limit") >= 2);
    assert!(decisions("all", "caught_up missed") >= 2);
}

#[test]
fn a_pause_lasts_and_what_it_skipped_can_be_brought_back_once() {
    let scheduled = Scheduled::new("pause", &[("tick", "every: 1s, type: HourlyReportTask, data: {Format: html}")]);
    let connector = scheduled.connector();
    scheduled.until_fired("tick", 2);
    let paused = scheduled.schedule("pause", "tick", &["--reason", "a test"]).json();
    assert_eq!((&paused["new"], &paused["paused"]["reason"]), (&true.into(), &"a test".into()), "{paused}");
    let fires = scheduled.fires("tick");
    let at = seconds(paused["paused"]["at"].as_str().unwrap());
    assert!(seconds(fires.last().unwrap()) <= at, "{fires:?} and paused at {at}");
    let skipped = || scheduled.ledger("tick").iter().filter(|entry| entry.reason == "paused").count();
    eventually("it says that it skips", || skipped() >= 2);
    connector.terminate();
    assert_eq!(connector.ended().code(), Some(0));

    // Whatever is restarted.
    let connector = scheduled.connector();
    let before = skipped();
    eventually("it goes on skipping", || skipped() >= before + 2);
    let listed = scheduled.world.run(&["schedule", "list", "--output", "json"]).json();
    assert_eq!(listed["schedules"][0]["state"], "paused", "{listed}");
    assert_eq!(scheduled.schedule("pause", "tick", &[]).json()["new"], false, "it is paused already");
    assert_eq!(scheduled.fires("tick"), fires);

    // A pause does not stop a person.
    let triggered = scheduled.schedule("trigger", "tick", &[]).json();
    let id = triggered["eventId"].as_str().unwrap();
    assert_eq!(scheduled.fires("tick").last().map(String::as_str), Some(id));
    assert!(id.ends_with("/triggered"), "{id}");

    scheduled.schedule("resume", "tick", &[]).well();
    scheduled.until_fired("tick", fires.len() + 3);
    connector.terminate();
    connector.ended().well();
    let resumed = seconds(scheduled.fires("tick").last().unwrap());
    let decided = scheduled.is_whole("tick");
    assert!(decided.values().all(|decisions| decisions.len() == 1), "{decided:?}");

    let (first, last) = (*decided.keys().next().unwrap(), *decided.keys().next_back().unwrap());
    let time = |second: i64| Timestamp::from_second(second).unwrap().to_string();
    let range = [time(first), time(last + 1)];
    let options = ["--from", &range[0], "--to", &range[1]];
    let becomes = |ended: Ended, what: &str| {
        let json = ended.json();
        json["due"].as_array().unwrap().iter().filter(|due| due["becomes"] == what).count()
    };
    let missing = decided.values().flatten().filter(|decision| decision.starts_with("skipped")).count();
    let dry = scheduled.schedule("backfill", "tick", &[&options[..], &["--dry-run"]].concat());
    assert_eq!(becomes(dry, "backfilled"), missing);
    assert_eq!(becomes(scheduled.schedule("backfill", "tick", &options), "backfilled"), missing);
    assert_eq!(becomes(scheduled.schedule("backfill", "tick", &options), "fired_before"), decided.len());
    let fired: Vec<i64> =
        scheduled.fires("tick").iter().filter(|id| !id.ends_with("/triggered")).map(|id| seconds(id)).collect();
    let mut all = fired.clone();
    all.sort_unstable();
    assert_eq!(all, (first..=resumed).collect::<Vec<_>>(), "every second once, in the end");

    let records = read(&scheduled.world.stack.kafka, TOPIC, &scheduled.start);
    let key = scheduled.name("tick").into_bytes();
    let record = records.iter().find(|read| read.record.key.as_ref() == Some(&key)).unwrap();
    assert_eq!(record.record.header("ce_type"), Some("HourlyReportTask"));
    assert_eq!(record.record.header("ce_source"), Some(&*format!("/coafi/schedules/{}", scheduled.name("tick"))));
    let value = String::from_utf8_lossy(record.record.value.as_deref().unwrap()).into_owned();
    assert!(value.contains(r#"{"Format":"html"}"#), "{value}");
}

/// Of a schedule that no connector ever had, by two at once.
#[test]
fn a_backfill_of_the_past_is_done_once_by_however_many() {
    let scheduled = Scheduled::new("backfill", &[("hourly", "cron: 0 * * * *, time_zone: Europe/Berlin")]);
    let name = scheduled.name("hourly");
    // The clock goes forward at 2.
    let arguments = ["schedule", "backfill", &name, "--from", "2026-03-29", "--to", "2026-03-29T05:00:00"];
    let both = [(); 2].map(|()| Process::start(scheduled.world.command(&arguments)));
    let codes = both.map(|process| process.ended().code());
    assert!(codes.contains(&Some(0)), "{codes:?}");
    let again = scheduled.world.run(&arguments).well();
    assert!(again.contains("2026-03-29T03:00:00+02:00") && again.contains("0 of 4 fired"), "{again}");
    let expected = ["2026-03-28T23:00:00Z", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"];
    assert_eq!(scheduled.fires("hourly"), expected);
    let too_many = scheduled.world.run(&["schedule", "backfill", &name, "--from", "2020-01-01", "--to", "2026-01-01"]);
    assert_eq!(too_many.code(), Some(1));
    assert!(too_many.stderr.contains("next: do it in several steps"), "{}", too_many.stderr);
}

#[test]
fn in_dev_schedules_are_fired_and_handled() {
    let directory = tempfile::tempdir().unwrap();
    let repository = crate::repositories::Repository::init(directory.path().join("empty"));
    std::fs::write(directory.path().join("coafi.yaml"), "schedules: [{name: tick, every: 1s}]\n").unwrap();
    let mut command = coafi(&Stack::nowhere(), directory.path());
    command.args(["dev", "--output", "json", "--repo"]).arg(&repository.path).env("COAFI__LOG__LEVEL", "info");
    let dev = Process::start(command);
    let is_fire = |line: &&str| line.contains("/coafi/schedules/tick") && line.contains("schedule.fired");
    eventually("fires are handled", || dev.log().lines().filter(is_fire).count() >= 3);
    dev.terminate();
    let summary = dev.ended().json();
    assert!(summary["events"]["processed"].as_u64().unwrap() >= 2, "{summary}");
}
