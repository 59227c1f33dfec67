//! Avro records in topics: data that one version wrote and another one reads, by their schemas.

use std::fmt::Write as _;
use std::path::Path;

use apache_avro::Schema;
use coafi::schema::compatibility::breaks;
use coafi::schema::payloads::{GitCommit, GitPush, GitTag, Outcome, Receipt, SourceOffset, WorkflowRequested};
use coafi::schema::registry::{Client, Settings};
use coafi::schema::{BuiltinRegistry, Codec, Payload, Schemas};
use serde_json::Value;

use super::{files, text, versions};

/// Written by chaos runs only, by one version at a time.
const DRILLS: &str = "drill.step.avsc";
fn schema(text: &str) -> Schema {
    Schema::parse_str(text).unwrap()
}

/// In front of every read is the writer's schema, as in production: a registry has it.
async fn check_reading<T: Payload>(version: &Path) {
    check::<T>(version, T::EVENT_TYPE).await;
}

/// The record of this name, which the version has written.
pub(super) async fn check<T: Payload>(version: &Path, name: &str) {
    let registry = BuiltinRegistry::start(&[]).await.unwrap();
    let client = Client::new(Settings::new(registry.url())).unwrap();
    let id = client
        .register(&format!("golden-{name}"), &text(&version.join(format!("schemas/{}.avsc", T::EVENT_TYPE))))
        .await;
    let mut data = [&[0][..], &id.unwrap().0.to_be_bytes()].concat();
    data.extend(unhex(text(&version.join(format!("records/{name}.hex"))).trim()));
    let read: T = Codec::new(client, false).decode_avro(&data).await.unwrap();
    let read = serde_json::to_value(&read).unwrap();
    let expected: Value = serde_json::from_str(&text(&version.join(format!("records/{name}.json")))).unwrap();
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(read.get(member), Some(value), "{}: {name}.{member}", version.display());
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |pair| std::str::from_utf8(pair).unwrap();
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(digits(pair), 16).unwrap()).collect()
}

#[tokio::test]
async fn records_of_every_version_are_read_to_the_same_value() {
    for version in versions() {
        check_reading::<Outcome<'static>>(&version).await;
        check_reading::<Receipt<'static>>(&version).await;
        check_reading::<SourceOffset>(&version).await;
        check_reading::<GitCommit>(&version).await;
        check_reading::<GitPush>(&version).await;
        check_reading::<GitTag>(&version).await;
        check_reading::<WorkflowRequested>(&version).await;
    }
}

/// What is in the way of reading between an older version and today's, in either direction.
fn breaks_between(old: &Schema, today: &Schema) -> String {
    let mut found = String::new();
    for (direction, writer, reader) in [("today's data, read by it", today, old), ("its data, read today", old, today)]
    {
        breaks(writer, reader).iter().for_each(|problem| writeln!(found, "{direction}: {problem}").unwrap());
    }
    found
}

#[test]
fn schemas_of_every_version_are_compatible_both_ways() {
    for version in versions() {
        for (file, path) in files(&version.join("schemas")).into_iter().filter(|(file, _)| file != DRILLS) {
            let old = schema(&text(&path));
            let name = old.name().unwrap().fullname(None);
            let schemas = Schemas::built_in();
            let today =
                schemas.of_record(&name).unwrap_or_else(|| panic!("{name} is gone, and topics have data of it"));
            let found = breaks_between(&old, &schema(today.text()));
            assert!(found.is_empty(), "{}: {file}:\n{found}", version.display());
        }
    }
}

#[test]
fn what_an_older_version_cannot_read_is_found() {
    let schemas = Schemas::built_in();
    let text = schemas.of_record("org.coafi.bitt.Outcome").unwrap().text();
    let old = schema(text);
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        breaks_between(&old, &schema(&text.replacen(from, to, 1)))
    };
    let epoch = r#"{"name": "epoch""#;
    let with_field = |field: &str| changed(epoch, &format!("{field}, {epoch}"));
    assert_eq!(with_field(r#"{"name": "new", "type": ["null", "string"], "default": null}"#), "");
    assert!(with_field(r#"{"name": "new", "type": "string"}"#).contains("read today: new"), "older data has none");
    assert!(changed(epoch, r#"{"name": "generation""#).contains("read by it: epoch"), "it needs what is gone");
    assert!(
        changed(r#""halted""#, r#""halted", "later""#).contains("read by it: outcome"),
        "a symbol it does not know"
    );
}

/// Where a type is added, the next version's directory has it; until then it is nobody's.
#[test]
fn the_last_version_has_no_schema_that_is_gone() {
    let known: Vec<String> = Schemas::built_in().iter().map(|file| format!("{}.avsc", file.event_type())).collect();
    for (file, _) in files(&versions().last().unwrap().join("schemas")) {
        assert!(known.contains(&file), "{file} is not among {known:?}");
    }
}
