//! Writes what is done with a topic's letters, as the only one who does so.
//!
//! [`Writer::claim`]: the producer is initialised with the topic's transactional id, which fences any predecessor and ends its
//! open transaction, and a claim is committed. States that are read up to that claim are all that a predecessor ever
//! committed. From then on every call is one transaction, all or nothing, and fails once somebody else has claimed the topic.
//!
//! A writer that failed is to be dropped. Whatever became of its last transaction, the states that the next one reads say so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

use super::STATE_TOPIC;
use super::deliveries::{Reports, Sent, Stopped, is_refusal, left};
use crate::bitt::Interventions;
use crate::dispatch::Failure;
use crate::event::{Headers, Outgoing};
use crate::kafka::properties;
use crate::schema::payloads::{Claim, Intervention, LetterState, Place};
use crate::schema::{Codec, Encoder, Payload};

/// After this the broker aborts the transaction of a command that was killed: how long readers wait for it, unless it is
/// started again.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// For one transaction, with its repetitions.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Transactions of one call that may be aborted before it fails.
const ABORTS_MAX: u32 = 5;
/// One wait for room in the client's queue.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(5);
/// What a topic takes is its own affair; the client only has to let it through.
const MAX_RECORD_BYTES: &str = "67108864";

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("somebody else acts on the letters of {topic} now")]
    Fenced { topic: String },
    /// Of the records of one call; nothing of the call was done.
    #[error("record {index} is not taken by its topic: {message}")]
    Refused { index: usize, message: String },
    #[error("an audit record or a state cannot be encoded: {0}")]
    Schema(Failure),
    #[error("nothing can be written for {topic}: {message}")]
    Kafka { topic: String, message: String },
}

/// One letter that is sent again.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    pub(super) record: Outgoing,
    /// Without where it was sent to, which is not known before.
    pub(super) intervention: Intervention<'static>,
    /// Likewise, and without the place of its audit record.
    pub(super) state: LetterState,
}

/// The one who acts on the letters of a topic. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writer(Arc<Inner>);

struct Inner {
    producer: ThreadedProducer<Reports>,
    topic: String,
    interventions: Interventions,
    states: Encoder<LetterState>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Writer").field(&self.0.topic).finish()
    }
}

impl Writer {
    /// Takes the letters of `topic` over from whoever has them.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub(super) async fn claim(
        client: &ClientConfig,
        codec: &Codec,
        interventions: Interventions,
        claim: &Claim,
    ) -> Result<Self, WriteError> {
        let topic = claim.topic.clone();
        let states = codec.encoder::<LetterState>(STATE_TOPIC).await.map_err(WriteError::Schema)?;
        let value = codec.encode(STATE_TOPIC, claim).await.map_err(WriteError::Schema)?;
        let mark = outgoing(Bytes::from(topic.clone()), value, <Claim as Payload>::EVENT_TYPE);
        let producer = producer(client, &topic).map_err(|error| kafka(&topic, &error))?;
        let writer = Self(Arc::new(Inner { producer, topic, interventions, states }));
        writer
            .blocking(move |inner| {
                inner.initialise()?;
                inner.transaction(|inner, until| inner.produce(std::slice::from_ref(&mark), until).map(drop))
            })
            .await?;
        Ok(writer)
    }

    /// Sends letters again, audits it and writes their states: all of it or nothing. Gives the states with all places.
    pub(super) async fn send(&self, letters: Vec<Sending>) -> Result<Vec<LetterState>, WriteError> {
        self.blocking(move |inner| inner.transaction(|inner, until| inner.send(&letters, until))).await
    }

    /// Writes states, and audit records where something was done just now.
    pub(super) async fn write(
        &self,
        states: Vec<LetterState>,
        interventions: Vec<Intervention<'static>>,
    ) -> Result<(), WriteError> {
        self.blocking(move |inner| {
            let audits = interventions.iter().map(|done| inner.interventions.record(done, None));
            let all: Result<Vec<Outgoing>, WriteError> = states.iter().map(|state| inner.state(state)).collect();
            let mut all = all?;
            all.extend(audits);
            inner.transaction(|inner, until| inner.produce(&all, until).map(drop))
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, WriteError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|error| Err(self.0.kafka(error.to_string())))
    }
}

