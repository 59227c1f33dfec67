//! Targets: event data in Avro, schemas of other writers, plain JSON by one of our schemas.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use apache_avro::Schema;

use super::payloads::*;
use super::reader::{Decoder, Generic, Reader};
use super::{Payload, SchemaId, Schemas, avro_json, compatibility, wire};
use crate::fuzzing::{Target, choice, text};

const ID: SchemaId = SchemaId(1);

inventory::submit! { Target { name: "avro_data", run: data } }
inventory::submit! { Target { name: "avro_schemas", run: schemas } }
inventory::submit! { Target { name: "avro_json", run: json } }

/// The first byte says of which type the data is that follows.
fn data(bytes: &[u8]) {
    if let Ok((id, datum)) = wire::split(bytes) {
        assert_eq!([&wire::header(id), datum].concat(), bytes);
    }
    let Some((kind, datum)) = choice(bytes) else { return };
    let checks: &[fn(&[u8])] = &[
        check::<ApiReply>,
        check::<ApiRequest>,
        check::<BittRecord>,
        check::<DrillStep>,
        check::<FederatedMessage>,
        check::<FederatedRefused>,
        check::<GitCommit>,
        check::<GitPush>,
        check::<GitTag>,
        check::<Intervention<'static>>,
        check::<LetterState>,
        check::<NotificationDelivery>,
        check::<NotificationRequested>,
        check::<Outcome<'static>>,
        check::<Receipt<'static>>,
        check::<ReplicaStatus>,
        check::<ScheduleDecision>,
        check::<ScheduleFired>,
        check::<SourceOffset>,
        check::<WorkflowArrived>,
        check::<WorkflowCalled>,
        check::<WorkflowCommand>,
        check::<WorkflowCompleted>,
        check::<WorkflowFailed>,
        check::<WorkflowRequested>,
        check::<WorkflowStep>,
    ];
    checks[usize::from(kind) % checks.len()](datum);
}

/// What reads one type, made once.
#[derive(Clone)]
struct Known {
    reader: Arc<Reader>,
    generic: Arc<Generic>,
    fast: Arc<serde_avro_fast::Schema>,
}

impl Known {
    fn of<T: Payload>() -> Self {
        static ALL: LazyLock<Mutex<HashMap<TypeId, Known>>> = LazyLock::new(Mutex::default);
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Self {
            reader: Arc::new(Reader::new::<T>().expect("our own schema")),
            generic: Arc::new(Generic::new(ID, T::SCHEMA, &Schemas::built_in()).expect("our own schema")),
            fast: Arc::new(T::SCHEMA.parse().expect("our own schema")),
        };
        all.entry(TypeId::of::<T>()).or_insert_with(new).clone()
    }

    fn encoded<T: Payload>(&self, value: &T) -> Vec<u8> {
        let mut config = serde_avro_fast::ser::SerializerConfig::new(&self.fast);
        serde_avro_fast::to_datum_vec(value, &mut config).expect("what was decoded fits")
    }
}

fn check<T: Payload>(datum: &[u8]) {
    let known = Known::of::<T>();
    let generic = known.generic.decode(ID, datum);
    let decoder = Decoder::Same(Arc::clone(&known.reader));
    let Ok(value) = decoder.decode::<T>(ID, datum) else { return };
    assert!(generic.is_ok(), "{}: {:?}", T::RECORD_NAME, generic.err());
    // Avro has several forms of one value (a list in several blocks), and ours is the same for equal values.
    let ours = known.encoded(&value);
    let again = decoder.decode::<T>(ID, &ours).expect("what was encoded is decoded");
    assert_eq!(known.encoded(&again), ours);
}

/// A schema that a registry could answer with, and behind a line's end a datum of it.
fn schemas(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (schema, datum) = bytes.split_at(end);
    let Some(schema) = text(schema) else { return };
    let datum = datum.get(1..).unwrap_or_default();
    if let Ok(generic) = Generic::new(ID, schema, &Schemas::built_in()) {
        let _decoded = generic.decode(ID, datum);
    }
    static READER: LazyLock<Arc<Reader>> = LazyLock::new(|| Arc::new(Reader::new::<GitTag>().expect("our own schema")));
    let _decoded = Decoder::new(Arc::clone(&READER), ID, schema).decode::<GitTag>(ID, datum);
    if let Ok(schema) = Schema::parse_str(schema) {
        let breaks = compatibility::breaks(&schema, &schema);
        assert!(breaks.is_empty(), "a schema reads what it wrote: {breaks:?}");
    }
}

/// The first byte says of which type the JSON is.
fn json(bytes: &[u8]) {
    static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
        Schemas::built_in().iter().map(|file| Schema::parse_str(file.text()).expect("our own schema")).collect()
    });
    let Some((kind, rest)) = choice(bytes) else { return };
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(rest) else { return };
    let schema = &SCHEMAS[usize::from(kind) % SCHEMAS.len()];
    let Ok(avro) = avro_json::to_avro(schema, &value) else { return };
    let datum = avro_json::encode(schema, avro).expect("what fits the schema is encoded");
    let generic = Generic::new(ID, &serde_json::to_string(schema).expect("a schema is JSON"), &Schemas::built_in())
        .expect("our own schema");
    assert!(generic.decode(ID, &datum).is_ok());
}
