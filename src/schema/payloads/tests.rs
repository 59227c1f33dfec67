//! Holds the Rust types against the `.avsc` files, both ways and field by field.

use apache_avro::types::Value;
use apache_avro::{Schema, from_value, to_value};

use super::*;
use crate::schema::sample;

/// `full` has every optional part present and every list non-empty.
fn check<T: Payload + PartialEq + std::fmt::Debug>(full: &T) {
    let schema = Schema::parse_str(T::SCHEMA).unwrap();
    assert_eq!(schema.name().unwrap().fullname(None), T::RECORD_NAME);
    same_shape(&schema, &serde_json::to_value(full).unwrap(), T::RECORD_NAME);

    let resolved = to_value(full).unwrap().resolve(&schema).unwrap();
    assert!(resolved.validate(&schema), "{}", T::RECORD_NAME);
    assert_eq!(&from_value::<T>(&resolved).unwrap(), full);

    let fast: serde_avro_fast::Schema = T::SCHEMA.parse().unwrap();
    let bytes = serde_avro_fast::to_datum_vec(full, &mut serde_avro_fast::ser::SerializerConfig::new(&fast)).unwrap();
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
    assert_eq!(from_value::<T>(&reader.read_value(&mut &bytes[..]).unwrap()).unwrap(), *full);
    assert_eq!(&serde_avro_fast::from_datum_slice::<T>(&bytes, &fast).unwrap(), full);

    required_as_in_the_schema::<T>(&schema, &resolved);
}

/// Every field of the schema is in the Rust value, in the schema's order and with its type; and nothing else is.
fn same_shape(schema: &Schema, value: &serde_json::Value, at: &str) {
    use serde_json::Value as Json;
    match (schema, value) {
        (Schema::Record(record), Json::Object(members)) => {
            let expected: Vec<&str> = record.fields.iter().map(|field| field.name.as_str()).collect();
            let mut missing: Vec<_> = expected.iter().filter(|name| !members.contains_key(**name)).collect();
            let mut extra: Vec<_> = members.keys().filter(|name| !expected.contains(&name.as_str())).collect();
            assert!(missing.is_empty(), "{at}: only in the schema: {:?}", std::mem::take(&mut missing));
            assert!(extra.is_empty(), "{at}: only in the Rust type: {:?}", std::mem::take(&mut extra));
            for field in &record.fields {
                same_shape(&field.schema, &members[&field.name], &format!("{at}.{}", field.name));
            }
        }
        (Schema::Union(union), value) => {
            assert!(!value.is_null(), "{at}: the sample leaves it out, so its type is not checked");
            let some = union.variants().iter().find(|variant| !matches!(variant, Schema::Null)).unwrap();
            same_shape(some, value, at);
        }
        (Schema::Array(array), Json::Array(items)) => {
            assert!(!items.is_empty(), "{at}: the sample has none, so the type is not checked");
            same_shape(&array.items, &items[0], at);
        }
        (Schema::Ref { .. }, Json::Object(_))
        | (Schema::String, Json::String(_))
        | (Schema::Boolean, Json::Bool(_))
        | (Schema::Bytes, Json::Array(_))
        | (Schema::Int | Schema::Long | Schema::TimestampMillis, Json::Number(_)) => {}
        (Schema::Enum(symbols), Json::String(symbol)) => {
            assert!(symbols.symbols.contains(symbol), "{at}: {symbol} is no symbol of {:?}", symbols.symbols);
        }
        (schema, value) => panic!("{at}: {schema:?} in the schema, {value} in Rust"),
    }
}

/// A top-level field may be left out of JSON data exactly where the schema has a default.
fn required_as_in_the_schema<T: Payload>(schema: &Schema, value: &Value) {
    let Schema::Record(record) = schema else { panic!("{} is a record", T::RECORD_NAME) };
    let json: serde_json::Value = value.clone().try_into().unwrap();
    for field in &record.fields {
        let mut less = json.clone();
        less.as_object_mut().unwrap().remove(&field.name);
        let without = serde_json::from_value::<T>(less);
        assert_eq!(without.is_ok(), field.default.is_some(), "{}.{}: {:?}", T::RECORD_NAME, field.name, without.err());
    }
}

/// Every symbol of an Avro enum is a variant, and the other way round.
fn check_enum<E: serde::Serialize + serde::de::DeserializeOwned>(schema: &str, name: &str, variants: &[E]) {
    let text: serde_json::Value = serde_json::from_str(schema).unwrap();
    let mut symbols = None;
    let mut stack = vec![&text];
    while let Some(node) = stack.pop() {
        match node {
            serde_json::Value::Object(members) => {
                if members.get("name").is_some_and(|n| n == name) {
                    symbols = members.get("symbols").cloned().or(symbols);
                }
                stack.extend(members.values());
            }
            serde_json::Value::Array(items) => stack.extend(items),
            _ => {}
        }
    }
    assert_eq!(serde_json::to_value(variants).unwrap(), symbols.expect("the schema has the enum"), "{name}");
}

