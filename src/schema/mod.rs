//! Schemas: the registry client, the Avro codec, JSON Schema, compatibility.

pub mod json;

use bytes::Bytes;

use crate::dispatch::Failure;
use crate::event::Event;

/// A type that travels as Avro data of an event; its schema is a file under `avro/`.
pub trait Payload: serde::Serialize + serde::de::DeserializeOwned + Send + 'static {
    /// The CloudEvents type, e.g. `git.commit`.
    const EVENT_TYPE: &'static str;
    /// Full name of the Avro record, which is the subject's second half (TopicRecordNameStrategy).
    const RECORD_NAME: &'static str;
    /// The text of the `.avsc` file.
    const SCHEMA: &'static str;
}

/// Decodes and encodes event data. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Codec;

impl Codec {
    /// The event's data as `T`: Confluent wire format (writer's schema from the registry, resolved to the reader's) or,
    /// where `content-type` says JSON, JSON.
    ///
    /// # Errors
    /// Poison: bytes that do not decode, a schema id that the registry says does not exist, an incompatible writer.
    /// Systemic (`schema-registry`): the registry does not answer.
    pub async fn decode<T: Payload>(&self, _event: &Event) -> Result<T, Failure> {
        Err(Failure::poison("undecodable", "no codec yet"))
    }

    /// `value` in Confluent wire format under the subject `<topic>-<record name>`.
    ///
    /// # Errors
    /// Systemic (`schema-registry`); permanent if the value does not fit its schema.
    pub async fn encode<T: Payload>(&self, _topic: &str, _value: &T) -> Result<Bytes, Failure> {
        Err(Failure::permanent("unencodable", "no codec yet"))
    }
}