fn producer(client: &ClientConfig, topic: &str) -> Result<ThreadedProducer<Reports>, KafkaError> {
    let mut client = client.clone();
    for (name, value) in [
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("partitioner", "murmur2_random"),
        ("compression.type", "zstd"),
        ("linger.ms", "0"),
        ("retry.backoff.ms", "10"),
        ("queue.buffering.max.kbytes", "65536"),
        ("message.max.bytes", MAX_RECORD_BYTES),
        ("transactional.id", &format!("coafi.dlq/{topic}")),
        ("transaction.timeout.ms", &TRANSACTION_TIMEOUT.as_millis().to_string()),
        // A record must not outlive the transaction that it belongs to.
        ("message.timeout.ms", &TRANSACTION_TIMEOUT.as_millis().to_string()),
    ] {
        properties::set(&mut client, name, value);
    }
    client.create_with_context(Reports::default())
}

fn outgoing(key: Bytes, value: Bytes, event_type: &str) -> Outgoing {
    let headers = crate::event::HeadersBuilder::default()
        .with("ce_type", event_type)
        .with("content-type", crate::schema::AVRO_CONTENT_TYPE)
        .build();
    Outgoing {
        topic: STATE_TOPIC.into(),
        partition: None,
        key: Some(key),
        value: Some(value),
        headers,
        timestamp_ms: None,
    }
}

fn kafka(topic: &str, error: &KafkaError) -> WriteError {
    WriteError::Kafka { topic: topic.to_owned(), message: error.to_string() }
}

