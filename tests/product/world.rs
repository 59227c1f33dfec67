//! What one test has for itself: a source topic with its retry and dead-letter topics, a consumer group, a database, and
//! a directory for everything that lies around.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use crate::event::{COMMIT, PUSH, Subject, attributes, push_data};
use crate::journal::{self, Outcome};
use crate::process::{Ended, Process, found};
use crate::stack::{Database, Stack, unique};
use crate::topic::{Positions, Producer, Read, Record, ends, read};

/// Topics that every world has in common with the others of its stack.
const COMMON_TOPICS: [&str; 6] =
    [journal::TOPIC, UNPROCESSED, "coafi.workflow", "coafi.notifications", "coafi.connect.offsets", "coafi.status"];
/// The git connector's; it has no other.
pub(crate) const GIT_TOPIC: &str = "coafi.git";
pub(crate) const UNPROCESSED: &str = "coafi.unprocessed";
/// How long nothing must have been left to do.
const IDLE: &str = "1s";

/// The routes of a world; `TOPIC` is its source topic.
const ROUTES: &str = "routes:
  - name: pushes
    match: {type: git.push, topic: TOPIC}
    handler: git_ref
    retry: {in_place: {attempts: 2, backoff: {initial: 50ms, cap: 100ms}}, topics: [1s]}
    dependencies: [database, schema-registry]
  - name: commits
    match: {type: git.commit, topic: TOPIC}
    handler: git_commit
    retry: {in_place: {attempts: 2, backoff: {initial: 50ms, cap: 100ms}}, topics: [1s]}
    dependencies: [database, artifacts, schema-registry]
";

const SOURCE_TOPIC: &str = "topic: TOPIC
owner: product-tests
partitions: PARTITIONS
replication: 1
key: repository
schemas:
  - org.coafi.events.GitCommitEventPayload
  - org.coafi.events.GitPushEventPayload
  - org.coafi.events.GitTagEventPayload
  - org.coafi.events.DrillStepEventPayload
retention: 1d
cleanup: delete
max_message_bytes: 1 MiB
retry: {tiers: [1s], retention: 1d}
dead_letter: {retention: 1d}
";

pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) database: Database,
    pub(crate) producer: Producer,
    pub(crate) pushes: Subject,
    pub(crate) commits: Subject,
    /// Asked for at the beginning: later the registry may be away.
    outcome: Subject,
    directory: TempDir,
    /// Where the topics that are not ours alone ended when this began.
    audit: Positions,
    unprocessed: Positions,
}

impl World {
    pub(crate) const GIT_PARTITIONS: usize = 6;

    /// On the servers that all tests share.
    pub(crate) fn new(name: &str) -> Self {
        Self::on(Stack::shared(), name)
    }

    /// On these servers, with their topics and schemas made by `coafi` itself.
    pub(crate) fn on(stack: Stack, name: &str) -> Self {
        let group = unique(name);
        let topic = format!("{group}.git");
        Self::with_topic(stack, group, topic, 1)
    }

    /// With a source topic of several partitions.
    pub(crate) fn spread(stack: Stack, name: &str, partitions: usize) -> Self {
        let group = unique(name);
        let topic = format!("{group}.git");
        Self::with_topic(stack, group, topic, partitions)
    }

    /// With the git connector's topic as its own: nobody else may use it on these servers.
    pub(crate) fn over_git(stack: Stack, name: &str) -> Self {
        Self::with_topic(stack, unique(name), GIT_TOPIC.to_owned(), Self::GIT_PARTITIONS)
    }

    /// With one more schema in its topic, and one more of the repository's topics.
    pub(crate) fn with_schema(stack: Stack, name: &str, record: &str, topic: &str) -> Self {
        let world = Self::on(stack, name);
        let source = world.path("topics").join("source.yaml");
        let declared = std::fs::read_to_string(&source).unwrap();
        std::fs::write(&source, declared.replace("schemas: [", &format!("schemas: [{record}, "))).unwrap();
        world.also_declare(topic);
        world
    }

    fn with_topic(stack: Stack, group: String, topic: String, partitions: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        lay_out(directory.path(), &topic, partitions);
        let database = Database::create(&stack.postgres, &group);
        apply(&stack, directory.path());
        Self {
            producer: Producer::new(&stack.kafka),
            pushes: Subject::latest(&stack.registry, &topic, PUSH),
            commits: Subject::latest(&stack.registry, &topic, COMMIT),
            outcome: Subject::latest(&stack.registry, journal::TOPIC, journal::OUTCOME),
            audit: ends(&stack.kafka, journal::TOPIC),
            unprocessed: ends(&stack.kafka, UNPROCESSED),
            group,
            topic,
            database,
            directory,
            stack,
        }
    }

    /// Routes with a line more or less than those of every world.
    pub(crate) fn change_routes(&self, change: impl FnOnce(String) -> String) {
        let file = self.path("routes.yaml");
        std::fs::write(&file, change(std::fs::read_to_string(&file).unwrap())).unwrap();
    }

