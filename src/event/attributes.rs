//! CloudEvents 1.0 attributes of a record: the Kafka protocol binding's binary mode (`ce_*` headers) and its structured
//! mode (`content-type: application/cloudevents+json`).

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{Identity, Record};

/// A context attribute or extension that COAFI reads. Names on the wire: `ce_` + [`Attribute::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Attribute {
    SpecVersion,
    Id,
    Source,
    Type,
    Time,
    Subject,
    DataSchema,
    PartitionKey,
    TraceParent,
    TraceState,
    Sequence,
    CorrelationId,
    CausationId,
    TenantId,
    Utids,
    /// The topic in which somebody waits for how the event ends.
    ReplyTo,
    /// Runs of workflows that led to the event, each by starting the next.
    WorkflowHops,
    /// `content-type` in binary mode, `datacontenttype` in structured mode.
    ContentType,
}

impl Attribute {
    pub const ALL: [Self; 18] = [
        Self::SpecVersion,
        Self::Id,
        Self::Source,
        Self::Type,
        Self::Time,
        Self::Subject,
        Self::DataSchema,
        Self::PartitionKey,
        Self::TraceParent,
        Self::TraceState,
        Self::Sequence,
        Self::CorrelationId,
        Self::CausationId,
        Self::TenantId,
        Self::Utids,
        Self::ReplyTo,
        Self::WorkflowHops,
        Self::ContentType,
    ];

    /// The attribute's CloudEvents name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpecVersion => "specversion",
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Time => "time",
            Self::Subject => "subject",
            Self::DataSchema => "dataschema",
            Self::PartitionKey => "partitionkey",
            Self::TraceParent => "traceparent",
            Self::TraceState => "tracestate",
            Self::Sequence => "sequence",
            Self::CorrelationId => "correlationid",
            Self::CausationId => "causationid",
            Self::TenantId => "tenantid",
            Self::Utids => "utids",
            Self::ReplyTo => "replyto",
            Self::WorkflowHops => "workflowhops",
            Self::ContentType => "datacontenttype",
        }
    }

    fn of_header(name: &[u8]) -> Option<Self> {
        if let Some(name) = name.strip_prefix(b"ce_") {
            Self::ALL.into_iter().find(|a| a.name().as_bytes() == name && *a != Self::ContentType)
        } else if name.eq_ignore_ascii_case(b"content-type") {
            Some(Self::ContentType)
        } else {
            None
        }
    }
}

