//! CloudEvents as HTTP and as Kafka carries them, and what headers of ours say of a record.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Message, Target};
use crate::dispatch::ConsumedTopic;
use crate::dispatch::hop::Hop;
use crate::dlq::{Letter, LetterId};
use crate::event::incoming::{ATTRIBUTE_BYTES_MAX, EVENTS_MAX, Incoming, header_value, read};
use crate::event::{Event, Offset, Record, RecordBuilder};

inventory::submit! { Target { name: "cloud_events", run: cloud_events } }
inventory::submit! { Target { name: "records", run: records } }

/// Of a request to the API, or of an endpoint's answer.
fn cloud_events(bytes: &[u8]) {
    let message = Message::of(bytes);
    let headers = message.http();
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let Ok(events) = read(headers, Bytes::copy_from_slice(message.body)) else { return };
    assert!(events.len() <= EVENTS_MAX);
    for event in events {
        let own = [&event.id, &event.source, &event.event_type].into_iter();
        let mut attributes = own.chain(event.others.values());
        assert!(attributes.all(|value| (1..=ATTRIBUTE_BYTES_MAX).contains(&value.len())), "{event:?}");
        assert!(!event.source.starts_with("/coafi/"), "{event:?}");
        let _content = (event.content(), event.key());
        let again = read(binary(&event).iter().map(|(name, value)| (&**name, value.as_bytes())), event.data.clone());
        assert_eq!(again.expect("what was taken can be handed on"), std::slice::from_ref(&event));
    }
}

/// As the event is handed on to an endpoint.
fn binary(event: &Incoming) -> BTreeMap<String, String> {
    let own = [("id", &event.id), ("source", &event.source), ("type", &event.event_type)];
    let others = event.others.iter().map(|(name, value)| (name.as_str(), value));
    let mut headers: BTreeMap<String, String> =
        own.into_iter().chain(others).map(|(name, value)| (format!("ce-{name}"), header_value(value))).collect();
    headers.insert("ce-specversion".into(), "1.0".into());
    headers.extend(event.content_type.clone().map(|media| ("content-type".into(), media)));
    headers
}

fn records(bytes: &[u8]) {
    let message = Message::of(bytes);
    let record = |topic: &str| -> Record {
        let mut builder = RecordBuilder::new(Some(b"key"), Some(message.body), 0);
        for (name, value) in &message.headers {
            builder.header(name, Some(value));
        }
        builder.build(topic.into(), 0, Offset(7), Some(0))
    };
    let source = record("coafi.git");
    assert!(source.headers().iter().eq(message.headers.iter().map(|(name, value)| (*name, Some(*value)))));
    assert_eq!(source.value(), Some(message.body));
    if let Ok(event) = Event::parse(source) {
        assert!(!event.id().is_empty() && !event.source().is_empty() && !event.event_type().is_empty());
        let everything = event.everything();
        assert_eq!(everything.get("id").map(String::as_str), Some(event.id()));
        let _read =
            (event.time(), event.utids().count(), event.content_type(), event.identity(), event.correlation_id());
    }
    let retry = record("coafi.git.retry.5s");
    if let Ok(hop) = Hop::read(ConsumedTopic::parse("coafi.git.retry.5s"), &retry) {
        let _bits = hop.expect("it is a retry topic").done_bits(&["log".to_owned(), "noop".to_owned()]);
    }
    let letter = Letter::read(record("coafi.git.dlq"));
    let _whole = letter.is_whole();
    let id = LetterId::of(&letter.record);
    assert_eq!(id.to_string().parse(), Ok(id));
}
