//! A new event as a Kafka record: CloudEvents 1.0, Kafka protocol binding, binary mode.

use std::sync::Arc;

use bytes::Bytes;

use crate::event::{HeadersBuilder, Outgoing};

/// The attributes and data of an event that a source publishes. It starts a chain: its correlation id is its own id
/// unless it is given.
#[derive(Clone, Debug)]
pub struct NewSourceEvent {
    pub topic: Arc<str>,
    pub event_type: String,
    pub id: String,
    pub source: String,
    pub subject: Option<String>,
    /// Milliseconds since the Unix epoch: when it happened, not when it was seen.
    pub time_ms: Option<i64>,
    pub key: String,
    pub correlation_id: Option<String>,
    pub utids: Vec<String>,
    /// The topic in which somebody waits for how the event ends.
    pub reply_to: Option<&'static str>,
    pub tenant: Option<String>,
    pub content_type: &'static str,
    pub data: Bytes,
}

impl NewSourceEvent {
    /// The record; `traceparent` goes into the attribute and into the plain header that OpenTelemetry reads.
    #[must_use]
    pub fn into_record(self, traceparent: &str) -> Outgoing {
        let mut headers = HeadersBuilder::default()
            .with("ce_specversion", "1.0")
            .with("ce_id", &self.id)
            .with("ce_source", &self.source)
            .with("ce_type", &self.event_type);
        let time = self.time_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).map(|time| time.to_string());
        let utids = (!self.utids.is_empty()).then(|| self.utids.join(","));
        let reply_to = self.reply_to.map(str::to_owned);
        for (name, value) in [
            ("ce_time", time),
            ("ce_subject", self.subject),
            ("ce_utids", utids),
            ("ce_tenantid", self.tenant),
            ("ce_replyto", reply_to),
        ] {
            if let Some(value) = value {
                headers = headers.with(name, value);
            }
        }
        let headers = headers
            .with("ce_partitionkey", &self.key)
            .with("ce_correlationid", self.correlation_id.as_ref().unwrap_or(&self.id))
            .with("ce_traceparent", traceparent)
            .with("traceparent", traceparent)
            .with("content-type", self.content_type);
        Outgoing {
            topic: self.topic,
            partition: None,
            key: Some(self.key.into()),
            value: Some(self.data),
            headers: headers.build(),
            timestamp_ms: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attribute, Event, Offset, RecordBuilder};

    #[test]
    fn the_record_reads_back_as_the_event() {
        let event = NewSourceEvent {
            topic: "coafi.git".into(),
            event_type: "git.commit".into(),
            id: "main@1".into(),
            source: "https://host/r".into(),
            subject: Some("1".into()),
            time_ms: Some(1_500),
            key: "https://host/r".into(),
            correlation_id: None,
            utids: vec!["a".into(), "b".into()],
            reply_to: Some("coafi.results"),
            tenant: None,
            content_type: "application/avro",
            data: Bytes::from_static(b"data"),
        };
        let record = event.into_record("00-1-2-00");
        let mut builder = RecordBuilder::new(record.key.as_deref(), record.value.as_deref(), 0);
        for (name, value) in record.headers.iter() {
            builder.header(name, value);
        }
        let event = Event::parse(builder.build("coafi.git".into(), 0, Offset(0), None)).unwrap();
        assert_eq!((event.id(), event.source(), event.correlation_id()), ("main@1", "https://host/r", "main@1"));
        assert_eq!(event.time(), Ok(Some(jiff::Timestamp::from_millisecond(1_500).unwrap())));
        assert_eq!(event.attribute(Attribute::PartitionKey), Some("https://host/r"));
        assert_eq!(event.attribute(Attribute::ReplyTo), Some("coafi.results"));
        assert_eq!(event.utids().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(event.record().headers().text("traceparent"), event.attribute(Attribute::TraceParent));
    }
}
