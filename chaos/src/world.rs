//! What a run tells the product: topics, routes and configuration, in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

/// Where events are sent to.
pub const TOPIC: &str = "drill.steps";
pub const RETRY_TOPIC: &str = "drill.steps.retry.1s";
pub const DEAD_LETTER_TOPIC: &str = "drill.steps.dlq";
/// Where the handler's derived events go.
pub const DERIVED_TOPIC: &str = "drill.derived";
pub const UNPROCESSED_TOPIC: &str = "coafi.unprocessed";
pub const AUDIT_TOPIC: &str = "coafi.bitt.records";
pub const STATUS_TOPIC: &str = "coafi.status";
/// The registry in which the handler writes.
pub const REGISTRY: &str = "drill";
/// The consumer group.
pub const GROUP: &str = "drill";
pub const STEP_RECORD: &str = "org.coafi.events.DrillStepEventPayload";
pub const OUTCOME_RECORD: &str = "org.coafi.bitt.Outcome";
pub const RECEIPT_RECORD: &str = "org.coafi.bitt.Receipt";
/// Partitions of the source topic, before it grows.
pub const PARTITIONS: i32 = 6;
/// How many more it gets each time that it grows, and how many it has at most.
const MORE_PARTITIONS: i32 = 3;
const MAX_PARTITIONS: i32 = 24;
/// Records that may be parked in a partition: so few that some find no room, and the overflow policies are seen to work.
const MAX_PARKED: &str = "2";
const ROOM: &str = "200";
/// Some replicas are frozen for longer than this.
const MAX_POLL_INTERVAL_MS: &str = "10000";

/// Limits of the routes below, repeated for whoever says what has to come of an event.
pub const STRICT_ATTEMPTS: i32 = 3;
pub const IN_PLACE_ATTEMPTS: i32 = 2;
/// One more by way of the retry topic.
pub const KEYED_ATTEMPTS: i32 = 3;
pub const FAULT_ATTEMPTS: i32 = 2;

const ROUTES: &str = "routes:
  - name: strict
    match: {type: drill.step, topic: drill.steps, source: /drill/strict}
    handler: drill
    ordering: strict
    retry: {in_place: {attempts: 3, backoff: {initial: 2s, cap: 4s}}, overflow: dead_letter}
    dependencies: [database, schema-registry]
  - name: halting
    match: {type: drill.step, topic: drill.steps, source: /drill/halting}
    handler: drill
    ordering: strict
    retry: {in_place: {attempts: 3, backoff: {initial: 2s, cap: 4s}}, overflow: halt}
    dependencies: [database, schema-registry]
  - name: keyed
    match: {type: drill.step, topic: drill.steps, source: /drill/keyed}
    handler: drill
    retry: {in_place: {attempts: 2, backoff: {initial: 50ms, cap: 200ms}}, topics: [1s], overflow: retry_topic}
    dependencies: [database, schema-registry]
  - name: faults
    match: {type: drill.step, topic: drill.steps, source: /drill/faults}
    handler: drill
    retry: {in_place: {attempts: 2, backoff: {initial: 50ms, cap: 200ms}}, fault_attempts: 2}
    deadline: 2s
    dependencies: [schema-registry]
";

/// Until everything is handled: a machine that is busy takes its time.
const DRAIN_LIMIT: &str = "3m";

/// Name and declaration of each topic; the source first.
const TOPICS: [(&str, &str); 4] = [
    (
        "drill.steps.yaml",
        "topic: drill.steps
owner: chaos
partitions: 6
replication: 1
key: key of the drill
schemas: [org.coafi.events.DrillStepEventPayload]
retention: 1d
cleanup: delete
max_message_bytes: 1 MiB
retry: {tiers: [1s], retention: 1d}
dead_letter: {retention: 1d}
",
    ),
    (
        "drill.derived.yaml",
        "topic: drill.derived
owner: chaos
partitions: 3
replication: 1
key: key of the drill
schemas: [org.coafi.events.DrillStepEventPayload]
retention: 1d
cleanup: delete
max_message_bytes: 1 MiB
",
    ),
    (
        "coafi.unprocessed.yaml",
        "topic: coafi.unprocessed
owner: chaos
partitions: 3
replication: 1
key: as in the source topic
schemas: []
retention: 1d
cleanup: delete
max_message_bytes: 1280 KiB
",
    ),
    (
        "coafi.bitt.records.yaml",
        "topic: coafi.bitt.records
owner: chaos
partitions: 4
replication: 1
key: source topic and partition
schemas: [org.coafi.bitt.Receipt, org.coafi.bitt.Outcome]
retention: 1d
cleanup: delete
max_message_bytes: 1 MiB
",
    ),
];

