//! Decodes and encodes event data.
//!
//! On the hot path a record costs one read of a lock that is written when a schema is first seen, and no schema is parsed.

use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};

use super::reader::{Decoder, Generic, Reader};
use super::registry::{Client, RegistryError};
use super::{Encoder, Payload, SchemaId, Schemas, avro_json, subject, wire};
use crate::dispatch::Failure;
use crate::engine::{Class, Dependency};
use crate::event::Event;

/// (type, schema id) pairs kept; when it is full it starts anew.
const MAX_CACHED_DECODERS: usize = 4_096;
/// (type, topic) pairs kept, and subjects whose ids are; likewise.
const MAX_CACHED_ENCODERS: usize = 4_096;
/// Ids kept of which the registry said that they do not exist; likewise.
const MAX_CACHED_ABSENT: usize = 1_024;
/// After this the registry is asked again about such an id.
const ABSENT_FOR: Duration = Duration::from_secs(30);

/// Decodes and encodes event data. Cheap to clone.
#[derive(Clone)]
pub struct Codec(Arc<Inner>);

struct Inner {
    client: Client,
    schemas: Schemas,
    auto_register: bool,
    readers: RwLock<FxHashMap<TypeId, Arc<Reader>>>,
    decoders: RwLock<FxHashMap<(TypeId, SchemaId), Arc<Decoder>>>,
    generic: RwLock<FxHashMap<SchemaId, Arc<Generic>>>,
    encoders: RwLock<FxHashMap<TypeId, EncodersByTopic>>,
    /// By subject: a subject is of one schema of ours.
    ids: RwLock<FxHashMap<String, SchemaId>>,
    /// One question to the registry at a time.
    turn: Mutex<Turn>,
}

type EncodersByTopic = FxHashMap<String, (SchemaId, Arc<serde_avro_fast::Schema>)>;

#[derive(Default)]
struct Turn {
    absent: FxHashMap<SchemaId, (Instant, Failure)>,
    /// When the registry last did not answer, and how.
    failed: Option<(Instant, Failure)>,
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({})", self.0.client.url())
    }
}

impl Codec {
    /// A codec of the schemas that this program was built with. `auto_register`: a schema that the registry does not have is
    /// registered by the first one to encode with it, which is for development; otherwise `coafi schemas register` does that,
    /// after its check.
    #[must_use]
    pub fn new(client: Client, auto_register: bool) -> Self {
        Self::of(client, Schemas::built_in(), auto_register)
    }

    /// As [`Codec::new`], of these schemas.
    #[must_use]
    pub fn of(client: Client, schemas: Schemas, auto_register: bool) -> Self {
        Self(Arc::new(Inner {
            client,
            schemas,
            auto_register,
            readers: RwLock::default(),
            decoders: RwLock::default(),
            generic: RwLock::default(),
            encoders: RwLock::default(),
            ids: RwLock::default(),
            turn: Mutex::default(),
        }))
    }

    /// What it encodes JSON by.
    #[must_use]
    pub fn schemas(&self) -> &Schemas {
        &self.0.schemas
    }

    /// The registry that it asks; for `/ready` and probes.
    #[must_use]
    pub fn registry(&self) -> &Client {
        &self.0.client
    }

    /// The event's data as `T`: Confluent wire format (writer's schema from the registry, resolved to the reader's) or,
    /// where `content-type` says JSON, JSON.
    ///
    /// # Errors
    /// Poison: bytes that do not decode, a schema id that the registry says does not exist, an incompatible writer.
    /// Systemic (`schema-registry`): the registry does not answer.
    pub async fn decode<T: Payload>(&self, event: &Event) -> Result<T, Failure> {
        if is_json(event.content_type()) {
            return from_json(event.data());
        }
        self.decode_avro(event.data()).await
    }

