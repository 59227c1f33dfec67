//! Schemas: the registry client, the Avro codec, JSON Schema, compatibility.
//!
//! `avro/*.avsc` are the truth for event data ([built in](Schemas::built_in), beside a deployment's own); the registry is where other
//! software finds them. Nothing here knows of routes, handlers or partitions: what does not decode is a [`Failure`] with
//! a class, and what follows is the engine's decision.
//!
//! | a record's schema id | class |
//! |---|---|
//! | known, the writer's schema resolves to ours | decoded |
//! | known, it does not resolve | poison, naming both |
//! | the registry says that it does not exist (404 with one of its error codes) | poison |
//! | anything else: refused, 401, 5xx, time-out, an answer that is not a registry's | systemic (`schema-registry`) |
//!
//! [`Failure`]: crate::dispatch::Failure

#![allow(
    clippy::disallowed_methods,
    reason = "edge: how old an answer of the registry is, and the built-in registry's task"
)]

pub mod avro_json;
mod builtin;
mod codec;
pub mod compatibility;
mod embedded;
mod encoder;
mod file_type;
#[cfg(any(test, fuzzing))]
mod fuzzing;
pub mod json;
mod known;
pub mod payloads;
mod reader;
pub mod register;
pub mod registry;
#[cfg(test)]
pub(crate) mod sample;
mod shape;
mod wire;

pub use builtin::BuiltinRegistry;
pub use codec::Codec;
pub use embedded::{api_schema_files, json_schema_files, topic_files, workflow_files};
pub use encoder::Encoder;
pub use file_type::FileType;
pub use known::{SchemaFile, SchemaFileError, Schemas};
pub use shape::Shape;
pub use wire::{AVRO_CONTENT_TYPE, SchemaId, WireError, is_framed};

/// A type that travels as Avro data of an event; its schema is a file under `avro/`.
pub trait Payload: serde::Serialize + serde::de::DeserializeOwned + Send + 'static {
    /// The CloudEvents type, e.g. `git.commit`.
    const EVENT_TYPE: &'static str;
    /// Full name of the Avro record, which is the subject's second half (TopicRecordNameStrategy).
    const RECORD_NAME: &'static str;
    /// The text of the `.avsc` file.
    const SCHEMA: &'static str;
}

/// The subject of a record's schema in a topic (Confluent's TopicRecordNameStrategy).
#[must_use]
pub fn subject(topic: &str, record: &str) -> String {
    format!("{topic}-{record}")
}
