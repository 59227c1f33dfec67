//! How data of one writer's schema becomes a value of one of our types.

use std::borrow::Cow;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};

use super::{Payload, SchemaId, Schemas, avro_json, compatibility};
use crate::dispatch::Failure;

/// Nesting of a datum: ours have four levels.
const MAX_DEPTH: usize = 32;
/// What one length in a datum of another writer may make the resolver allocate.
const MAX_RESOLVED_BYTES: usize = 64 << 20;

/// Our schema of a type, parsed once.
pub(super) struct Reader {
    schema: Schema,
    canonical: String,
    fast: serde_avro_fast::Schema,
}

/// Decodes what was written with one schema into one type. Made once per (type, schema id).
pub(super) enum Decoder {
    /// The writer's schema is ours: straight into the type, nothing in between.
    Same(Arc<Reader>),
    /// Resolved by Avro's rules, through a generic value: for as long as older or newer writers are about.
    Resolved { writer: Box<Schema>, reader: Arc<Reader> },
    /// No datum of that schema can be read.
    Incompatible(String),
}

/// Data of any schema as JSON: what filters and people look at.
pub(super) struct Generic {
    writer: Schema,
    /// Ours of the same record, where it differs and reads the writer's: its defaults and aliases hold then.
    reader: Option<Arc<Schema>>,
}

impl Generic {
    /// `known`: what of the same record may be ours.
    pub(super) fn new(id: SchemaId, writer: &str, known: &Schemas) -> Result<Self, Failure> {
        limit_allocations();
        let writer = Schema::parse_str(writer).map_err(|e| {
            Failure::poison("incompatible_schema", format!("schema id {id} is not an Avro schema: {e}"))
        })?;
        let ours = writer.name().and_then(|name| known.of_record(&name.fullname(None)));
        let ours = ours.and_then(|file| file.parsed().ok());
        let reads = |ours: &Arc<Schema>| {
            ours.canonical_form() != writer.canonical_form() && compatibility::breaks(&writer, ours).is_empty()
        };
        Ok(Self { reader: ours.filter(reads), writer })
    }

    /// See [`avro_json::to_json`].
    pub(super) fn decode(&self, id: SchemaId, datum: &[u8]) -> Result<serde_json::Value, Failure> {
        let mut rest = datum;
        let name = || self.writer.name().map_or_else(|| "datum".to_owned(), |name| name.fullname(None));
        let value = GenericDatumReader::builder(&self.writer)
            .maybe_reader_schema(self.reader.as_deref())
            .build()
            .and_then(|decoder| decoder.read_value(&mut rest))
            .and_then(|value| avro_json::to_json(self.reader.as_deref().unwrap_or(&self.writer), value))
            .map_err(|e| undecodable(&name(), id, datum, &e))?;
        if rest.is_empty() { Ok(value) } else { Err(trailing(&name(), id, datum, rest.len() as u64)) }
    }
}

/// Set once per process: the first caller's value stays.
fn limit_allocations() {
    apache_avro::util::max_allocation_bytes(MAX_RESOLVED_BYTES);
}

impl Reader {
    pub(super) fn new<T: Payload>() -> Result<Self, Failure> {
        let bad = |e: &dyn std::fmt::Display| {
            Failure::permanent("invalid_schema", format!("{}: our own schema does not parse: {e}", T::RECORD_NAME))
        };
        let schema = Schema::parse_str(T::SCHEMA).map_err(|e| bad(&e))?;
        let fast = T::SCHEMA.parse::<serde_avro_fast::Schema>().map_err(|e| bad(&e))?;
        let canonical = schema.canonical_form();
        Ok(Self { schema, canonical, fast })
    }
}

impl Decoder {
    pub(super) fn new(reader: Arc<Reader>, id: SchemaId, writer: &str) -> Self {
        let ours = || reader.schema.name().map_or(Cow::Borrowed("?"), |name| name.fullname(None).into());
        let writer = match Schema::parse_str(writer) {
            Ok(writer) => writer,
            Err(e) => return Self::Incompatible(format!("schema id {id} is not an Avro schema: {e}")),
        };
        if writer.canonical_form() == reader.canonical {
            return Self::Same(reader);
        }
        let breaks = compatibility::unreadable(&writer, &reader.schema);
        if breaks.is_empty() {
            limit_allocations();
            return Self::Resolved { writer: Box::new(writer), reader };
        }
        let theirs = writer.name().map_or(Cow::Borrowed("a schema without name"), |name| name.fullname(None).into());
        let why: Vec<String> = breaks.iter().map(ToString::to_string).collect();
        Self::Incompatible(format!("schema id {id} ({theirs}) does not resolve to {}: {}", ours(), why.join("; ")))
    }

    pub(super) fn decode<T: Payload>(&self, id: SchemaId, datum: &[u8]) -> Result<T, Failure> {
        match self {
            Self::Same(reader) => straight(&reader.fast, id, datum),
            Self::Resolved { writer, reader } => resolved(writer, &reader.schema, id, datum),
            Self::Incompatible(why) => Err(Failure::poison("incompatible_schema", why)),
        }
    }
}

fn straight<T: Payload>(schema: &serde_avro_fast::Schema, id: SchemaId, datum: &[u8]) -> Result<T, Failure> {
    let mut config = DeserializerConfig::new(schema);
    // Every item of ours takes a byte at least, so a longer list cannot be in the datum.
    config.max_seq_size = datum.len();
    config.allowed_depth = MAX_DEPTH;
    let mut state = DeserializerState::with_config(SliceRead::new(datum), config);
    let value = T::deserialize(state.deserializer()).map_err(|e| undecodable(T::RECORD_NAME, id, datum, &e))?;
    let mut reader = state.into_reader();
    let rest = std::io::copy(&mut reader, &mut std::io::sink()).unwrap_or_default();
    if rest == 0 { Ok(value) } else { Err(trailing(T::RECORD_NAME, id, datum, rest)) }
}

/// The reader's schema and its names are resolved per record: the price of another writer's schema, which lasts as long
/// as a migration.
fn resolved<T: Payload>(writer: &Schema, reader: &Schema, id: SchemaId, datum: &[u8]) -> Result<T, Failure> {
    let mut rest = datum;
    let value = GenericDatumReader::builder(writer)
        .reader_schema(reader)
        .build()
        .and_then(|decoder| decoder.read_value(&mut rest))
        .and_then(|value| apache_avro::from_value::<T>(&value))
        .map_err(|e| undecodable(T::RECORD_NAME, id, datum, &e))?;
    if rest.is_empty() { Ok(value) } else { Err(trailing(T::RECORD_NAME, id, datum, rest.len() as u64)) }
}

fn undecodable(name: &str, id: SchemaId, datum: &[u8], error: &dyn std::fmt::Display) -> Failure {
    let len = datum.len();
    Failure::poison("undecodable", format!("{len} bytes of schema id {id} are no whole {name}: {error}"))
}

fn trailing(name: &str, id: SchemaId, datum: &[u8], rest: u64) -> Failure {
    let len = datum.len();
    Failure::poison("undecodable", format!("{rest} of {len} bytes of schema id {id} are left after the {name}"))
}
