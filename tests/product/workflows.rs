//! Workflows: a run goes to its end, whoever dies when, and no step has its effect twice.

mod asking;
mod away;
mod dev;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::process::{Ended, Process, eventually, found};
use crate::topic::{Positions, ends, read};
use crate::world::World;

const TOPIC: &str = "coafi.workflow";
/// The workflows that `coafi` was built with: handlers ask for them, so they are there too.
const SHIPPED: usize = 5;
/// Rounds of the run that is interrupted.
const ROUNDS: usize = 30;

const ROUTE: &str = "  - name: workflows
    match: {type: workflow.*, topic: coafi.workflow}
    handler: workflow
    retry: {in_place: {attempts: 5, backoff: {initial: 50ms, cap: 1s}}}
    dependencies: [database, schema-registry]
";

/// Each round reads, waits, writes and publishes; then another workflow follows.
const EACH: &str = "name: Each
version: 1
input: {type: object, required: [items], properties: {items: {type: array}}}
steps:
  - id: each
    for_each:
      items: input.items
      steps:
        - {id: read, registry_read: {registry: counted, entry: =item}}
        - {id: pause, wait: 100ms}
        - {id: count, registry_update: {registry: counted, entry: =item, data: {index: =index}}}
        - id: tell
          emit: {topic: SOURCE, type: drill.step, key: =item,
                 data: {key: =item, sequence: =index, action: ok, times: 0, emit: false, write: false}}
output: {rounds: =steps.each.output.size()}
";

const AFTER: &str = "name: After
version: 1
input: {type: object, required: [rounds]}
on:
  - {type: workflow.completed, when: data.workflow == 'Each', input: {rounds: =data.output.rounds}}
steps:
  - {id: note, registry_update: {registry: notes, entry: after, data: {rounds: =input.rounds}}}
";

const EXPECTING: &str = "name: Expecting
version: 1
input: {}
steps:
  - {id: there, registry_update: {registry: parts, entry: wing, data: {n: 2}, expected_version: 1},
     retry: {attempts: 2, backoff: {initial: 100ms}}}
";

const PUT: &str = "name: Put
version: 1
input: {}
steps: [{id: put, registry_update: {registry: parts, entry: wing, data: {n: 1}}}]
";

const ASKING: &str = "name: Asking
version: 1
input: {}
steps:
  - {id: release, approval: {message: release it?}}
output: {by: =steps.release.output.by}
";

const SLOW: &str = "name: Slow\nversion: 1\ninput: {}\nsteps: [{id: pause, wait: 24h}]\n";

/// A world with workflows of its own, on the topic that is everybody's.
struct Flows {
    world: World,
    /// Where the source topic ended when this began.
    source: Positions,
}

impl Flows {
    fn new(name: &str) -> Self {
        Self::with(name, &[("a", EACH), ("b", AFTER), ("c", EXPECTING), ("d", PUT), ("e", SLOW), ("f", ASKING)])
    }

    fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let world = World::new(name);
        world.change_routes(|routes| routes + ROUTE);
        let directory = world.path("workflows");
        std::fs::create_dir(&directory).unwrap();
        for (file, text) in files {
            std::fs::write(directory.join(format!("{file}.yaml")), text.replace("SOURCE", &world.topic)).unwrap();
        }
        let source = ends(&world.stack.kafka, &world.topic);
        Self { world, source }
    }

    /// A member that begins with what comes from now on: the topic has what others asked for.
    fn replica(&self) -> Process {
        let mut command = self.world.command(&["consume"]);
        command.env("COAFI__KAFKA__START", "latest");
        let mut replica = Process::start(command);
        replica.until_ready();
        replica
    }

    fn workflow(&self, arguments: &[&str]) -> Ended {
        self.world.run(&[&["workflow"], arguments, &["--output", "json"]].concat())
    }

    /// Ids are of everybody's topic.
    fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.world.group)
    }

    fn start(&self, workflow: &str, name: &str, input: &Value) -> String {
        let id = self.id(name);
        self.workflow(&["start", workflow, "--id", &id, "--input", &input.to_string()]).well();
        id
    }

    /// `None` before it has begun.
    fn shown(&self, id: &str) -> Option<Value> {
        let ended = self.workflow(&["show", id]);
        (ended.code() == Some(0)).then(|| ended.json())
    }

    fn until(&self, id: &str, status: &str) -> Value {
        found(&format!("{id} is {status}"), || self.shown(id).filter(|shown| shown["status"] == status))
    }

    fn counted(&self) -> i64 {
        self.world.database.number("SELECT count(*) FROM registry_history WHERE registry = 'counted'")
    }
}

