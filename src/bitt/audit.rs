//! Encodes audit records. Synchronous: the schemas' ids are asked for once, when it is made.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::bounds;
use crate::dispatch::Failure;
use crate::event::{Headers, HeadersBuilder, NextOffset, Offset, Outgoing, TopicPartition};
use crate::schema::payloads::{Outcome, OutcomeKind, OutcomeStep, Receipt};
use crate::schema::{AVRO_CONTENT_TYPE, Codec, Encoder, Payload};

/// What most outcomes' values fit in.
const VALUE_BYTES: usize = 768;
/// What most outcomes' headers fit in.
const HEADERS_BYTES: usize = 512;

/// Who writes, and about which cluster. Part of every record's id.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    pub cluster_id: String,
    /// Kafka's ids of topics, by name; the name stands for one that is not there.
    pub topic_ids: BTreeMap<String, String>,
    /// New after an offset reset and in a replay; empty for the first run.
    pub run: String,
    pub group: String,
    /// This replica.
    pub worker_id: String,
    /// Where audit records go: `coafi.bitt.records`.
    pub topic: String,
}

/// Whether there is an outcome of the same attempt already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    No,
    /// The record was parked after this attempt and now has to move; its id ends with `/moved`.
    Moved,
}

/// Makes records of outcomes and receipts.
#[derive(Clone, Debug)]
pub struct Audit {
    writer: Writer,
    topic: Arc<str>,
    /// CloudEvents `source` of the records.
    source: String,
    outcomes: Encoder<Outcome<'static>>,
    receipts: Encoder<Receipt<'static>>,
}

impl Audit {
    /// Asks the schema registry for the ids of the audit schemas.
    ///
    /// # Errors
    /// Systemic: the registry does not answer, or does not have them.
    pub async fn connect(writer: Writer, codec: &Codec) -> Result<Self, Failure> {
        Ok(Self {
            topic: writer.topic.as_str().into(),
            source: format!("/coafi/{}", writer.group),
            outcomes: codec.encoder(&writer.topic).await?,
            receipts: codec.encoder(&writer.topic).await?,
            writer,
        })
    }

    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Kafka's id of the topic, or its name where the id is not known: never the same for two topics.
    pub fn topic_id<'a>(&'a self, topic: &'a str) -> &'a str {
        self.writer.topic_ids.get(topic).map_or(topic, String::as_str)
    }

    /// The record of an outcome; its key is the event's id, so that one event's records meet in one partition.
    #[must_use]
    pub fn outcome(&self, mut outcome: Outcome<'_>, repeats: Repeats, traceparent: Option<&str>) -> Outgoing {
        bounds::bound(&mut outcome);
        let mut value = Vec::with_capacity(VALUE_BYTES);
        self.outcomes.encode(&outcome, &mut value).expect("an outcome has the types of its schema");
        let key = match &outcome.event_id {
            Some(id) => Bytes::copy_from_slice(id.as_bytes()),
            None => partition_key(&outcome.topic, outcome.partition),
        };
        let mut id = outcome.record_id();
        if repeats == Repeats::Moved {
            id.push_str("/moved");
        }
        let mut headers = self.headers(<Outcome<'static>>::EVENT_TYPE, &id, outcome.ended_at);
        let texts = [
            ("ce_causationid", outcome.event_id.as_deref()),
            ("ce_correlationid", outcome.correlation_id.as_deref()),
            ("traceparent", traceparent),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                headers.push(name.as_bytes(), Some(text.as_bytes()));
            }
        }
        self.outgoing(key, value, headers.build(), outcome.ended_at)
    }

    /// The record of a receipt; its key is the partition that it is about.
    #[must_use]
    pub fn receipt(&self, receipt: &Receipt<'_>) -> Outgoing {
        let mut value = Vec::with_capacity(VALUE_BYTES);
        self.receipts.encode(receipt, &mut value).expect("a receipt has the types of its schema");
        let headers = self.headers(<Receipt<'static>>::EVENT_TYPE, &receipt.record_id(), receipt.received_at);
        let key = partition_key(&receipt.topic, receipt.partition);
        self.outgoing(key, value, headers.build(), receipt.received_at)
    }

    /// The record of offsets that retention took before they were read (I10).
    #[must_use]
    pub fn lost(&self, source: &TopicPartition, from: Offset, to: NextOffset, at_ms: i64) -> Outgoing {
        let detail = serde_json::json!({"from": from.0, "to": to.0 - 1}).to_string();
        let step = OutcomeStep { kind: Cow::Borrowed("EVENT_LOST"), at: Some(at_ms), detail: Cow::Owned(detail) };
        let outcome = Outcome {
            outcome: OutcomeKind::Lost,
            steps: vec![step],
            lost_to_offset: Some(to.0),
            error: Some(Cow::Owned(format!("retention removed the offsets {from} to {} of {source}", to.0 - 1))),
            ..self.blank(source, from, at_ms)
        };
        self.outcome(outcome, Repeats::No, None)
    }

    /// An outcome about this record of which nothing else is known yet.
    #[must_use]
    pub fn blank<'a>(&'a self, source: &'a TopicPartition, offset: Offset, ended_at: i64) -> Outcome<'a> {
        Outcome {
            cluster_id: Cow::Borrowed(&self.writer.cluster_id),
            topic_id: Cow::Borrowed(self.topic_id(&source.topic)),
            topic: Cow::Borrowed(&source.topic),
            partition: source.partition,
            offset: offset.0,
            run: Cow::Borrowed(&self.writer.run),
            attempt: 0,
            group: Cow::Borrowed(&self.writer.group),
            event_id: None,
            event_type: None,
            source: None,
            utids: Vec::new(),
            correlation_id: None,
            causation_id: None,
            route: None,
            route_version: None,
            handlers: Vec::new(),
            outcome: OutcomeKind::Unprocessed,
            error_class: None,
            error_code: None,
            error: None,
            steps: Vec::new(),
            result: None,
            due_at: None,
            first_seen_offset: None,
            lost_to_offset: None,
            worker_id: Cow::Borrowed(&self.writer.worker_id),
            epoch: 0,
            started_at: None,
            ended_at,
            redrive: 0,
            origin: None,
        }
    }

    fn headers(&self, event_type: &str, id: &str, at_ms: i64) -> HeadersBuilder {
        let mut headers = HeadersBuilder::with_capacity(HEADERS_BYTES);
        let time = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default().to_string();
        for (name, text) in [
            ("ce_specversion", "1.0"),
            ("ce_id", id),
            ("ce_source", &self.source),
            ("ce_type", event_type),
            ("ce_time", &time),
            ("content-type", AVRO_CONTENT_TYPE),
        ] {
            headers.push(name.as_bytes(), Some(text.as_bytes()));
        }
        headers
    }

    fn outgoing(&self, key: Bytes, value: Vec<u8>, headers: Headers, at_ms: i64) -> Outgoing {
        Outgoing {
            topic: Arc::clone(&self.topic),
            partition: None,
            key: Some(key),
            value: Some(value.into()),
            headers,
            timestamp_ms: Some(at_ms),
        }
    }
}

/// The key of records that are about a partition.
pub(super) fn partition_key(topic: &str, partition: i32) -> Bytes {
    format!("{topic}[{partition}]").into()
}
