//! What becomes of a record of another domain's topic: a message, or the event that it was refused. Nothing is passed over.
//!
//! Times are judged by the record's timestamp, when it was put into the topic, and not by the clock: the same record gives the
//! same event whenever it is read, also when the connector was away for longer than envelopes are valid. Where the domain lets
//! others write to its topic it is to have `message.timestamp.type=LogAppendTime`, or who replays an envelope also says when.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::envelope::Verifier;
use super::event::{Data, Message};
use super::records::Records;
use super::refusal::{Refusal, Refused};
use crate::connectors::tail::{Translate, Translated};
use crate::dispatch::Failure;
use crate::engine::Class;
use crate::event::{Event, Record};
use crate::schema::payloads::{FederatedAuthentication, FederatedMessage, FederatedMethod};
use crate::schema::{Codec, is_framed};

/// How it is known that the domain wrote a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Records are signed envelopes.
    Signature,
    /// Only the domain writes to the topic, and the connection's TLS or SASL says that it is that topic's cluster. Records are
    /// CloudEvents with data in JSON, or in Avro with its schema's id before it.
    Transport,
}

/// Records of a domain's topics.
#[derive(Debug)]
pub struct DomainTopic {
    domain: String,
    authentication: Authentication,
    verifier: Arc<Verifier>,
    /// Knows the schemas of what the domain sends.
    theirs: Codec,
    codec: Codec,
    records: OnceCell<Records>,
}

impl DomainTopic {
    #[must_use]
    pub fn new(
        domain: &str,
        authentication: Authentication,
        verifier: Arc<Verifier>,
        theirs: Codec,
        codec: Codec,
    ) -> Self {
        Self { domain: domain.to_owned(), authentication, verifier, theirs, codec, records: OnceCell::new() }
    }

    /// # Errors
    /// As [`Translate::translate`]: what is refused is none.
    async fn message(&self, record: &Record) -> Result<Result<FederatedMessage, Refused>, Failure> {
        let Some(value) = record.value() else { return Ok(Err(Refusal::Malformed.because("the record has no value"))) };
        let at = record.timestamp_ms().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        match self.authentication {
            Authentication::Signature => {
                Ok(self.verifier.verify(&self.domain, value, at).map(|verified| verified.message))
            }
            Authentication::Transport => {
                let event = match Event::parse(record.clone()) {
                    Ok(event) => event,
                    Err(error) => return Ok(Err(Refusal::Malformed.because(error.to_string()))),
                };
                let message = match self.data(&event).await {
                    Ok(data) => Message::of_event(&event, data),
                    Err(failure) if failure.class == Class::Poison => Err(Refusal::Malformed.because(failure.message)),
                    Err(failure) => return Err(failure),
                };
                let authentication = FederatedAuthentication { method: FederatedMethod::Transport, key_id: None };
                Ok(message.map(|message| message.of_domain(&self.domain, authentication, at)))
            }
        }
    }

    /// # Errors
    /// Poison: it is neither JSON nor Avro of a known schema; systemic: the registry does not answer.
    async fn data(&self, event: &Event) -> Result<Data, Failure> {
        if !is_framed(event.data()) {
            return Ok(Data::Other);
        }
        match self.theirs.decode_avro::<FederatedMessage>(event.data()).await {
            Ok(message) => Ok(Data::Message(Box::new(message))),
            // Of a schema of the domain's own.
            Err(failure) if failure.class == Class::Poison => {
                Ok(Data::Json(self.theirs.decode_json(event).await?.to_string()))
            }
            Err(failure) => Err(failure),
        }
    }
}

#[async_trait]
impl Translate for DomainTopic {
    async fn translate(&self, record: &Record) -> Result<Translated, Failure> {
        let records = self.records.get_or_try_init(|| Records::new(&self.codec)).await?;
        match self.message(record).await? {
            Ok(message) => Ok(Translated { events: vec![records.message(&message)?], refused: false }),
            Err(refused) => {
                let (domain, place) = (&self.domain, format!("{}@{}", record.topic_partition(), record.offset().0));
                tracing::warn!(domain, place, %refused, "a record is no message of the domain");
                Ok(Translated { events: vec![records.refused(domain, record, &refused)?], refused: true })
            }
        }
    }
}