#[test]
fn a_run_that_is_killed_in_the_middle_completes_with_every_effect_once() {
    let flows = Flows::new("flow_kill");
    let mut replica = flows.replica();
    let items: Vec<String> = (0..ROUNDS).map(|n| format!("item-{n}")).collect();
    let id = flows.start("Each", "each", &json!({"items": items}));
    let rounds = i64::try_from(ROUNDS).unwrap();
    for part in [1, 3] {
        eventually("some rounds are done", || flows.counted() >= part * rounds / 6);
        replica.kill();
        replica = flows.replica();
    }
    let shown = flows.until(&id, "completed");
    assert_eq!(shown["state"]["output"], json!({"rounds": ROUNDS}), "{shown}");
    assert_eq!(flows.counted(), rounds, "each entry has one version");
    let told = read(&flows.world.stack.kafka, &flows.world.topic, &flows.source);
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    for event in &told {
        *ids.entry(event.record.header("ce_id").unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!((ids.len(), told.len()), (ROUNDS, ROUNDS), "each event is published once: {ids:?}");
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1 + 4 * ROUNDS);
    assert!(attempts.iter().all(|attempt| attempt["attempt"] == 1 && attempt["status"] == "succeeded"), "{shown}");
    // The workflow that follows from it.
    eventually("the other workflow has run", || {
        flows.world.database.number("SELECT count(*) FROM registry_entry WHERE registry = 'notes' AND version = 1") == 1
    });
    replica.terminate();
    replica.ended().well();
}

#[test]
fn a_workflow_of_ones_own_replaces_the_shipped_one_of_its_name_and_no_other() {
    let flows = Flows::new("flow_own");
    let own = "name: ReportWorkflow\nversion: 7\ninput: {type: object}\nsteps:\n  - {id: a, transform: '=1'}\n";
    std::fs::write(flows.world.path("workflows/report.yaml"), own).unwrap();
    let linted = flows.workflow(&["lint"]).json();
    let version_of = |name: &str| {
        let all = linted["workflows"].as_array().unwrap();
        let found: Vec<&Value> = all.iter().filter(|workflow| workflow["workflow"] == name).collect();
        assert_eq!(found.len(), 1, "{linted}");
        found[0]["version"].clone()
    };
    assert_eq!(version_of("ReportWorkflow"), 7);
    assert_ne!(version_of("EscalationWorkflow"), 7);
    let mut nowhere = flows.world.command(&["workflow", "lint"]);
    nowhere.env("COAFI__WORKFLOWS_DIR", "nowhere");
    let ended = Process::start(nowhere).ended();
    assert!(
        ended.code() == Some(2) && ended.stderr.contains("workflows in nowhere cannot be read"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_failed_run_is_retried_and_a_waiting_one_is_cancelled() {
    let flows = Flows::new("flow_acts");
    let linted = flows.workflow(&["lint"]).json();
    assert_eq!(linted["workflows"].as_array().unwrap().len(), 6 + SHIPPED, "{linted}");
    let replica = flows.replica();
    let expecting = flows.start("Expecting", "expecting", &json!({}));
    let shown = flows.until(&expecting, "failed");
    assert_eq!(shown["state"]["fault"]["code"], "version_conflict", "{shown}");
    let numbers: Vec<_> = shown["attempts"].as_array().unwrap().iter().map(|a| a["attempt"].clone()).collect();
    assert_eq!(numbers, [1, 2], "it was tried as often as it says");
    let put = flows.start("Put", "put", &json!({}));
    flows.until(&put, "completed");
    flows.workflow(&["retry", &expecting, "--reason", "it is there now"]).well();
    flows.until(&expecting, "completed");

    let slow = flows.start("Slow", "slow", &json!({}));
    flows.until(&slow, "running");
    let refused = flows.workflow(&["retry", &slow]);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    flows.workflow(&["cancel", &slow, "--by", "ada", "--reason", "too slow"]).well();
    let cancelled = flows.until(&slow, "cancelled");
    assert_eq!(cancelled["state"]["fault"]["message"], "cancelled by ada: too slow", "{cancelled}");

    let asking = flows.start("Asking", "asking", &json!({}));
    let asked = flows.until(&asking, "running");
    assert_eq!(asked["state"]["steps"]["release"]["output"]["message"], "release it?", "{asked}");
    assert_eq!(flows.workflow(&["approve", &slow]).code(), Some(1), "it waits for no approval");
    flows.workflow(&["approve", &asking, "--by", "grace"]).well();
    assert_eq!(flows.until(&asking, "completed")["state"]["output"]["by"], "grace");

    let listed = flows.workflow(&["list", "--status", "completed", "--workflow", "Put"]).json();
    assert_eq!(listed["runs"][0]["workflowId"], put.as_str(), "{listed}");
    let drawn = flows.world.run(&["workflow", "show", &slow, "--mermaid"]).well();
    assert!(drawn.contains("flowchart TD") && drawn.contains("class s_pause cancelled"), "{drawn}");
    let unknown = flows.workflow(&["start", "Nothing"]);
    assert_eq!(unknown.code(), Some(2), "{unknown:?}");
    let defined = "defined: After, Asking, ComplianceRemediationWorkflow, Each, EscalationWorkflow, Expecting, \
                   GitCommitProcessingWorkflow, Put, RegistryUpdateNotificationWorkflow, ReportWorkflow, Slow\n";
    assert!(unknown.stderr.contains(defined), "{unknown:?}");

    let published = read(&flows.world.stack.kafka, TOPIC, &Positions::new());
    // By id: the groups of other tests run what is on everybody's topic too, each with effects of its own.
    let ended = |id: &str| {
        let begin = format!("{id}/ended/");
        let ids = published.iter().filter_map(|read| read.record.header("ce_id"));
        ids.filter(|id| id.starts_with(&begin)).collect::<BTreeSet<_>>().len()
    };
    assert_eq!((ended(&expecting), ended(&slow)), (2, 1));
    replica.terminate();
    replica.ended().well();
}
