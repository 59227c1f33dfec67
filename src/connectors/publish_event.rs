//! `coafi event send`: one event of any type with a schema, made from JSON.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde_json::Value;

use super::git;
use super::{EventProducer, NewSourceEvent, traceparent_of};
use crate::event::Outgoing;
use crate::kafka::topics::{self, Declaration};
use crate::schema::avro_json::{self, FieldError};
use crate::schema::registry::RegistryError;
use crate::schema::{AVRO_CONTENT_TYPE, Codec, SchemaFile, Schemas, subject};

/// The `source` of a sent event that names none and whose data has none.
pub const DEFAULT_SOURCE: &str = "/coafi/event-send";

/// For sending one event.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// More than any topic takes as one record.
const SEND_QUEUE_BYTES: usize = 4 << 20;

/// What the command line gives.
#[derive(Clone, Debug, Default)]
pub struct EventToSend {
    pub event_type: String,
    pub data: Value,
    /// Else derived from the data (git), else random.
    pub id: Option<String>,
    /// Else derived from the data (git), else [`DEFAULT_SOURCE`].
    pub source: Option<String>,
    /// Else derived from the data (git), else the id. Refused where it differs from what the data says.
    pub key: Option<String>,
    pub topic: String,
    /// What relative repository paths are relative to.
    pub base: PathBuf,
}

/// Where an event went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub id: String,
    pub source: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("event type {given:?} has no schema; allowed: {known}")]
    Type { given: String, known: String },
    /// Whoever reads these trusts them.
    #[error("records of type {given:?} are what COAFI says of itself in {topic}, no events; allowed: {known}")]
    Internal { given: String, topic: String, known: String },
    #[error("no topic is declared for {record}; give one")]
    Topic { record: String },
    #[error("the data does not fit {record}: {source}")]
    Data { record: String, source: FieldError },
    /// Equal events must meet in one partition.
    #[error("key {given:?} is not the event's: its data gives {derived:?}")]
    Key { given: String, derived: String },
    #[error("schema of {subject}: {source}")]
    Registry { subject: String, source: RegistryError },
    #[error("schema {record} is not valid: {message}")]
    Schema { record: String, message: String },
    #[error("the event was not published to {topic}: {message}")]
    Kafka { topic: String, message: String },
}

/// Where events of this type go: to the topic that is given, else to the one whose declaration names the type's schema.
///
/// # Errors
/// [`SendError::Type`], [`SendError::Internal`], [`SendError::Topic`].
pub fn topic_of(
    event_type: &str,
    given: Option<String>,
    schemas: &Schemas,
    declarations: &[Declaration],
) -> Result<String, SendError> {
    let declared = |file: &SchemaFile| declarations.iter().find(|declaration| declaration.schemas.contains(file));
    // What COAFI says of itself is that, whether a deployment declares its topic or not.
    let built_in = topics::embedded().expect("a test parses the declarations that are built in");
    let home =
        |file: &SchemaFile| declared(file).or_else(|| built_in.iter().find(|topic| topic.schemas.contains(file)));
    // Events are handled, so they can fail.
    let is_event = |file: &SchemaFile| home(file).is_none_or(|topic| topic.dead_letter.is_some());
    let known = || {
        let events = schemas.iter().filter(|file| is_event(file));
        events.map(SchemaFile::event_type).collect::<Vec<_>>().join(", ")
    };
    let Some(file) = schemas.of_type(event_type) else {
        return Err(SendError::Type { given: event_type.to_owned(), known: known() });
    };
    if let Some(topic) = home(file).filter(|_| !is_event(file)) {
        return Err(SendError::Internal { given: event_type.to_owned(), topic: topic.topic.clone(), known: known() });
    }
    let said = given.or_else(|| declared(file).map(|topic| topic.topic.clone()));
    said.ok_or_else(|| SendError::Topic { record: file.record().to_owned() })
}

