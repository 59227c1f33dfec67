//! Formats that no released version wrote yet: the same bytes tomorrow as today, and read to the same values. With the
//! release they become part of its directory, and from then on two versions read them (docs/operations.md).
//!
//! `UPDATE_EXPECT=1` writes the bytes and schemas of a new format, or of one that is changed before its release.

use std::collections::BTreeSet;
use std::path::Path;

use coafi::app::replay::Asked;
use coafi::connectors::{SourceId, wake};
use coafi::schema::payloads::{
    ApiReply, ApiRequest, BittRecord, Claim, FederatedMessage, FederatedRefused, Intervention, LetterState,
    NotificationDelivery, NotificationRequested, ReplicaStatus, ScheduleDecision, ScheduleFired, WorkflowArrived,
    WorkflowCalled, WorkflowCommand, WorkflowCompleted, WorkflowFailed, WorkflowStep,
};
use coafi::schema::registry::{Client, Settings};
use coafi::schema::{BuiltinRegistry, Codec, Payload, Schemas};
use expect_test::expect_file;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{files, records, repository, text, versions};

const DIRECTORY: &str = "tests/golden/formats/unreleased";

/// The record of this name: its value is written as these bytes, by this schema, and they are read to the value.
async fn check<T: Payload + DeserializeOwned>(name: &str) {
    let directory = repository().join(DIRECTORY);
    let value: Value = serde_json::from_str(&text(&directory.join(format!("records/{name}.json")))).unwrap();
    let typed: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let registry = BuiltinRegistry::start(&[]).await.unwrap();
    let codec = Codec::new(Client::new(Settings::new(registry.url())).unwrap(), true);
    let written = codec.encode("golden", &typed).await.unwrap();
    // Behind the wire format's zero and the registry's id.
    let hex: String = written[5..].iter().map(|byte| format!("{byte:02x}")).collect();
    expect_file![directory.join(format!("records/{name}.hex"))].assert_eq(&format!("{hex}\n"));
    let schemas = Schemas::built_in();
    let schema = schemas.of_record(T::RECORD_NAME).unwrap().text();
    expect_file![directory.join(format!("schemas/{}.avsc", T::EVENT_TYPE))].assert_eq(schema);
    records::check::<T>(&directory, name).await;
}

/// Whatever record is there, by the type that its name begins with.
#[tokio::test]
async fn records_are_written_and_read_as_before() {
    for name in names(DIRECTORY) {
        match type_of(&name).as_str() {
            "api.reply" => check::<ApiReply>(&name).await,
            "api.request" => check::<ApiRequest>(&name).await,
            "bitt.intervention" => check::<Intervention<'static>>(&name).await,
            "bitt.record" => check::<BittRecord>(&name).await,
            "federated.message" => check::<FederatedMessage>(&name).await,
            "federated.refused" => check::<FederatedRefused>(&name).await,
            "dlq.claim" => check::<Claim>(&name).await,
            "dlq.state" => check::<LetterState>(&name).await,
            "notification.delivery" => check::<NotificationDelivery>(&name).await,
            "notification.requested" => check::<NotificationRequested>(&name).await,
            "replica.status" => check::<ReplicaStatus>(&name).await,
            "schedule.decision" => check::<ScheduleDecision>(&name).await,
            "schedule.fired" => check::<ScheduleFired>(&name).await,
            "workflow.arrived" => check::<WorkflowArrived>(&name).await,
            "workflow.called" => check::<WorkflowCalled>(&name).await,
            "workflow.command" => check::<WorkflowCommand>(&name).await,
            "workflow.completed" => check::<WorkflowCompleted>(&name).await,
            "workflow.failed" => check::<WorkflowFailed>(&name).await,
            "workflow.step" => check::<WorkflowStep>(&name).await,
            other => panic!("{name}: {other} is not checked by anything"),
        }
    }
}

/// Written by chaos runs only, by one version at a time.
const DRILLS: &str = "drill.step";

/// Every type of `avro/`, which are those that have a `RECORD_NAME`: a new one has none before somebody writes it down.
#[test]
fn every_type_has_a_golden_record() {
    let released = versions().into_iter().flat_map(|version| names(&version)).collect::<Vec<_>>();
    let golden: BTreeSet<String> = released.iter().chain(&names(DIRECTORY)).map(|name| type_of(name)).collect();
    let missing: Vec<String> = types().into_iter().filter(|name| !golden.contains(name) && name != DRILLS).collect();
    assert_eq!(missing, [""; 0], "neither a released version nor {DIRECTORY}/records has one");
}

/// What somebody decides about a due time is told apart by its kind alone.
#[test]
fn every_kind_of_decision_has_a_golden_record() {
    let schema: Value = serde_json::from_str(ScheduleDecision::SCHEMA).unwrap();
    let kinds = schema["fields"][1]["type"]["symbols"].as_array().unwrap().iter();
    let expected: BTreeSet<String> =
        kinds.map(|kind| format!("schedule.decision.{}", kind.as_str().unwrap())).collect();
    let found = names(DIRECTORY).into_iter().filter(|name| type_of(name) == ScheduleDecision::EVENT_TYPE);
    assert_eq!(found.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_replay_is_known_again_by_what_is_kept_of_it() {
    let kept = text(&repository().join(DIRECTORY).join("replay_asked.json"));
    let asked = Asked::read(kept.trim_end()).unwrap().unwrap();
    assert_eq!((asked.begun_ms, asked.metadata()), (1_763_740_800_000, kept.trim_end().to_owned()));
    // What it is compared with, as `coafi replay` asks.
    let options = [("--topic", vec!["coafi.git".into(), "coafi.ai".into()]), ("--from", vec!["2h ago".into()])];
    assert_eq!(Asked::now(options).others(&asked), []);
}

#[test]
fn a_wake_is_written_as_before() {
    let wake = wake(&SourceId::new("git", "https://example.org/repo.git"));
    let key = wake.key.as_deref().map(String::from_utf8_lossy);
    let (headers, value) = (wake.headers.iter().count(), wake.value.as_ref());
    let dump = format!("topic: {}\nkey: {key:?}\nheaders: {headers}\nvalue: {value:?}\n", wake.topic);
    expect_file![repository().join(DIRECTORY).join("headers/wake.txt")].assert_eq(&dump);
}

/// Names of the golden records of a directory.
fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let files = files(&repository().join(directory).join("records")).into_iter();
    files.filter_map(|(file, _)| file.strip_suffix(".json").map(str::to_owned)).collect()
}

/// `api.reply`, …: the files of `avro/` without their ending.
fn types() -> Vec<String> {
    Schemas::built_in().iter().map(|file| file.event_type().to_owned()).collect()
}

/// `schedule.decision.fired` is a `schedule.decision`.
fn type_of(name: &str) -> String {
    let is_it =
        |kind: &String| name.strip_prefix(kind.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    types().into_iter().find(is_it).unwrap_or_else(|| panic!("{name} is of no type of avro/"))
}
