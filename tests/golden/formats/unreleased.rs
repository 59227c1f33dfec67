//! Formats that no released version wrote yet: the same bytes tomorrow as today, and read to the same values. With the
//! release they become part of its directory, and from then on two versions read them (docs/operations.md).
//!
//! `UPDATE_EXPECT=1` writes the bytes and schemas of a new format, or of one that is changed before its release.

use coafi::schema::payloads::{
    ApiReply, ApiRequest, Claim, Intervention, LetterState, ReplicaStatus, ScheduleDecision, ScheduleFired,
};
use coafi::schema::registry::{Client, Settings};
use coafi::schema::{BuiltinRegistry, Codec, Payload, schema_file};
use expect_test::expect_file;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::repository;
use super::{records, text};

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
    let schema = schema_file(T::RECORD_NAME).unwrap().text;
    expect_file![directory.join(format!("schemas/{}.avsc", T::EVENT_TYPE))].assert_eq(schema);
    records::check::<T>(&directory, name).await;
}

#[tokio::test]
async fn what_people_did_with_letters_is_written_and_read_as_before() {
    for action in ["redriven", "rerouted", "purged"] {
        check::<Intervention<'static>>(&format!("bitt.intervention.{action}")).await;
    }
}

#[tokio::test]
async fn states_of_letters_are_written_and_read_as_before() {
    for status in ["redriving", "redriven", "purged"] {
        check::<LetterState>(&format!("dlq.state.{status}")).await;
    }
    check::<Claim>("dlq.claim").await;
}

#[tokio::test]
async fn the_status_of_replicas_is_written_and_read_as_before() {
    for state in ["joining", "working"] {
        check::<ReplicaStatus>(&format!("replica.status.{state}")).await;
    }
}

#[tokio::test]
async fn requests_of_the_api_and_replies_to_them_are_written_and_read_as_before() {
    check::<ApiRequest>("api.request").await;
    check::<ApiReply>("api.reply").await;
}

#[tokio::test]
async fn fires_and_decisions_of_schedules_are_written_and_read_as_before() {
    check::<ScheduleFired>("schedule.fired").await;
    for decision in ["fired", "skipped"] {
        check::<ScheduleDecision>(&format!("schedule.decision.{decision}")).await;
    }
}