#[test]
fn rust_types_are_what_the_schemas_say() {
    check(&sample::api_reply());
    check(&sample::api_request());
    check(&sample::bitt_record());
    check(&sample::drill_step());
    check(&sample::federated_message());
    check(&sample::federated_refused());
    check(&sample::git_commit());
    check(&sample::git_tag());
    check(&sample::git_push());
    check(&sample::receipt());
    check(&sample::replica_status());
    check(&sample::outcome());
    check(&sample::intervention());
    check(&sample::letter_state());
    check(&sample::claim());
    check(&sample::notification_delivery());
    check(&sample::notification_requested());
    check(&sample::schedule_fired());
    check(&sample::schedule_decision());
    check(&sample::source_offset());
    check(&sample::workflow_arrived());
    check(&sample::workflow_called());
    check(&sample::workflow_command());
    check(&sample::workflow_completed());
    check(&sample::workflow_failed());
    check(&sample::workflow_requested());
    check(&sample::workflow_step());
}

#[test]
fn enums_have_the_schemas_symbols_in_order() {
    use DrillAction as D;
    use FileKind::{Executable, File, Submodule, Symlink};
    use FileStatus::{Added, Copied, Deleted, Modified, Renamed, TypeChange};
    check_enum(DrillStep::SCHEMA, "DrillAction", &[D::Ok, D::Transient, D::Permanent, D::Panic, D::Hang, D::Kill]);
    check_enum(GitCommit::SCHEMA, "FileStatus", &[Added, Modified, Deleted, Renamed, Copied, TypeChange]);
    check_enum(GitCommit::SCHEMA, "FileKind", &[File, Executable, Symlink, Submodule]);
    check_enum(GitTag::SCHEMA, "TagAction", &[TagAction::Created, TagAction::Moved, TagAction::Deleted]);
    check_enum(Outcome::SCHEMA, "OutcomeKind", &OutcomeKind::ALL);
    let names = OutcomeKind::ALL.map(OutcomeKind::name);
    assert_eq!(serde_json::to_value(OutcomeKind::ALL).unwrap(), serde_json::to_value(names).unwrap());
    use InterventionKind::{EventPurged, EventRedriven, EventRerouted};
    check_enum(Intervention::SCHEMA, "InterventionKind", &[EventRedriven, EventRerouted, EventPurged]);
    use FireReason as F;
    check_enum(ScheduleFired::SCHEMA, "FireReason", &[F::Fired, F::CaughtUp, F::Backfilled, F::Triggered]);
    use DecisionKind::{Backfill, Backfilled, CaughtUp, Fired, Paused, Resumed, Skipped, Started, Triggered};
    let kinds = [Fired, CaughtUp, Backfilled, Triggered, Skipped, Started, Paused, Resumed, Backfill];
    check_enum(ScheduleDecision::SCHEMA, "DecisionKind", &kinds);
    assert_eq!(serde_json::to_value(kinds).unwrap(), serde_json::to_value(kinds.map(DecisionKind::name)).unwrap());
    use LetterStatus::{Purged, Redriven, Redriving};
    check_enum(LetterState::SCHEMA, "LetterStatus", &[Redriving, Redriven, Purged]);
    let methods = [FederatedMethod::Signature, FederatedMethod::Transport];
    check_enum(FederatedMessage::SCHEMA, "FederatedMethod", &methods);
}

#[test]
fn every_schema_file_has_a_rust_type() {
    let known = [
        ApiReply::RECORD_NAME,
        ApiRequest::RECORD_NAME,
        BittRecord::RECORD_NAME,
        Claim::RECORD_NAME,
        DrillStep::RECORD_NAME,
        FederatedMessage::RECORD_NAME,
        FederatedRefused::RECORD_NAME,
        GitCommit::RECORD_NAME,
        GitPush::RECORD_NAME,
        GitTag::RECORD_NAME,
        Intervention::RECORD_NAME,
        LetterState::RECORD_NAME,
        NotificationDelivery::RECORD_NAME,
        NotificationRequested::RECORD_NAME,
        Outcome::RECORD_NAME,
        Receipt::RECORD_NAME,
        ReplicaStatus::RECORD_NAME,
        ScheduleDecision::RECORD_NAME,
        ScheduleFired::RECORD_NAME,
        SourceOffset::RECORD_NAME,
        WorkflowArrived::RECORD_NAME,
        WorkflowCalled::RECORD_NAME,
        WorkflowCommand::RECORD_NAME,
        WorkflowCompleted::RECORD_NAME,
        WorkflowFailed::RECORD_NAME,
        WorkflowRequested::RECORD_NAME,
        WorkflowStep::RECORD_NAME,
    ];
    for file in crate::schema::Schemas::built_in().iter() {
        assert!(known.contains(&file.record()), "avro/{}.avsc has no type in src/schema/payloads", file.event_type());
    }
}

#[test]
fn record_ids_are_deterministic() {
    assert_eq!(sample::outcome().record_id(), "cluster/topic-id/3/42/run-2/2");
    assert_eq!(sample::receipt().record_id(), "cluster/topic-id/3/40-44/7");
    assert_eq!(sample::intervention().record_id(), "cluster/coafi.git.dlq/1/5/EVENT_REDRIVEN/1");
}
