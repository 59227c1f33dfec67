//! The audit trail, read as somebody else would: with the schema that the registry has.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::{Schema, from_value};
use serde::Deserialize;

use crate::event::Subject;
use crate::topic::{Positions, read};

pub(crate) const TOPIC: &str = "coafi.bitt.records";
pub(crate) const OUTCOME: &str = "org.coafi.bitt.Outcome";
/// Magic byte and schema id.
const PREFIX_BYTES: usize = 5;

/// What an outcome record says, as far as tests ask.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    pub(crate) topic: String,
    pub(crate) offset: i64,
    pub(crate) partition: i32,
    pub(crate) attempt: i32,
    pub(crate) group: String,
    pub(crate) event_id: Option<String>,
    pub(crate) outcome: String,
    pub(crate) error_class: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) route_version: Option<String>,
    pub(crate) started_at: Option<i64>,
    pub(crate) ended_at: i64,
    #[serde(skip)]
    pub(crate) traceparent: Option<String>,
    /// Partition and offset in the audit topic.
    #[serde(skip)]
    pub(crate) place: (i32, i64),
}

impl Outcome {
    /// Whether it is the last word about its record.
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self.outcome.as_str(), "retried_in_place" | "retried_topic" | "halted")
    }
}

/// Every committed outcome of a group since `start`, in the order of their partitions.
pub(crate) fn outcomes(bootstrap: &str, subject: &Subject, group: &str, start: &Positions) -> Vec<Outcome> {
    let records = read(bootstrap, TOPIC, start);
    let of_type = records.iter().filter(|read| read.record.header("ce_type") == Some("bitt.outcome"));
    let all = of_type.map(|read| {
        let mut outcome = decode(&subject.schema, read.record.value.as_deref().expect("an outcome has a value"));
        outcome.traceparent = read.record.header("traceparent").map(str::to_owned);
        outcome.place = (read.partition, read.offset);
        outcome
    });
    all.filter(|outcome| outcome.group == group).collect()
}

fn decode(schema: &Schema, value: &[u8]) -> Outcome {
    let reader = GenericDatumReader::builder(schema).build().unwrap();
    let value = reader.read_value(&mut &value[PREFIX_BYTES..]).expect("as its schema says");
    from_value(&value).expect("the fields of an outcome")
}