/// Makes the record of an event whose topic [`topic_of`] said. `now_ms` is its time where the data has none.
///
/// # Errors
/// [`SendError`]
pub async fn prepare(codec: &Codec, mut event: EventToSend, now_ms: i64) -> Result<Outgoing, SendError> {
    let Some(file) = codec.schemas().of_type(&event.event_type) else {
        let known = codec.schemas().iter().map(SchemaFile::event_type).collect::<Vec<_>>().join(", ");
        return Err(SendError::Type { given: event.event_type, known });
    };
    let record = || file.record().to_owned();
    let topic = event.topic;
    git::complete(&event.event_type, &mut event.data, now_ms);
    git::resolve(&event.event_type, &mut event.data, &event.base);
    let schema = |error: apache_avro::Error| SendError::Schema { record: record(), message: error.to_string() };
    let parsed = file.parsed().map_err(schema)?;
    let value =
        avro_json::to_avro(&parsed, &event.data).map_err(|source| SendError::Data { record: record(), source })?;
    let identity = git::Identity::of_data(&event.event_type, &event.data, &event.base);
    if let (Some(given), Some(identity)) = (&event.key, &identity)
        && *given != identity.key
    {
        return Err(SendError::Key { given: given.clone(), derived: identity.key.clone() });
    }
    let subject = subject(&topic, file.record());
    let id = codec.registered_id(&subject, file.text()).await;
    let schema_id = id.map_err(|source| SendError::Registry { subject, source })?;
    let mut data = vec![0];
    data.extend(schema_id.0.to_be_bytes());
    data.extend(avro_json::encode(&parsed, value).map_err(schema)?);
    let (source, id, of, key) =
        identity.map_or((None, None, None, None), |i| (Some(i.source), Some(i.id), Some(i.subject), Some(i.key)));
    let id = event.id.or(id).unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let record = NewSourceEvent {
        topic: Arc::from(topic),
        event_type: event.event_type,
        source: event.source.or(source).unwrap_or_else(|| DEFAULT_SOURCE.to_owned()),
        subject: of,
        time_ms: Some(event.data.get("committedAt").and_then(Value::as_i64).unwrap_or(now_ms)),
        key: key.or(event.key).unwrap_or_else(|| id.clone()),
        id,
        correlation_id: None,
        utids: strings(event.data.get("utids")),
        reply_to: None,
        tenant: None,
        content_type: AVRO_CONTENT_TYPE,
        data: data.into(),
    };
    Ok(record.into_record(&traceparent_of(&tracing::Span::current())))
}

/// Publishes one record and waits until all in-sync replicas have it.
///
/// # Errors
/// [`SendError::Kafka`]
pub async fn send(client: &ClientConfig, record: &Outgoing) -> Result<Sent, SendError> {
    let failed = |message: String| SendError::Kafka { topic: record.topic.to_string(), message };
    let producer = EventProducer::new(client, SEND_QUEUE_BYTES, SEND_TIMEOUT);
    let producer = producer.map_err(|error| failed(error.to_string()))?;
    let placed = producer.send(record).await.map_err(|error| failed(error.to_string()))?;
    let header = |name: &str| record.headers.text(name).unwrap_or_default().to_owned();
    Ok(Sent {
        id: header("ce_id"),
        source: header("ce_source"),
        topic: record.topic.to_string(),
        partition: placed.partition,
        offset: placed.offset,
    })
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(event_type: &str, given: Option<&str>) -> Result<String, SendError> {
        let declarations = topics::embedded().unwrap();
        topic_of(event_type, given.map(str::to_owned), &Schemas::built_in(), &declarations)
    }

    #[test]
    fn events_are_sent_and_what_the_system_says_of_itself_is_not() {
        assert_eq!(find("git.commit", None).unwrap(), "coafi.git");
        assert_eq!(find("git.commit", Some("other")).unwrap(), "other");
        assert_eq!(find("workflow.requested", None).unwrap(), "coafi.workflow");
        for internal in
            ["dlq.claim", "dlq.state", "bitt.outcome", "bitt.intervention", "replica.status", "schedule.decision"]
        {
            let refused = find(internal, Some("other")).expect_err(internal);
            assert!(matches!(refused, SendError::Internal { .. }), "{refused}");
            assert!(refused.to_string().contains("allowed: api.request, bitt.record, "), "{refused}");
            // A deployment that does not declare its topic is no way around that.
            let undeclared = topic_of(internal, Some("other".to_owned()), &Schemas::built_in(), &[]);
            assert!(matches!(undeclared, Err(SendError::Internal { .. })), "{undeclared:?}");
        }
        let unknown = find("git.comit", None).expect_err("unknown").to_string();
        assert!(unknown.contains("git.commit") && !unknown.contains("dlq.claim"), "{unknown}");
        // Declared by whoever holds a game day.
        assert!(matches!(find("drill.step", None), Err(SendError::Topic { .. })));
        assert_eq!(find("drill.step", Some("drill")).unwrap(), "drill");
    }
}
