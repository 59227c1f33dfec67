//! docs/recovery.md, followed literally: cluster and database are really put back to different points in time, and what is
//! typed is what the page says.

use std::process::Command;
use std::time::{Duration, SystemTime};

use coafi_testcontainers::Kafka;
use serde_json::json;

use crate::event::attributes;
use crate::process::Process;
use crate::stack::Stack;
use crate::topic::Record;
use crate::world::{World, repository};

const PAGE: &str = "docs/recovery.md";
/// Of each part of a story.
const EVENTS: usize = 8;

#[test]
fn a_database_that_is_older_than_the_cluster_gets_the_effects_that_it_lacks() {
    let site = Site::new("older_database");
    let before: Vec<Record> = (0..EVENTS).map(|n| site.push(&format!("b{n}"), n)).collect();
    site.handle(&before);
    let backup = site.world.database.copy();
    let mut after: Vec<Record> = (0..EVENTS).map(|n| site.push(&format!("a{n}"), n)).collect();
    // Entries that the backup has, changed again.
    after.extend((0..EVENTS / 2).map(|n| site.push(&format!("b{n}"), 100 + n)));
    site.handle(&after);
    site.world.database.put_back(&backup);
    assert_eq!(site.effects(), before.len(), "the database is older");

    site.follow("Stop everything");
    let verdict = site.follow("Which one is older?");
    assert_eq!(verdict, "", "the page: nothing means that the database is older");
    site.follow("Either way: epochs");
    site.follow("The database is older: go back");
    site.started_and_verified(before.len() + after.len());
    for n in 0..EVENTS {
        site.points_at(&format!("a{n}"), n);
        site.points_at(&format!("b{n}"), if n < EVENTS / 2 { 100 + n } else { n });
    }
}

#[test]
fn a_cluster_that_is_older_than_the_database_goes_on_without_doubling_or_losing_an_effect() {
    let mut site = Site::new("older_cluster");
    let before: Vec<Record> = (0..EVENTS).map(|n| site.push(&format!("b{n}"), n)).collect();
    site.handle(&before);
    let backup = site.world.path("kafka");
    site.kafka.back_up(&backup).unwrap();
    let mut gone: Vec<Record> = (0..EVENTS).map(|n| site.push(&format!("g{n}"), n)).collect();
    gone.extend((0..EVENTS / 2).map(|n| site.push(&format!("b{n}"), 100 + n)));
    site.handle(&gone);
    site.kafka.put_back(&backup).unwrap();
    assert_eq!(site.effects(), before.len() + gone.len(), "the database is newer");

    site.follow("Stop everything");
    let verdict = site.follow("Which one is older?");
    assert!(verdict.contains(&format!("{}[0]: changed from offset", site.world.topic)), "Kafka is older: {verdict:?}");
    let done = site.follow("Kafka is older: positions");
    assert!(done.contains("UPDATE "), "{done}");
    for record in &gone {
        assert!(done.contains(record.header("ce_id").unwrap()), "what Kafka does not have is listed: {done}");
    }
    site.follow("Either way: epochs");
    // New events change entries that were last changed from offsets which are gone; the source publishes some again.
    let new: Vec<Record> = (0..EVENTS / 2).map(|n| site.push(&format!("b{n}"), 200 + n)).collect();
    site.send(new.iter().chain(&gone[..EVENTS / 2]));
    site.started_and_verified(before.len() + gone.len() + new.len());
    for n in 0..EVENTS {
        site.points_at(&format!("g{n}"), n);
        site.points_at(&format!("b{n}"), if n < EVENTS / 2 { 200 + n } else { n });
    }
}

/// A cluster and a database of its own, and an operator with the page.
struct Site {
    kafka: Kafka,
    world: World,
    since: String,
}