    /// [`Codec::decode`] of data in Confluent wire format, whatever its `content-type`.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub async fn decode_avro<T: Payload>(&self, data: &[u8]) -> Result<T, Failure> {
        let (id, datum) = wire::split(data).map_err(|e| Failure::poison("undecodable", e))?;
        let decoder = match self.cached_decoder::<T>(id) {
            Some(decoder) => decoder,
            None => self.new_decoder::<T>(id).await?,
        };
        decoder.decode(id, datum)
    }

    /// Data in Confluent wire format by the schema that this program was built with, whatever schema it names: for those who
    /// can do without the registry, and without the data.
    ///
    /// # Errors
    /// Poison: it was written with another schema.
    pub fn decode_as_built_in<T: Payload>(data: &[u8]) -> Result<T, Failure> {
        let (_, datum) = wire::split(data).map_err(|e| Failure::poison("undecodable", e))?;
        let schema = T::SCHEMA.parse::<serde_avro_fast::Schema>();
        let schema = schema.map_err(|e| Failure::permanent("invalid_schema", e))?;
        serde_avro_fast::from_datum_slice(datum, &schema).map_err(|e| Failure::poison("undecodable", e))
    }

    /// The event's data as JSON, whatever its type: for filters and for people. Several times slower than into a type.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub async fn decode_json(&self, event: &Event) -> Result<serde_json::Value, Failure> {
        if is_json(event.content_type()) {
            return serde_json::from_slice(event.data()).map_err(|e| Failure::poison("undecodable", e));
        }
        let (id, datum) = wire::split(event.data()).map_err(|e| Failure::poison("undecodable", e))?;
        let known = || self.0.generic.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(generic) = known() {
            return generic.decode(id, datum);
        }
        let asked = Instant::now();
        let mut turn = self.0.turn.lock().await;
        if let Some(generic) = known() {
            return generic.decode(id, datum);
        }
        let writer = self.writer(&mut turn, id, asked).await?;
        let generic = Arc::new(Generic::new(id, &writer, &self.0.schemas)?);
        insert(&self.0.generic, MAX_CACHED_DECODERS, id, Arc::clone(&generic));
        generic.decode(id, datum)
    }

    /// `value` in Confluent wire format under the subject `<topic>-<record name>`.
    ///
    /// # Errors
    /// Systemic: the registry does not answer (`schema-registry`), or it does and has no such schema or does not take it
    /// (`schema:SUBJECT`, [`Codec::is_registered`]), which is for people to mend; permanent if the value does not fit its schema.
    pub async fn encode<T: Payload>(&self, topic: &str, value: &T) -> Result<Bytes, Failure> {
        let mut data = Vec::with_capacity(INITIAL_BYTES);
        self.encoder::<T>(topic).await?.write(value, &mut data)?;
        Ok(data.into())
    }

    /// What encodes `T` for `topic` without waiting.
    ///
    /// # Errors
    /// As [`Codec::encode`], of the registry.
    pub async fn encoder<T: Payload>(&self, topic: &str) -> Result<Encoder<T>, Failure> {
        if let Some(encoder) = self.cached_encoder(topic) {
            return Ok(encoder);
        }
        let asked = Instant::now();
        let mut turn = self.0.turn.lock().await;
        if let Some(encoder) = self.cached_encoder(topic) {
            return Ok(encoder);
        }
        let id = self.schema_id(&mut turn, asked, &subject(topic, T::RECORD_NAME), T::SCHEMA).await?;
        let schema = T::SCHEMA.parse::<serde_avro_fast::Schema>().map_err(|e| {
            Failure::permanent("invalid_schema", format!("{}: our own schema does not parse: {e}", T::RECORD_NAME))
        })?;
        let schema = Arc::new(schema);
        let mut encoders = self.0.encoders.write().unwrap_or_else(PoisonError::into_inner);
        if encoders.values().map(FxHashMap::len).sum::<usize>() >= MAX_CACHED_ENCODERS {
            encoders.clear();
        }
        encoders.entry(TypeId::of::<T>()).or_default().insert(topic.to_owned(), (id, Arc::clone(&schema)));
        Ok(Encoder::new(id, schema))
    }

    /// The id of a schema of ours, which is registered if this may be done.
    async fn schema_id(
        &self,
        turn: &mut Turn,
        asked: Instant,
        subject: &str,
        schema: &str,
    ) -> Result<SchemaId, Failure> {
        turn.failed_since(asked)?;
        let found = match self.registered_id(subject, schema).await {
            Err(error) if error.is_absent() && self.0.auto_register => self.0.client.register(subject, schema).await,
            other => other,
        };
        found.map_err(|error| turn.failed(Some(subject), &error))
    }

    /// The id of a schema of ours. The registry is asked for it once.
    ///
    /// # Errors
    /// As [`Client::lookup`].
    pub async fn registered_id(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        if let Some(id) = self.cached_id(subject) {
            return Ok(id);
        }
        let id = self.0.client.lookup(subject, schema).await?;
        insert(&self.0.ids, MAX_CACHED_ENCODERS, subject.to_owned(), id);
        Ok(id)
    }

    fn cached_id(&self, subject: &str) -> Option<SchemaId> {
        self.0.ids.read().unwrap_or_else(PoisonError::into_inner).get(subject).copied()
    }

    /// Whether the registry has the schema of ours that belongs under this subject; `Ok` if none of ours does, since nothing is
    /// known of it.
    ///
    /// # Errors
    /// As [`Client::lookup`].
    pub async fn is_registered(&self, subject: &str) -> Result<(), RegistryError> {
        let mut files = self.0.schemas.iter();
        let ours = files.find(|file| subject.strip_suffix(file.record()).is_some_and(|rest| rest.ends_with('-')));
        match ours {
            Some(file) => self.0.client.lookup(subject, file.text()).await.map(drop),
            None => Ok(()),
        }
    }

    /// [`Codec::encode`] of plain JSON ([`avro_json`]) by the schema of any event type: for those who take types from people.
    ///
    /// # Errors
    /// As [`Codec::encode`]; permanent too if no such type is known.
    pub async fn encode_json(&self, topic: &str, event_type: &str, data: &serde_json::Value) -> Result<Bytes, Failure> {
        let unencodable =
            |error: &dyn fmt::Display| Failure::permanent("unencodable", format!("{event_type}: {error}"));
        let Some(file) = self.0.schemas.of_type(event_type) else {
            return Err(unencodable(&"there is no schema of this type"));
        };
        let schema = file.parsed().map_err(|error| unencodable(&error))?;
        let value = avro_json::to_avro(&schema, data).map_err(|error| unencodable(&error))?;
        let subject = subject(topic, file.record());
        let id = match self.cached_id(&subject) {
            Some(id) => id,
            None => {
                let asked = Instant::now();
                self.schema_id(&mut *self.0.turn.lock().await, asked, &subject, file.text()).await?
            }
        };
        let mut encoded = wire::header(id).to_vec();
        encoded.extend(avro_json::encode(&schema, value).map_err(|error| unencodable(&error))?);
        Ok(encoded.into())
    }

    fn cached_encoder<T: Payload>(&self, topic: &str) -> Option<Encoder<T>> {
        let encoders = self.0.encoders.read().unwrap_or_else(PoisonError::into_inner);
        let (id, schema) = encoders.get(&TypeId::of::<T>())?.get(topic)?;
        Some(Encoder::new(*id, Arc::clone(schema)))
    }

    fn cached_decoder<T: Payload>(&self, id: SchemaId) -> Option<Arc<Decoder>> {
        let decoders = self.0.decoders.read().unwrap_or_else(PoisonError::into_inner);
        decoders.get(&(TypeId::of::<T>(), id)).cloned()
    }

    async fn new_decoder<T: Payload>(&self, id: SchemaId) -> Result<Arc<Decoder>, Failure> {
        let asked = Instant::now();
        let mut turn = self.0.turn.lock().await;
        if let Some(decoder) = self.cached_decoder::<T>(id) {
            return Ok(decoder);
        }
        let writer = self.writer(&mut turn, id, asked).await?;
        let decoder = Arc::new(Decoder::new(self.reader::<T>()?, id, &writer));
        insert(&self.0.decoders, MAX_CACHED_DECODERS, (TypeId::of::<T>(), id), Arc::clone(&decoder));
        Ok(decoder)
    }

    /// The text of a writer's schema.
    async fn writer(&self, turn: &mut Turn, id: SchemaId, asked: Instant) -> Result<String, Failure> {
        turn.known_absent(id)?;
        turn.failed_since(asked)?;
        match self.0.client.schema(id).await {
            Ok(writer) => Ok(writer),
            Err(error) if error.is_absent() => Err(turn.absent(id, Failure::poison("unknown_schema", error))),
            Err(error @ RegistryError::Refused { .. }) => Err(Failure::poison("unknown_schema", error)),
            Err(error) => Err(turn.failed(None, &error)),
        }
    }

    fn reader<T: Payload>(&self) -> Result<Arc<Reader>, Failure> {
        let mut readers = self.0.readers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = readers.get(&TypeId::of::<T>()) {
            return Ok(Arc::clone(reader));
        }
        let reader = Arc::new(Reader::new::<T>()?);
        readers.insert(TypeId::of::<T>(), Arc::clone(&reader));
        Ok(reader)
    }
}