/// Why a record is not a CloudEvent. Poison: no retry changes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    #[error("the record has no value (a tombstone); an event needs one")]
    Tombstone,
    #[error("required CloudEvents attribute {0:?} is missing or empty")]
    Missing(&'static str),
    #[error("CloudEvents attribute {0:?} is not UTF-8")]
    NotUtf8(&'static str),
    #[error("CloudEvents attribute {0:?} appears more than once with different values")]
    Ambiguous(&'static str),
    #[error("specversion {0:?} is not supported; allowed: \"1.0\"")]
    SpecVersion(String),
    #[error("value is not a structured CloudEvent: {0}")]
    Structured(String),
}

type Spans = [Option<(u32, u32)>; Attribute::ALL.len()];

/// A record that is a CloudEvent.
#[derive(Clone, Debug)]
pub struct Event {
    record: Record,
    /// Attribute values, one after another; in binary mode the only copy that is made, of the few short strings.
    text: String,
    spans: Spans,
    data: Bytes,
}

impl Event {
    /// Finds the attributes. Does not look into the data, and leaves `time` as text (see [`Event::time`]).
    ///
    /// # Errors
    /// [`NotAnEvent`], which names the attribute.
    pub fn parse(record: Record) -> Result<Self, NotAnEvent> {
        let Some(value) = record.value_bytes() else { return Err(NotAnEvent::Tombstone) };
        let headers = record.headers();
        let structured = headers
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case(b"content-type") && value.is_some_and(is_structured));
        let mut collected = Collected::with_capacity(headers.size());
        let data = if structured {
            collected.structured(&value)?
        } else {
            for (name, header) in headers.iter() {
                if let (Some(attribute), Some(header)) = (Attribute::of_header(name), header) {
                    collected.put(attribute, header)?;
                }
            }
            value
        };
        let event = Self { record, text: collected.text, spans: collected.spans, data };
        match event.attribute(Attribute::SpecVersion) {
            Some("1.0") | None => {}
            Some(other) => return Err(NotAnEvent::SpecVersion(other.to_owned())),
        }
        for required in [Attribute::Id, Attribute::Source, Attribute::Type] {
            if event.attribute(required).is_none_or(str::is_empty) {
                return Err(NotAnEvent::Missing(required.name()));
            }
        }
        Ok(event)
    }

    #[must_use]
    pub fn attribute(&self, attribute: Attribute) -> Option<&str> {
        let (start, end) = self.spans[attribute as usize]?;
        Some(&self.text[start as usize..end as usize])
    }

    #[must_use]
    pub fn id(&self) -> &str {
        self.attribute(Attribute::Id).expect("required by parse")
    }

    #[must_use]
    pub fn source(&self) -> &str {
        self.attribute(Attribute::Source).expect("required by parse")
    }

    #[must_use]
    pub fn event_type(&self) -> &str {
        self.attribute(Attribute::Type).expect("required by parse")
    }

    /// `time` as RFC 3339.
    ///
    /// # Errors
    /// The text, when it is there and is not a time.
    pub fn time(&self) -> Result<Option<jiff::Timestamp>, &str> {
        self.attribute(Attribute::Time).map(|text| text.parse().map_err(|_| text)).transpose()
    }

    /// What correlates this event with others: `correlationid`, or its own id where it starts the chain.
    #[must_use]
    pub fn correlation_id(&self) -> &str {
        self.attribute(Attribute::CorrelationId).unwrap_or_else(|| self.id())
    }

    /// UTidS of the objects that the event is about: `utids`, separated by commas.
    pub fn utids(&self) -> impl Iterator<Item = &str> {
        self.attribute(Attribute::Utids).unwrap_or_default().split(',').map(str::trim).filter(|s| !s.is_empty())
    }

    /// The event's data: the record's value in binary mode, the `data` member in structured mode.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The media type of [`Event::data`] without parameters.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        let full = self.attribute(Attribute::ContentType)?;
        Some(full.split(';').next().unwrap_or(full).trim())
    }

    #[must_use]
    pub fn identity(&self) -> Identity {
        let redrive = self.record.headers().text("coafi-redrive").and_then(|n| n.parse().ok()).unwrap_or(0);
        Identity::new(self.source(), self.id(), redrive)
    }

    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }
}

pub(super) fn is_structured(content_type: &[u8]) -> bool {
    content_type.to_ascii_lowercase().starts_with(b"application/cloudevents+json")
}

struct Collected {
    text: String,
    spans: Spans,
}