/// Where replicas say once a second what they are doing, as it is declared for everybody.
const STATUS: (&str, &str) = ("coafi.status.yaml", include_str!("../../topics/coafi.status.yaml"));

/// How outcomes and offsets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Delivery {
    Transactional,
    AtLeastOnce,
}

impl Delivery {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::AtLeastOnce => "at_least_once",
        }
    }
}

/// The product as a run configures it.
#[derive(Clone, Debug)]
pub struct World {
    pub binary: PathBuf,
    pub directory: PathBuf,
    /// The broker as everybody sees it who is not behind a proxy.
    pub kafka: String,
    pub registry: String,
    pub postgres: String,
    pub delivery: Delivery,
    /// Of every topic.
    pub replication: usize,
    /// Whether replicas have room for whatever has failed, so that no key halts.
    pub room: bool,
    /// Whether replicas report what they are doing. The release before may know neither the topic nor its schema.
    pub reports: bool,
    /// Further variables of the product's environment.
    pub settings: Vec<(String, String)>,
}

impl World {
    /// Writes declarations and routes, and has the product make topics and schemas.
    ///
    /// # Errors
    /// The product refuses them.
    pub fn lay_out(&self) -> Result<()> {
        let topics = self.directory.join("topics");
        fs::create_dir_all(&topics)?;
        for (file, text) in TOPICS.into_iter().chain(self.reports.then_some(STATUS)) {
            fs::write(topics.join(file), text)?;
        }
        fs::write(self.directory.join("routes.yaml"), ROUTES)?;
        self.run(&["routes", "lint"])?;
        self.prepare()
    }

    /// Has the product make the topics and schemas that are not there.
    ///
    /// # Errors
    /// The product refuses.
    pub fn prepare(&self) -> Result<()> {
        self.run(&["topics", "apply", "--replication-factor", &self.replication.to_string()])?;
        self.run(&["schemas", "register"])
    }

    /// Has the product give the source topic more partitions than `partitions`, once everything is handled; how many it has
    /// then. Whoever publishes has to have stopped.
    ///
    /// # Errors
    /// The product refuses, or finds something that is not in order.
    pub fn grow(&self, partitions: i32) -> Result<i32> {
        let more = (partitions + MORE_PARTITIONS).min(MAX_PARTITIONS);
        let [(file, text), ..] = TOPICS;
        let text = text.replace(&format!("partitions: {PARTITIONS}"), &format!("partitions: {more}"));
        fs::write(self.directory.join("topics").join(file), text)?;
        let replication = self.replication.to_string();
        self.run(&["topics", "apply", "--drain", "--timeout", DRAIN_LIMIT, "--replication-factor", &replication])?;
        Ok(more)
    }

    /// `coafi` with the configuration of this run and nothing of whoever started it.
    #[must_use]
    pub fn command(&self, arguments: &[&str], kafka: &str) -> Command {
        let mut command = Command::new(&self.binary);
        let ours = |name: &str| ["COAFI_", "OTEL_", "RUST_LOG"].iter().any(|prefix| name.starts_with(prefix));
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env("COAFI__KAFKA__BOOTSTRAP_SERVERS", kafka)
            .env("COAFI__KAFKA__GROUP_ID", GROUP)
            .env("COAFI__KAFKA__DELIVERY", self.delivery.name())
            .env("COAFI__SCHEMA_REGISTRY__URL", &self.registry)
            .env("COAFI__DATABASE__URL", &self.postgres)
            .env("COAFI__TOPICS_DIR", self.path("topics"))
            .env("COAFI__ROUTES_FILE", self.path("routes.yaml"))
            .env("COAFI__HTTP__LISTEN", "127.0.0.1:0")
            // What is back is noticed at once, however long it was away.
            .env("COAFI__ENGINE__CIRCUIT__PROBE_CAP", "1s")
            // Keys that fail alike were told to: that is no outage, and would be held as one once no other event comes.
            .env("COAFI__ENGINE__CIRCUIT__SAME_ERROR_LANES", "10000")
            .env("COAFI__ENGINE__MAX_PARKED", if self.room { ROOM } else { MAX_PARKED })
            .env("COAFI__KAFKA__CLIENT__MAX_POLL_INTERVAL_MS", MAX_POLL_INTERVAL_MS)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        Path::join(&self.directory, name)
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(arguments, &self.kafka);
        let output = command.output().with_context(|| format!("run {}", self.binary.display()))?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(output.status.success(), "coafi {}: {}", arguments.join(" "), String::from_utf8_lossy(&said));
        Ok(())
    }
}