    /// One more topic of the repository's, made as it is declared there.
    pub(crate) fn also_declare(&self, topic: &str) {
        declare_as_here(&self.path("topics"), topic);
        apply(&self.stack, self.directory.path());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `coafi` with the configuration of this world.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = coafi(&self.stack, self.directory.path());
        command
            .args(args)
            .env("COAFI__KAFKA__GROUP_ID", &self.group)
            .env("COAFI__DATABASE__URL", self.database.url())
            .env("COAFI__TOPICS_DIR", self.path("topics"))
            .env("COAFI__ROUTES_FILE", self.path("routes.yaml"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Process::start(self.command(args)).ended()
    }

    /// A replica that goes on until it is told to stop.
    pub(crate) fn replica(&self) -> Process {
        Process::start(self.command(&["consume"]))
    }

    /// A replica that handles what is there. Nothing is left behind it.
    pub(crate) fn consume(&self) -> Value {
        let summary = self.run(&["consume", "--exit-when-idle", IDLE, "--output", "json"]).json();
        assert_eq!(summary["lag"], 0, "{summary}");
        assert_eq!(self.lag(), 0);
        summary
    }

    /// What `coafi group lag` says to somebody who looks.
    pub(crate) fn lag(&self) -> u64 {
        let lag = self.run(&["group", "lag", "--output", "json"]).json();
        assert!(!lag["partitions"].as_array().unwrap().is_empty(), "{lag}");
        lag["total"].as_u64().unwrap()
    }

    /// A push that is handled, under `key`.
    pub(crate) fn push(&self, key: &str) -> Record {
        let value = self.pushes.encode(&push_data());
        Record { key: Some(key.into()), value: Some(value), ..attributes("git.push", "/product") }
    }

    /// What `coafi group why` says.
    pub(crate) fn why(&self) -> Value {
        let ended = self.run(&["group", "why", "--output", "json"]);
        let said: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        let moves = said["moves"].as_bool().unwrap();
        assert_eq!(ended.code(), Some(if moves { 0 } else { 1 }), "{ended:?}");
        said
    }

    /// The offset that it got.
    pub(crate) fn send(&self, record: &Record) -> i64 {
        self.producer.send(&self.topic, record)
    }

    /// Outcomes of this world's group, whichever topic they are about.
    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes_of(&self.group)
    }

    /// Those of another group.
    pub(crate) fn outcomes_of(&self, group: &str) -> Vec<Outcome> {
        journal::outcomes(&self.stack.kafka, &self.outcome, group, &self.audit)
    }

    /// What the group has committed, as everybody sees it.
    pub(crate) fn committed(&self) -> Vec<(String, i64, i64)> {
        let lag = self.run(&["group", "lag", "--output", "json"]).json();
        let partitions = lag["partitions"].as_array().unwrap().iter();
        let committed =
            |p: &Value| Some((p["topic"].as_str()?.to_owned(), p["partition"].as_i64()?, p["committed"].as_i64()?));
        partitions.filter_map(committed).collect()
    }

    /// The one final outcome of an event, retry topics included.
    pub(crate) fn end_of(&self, event: &Record) -> Outcome {
        let id = event.header("ce_id").expect("an event with an id");
        let about = self.outcomes().into_iter().filter(|outcome| outcome.event_id.as_deref() == Some(id));
        let mut ends: Vec<Outcome> = about.filter(Outcome::is_final).collect();
        assert_eq!(ends.len(), 1, "one end of {id}: {ends:?}");
        ends.remove(0)
    }

    /// Waits until that many events have come to their end.
    pub(crate) fn until_ended(&self, count: usize) -> Vec<Outcome> {
        found("every event's end", || {
            let ends: Vec<_> = self.outcomes().into_iter().filter(Outcome::is_final).collect();
            (ends.len() >= count).then_some(ends)
        })
    }

    pub(crate) fn dead_letters(&self) -> Vec<Read> {
        read(&self.stack.kafka, &format!("{}.dlq", self.topic), &Positions::new())
    }

    /// What this world put there.
    pub(crate) fn unprocessed(&self) -> Vec<Read> {
        let all = read(&self.stack.kafka, UNPROCESSED, &self.unprocessed);
        all.into_iter().filter(|read| read.record.header("coafi-origin-topic") == Some(&*self.topic)).collect()
    }
}

/// The program, with nothing in its environment that the test did not put there, in a directory without a `coafi.yaml`.
pub(crate) fn coafi(stack: &Stack, directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coafi"));
    clean(&mut command);
    point_at(&mut command, stack);
    command.current_dir(directory);
    command
}

/// Without what whoever runs the tests has set for themselves.
pub(crate) fn clean(command: &mut Command) {
    let ours = |name: &str| ["COAFI_", "OTEL_", "RUST_LOG"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
}

pub(crate) fn point_at(command: &mut Command, stack: &Stack) {
    command
        .env("COAFI__KAFKA__BOOTSTRAP_SERVERS", &stack.kafka)
        .env("COAFI__SCHEMA_REGISTRY__URL", &stack.registry)
        .env("COAFI__DATABASE__URL", &stack.postgres)
        .env("COAFI__HTTP__LISTEN", "127.0.0.1:0");
}

/// Declarations and routes of a world.
fn lay_out(directory: &Path, topic: &str, partitions: usize) {
    let topics = directory.join("topics");
    std::fs::create_dir(&topics).unwrap();
    COMMON_TOPICS.iter().for_each(|name| declare_as_here(&topics, name));
    let own = SOURCE_TOPIC.replace("TOPIC", topic).replace("PARTITIONS", &partitions.to_string());
    std::fs::write(topics.join("source.yaml"), own).unwrap();
    std::fs::write(directory.join("routes.yaml"), ROUTES.replace("TOPIC", topic)).unwrap();
}

fn declare_as_here(topics: &Path, name: &str) {
    let file = format!("{name}.yaml");
    std::fs::copy(repository().join("topics").join(&file), topics.join(&file)).unwrap();
}

/// Topics and schemas as the directory declares them, made by `coafi` itself.
fn apply(stack: &Stack, directory: &Path) {
    // Two that create the same topic at the same time would meet; an operator does it once.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let replication = stack.replication.to_string();
    for args in [&["topics", "apply", "--replication-factor", &replication][..], &["schemas", "register"]] {
        let mut command = coafi(stack, directory);
        command.args(args).env("COAFI__TOPICS_DIR", directory.join("topics"));
        Process::start(command).ended().well();
    }
}

/// The clone that the tests are in.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
