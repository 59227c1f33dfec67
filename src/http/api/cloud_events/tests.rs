//! Events as clients send them, and as they do by mistake.

use serde_json::json;

use super::*;
use crate::event::{Attribute, Event, Offset, RecordBuilder};

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    list.iter().map(|(name, value)| (axum::http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn of_json(media: &str, body: &Value) -> Result<Vec<Incoming>, Problem> {
    read(&headers(&[("content-type", media)]), body.to_string().into())
}

fn event() -> Value {
    json!({"specversion": "1.0", "id": "1", "source": "/ai", "type": "ai.run.started", "subject": "run/7", "data": {"a": 1}})
}

fn with(member: &str, value: Value) -> Value {
    let mut event = event();
    event[member] = value;
    event
}

/// As consumers read it.
fn published(event: Incoming) -> Event {
    let record = event.into_record("coafi.ai", "coafi.results", &HeaderMap::new());
    let mut builder = RecordBuilder::new(record.key.as_deref(), record.value.as_deref(), 0);
    record.headers.iter().for_each(|(name, value)| builder.header(name, value));
    Event::parse(builder.build("coafi.ai".into(), 0, Offset(0), None)).unwrap()
}

#[test]
fn every_mode_is_the_same_event() {
    let structured = of_json(STRUCTURED, &event()).unwrap().remove(0);
    let batched = of_json(BATCH, &json!([event()])).unwrap().remove(0);
    let list = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/ai"),
        ("ce-type", "ai.run.started"),
        ("ce-subject", "run%2F7"),
        ("content-type", "application/json"),
    ];
    let binary = read(&headers(&list), r#"{"a":1}"#.into()).unwrap().remove(0);
    assert_eq!((&structured, &structured), (&batched, &binary));
    let event = published(structured);
    assert_eq!((event.id(), event.source(), event.event_type()), ("1", "/ai", "ai.run.started"));
    assert_eq!((event.record().key(), event.content_type()), (Some(&b"run/7"[..]), Some("application/json")));
    assert_eq!((&event.data()[..], event.attribute(Attribute::ReplyTo)), (&br#"{"a":1}"#[..], Some("coafi.results")));
    assert_eq!(event.attribute(Attribute::Subject), Some("run/7"));
}

#[test]
fn sequence_numbers_are_taken_in_either_form_and_replies_go_where_we_say() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (given, expected) in [
        (json!({"seq": 7}), Some("7")),
        (json!({"extensions": {"seq": 7, "traceparent": trace}}), Some("7")),
        (json!({"sequence": "0008"}), Some("0008")),
        (json!({"replyto": "coafi.git"}), None),
    ] {
        let mut event = event();
        given.as_object().unwrap().iter().for_each(|(name, value)| event[name] = value.clone());
        let event = published(of_json(STRUCTURED, &event).unwrap().remove(0));
        assert_eq!(event.attribute(Attribute::Sequence), expected, "{given}");
        assert_eq!(event.attribute(Attribute::ReplyTo), Some("coafi.results"));
        if given.to_string().contains(trace) {
            assert_eq!(event.attribute(Attribute::TraceParent), Some(trace));
        }
    }
}

#[test]
fn another_content_is_another_event() {
    let content = |event: &Value| of_json(STRUCTURED, event).unwrap().remove(0).content();
    assert_eq!(content(&event()), content(&event()));
    for other in [with("data", json!({"a": 2})), with("type", json!("t")), with("subject", json!("run/8"))] {
        assert_ne!(content(&other), content(&event()), "{other}");
    }
}

#[test]
fn what_is_no_event_is_refused_with_the_reason() {
    let check = |media: &str, body: &Value, status: u16, said: &str| {
        let problem = of_json(media, body).unwrap_err();
        assert_eq!(problem.status.as_u16(), status, "{body}");
        assert!(format!("{problem:?}").contains(said), "{problem:?}");
    };
    check("application/json", &event(), 415, "no CloudEvent");
    check(STRUCTURED, &json!([]), 400, "an object");
    check(STRUCTURED, &with("specversion", json!("0.3")), 400, "specversion");
    check(STRUCTURED, &with("id", json!("")), 400, "id is missing");
    check(STRUCTURED, &with("time", json!("yesterday")), 400, "RFC 3339");
    check(STRUCTURED, &with("Custom", json!("x")), 400, "no attribute's name");
    check(STRUCTURED, &with("custom", json!({})), 400, "no text");
    check(STRUCTURED, &with("custom", json!("x".repeat(2_000))), 400, "more than 1024 bytes");
    check(STRUCTURED, &with("data_base64", json!("AAE=")), 400, "data and data_base64");
    check(BATCH, &event(), 400, "a list");
    check(BATCH, &json!([event(), with("source", Value::Null)]), 400, "/1: source is missing");
    check(BATCH, &json!(vec![event(); EVENTS_MAX + 1]), 413, "501 events");
}
