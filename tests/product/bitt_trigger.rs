//! The audit log as a trigger: what is watched for starts a workflow, and what follows from that starts nothing.

use serde_json::Value;

use crate::event::{Subject, attributes};
use crate::process::{Process, eventually};
use crate::topic::{Positions, ends, read};
use crate::world::World;

const TOPIC: &str = "coafi.bitt";
const RECORD: &str = "org.coafi.events.BittRecordPayload";
/// So many that every partition of the audit log has some.
const MARKS: usize = 100;

const ROUTES: &str = "  - name: workflows
    match: {type: workflow.*, topic: coafi.workflow}
    handler: workflow
    dependencies: [database, schema-registry]
  - name: bitt-records
    match: {type: bitt.record, topic: coafi.bitt}
    handler: workflow
    dependencies: [database, schema-registry]
";

struct Watched {
    world: World,
    records: Subject,
    start: Positions,
}

impl Watched {
    /// What was found of this world's UTidS.
    fn found(&self) -> Vec<Value> {
        let all = read(&self.world.stack.kafka, TOPIC, &self.start).into_iter();
        let source = format!("/coafi/bitt/{}", self.world.group);
        let ours = all.filter(|read| read.record.header("ce_source") == Some(&source));
        ours.map(|read| self.records.decode(read.record.value.as_deref().unwrap())).collect()
    }

    /// An event that no route takes.
    fn send(&self, utid: &str) {
        let event = attributes("nobody.takes.it", "/product").with("ce_utids", utid);
        let value = self.world.pushes.encode(&crate::event::push_data());
        self.world.send(&crate::topic::Record { value: Some(value), ..event });
    }
}

#[test]
fn a_failure_starts_the_remediation_once_and_what_follows_from_it_starts_nothing() {
    let world = World::new("watch");
    world.also_declare(TOPIC);
    world.change_routes(|routes| routes + ROUTES);
    let group = world.group.clone();
    let (failing, mark) = (format!("GAIA:COMPLIANCE:{group}"), format!("MARK:{group}"));
    let yaml = format!(
        "bitt:\n  start: earliest\n  watch:\n  - {{name: {group}, type: ['GAIA:COMPLIANCE:{group}', 'MARK:{group}']}}\n"
    );
    std::fs::write(world.path("coafi.yaml"), yaml).unwrap();
    let watched = Watched {
        records: Subject::latest(&world.stack.registry, TOPIC, RECORD),
        start: ends(&world.stack.kafka, TOPIC),
        world,
    };
    let world = &watched.world;
    // It begins with what comes from now on: the topics have what others did.
    let mut command = world.command(&["connect", "bitt"]);
    command.env("COAFI__LOG__LEVEL", "info");
    let mut connector = Process::start(command);
    connector.until_ready();
    let mut command = world.command(&["consume"]);
    command.env("COAFI__KAFKA__START", "latest");
    let mut replica = Process::start(command);
    replica.until_ready();

    watched.send(&failing);
    let finding = format!(
        "SELECT count(*) FROM registry_entry WHERE registry = 'compliance-findings' AND version = 1 \
         AND entry = '{failing}#{group}' AND data LIKE '%\"severity\":\"warning\"%'"
    );
    eventually("the finding is in the registry", || world.database.number(&finding) == 1);
    let runs =
        "SELECT count(*) FROM workflow_run WHERE workflow = 'ComplianceRemediationWorkflow' AND status = 'completed'";
    eventually("the workflow has ended", || world.database.number(runs) == 1);

    // What followed has the UTidS too, and is in the audit log before these.
    for _ in 0..MARKS {
        watched.send(&mark);
    }
    eventually("the marks are found", || {
        watched.found().iter().filter(|record| record["utids"][0] == *mark).count() >= MARKS
    });
    let found = watched.found();
    let about: Vec<_> = found.iter().filter(|record| record["utids"][0] == *failing).collect();
    assert_eq!(about.len(), 1, "{about:?}");
    assert_eq!(
        (&about[0]["recordType"], &about[0]["outcome"]),
        (&"EVENT_DISPATCH_FAILED".into(), &"unprocessed".into())
    );
    assert_eq!(found.len(), MARKS + 1);
    let outcomes = world.outcomes().into_iter().filter(|outcome| outcome.topic != world.topic).count();
    assert!(outcomes >= 4, "the record, the run and its steps have outcomes: {outcomes}");
    // Of any workflow. Runs of other tests are on the same topic; whatever follows from a watch says so.
    let followed = "SELECT count(*) FROM workflow_run WHERE correlation_id LIKE '%~bitt'";
    assert_eq!(world.database.number(followed), 1);
    for process in [connector, replica] {
        process.terminate();
        process.ended().well();
    }
}
