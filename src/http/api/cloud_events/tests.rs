//! Events as clients send them, and as they do by mistake.

use expect_test::expect_file;
use serde_json::{Value, json};

use crate::http::api::golden;
use crate::http::api::problem::Problem;

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
    let record = record(event, "coafi.ai", "coafi.results", &HeaderMap::new());
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
    let digest =
        |event: &Value| crate::http::api::idempotency::digest(&of_json(STRUCTURED, event).unwrap()[0].content());
    assert_eq!(digest(&event()), digest(&event()));
    for other in [with("data", json!({"a": 2})), with("type", json!("t")), with("subject", json!("run/8"))] {
        assert_ne!(digest(&other), digest(&event()), "{other}");
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
    check("application/cloudevents+avro", &event(), 415, "is not taken");
    check(STRUCTURED, &json!([]), 400, "an object");
    check(STRUCTURED, &with("specversion", json!("0.3")), 400, "specversion");
    check(STRUCTURED, &with("id", json!("")), 400, "id is empty");
    check(STRUCTURED, &with("time", json!("yesterday")), 400, "RFC 3339");
    check(STRUCTURED, &with("Custom", json!("x")), 400, "no attribute's name");
    check(STRUCTURED, &with("custom", json!({})), 400, "no text");
    check(STRUCTURED, &with("custom", json!("x".repeat(2_000))), 400, "2000 bytes; allowed: 1024");
    check(STRUCTURED, &with("subject", json!("a\u{0}b")), 400, "control character");
    check(STRUCTURED, &with("source", json!("a b")), 400, "a URI reference");
    check(STRUCTURED, &with("source", json!("/coafi/api/registry/update")), 400, "COAFI itself");
    check(STRUCTURED, &with("extensions", json!({"id": "2"})), 400, "no extension");
    check(STRUCTURED, &with("datacontenttype", json!("x".repeat(1_025))), 400, "datacontenttype has 1025 bytes");
    let many: serde_json::Map<String, Value> = (0..30).map(|n| (format!("x{n}"), n.into())).collect();
    check(STRUCTURED, &with("extensions", many.into()), 400, "35 attributes");
    check(STRUCTURED, &with("data_base64", json!("AAE=")), 400, "data and data_base64");
    check(BATCH, &event(), 400, "a list");
    check(BATCH, &json!([event(), with("source", Value::Null)]), 400, "/1: source is missing");
    check(BATCH, &json!(vec![event(); EVENTS_MAX + 1]), 413, "501 events");
}

#[test]
fn data_stays_as_it_was_written() {
    let check = |data: &str, rest: &str, expected: (&[u8], Option<&str>)| {
        let text = format!(r#"{{"specversion":"1.0","id":"1","source":"/ai","type":"t"{rest}{data}}}"#);
        let event = read(&headers(&[("content-type", STRUCTURED)]), text.clone().into()).unwrap().remove(0);
        assert_eq!((&event.data[..], event.content_type.as_deref()), expected, "{text}");
    };
    let json = Some("application/json");
    check(
        r#","data":{"b": 1.00, "a":123456789012345678901}"#,
        "",
        (br#"{"b": 1.00, "a":123456789012345678901}"#, json),
    );
    check(r#","data":"text""#, "", (br#""text""#, json));
    check(r#","data":null"#, "", (b"null", json));
    check(r#","data":"te\"xt""#, r#","datacontenttype":"text/plain""#, (b"te\"xt", Some("text/plain")));
    check(r#","data_base64":"AAE=""#, "", (&[0, 1], None));
    check(r#","data_base64":"AAE=""#, r#","datacontenttype":"image/png""#, (&[0, 1], Some("image/png")));
    check("", r#","datacontenttype":"text/plain""#, (b"", None));
}

#[test]
fn headers_are_decoded_and_refused_with_the_reason() {
    let required = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/ai"), ("ce-type", "t")];
    let check = |more: &[(&'static str, &str)], body: &'static str, expected: Result<&str, &str>| {
        let mut all = headers(&required);
        for (name, value) in more {
            all.append(axum::http::HeaderName::from_static(name), value.parse().unwrap());
        }
        let read = read(&all, body.into()).map(|mut events| events.remove(0));
        match expected {
            Ok(subject) => assert_eq!(read.unwrap().others["subject"], subject),
            Err(said) => {
                let problem = read.unwrap_err();
                assert_eq!(problem.status.as_u16(), 400);
                assert!(format!("{problem:?}").contains(said), "{problem:?}");
            }
        }
    };
    check(&[("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80")], "", Ok("Euro € 😀"));
    check(&[("ce-subject", r#""a \"b\" c""#)], "", Ok(r#"a "b" c"#));
    check(&[("ce-subject", "%FF")], "", Err("subject is not UTF-8"));
    check(&[("ce-subject", "ü")], "", Err("subject is not ASCII"));
    check(&[("ce-id", "2")], "", Err("id is there more than once"));
    check(&[("ce-datacontenttype", "text/plain")], "", Err("datacontenttype is no attribute"));
    check(&[("content-type", "application/json")], "{", Err("is no JSON"));
}

#[test]
fn another_trace_does_not_make_it_another_event() {
    let traced = with("traceparent", json!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    let of = |event: &Value| of_json(STRUCTURED, event).unwrap().remove(0);
    assert_eq!(of(&traced).content(), of(&event()).content());
    // A state without its trace is none.
    let record = record(of(&with("tracestate", json!("a=b"))), "coafi.ai", "coafi.results", &HeaderMap::new());
    assert_eq!(record.headers.last("ce_tracestate"), None);
}

/// With everything that CloudEvents and we have: what other software, and other versions, read of it.
#[test]
fn an_ingested_event_is_written_as_before() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let event = json!({
        "specversion": "1.0", "id": "run-7", "source": "/ai", "type": "ai.run.started", "subject": "run/7",
        "time": "2025-11-21T16:00:00Z", "dataschema": "https://example.org/run.json", "seq": 3, "partitionkey": "team-1",
        "traceparent": trace, "tracestate": "vendor=1", "extensions": {"utids": "UT-1,UT-2"}, "data": {"run_id": "7"},
    });
    let record = |event: &Value| {
        let event = of_json(STRUCTURED, event).unwrap().remove(0);
        record(event, "coafi.ai", "coafi.results", &headers(&[("traceparent", trace)])).dump()
    };
    expect_file![golden::file("ingested.txt")].assert_eq(&record(&event));
    let least = json!({"specversion": "1.0", "id": "1", "source": "/ai", "type": "ai.run.started"});
    expect_file![golden::file("ingested_least.txt")].assert_eq(&record(&least));
}
