//! Messages and refusals as records of `coafi.federated`.

use std::sync::Arc;

use super::refusal::Refused;
use crate::connectors::{NewSourceEvent, traceparent_of};
use crate::dispatch::Failure;
use crate::event::{Outgoing, Record};
use crate::schema::payloads::{FederatedMessage, FederatedRefused};
use crate::schema::{AVRO_CONTENT_TYPE, Codec, Encoder, Payload as _};

pub const FEDERATED_TOPIC: &str = "coafi.federated";
/// CloudEvents `source` of messages: this and the domain's name, so that routes tell domains apart.
const SOURCE: &str = "/coafi/federated";

/// The CloudEvents `source` of a domain's messages.
#[must_use]
pub fn source_of(domain: &str) -> String {
    format!("{SOURCE}/{domain}")
}

/// Encodes for one topic.
#[derive(Clone, Debug)]
pub struct Records {
    topic: Arc<str>,
    messages: Encoder<FederatedMessage>,
    refusals: Encoder<FederatedRefused>,
}

impl Records {
    /// # Errors
    /// Systemic: the schema registry does not answer or lacks the schemas.
    pub async fn new(codec: &Codec) -> Result<Self, Failure> {
        let (messages, refusals) = (codec.encoder(FEDERATED_TOPIC).await?, codec.encoder(FEDERATED_TOPIC).await?);
        Ok(Self { topic: FEDERATED_TOPIC.into(), messages, refusals })
    }

    /// # Errors
    /// Permanent: it does not fit its schema, a bug.
    pub fn message(&self, message: &FederatedMessage) -> Result<Outgoing, Failure> {
        let domain = &message.source_domain;
        let mut data = Vec::with_capacity(message.payload.len() + 256);
        self.messages.encode(message, &mut data)?;
        // Messages about one thing of one domain are handled in order.
        let key = message.subject.as_ref().map_or_else(|| domain.clone(), |subject| format!("{domain}/{subject}"));
        Ok(self.event(
            domain,
            (message.message_type.clone(), message.message_id.clone(), message.sent_at),
            message.subject.clone(),
            key,
            message.utids.clone(),
            data,
        ))
    }

    /// That a record is no message of the domain. The same record gives the same event.
    ///
    /// # Errors
    /// As [`Self::message`].
    pub fn refused(&self, domain: &str, record: &Record, refused: &Refused) -> Result<Outgoing, Failure> {
        let value = record.value().unwrap_or_default();
        let (topic, partition, offset) = (record.topic().to_string(), record.partition(), record.offset().0);
        let received_at = record.timestamp_ms().unwrap_or_default();
        let payload = FederatedRefused {
            domain: domain.to_owned(),
            topic: topic.clone(),
            partition,
            offset,
            reason: refused.refusal.code().to_owned(),
            detail: refused.detail.clone(),
            sha256: sha256(value),
            bytes: i64::try_from(value.len()).unwrap_or(i64::MAX),
            received_at,
        };
        let mut data = Vec::with_capacity(256);
        self.refusals.encode(&payload, &mut data)?;
        let id = format!("refused/{topic}/{partition}/{offset}");
        let of_type = FederatedRefused::EVENT_TYPE.to_owned();
        Ok(self.event(domain, (of_type, id, received_at), None, domain.to_owned(), Vec::new(), data))
    }

    fn event(
        &self,
        domain: &str,
        (event_type, id, time_ms): (String, String, i64),
        subject: Option<String>,
        key: String,
        utids: Vec<String>,
        data: Vec<u8>,
    ) -> Outgoing {
        let span = tracing::info_span!(parent: None, "publish", domain,
            messaging.system = "kafka", messaging.operation.name = "publish", messaging.destination.name = &*self.topic);
        let event = NewSourceEvent {
            tenant: None,
            topic: Arc::clone(&self.topic),
            event_type,
            id,
            source: source_of(domain),
            subject,
            time_ms: Some(time_ms),
            key,
            correlation_id: None,
            utids,
            reply_to: None,
            content_type: AVRO_CONTENT_TYPE,
            data: data.into(),
        };
        event.into_record(&traceparent_of(&span))
    }
}

/// Hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
