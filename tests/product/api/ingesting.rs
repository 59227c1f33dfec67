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

    let mut old = event("x");
    old["specversion"] = "0.3".into();
    problem(&api.structured(&old), 400, "invalid-event");
    problem(&api.ingest("application/json", &[], "{}"), 415, "unsupported-media-type");
    let limited = [("X-API-Key", &*api.limited), ("Content-Type", "application/cloudevents+json")];
    problem(&http::ask("POST", &api.url(PATH), &limited, "{}").unwrap(), 403, "forbidden");
}

#[test]
fn whoever_wants_to_deliver_or_to_read_about_it_can_ask() {
    let api = Api::start("api_about");
    let asked = http::ask("OPTIONS", &api.url(PATH), &[("WebHook-Request-Origin", "events.example.org")], "").unwrap();
    assert_eq!((asked.status, asked.header("webhook-allowed-origin")), (200, Some("events.example.org")));
    assert_eq!(asked.header("webhook-allowed-rate"), Some("6000"), "a minute");
    problem(&api.ask("DELETE", PATH, &[], ""), 405, "method-not-allowed");

    let document = http::get(&api.url("/openapi.json")).unwrap().json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document, serde_json::from_str::<Value>(&api.world.run(&["api", "openapi"]).well()).unwrap());
    let page = http::get(&api.url("/")).unwrap();
    assert!(page.body.contains("POST /registry/update"), "{page:?}");
    assert_eq!(page.header("content-security-policy"), Some("default-src 'none'; style-src 'unsafe-inline'"));
}