impl Collected {
    fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), spans: [None; Attribute::ALL.len()] }
    }

    fn put(&mut self, attribute: Attribute, value: &[u8]) -> Result<(), NotAnEvent> {
        let Ok(value) = std::str::from_utf8(value) else { return Err(NotAnEvent::NotUtf8(attribute.name())) };
        if let Some((start, end)) = self.spans[attribute as usize] {
            return if self.text[start as usize..end as usize] == *value {
                Ok(())
            } else {
                Err(NotAnEvent::Ambiguous(attribute.name()))
            };
        }
        let range: Range<usize> = self.text.len()..self.text.len() + value.len();
        self.text.push_str(value);
        let bound = |n: usize| u32::try_from(n).expect("Kafka bounds a record below 2 GiB");
        self.spans[attribute as usize] = Some((bound(range.start), bound(range.end)));
        Ok(())
    }

    /// The JSON event format: members are attributes, `data` stays as its JSON text, `data_base64` is decoded.
    fn structured(&mut self, value: &Bytes) -> Result<Bytes, NotAnEvent> {
        use base64::Engine as _;
        use std::collections::BTreeMap;

        let bad = |error: &dyn std::fmt::Display| NotAnEvent::Structured(error.to_string());
        let members: BTreeMap<&str, &RawValue> = serde_json::from_slice(value).map_err(|e| bad(&e))?;
        for attribute in Attribute::ALL {
            let Some(raw) = members.get(attribute.name()) else { continue };
            match serde_json::from_str(raw.get()).map_err(|e| bad(&e))? {
                serde_json::Value::String(text) => self.put(attribute, text.as_bytes())?,
                serde_json::Value::Null => {}
                other => self.put(attribute, other.to_string().as_bytes())?,
            }
        }
        if let Some(raw) = members.get("data_base64") {
            let text: &str = serde_json::from_str(raw.get()).map_err(|e| bad(&e))?;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|e| bad(&e))?;
            return Ok(bytes.into());
        }
        if self.spans[Attribute::ContentType as usize].is_none() {
            self.put(Attribute::ContentType, b"application/json")?;
        }
        Ok(members.get("data").map_or_else(Bytes::new, |raw| value.slice_ref(raw.get().as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Offset, RecordBuilder};

    fn record(headers: &[(&[u8], Option<&[u8]>)], value: Option<&[u8]>) -> Record {
        let mut builder = RecordBuilder::new(None, value, 0);
        for (name, value) in headers {
            builder.header(name, *value);
        }
        builder.build("t".into(), 0, Offset(0), None)
    }

    const BINARY: [(&[u8], Option<&[u8]>); 4] = [
        (b"ce_specversion", Some(b"1.0")),
        (b"ce_id", Some(b"1")),
        (b"ce_source", Some(b"/s")),
        (b"ce_type", Some(b"git.commit")),
    ];

    fn check(headers: &[(&[u8], Option<&[u8]>)], value: Option<&[u8]>, expected: Result<&str, NotAnEvent>) {
        let parsed = Event::parse(record(headers, value));
        assert_eq!(parsed.map(|e| e.id().to_owned()), expected.map(str::to_owned));
    }

    #[test]
    fn binary_mode() {
        check(&BINARY, Some(b"x"), Ok("1"));
        check(&BINARY, None, Err(NotAnEvent::Tombstone));
        check(&[], Some(b"x"), Err(NotAnEvent::Missing("id")));
        check(&BINARY[..3], Some(b"x"), Err(NotAnEvent::Missing("type")));
    }

    #[test]
    fn a_repeated_attribute_counts_only_if_it_agrees() {
        let with = |extra| [&BINARY[..], &[extra]].concat();
        check(&with((b"ce_id", Some(b"1"))), Some(b"x"), Ok("1"));
        check(&with((b"ce_id", Some(b"2"))), Some(b"x"), Err(NotAnEvent::Ambiguous("id")));
        check(&with((b"ce_subject", Some(b"\xff"))), Some(b"x"), Err(NotAnEvent::NotUtf8("subject")));
        check(&with((b"\xff\xfe", Some(b"foreign"))), Some(b"x"), Ok("1"));
    }

    #[test]
    fn structured_mode() {
        let headers: &[(&[u8], Option<&[u8]>)] =
            &[(b"Content-Type", Some(b"application/cloudevents+json; charset=utf-8"))];
        let value = br#"{"specversion":"1.0","id":"9","source":"/s","type":"t","sequence":7,"data":{"a":1}}"#;
        let event = Event::parse(record(headers, Some(value))).unwrap();
        assert_eq!((event.id(), event.attribute(Attribute::Sequence)), ("9", Some("7")));
        assert_eq!((&event.data()[..], event.content_type()), (&br#"{"a":1}"#[..], Some("application/json")));
        let binary = br#"{"specversion":"1.0","id":"9","source":"/s","type":"t","data_base64":"AAE="}"#;
        assert_eq!(&Event::parse(record(headers, Some(binary))).unwrap().data()[..], [0, 1]);
        assert!(matches!(Event::parse(record(headers, Some(b"{"))), Err(NotAnEvent::Structured(_))));
        check(
            headers,
            Some(br#"{"specversion":"0.3","id":"9","source":"s","type":"t"}"#),
            Err(NotAnEvent::SpecVersion("0.3".into())),
        );
    }

    #[test]
    fn a_time_that_is_none_is_named() {
        let headers = [&BINARY[..], &[(&b"ce_time"[..], Some(&b"yesterday"[..]))]].concat();
        assert_eq!(Event::parse(record(&headers, Some(b"x"))).unwrap().time(), Err("yesterday"));
    }
}