impl Inner {
    fn initialise(&self) -> Result<(), WriteError> {
        let deadline = Instant::now() + WRITE_TIMEOUT;
        loop {
            match self.producer.init_transactions(left(deadline)) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
                Err(error) => return Err(self.error(&error)),
            }
        }
    }

    fn send(&self, letters: &[Sending], until: Instant) -> Result<Vec<LetterState>, Stopped> {
        let records: Vec<Outgoing> = letters.iter().map(|letter| letter.record.clone()).collect();
        let sent = self.produce(&records, until)?;
        let audits: Vec<Outgoing> = letters
            .iter()
            .zip(&sent)
            .map(|(letter, place)| {
                let done = Intervention { sent_to: Some(place.clone()), ..letter.intervention.clone() };
                self.interventions.record(&done, letter.record.headers.text("traceparent"))
            })
            .collect();
        let audited = self.produce(&audits, until)?;
        let places = sent.into_iter().zip(audited);
        let states: Vec<LetterState> = letters
            .iter()
            .zip(places)
            .map(|(letter, (sent, audit))| LetterState {
                sent_to: Some(sent),
                audit: Some(audit),
                ..letter.state.clone()
            })
            .collect();
        let encoded: Result<Vec<_>, _> = states.iter().map(|state| self.state(state)).collect();
        self.produce(&encoded.map_err(Stopped::Invalid)?, until)?;
        Ok(states)
    }

    fn state(&self, state: &LetterState) -> Result<Outgoing, WriteError> {
        let mut value = Vec::new();
        self.states.encode(state, &mut value).map_err(WriteError::Schema)?;
        let key = format!("{}/{}/{}", state.topic, state.partition, state.offset);
        Ok(outgoing(key.into(), value.into(), <LetterState as Payload>::EVENT_TYPE))
    }

    /// Does `work` in a transaction, and again in another one where that was aborted.
    fn transaction<T>(&self, work: impl Fn(&Self, Instant) -> Result<T, Stopped>) -> Result<T, WriteError> {
        let deadline = Instant::now() + WRITE_TIMEOUT;
        for _ in 0..ABORTS_MAX {
            self.producer.begin_transaction().map_err(|error| self.error(&error))?;
            let why = match work(self, deadline) {
                Ok(done) => match self.commit(deadline)? {
                    None => return Ok(done),
                    Some(why) => why,
                },
                Err(Stopped::Failed(error)) if !self.is_beyond_repair() => error.to_string(),
                Err(stopped) => {
                    // Whatever it is that failed is the error; an abort that fails too is the broker's to make up for.
                    let _ = self.abort(deadline);
                    return Err(self.stopped(stopped));
                }
            };
            tracing::warn!(topic = self.topic, why, "transaction aborted; writing it again");
            self.abort(deadline)?;
        }
        Err(self.kafka(format!("{ABORTS_MAX} transactions in a row were aborted")))
    }

    /// `None` if it is committed, else why it must be aborted.
    fn commit(&self, deadline: Instant) -> Result<Option<String>, WriteError> {
        loop {
            match self.producer.commit_transaction(left(deadline)) {
                Ok(()) => return Ok(None),
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => return Ok(Some(error.string())),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
                // Its outcome may be unknown. Whoever claims the topic next learns it.
                Err(error) => return Err(self.error(&error)),
            }
        }
    }

    fn abort(&self, deadline: Instant) -> Result<(), WriteError> {
        loop {
            match self.producer.abort_transaction(left(deadline)) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
                Err(error) => return Err(self.error(&error)),
            }
        }
    }

    /// Produces all records and waits until each has its place.
    fn produce(&self, records: &[Outgoing], until: Instant) -> Result<Vec<Place<'static>>, Stopped> {
        let reports = self.producer.context();
        let batch = reports.begin(records.len());
        for (index, record) in records.iter().enumerate() {
            self.send_one(record, batch, index, until)?;
        }
        let places = reports.wait(batch, until)?;
        let place = |(record, (partition, offset)): (&Outgoing, (i32, i64))| Place {
            topic: record.topic.to_string().into(),
            partition,
            offset,
        };
        Ok(records.iter().zip(places).map(place).collect())
    }

    fn send_one(&self, record: &Outgoing, batch: u64, index: usize, until: Instant) -> Result<(), Stopped> {
        let mut message =
            BaseRecord::<[u8], [u8], Box<Sent>>::with_opaque_to(&record.topic, Box::new(Sent { batch, index }));
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.partition = record.partition;
        message.timestamp = record.timestamp_ms;
        message.headers = headers_of(&record.headers);
        loop {
            let Err((error, back)) = self.producer.send(message) else { return Ok(()) };
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) if Instant::now() < until => {
                    message = back;
                    self.producer.poll(QUEUE_FULL_WAIT);
                }
                code if is_refusal(code) => return Err(Stopped::Refused { index, message: error.to_string() }),
                _ => return Err(Stopped::Failed(error)),
            }
        }
    }

    fn is_beyond_repair(&self) -> bool {
        self.producer.client().fatal_error().is_some()
    }

    fn stopped(&self, stopped: Stopped) -> WriteError {
        match stopped {
            Stopped::Refused { index, message } => WriteError::Refused { index, message },
            Stopped::Failed(error) => self.error(&error),
            Stopped::Late => self.kafka(format!("the brokers did not take it within {WRITE_TIMEOUT:?}")),
            Stopped::Invalid(error) => error,
        }
    }

    fn error(&self, error: &KafkaError) -> WriteError {
        let code = match error {
            KafkaError::Transaction(error) => Some(error.code()),
            error => error.rdkafka_error_code(),
        };
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        let is_fencing = |code: &RDKafkaErrorCode| {
            matches!(
                code,
                RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch
            )
        };
        if code.iter().chain(&fatal).any(is_fencing) {
            return WriteError::Fenced { topic: self.topic.clone() };
        }
        self.kafka(error.to_string())
    }

    fn kafka(&self, message: String) -> WriteError {
        WriteError::Kafka { topic: self.topic.clone(), message }
    }
}

fn headers_of(headers: &Headers) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let mut owned = OwnedHeaders::new();
    for (name, value) in headers.iter() {
        owned = owned.insert(Header { key: &String::from_utf8_lossy(name), value });
    }
    Some(owned)
}