/// A full cache starts anew: what is in use is soon back, and nothing needs to know what that is.
fn insert<K: Eq + std::hash::Hash, V>(cache: &RwLock<FxHashMap<K, V>>, limit: usize, key: K, value: V) {
    let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= limit {
        cache.clear();
    }
    cache.insert(key, value);
}

/// What most events fit in.
const INITIAL_BYTES: usize = 1_024;

impl Turn {
    fn known_absent(&self, id: SchemaId) -> Result<(), Failure> {
        match self.absent.get(&id) {
            Some((at, failure)) if at.elapsed() < ABSENT_FOR => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    fn absent(&mut self, id: SchemaId, failure: Failure) -> Failure {
        if self.absent.len() >= MAX_CACHED_ABSENT {
            self.absent.clear();
        }
        self.absent.insert(id, (Instant::now(), failure.clone()));
        failure
    }

    /// A failure that came after the question was put answers it too: many records that wait for a registry which is down
    /// wait for one time-out, not for one each.
    fn failed_since(&self, asked: Instant) -> Result<(), Failure> {
        match &self.failed {
            Some((at, failure)) if *at >= asked => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    fn failed(&mut self, subject: Option<&str>, error: &RegistryError) -> Failure {
        let failure = unusable(subject, error);
        if matches!(error, RegistryError::Unavailable { .. }) {
            self.failed = Some((Instant::now(), failure.clone()));
        }
        failure
    }
}

/// `subject`: of a schema that something is to be encoded with. That it is not registered is no outage of the registry, which
/// other events need and which answers: only what needs this schema waits, and no event is dead-lettered for what a deployment
/// has left out.
fn unusable(subject: Option<&str>, error: &RegistryError) -> Failure {
    let (code, hint) = match error {
        RegistryError::Absent { .. } => ("schema_not_registered", "; `coafi schemas register` registers it"),
        RegistryError::Refused { .. } => ("schema_refused", "; `coafi schemas check` says why"),
        RegistryError::Unavailable { .. } | RegistryError::Settings(_) => ("schema_registry_unavailable", ""),
    };
    let answered = matches!(error, RegistryError::Absent { .. } | RegistryError::Refused { .. });
    let dependency = match subject.filter(|_| answered) {
        Some(subject) => Dependency::schema(subject),
        None => Dependency::new(Dependency::SCHEMA_REGISTRY),
    };
    Failure::new(Class::Systemic(dependency), code, format!("{error}{hint}"))
}

fn is_json(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|media| {
        let suffix = media.len().checked_sub(5).map(|at| &media.as_bytes()[at..]);
        ["application/json", "text/json"].iter().any(|json| media.eq_ignore_ascii_case(json))
            || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
    })
}

fn from_json<T: Payload>(data: &[u8]) -> Result<T, Failure> {
    if data.is_empty() {
        return Err(Failure::poison("undecodable", format!("the data is empty; expected a JSON {}", T::RECORD_NAME)));
    }
    serde_json::from_slice(data).map_err(|e| Failure::poison("undecodable", format!("no JSON {}: {e}", T::RECORD_NAME)))
}

#[cfg(test)]
mod tests;
