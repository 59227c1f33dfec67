//! CloudEvents of others, and what the API says about itself.

use serde_json::{Value, json};

use super::{Api, EVENTS, problem};
use crate::http::{self, Answer};
use crate::stack::unique;
use crate::topic::{Read, ends, read};

const PATH: &str = "/api/ingest/event";

fn event(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/product/ai", "type": "ai.run.started", "subject": "run/7",
        "extensions": {"seq": 3}, "data": {"run_id": "7"},
    })
}

impl Api {
    fn ingest(&self, media: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = [&[("X-API-Key", &*self.key), ("Content-Type", media)], headers].concat();
        http::ask("POST", &self.url(PATH), &headers, body).expect("an answer")
    }

    fn structured(&self, event: &Value) -> Answer {
        self.ingest("application/cloudevents+json", &[], &event.to_string())
    }
}

#[test]
fn events_in_every_mode_are_records_of_the_kafka_binding() {
    let api = Api::start("api_ingest");
    let start = ends(&api.world.stack.kafka, EVENTS);
    let ids: Vec<String> = (0..4).map(|n| unique(&format!("event{n}"))).collect();
    let one = api.structured(&event(&ids[0]));
    assert_eq!(one.status, 202, "{one:?}");
    let status_url = one.json()["events"][0]["statusUrl"].as_str().unwrap().to_owned();
    assert_eq!(one.header("location"), Some(&*status_url));
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", &*ids[1]),
        ("ce-source", "/product/ai"),
        ("ce-type", "ai.run.started"),
        ("ce-subject", "run%2F7"),
    ];
    assert_eq!(api.ingest("application/json", &binary, r#"{"run_id":"7"}"#).status, 202);
    let batch = json!([event(&ids[2]), event(&ids[3])]);
    assert_eq!(api.ingest("application/cloudevents-batch+json", &[], &batch.to_string()).status, 202);

    let all = read(&api.world.stack.kafka, EVENTS, &start);
    for id in &ids {
        let ours: Vec<&Read> = all.iter().filter(|read| read.record.header("ce_id") == Some(id.as_str())).collect();
        assert_eq!(ours.len(), 1, "{id}");
        let record = &ours[0].record;
        assert_eq!(record.key.as_deref(), Some(&b"run/7"[..]));
        assert_eq!(record.value.as_deref(), Some(&br#"{"run_id":"7"}"#[..]));
        for (name, value) in [
            ("ce_specversion", "1.0"),
            ("ce_source", "/product/ai"),
            ("ce_type", "ai.run.started"),
            ("ce_subject", "run/7"),
            ("ce_replyto", "coafi.results"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(record.header(name), Some(value), "{name}");
        }
        assert_eq!(record.header("ce_sequence"), (*id != ids[1]).then_some("3"));
    }
    let status = api.ask("GET", &status_url, &[("X-API-Key", &api.key)], "");
    assert_eq!((status.status, &status.json()["status"]), (200, &json!("pending")));
}

#[test]
fn an_id_is_one_event() {
    let api = Api::start("api_conflict");
    let start = ends(&api.world.stack.kafka, EVENTS);
    let id = unique("event");
    assert_eq!(api.structured(&event(&id)).status, 202);
    assert_eq!(api.structured(&event(&id)).status, 202, "sent again, it is the same");
    let mut other = event(&id);
    other["data"] = json!({"run_id": "8"});
    problem(&api.structured(&other), 409, "id-conflict");
    let published = read(&api.world.stack.kafka, EVENTS, &start);
    assert_eq!(published.iter().filter(|read| read.record.header("ce_id") == Some(&*id)).count(), 1);
}

#[test]
fn a_batch_is_taken_whole_or_refused_whole() {
    let api = Api::start("api_batch");
    let start = ends(&api.world.stack.kafka, EVENTS);
    let ids: Vec<String> = (0..60).map(|n| unique(&format!("event{n}"))).collect();
    let batch = |ids: &[String]| Value::from(ids.iter().map(|id| event(id)).collect::<Vec<_>>());
    let send = |events: &Value| api.ingest("application/cloudevents-batch+json", &[], &events.to_string());
    assert_eq!(send(&batch(&ids[..1])).status, 202);

    let mut invalid = batch(&ids);
    invalid[30]["source"] = "/coafi/api".into();
    let errors = problem(&send(&invalid), 400, "invalid-event")["errors"].clone();
    assert!(errors[0].as_str().unwrap().starts_with("/30: source is"), "{errors}");
    let mut conflicting = batch(&ids);
    conflicting[0]["data"] = json!({"run_id": "8"});
    let errors = problem(&send(&conflicting), 409, "id-conflict")["errors"].clone();
    assert!(errors[0].as_str().unwrap().contains(&ids[0]), "{errors}");

    // Nothing of it was reserved: the others are free for what is sent next, twice in one batch as well.
    let mut events = batch(&ids);
    events.as_array_mut().unwrap().push(event(&ids[7]));
    let taken = send(&events);
    assert_eq!((taken.status, taken.header("location")), (202, None), "{taken:?}");
    assert_eq!(taken.json()["events"].as_array().map(Vec::len), Some(ids.len()));
    let all = read(&api.world.stack.kafka, EVENTS, &start);
    let ours = all.iter().filter_map(|read| read.record.header("ce_id")).filter(|id| ids.iter().any(|our| our == id));
    assert_eq!(ours.collect::<Vec<_>>(), ids, "each once, and in order");
    assert_eq!(send(&json!([])).json(), json!({"events": []}));
}

#[test]
fn what_is_no_event_or_not_permitted_is_refused_with_a_problem() {
    let limits = [("COAFI__API__LIMITS__BODY_MAX_BYTES", "1KiB"), ("COAFI__API__RATE_LIMIT__BURST", "20")];
    let api = Api::with("api_ingest_refuses", &limits);
    let start = ends(&api.world.stack.kafka, EVENTS);
    let mut old = event("x");
    old["specversion"] = "0.3".into();
    problem(&api.structured(&old), 400, "invalid-event");
    problem(&api.ingest("application/cloudevents+json", &[], "{"), 400, "not-json");
    problem(&api.ingest("application/json", &[], "{}"), 415, "unsupported-media-type");
    problem(&api.ingest("application/json", &[("ce-id", "1")], "{}"), 400, "invalid-event");
    problem(&api.ingest("application/cloudevents+json", &[], &"x".repeat(2_000)), 413, "body-too-large");
    let limited = [("X-API-Key", &*api.limited), ("Content-Type", "application/cloudevents+json")];
    problem(&http::ask("POST", &api.url(PATH), &limited, "{}").unwrap(), 403, "forbidden");
    problem(&http::ask("POST", &api.url(PATH), &[], "{}").unwrap(), 401, "unauthorized");
    let ask = |path: &str| api.ask("GET", path, &[("X-API-Key", &api.key)], "");
    problem(&ask("/requests/%00"), 404, "no-such-request");
    problem(&ask("/requests/%FF"), 404, "no-such-request");
    problem(&ask("/requests/a?source=1&source=2"), 400, "invalid-query");
    // A batch counts as many as it has events.
    let small = |n: usize| json!({"specversion": "1.0", "id": n.to_string(), "source": "/p", "type": "t"});
    let events = Value::from((0..15).map(small).collect::<Vec<_>>()).to_string();
    let late = api.ingest("application/cloudevents-batch+json", &[], &events);
    problem(&late, 429, "too-many-requests");
    assert!(late.header("retry-after").is_some(), "{late:?}");
    assert_eq!(read(&api.world.stack.kafka, EVENTS, &start).len(), 0);
}

#[test]
fn whoever_wants_to_deliver_or_to_read_about_it_can_ask() {
    let api = Api::start("api_about");
    let asked = http::ask("OPTIONS", &api.url(PATH), &[("WebHook-Request-Origin", "events.example.org")], "").unwrap();
    assert_eq!((asked.status, asked.header("webhook-allowed-origin")), (200, Some("events.example.org")));
    assert_eq!(asked.header("webhook-allowed-rate"), Some("6000"), "a minute");
    let deleted = api.ask("DELETE", PATH, &[], "");
    problem(&deleted, 405, "method-not-allowed");
    assert!(deleted.header("allow").is_some_and(|methods| methods.contains("POST")), "{deleted:?}");

    let document = http::get(&api.url("/openapi.json")).unwrap().json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document, serde_json::from_str::<Value>(&api.world.run(&["api", "openapi"]).well()).unwrap());
    let metrics = api.process.page("/metrics").body;
    for labels in [
        r#"endpoint="/api/ingest/event",method="DELETE",status="405""#,
        r#"endpoint="/openapi.json",method="GET",status="200""#,
    ] {
        let line = format!("coafi_api_request_duration_seconds_count{{{labels}}} 1");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    let page = http::get(&api.url("/")).unwrap();
    assert!(page.body.contains("POST /registry/update"), "{page:?}");
    assert_eq!(page.header("content-security-policy"), Some("default-src 'none'; style-src 'unsafe-inline'"));
}

#[test]
fn who_waits_for_an_event_is_answered_with_what_its_handler_made_of_it() {
    let api = Api::start("api_ingest_wait");
    let kind = unique("ai.product.waited");
    let route = format!("  - name: waited\n    match: {{type: {kind}, topic: coafi.ai}}\n    handler: log\n");
    api.world.change_routes(|routes| routes + &route);
    let _replica = api.replica();
    let (handled, unhandled) = (unique("event"), unique("event"));
    let wait = |id: &str, kind: &str| {
        let mut event = event(id);
        event["type"] = kind.into();
        api.ingest("application/cloudevents+json", &[("Prefer", "wait=30")], &event.to_string())
    };
    let done = wait(&handled, &kind);
    assert_eq!((done.status, done.header("preference-applied")), (200, Some("wait=30")), "{done:?}");
    assert_eq!(done.json()["success"], true, "{done:?}");
    let location = done.header("location").unwrap().to_owned();
    let status = api.ask("GET", &location, &[("X-API-Key", &api.key)], "").json();
    assert_eq!((&status["status"], &status["outcome"]), (&json!("ended"), &json!("processed")));
    problem(&wait(&unhandled, "ai.product.nobodys"), 501, "unprocessed");
}
