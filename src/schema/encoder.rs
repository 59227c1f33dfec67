//! Encodes values of one type for one topic, without waiting for anything.

use std::marker::PhantomData;
use std::sync::Arc;

use serde_avro_fast::ser::SerializerConfig;

use super::payloads::Encodes;
use super::{Payload, SchemaId, wire};
use crate::dispatch::Failure;

/// Got once from [`super::Codec::encoder`], then used on any thread: no lock, no I/O, no parsing.
pub struct Encoder<T> {
    id: SchemaId,
    schema: Arc<serde_avro_fast::Schema>,
    payload: PhantomData<fn(T)>,
}

impl<T> Clone for Encoder<T> {
    fn clone(&self) -> Self {
        Self { id: self.id, schema: Arc::clone(&self.schema), payload: PhantomData }
    }
}

impl<T: Payload> std::fmt::Debug for Encoder<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({} as schema id {})", T::RECORD_NAME, self.id)
    }
}

impl<T: Payload> Encoder<T> {
    pub(super) const fn new(id: SchemaId, schema: Arc<serde_avro_fast::Schema>) -> Self {
        Self { id, schema, payload: PhantomData }
    }

    #[must_use]
    pub const fn schema_id(&self) -> SchemaId {
        self.id
    }

    /// Appends `value` in Confluent wire format. `into` is the only allocation; on an error it is as it was.
    ///
    /// # Errors
    /// Permanent: the value does not fit its schema.
    pub fn encode(&self, value: &impl Encodes<T>, into: &mut Vec<u8>) -> Result<(), Failure> {
        self.write(value, into)
    }

    pub(super) fn write(&self, value: &impl serde::Serialize, into: &mut Vec<u8>) -> Result<(), Failure> {
        let start = into.len();
        into.extend_from_slice(&wire::header(self.id));
        let written = serde_avro_fast::to_datum(value, &mut *into, &mut SerializerConfig::new(&self.schema)).map(drop);
        written.map_err(|e| {
            into.truncate(start);
            Failure::permanent("unencodable", format!("{} does not fit its schema: {e}", T::RECORD_NAME))
        })
    }
}
