//! Events as a producer that is not ours would write them.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Value, json};

use crate::http;
use crate::stack::unique;
use crate::topic::Record;

pub(crate) const PUSH: &str = "org.coafi.events.GitPushEventPayload";
pub(crate) const COMMIT: &str = "org.coafi.events.GitCommitEventPayload";

/// A schema as the registry has it.
pub(crate) struct Subject {
    pub(crate) id: u32,
    pub(crate) schema: Schema,
}

impl Subject {
    pub(crate) fn latest(registry: &str, topic: &str, record: &str) -> Self {
        let answer = http::get(&format!("{registry}/subjects/{topic}-{record}/versions/latest"));
        let answer: Value = serde_json::from_str(&answer.expect("the registry answers").body).unwrap();
        let text = answer["schema"].as_str().unwrap_or_else(|| panic!("{record}: {answer}"));
        let id = u32::try_from(answer["id"].as_u64().unwrap()).unwrap();
        Self { id, schema: Schema::parse_str(text).unwrap() }
    }

    /// What was written with this schema.
    pub(crate) fn decode(&self, value: &[u8]) -> Value {
        assert_eq!(value[..5], framed(self.id, &[]), "magic byte and schema id");
        let reader = GenericDatumReader::builder(&self.schema).build().unwrap();
        reader.read_value(&mut &value[5..]).unwrap().try_into().unwrap()
    }

    /// In Confluent's wire format.
    pub(crate) fn encode(&self, data: &Value) -> Vec<u8> {
        let value = avro(data).resolve(&self.schema).unwrap();
        let writer = GenericDatumWriter::builder(&self.schema).build().unwrap();
        framed(self.id, &writer.write_value_to_vec(value).unwrap())
    }
}

/// What resolves to any schema of the same names.
fn avro(value: &Value) -> Avro {
    match value {
        Value::Null => Avro::Null,
        Value::Bool(value) => Avro::Boolean(*value),
        Value::Number(number) => Avro::Long(number.as_i64().expect("no fractions here")),
        Value::String(text) => Avro::String(text.clone()),
        Value::Array(items) => Avro::Array(items.iter().map(avro).collect()),
        Value::Object(members) => Avro::Map(members.iter().map(|(name, value)| (name.clone(), avro(value))).collect()),
    }
}

/// Confluent's wire format: a zero, the schema's id, the datum.
pub(crate) fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], datum].concat()
}

/// The headers of an event with an id of its own.
pub(crate) fn attributes(event_type: &str, source: &str) -> Record {
    Record::default()
        .with("ce_specversion", "1.0")
        .with("ce_id", unique("event"))
        .with("ce_source", source)
        .with("ce_type", event_type)
        .with("content-type", "application/avro")
}

/// The data of a push that the handler takes.
pub(crate) fn push_data() -> Value {
    json!({
        "repositoryUrl": "https://example.org/product.git", "branch": unique("branch"), "before": null,
        "after": "1".repeat(40), "forced": false, "commitCount": 1, "observedAt": 0, "utids": [],
    })
}

/// The data of a commit, as far as the handler asks: what changed it reads from the repository.
pub(crate) fn commit_data(repository: &str, sha: &str) -> Value {
    let person = json!({"name": "Ada", "email": "ada@example.org"});
    json!({
        "commitSha": sha, "repositoryUrl": repository, "branch": "main", "author": person, "committer": person,
        "message": "", "parents": [], "committedAt": 0, "changedFiles": [], "changedFilesTruncated": false, "utids": [],
    })
}