impl Site {
    fn new(name: &str) -> Self {
        let since = utc(SystemTime::now() - Duration::from_secs(3_600));
        let kafka = Kafka::start().unwrap();
        let world = World::on(Stack { kafka: kafka.bootstrap_servers(), ..Stack::shared() }, name);
        let tools = world.path("tools");
        std::fs::create_dir(&tools).unwrap();
        kafka.put_tools(&tools).unwrap();
        Self { kafka, world, since }
    }

    /// A push of a branch to the commit with this number.
    fn push(&self, branch: &str, commit: usize) -> Record {
        let data = json!({
            "repositoryUrl": "https://example.org/recovery.git", "branch": branch, "before": null,
            "after": format!("{commit:040x}"), "forced": false, "commitCount": 1, "observedAt": 0, "utids": [],
        });
        let value = self.world.pushes.encode(&data);
        Record { key: Some(branch.into()), value: Some(value), ..attributes("git.push", "/recovery") }
    }

    fn send<'r>(&self, records: impl IntoIterator<Item = &'r Record>) {
        for record in records {
            self.world.send(record);
        }
    }

    fn handle(&self, records: &[Record]) {
        self.send(records);
        self.world.consume();
    }

    fn effects(&self) -> usize {
        usize::try_from(self.world.database.number("SELECT count(*) FROM registry_history")).unwrap()
    }

    fn points_at(&self, branch: &str, commit: usize) {
        let (entry, sha) = (format!("%#refs/heads/{branch}"), format!("%\"{commit:040x}\"%"));
        let query = format!("SELECT count(*) FROM registry_entry WHERE entry LIKE '{entry}' AND data LIKE '{sha}'");
        assert_eq!(self.world.database.number(&query), 1, "{branch} points at {commit}");
    }

    /// The end of the page, and what it says is judged from outside as well.
    fn started_and_verified(&self, events: usize) {
        let said = self.follow("Start, and verify");
        assert_eq!(said.lines().last(), Some(&*events.to_string()), "events that have their effect:\n{said}");
        assert!(!said.contains('|'), "no event changed an entry twice:\n{said}");
        assert_eq!(self.follow("Which one is older?"), "");
        let number = |query| self.world.database.number(query);
        assert_eq!(self.effects(), events);
        assert_eq!(number("SELECT count(DISTINCT event_id) FROM registry_history"), i64::try_from(events).unwrap());
        assert_eq!(self.world.lag(), 0);
        assert!(self.world.dead_letters().is_empty() && self.world.unprocessed().is_empty());
    }

    /// Types what a section of the page says, and returns what is printed.
    fn follow(&self, section: &str) -> String {
        let mut command: Command = self.world.command(&[]);
        let line = commands(section).join("\n");
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_coafi")).parent().unwrap().to_owned();
        let path = [self.world.path("tools"), program].map(|path| path.display().to_string()).join(":");
        let environment: Vec<_> =
            command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        let directory = command.get_current_dir().unwrap().to_owned();
        command = Command::new("sh");
        crate::world::clean(&mut command);
        command
            .args(["-ec", &line])
            .current_dir(directory)
            .envs(environment)
            .env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()))
            .env("KAFKA", self.kafka.bootstrap_servers())
            .env("GROUP", &self.world.group)
            .env("SINCE", &self.since);
        Process::start(command).ended().well()
    }
}

/// The lines of the `sh` blocks of a section, but for those by which an operator says where things are.
fn commands(section: &str) -> Vec<String> {
    let page = std::fs::read_to_string(repository().join(PAGE)).unwrap();
    let text =
        page.split(&format!("\n## {section}\n")).nth(1).unwrap_or_else(|| panic!("{PAGE}: no section {section:?}"));
    let text = text.split("\n## ").next().unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let typed = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("export ");
    let lines: Vec<String> = blocks.flat_map(str::lines).filter(typed).map(str::to_owned).collect();
    assert!(!lines.is_empty(), "{PAGE}: {section}: no commands");
    lines
}

/// As Kafka's tools take it.
fn utc(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).unwrap().strftime("%Y-%m-%dT%H:%M:%S.000").to_string()
}
